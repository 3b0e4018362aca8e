/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kill -9 of publishers at random moments of everything that they do: in batches, loans and lanes, while the bias is
 * taken and revoked, while they open and close, while another publisher is stopped, and while aetherd is killed, too,
 * and its successor repairs. Subscribers check everything all the time. After each kill the test checks that every
 * message whose publish had returned 0 arrives, in order, at every subscriber; that of the call that was cut short a
 * first part arrives and the rest is aborted; and that new messages arrive.
 *
 * usage: data_publishers_kill [KILLS [SEED]]        a campaign with a report
 *        data_publishers_kill --recovery N [SEED]   how long subscribers wait for a dead publisher's claim
 *
 * Without arguments AETHER_TEST_KILLS and AETHER_TEST_SEED say the same.
 */
#include "lib/traffic.h"

#define PUBLISHERS_MAX 6u
#define SUBSCRIBERS_MAX 5u
#define STEADY 2u /* the first subscribers are reliable, never killed, and receive everything */
#define ACT_KILLS 120u
#define SAMPLES 65536u
#define WIDE (SANITIZED ? 128u : 1024u) /* messages of the largest batch */

/* What a publisher does. */
enum way {
    MIXED, /* all forms of publishing */
    BATCH, /* large batches of large messages: it is in the middle of a claim most of the time */
    GUEST  /* opens, publishes a few messages, and closes: gets the bias, or has it revoked */
};

static const struct act {
    const char *name;
    unsigned subscribers, publishers;
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
    uint64_t last; /* all publishers have ended */
    uint64_t opened[IDS_MAX];
    struct {
        uint64_t joined, next, aborted, delivered, entries;
        uint64_t aborted_ns; /* when it last passed an aborted sequence */
        uint64_t counters[IDS_MAX];
    } subscribers[SUBSCRIBERS_MAX];
} * stage;

static struct ledger *ledger;
static const struct act *act;
static uint64_t seed;

static pid_t pids[PUBLISHERS_MAX], subscribers[SUBSCRIBERS_MAX];
static uint64_t ids[PUBLISHERS_MAX], next_id; /* in the ledger */
static bool adopted[PUBLISHERS_MAX];          /* from before this aetherd was started, which checks it every second */
static uint64_t abortable;                    /* sequences that killed publishers may have left pending in this act */
static aether_inspector *inspector;
static aether_client *watcher;    /* of the parent */
static aether_subscriber *newest; /* the parent's subscriber, latest */

static struct {
    uint64_t kills, hits, aborted, messages, daemons, stopped, subscribers;
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

/* Opens are tried again while there is no daemon, and while a dead publisher is believed alive. */
static bool try_again(int rc) {
    return no_daemon(rc) || (rc == -EBUSY && act->config.publishers == AETHER_PUBLISHERS_EXCLUSIVE);
}

static void open_publisher(struct test_publisher *publisher, aether_client *client) {
    int rc;

    AWAIT(!try_again(rc = aether_publisher_open(client, stage->topic, &act->config, &publisher->pub)));
    REQUIRE(rc == 0);
}

static void publish_step(struct test_publisher *publisher, enum way way, uint64_t random) {
    int rc;

    if (way == BATCH)
        rc = publisher_batch(publisher, 1 + random % publisher->batch_max);
    else
        rc = publisher_publish_any(publisher, random, UINT64_MAX);
    if (rc == AETHER_FULL)
        REQUIRE(aether_publisher_wait(publisher->pub, 8, 1000000) >= 0);
}

static void publish(unsigned arg) {
    const enum way way = (enum way)(arg >> 16);
    const unsigned id = arg & 0xffff;
    aether_client *client = connect_patiently("publisher");
    struct test_publisher publisher;
    uint64_t random = seed ^ mix(id);

    publisher_begin(&publisher, ledger, id, &act->config, act_batch());
    open_publisher(&publisher, client);
    set(&stage->opened[id], 1);
    while (!get(&stage->stop)) {
        const uint64_t r = next_random(&random);
        publish_step(&publisher, way, r);
        if (way == GUEST && (r >> 56) % 4 == 0) {
            aether_publisher_close(publisher.pub);
            open_publisher(&publisher, client);
        }
    }
    publisher_end(&publisher);
    aether_disconnect(client);
}

/* ---- subscribers ---- */

static const aether_policy policies[SUBSCRIBERS_MAX] = {AETHER_RELIABLE, AETHER_RELIABLE, AETHER_RELIABLE,
                                                        AETHER_BEST_EFFORT, AETHER_LATEST};

static struct test_subscriber open_subscriber(aether_client *client, unsigned me) {
    const aether_subscribe_options options = {
        .policy = policies[me],
        .from = me < STEADY ? AETHER_FROM_NEW : (aether_from)(now_ns() % 2),
        .views = me == 3 ? AETHER_VIEWS_IN_PLACE : AETHER_VIEWS_COPY,
    };
    struct test_subscriber subscriber = {.max_message = act->config.max_message,
                                         .gaps_allowed = policies[me] != AETHER_RELIABLE,
                                         .latest = policies[me] == AETHER_LATEST,
                                         .in_place = me == 3,
                                         .aborts_allowed = true,
                                         .ledger = ledger,
                                         .counters = stage->subscribers[me].counters,
                                         .strict = me < STEADY};
    int rc;

