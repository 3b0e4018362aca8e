/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kill -9 of publishers at random moments of everything that they do: in batches, loans and lanes, while the bias is
 * taken and revoked, while they open and close, while another one is stopped, while aetherd is killed, too, and its
 * successor repairs what they left. Readers check everything all the time; and after each kill: what publish had
 * returned 0 for arrives, in its order, at every reader; of the call that was cut short a first part, and the rest is
 * aborted; and new messages come.
 *
 * usage: data_publishers_kill [KILLS [SEED]]        a campaign with a report
 *        data_publishers_kill --recovery N [SEED]   how long readers wait for a dead publisher's claim
 *
 * Without arguments AETHER_TEST_KILLS and AETHER_TEST_SEED say the same.
 */
#include "lib/process.h"

#define PUBLISHERS_MAX 6u
#define READERS_MAX 5u
#define STEADY 2u /* the first readers are reliable, never killed, and see everything */
#define ACT_KILLS 120u
#define SAMPLES 65536u
#define WIDE (SANITIZED ? 128u : 1024u) /* messages of the largest batch */

/* What a publisher does. */
enum way {
    MIXED, /* all forms of publishing */
    BATCH, /* large batches of large messages: most of the time it has claimed what it hasn't written */
    GUEST  /* opens, publishes a few, and closes: takes the bias, and has it taken away */
};

static const struct act {
    const char *name;
    unsigned readers, publishers;
    enum way ways[PUBLISHERS_MAX];
    aether_topic_config config;
} acts[] = {
    {"batches", 3, 3, {BATCH, BATCH, MIXED}, {.max_message = 4088, .capacity = 4 * WIDE}},
    {"lanes and loans",
     5,
     4,
     {MIXED, MIXED, MIXED, MIXED},
     {.max_message = 4096, .inline_max = 56, .lane_bytes = 16384, .capacity = 64, .start_seq = (1ull << 48) - 300}},
    {"alone", 3, 1, {BATCH}, {.max_message = 4088, .capacity = 4 * WIDE}},
    {"exclusive",
     5,
     1,
     {MIXED},
     {.max_message = 4096,
      .inline_max = 56,
      .lane_bytes = 16384,
      .capacity = 64,
      .publishers = AETHER_PUBLISHERS_EXCLUSIVE}},
    {"guests", 5, 3, {GUEST, GUEST, GUEST}, {.max_message = 56, .capacity = 64}},
    {"a host and guests", 4, 3, {BATCH, GUEST, GUEST}, {.max_message = 4088, .capacity = 2 * WIDE}},
    {"many",
     5,
     6,
     {MIXED, BATCH, MIXED, GUEST, MIXED, MIXED},
     {.max_message = 8192, .inline_max = 1016, .lane_bytes = 65536, .capacity = 256}},
    {"unbiased",
     4,
     3,
     {BATCH, MIXED, GUEST},
     {.max_message = 1016, .capacity = 4 * WIDE, .publishers = AETHER_PUBLISHERS_UNBIASED}},
    {"small ring", 5, 2, {MIXED, MIXED}, {.max_message = 200, .capacity = 8}},
    {"two in batches",
     3,
     2,
     {BATCH, BATCH},
     {.max_message = 4088, .capacity = 4 * WIDE, .start_seq = (1ull << 48) - 3}},
};
#define ACTS (sizeof acts / sizeof acts[0])

static const struct act recovery_act = {"recovery", 1, 1, {BATCH}, {.max_message = 4088, .capacity = 4 * WIDE}};

static struct stage {
    char topic[32];
    uint64_t stop; /* publishers stop */
    uint64_t last; /* all publishers have gone */
    uint64_t opened[AUTHORS_MAX];
    struct {
        uint64_t joined, next, aborted, delivered, entries;
        uint64_t aborted_ns; /* when it last passed an aborted sequence */
        uint64_t heard[AUTHORS_MAX];
    } readers[READERS_MAX];
} * stage;

static struct authors *authors;
static const struct act *act;
static uint64_t seed;

