/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order in which programs start makes no difference: subscribers that come before their topic's first publisher
 * wait for it without polling, also while aetherd is killed or stopped and started again, and receive everything from
 * sequence 0 on, whatever the publisher states about the topic. Until a publisher comes they leave nothing behind.
 */
#include "lib/traffic.h"
#include <dirent.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>

#define KIB 1024u
#define MIB (1024u * KIB)

/* ---- what publishers state ---- */

struct shape {
    const char *name;
    aether_topic_config config;
    uint64_t messages;
};

static const struct shape shapes[] = {
    {"nothing", {0}, 3000},
    {"messages of 6 MB", {.max_message = 6220800, .lane_bytes = 16 * MIB}, 24},
    {"lanes of 8 MiB", {.max_message = 300000, .lane_bytes = 8 * MIB}, 200},
    {"exclusive", {.capacity = 64, .publishers = AETHER_PUBLISHERS_EXCLUSIVE}, 1000},
    {"evict", {.capacity = 64, .slow = AETHER_SLOW_EVICT}, 1000},
    {"unbiased", {.max_message = 100, .publishers = AETHER_PUBLISHERS_UNBIASED}, 3000},
    {"a type", {.capacity = 32, .type_name = "quote", .type_version = 3}, 1000},
    {"no latencies", {.max_message = 24, .latency = AETHER_LATENCY_OFF}, 3000},
};
#define SHAPES (sizeof shapes / sizeof shapes[0])

/* What happens to aetherd. */
enum event {
    NOTHING,
    KILLED,  /* killed and started again between the subscribers' opens and the publisher's */
    STOPPED, /* stopped cleanly instead */
    AWAY,    /* killed after the publisher's open; the subscribers take the shape while there is no aetherd */
    EVENTS
};

static const char *const event_names[EVENTS] = {"aetherd stays", "aetherd is killed and started again before it",
                                                "aetherd is stopped and started again before it",
                                                "aetherd is killed after it"};

/* Messages that are published at once, if they fit: less than the smallest ring. */
#define BURST 4u

static struct shared {
    char topic[64];
    const struct shape *shape;
    uint64_t max;       /* the topic's longest message, which may be longer than what was stated */
    uint64_t burst;     /* messages that were published at once, 0: not yet */
    uint64_t go;        /* 1: the others may be published */
    uint64_t published; /* 1: all are */
    uint64_t finish;    /* 1: the publisher may close */
    uint64_t reached;   /* for cases with other processes */
    uint64_t number;
} * shared;

static void reset(const struct shape *shape, const char *topic, bool floods) {
    memset(shared, 0, sizeof *shared);
    shared->shape = shape;
    snprintf(shared->topic, sizeof shared->topic, "%s", topic);
    shared->go = floods;
}

static void daemon_stop(void) {
    REQUIRE(kill(test.daemon, SIGTERM) == 0);
    REQUIRE(waitpid(test.daemon, NULL, 0) == test.daemon);
    test.daemon = 0;
}

/* ---- the publisher ---- */

/* False: there was no room in time. */
static bool publish_next(aether_publisher *pub, uint64_t timeout_ns) {
    static unsigned char *data;
    const size_t max = aether_publisher_max_message(pub);

    if (data == NULL)
        data = malloc(max);
    REQUIRE(data != NULL);
    const size_t len = payload_fill(data, aether_publisher_next(pub), max);
    const int rc = aether_publish_wait(pub, data, len, timeout_ns);
    REQUIRE(rc >= 0);
    return rc == 0;
}

static void publisher(unsigned arg) {
    aether_client *client = connect_patiently("publisher");
    aether_publisher *pub;
    uint64_t n = 0;

    (void)arg;
    REQUIRE(aether_publisher_open(client, shared->topic, &shared->shape->config, &pub) == 0);
    set(&shared->max, aether_publisher_max_message(pub));
    while (n < BURST && publish_next(pub, 0))
        n++;
    set(&shared->burst, n);
    AWAIT_PARENT(get(&shared->go) != 0);
    for (; n < shared->shape->messages; n++)
        REQUIRE(publish_next(pub, AETHER_FOREVER));
    set(&shared->published, 1);
    AWAIT_PARENT(get(&shared->finish) != 0);
    aether_publisher_close(pub);
    aether_disconnect(client);
}

/* ---- subscribers that come first ---- */

#define SUBSCRIBERS 9u

