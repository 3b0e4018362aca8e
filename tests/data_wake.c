/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Searches for lost wake-ups: subscribers sleep in every way, and a publisher publishes at the moment when one of them
 * falls asleep; some of the processes are killed meanwhile. lib/lateness.h says when a wake-up was lost. At the end,
 * what sleeping costs.
 *
 * AETHER_TEST_CYCLES sleeps, or as many as fit in AETHER_TEST_SECONDS; AETHER_TEST_SEED.
 */
#include "lib/lateness.h"
#include "lib/traffic.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#define WAYS 4u     /* to sleep */
#define POLICIES 3u /* of a subscriber */
#define SLEEPERS (WAYS * POLICIES)
#define CAPACITY 64u
#define STAMPS 4096u
#define HUNT_NS 65536u  /* the publisher waits at most so long after a sleeper has stored that it goes to sleep */
#define SLEEPS_MIN 100u /* of each sleeper */
#define IDLE_S 5u
#define IDLE_SLEEPS_MAX 10u   /* a second; a bounded sleep takes 250 ms, so four are enough */
#define LIBRARY_SLEEPS_MAX 5u /* a second, of a subscriber */
#define IDLE_TRIES 10u        /* a busy machine makes threads sleep that wait for each other in the kernel */
#define IDLE_PPM_MAX 500000u  /* far above every machine, far below a thread that spins */

static struct stage {
    char topic[32];
    uint64_t stop, published, opened;
    uint64_t sent[STAMPS]; /* when the publish of a sequence had returned */
    struct {
        uint64_t joined, alive, waits_for, sleeps, late, excused;
    } sleepers[SLEEPERS];
} * stage;

static uint64_t seed;

static const aether_topic_config config = {.max_message = 16, .capacity = CAPACITY};

static const char *const ways[WAYS] = {"wait", "receive_wait", "idle", "notifier"};
static const char *const policies[POLICIES] = {"reliable", "best effort", "latest"};

/* ---- the sleepers ---- */

struct sleeper {
    unsigned me, way;
    aether_policy policy;
    struct test_subscriber subscriber; /* for its counts only */
    aether_notifier *notifier;
    aether_idle_state idle;
    int epoll;
    long switches; /* of this thread, at the last count_sleeps() */
};

static void take(struct sleeper *sleeper, const aether_message *message, const struct nap *nap) {
    if (sleeper->policy == AETHER_RELIABLE) {
        pass_aborted(&sleeper->subscriber, message->seq); /* of a hunter that was killed in a publish */
        REQUIRE(message->seq == sleeper->subscriber.expected && message->lost == 0);
    }
    REQUIRE(message->len == (message->lost == 0 ? 8 : 0));
    if (nap != NULL && message->lost == 0)
        nap_judge(nap, *(const uint64_t *)message->data, &stage->sent[message->seq % STAMPS], threads_held_up_ns,
                  "sleeper", sleeper->me, &stage->sleepers[sleeper->me].late, &stage->sleepers[sleeper->me].excused);
    sleeper->subscriber.expected = message->seq + (message->lost != 0 ? message->lost : 1);
    sleeper->subscriber.delivered++;
    made_step();
}

/* Publishers don't wait for the other policies, so their gaps and what they skip are as the machine has it. */
static void pass_all(struct sleeper *sleeper) {
    if (sleeper->policy == AETHER_RELIABLE)
        pass_aborted(&sleeper->subscriber, aether_subscriber_next(sleeper->subscriber.sub));
    else
        sleeper->subscriber.expected = aether_subscriber_next(sleeper->subscriber.sub);
}

static int drain(struct sleeper *sleeper, const struct nap *nap) {
    aether_message message;
    int rc, n = 0;

    while ((rc = aether_receive(sleeper->subscriber.sub, &message)) > 0)
        take(sleeper, &message, n++ == 0 ? nap : NULL);
    REQUIRE(rc == 0);
    pass_all(sleeper);
    return n;
}

