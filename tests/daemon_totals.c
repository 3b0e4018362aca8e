/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Publishers and subscribers open, close and are killed, and so is aetherd, again and again. A reader of metrics checks
 * that no counter of the topic ever runs backwards, and that in the end they are what the processes counted.
 *
 * In the first cases everything is killed at any moment; a reliable subscriber that is never killed has received
 * everything, so it knows how much was published. In the last case processes are killed only while they rest: there
 * the counters must be exactly the sums of what each process counted itself.
 *
 * AETHER_TEST_ROUNDS and AETHER_TEST_SEED change the number of kills and their order.
 */
#include "lib/traffic.h"

#define PUBLISHERS 4u
#define SUBSCRIBERS 6u
#define ROLES (PUBLISHERS + SUBSCRIBERS)
#define DELAY_NS 3000000u
#define BATCH 64u
#define LONGEST 4000u /* bytes a message */

enum phase { GO, PUBLISHERS_REST, ALL_REST };

/* What a process has counted over all its publishers or subscribers. */
struct counts {
    uint64_t messages, bytes, batches, lost, gaps, aborted, skipped, accounted;
};

static struct stage {
    char topic[32];
    uint64_t phase;              /* counts: each third one begins with GO */
    uint64_t resting[ROLES];     /* in this phase */
    uint64_t opened;             /* handles, over all processes */
    struct counts counts[ROLES]; /* as of the last rest or close; a successor goes on with them */
    uint64_t witness_joined, witness_delivered, witness_aborted, witness_end;
} * stage;

/* Long messages in slots: a publisher writes them after its claim, and many kills hit it there. */
static const aether_topic_config config = {.max_message = LONGEST, .capacity = 256};
static pid_t pids[ROLES];
static uint64_t seed, rounds;

/* ---- processes ---- */

static bool ended(void) {
    return get(&stage->phase) == UINT64_MAX;
}

/* Rests while the phase is `from` or the one after it. False: the test ends. */
static bool rest(unsigned me, enum phase from) {
    uint64_t phase;

    while ((phase = get(&stage->phase)) != UINT64_MAX && phase % 3 >= from) {
        set(&stage->resting[me], phase);
        poll_pause();
    }
    return !ended();
}

static bool publish_once(aether_publisher *pub, struct counts *counts, uint64_t random) {
    static unsigned char data[BATCH][LONGEST];
    struct iovec messages[BATCH];
    const size_t count = random % 3 != 0 ? 1 : random / 3 % BATCH + 1; /* long, so that kills hit them */
    uint64_t bytes = 0;
    int rc;

    for (size_t i = 0; i < count; i++) {
        messages[i] = (struct iovec){data[i], 1 + (size_t)(mix(random + i) % LONGEST)};
        bytes += messages[i].iov_len;
    }
    rc = count == 1 ? aether_publish(pub, data[0], messages[0].iov_len) : aether_publish_batch(pub, messages, count);
    if (rc == AETHER_FULL)
        return aether_publisher_wait(pub, LONGEST, 1000000) >= 0;
    counts->messages += rc == 0 ? count : 0;
    counts->bytes += rc == 0 ? bytes : 0;
    counts->batches += rc == 0 && count > 1;
    return rc == 0;
}

static void play_publisher(unsigned me) {
    aether_client *client = connect_patiently("publisher");
    uint64_t random = seed ^ now_ns() ^ mix(me);
    struct counts *counts = &stage->counts[me];
    aether_publisher *pub;
    int rc;

    while (rest(me, PUBLISHERS_REST)) {
        AWAIT(!no_daemon(rc = aether_publisher_open(client, stage->topic, &config, &pub)));
        REQUIRE(rc == 0);
        add(&stage->opened, 1);
        while (rest(me, PUBLISHERS_REST) && next_random(&random) % 1000 != 0)
            REQUIRE(publish_once(pub, counts, next_random(&random)));
        aether_publisher_close(pub);
    }
    aether_disconnect(client);
}

static aether_subscriber *open_subscriber(aether_client *client, uint64_t random) {
    const aether_subscribe_options options = {.policy = (aether_policy)(random % 3),
                                              .from = (aether_from)(random / 3 % 3),
                                              .last = random / 3 % 3 == AETHER_FROM_LAST ? random / 9 % 300 : 0,
                                              .views = (aether_views)(random / 3000 % 2)};
    aether_subscriber *sub = NULL;
    int rc;

    AWAIT(!no_daemon(rc = aether_subscriber_open(client, stage->topic, &options, &config, &sub)));
    REQUIRE(rc == 0);
    return sub;
}

/* Receives what there is, or one message. Counts messages and bytes by itself; the rest follows from gaps. */
static void receive(aether_subscriber *sub, struct counts *counts, bool all) {
    aether_message message;
    int rc;

    while ((rc = aether_receive(sub, &message)) > 0) {
        counts->messages += message.lost == 0;
        counts->bytes += message.lost == 0 ? message.len : 0;
        counts->lost += message.lost;
        counts->gaps += message.lost != 0;
        if (!all)
            break;
    }
    REQUIRE(rc >= 0);
}