static struct {
    aether_client *client;
    struct test_subscriber subscribers[SUBSCRIBERS];
} first;

static const aether_subscribe_options *options_of(unsigned i) {
    static const aether_policy policies[] = {AETHER_BEST_EFFORT, AETHER_LATEST, AETHER_RELIABLE};
    static const aether_from froms[] = {AETHER_FROM_NEW, AETHER_FROM_OLDEST, AETHER_FROM_LAST};
    static aether_subscribe_options options;

    options = (aether_subscribe_options){.policy = policies[i / 3], .from = froms[i % 3]};
    options.last = options.from == AETHER_FROM_LAST ? 5 : 0;
    options.views = i % 2 != 0 ? AETHER_VIEWS_IN_PLACE : AETHER_VIEWS_COPY;
    return &options;
}

/* Of subscriber i, as what it must receive depends on its options and on the topic. */
static struct test_subscriber expectations(unsigned i, bool floods) {
    const aether_subscribe_options *options = options_of(i);
    const bool evicts = shared->shape->config.slow == AETHER_SLOW_EVICT;

    return (struct test_subscriber){
        .latest = options->policy == AETHER_LATEST,
        .in_place = options->views == AETHER_VIEWS_IN_PLACE,
        .gaps_allowed = floods && options->policy == AETHER_BEST_EFFORT,
        .evictable = floods && options->policy == AETHER_RELIABLE && evicts,
    };
}

static void open_first(bool floods) {
    aether_message message;

    first.client = connect_as("first");
    for (unsigned i = 0; i < SUBSCRIBERS; i++) {
        struct test_subscriber *subscriber = &first.subscribers[i];
        *subscriber = expectations(i, floods);
        REQUIRE(aether_subscriber_open(first.client, shared->topic, options_of(i), NULL, &subscriber->sub) == 0);
        REQUIRE(aether_subscriber_next(subscriber->sub) == 0);
        REQUIRE(aether_receive(subscriber->sub, &message) == 0);
        REQUIRE(aether_receive_wait(subscriber->sub, &message, 1000) == 0);
        REQUIRE(aether_subscriber_stream(subscriber->sub) == AETHER_STREAM_NONE);
    }
}

static bool has_reached(const struct test_subscriber *subscriber, uint64_t seq) {
    return subscriber->expected >= seq;
}

/* All receive up to `seq`. */
static void receive_until(uint64_t seq, unsigned form) {
    struct patience patience = patience_with(all_steps());
    unsigned behind;

    do {
        const bool over = patience_over(&patience, all_steps());
        behind = 0;
        for (unsigned i = 0; i < SUBSCRIBERS; i++) {
            if ((i + form) % 4 == 3)
                (void)aether_wait(first.subscribers[i].sub, 0);
            (void)receive_some(&first.subscribers[i], i + form);
            behind += !has_reached(&first.subscribers[i], seq);
        }
        if (behind != 0 && over)
            fail("%u of %u subscribers don't get to sequence %llu", behind, SUBSCRIBERS, (unsigned long long)seq);
        if (behind != 0)
            (void)sched_yield();
    } while (behind != 0);
}

static void close_first(void) {
    aether_subscriber_stats stats;

    for (unsigned i = 0; i < SUBSCRIBERS; i++) {
        AWAIT(aether_subscriber_stream(first.subscribers[i].sub) == AETHER_STREAM_CLOSED);
        check_conserved(&first.subscribers[i]);
        aether_subscriber_get_stats(first.subscribers[i].sub, &stats);
        REQUIRE(stats.joined == 0 && stats.next == shared->shape->messages);
        aether_subscriber_close(first.subscribers[i].sub);
    }
}

