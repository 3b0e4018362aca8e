/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Publishers that die while they fill loans: they don't hold subscribers up, the successor goes on in the same lane,
 * and no view that a subscriber holds is overwritten. AETHER_TEST_SEED repeats a run.
 */
#include "lib/traffic.h"

#define CAPACITY 32u
#define LANE 65536u
#define ROUNDS (SANITIZED ? 40u : 200u)
#define LAPS 4u /* of the lane and the ring, by each successor */
#define HELD 4  /* views that are held for long */

static struct stage {
    uint64_t seed;
    uint64_t published, full, filling; /* of the newest publisher */
    uint64_t loans_only;               /* it was killed while it filled loans */
    uint64_t goal;                     /* it fills loans for ever once it has published up to here */
    uint64_t hold;                     /* the holder keeps its views while this is equal to `held` */
    uint64_t held, checked;
    uint64_t next[2]; /* of the subscribers */
    uint64_t end;
} * stage;

static const aether_topic_config config = {.max_message = LANE / 2, .lane_bytes = LANE, .capacity = CAPACITY};

/* Most messages lie in the lane. */
static size_t loan_length(uint64_t seq, size_t max) {
    const uint64_t r = mix(seq ^ 0x10a);

    return r % 8 == 0 ? r >> 8 & 31 : r % 8 == 1 ? max : (r >> 8) % (max / 8);
}

/* ---- publishers ---- */

/* Takes two loans and commits the second one first, or commits one loan if there is no room for two. */
static int publish_two(aether_publisher *pub) {
    const uint64_t seq = aether_publisher_next(pub);
    const size_t max = aether_publisher_max_message(pub);
    aether_loan loans[2];
    int rc = aether_loan_take(pub, payload_len(seq, max), &loans[0]);

    if (rc != 0)
        return rc;
    (void)payload_fill(loans[0].data, seq, max);
    rc = aether_loan_take(pub, payload_len(seq + 1, max), &loans[1]);
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

/* Publishes up to the goal. Then takes, fills and discards loans until it is killed. */
static void publish_and_fill(unsigned round) {
    aether_client *client = connect_as("filler");
    aether_publisher *pub = NULL;
    uint64_t random = stage->seed + round;
    int rc;

    AWAIT((rc = aether_publisher_open(client, "loans", &config, &pub)) != -EBUSY);
    REQUIRE(rc == 0);
    /* It goes on behind the last message; `published` may be two behind that. Loans have taken no sequences. */
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

/* ---- subscribers ---- */

static struct test_subscriber open_subscriber(aether_client *client) {
    struct test_subscriber subscriber = {.max_message = config.max_message, .aborts_allowed = true};

    REQUIRE(aether_subscriber_open(client, "loans", NULL, &config, &subscriber.sub) == 0);
    subscriber.expected = subscriber.kept_from = aether_subscriber_next(subscriber.sub);
    return subscriber;
}

static void receive_on(unsigned me) {
    aether_client *client = connect_as("subscriber");
    struct test_subscriber subscriber = open_subscriber(client);

    set(&stage->next[me], subscriber.expected + 1);
    while (subscriber.expected != get(&stage->end)) {
        if (receive_some(&subscriber, (unsigned)subscriber.delivered) == 0)
            (void)aether_wait(subscriber.sub, 1000000);
        set(&stage->next[me], subscriber.expected + 1);
    }
    check_conserved(&subscriber);
    REQUIRE(subscriber.lost == 0);
}

/* Receives a batch of views, and checks them again and again until `hold` changes. */
static void hold_views(unsigned me) {
    aether_client *client = connect_as("holder");
    struct test_subscriber subscriber = open_subscriber(client);
    aether_message views[HELD];

    set(&stage->next[me], subscriber.expected + 1);
    while (subscriber.expected != get(&stage->end)) {
        const uint64_t hold = get(&stage->hold);
        const int n = aether_receive_batch(subscriber.sub, views, HELD);
        REQUIRE(n >= 0);
        if (n == 0)
            (void)aether_wait(subscriber.sub, 1000000);
        for (int i = 0; i < n; i++)
            check_entry(&subscriber, &views[i]);
        pass_aborted(&subscriber, aether_subscriber_next(subscriber.sub));
        set(&stage->next[me], subscriber.expected + 1);
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
    check_conserved(&subscriber);
    REQUIRE(subscriber.lost == 0);
}

/* ---- a round ---- */

static void run(unsigned round, uint64_t *random) {
    const uint64_t from = get(&stage->published), before = next_random(random) % (2 * CAPACITY);
    uint64_t full, checked;
    pid_t publisher;

    set(&stage->goal, INT64_MAX);
    publisher = spawn(publish_and_fill, round);
    AWAIT_PROGRESS(get(&stage->published), get(&stage->published) - from >= before);
    set(&stage->hold, round + 1);
    AWAIT(get(&stage->held) == round + 1);
    if (round % 2 != 0) { /* the publisher of the views dies, and its successor fills the lane up to them */
        kill_child(publisher);
        set(&stage->loans_only, 0);
        publisher = spawn(publish_and_fill, round);
    }
    full = get(&stage->full);
    AWAIT_PROGRESS(get(&stage->published) + get(&stage->full), get(&stage->full) > full + 10);
    checked = get(&stage->checked);
    AWAIT_PROGRESS(get(&stage->checked), get(&stage->checked) > checked + 10);
    set(&stage->hold, 0);
    set(&stage->goal, get(&stage->published) + LAPS * CAPACITY);
    /* While it fills loans, everything that it has published arrives. */
    AWAIT_PROGRESS(get(&stage->published), get(&stage->filling) == round + 1);
    for (unsigned i = 0; i < 2; i++)
        AWAIT_PROGRESS(get(&stage->next[i]), get(&stage->next[i]) == get(&stage->published) + 1);
    kill_child(publisher);
    set(&stage->loans_only, 1);
}

int main(void) {
    uint64_t seed;
    pid_t subscribers[2];

    payload_len = loan_length;
    stage = share(sizeof *stage);
    test_begin(1);
    stage->seed = seed = setting("AETHER_TEST_SEED", 1);
    stage->end = UINT64_MAX;
    subscribers[0] = spawn(receive_on, 0);
    subscribers[1] = spawn(hold_views, 1);
    for (unsigned i = 0; i < 2; i++)
        AWAIT_PROGRESS(steps_of(subscribers[i]), get(&stage->next[i]) != 0);
    for (unsigned round = 0; round < ROUNDS; round++)
        run(round, &seed);
    set(&stage->end, get(&stage->published));
    for (unsigned i = 0; i < 2; i++)
        join_child(subscribers[i]);
    ok("%u publishers killed while they filled loans: %llu messages, none lost or torn, views held across successors",
       ROUNDS + ROUNDS / 2, (unsigned long long)stage->published);
    return 0;
}
