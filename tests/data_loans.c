/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Publishers that die while they fill loans: nobody is held up by them, the successor goes on in the same lane, and
 * nothing that somebody still looks at is overwritten. AETHER_TEST_SEED repeats a run.
 */
#include "lib/process.h"

#define CAPACITY 32u
#define LANE 65536u
#define ROUNDS (SANITIZED ? 40u : 200u)
#define LAPS 4u /* of the lane and the ring, by each successor */
#define HELD 4  /* messages that are looked at for long */

static struct stage {
    uint64_t seed;
    uint64_t published, full, filling; /* of the newest publisher */
    uint64_t loans_only;               /* it was killed while it filled loans */
    uint64_t goal;                     /* it fills loans for ever once it has published up to here */
    uint64_t hold;                     /* the holder keeps its views until this is another number than held */
    uint64_t held, checked;
    uint64_t next[2]; /* of the readers */
    uint64_t end;
} * stage;

static const aether_topic_config config = {.max_message = LANE / 2, .lane_bytes = LANE, .capacity = CAPACITY};

/* Mostly in the lane. */
static size_t loan_length(uint64_t seq, size_t max) {
    const uint64_t r = mix(seq ^ 0x10a);

    return r % 8 == 0 ? r >> 8 & 31 : r % 8 == 1 ? max : (r >> 8) % (max / 8);
}

/* ---- publishers ---- */

/* Takes two loans at a time and commits the second one first, where there is room for two. */
static int publish_two(aether_publisher *pub) {
    const uint64_t seq = aether_publisher_next(pub);
    const size_t max = aether_publisher_max_message(pub);
    aether_loan loans[2];
    int rc = aether_loan_take(pub, length_of(seq, max), &loans[0]);

    if (rc != 0)
        return rc;
    (void)payload_fill(loans[0].data, seq, max);
    rc = aether_loan_take(pub, length_of(seq + 1, max), &loans[1]);
    if (rc == 0) {
        (void)payload_fill(loans[1].data, seq + 1, max);
        if (aether_loan_commit(pub, &loans[0]) == 0 && aether_loan_commit(pub, &loans[1]) == 0)
            return 0;
        if (loans[0].data != NULL)
            REQUIRE(aether_loan_discard(pub, &loans[0]) == 0);
        REQUIRE(aether_loan_discard(pub, &loans[1]) == 0);
        return AETHER_FULL;
    }
    REQUIRE(rc == AETHER_FULL || rc == -ENOBUFS);
    if ((rc = aether_loan_commit(pub, &loans[0])) == AETHER_FULL)
        REQUIRE(aether_loan_discard(pub, &loans[0]) == 0);
    return rc;
}

/* Publishes up to the goal and then does nothing but fill loans, which are never committed, until it is killed. */
static void publish_and_fill(unsigned round) {
    aether_client *client = connect_as("filler");
    aether_publisher *pub = NULL;
    uint64_t random = stage->seed + round;
    int rc;

    AWAIT((rc = aether_publisher_open(client, "loans", &config, &pub)) != -EBUSY);
    REQUIRE(rc == 0);
    /* The next sequence is the one after what was committed, of which two may not have been told: loans took none. */
    REQUIRE(aether_publisher_next(pub) - get(&stage->published) <= (get(&stage->loans_only) ? 0 : 2));
    set(&stage->published, aether_publisher_next(pub));
    while ((int64_t)(get(&stage->goal) - aether_publisher_next(pub)) > 0) {
        if ((rc = publish_two(pub)) == AETHER_FULL)
            add(&stage->full, 1);
        REQUIRE(rc >= 0);
        set(&stage->published, aether_publisher_next(pub));
        if (rc == AETHER_FULL)
            sched_yield();
    }
    for (;;) {
        aether_loan loans[4];
        const unsigned count = 1 + (unsigned)(next_random(&random) % 4);
        unsigned taken = 0;
        while (taken < count && aether_loan_take(pub, 1 + next_random(&random) % 9000, &loans[taken]) == 0) {
            memset(loans[taken].data, 0xdd, loans[taken].len);
            taken++;
            set(&stage->filling, round + 1);
        }
        while (taken > 0)
            REQUIRE(aether_loan_discard(pub, &loans[--taken]) == 0);
    }
}