static void play(const struct shape *shape, enum event event, bool floods) {
    char topic[64];
    pid_t pid;

    snprintf(topic, sizeof topic, "start/%s/%d", floods ? "flood" : "calm", (int)event);
    reset(shape, topic, floods);
    open_first(floods);
    if (event == KILLED)
        daemon_kill();
    if (event == STOPPED)
        daemon_stop();
    if (event == KILLED || event == STOPPED)
        daemon_start();
    pid = spawn(publisher, 0);
    AWAIT(get(&shared->burst) != 0);
    for (unsigned i = 0; i < SUBSCRIBERS; i++)
        first.subscribers[i].max_message = get(&shared->max);
    if (event == AWAY)
        daemon_kill();
    if (!floods) {
        receive_until(get(&shared->burst), (unsigned)event);
        for (unsigned i = 0; i < SUBSCRIBERS; i++) {
            REQUIRE(first.subscribers[i].lost == 0);
            first.subscribers[i].gaps_allowed = !floods && options_of(i)->policy == AETHER_BEST_EFFORT;
            first.subscribers[i].evictable =
                options_of(i)->policy == AETHER_RELIABLE && shape->config.slow == AETHER_SLOW_EVICT;
        }
        set(&shared->go, 1);
    }
    receive_until(shape->messages, (unsigned)event + 1);
    AWAIT(get(&shared->published) != 0);
    if (event == AWAY)
        daemon_start();
    set(&shared->finish, 1);
    join_child(pid);
    close_first();
    REQUIRE(aether_topic_remove(first.client, topic) == 0);
    aether_disconnect(first.client);
}

static void matrix(void) {
    for (unsigned event = 0; event < EVENTS; event++) {
        for (unsigned i = 0; i < SHAPES; i++) {
            play(&shapes[i], (enum event)event, false);
            play(&shapes[i], (enum event)event, true);
        }
        ok("every policy and start, the publisher states one thing after the other; %s", event_names[event]);
    }
}

/* ---- without polling ---- */

enum style { WAIT, RECEIVE_WAIT, IDLE, WAITSET, WAITSET_FD, NOTIFIER, STYLES };

#define QUIET_NS 1000000000ull
#define SWITCHES_MAX 20 /* of a sleeper in this time; four are bounded sleeps, the others are for what began before */

/* Blocks until the subscriber may have something, or for at most 100 ms. */
static void block(enum style style, struct test_subscriber *subscriber) {
    static aether_waitset *set;
    static aether_notifier *notifier;
    static aether_idle_state idle;
    struct pollfd entry = {.events = POLLIN};
    aether_ready ready;
    const uint64_t ns = 100000000;

    switch (style) {
    case WAIT:
    case RECEIVE_WAIT:
        (void)aether_wait(subscriber->sub, ns);
        break;
    case IDLE:
        if (idle.watched == NULL) {
            aether_idle_init(&idle, AETHER_IDLE_ADAPTIVE, 0);
            aether_idle_watch(&idle, subscriber->sub);
        }
        aether_idle(&idle, 0);
        break;
    case WAITSET:
    case WAITSET_FD:
        if (set == NULL)
            REQUIRE(aether_waitset_open(&set) == 0 && aether_waitset_add(set, subscriber->sub, subscriber) == 0);
        entry.fd = style == WAITSET_FD ? aether_waitset_fd(set) : -1;
        if (style == WAITSET_FD)
            (void)poll(&entry, 1, 100);
        (void)aether_waitset_next(set, &ready, style == WAITSET ? ns : 0);
        break;
    default:
        if (notifier == NULL)
            REQUIRE(aether_notifier_open(subscriber->sub, &notifier) == 0);
        entry.fd = aether_notifier_fd(notifier);
        (void)poll(&entry, 1, 100);
        aether_notifier_arm(notifier);
        break;
    }
}

static long switches(void) {
    struct rusage usage;

    REQUIRE(getrusage(RUSAGE_SELF, &usage) == 0);
    return usage.ru_nvcsw;
}

/* arg: style, policy. Sleeps until the publisher comes, then receives all. */
static void sleeper(unsigned arg) {
    const enum style style = (enum style)(arg / SUBSCRIBERS);
    aether_client *client = connect_as("sleeper");
    struct test_subscriber subscriber = expectations(arg % SUBSCRIBERS, true);
    aether_message message;
    uint64_t begin;
    long before;

    REQUIRE(aether_subscriber_open(client, shared->topic, options_of(arg % SUBSCRIBERS), NULL, &subscriber.sub) == 0);
    for (int i = 0; i < 1101; i++) /* the idle strategy has spun and yielded then */
        (void)(style == IDLE ? block(style, &subscriber) : (void)0);
    block(style, &subscriber);
    before = switches();
    begin = now_ns();
    while (now_ns() - begin < QUIET_NS) {
        if (style == RECEIVE_WAIT)
            REQUIRE(aether_receive_wait(subscriber.sub, &message, QUIET_NS / 4) == 0);
        else
            block(style, &subscriber);
    }
    before = switches() - before;
    if (before > 2 * SWITCHES_MAX)
        fail("style %d, options %u: %ld context switches in a second", (int)style, arg % SUBSCRIBERS, before);
    add(&shared->reached, 1);
    while (!has_reached(&subscriber, shared->shape->messages)) {
        subscriber.max_message = get(&shared->max);
        if (subscriber.max_message == 0 || receive_some(&subscriber, arg) == 0)
            block(style, &subscriber);
    }
    check_conserved(&subscriber);
    add(&shared->number, 1);
    AWAIT_PARENT(get(&shared->finish) != 0);
    _exit(0); /* without a close: aetherd sees to it */
}

