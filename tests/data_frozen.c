/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subscribers that are stopped or were killed, with small and with large messages: when the publisher waits for them,
 * and what they find when they go on.
 */
#include "lib/traffic.h"

#define CAPACITY 16u
#define LANE 16384u
#define LARGE 2000u /* a lane has room for 8 */
#define ROUNDS 5u

static struct stage {
    char topic[32];
    aether_topic_config config;
    aether_subscribe_options options;
    uint64_t joined; /* subscriptions so far */
    uint64_t next;   /* the subscriber has received everything below */
    uint64_t end;    /* it stops here */
    uint64_t evicted, lost, delivered, overwritten;
} * stage;

static unsigned topics;

static size_t all_large(uint64_t seq, size_t max) {
    (void)seq;
    (void)max;
    return LARGE;
}

static size_t all_small(uint64_t seq, size_t max) {
    (void)max;
    return 1 + seq % 50;
}

static void set_stage(bool large, aether_slow slow) {
    payload_len = large ? all_large : all_small;
    memset(stage, 0, sizeof *stage);
    snprintf(stage->topic, sizeof stage->topic, "frozen/%u", ++topics);
    stage->config = (aether_topic_config){.max_message = LANE, .lane_bytes = LANE, .capacity = CAPACITY, .slow = slow};
    stage->end = UINT64_MAX;
}

static aether_publisher *open_publisher(aether_client *client) {
    aether_publisher *pub;

    REQUIRE(aether_publisher_open(client, stage->topic, &stage->config, &pub) == 0);
    return pub;
}

static struct test_subscriber open_subscriber(aether_client *client) {
    const bool reliable = stage->options.policy == AETHER_RELIABLE, evicts = stage->config.slow == AETHER_SLOW_EVICT;
    struct test_subscriber subscriber = {.max_message = LANE,
                                         .gaps_allowed = !reliable,
                                         .latest = stage->options.policy == AETHER_LATEST,
                                         .in_place = stage->options.views == AETHER_VIEWS_IN_PLACE,
                                         .evictable = reliable && evicts};

    REQUIRE(aether_subscriber_open(client, stage->topic, &stage->options, &stage->config, &subscriber.sub) == 0);
    subscriber.expected = subscriber.kept_from = aether_subscriber_next(subscriber.sub);
    add(&stage->joined, 1);
    return subscriber;
}

/* Receives to the end. After each eviction it catches up and opens another subscription. */
static void receive_until_end(unsigned form) {
    aether_client *client = connect_as("subscriber");
    struct test_subscriber subscriber = open_subscriber(client);

    while (subscriber.expected != get(&stage->end)) {
        const bool evicted = subscriber.evicted != 0;
        if (receive_some(&subscriber, form) == 0 && subscriber.evicted == 0)
            (void)aether_wait(subscriber.sub, 1000000);
        else if (evicted && aether_wait(subscriber.sub, 0) == 0) {
            check_conserved(&subscriber);
            add(&stage->lost, subscriber.lost);
            add(&stage->overwritten, subscriber.overwritten);
            add(&stage->evicted, 1);
            aether_subscriber_close(subscriber.sub);
            subscriber = open_subscriber(client);
        }
        set(&stage->next, subscriber.expected);
    }
    check_conserved(&subscriber);
    add(&stage->lost, subscriber.lost);
    add(&stage->overwritten, subscriber.overwritten);
    aether_subscriber_close(subscriber.sub);
    aether_disconnect(client);
}

static int publish_one(aether_publisher *pub) {
    static unsigned char data[LANE];

    return aether_publish(pub, data, payload_fill(data, aether_publisher_next(pub), LANE));
}

static void publish_many(aether_publisher *pub, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        int rc;
        AWAIT((rc = publish_one(pub)) != AETHER_FULL);
        REQUIRE(rc == 0);
    }
}

static void publish_never_full(aether_publisher *pub, unsigned count) {
    for (unsigned i = 0; i < count; i++)
        REQUIRE(publish_one(pub) == 0);
}