static pid_t pids[PUBLISHERS_MAX], readers[READERS_MAX];
static uint64_t ids[PUBLISHERS_MAX], next_id; /* authors */
static bool adopted[PUBLISHERS_MAX];          /* this aetherd has never heard of it; looks at it every second */
static uint64_t abortable;                    /* sequences that the dead may have left in this act */
static aether_inspector *inspector;
static aether_client *watcher;     /* the parent, as one that looks */
static aether_subscriber *lookout; /* sees the newest message */

static struct {
    uint64_t kills, hits, aborted, messages, daemons, stopped, readers;
    bool done;
} report;

/* Nanoseconds. */
struct times {
    uint64_t ns[SAMPLES];
    size_t count;
};

static struct times blocked, repaired, repaired_adopted;

static size_t mostly_large(uint64_t word, size_t max) {
    return mix(word) % 8 != 0 || max < 8 ? max : 8;
}

static size_t act_batch(void) {
    return act->config.capacity / 2 < WIDE ? (size_t)act->config.capacity / 2 : WIDE;
}

/* ---- publishers ---- */

/* While the daemon is dead or about to be, whoever opens tries again; and where a dead one is believed alive. */
static bool not_yet(int rc) {
    return rc == -ECONNREFUSED || rc == -ENOENT || rc == -ETIMEDOUT || rc == -ECONNRESET || rc == -EPIPE ||
           (rc == -EBUSY && act->config.publishers == AETHER_PUBLISHERS_EXCLUSIVE);
}

static aether_client *connect_at_last(const char *name) {
    const aether_connect_options options = {.socket_path = test.socket, .name = name};
    aether_client *client = NULL;
    int rc;

    AWAIT(!not_yet(rc = aether_connect(&client, &options)));
    REQUIRE(rc == 0);
    return client;
}

static void open_publisher(struct author *author, aether_client *client) {
    int rc;

    AWAIT(!not_yet(rc = aether_publisher_open(client, stage->topic, &act->config, &author->pub)));
    REQUIRE(rc == 0);
}

static void publish_step(struct author *author, enum way way, uint64_t random) {
    int rc;

    if (way == BATCH)
        rc = author_batch(author, 1 + random % author->batch_max);
    else
        rc = author_publish(author, random, UINT64_MAX);
    if (rc == AETHER_FULL)
        REQUIRE(aether_publisher_wait(author->pub, 8, 1000000) >= 0);
}

static void publish(unsigned arg) {
    const enum way way = (enum way)(arg >> 16);
    const unsigned id = arg & 0xffff;
    aether_client *client = connect_at_last("publisher");
    struct author author;
    uint64_t random = seed ^ mix(id);

    author_begin(&author, authors, id, &act->config, act_batch());
    open_publisher(&author, client);
    set(&stage->opened[id], 1);
    while (!get(&stage->stop)) {
        const uint64_t r = next_random(&random);
        publish_step(&author, way, r);
        if (way == GUEST && (r >> 56) % 4 == 0) {
            aether_publisher_close(author.pub);
            open_publisher(&author, client);
        }
    }
    author_end(&author);
    aether_disconnect(client);
}

/* ---- readers ---- */

static const aether_policy policies[READERS_MAX] = {AETHER_RELIABLE, AETHER_RELIABLE, AETHER_RELIABLE,
                                                    AETHER_BEST_EFFORT, AETHER_LATEST};

static struct reading open_reading(aether_client *client, unsigned me) {
    const aether_subscribe_options options = {
        .policy = policies[me],
        .from = me < STEADY ? AETHER_FROM_NEW : (aether_from)(now_ns() % 2),
        .views = me == 3 ? AETHER_VIEWS_IN_PLACE : AETHER_VIEWS_COPY,
    };
    struct reading reading = {.max_message = act->config.max_message,
                              .gaps_allowed = policies[me] != AETHER_RELIABLE,
                              .latest = policies[me] == AETHER_LATEST,
                              .in_place = me == 3,
                              .aborts_allowed = true,
                              .authors = authors,
                              .heard = stage->readers[me].heard,
                              .strict = me < STEADY};
    int rc;