    memset(subscriber.counters, 0, sizeof stage->subscribers[me].counters);
    AWAIT(!try_again(rc = aether_subscriber_open(client, stage->topic, &options, &act->config, &subscriber.sub)));
    REQUIRE(rc == 0);
    subscriber.expected = aether_subscriber_next(subscriber.sub);
    subscriber.kept_from =
        options.from == AETHER_FROM_NEW ? subscriber.expected : act->config.start_seq + ledger_claimed_most(ledger);
    return subscriber;
}

static void receive_all(unsigned me) {
    aether_client *client = connect_patiently("subscriber");
    struct test_subscriber subscriber = open_subscriber(client, me);
    uint64_t random = seed + me, aborted = 0;

    set(&stage->subscribers[me].next, subscriber.expected);
    set(&stage->subscribers[me].joined, subscriber.expected + 1);
    for (;;) {
        const aether_stream state = aether_subscriber_stream(subscriber.sub);
        const bool last = get(&stage->last) != 0;
        const int n = receive_some(&subscriber, (unsigned)(next_random(&random) >> 32));

        if (subscriber.aborted != aborted) {
            set(&stage->subscribers[me].aborted_ns, now_ns());
            set(&stage->subscribers[me].aborted, aborted = subscriber.aborted);
        }
        set(&stage->subscribers[me].next, aether_subscriber_next(subscriber.sub)); /* past what was aborted last */
        if (n > 0)
            add(&stage->subscribers[me].entries, 1);
        else if (last && state >= AETHER_STREAM_CLOSED)
            break;
        else
            (void)aether_wait(subscriber.sub, 2000000);
    }
    check_conserved(&subscriber);
    set(&stage->subscribers[me].delivered, subscriber.delivered);
    aether_subscriber_close(subscriber.sub);
    aether_disconnect(client);
}

/* ---- the parent ---- */

/* A child that has ended by itself has found an error, and printed it. */
static void check_children(void) {
    siginfo_t info = {0};

    REQUIRE(waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0);
    if (info.si_pid != 0)
        fail("process %d has ended by itself", (int)info.si_pid);
}

/* As AWAIT and AWAIT_PROGRESS, and no child may end meanwhile. */
#define AWAIT_ALIVE(condition) AWAIT((check_children(), condition))
#define AWAIT_PROGRESS_ALIVE(word, condition) AWAIT_PROGRESS(word, (check_children(), condition))

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
    REQUIRE(next_id < IDS_MAX);
    ids[p] = next_id++;
    pids[p] = spawn(publish, (unsigned)act->ways[p] << 16 | (unsigned)ids[p]);
    adopted[p] = false;
}