static pid_t start_subscriber(unsigned form) {
    const uint64_t joined = get(&stage->joined);
    const pid_t pid = spawn(receive_until_end, form);

    AWAIT_PROGRESS(steps_of(pid), get(&stage->joined) == joined + 1);
    return pid;
}

static void end_subscriber(pid_t pid, aether_publisher *pub) {
    set(&stage->end, aether_publisher_next(pub));
    join_child(pid);
}

/* Every form of publishing returns FULL, at once or after its timeout, and does nothing. */
static void check_full(aether_publisher *pub) {
    static unsigned char data[LARGE];
    const uint64_t next = aether_publisher_next(pub), len = payload_fill(data, next, LANE);
    const struct iovec piece = {data, len};
    aether_loan loan = {0};
    uint64_t start = now_ns();
    int rc;

    REQUIRE(aether_publish_wait(pub, data, len, 30000000) == AETHER_FULL && now_ns() - start >= 30000000);
    start = now_ns();
    REQUIRE(aether_publisher_wait(pub, len, 20000000) == AETHER_FULL && now_ns() - start >= 20000000);
    REQUIRE(aether_publish_batch(pub, &piece, 1) == AETHER_FULL);
    REQUIRE(aether_publish_gather(pub, &piece, 1) == AETHER_FULL);
    REQUIRE((rc = aether_loan_take(pub, len, &loan)) >= 0);
    if (rc == 0) { /* the lane has room, and the ring is full */
        REQUIRE(aether_loan_commit(pub, &loan) == AETHER_FULL && loan.data != NULL && loan.len == len);
        REQUIRE(aether_loan_discard(pub, &loan) == 0);
    } else {
        REQUIRE(loan.data == NULL);
    }
    REQUIRE(aether_publisher_next(pub) == next);
}

/* On a topic that waits: FULL while the subscriber is stopped, and nothing is lost. */
static void publisher_waits(bool large) {
    static unsigned char data[LANE];
    aether_client *client = connect_as("publisher");
    aether_publisher *pub;
    pid_t subscriber;

    set_stage(large, AETHER_SLOW_WAIT);
    pub = open_publisher(client);
    subscriber = start_subscriber(large);
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned room = 0;
        publish_many(pub, 3 * CAPACITY);
        AWAIT_PROGRESS(get(&stage->next), get(&stage->next) == aether_publisher_next(pub));
        freeze_child(subscriber);
        for (int rc; (rc = publish_one(pub)) != AETHER_FULL; room++)
            REQUIRE(rc == 0);
        /* A subscriber's cursor may lag by an eighth of the ring, and what is free of a lane by one checkpoint. */
        REQUIRE(room <= (large ? LANE / LARGE : CAPACITY) && room >= (large ? 1 : CAPACITY / 2));
        check_full(pub);
        thaw_child(subscriber);
        REQUIRE(aether_publish_wait(pub, data, payload_fill(data, aether_publisher_next(pub), LANE),
                                    DEADLINE_S * 1000000000ull) == 0);
    }
    end_subscriber(subscriber, pub);
    REQUIRE(stage->lost == 0);
    aether_publisher_close(pub);
    aether_disconnect(client);
    ok("%s messages, wait: FULL in every way while the subscriber is stopped, nothing lost", large ? "large" : "small");
}

/*
 * On a topic that evicts: never FULL. The subscriber gets -EOVERFLOW once, exact gaps, and is reliable again after
 * another open.
 */