/* ---- readers ---- */

static struct reading open_reading(aether_client *client) {
    struct reading reading = {.max_message = config.max_message, .aborts_allowed = true};

    REQUIRE(aether_subscriber_open(client, "loans", NULL, &config, &reading.sub) == 0);
    reading.expected = reading.kept_from = aether_subscriber_next(reading.sub);
    return reading;
}

static void read_on(unsigned me) {
    aether_client *client = connect_as("reader");
    struct reading reading = open_reading(client);

    set(&stage->next[me], reading.expected + 1);
    while (reading.expected != get(&stage->end)) {
        if (read_some(&reading, (unsigned)reading.delivered) == 0)
            (void)aether_wait(reading.sub, 1000000);
        set(&stage->next[me], reading.expected + 1);
    }
    check_conserved(&reading);
    REQUIRE(reading.lost == 0);
}

/* Holds a batch of views until it is told to take the next ones, and looks at them again and again. */
static void hold_views(unsigned me) {
    aether_client *client = connect_as("holder");
    struct reading reading = open_reading(client);
    aether_message views[HELD];

    set(&stage->next[me], reading.expected + 1);
    while (reading.expected != get(&stage->end)) {
        const uint64_t hold = get(&stage->hold);
        const int n = aether_receive_batch(reading.sub, views, HELD);
        REQUIRE(n >= 0);
        if (n == 0)
            (void)aether_wait(reading.sub, 1000000);
        for (int i = 0; i < n; i++)
            check_entry(&reading, &views[i]);
        pass_aborted(&reading, aether_subscriber_next(reading.sub));
        set(&stage->next[me], reading.expected + 1);
        if (hold == 0)
            continue;
        if (n > 0)
            set(&stage->held, hold);
        while (get(&stage->hold) == hold && n > 0) {
            for (int i = 0; i < n; i++)
                REQUIRE(payload_right(&views[i], config.max_message));
            add(&stage->checked, 1);
        }
    }
    check_conserved(&reading);
    REQUIRE(reading.lost == 0);
}

/* ---- a round ---- */

static void run(unsigned round, uint64_t *random) {
    const uint64_t from = get(&stage->published), before = next_random(random) % (2 * CAPACITY);
    uint64_t full, checked;
    pid_t publisher;

    set(&stage->goal, INT64_MAX);
    publisher = spawn(publish_and_fill, round);
    AWAIT(get(&stage->published) - from >= before);
    set(&stage->hold, round + 1);
    AWAIT(get(&stage->held) == round + 1);
    if (round % 2 != 0) { /* the views' publisher dies, its successor runs into them */
        kill_child(publisher);
        set(&stage->loans_only, 0);
        publisher = spawn(publish_and_fill, round);
    }
    full = get(&stage->full);
    AWAIT(get(&stage->full) > full + 10);
    checked = get(&stage->checked);
    AWAIT(get(&stage->checked) > checked + 10);
    set(&stage->hold, 0);
    set(&stage->goal, get(&stage->published) + LAPS * CAPACITY);
    /* Filling loans, it holds nobody up: all that it has published arrives. */
    AWAIT(get(&stage->filling) == round + 1);
    for (unsigned i = 0; i < 2; i++)
        AWAIT(get(&stage->next[i]) == get(&stage->published) + 1);
    kill_child(publisher);
    set(&stage->loans_only, 1);
}

int main(void) {
    uint64_t seed;
    pid_t readers[2];

    length_of = loan_length;
    stage = share(sizeof *stage);
    test_begin(1);
    stage->seed = seed = setting("AETHER_TEST_SEED", 1);
    stage->end = UINT64_MAX;
    readers[0] = spawn(read_on, 0);
    readers[1] = spawn(hold_views, 1);
    for (unsigned i = 0; i < 2; i++)
        AWAIT(get(&stage->next[i]) != 0);
    for (unsigned round = 0; round < ROUNDS; round++)
        run(round, &seed);
    set(&stage->end, get(&stage->published));
    for (unsigned i = 0; i < 2; i++)
        join_child(readers[i]);
    ok("%u publishers killed while they filled loans: %llu messages, none lost or torn, views held across successors",
       ROUNDS + ROUNDS / 2, (unsigned long long)stage->published);
    return 0;
}