    memset(reading.heard, 0, sizeof stage->readers[me].heard);
    AWAIT(!not_yet(rc = aether_subscriber_open(client, stage->topic, &options, &act->config, &reading.sub)));
    REQUIRE(rc == 0);
    reading.expected = aether_subscriber_next(reading.sub);
    reading.kept_from =
        options.from == AETHER_FROM_NEW ? reading.expected : act->config.start_seq + authors_claimed_most(authors);
    return reading;
}

static void read_all(unsigned me) {
    aether_client *client = connect_at_last("reader");
    struct reading reading = open_reading(client, me);
    uint64_t random = seed + me, aborted = 0;

    set(&stage->readers[me].next, reading.expected);
    set(&stage->readers[me].joined, reading.expected + 1);
    for (;;) {
        const aether_stream state = aether_subscriber_stream(reading.sub);
        const bool last = get(&stage->last) != 0;
        const int n = read_some(&reading, (unsigned)(next_random(&random) >> 32));

        if (reading.aborted != aborted) {
            set(&stage->readers[me].aborted_ns, now_ns());
            set(&stage->readers[me].aborted, aborted = reading.aborted);
        }
        set(&stage->readers[me].next, reading.expected);
        if (n > 0)
            add(&stage->readers[me].entries, 1);
        else if (last && state >= AETHER_STREAM_CLOSED)
            break;
        else
            (void)aether_wait(reading.sub, 2000000);
    }
    check_conserved(&reading);
    set(&stage->readers[me].delivered, reading.delivered);
    aether_subscriber_close(reading.sub);
    aether_disconnect(client);
}

/* ---- the parent ---- */

/* A child that ended by itself has found something, and said so. */
static void check_children(void) {
    siginfo_t info = {0};

    REQUIRE(waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0);
    if (info.si_pid != 0)
        fail("process %d has ended by itself", (int)info.si_pid);
}

/* As AWAIT, and nobody may end meanwhile. */
#define AWAIT_ALIVE(condition) AWAIT((check_children(), condition))

static void random_pause(void) {
    const uint64_t r = next_random(&seed), ns = (r >> 8) % (1ull << (r % 22));
    const struct timespec span = {.tv_nsec = (long)ns};
    const uint64_t until = now_ns() + ns;

    if (r >> 63 == 0) {
        nanosleep(&span, NULL);
        return;
    }
    while (now_ns() < until)
        ;
}

static void start_publisher(unsigned p) {
    REQUIRE(next_id < AUTHORS_MAX);
    ids[p] = next_id++;
    pids[p] = spawn(publish, (unsigned)act->ways[p] << 16 | (unsigned)ids[p]);
    adopted[p] = false;
}

static void start_reader(unsigned me) {
    set(&stage->readers[me].joined, 0);
    readers[me] = spawn(read_all, me);
}

static void kill_publisher(unsigned p) {
    kill_child(pids[p]);
    pids[p] = 0;
    report.kills++;
}

static unsigned alive(void) {
    unsigned count = 0;

    for (unsigned p = 0; p < act->publishers; p++)
        count += pids[p] != 0;
    return count;
}

/* Publishers that aetherd knows of. */
static unsigned known(void) {
    aether_topic_info info;

    return aether_inspect_find(inspector, stage->topic, &info) == 1 ? info.publishers : UINT32_MAX;
}

static void sample(struct times *times, uint64_t since) {
    if (times->count < SAMPLES)
        times->ns[times->count++] = now_ns() - since;
}

/* Until the daemon has repaired what the dead left. Guests come and go. */
static void await_repair(void) {
    const uint64_t until = now_ms() + DEADLINE_S * 1000u;

    while (known() > alive()) {
        check_children();
        if (now_ms() > until)
            fail("aetherd has not seen all deaths within %u s", DEADLINE_S);
        sched_yield();
    }
}