static void publisher_evicts(bool large, aether_views views) {
    aether_client *client = connect_as("publisher");
    aether_publisher *pub;
    pid_t subscriber;

    set_stage(large, AETHER_SLOW_EVICT);
    stage->options.views = views;
    pub = open_publisher(client);
    subscriber = start_subscriber(views);
    for (unsigned round = 0; round < ROUNDS; round++) {
        const uint64_t joined = get(&stage->joined);
        freeze_child(subscriber);
        publish_never_full(pub, 10 * CAPACITY);
        thaw_child(subscriber);
        AWAIT_PROGRESS(steps_of(subscriber), get(&stage->joined) == joined + 1);
        for (unsigned i = 0; i < 3 * CAPACITY; i++) { /* the subscriber keeps up, and isn't evicted */
            publish_never_full(pub, 1);
            AWAIT_PROGRESS(get(&stage->next), get(&stage->next) == aether_publisher_next(pub));
        }
        REQUIRE(get(&stage->evicted) == round + 1 && get(&stage->joined) == joined + 1);
    }
    end_subscriber(subscriber, pub);
    REQUIRE(stage->lost >= ROUNDS * 8 * CAPACITY && stage->evicted == ROUNDS);
    aether_publisher_close(pub);
    aether_disconnect(client);
    ok("%s messages, evict, %s: never FULL; evicted %u times, exact gaps of %llu; reliable again after another open",
       large ? "large" : "small", views ? "in place" : "copies", ROUNDS, (unsigned long long)stage->lost);
}

/* A killed subscriber holds the publisher up until a daemon has proof of its death, and no longer. */
static void abandoned(bool large, aether_slow slow) {
    aether_client *client = connect_as("publisher");
    aether_publisher *pub;

    set_stage(large, slow);
    pub = open_publisher(client);
    for (unsigned round = 0; round < ROUNDS; round++) {
        const bool no_daemon = round % 2 != 0;
        pid_t subscriber = start_subscriber(0);
        freeze_child(subscriber);
        if (slow == AETHER_SLOW_WAIT) {
            int rc;
            while ((rc = publish_one(pub)) == 0)
                ;
            REQUIRE(rc == AETHER_FULL);
        }
        if (no_daemon)
            daemon_kill();
        kill_child(subscriber);
        if (slow == AETHER_SLOW_EVICT)
            publish_never_full(pub, 5 * CAPACITY);
        else if (no_daemon)
            REQUIRE(publish_one(pub) == AETHER_FULL); /* without a daemon there is no proof of its death */
        if (no_daemon)
            daemon_start();
        publish_many(pub, 5 * CAPACITY);
        publish_never_full(pub, 5 * CAPACITY);
    }
    aether_publisher_close(pub);
    aether_disconnect(client);
    ok("%s messages, %s: a dead subscriber is retired, %s", large ? "large" : "small",
       slow == AETHER_SLOW_EVICT ? "evict" : "wait",
       slow == AETHER_SLOW_EVICT ? "and doesn't hold the publisher up before that"
                                 : "by the daemon or by its successor");
}

/* Never FULL without subscribers, nor with a stopped subscriber that isn't reliable. */
static void never_full(bool large, aether_policy policy) {
    aether_client *client = connect_as("publisher");
    aether_publisher *pub;
    pid_t subscriber;

    set_stage(large, AETHER_SLOW_WAIT);
    stage->options.policy = policy;
    pub = open_publisher(client);
    publish_never_full(pub, 20 * CAPACITY);
    subscriber = start_subscriber(0);
    for (unsigned round = 0; round < ROUNDS; round++) {
        freeze_child(subscriber);
        publish_never_full(pub, 20 * CAPACITY);
        thaw_child(subscriber);
        AWAIT_PROGRESS(get(&stage->next), get(&stage->next) == aether_publisher_next(pub));
    }
    end_subscriber(subscriber, pub);
    aether_publisher_close(pub);
    aether_disconnect(client);
    ok("%s messages: never FULL without subscribers, nor with a stopped %s one", large ? "large" : "small",
       policy == AETHER_LATEST ? "latest" : "best-effort");
}

int main(void) {
    stage = share(sizeof *stage);
    test_begin(14);
    for (int large = 0; large < 2; large++) {
        publisher_waits(large);
        publisher_evicts(large, AETHER_VIEWS_COPY);
        publisher_evicts(large, AETHER_VIEWS_IN_PLACE);
        abandoned(large, AETHER_SLOW_WAIT);
        abandoned(large, AETHER_SLOW_EVICT);
        never_full(large, AETHER_BEST_EFFORT);
        never_full(large, AETHER_LATEST);
    }
    return 0;
}