/* Adds what only the library counts, since the counters in *before. */
static void count_rest(const aether_subscriber *sub, struct counts *counts, aether_subscriber_stats *before) {
    aether_subscriber_stats now;

    aether_subscriber_get_stats(sub, &now);
    counts->aborted += now.aborted - before->aborted;
    counts->skipped += now.skipped - before->skipped;
    counts->accounted += now.next - now.joined - (before->next - before->joined);
    *before = now;
}

static void play_subscriber(unsigned me) {
    aether_client *client = connect_patiently("subscriber");
    uint64_t random = seed ^ now_ns() ^ mix(me);
    struct counts *counts = &stage->counts[me];

    while (rest(me, ALL_REST)) {
        aether_subscriber *sub = open_subscriber(client, next_random(&random));
        aether_subscriber_stats before = {0};
        add(&stage->opened, 1);
        while (!ended() && next_random(&random) % 300 != 0) {
            receive(sub, counts, get(&stage->phase) % 3 == ALL_REST || next_random(&random) % 2 == 0);
            if (get(&stage->phase) % 3 == ALL_REST) {
                receive(sub, counts, true);
                count_rest(sub, counts, &before);
                (void)rest(me, ALL_REST);
            }
            REQUIRE(aether_wait(sub, 1000000) >= 0);
        }
        count_rest(sub, counts, &before);
        aether_subscriber_close(sub);
    }
    aether_disconnect(client);
}

/* Receives everything. */
static void play_witness(unsigned arg) {
    aether_client *client = connect_patiently("witness");
    struct counts counts = {0};
    aether_subscriber_stats stats;
    aether_subscriber *sub;

    (void)arg;
    REQUIRE(aether_subscriber_open(client, stage->topic, NULL, &config, &sub) == 0);
    aether_subscriber_get_stats(sub, &stats);
    set(&stage->witness_joined, stats.joined + 1);
    while (get(&stage->witness_end) == 0 || aether_subscriber_next(sub) != get(&stage->witness_end) - 1) {
        receive(sub, &counts, true);
        REQUIRE(aether_wait(sub, 1000000) >= 0);
    }
    REQUIRE(counts.lost == 0);
    aether_subscriber_get_stats(sub, &stats);
    REQUIRE(stats.delivered == counts.messages);
    set(&stage->witness_delivered, counts.messages);
    set(&stage->witness_aborted, stats.aborted);
    aether_subscriber_close(sub);
    aether_disconnect(client);
}

static void start_role(unsigned role) {
    pids[role] = spawn(role < PUBLISHERS ? play_publisher : play_subscriber, role);
}

/* ---- the reader ---- */

static aether_metrics *metrics;
static aether_topic_metrics last;

/* Fails if a counter of the topic is less than before. */
static aether_topic_metrics read_figures(void) {
    const aether_metric *table;
    aether_topic_metrics now;
    size_t count;

    REQUIRE(aether_metrics_find(metrics, stage->topic, &now) == 1);
    table = aether_metrics_table(&count);
    for (size_t i = 0; i < count; i++) {
        if (table[i].scope != AETHER_SCOPE_TOPIC || table[i].kind != AETHER_COUNTER)
            continue;
        const uint64_t before = aether_metric_value(&table[i], &last), value = aether_metric_value(&table[i], &now);
        if (value < before)
            fail("%s ran backwards: %llu, then %llu", table[i].name, (unsigned long long)before,
                 (unsigned long long)value);
    }
    for (unsigned i = 0; i < AETHER_LATENCY_BUCKETS; i++)
        REQUIRE(now.latency.buckets[i] >= last.latency.buckets[i]);
    REQUIRE(now.accounted == now.delivered + now.lost + now.aborted + now.skipped);
    last = now;
    return now;
}

static void open_stage(const char *topic) {
    memset(stage, 0, sizeof *stage);
    memset(&last, 0, sizeof last);
    snprintf(stage->topic, sizeof stage->topic, "totals/%s", topic);
}

static bool is_empty(void) {
    const aether_topic_metrics now = read_figures();

    return now.publisher_count + now.subscriber_count == 0;
}

/* ---- kills at any moment ---- */

static void act(uint64_t *random) {
    switch (next_random(random) % 4) {
    case 0: /* aetherd dies while it finds out about others */
        for (uint64_t n = 1 + next_random(random) % 4; n > 0; n--) {
            const unsigned role = (unsigned)(next_random(random) % ROLES);
            kill_child(pids[role]);
            start_role(role);
        }
        if (next_random(random) % 2 == 0)
            random_delay(random, DELAY_NS / 4);
        daemon_kill();
        read_figures();
        daemon_start();
        break;
    case 1:
        daemon_kill();
        read_figures();
        random_delay(random, DELAY_NS);
        daemon_start();
        break;
    default: {
        const unsigned role = (unsigned)(next_random(random) % ROLES);
        kill_child(pids[role]);
        read_figures();
        start_role(role);
        break;
    }
    }
    for (uint64_t until = now_ns() + next_random(random) % DELAY_NS; now_ns() < until;)
        read_figures();
}