/* All that the dead author had published has arrived, and of its last call a first part. */
static void check_dead(uint64_t id) {
    const uint64_t told = get(&authors->by[id].told), flying = author_flying(authors, id);

    for (unsigned i = 0; i < STEADY && i < act->readers; i++) {
        const uint64_t heard = get(&stage->readers[i].heard[id]);
        if (heard < told || heard > told + flying || heard != get(&stage->readers[0].heard[id]))
            fail("reader %u heard %llu messages of author %llu, which had published %llu and was at %llu more", i,
                 (unsigned long long)heard, (unsigned long long)id, (unsigned long long)told,
                 (unsigned long long)flying);
    }
    abortable += told + flying - get(&stage->readers[0].heard[id]);
}

/* The first message of a successor has come to all who see everything: so all before it has. */
static void await_flow(uint64_t id) {
    for (unsigned i = 0; i < STEADY; i++)
        AWAIT_ALIVE(get(&stage->readers[i].heard[id]) != 0);
}

/* ---- rounds ---- */

enum event { PLAIN, SEVERAL, STOPPED, STOPPED_TOO, DAEMON, DAEMON_LATER, NEWBORN, READER, EVENTS };

static unsigned other_than(unsigned victim) {
    if (act->publishers == 1)
        return victim;
    return (victim + 1 + (unsigned)(next_random(&seed) % (act->publishers - 1))) % act->publishers;
}

static void kill_with_daemon(unsigned victim, bool later) {
    if (!later && (next_random(&seed) & 1)) {
        daemon_kill();
        random_pause();
        kill_publisher(victim);
    } else {
        kill_publisher(victim);
        random_pause();
        daemon_kill();
    }
    report.daemons++;
    random_pause();
    for (unsigned p = 0; p < PUBLISHERS_MAX; p++)
        adopted[p] = true;
    daemon_start();
}

/* Killed in the middle of its open, or its first publish. */
static void kill_newborn(unsigned victim) {
    kill_publisher(victim);
    start_publisher(victim);
    if (next_random(&seed) & 1)
        AWAIT_ALIVE(get(&stage->opened[ids[victim]]) != 0);
    random_pause();
    kill_publisher(victim);
}

static void kill_reader(unsigned victim) {
    const unsigned reader = STEADY + (unsigned)(next_random(&seed) % (act->readers - STEADY));

    kill_child(readers[reader]);
    random_pause();
    kill_publisher(victim);
    report.readers++;
    start_reader(reader);
    AWAIT_ALIVE(get(&stage->readers[reader].joined) != 0);
}

static void play_event(enum event event, unsigned victim, unsigned other) {
    switch (event) {
    case SEVERAL:
        for (unsigned p = 0; p < act->publishers; p++) {
            if (p == victim || (next_random(&seed) & 1))
                kill_publisher(p);
        }
        break;
    case STOPPED:
    case STOPPED_TOO:
        freeze_child(pids[other]);
        random_pause();
        kill_publisher(victim);
        report.stopped++;
        if (event == STOPPED_TOO) {
            random_pause();
            kill_publisher(other);
        }
        break;
    case DAEMON:
    case DAEMON_LATER:
        kill_with_daemon(victim, event == DAEMON_LATER);
        break;
    case NEWBORN:
        kill_newborn(victim);
        break;
    case READER:
        kill_reader(victim);
        break;
    default:
        kill_publisher(victim);
        break;
    }
}

/* The publisher that has written the newest message, if that isn't the last one of its call. False: nobody. */
static bool in_a_claim(unsigned *victim) {
    aether_message message;
    uint64_t word, author, counter, told;

    if (aether_receive(lookout, &message) <= 0 || message.len < 8)
        return false;
    memcpy(&word, message.data, 8);
    author = word >> COUNTER_BITS;
    REQUIRE(author < AUTHORS_MAX);
    counter = word & ((1ull << COUNTER_BITS) - 1);
    told = get(&authors->by[author].told);
    for (*victim = 0; *victim < act->publishers; ++*victim) {
        if (ids[*victim] == author)
            return counter > told && counter < told + author_flying(authors, author);
    }
    return false;
}

struct call {
    uint64_t number, since;
};