/* Subscribers of all policies sleep in every way, over a restart of aetherd, and wake when the publisher comes. */
static void sleepers(void) {
    static const struct shape shape = {"100 messages", {.capacity = 256}, 100};
    pid_t pids[STYLES * 3], pub;
    unsigned count = 0;

    reset(&shape, "start/sleep", true);
    for (unsigned style = 0; style < STYLES; style++) {
        for (unsigned i = 0; i < SUBSCRIBERS; i += 4) /* one of each policy */
            pids[count++] = spawn(sleeper, style * SUBSCRIBERS + i);
    }
    AWAIT_PROGRESS(get(&shared->reached), get(&shared->reached) == count);
    daemon_kill();
    daemon_start();
    pub = spawn(publisher, 0);
    AWAIT_PROGRESS(all_steps(), get(&shared->number) == count);
    set(&shared->finish, 1);
    for (unsigned i = 0; i < count; i++)
        join_child(pids[i]);
    join_child(pub);
    ok("waiting costs at most a few wake-ups a second, in every way to wait, and ends with the publisher");
}

/* ---- thousands ---- */

#define MANY 3000u
#define A_TOPIC 50u /* subscribers; at most 64 reliable ones */
#define DESCRIPTORS 1024u

static const char *many_topic(unsigned i) {
    static char name[32];

    snprintf(name, sizeof name, "start/many/%u", i);
    return name;
}

static unsigned open_descriptors(void) {
    DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;

    REQUIRE(dir != NULL);
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n;
}

static void many_subscribers(unsigned arg) {
    static aether_subscriber *subs[MANY];
    const struct rlimit limit = {DESCRIPTORS, DESCRIPTORS};
    aether_client *client = connect_as("many");
    aether_message message;

    (void)arg;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    const unsigned before = open_descriptors();
    for (unsigned i = 0; i < MANY; i++)
        REQUIRE(aether_subscriber_open(client, many_topic(i / A_TOPIC), NULL, NULL, &subs[i]) == 0);
    REQUIRE(open_descriptors() == before);
    set(&shared->reached, 1);
    for (unsigned i = 0; i < MANY; i++) {
        for (uint64_t seq = 0; seq < 3; seq++)
            REQUIRE(aether_receive_wait(subs[i], &message, DEADLINE_S * 1000000000ull) == 1 && message.seq == seq);
    }
    REQUIRE(open_descriptors() == before);
    aether_disconnect(client);
}

static void many(void) {
    static const aether_topic_config config = {.max_message = 24, .capacity = 8};
    aether_client *client = connect_as("publishers");
    aether_publisher *pub;
    pid_t pid;

    reset(&shapes[0], "", false);
    pid = spawn(many_subscribers, 0);
    AWAIT(get(&shared->reached) != 0);
    for (unsigned i = 0; i < MANY / A_TOPIC; i++) {
        REQUIRE(aether_publisher_open(client, many_topic(i), &config, &pub) == 0);
        for (int n = 0; n < 3; n++)
            REQUIRE(aether_publish(pub, "message", 7) == 0);
    }
    join_child(pid);
    aether_disconnect(client);
    ok("%u subscribers wait in a process that may open %u files", MANY, DESCRIPTORS);
}

/* ---- what stays ---- */

