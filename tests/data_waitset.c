/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waitsets with real processes: a hunt for lost wake-ups on several topics while publishers, subscribers and aetherd
 * are killed; members that come and go while messages arrive; what a thousand idle subscribers cost; and the order of
 * closing.
 *
 * In the hunt a publisher publishes at the moment when a subscriber falls asleep; lib/lateness.h says when a wake-up
 * was lost.
 *
 * AETHER_TEST_CYCLES sleeps, or as many as fit in AETHER_TEST_SECONDS; AETHER_TEST_SEED.
 */
#include "lib/lateness.h"
#include "lib/traffic.h"
#include <dirent.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define TOPICS 6u
#define SUBSCRIBERS 4u /* blocking, epoll; and both without futex_waitv */
#define PUBLISHERS 3u
#define CAPACITY 64u
#define STAMPS 4096u
#define HUNT_NS 65536u /* a publisher waits up to so long once a subscriber says that it goes to sleep */
#define MANY (SANITIZED ? 300u : 1000u)
#define SLEEPS_MIN 100u /* of each subscriber */
#define ROUNDS (SANITIZED ? 1000u : 5000u)
#define NAMED_MIN 100u
#define IDLE_S 3u
#define IDLE_SLEEPS_MAX 2000u /* a second: naps have grown to a millisecond or more */
#define IDLE_PPM_MAX 500000u  /* far above every machine, far below a thread that spins */

/* When the publish of a sequence had returned. */
struct stamp {
    uint64_t ns, end; /* end: sequence + 1, stored last. A publisher that is killed leaves an older sequence's stamp */
};

static struct stage {
    uint64_t stop, ready;
    struct stamp sent[TOPICS][STAMPS];
    uint64_t end[TOPICS]; /* one more than the last sequence, once nobody publishes any more */
    uint64_t published;   /* messages */
    struct {
        uint64_t joined, alive, sleeps, late, excused;
        uint64_t asleep; /* `published` when it had received everything and was about to sleep */
    } subscribers[SUBSCRIBERS];
    struct {
        uint64_t opened, alive;
    } publishers[PUBLISHERS];
} * stage;

static uint64_t seed;

static const aether_topic_config config = {.max_message = 16, .capacity = CAPACITY};

static const char *topic_name(const char *prefix, unsigned i) {
    static char name[64];

    snprintf(name, sizeof name, "%s/%u", prefix, i);
    return name;
}

/* As a kernel before 5.16, or a sandbox that doesn't know the call. */
static void forbid_futex_waitv(void) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 449, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};

    REQUIRE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    REQUIRE(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
    REQUIRE(syscall(449, NULL, 0, 0, NULL, 0) == -1 && errno == ENOSYS);
}

static unsigned threads(void) {
    DIR *dir = opendir("/proc/self/task");
    unsigned n = 0;

    REQUIRE(dir != NULL);
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n - 2;
}