/* A publisher whose call takes more than 5 us: it revokes a bias, wakes a reader, or had to leave its processor. */
static bool in_a_long_call(struct call *calls, uint64_t now, unsigned *victim) {
    for (*victim = 0; *victim < act->publishers; ++*victim) {
        const uint64_t number = get(&authors->by[ids[*victim]].flying);
        struct call *call = &calls[*victim];
        if (number == 0 || number != call->number)
            *call = (struct call){number, now};
        else if (now - call->since > 5000)
            return true;
    }
    return false;
}

/* Chooses the victim and the moment: any, or in the middle of something that is over in microseconds. */
static unsigned lie_in_wait(void) {
    const uint64_t r = next_random(&seed), began = now_ns(), span = (r >> 16) % (1ull << ((r >> 8) % 15));
    struct call calls[PUBLISHERS_MAX] = {0};
    unsigned victim;
    uint64_t now;

    if (r % 4 == 0) {
        random_pause();
        return (unsigned)(r >> 48) % act->publishers;
    }
    while ((now = now_ns()) - began < 5000000) {
        if (r % 4 == 1 ? in_a_long_call(calls, now, &victim) : in_a_claim(&victim)) {
            while (now_ns() - now < span)
                ;
            return victim;
        }
    }
    return (unsigned)(r >> 48) % act->publishers;
}

static enum event choose_event(void) {
    const uint64_t r = next_random(&seed);
    const enum event event = (enum event)((r >> 8) % EVENTS);

    if (r % 3 == 0 || (event == DAEMON && r % 7 < 4) ||
        (act->publishers == 1 && (event == STOPPED || event == STOPPED_TOO)))
        return PLAIN;
    return event;
}

static bool among(const uint64_t *list, uint64_t id) {
    bool found = false;

    for (unsigned p = 0; p < act->publishers; p++)
        found |= list[p] == id;
    return found;
}

static void play_round(void) {
    const enum event event = choose_event();
    const uint64_t aborted = get(&stage->readers[0].aborted), first_new = next_id;
    const unsigned victim = lie_in_wait(), other = other_than(victim);
    const bool measured = event == PLAIN, was_adopted = adopted[victim];
    const uint64_t since = now_ns();
    uint64_t before[PUBLISHERS_MAX];

    memcpy(before, ids, sizeof before);
    play_event(event, victim, other);
    /* Whoever opens makes aetherd look at all who are there; else it takes its time with those whom it has adopted. */
    if (!was_adopted || next_random(&seed) % 8 == 0) {
        await_repair();
        if (measured)
            sample(was_adopted ? &repaired_adopted : &repaired, since);
    }
    if (event == STOPPED)
        thaw_child(pids[other]);
    for (unsigned p = 0; p < act->publishers; p++) {
        if (pids[p] == 0)
            start_publisher(p);
    }
    for (unsigned p = 0; p < act->publishers; p++) {
        if (!among(before, ids[p]))
            await_flow(ids[p]);
    }
    for (unsigned p = 0; p < act->publishers; p++) {
        if (!among(ids, before[p]))
            check_dead(before[p]);
    }
    for (uint64_t id = first_new; id < next_id; id++) { /* newborns that were killed at once */
        if (!among(ids, id))
            check_dead(id);
    }
    if (get(&stage->readers[0].aborted) == aborted)
        return;
    report.hits++;
    if (measured && !was_adopted)
        sample(&blocked, since + now_ns() - get(&stage->readers[0].aborted_ns));
}

/* ---- acts ---- */

/* The parent sees the newest message, too. */
static void open_lookout(void) {
    const aether_subscribe_options options = {.policy = AETHER_LATEST};

    watcher = connect_as("parent");
    REQUIRE(aether_subscriber_open(watcher, stage->topic, &options, &act->config, &lookout) == 0);
}

static void begin_act(unsigned number) {
    alarm(LIFE_S);
    memset(stage, 0, sizeof *stage);
    authors_reset(authors);
    act = &acts[number % ACTS];
    snprintf(stage->topic, sizeof stage->topic, "publishers/kill/%u", number);
    authored_length = act->ways[0] == BATCH ? mostly_large : authored_mixed;
    next_id = abortable = 0;
    open_lookout();
    for (unsigned i = 0; i < act->readers; i++) {
        start_reader(i);
        AWAIT_ALIVE(get(&stage->readers[i].joined) != 0);
    }
    for (unsigned p = 0; p < act->publishers; p++)
        start_publisher(p);
    for (unsigned p = 0; p < act->publishers; p++)
        await_flow(ids[p]);
}