/* Sleeps; each sleeper does that in its own way. The second one receives the message by the same call. */
static void sleep_once(struct sleeper *sleeper, const struct nap *nap) {
    struct epoll_event event;
    aether_message message;
    int rc;

    switch (sleeper->way) {
    case 0:
        REQUIRE(aether_wait(sleeper->subscriber.sub, AETHER_FOREVER) >= 0);
        break;
    case 1:
        rc = aether_receive_wait(sleeper->subscriber.sub, &message, AETHER_FOREVER);
        REQUIRE(rc >= 0);
        if (rc > 0)
            take(sleeper, &message, nap);
        break;
    case 2:
        aether_idle(&sleeper->idle, 0);
        break;
    default:
        aether_notifier_arm(sleeper->notifier);
        REQUIRE(epoll_wait(sleeper->epoll, &event, 1, -1) == 1);
        break;
    }
}

static void start_sleeper(struct sleeper *sleeper, aether_client *client) {
    const aether_subscribe_options options = {.policy = sleeper->policy};
    struct epoll_event event = {.events = EPOLLIN};

    REQUIRE(aether_subscriber_open(client, stage->topic, &options, &config, &sleeper->subscriber.sub) == 0);
    sleeper->subscriber.expected = aether_subscriber_next(sleeper->subscriber.sub);
    sleeper->subscriber.aborts_allowed = true;
    aether_idle_init(&sleeper->idle, AETHER_IDLE_ADAPTIVE, 0);
    aether_idle_watch(&sleeper->idle, sleeper->subscriber.sub);
    if (sleeper->way != 3)
        return;
    REQUIRE(aether_notifier_open(sleeper->subscriber.sub, &sleeper->notifier) == 0);
    REQUIRE((sleeper->epoll = epoll_create1(EPOLL_CLOEXEC)) >= 0);
    REQUIRE(epoll_ctl(sleeper->epoll, EPOLL_CTL_ADD, aether_notifier_fd(sleeper->notifier), &event) == 0);
}

/* A sleep is a switch to another process that this thread asked for. */
static void count_sleeps(struct sleeper *sleeper) {
    struct rusage usage;

    REQUIRE(getrusage(RUSAGE_THREAD, &usage) == 0);
    add(&stage->sleepers[sleeper->me].sleeps, (uint64_t)(usage.ru_nvcsw - sleeper->switches));
    sleeper->switches = usage.ru_nvcsw;
}

static void sleep_and_wake(unsigned me) {
    struct sleeper sleeper = {.me = me, .way = me % WAYS, .policy = (aether_policy)(me / WAYS)};
    aether_client *client = connect_as("sleeper");
    struct nap nap;
    uint64_t n = 0;

    start_sleeper(&sleeper, client);
    set(&stage->sleepers[me].waits_for, sleeper.subscriber.expected);
    set(&stage->sleepers[me].alive, 1);
    add(&stage->sleepers[me].joined, 1);
    nap = nap_begin(threads_held_up_ns());
    while (drain(&sleeper, &nap) != 0 || !get(&stage->stop) ||
           aether_subscriber_stream(sleeper.subscriber.sub) != AETHER_STREAM_CLOSED) {
        if (++n % 8 == 0)
            count_sleeps(&sleeper);
        if (sleeper.way != 2 || sleeper.idle.rounds == 0) /* that one polls many times before it sleeps */
            nap = nap_begin(threads_held_up_ns());
        set(&stage->sleepers[me].waits_for, sleeper.subscriber.expected);
        sleep_once(&sleeper, &nap);
    }
    REQUIRE(sleeper.subscriber.expected == get(&stage->published));
    count_sleeps(&sleeper);
    aether_notifier_close(sleeper.notifier);
    aether_subscriber_close(sleeper.subscriber.sub);
    aether_disconnect(client);
}

/* ---- the publisher ---- */