static int epoll_of(aether_waitset *members) {
    struct epoll_event event = {.events = EPOLLIN};
    const int epoll = epoll_create1(EPOLL_CLOEXEC), fd = aether_waitset_fd(members);

    REQUIRE(epoll >= 0 && fd >= 0);
    REQUIRE(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
    return epoll;
}

static bool is_readable(int epoll, int timeout_ms) {
    struct epoll_event event;
    const int n = epoll_wait(epoll, &event, 1, timeout_ms);

    REQUIRE(n >= 0);
    return n == 1;
}

/* ---- the hunt: subscribers ---- */

struct subscriber {
    unsigned me;
    aether_client *client;
    aether_waitset *set;
    struct test_subscriber subscribers[TOPICS]; /* their counts only */
    int epoll;                                  /* -1: it blocks */
    struct nap nap;
    bool slept; /* and has received nothing since */
    long switches;
};

static void take(struct subscriber *s, unsigned topic, const aether_message *message) {
    static const uint64_t never = 0;
    struct test_subscriber *subscriber = &s->subscribers[topic];
    const struct stamp *sent = &stage->sent[topic][message->seq % STAMPS];
    /* Until aetherd has aborted what a killed publisher had claimed before this message, it can't be received. */
    const bool repaired = message->seq != subscriber->expected;
    const bool returned = get(&sent->end) == message->seq + 1;

    pass_aborted(subscriber, message->seq); /* of a publisher that was killed in a publish */
    REQUIRE(message->seq == subscriber->expected && message->lost == 0 && message->len == 8);
    if (s->slept)
        nap_judge(&s->nap, *(const uint64_t *)message->data, returned && !repaired ? &sent->ns : &never,
                  threads_held_up_ns, "subscriber", s->me, &stage->subscribers[s->me].late,
                  &stage->subscribers[s->me].excused);
    s->slept = false;
    subscriber->expected++;
    subscriber->delivered++;
    made_step();
}

/* Handles what the set names until it says that there is no more, or the time is over. */
static void handle_all(struct subscriber *s, uint64_t timeout_ns) {
    aether_message message;
    aether_ready ready;
    int rc;

    while ((rc = aether_waitset_next(s->set, &ready, timeout_ns)) > 0) {
        const unsigned topic = (unsigned)((struct test_subscriber *)ready.context - s->subscribers);
        REQUIRE(topic < TOPICS && ready.subscriber == s->subscribers[topic].sub);
        while ((rc = aether_receive(ready.subscriber, &message)) > 0)
            take(s, topic, &message);
        REQUIRE(rc == 0);
        pass_aborted(&s->subscribers[topic], aether_subscriber_next(ready.subscriber));
        timeout_ns = 0;
    }
    REQUIRE(rc == 0);
}

/* A sleep is a switch to another process that this thread asked for. */
static void count_sleeps(struct subscriber *s) {
    struct rusage usage;

    REQUIRE(getrusage(RUSAGE_SELF, &usage) == 0);
    add(&stage->subscribers[s->me].sleeps, (uint64_t)(usage.ru_nvcsw - s->switches));
    s->switches = usage.ru_nvcsw;
}

static void start_subscriber(struct subscriber *s) {
    s->client = connect_as("subscriber");
    REQUIRE(aether_waitset_open(&s->set) == 0);
    for (unsigned i = 0; i < TOPICS; i++) {
        struct test_subscriber *subscriber = &s->subscribers[i];
        int rc;
        /* aetherd may just be dead. */
        AWAIT((rc = aether_subscriber_open(s->client, topic_name("hunt", i), NULL, &config, &subscriber->sub)) == 0);
        subscriber->expected = aether_subscriber_next(subscriber->sub);
        subscriber->aborts_allowed = true;
        REQUIRE(aether_waitset_add(s->set, subscriber->sub, subscriber) == 0);
    }
    s->epoll = s->me % 2 != 0 ? epoll_of(s->set) : -1;
}

static bool has_ended(const struct subscriber *s) {
    for (unsigned i = 0; i < TOPICS; i++) {
        if (s->subscribers[i].expected != get(&stage->end[i]))
            return false;
    }
    return true;
}

static void subscribe(unsigned me) {
    struct subscriber s = {.me = me};
    uint64_t n = 0;

    if (me >= 2)
        forbid_futex_waitv();
    start_subscriber(&s);
    handle_all(&s, 0);
    set(&stage->subscribers[me].alive, 1);
    add(&stage->subscribers[me].joined, 1);
    while (!get(&stage->stop) || !has_ended(&s)) {
        if (++n % 8 == 0)
            count_sleeps(&s);
        s.nap = nap_begin(threads_held_up_ns());
        s.slept = true;
        const uint64_t published = get(&stage->published);
        if (s.epoll >= 0) {
            set(&stage->subscribers[me].asleep, published);
            (void)is_readable(s.epoll, 1000);
            handle_all(&s, 0);
        } else {
            set(&stage->subscribers[me].asleep, published);
            handle_all(&s, 1000000000);
        }
    }
    REQUIRE(threads() == (s.epoll >= 0 ? 2 : 1) || SANITIZED);
    count_sleeps(&s);
    if (me % 2 == 0)
        aether_waitset_close(s.set);
    aether_disconnect(s.client);
    if (me % 2 != 0)
        aether_waitset_close(s.set);
}

/* ---- the hunt: publishers ---- */

/*
 * Waits until a victim, or every subscriber, has received everything and says that it goes to sleep; then a random
 * moment longer, without sleep. Another message on this topic would heal a lost wake-up, so the patience is longer than
 * the bounded sleep.
 */
static void lie_in_wait(uint64_t random, uint64_t published) {
    const uint64_t span = 1 + (HUNT_NS >> (random >> 8) % 12), patience = now_ns() + 2 * LATE_NS;
    const unsigned victim = (unsigned)(random % (2 * SUBSCRIBERS)); /* or all */

    for (unsigned i = 0; i < SUBSCRIBERS; i++) {
        if (victim < SUBSCRIBERS && i != victim)
            continue;
        while (get(&stage->subscribers[i].alive) && get(&stage->subscribers[i].asleep) < published &&
               now_ns() < patience)
            sched_yield();
    }
    const uint64_t until = now_ns() + (random >> 16) % span;
    while (now_ns() < until)
        ;
}

static void publish(unsigned me) {
    aether_client *client = connect_as("publisher");
    aether_publisher *pubs[TOPICS];
    uint64_t random = seed + me + now_ns();

    for (unsigned i = 0; i < TOPICS; i++)
        AWAIT(aether_publisher_open(client, topic_name("hunt", i), &config, &pubs[i]) == 0);
    add(&stage->publishers[me].opened, 1);
    while (!get(&stage->stop)) {
        const uint64_t r = next_random(&random), now = now_ns();
        const unsigned i = (unsigned)(r >> 40) % TOPICS;
        const int rc = aether_publish(pubs[i], &now, sizeof now);

        REQUIRE(rc >= 0);
        if (rc == AETHER_FULL) {
            sched_yield();
            continue;
        }
        const uint64_t end = aether_publisher_next(pubs[i]);
        struct stamp *sent = &stage->sent[i][(end - 1) % STAMPS];
        set(&sent->ns, now_ns());
        set(&sent->end, end);
        made_step();
        lie_in_wait(r, __atomic_add_fetch(&stage->published, 1, __ATOMIC_ACQ_REL));
    }
    aether_disconnect(client);
}

/* ---- the hunt ---- */

static uint64_t sum_of(const uint64_t *first) {
    uint64_t all = 0;

    for (unsigned i = 0; i < SUBSCRIBERS; i++)
        all += get((const uint64_t *)(const void *)((const char *)first + i * sizeof stage->subscribers[0]));
    return all;
}

#define SLEEPS sum_of(&stage->subscribers[0].sleeps)
#define LATE sum_of(&stage->subscribers[0].late)

static pid_t start(void (*play)(unsigned), unsigned arg, const uint64_t *word) {
    const uint64_t before = get(word);
    const pid_t pid = spawn(play, arg);

    AWAIT_PROGRESS(steps_of(pid), get(word) == before + 1);
    return pid;
}

/* Where each topic ends, once its publishers have closed. */
static void note_ends(void) {
    aether_inspector *inspector;
    aether_topic_info info;

    REQUIRE(aether_inspect_open(&inspector, test.socket) == 0);
    for (unsigned i = 0; i < TOPICS; i++) {
        REQUIRE(aether_inspect_find(inspector, topic_name("hunt", i), &info) == 1);
        set(&stage->end[i], info.next_seq);
    }
    aether_inspect_close(inspector);
}

/*
 * Is it enough? After `cycles` sleeps, or when the time is over; but not before each way to sleep was in use, however
 * long that takes.
 */
static bool is_enough(uint64_t cycles, uint64_t stop_at) {
    if (LATE != 0)
        return true;
    for (unsigned i = 0; i < SUBSCRIBERS; i++) {
        if (get(&stage->subscribers[i].sleeps) <= SLEEPS_MIN)
            return false;
    }
    return SLEEPS >= cycles || now_ms() >= stop_at;
}

static void hunt_lost_wakeups(uint64_t cycles, uint64_t seconds) {
    const uint64_t stop_at = now_ms() + seconds * 1000;
    pid_t subscribers[SUBSCRIBERS], publishers[PUBLISHERS], watch;
    uint64_t excused = 0, kills = 0;

    for (unsigned i = 0; i < TOPICS; i++)
        set(&stage->end[i], UINT64_MAX);
    watch = start(watch_machine, 0, &machine->ticks);
    for (unsigned i = 0; i < SUBSCRIBERS; i++)
        subscribers[i] = start(subscribe, i, &stage->subscribers[i].joined);
    for (unsigned i = 0; i < PUBLISHERS; i++)
        publishers[i] = start(publish, i, &stage->publishers[i].opened);
    do {
        const uint64_t r = next_random(&seed), next = get(&stage->published) + 300 + r % 1000;
        const unsigned victim = (unsigned)(r >> 32) % (SUBSCRIBERS + PUBLISHERS + 1);

        AWAIT_PROGRESS(get(&stage->published), get(&stage->published) >= next || is_enough(cycles, stop_at));
        kills++;
        if (victim < SUBSCRIBERS) {
            set(&stage->subscribers[victim].alive, 0);
            kill_child(subscribers[victim]);
            subscribers[victim] = start(subscribe, victim, &stage->subscribers[victim].joined);
        } else if (victim < SUBSCRIBERS + PUBLISHERS) {
            const unsigned i = victim - SUBSCRIBERS;
            kill_child(publishers[i]);
            publishers[i] = start(publish, i, &stage->publishers[i].opened);
        } else {
            daemon_kill();
            AWAIT_PROGRESS(get(&stage->published), get(&stage->published) >= next + 300 || is_enough(cycles, stop_at));
            daemon_start();
        }
    } while (!is_enough(cycles, stop_at));
    set(&stage->stop, 1);
    for (unsigned i = 0; i < PUBLISHERS; i++)
        join_child(publishers[i]);
    note_ends();
    for (unsigned i = 0; i < SUBSCRIBERS; i++) {
        join_child(subscribers[i]);
        excused += stage->subscribers[i].excused;
    }
    kill_child(watch);
    printf("# sleeps: blocking %llu, epoll %llu; without futex_waitv %llu, %llu\n",
           (unsigned long long)stage->subscribers[0].sleeps, (unsigned long long)stage->subscribers[1].sleeps,
           (unsigned long long)stage->subscribers[2].sleeps, (unsigned long long)stage->subscribers[3].sleeps);
    if (LATE != 0)
        fail("%llu wake-ups were lost", (unsigned long long)LATE);
    ok("%llu sleeps, %llu messages, %llu kills: no wake-up was lost (%llu late ones were the machine's)",
       (unsigned long long)SLEEPS, (unsigned long long)stage->published, (unsigned long long)kills,
       (unsigned long long)excused);
}

/* ---- members come and go while messages arrive ---- */

static void publish_everywhere(unsigned me) {
    aether_client *client = connect_as("publisher");
    aether_publisher *pubs[TOPICS];
    uint64_t random = me;

    for (unsigned i = 0; i < TOPICS; i++)
        REQUIRE(aether_publisher_open(client, topic_name("come", i), &config, &pubs[i]) == 0);
    add(&stage->ready, 1);
    while (!get(&stage->stop)) {
        const uint64_t r = next_random(&random);
        REQUIRE(aether_publish(pubs[r % TOPICS], &r, sizeof r) >= 0); /* or full: nobody may read it now */
        if ((r >> 32) % 8 == 0)
            poll_pause();
    }
    aether_disconnect(client);
}

/* Each subscriber gets what comes while it is open, in order and without a gap, in the set or out of it. */
static void drain(struct test_subscriber *subscriber) {
    aether_message message;
    int rc;

    while ((rc = aether_receive(subscriber->sub, &message)) > 0) {
        REQUIRE(message.seq == subscriber->expected++ && message.lost == 0);
        subscriber->delivered++;
    }
    REQUIRE(rc == 0);
}

/* Drains the next subscribers that the set names, which must be members; returns how many it named. */
static unsigned drain_named(aether_waitset *members, uint64_t timeout_ns, const struct test_subscriber *subscribers,
                            const bool *member, uint64_t *delivered) {
    aether_ready ready;
    unsigned named = 0;

    for (; named < 20 && aether_waitset_next(members, &ready, timeout_ns) > 0; named++) {
        struct test_subscriber *found = ready.context;
        REQUIRE(found->sub == ready.subscriber && member[found - subscribers]);
        *delivered -= found->delivered;
        drain(found);
        *delivered += found->delivered;
    }
    return named;
}

static void come_and_go(bool with_fd) {
    aether_client *client = connect_as("subscriber");
    struct test_subscriber subscribers[TOPICS] = {{0}};
    bool member[TOPICS] = {false};
    struct patience patience = patience_with(0);
    pid_t publishers[2];
    aether_waitset *members;
    aether_ready ready;
    uint64_t named = 0, delivered = 0;
    int epoll = -1;

    REQUIRE(aether_waitset_open(&members) == 0);
    if (with_fd)
        epoll = epoll_of(members);
    memset(stage, 0, sizeof *stage);
    for (unsigned i = 0; i < 2; i++)
        publishers[i] = start(publish_everywhere, i, &stage->ready);
    /* At least so many rounds; and as many as it takes until publishers have had the processor. */
    for (unsigned round = 0; round < ROUNDS || named <= NAMED_MIN || delivered <= NAMED_MIN; round++) {
        const uint64_t r = next_random(&seed);
        REQUIRE(!patience_over(&patience, named));
        const unsigned i = (unsigned)(r % TOPICS);
        struct test_subscriber *subscriber = &subscribers[i];
        switch (r >> 32 & 3) { /* in any state: nothing says what may be done when */
        case 0:
            if (subscriber->sub == NULL) {
                REQUIRE(aether_subscriber_open(client, topic_name("come", i), NULL, &config, &subscriber->sub) == 0);
                subscriber->expected = aether_subscriber_next(subscriber->sub);
            }
            if (!member[i])
                REQUIRE(aether_waitset_add(members, subscriber->sub, subscriber) == 0);
            member[i] = true;
            break;
        case 1:
            if (member[i])
                REQUIRE(aether_waitset_remove(members, subscriber->sub) == 0);
            if (subscriber->sub != NULL && !member[i])
                drain(subscriber);
            member[i] = false;
            break;
        case 2:
            if ((r >> 40 & 3) == 0) {
                aether_subscriber_close(subscriber->sub);
                subscriber->sub = NULL;
                member[i] = false;
            }
            break;
        default:
            if (with_fd)
                (void)is_readable(epoll, 1);
            named += drain_named(members, with_fd ? 0 : 1000000, subscribers, member, &delivered);
            break;
        }
    }
    set(&stage->stop, 1);
    for (unsigned i = 0; i < 2; i++)
        join_child(publishers[i]);
    aether_disconnect(client);
    if (with_fd)
        REQUIRE(!is_readable(epoll, 0) || aether_waitset_next(members, &ready, 0) == 0);
    aether_waitset_close(members);
    if (epoll >= 0)
        close(epoll);
    ok("members come, go and close while messages arrive, %s: %llu named, %llu messages",
       with_fd ? "epoll" : "blocking", (unsigned long long)named, (unsigned long long)delivered);
}

/* ---- a thousand subscribers ---- */

static struct many {
    aether_client *client;
    aether_waitset *set;
    aether_publisher *pubs[1000];
    aether_subscriber *subs[1000];
} many;

static void open_many(const char *prefix, aether_policy policy) {
    const aether_topic_config small = {.max_message = 8, .capacity = 8};
    const aether_subscribe_options options = {.policy = policy};

    many.client = connect_as("many");
    REQUIRE(aether_waitset_open(&many.set) == 0);
    for (unsigned i = 0; i < MANY; i++) {
        REQUIRE(aether_publisher_open(many.client, topic_name(prefix, i), &small, &many.pubs[i]) == 0);
        REQUIRE(aether_subscriber_open(many.client, topic_name(prefix, i), &options, NULL, &many.subs[i]) == 0);
        REQUIRE(aether_waitset_add(many.set, many.subs[i], &many.subs[i]) == 0);
    }
}

static void close_many(const char *prefix) {
    aether_waitset_close(many.set);
    for (unsigned i = 0; i < MANY; i++) {
        aether_publisher_close(many.pubs[i]);
        aether_subscriber_close(many.subs[i]);
        REQUIRE(aether_topic_remove(many.client, topic_name(prefix, i)) == 0);
    }
    aether_disconnect(many.client);
}

static uint64_t cpu_ns(void) {
    struct timespec t;

    REQUIRE(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* What it costs to wait while nothing happens. */
struct idle {
    uint64_t ppm;    /* of a core: the machine decides it, so it is only shown */
    uint64_t sleeps; /* a second, of all threads: the library decides it */
};

static uint64_t sleeps(void) {
    struct rusage usage;

    REQUIRE(getrusage(RUSAGE_SELF, &usage) == 0);
    return (uint64_t)usage.ru_nvcsw;
}

static struct idle measure_idle(int epoll) {
    const uint64_t start = now_ns();
    aether_ready ready;

    if (epoll >= 0)
        REQUIRE(!is_readable(epoll, 300)); /* naps have grown */
    else
        REQUIRE(aether_waitset_next(many.set, &ready, 300000000) == 0);
    const uint64_t before = cpu_ns(), slept = sleeps(), began = now_ns();
    if (epoll >= 0)
        REQUIRE(!is_readable(epoll, IDLE_S * 1000));
    else
        REQUIRE(aether_waitset_next(many.set, &ready, IDLE_S * 1000000000ull) == 0);
    const uint64_t spent = cpu_ns() - before, took = now_ns() - began;
    REQUIRE(now_ns() - start >= 3 * 1000000000ull);
    return (struct idle){.ppm = spent * 1000 / (took / 1000), .sleeps = (sleeps() - slept) * 1000 / (took / 1000000)};
}

/* A message on any of them arrives, be it among those that are slept on or not; returns the longest time it took. */
static uint64_t reach_many(int epoll) {
    uint64_t worst = 0, random = seed;
    aether_ready ready;
    aether_message message;

    for (unsigned n = 0; n < 200; n++) {
        const unsigned i = (unsigned)(next_random(&random) % MANY);
        const uint64_t start = now_ns();
        REQUIRE(aether_publish(many.pubs[i], &n, sizeof n) == 0);
        if (epoll >= 0)
            REQUIRE(is_readable(epoll, DEADLINE_S * 1000));
        REQUIRE(aether_waitset_next(many.set, &ready, epoll >= 0 ? 0 : DEADLINE_S * 1000000000ull) == 1);
        REQUIRE(ready.subscriber == many.subs[i] && ready.context == &many.subs[i]);
        REQUIRE(aether_receive(ready.subscriber, &message) == 1);
        REQUIRE(aether_waitset_next(many.set, &ready, 0) == 0);
        worst = now_ns() - start > worst ? now_ns() - start : worst;
        if (n % 20 == 0)
            REQUIRE(aether_waitset_next(many.set, &ready, 20000000) == 0); /* naps grow */
    }
    return worst;
}

static void a_thousand(const char *what, aether_policy policy, bool with_fd) {
    int epoll = -1;
    struct idle idle;
    uint64_t worst;

    open_many(what, policy);
    REQUIRE(threads() == 1 || SANITIZED);
    if (with_fd)
        epoll = epoll_of(many.set);
    REQUIRE(threads() == (with_fd ? 2 : 1) || SANITIZED);
    worst = reach_many(epoll);
    REQUIRE(threads() == (with_fd ? 2 : 1) || SANITIZED);
    idle = measure_idle(epoll);
    if (epoll >= 0)
        close(epoll);
    close_many(what);
    printf("# %u %s subscribers, %s: %llu sleeps a second, %llu ppm of a core, a message after %llu us at most\n", MANY,
           what, with_fd ? "epoll" : "blocking", (unsigned long long)idle.sleeps, (unsigned long long)idle.ppm,
           (unsigned long long)worst / 1000);
    REQUIRE(idle.sleeps <= IDLE_SLEEPS_MAX && idle.ppm <= IDLE_PPM_MAX);
    ok("%u %s subscribers, %s: %s, few sleeps while nothing happens", MANY, what, with_fd ? "epoll" : "blocking",
       with_fd ? "one thread more" : "no thread more");
}

/* ---- the order of closing ---- */

static void open_pair(const char *topic, aether_client **client, aether_publisher **pub, aether_subscriber **sub) {
    *client = connect_as("order");
    REQUIRE(aether_publisher_open(*client, topic, &config, pub) == 0);
    REQUIRE(aether_subscriber_open(*client, topic, NULL, NULL, sub) == 0);
}

static void closes_in_any_order(void) {
    for (unsigned round = 0; round < 24; round++) {
        aether_notifier *notifier;
        aether_subscriber *sub, *other_sub;
        aether_client *client, *other;
        aether_publisher *pub, *other_pub;
        aether_waitset *members;
        aether_ready ready;

        open_pair("order/a", &client, &pub, &sub);
        open_pair("order/b", &other, &other_pub, &other_sub);
        REQUIRE(aether_notifier_open(sub, &notifier) == 0);
        REQUIRE(aether_waitset_open(&members) == 0);
        REQUIRE(aether_waitset_add(members, sub, NULL) == -EBUSY);
        REQUIRE(aether_waitset_add(members, other_sub, NULL) == 0);
        if (round % 2 == 0)
            REQUIRE(aether_waitset_fd(members) >= 0);
        if (round % 3 == 0) {
            REQUIRE(aether_publish(pub, "x", 1) == 0 && aether_publish(other_pub, "x", 1) == 0);
            REQUIRE(aether_waitset_next(members, &ready, AETHER_FOREVER) == 1 && ready.subscriber == other_sub);
        }
        if (round % 4 == 0)
            aether_notifier_arm(notifier);
        if (round % 4 == 1)
            aether_subscriber_close(sub);
        if (round % 8 < 4)
            aether_disconnect(client);
        if (round % 6 < 3)
            aether_disconnect(other);
        REQUIRE(round % 6 >= 3 || aether_waitset_next(members, &ready, 1000000) == 0);
        aether_waitset_close(members);
        aether_notifier_arm(notifier);
        aether_notifier_close(notifier);
        if (round % 8 >= 4)
            aether_disconnect(client);
        if (round % 6 >= 3)
            aether_disconnect(other);
    }
    ok("notifiers, waitsets, subscribers and clients are closed in any order");
}

static void a_notifier_is_armed_when_it_is_opened(void) {
    aether_client *client;
    aether_publisher *pub;
    aether_subscriber *sub;
    aether_notifier *notifier;
    struct epoll_event event = {.events = EPOLLIN};
    const int epoll = epoll_create1(EPOLL_CLOEXEC);

    open_pair("order/armed", &client, &pub, &sub);
    REQUIRE(aether_notifier_open(sub, &notifier) == 0);
    REQUIRE(epoll_ctl(epoll, EPOLL_CTL_ADD, aether_notifier_fd(notifier), &event) == 0);
    REQUIRE(!is_readable(epoll, 20));
    REQUIRE(aether_publish(pub, "x", 1) == 0);
    REQUIRE(is_readable(epoll, 10000));
    aether_notifier_close(notifier);
    aether_disconnect(client);
    close(epoll);
    ok("a notifier is armed when it is opened");
}

int main(void) {
    uint64_t cycles, seconds;

    stage = share(sizeof *stage);
    machine = share(sizeof *machine);
    test_begin(9);
    seed = setting("AETHER_TEST_SEED", 1);
    cycles = setting("AETHER_TEST_CYCLES", SANITIZED ? 50000 : 500000);
    seconds = setting("AETHER_TEST_SECONDS", SANITIZED ? 10 : 15);
    hunt_lost_wakeups(cycles, seconds);
    come_and_go(false);
    come_and_go(true);
    a_thousand("reliable", AETHER_RELIABLE, false);
    a_thousand("reliable", AETHER_RELIABLE, true);
    a_thousand("best_effort", AETHER_BEST_EFFORT, false);
    a_thousand("latest", AETHER_LATEST, true);
    closes_in_any_order();
    a_notifier_is_armed_when_it_is_opened();
    return 0;
}