static void end_act(void) {
    set(&stage->stop, 1);
    for (unsigned p = 0; p < act->publishers; p++) {
        join_child(pids[p]);
        pids[p] = 0;
    }
    set(&stage->last, 1);
    for (unsigned i = 0; i < act->readers; i++) {
        join_child(readers[i]);
        readers[i] = 0;
        REQUIRE(stage->readers[i].next == stage->readers[0].next);
    }
    for (unsigned i = 0; i < STEADY; i++) {
        REQUIRE(stage->readers[i].aborted == stage->readers[0].aborted && stage->readers[i].aborted <= abortable);
        REQUIRE(stage->readers[i].delivered == stage->readers[0].delivered);
    }
    for (unsigned p = 0; p < act->publishers; p++)
        REQUIRE(stage->readers[0].heard[ids[p]] == get(&authors->by[ids[p]].told));
    report.aborted += stage->readers[0].aborted;
    report.messages += stage->readers[0].delivered;
    aether_subscriber_close(lookout);
    REQUIRE(aether_topic_remove(watcher, stage->topic) == 0);
    aether_disconnect(watcher);
}

static int by_size(const void *a, const void *b) {
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void print_times(const char *what, struct times *times) {
    uint64_t *ns = times->ns;

    if (times->count == 0)
        return;
    qsort(ns, times->count, sizeof *ns, by_size);
    printf("# %s: %zu times, median %llu us, p99 %llu us, worst %llu us\n", what, times->count,
           (unsigned long long)ns[times->count / 2] / 1000, (unsigned long long)ns[times->count * 99 / 100] / 1000,
           (unsigned long long)ns[times->count - 1] / 1000);
}

/* Also after a failure, and then with what is there. */
static void print_report(void) {
    if (test.cases == UINT32_MAX)
        return;
    if (!report.done && act != NULL) {
        printf("# failed in '%s' on %s, author %llu\n", act->name, stage->topic, (unsigned long long)next_id);
        for (unsigned p = 0; p < act->publishers; p++)
            printf("# publisher %u: pid %d, author %llu, told %llu, flying %llu\n", p, (int)pids[p],
                   (unsigned long long)ids[p], (unsigned long long)get(&authors->by[ids[p]].told),
                   (unsigned long long)author_flying(authors, ids[p]));
        for (unsigned i = 0; i < act->readers; i++)
            printf("# reader %u: next %llu, aborted %llu\n", i, (unsigned long long)get(&stage->readers[i].next),
                   (unsigned long long)get(&stage->readers[i].aborted));
    }
    print_times("from the kill to the next message, where readers waited for it", &blocked);
    print_times("from the kill to aetherd's repair", &repaired);
    print_times("the same for those who were there before this aetherd", &repaired_adopted);
    printf("# %llu kills, %llu of them in a claim, %llu aborted, %llu messages, %llu daemon kills, %llu stopped, %llu "
           "readers killed, %u failures\n",
           (unsigned long long)report.kills, (unsigned long long)report.hits, (unsigned long long)report.aborted,
           (unsigned long long)report.messages, (unsigned long long)report.daemons, (unsigned long long)report.stopped,
           (unsigned long long)report.readers, report.done ? 0 : 1);
}

static void kill_publishers(uint64_t kills) {
    const uint64_t began = now_ms();

    for (unsigned number = 0; number < ACTS || report.kills < kills; number++) {
        const uint64_t acts_left = number < ACTS ? ACTS - number : 1;
        const uint64_t left = kills > report.kills ? kills - report.kills : 1, share = left / acts_left + 1;
        const uint64_t until = report.kills + (share < ACT_KILLS ? share : ACT_KILLS), aborted = report.aborted;
        const uint64_t from = report.kills;
        begin_act(number);
        while (report.kills < until)
            play_round();
        end_act();
        if (number < ACTS)
            ok("%s: %llu kills, %llu aborted", act->name, (unsigned long long)(report.kills - from),
               (unsigned long long)(report.aborted - aborted));
        else if (number % ACTS == 0)
            printf("# %llu s: %llu kills, %llu in a claim\n", (unsigned long long)(now_ms() - began) / 1000,
                   (unsigned long long)report.kills, (unsigned long long)report.hits);
    }
}

/* ---- how long it takes ---- */

/* Publishes one by one, all the time but not more than a core has time for. */
static void publish_slowly(unsigned id) {
    const struct timespec span = {.tv_nsec = 20000};
    aether_client *client = connect_as("slow publisher");
    struct author author;

    author_begin(&author, authors, id, &act->config, 1);
    open_publisher(&author, client);
    set(&stage->opened[id], 1);
    while (!get(&stage->stop)) {
        (void)author_batch(&author, 1);
        nanosleep(&span, NULL);
    }
    author_end(&author);
    aether_disconnect(client);
}

/*
 * A publisher is killed in the middle of a batch, while another one publishes and a reader waits. Only kills that hit
 * an open claim count: from there to the first message behind it.
 */
static void measure_recovery(uint64_t count) {
    static struct times gone;
    pid_t slow;

    memset(stage, 0, sizeof *stage);
    act = &recovery_act;
    snprintf(stage->topic, sizeof stage->topic, "publishers/recovery");
    authored_length = mostly_large;
    open_lookout();
    start_reader(0);
    AWAIT_ALIVE(get(&stage->readers[0].joined) != 0);
    slow = spawn(publish_slowly, 0);
    AWAIT_ALIVE(get(&stage->opened[0]) != 0);
    for (uint64_t id = 0; blocked.count < count; report.kills++) {
        const uint64_t aborted = get(&stage->readers[0].aborted);
        uint64_t since, next;
        pid_t pid;
        alarm(LIFE_S);
        id = id + 1 < AUTHORS_MAX ? id + 1 : 1;
        set(&authors->by[id].told, 0);
        set(&stage->readers[0].heard[id], 0);
        pid = spawn(publish, (unsigned)BATCH << 16 | (unsigned)id);
        AWAIT_ALIVE(get(&authors->by[id].told) > WIDE);
        ids[0] = id;
        (void)lie_in_wait();
        since = now_ns();
        kill_child(pid);
        sample(&gone, since);
        next = get(&authors->by[0].told) + 2;
        AWAIT_ALIVE(get(&stage->readers[0].heard[0]) >= next);
        if (get(&stage->readers[0].aborted) != aborted) {
            sample(&blocked, since + now_ns() - get(&stage->readers[0].aborted_ns));
            report.hits++;
        }
        check_dead(id);
    }
    print_times("from the kill until the process is gone", &gone);
    set(&stage->stop, 1);
    join_child(slow);
    set(&stage->last, 1);
    join_child(readers[0]);
    aether_subscriber_close(lookout);
    aether_disconnect(watcher);
    report.aborted = stage->readers[0].aborted;
    report.messages = stage->readers[0].delivered;
    ok("%llu kills in an open claim", (unsigned long long)report.hits);
}

int main(int argc, char **argv) {
    const bool recovery = argc > 1 && strcmp(argv[1], "--recovery") == 0;
    const char *number = argc > 1 + recovery ? argv[1 + recovery] : NULL;
    uint64_t count;

    stage = share(sizeof *stage);
    authors = share(sizeof *authors);
    atexit(print_report);
    test_begin(recovery ? 1 : ACTS);
    count = number != NULL ? strtoull(number, NULL, 0)
                           : setting("AETHER_TEST_KILLS", recovery    ? 200
                                                          : SANITIZED ? 160
                                                                      : 1000);
    seed = argc > 2 + recovery ? strtoull(argv[2 + recovery], NULL, 0) : setting("AETHER_TEST_SEED", 1);
    REQUIRE(aether_inspect_open(&inspector, test.socket) == 0);
    if (recovery)
        measure_recovery(count);
    else
        kill_publishers(count);
    report.done = true;
    aether_inspect_close(inspector);
    return 0;
}