static void kills_at_any_moment(void) {
    uint64_t random = seed;
    pid_t witness;

    open_stage("wild");
    witness = spawn(play_witness, 0);
    AWAIT(get(&stage->witness_joined) != 0);
    for (unsigned role = 0; role < ROLES; role++)
        start_role(role);
    AWAIT(aether_metrics_find(metrics, stage->topic, &last) == 1); /* with its first publisher */
    for (uint64_t round = 0; round < rounds; round++)
        act(&random);
    set(&stage->phase, UINT64_MAX);
    for (unsigned role = 0; role < ROLES; role++)
        join_child(pids[role]);
    AWAIT(read_figures().publisher_count == 0);
    const aether_topic_metrics end = read_figures();
    set(&stage->witness_end, end.info.next_seq + 1);
    join_child(witness);
    AWAIT(is_empty());
    printf("# %llu handles, %llu messages, %llu aborted\n", (unsigned long long)get(&stage->opened),
           (unsigned long long)last.published, (unsigned long long)get(&stage->witness_aborted));
    ok("%llu kills at any moment: no counter of a topic runs backwards", (unsigned long long)rounds);
    REQUIRE(last.published == get(&stage->witness_delivered));
    ok("the topic's totals have each message that was published once");
}

/* ---- kills of processes that rest ---- */

static struct counts sum_of(unsigned first, unsigned end) {
    struct counts sum = {0};

    for (unsigned role = first; role < end; role++) {
        const struct counts *one = &stage->counts[role];
        sum.messages += one->messages;
        sum.bytes += one->bytes;
        sum.batches += one->batches;
        sum.lost += one->lost;
        sum.gaps += one->gaps;
        sum.aborted += one->aborted;
        sum.skipped += one->skipped;
        sum.accounted += one->accounted;
    }
    return sum;
}

/* Begins the next phase. Returns when the roles below `end` rest. */
static void let_rest(unsigned end) {
    const uint64_t phase = get(&stage->phase) + 1;

    set(&stage->phase, phase);
    for (unsigned role = 0; role < end; role++)
        AWAIT(get(&stage->resting[role]) == phase);
}

static void same(const char *what, uint64_t counted, uint64_t has) {
    if (counted != has)
        fail("%s: the processes counted %llu, the topic has %llu", what, (unsigned long long)counted,
             (unsigned long long)has);
}

static void compare(void) {
    const struct counts published = sum_of(0, PUBLISHERS), received = sum_of(PUBLISHERS, ROLES);
    const aether_topic_metrics now = read_figures();

    same("published", published.messages, now.published);
    same("delivered", received.messages, now.delivered);
    same("lost", received.lost, now.lost);
    same("gaps", received.gaps, now.gaps);
    same("aborted", received.aborted, now.aborted);
    same("skipped", received.skipped, now.skipped);
    same("accounted", received.accounted, now.accounted);
    /* These are as of the last visit to the slow path. */
    REQUIRE(now.delivered_bytes <= received.bytes && now.published_bytes <= published.bytes);
    REQUIRE(now.batches <= published.batches);
}

static void kills_at_rest(void) {
    uint64_t random = seed + 1;
    aether_client *creator;

    open_stage("rest");
    creator = connect_as("creator");
    REQUIRE(aether_topic_create(creator, stage->topic, &config) == 0);
    aether_disconnect(creator);
    for (unsigned role = 0; role < ROLES; role++)
        start_role(role);
    for (uint64_t round = 0; round < rounds / 3; round++) {
        const uint64_t before = get(&stage->opened) + 20;
        const bool killed = round % 2 == 0;
        AWAIT_PROGRESS(get(&stage->opened), get(&stage->opened) >= before);
        let_rest(PUBLISHERS);
        let_rest(ROLES);
        compare();
        if (killed && next_random(&random) % 2 == 0)
            daemon_kill();
        for (uint64_t n = next_random(&random) % 4; n > 0; n--) {
            const unsigned role = (unsigned)(next_random(&random) % ROLES);
            if (pids[role] != 0)
                kill_child(pids[role]);
            pids[role] = 0;
            compare();
        }
        if (killed && test.daemon != 0)
            daemon_kill();
        compare();
        if (killed)
            daemon_start();
        compare();
        add(&stage->phase, 1);
        for (unsigned role = 0; role < ROLES; role++) {
            if (pids[role] == 0)
                start_role(role);
        }
    }
    set(&stage->phase, UINT64_MAX);
    for (unsigned role = 0; role < ROLES; role++)
        join_child(pids[role]);
    AWAIT(is_empty());
    compare();
    ok("%llu rounds of kills at rest: a topic's counters are what the processes counted",
       (unsigned long long)rounds / 3);
}

int main(void) {
    test_begin(3);
    seed = setting("AETHER_TEST_SEED", 20261128);
    rounds = setting("AETHER_TEST_ROUNDS", SANITIZED ? 30 : 90);
    stage = share(sizeof *stage);
    REQUIRE(aether_metrics_open(&metrics, test.socket) == 0);
    kills_at_any_moment();
    kills_at_rest();
    aether_metrics_close(metrics);
    return 0;
}