/*
 * Waits until one sleeper, or all, have received everything and go to sleep, and then spins for a random moment. The
 * next message would end a sleep whose wake-up was lost, so this waits longer than the bounded sleep if it must.
 */
static void await_sleepers(uint64_t random, uint64_t next) {
    const uint64_t span = 1 + (HUNT_NS >> (random >> 8) % 12), patience = now_ns() + 2 * LATE_NS;
    const unsigned victim = (unsigned)(random % (2 * SLEEPERS)); /* SLEEPERS or more: all */

    for (unsigned i = 0; i < SLEEPERS; i++) {
        if (victim < SLEEPERS && i != victim)
            continue;
        while (get(&stage->sleepers[i].alive) && get(&stage->sleepers[i].waits_for) != next && now_ns() < patience)
            sched_yield();
    }
    const uint64_t until = now_ns() + (random >> 16) % span;
    while (now_ns() < until)
        ;
}

static void hunt(unsigned me) {
    aether_client *client = connect_as("hunter");
    aether_publisher *pub = NULL;
    uint64_t random = seed + me;
    int rc;

    AWAIT((rc = aether_publisher_open(client, stage->topic, &config, &pub)) != -EBUSY);
    REQUIRE(rc == 0);
    add(&stage->opened, 1);
    while (!get(&stage->stop)) {
        const uint64_t seq = aether_publisher_next(pub), now = now_ns();

        set(&stage->sent[seq % STAMPS], 0);
        rc = aether_publish(pub, &now, sizeof now);
        REQUIRE(rc >= 0);
        if (rc == AETHER_FULL) {
            sched_yield();
            continue;
        }
        set(&stage->sent[seq % STAMPS], now_ns());
        set(&stage->published, seq + 1);
        made_step();
        await_sleepers(next_random(&random), seq + 1);
    }
    set(&stage->published, aether_publisher_next(pub));
    aether_publisher_close(pub);
    aether_disconnect(client);
}

/* ---- the hunt ---- */

static uint64_t sleeps(void) {
    uint64_t all = 0;

    for (unsigned i = 0; i < SLEEPERS; i++)
        all += get(&stage->sleepers[i].sleeps);
    return all;
}

static uint64_t late(void) {
    uint64_t all = 0;

    for (unsigned i = 0; i < SLEEPERS; i++)
        all += get(&stage->sleepers[i].late);
    return all;
}

static pid_t start(void (*play)(unsigned), unsigned arg, const uint64_t *word) {
    const uint64_t before = get(word);
    const pid_t pid = spawn(play, arg);

    AWAIT_PROGRESS(steps_of(pid), get(word) > before);
    return pid;
}

/*
 * Is it enough? After `cycles` sleeps, or when the time is over; but not before each way to sleep was in use, however
 * long that takes.
 */
static bool is_enough(uint64_t cycles, uint64_t stop_at) {
    if (late() != 0)
        return true;
    for (unsigned i = 0; i < SLEEPERS; i++) {
        if (get(&stage->sleepers[i].sleeps) <= SLEEPS_MIN)
            return false;
    }
    return sleeps() >= cycles || now_ms() >= stop_at;
}