/* The number of objects of this test's aetherd in /dev/shm whose names begin so. */
static unsigned objects_of(const char *kind) {
    char path[64], line[512], prefix[64] = "";
    struct dirent *entry;
    unsigned n = 0;
    FILE *maps;
    DIR *dir;

    snprintf(path, sizeof path, "/proc/%d/maps", (int)test.daemon);
    maps = fopen(path, "re");
    REQUIRE(maps != NULL);
    while (prefix[0] == '\0' && fgets(line, sizeof line, maps) != NULL) {
        const char *name = strstr(line, "/dev/shm/"), *end = name != NULL ? strstr(name, "registry") : NULL;
        if (end != NULL)
            snprintf(prefix, sizeof prefix, "%.*s", (int)(end - name - 9), name + 9);
    }
    fclose(maps);
    REQUIRE(prefix[0] != '\0');
    dir = opendir("/dev/shm");
    REQUIRE(dir != NULL);
    while ((entry = readdir(dir)) != NULL)
        n += strncmp(entry->d_name, prefix, strlen(prefix)) == 0 &&
             strncmp(entry->d_name + strlen(prefix), kind, strlen(kind)) == 0;
    closedir(dir);
    return n;
}

static unsigned objects(void) {
    return objects_of("");
}

static unsigned topics(void) {
    aether_inspector *inspector;
    aether_topic_info info;
    uint32_t cursor = 0;
    unsigned n = 0;

    REQUIRE(aether_inspect_open(&inspector, test.socket) == 0);
    while (aether_inspect_topic(inspector, &cursor, &info) == 1)
        n++;
    aether_inspect_close(inspector);
    return n;
}

/*
 * Waits until aetherd has freed all that ended clients had, which it does bit by bit: one client is left. Its
 * statistics are the last object of a client that is removed.
 */
static void await_alone(void) {
    AWAIT(objects_of("stats-") == 1);
}

static void typo_leaves_nothing(void) {
    aether_client *client = connect_as("typist");
    aether_subscriber *subs[3];
    aether_publisher *pub;

    await_alone();
    REQUIRE(aether_publisher_open(client, "market/eur", NULL, &pub) == 0);
    const unsigned objects_before = objects(), topics_before = topics();
    for (unsigned i = 0; i < 3; i++)
        REQUIRE(aether_subscriber_open(client, "market/euro", options_of(3 * i), NULL, &subs[i]) == 0);
    REQUIRE(topics() == topics_before);
    REQUIRE(aether_topic_remove(client, "market/euro") == -ENOENT);
    for (unsigned i = 0; i < 3; i++)
        aether_subscriber_close(subs[i]);
    REQUIRE(objects() == objects_before && topics() == topics_before);
    REQUIRE(aether_subscriber_open(client, "market/euro", options_of(0), NULL, &subs[0]) == 0);
    daemon_kill();
    daemon_start();
    aether_subscriber_close(subs[0]);
    REQUIRE(objects() == objects_before && topics() == topics_before);
    aether_publisher_close(pub);
    REQUIRE(aether_topic_remove(client, "market/eur") == 0);
    aether_disconnect(client);
    ok("a subscriber of a topic that nobody publishes leaves nothing behind");
}

static void waits_and_is_killed(unsigned arg) {
    aether_client *client = connect_as("victim");
    aether_subscriber *sub;

    (void)arg;
    REQUIRE(aether_subscriber_open(client, shared->topic, NULL, NULL, &sub) == 0);
    set(&shared->reached, 1);
    for (;;)
        pause();
}

static void killed_while_waiting(void) {
    static const aether_topic_config config = {.capacity = 8};
    aether_client *client = connect_as("survivor");
    aether_publisher *pub;

    for (unsigned before = 0; before < 2; before++) { /* killed before the publisher comes, or after it */
        pid_t pid;
        reset(&shapes[0], "start/victim", false);
        pid = spawn(waits_and_is_killed, 0);
        AWAIT(get(&shared->reached) != 0);
        if (before != 0)
            kill_child(pid);
        REQUIRE(aether_publisher_open(client, shared->topic, &config, &pub) == 0);
        if (before == 0) {
            for (int n = 0; n < 8; n++)
                REQUIRE(aether_publish(pub, "message", 7) == 0);
            REQUIRE(aether_publish(pub, "message", 7) == AETHER_FULL);
            kill_child(pid);
        }
        for (int n = 0; n < 32; n++)
            REQUIRE(aether_publish_wait(pub, "message", 7, DEADLINE_S * 1000000000ull) == 0);
        aether_publisher_close(pub);
        REQUIRE(aether_topic_remove(client, shared->topic) == 0);
    }
    aether_disconnect(client);
    ok("a reliable subscriber that waits holds publishers up until it dies");
}

/* ---- only if it exists, and until it exists ---- */