static void start_subscriber(unsigned me) {
    set(&stage->subscribers[me].joined, 0);
    subscribers[me] = spawn(receive_all, me);
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

/* Waits until the daemon has retired all dead publishers. */
static void await_repair(void) {
    struct patience patience = patience_with(known());
    unsigned count;

    while ((count = known()) > alive()) {
        check_children();
        if (patience_over(&patience, count))
            fail("aetherd has not seen a death within %u s", DEADLINE_S);
        sched_yield();
    }
}

/* All messages that the dead publisher had published have arrived, and of its last call a first part. */
static void check_dead(uint64_t id) {
    const uint64_t returned = get(&ledger->by[id].returned), in_call = ledger_in_call(ledger, id);

    for (unsigned i = 0; i < STEADY && i < act->subscribers; i++) {
        const uint64_t received = get(&stage->subscribers[i].counters[id]);
        if (received < returned || received > returned + in_call ||
            received != get(&stage->subscribers[0].counters[id]))
            fail(
                "subscriber %u received %llu messages of publisher %llu, which had published %llu and was at %llu more",
                i, (unsigned long long)received, (unsigned long long)id, (unsigned long long)returned,
                (unsigned long long)in_call);
    }
    abortable += returned + in_call - get(&stage->subscribers[0].counters[id]);
}

/* The steady subscribers have received the new publisher's first message, and so everything before that. */
static void await_flow(uint64_t id) {
    for (unsigned i = 0; i < STEADY; i++)
        AWAIT_ALIVE(get(&stage->subscribers[i].counters[id]) != 0);
}

/* ---- rounds ---- */

enum event { PLAIN, SEVERAL, STOPPED, STOPPED_TOO, DAEMON, DAEMON_LATER, NEWBORN, SUBSCRIBER, EVENTS };

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

/* A publisher is killed in its open, or in its first publish. */
static void kill_newborn(unsigned victim) {
    kill_publisher(victim);
    start_publisher(victim);
    if (next_random(&seed) & 1)
        AWAIT_PROGRESS_ALIVE(steps_of(pids[victim]), get(&stage->opened[ids[victim]]) != 0);
    random_pause();
    kill_publisher(victim);
}

static void kill_subscriber(unsigned victim) {
    const unsigned subscriber = STEADY + (unsigned)(next_random(&seed) % (act->subscribers - STEADY));

    kill_child(subscribers[subscriber]);
    random_pause();
    kill_publisher(victim);
    report.subscribers++;
    start_subscriber(subscriber);
    AWAIT_PROGRESS_ALIVE(steps_of(subscribers[subscriber]), get(&stage->subscribers[subscriber].joined) != 0);
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
    case SUBSCRIBER:
        kill_subscriber(victim);
        break;
    default:
        kill_publisher(victim);
        break;
    }
}

/* Finds the publisher of the newest message. False: there is none, or that message is the last one of its call. */
static bool in_a_claim(unsigned *victim) {
    aether_message message;
    uint64_t word, publisher, counter, returned;

    if (aether_receive(newest, &message) <= 0 || message.len < 8)
        return false;
    memcpy(&word, message.data, 8);
    publisher = word >> COUNTER_BITS;
    REQUIRE(publisher < IDS_MAX);
    counter = word & ((1ull << COUNTER_BITS) - 1);
    returned = get(&ledger->by[publisher].returned);
    for (*victim = 0; *victim < act->publishers; ++*victim) {
        if (ids[*victim] == publisher)
            return counter > returned && counter < returned + ledger_in_call(ledger, publisher);
    }
    return false;
}

struct call {
    uint64_t number, since;
};