static void hunt_lost_wakeups(uint64_t cycles, uint64_t seconds) {
    const uint64_t stop_at = now_ms() + seconds * 1000;
    pid_t sleepers[SLEEPERS], hunter, watch;
    uint64_t excused = 0, kills = 0;

    watch = start(watch_machine, 0, &machine->ticks);
    for (unsigned i = 0; i < SLEEPERS; i++)
        sleepers[i] = start(sleep_and_wake, i, &stage->sleepers[i].joined);
    hunter = start(hunt, 0, &stage->opened);
    do {
        const uint64_t r = next_random(&seed), next = get(&stage->published) + 500 + r % 2000;
        const unsigned victim = (unsigned)(r >> 32) % (SLEEPERS + 1);

        AWAIT_PROGRESS(get(&stage->published), get(&stage->published) >= next || is_enough(cycles, stop_at));
        if (victim == SLEEPERS) {
            kill_child(hunter);
            hunter = start(hunt, (unsigned)++kills, &stage->opened);
        } else {
            set(&stage->sleepers[victim].alive, 0);
            kill_child(sleepers[victim]);
            sleepers[victim] = start(sleep_and_wake, victim, &stage->sleepers[victim].joined);
            kills++;
        }
    } while (!is_enough(cycles, stop_at));
    set(&stage->stop, 1);
    join_child(hunter);
    for (unsigned i = 0; i < SLEEPERS; i++) {
        join_child(sleepers[i]);
        excused += stage->sleepers[i].excused;
    }
    kill_child(watch);
    for (unsigned i = 0; i < SLEEPERS; i++)
        printf("# %s, %s: %llu sleeps\n", policies[i / WAYS], ways[i % WAYS],
               (unsigned long long)stage->sleepers[i].sleeps);
    if (late() != 0)
        fail("%llu wake-ups were lost", (unsigned long long)late());
    ok("%llu sleeps, %llu messages, %llu kills: no wake-up was lost (%llu late ones were the machine's)",
       (unsigned long long)sleeps(), (unsigned long long)stage->published, (unsigned long long)kills,
       (unsigned long long)excused);
}

/* ---- a peer that lies ---- */

#define LIES 40u             /* messages that are published meanwhile */
#define LIED_NS 300000000ull /* a sleep that no publish ends takes 250 ms */

/* Returns this process's mapping of the notes, for which it needs no more than a best-effort subscriber. */
static uint64_t *find_notes(void) {
    FILE *maps = fopen("/proc/self/maps", "re");
    uint64_t *notes = NULL;
    char line[512];

    REQUIRE(maps != NULL);
    while (notes == NULL && fgets(line, sizeof line, maps) != NULL) {
        unsigned long long begin;
        if (strstr(line, "notes-") != NULL && sscanf(line, "%llx-%*x rw", &begin) == 1)
            notes = (uint64_t *)(uintptr_t)begin; // NOLINT(performance-no-int-to-ptr)
    }
    fclose(maps);
    REQUIRE(notes != NULL);
    return notes;
}

static void scribble(unsigned arg) {
    const aether_subscribe_options options = {.policy = AETHER_BEST_EFFORT};
    aether_client *client = connect_as("liar");
    aether_subscriber *sub;
    uint64_t *notes, random = seed + arg;

    REQUIRE(aether_subscriber_open(client, stage->topic, &options, NULL, &sub) == 0);
    notes = find_notes();
    add(&stage->opened, 1);
    for (;;)
        set(&notes[16 + next_random(&random) % 2], random % 3 == 0 ? random % 100 : random); /* offset 128: `want` */
}

/* Receives LIES messages. Late are those that even a sleep that nobody ended can't explain. */
static void receive_despite_lies(unsigned me) {
    const aether_subscribe_options options = {.policy = (aether_policy)me};
    aether_client *client = connect_as("sleeper");
    aether_subscriber *sub;

    REQUIRE(aether_subscriber_open(client, stage->topic, &options, NULL, &sub) == 0);
    add(&stage->sleepers[me].joined, 1);
    for (uint64_t n = 0; n < LIES; n++) {
        const struct nap nap = nap_begin(threads_held_up_ns());
        aether_message message;
        while (aether_receive_wait(sub, &message, AETHER_FOREVER) == 0)
            ;
        const uint64_t late = now_ns() - *(const uint64_t *)message.data;
        REQUIRE(message.seq == n && message.lost == 0);
        if (late > LIED_NS + threads_held_up_ns() - nap.held_up + get(&machine->stalled_ns) - nap.stalled)
            add(&stage->sleepers[me].late, 1);
        set(&stage->sleepers[me].waits_for, n + 1);
    }
    aether_disconnect(client);
}