static void only_existing(void) {
    static const aether_topic_config existing = {.open = AETHER_OPEN_EXISTING}, wrong = {.open = (aether_open)2};
    aether_client *client = connect_as("careful");
    aether_subscriber *sub, *waiting;
    aether_publisher *pub;
    aether_message message;

    for (unsigned turn = 0; turn < 2; turn++) { /* the second time a subscriber waits for the topic */
        REQUIRE(aether_publisher_open(client, "plant/line1", &existing, &pub) == -ENOENT);
        for (unsigned i = 0; i < SUBSCRIBERS; i += 3)
            REQUIRE(aether_subscriber_open(client, "plant/line1", options_of(i), &existing, &sub) == -ENOENT);
        if (turn == 0)
            REQUIRE(aether_subscriber_open(client, "plant/line1", NULL, NULL, &waiting) == 0);
    }
    REQUIRE(aether_topic_create(client, "plant/line1", &existing) == -EINVAL);
    REQUIRE(aether_subscriber_open(client, "plant/line1", NULL, &wrong, &sub) == -EINVAL);
    REQUIRE(aether_topic_create(client, "plant/line1", NULL) == 0);
    REQUIRE(aether_subscriber_open(client, "plant/line1", NULL, &existing, &sub) == 0);
    REQUIRE(aether_publisher_open(client, "plant/line1", &existing, &pub) == 0);
    REQUIRE(aether_publish(pub, "message", 7) == 0);
    REQUIRE(aether_receive_wait(sub, &message, DEADLINE_S * 1000000000ull) == 1 && message.seq == 0);
    REQUIRE(aether_receive_wait(waiting, &message, DEADLINE_S * 1000000000ull) == 1 && message.seq == 0);
    REQUIRE(aether_subscriber_open(client, "plant/line2", NULL, &existing, &sub) == -ENOENT);
    if (strstr(aether_errmsg(), "plant/line1") == NULL)
        fail("the text names no topic of a similar name: %s", aether_errmsg());
    aether_disconnect(client);
    ok("AETHER_OPEN_EXISTING makes no topic, and names one of a similar name");
}

static void awaits(unsigned arg) {
    aether_client *client = connect_as("patient");

    (void)arg;
    set(&shared->reached, 1);
    REQUIRE(aether_topic_wait(client, shared->topic, AETHER_FOREVER) == 1);
    REQUIRE(aether_topic_wait(client, shared->topic, 0) == 1);
    set(&shared->number, 1);
    aether_disconnect(client);
}

static void nothing(int signal) {
    (void)signal;
}

static void interrupted(unsigned arg) {
    const struct sigaction action = {.sa_handler = nothing};
    const struct itimerval soon = {.it_value = {.tv_usec = 50000}, .it_interval = {.tv_usec = 50000}};
    aether_client *client = connect_as("interrupted");

    (void)arg;
    REQUIRE(sigaction(SIGALRM, &action, NULL) == 0);
    REQUIRE(setitimer(ITIMER_REAL, &soon, NULL) == 0);
    REQUIRE(aether_topic_wait(client, "start/never", AETHER_FOREVER) == 0);
}

static void until_it_exists(void) {
    aether_client *client = connect_as("maker");
    aether_publisher *pub = NULL;

    await_alone();
    const unsigned objects_before = objects();
    REQUIRE(aether_topic_wait(client, "start/never", 0) == 0);
    REQUIRE(aether_topic_wait(client, "start/never", 1000000) == 0);
    REQUIRE(aether_topic_wait(client, "start//never", 0) == -EINVAL);
    REQUIRE(objects() == objects_before);
    join_child(spawn(interrupted, 0));
    for (unsigned turn = 0; turn < 4; turn++) { /* made by a request or a publisher; with a restart in between */
        pid_t pid;
        reset(&shapes[0], "start/await", false);
        pid = spawn(awaits, 0);
        AWAIT(get(&shared->reached) != 0);
        while (aether_topic_remove(client, shared->topic) != -ENOENT || strstr(aether_errmsg(), "wait") == NULL)
            poll_pause(); /* until aetherd has the wait */
        if (turn % 2 != 0) {
            daemon_kill();
            daemon_start();
        }
        REQUIRE(get(&shared->number) == 0);
        REQUIRE((turn < 2 ? aether_topic_create(client, shared->topic, NULL)
                          : aether_publisher_open(client, shared->topic, NULL, &pub)) == 0);
        join_child(pid);
        REQUIRE(get(&shared->number) == 1);
        aether_publisher_close(turn < 2 ? NULL : pub);
        REQUIRE(aether_topic_remove(client, shared->topic) == 0);
    }
    aether_disconnect(client);
    ok("aether_topic_wait() ends when a request or a publisher makes the topic, and not before");
}