/* Finds a publisher in a call of more than 5 us: it revokes a bias, wakes a subscriber, or isn't scheduled. */
static bool in_a_long_call(struct call *calls, uint64_t now, unsigned *victim) {
    for (*victim = 0; *victim < act->publishers; ++*victim) {
        const uint64_t number = get(&ledger->by[ids[*victim]].in_call);
        struct call *call = &calls[*victim];
        if (number == 0 || number != call->number)
            *call = (struct call){number, now};
        else if (now - call->since > 5000)
            return true;
    }
    return false;
}

/* Chooses the victim and the moment: any moment, or the middle of a call that takes microseconds. */
static unsigned choose_victim(void) {
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
    const uint64_t aborted = get(&stage->subscribers[0].aborted), first_new = next_id;
    const unsigned victim = choose_victim(), other = other_than(victim);
    const bool measured = event == PLAIN, was_adopted = adopted[victim];
    const uint64_t since = now_ns();
    uint64_t before[PUBLISHERS_MAX];

    memcpy(before, ids, sizeof before);
    play_event(event, victim, other);
    /* At an open aetherd checks the topic's clients at once; those that it has adopted otherwise once a second. */
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
    for (uint64_t id = first_new; id < next_id; id++) { /* publishers that were killed in their open */
        if (!among(ids, id))
            check_dead(id);
    }
    if (get(&stage->subscribers[0].aborted) == aborted)
        return;
    report.hits++;
    if (measured && !was_adopted)
        sample(&blocked, since + now_ns() - get(&stage->subscribers[0].aborted_ns));
}

/* ---- acts ---- */

/* The parent receives the newest message, too. */
static void open_newest(void) {
    const aether_subscribe_options options = {.policy = AETHER_LATEST};

    watcher = connect_as("parent");
    REQUIRE(aether_subscriber_open(watcher, stage->topic, &options, &act->config, &newest) == 0);
}