static void believe_no_note(void) {
    aether_client *client = connect_as("publisher");
    pid_t sleepers[POLICIES], liar, watch;
    aether_publisher *pub;

    memset(stage, 0, sizeof *stage);
    snprintf(stage->topic, sizeof stage->topic, "wake/lies");
    REQUIRE(aether_publisher_open(client, stage->topic, &config, &pub) == 0);
    watch = start(watch_machine, 0, &machine->ticks);
    for (unsigned i = 0; i < POLICIES; i++)
        sleepers[i] = start(receive_despite_lies, i, &stage->sleepers[i].joined);
    liar = start(scribble, 0, &stage->opened);
    for (uint64_t n = 0; n < LIES; n++) {
        const uint64_t now = now_ns();
        REQUIRE(aether_publish(pub, &now, sizeof now) == 0);
        for (unsigned i = 0; i < POLICIES; i++)
            AWAIT(get(&stage->sleepers[i].waits_for) == n + 1);
    }
    for (unsigned i = 0; i < POLICIES; i++)
        join_child(sleepers[i]);
    kill_child(liar);
    kill_child(watch);
    REQUIRE(late() == 0);
    aether_disconnect(client);
    ok("a best-effort subscriber that scribbles over the notes: no publish fails, sleepers check within 250 ms");
}

/* ---- what sleeping costs ---- */