/* ---- where the log can't be mapped again ---- */

static void forbid_mremap(void) {
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mremap, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog filter = {sizeof program / sizeof program[0], program};

    REQUIRE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    REQUIRE(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0);
}

/* shared->number: 1 the publisher is there and aetherd isn't, 2 aetherd is there again. */
static void without_mremap(unsigned arg) {
    aether_client *client = connect_as("sandbox");
    aether_subscriber *sub;
    aether_message message;

    (void)arg;
    forbid_mremap();
    REQUIRE(aether_subscriber_open(client, shared->topic, NULL, NULL, &sub) == 0);
    set(&shared->reached, 1);
    AWAIT_PARENT(get(&shared->number) == 1);
    REQUIRE(no_daemon(aether_receive(sub, &message)));
    REQUIRE(no_daemon(aether_receive(sub, &message)));
    set(&shared->reached, 2);
    AWAIT_PARENT(get(&shared->number) == 2);
    for (uint64_t seq = 0; seq < BURST; seq++)
        REQUIRE(aether_receive_wait(sub, &message, DEADLINE_S * 1000000000ull) == 1 && message.seq == seq &&
                payload_right(&message, AETHER_MAX_MESSAGE_DEFAULT));
    aether_disconnect(client);
}

static void daemon_maps_for_it(void) {
    pid_t pid, pub;

    reset(&shapes[0], "start/sandbox", false);
    pid = spawn(without_mremap, 0);
    AWAIT(get(&shared->reached) == 1);
    pub = spawn(publisher, 0);
    AWAIT(get(&shared->burst) != 0);
    daemon_kill();
    set(&shared->number, 1);
    AWAIT(get(&shared->reached) == 2);
    daemon_start();
    set(&shared->number, 2);
    join_child(pid);
    set(&shared->go, 1);
    set(&shared->finish, 1);
    join_child(pub);
    ok("where a mapping can't be mapped again, aetherd is asked for the log");
}

/* shared->number: 1 the publisher is there. */
static void without_memory(unsigned arg) {
    aether_client *client = connect_as("poor");
    struct rlimit limit = {0, RLIM_INFINITY};
    aether_subscriber *sub;
    aether_message message;

    (void)arg;
    REQUIRE(aether_subscriber_open(client, shared->topic, NULL, NULL, &sub) == 0);
    set(&shared->reached, 1);
    AWAIT_PARENT(get(&shared->number) == 1);
    REQUIRE(getrlimit(RLIMIT_AS, &limit) == 0);
    limit.rlim_cur = 4096;
    REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0);
    const int rc = aether_receive(sub, &message), again = aether_receive_wait(sub, &message, 1000000);
    limit.rlim_cur = limit.rlim_max;
    REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0);
    REQUIRE(rc == -ENOMEM && again == -ENOMEM);
    for (uint64_t seq = 0; seq < BURST; seq++)
        REQUIRE(aether_receive_wait(sub, &message, DEADLINE_S * 1000000000ull) == 1 && message.seq == seq);
    aether_disconnect(client);
}

static void memory_may_be_short(void) {
    pid_t pid, pub;

    if (SANITIZED != 0) {
        ok("a lack of memory leaves it waiting # SKIP a sanitizer can't do without memory");
        return;
    }
    reset(&shapes[0], "start/poor", false);
    pid = spawn(without_memory, 0);
    AWAIT(get(&shared->reached) == 1);
    pub = spawn(publisher, 0);
    AWAIT(get(&shared->burst) != 0);
    set(&shared->number, 1);
    join_child(pid);
    set(&shared->go, 1);
    set(&shared->finish, 1);
    join_child(pub);
    ok("a lack of memory leaves it waiting");
}

int main(void) {
    shared = share(sizeof *shared);
    test_begin(EVENTS + 8);
    matrix();
    sleepers();
    many();
    typo_leaves_nothing();
    killed_while_waiting();
    only_existing();
    until_it_exists();
    daemon_maps_for_it();
    memory_may_be_short();
    return 0;
}