static void begin_act(unsigned number) {
    memset(stage, 0, sizeof *stage);
    ledger_reset(ledger);
    act = &acts[number % ACTS];
    snprintf(stage->topic, sizeof stage->topic, "publishers/kill/%u", number);
    word_len = act->ways[0] == BATCH ? mostly_large : mixed_word_len;
    next_id = abortable = 0;
    open_newest();
    for (unsigned i = 0; i < act->subscribers; i++) {
        start_subscriber(i);
        AWAIT_PROGRESS_ALIVE(steps_of(subscribers[i]), get(&stage->subscribers[i].joined) != 0);
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
    for (unsigned i = 0; i < act->subscribers; i++) {
        join_child(subscribers[i]);
        subscribers[i] = 0;
        REQUIRE(stage->subscribers[i].next == stage->subscribers[0].next);
    }
    for (unsigned i = 0; i < STEADY; i++) {
        REQUIRE(stage->subscribers[i].aborted == stage->subscribers[0].aborted &&
                stage->subscribers[i].aborted <= abortable);
        REQUIRE(stage->subscribers[i].delivered == stage->subscribers[0].delivered);
    }
    for (unsigned p = 0; p < act->publishers; p++)
        REQUIRE(stage->subscribers[0].counters[ids[p]] == get(&ledger->by[ids[p]].returned));
    report.aborted += stage->subscribers[0].aborted;
    report.messages += stage->subscribers[0].delivered;
    aether_subscriber_close(newest);
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

/* Also after a failure. */
static void print_report(void) {
    if (test.cases == UINT32_MAX)
        return;
    if (!report.done && act != NULL) {
        printf("# failed in '%s' on %s, next number %llu\n", act->name, stage->topic, (unsigned long long)next_id);
        for (unsigned p = 0; p < act->publishers; p++)
            printf("# publisher %u: pid %d, number %llu, returned %llu, in call %llu\n", p, (int)pids[p],
                   (unsigned long long)ids[p], (unsigned long long)get(&ledger->by[ids[p]].returned),
                   (unsigned long long)ledger_in_call(ledger, ids[p]));
        for (unsigned i = 0; i < act->subscribers; i++)
            printf("# subscriber %u: next %llu, aborted %llu\n", i,
                   (unsigned long long)get(&stage->subscribers[i].next),
                   (unsigned long long)get(&stage->subscribers[i].aborted));
    }
    print_times("from the kill to the next message, where subscribers waited for it", &blocked);
    print_times("from the kill to aetherd's repair", &repaired);
    print_times("the same for publishers from before this aetherd", &repaired_adopted);
    printf("# %llu kills, %llu of them in a claim, %llu aborted, %llu messages, %llu daemon kills, %llu stopped, %llu "
           "subscribers killed, %u failures\n",
           (unsigned long long)report.kills, (unsigned long long)report.hits, (unsigned long long)report.aborted,
           (unsigned long long)report.messages, (unsigned long long)report.daemons, (unsigned long long)report.stopped,
           (unsigned long long)report.subscribers, report.done ? 0 : 1);
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

/* Publishes one message every 20 us. */
static void publish_slowly(unsigned id) {
    const struct timespec span = {.tv_nsec = 20000};
    aether_client *client = connect_as("slow publisher");
    struct test_publisher publisher;

    publisher_begin(&publisher, ledger, id, &act->config, 1);
    open_publisher(&publisher, client);
    set(&stage->opened[id], 1);
    while (!get(&stage->stop)) {
        (void)publisher_batch(&publisher, 1);
        nanosleep(&span, NULL);
    }
    publisher_end(&publisher);
    aether_disconnect(client);
}

/*
 * A publisher is killed in the middle of a batch, while another one publishes and a subscriber waits. Measures from a
 * kill that hits an open claim to the first message behind that claim.
 */
static void measure_recovery(uint64_t count) {
    static struct times gone;
    pid_t slow;

    memset(stage, 0, sizeof *stage);
    act = &recovery_act;
    snprintf(stage->topic, sizeof stage->topic, "publishers/recovery");
    word_len = mostly_large;
    open_newest();
    start_subscriber(0);
    AWAIT_ALIVE(get(&stage->subscribers[0].joined) != 0);
    slow = spawn(publish_slowly, 0);
    AWAIT_ALIVE(get(&stage->opened[0]) != 0);
    for (uint64_t id = 0; blocked.count < count; report.kills++) {
        const uint64_t aborted = get(&stage->subscribers[0].aborted);
        uint64_t since, next;
        pid_t pid;
        id = id + 1 < IDS_MAX ? id + 1 : 1;
        set(&ledger->by[id].returned, 0);
        set(&stage->subscribers[0].counters[id], 0);
        pid = spawn(publish, (unsigned)BATCH << 16 | (unsigned)id);
        AWAIT_PROGRESS_ALIVE(steps_of(pid), get(&ledger->by[id].returned) > WIDE);
        ids[0] = id;
        (void)choose_victim();
        since = now_ns();
        kill_child(pid);
        sample(&gone, since);
        next = get(&ledger->by[0].returned) + 2;
        AWAIT_PROGRESS_ALIVE(get(&stage->subscribers[0].counters[0]), get(&stage->subscribers[0].counters[0]) >= next);
        if (get(&stage->subscribers[0].aborted) != aborted) {
            sample(&blocked, since + now_ns() - get(&stage->subscribers[0].aborted_ns));
            report.hits++;
        }
        check_dead(id);
    }
    print_times("from the kill until the process is gone", &gone);
    set(&stage->stop, 1);
    join_child(slow);
    set(&stage->last, 1);
    join_child(subscribers[0]);
    aether_subscriber_close(newest);
    aether_disconnect(watcher);
    report.aborted = stage->subscribers[0].aborted;
    report.messages = stage->subscribers[0].delivered;
    ok("%llu kills in an open claim", (unsigned long long)report.hits);
}

int main(int argc, char **argv) {
    const bool recovery = argc > 1 && strcmp(argv[1], "--recovery") == 0;
    const char *number = argc > 1 + recovery ? argv[1 + recovery] : NULL;
    uint64_t count;

    stage = share(sizeof *stage);
    ledger = share(sizeof *ledger);
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