static uint64_t cpu_ns(pid_t pid) {
    struct timespec t;
    clockid_t id;

    REQUIRE(clock_getcpuclockid(pid, &id) == 0 && clock_gettime(id, &t) == 0);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Sleeps of all threads: switches to other threads that they asked for. The library decides how many there are. */
static uint64_t sleeps_of(pid_t pid) {
    char path[64], line[128];
    unsigned long long n;
    uint64_t all = 0;
    struct dirent *entry;
    DIR *tasks;

    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    REQUIRE((tasks = opendir(path)) != NULL);
    while ((entry = readdir(tasks)) != NULL) {
        FILE *status;

        snprintf(path, sizeof path, "/proc/%d/task/%.12s/status", (int)pid, entry->d_name);
        if (entry->d_name[0] == '.' || (status = fopen(path, "re")) == NULL)
            continue;
        while (fgets(line, sizeof line, status) != NULL) {
            if (sscanf(line, "voluntary_ctxt_switches: %llu", &n) == 1)
                all += n;
        }
        fclose(status);
    }
    closedir(tasks);
    return all;
}

static void sit_still(unsigned arg) {
    aether_client *client = connect_as("idle publisher");
    aether_publisher *pub;

    (void)arg;
    REQUIRE(aether_publisher_open(client, stage->topic, &config, &pub) == 0);
    add(&stage->opened, 1);
    for (;;)
        pause();
}

struct idle {
    pid_t pid;
    char name[32];
    uint64_t cpu, slept; /* at the beginning */
};

/* Sleeps of all subscribers of the topic, as the library counts them: the machine's load has no part in that. */
static uint64_t library_sleeps(aether_metrics *metrics) {
    static aether_topic_metrics topic;

    REQUIRE(aether_metrics_find(metrics, stage->topic, &topic) == 1);
    return topic.sleeps;
}

/*
 * Measures for a while, prints what each process did, and returns whether all of them slept as they should. The
 * library's own count is right in each measurement, or the test fails.
 */
static bool measure_once(aether_metrics *metrics, struct idle *idle, unsigned count) {
    const struct timespec span = {.tv_sec = IDLE_S};
    const uint64_t began = now_ns(), counted = library_sleeps(metrics);
    uint64_t more, most;
    bool quiet = true;

    for (unsigned i = 0; i < count; i++) {
        idle[i].cpu = cpu_ns(idle[i].pid);
        idle[i].slept = sleeps_of(idle[i].pid);
    }
    nanosleep(&span, NULL);
    more = library_sleeps(metrics) - counted;
    most = (SLEEPERS + 1) * (1 + (now_ns() - began) * LIBRARY_SLEEPS_MAX / 1000000000u);
    printf("# the library counts %llu sleeps of %u subscribers, at most %llu\n", (unsigned long long)more, SLEEPERS + 1,
           (unsigned long long)most);
    REQUIRE(more > 0 && more <= most);
    for (unsigned i = 0; i < count; i++) {
        const uint64_t took = now_ns() - began, ppm = (cpu_ns(idle[i].pid) - idle[i].cpu) * 1000 / (took / 1000),
                       rate = (sleeps_of(idle[i].pid) - idle[i].slept) * 1000 / (took / 1000000);
        printf("# %s: %llu sleeps a second, %llu.%04llu %% of a core\n", idle[i].name, (unsigned long long)rate,
               (unsigned long long)ppm / 10000, (unsigned long long)ppm % 10000);
        quiet = quiet && rate <= IDLE_SLEEPS_MAX && ppm <= IDLE_PPM_MAX;
    }
    return quiet;
}

/* `aether-cli sub --policy best-effort`, on the topic of the others. */
static void run_sub(unsigned arg) {
    const char *cli = getenv("AETHER_CLI");
    const int null = open("/dev/null", O_RDWR);

    (void)arg;
    REQUIRE(cli != NULL && null >= 0 && dup2(null, STDOUT_FILENO) >= 0);
    execl(cli, cli, "--socket", test.socket, "sub", stage->topic, "--policy", "best-effort", (char *)NULL);
    fail("%s: %s", cli, strerror(errno));
}

static void measure_idle(void) {
    struct idle idle[SLEEPERS + 2];
    aether_metrics *metrics;
    unsigned tries = 0;
    pid_t publisher;

    memset(stage, 0, sizeof *stage);
    snprintf(stage->topic, sizeof stage->topic, "wake/idle");
    publisher = start(sit_still, 0, &stage->opened);
    for (unsigned i = 0; i < SLEEPERS; i++) {
        snprintf(idle[i].name, sizeof idle[i].name, "%s, %s", policies[i / WAYS], ways[i % WAYS]);
        idle[i].pid = start(sleep_and_wake, i, &stage->sleepers[i].joined);
    }
    idle[SLEEPERS] = (struct idle){.pid = test.daemon, .name = "aetherd"};
    idle[SLEEPERS + 1] = (struct idle){.pid = spawn(run_sub, 0), .name = "aether-cli sub"};
    REQUIRE(aether_metrics_open(&metrics, test.socket) == 0);
    while (!measure_once(metrics, idle, SLEEPERS + 2))
        REQUIRE(++tries < IDLE_TRIES);
    aether_metrics_close(metrics);
    kill_child(publisher);
    kill_child(idle[SLEEPERS + 1].pid);
    for (unsigned i = 0; i < SLEEPERS; i++)
        kill_child(idle[i].pid);
    ok("asleep for %u s, of every policy: at most %u sleeps a second, no thread spins", IDLE_S, IDLE_SLEEPS_MAX);
}

int main(void) {
    uint64_t cycles, seconds;

    stage = share(sizeof *stage);
    machine = share(sizeof *machine);
    snprintf(stage->topic, sizeof stage->topic, "wake/hunt");
    test_begin(SANITIZED ? 2 : 3);
    seed = setting("AETHER_TEST_SEED", 1);
    cycles = setting("AETHER_TEST_CYCLES", SANITIZED ? 100000 : 1000000);
    seconds = setting("AETHER_TEST_SECONDS", SANITIZED ? 10 : 20);
    hunt_lost_wakeups(cycles, seconds);
    believe_no_note();
    if (!SANITIZED) /* ThreadSanitizer has a thread of its own, which sleeps and wakes others */
        measure_idle();
    return 0;
}
