/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every lost message is counted: a publisher and subscribers of every kind, each a process, on a ring too small for
 * them.
 */
#include "lib/traffic.h"

#define MESSAGES 100000u
#define MAX_MESSAGE 301u /* slots of 312 bytes: across cache lines and pages */
#define SUBSCRIBERS 6u
#define JOINERS 2u

static struct stage {
    char topic[32];
    uint64_t start, end; /* sequences */
    uint64_t ready;      /* subscribers that have joined */
    uint64_t published;
    uint64_t delivered[SUBSCRIBERS], lost[SUBSCRIBERS];
    uint64_t joins[JOINERS], joined_delivered[JOINERS];
} * stage;

static aether_topic_config topic_config(void) {
    return (aether_topic_config){.max_message = MAX_MESSAGE, .capacity = 64, .start_seq = stage->start};
}

static void publish_all(unsigned arg) {
    const aether_topic_config config = topic_config();
    aether_client *client = connect_as("publisher");
    aether_publisher *pub;

    (void)arg;
    REQUIRE(aether_publisher_open(client, stage->topic, &config, &pub) == 0);
    REQUIRE(aether_publisher_next(pub) == stage->start);
    AWAIT_PARENT(get(&stage->ready) == SUBSCRIBERS);
    while (aether_publisher_next(pub) != stage->end) {
        while (publish_some(pub, stage->end - aether_publisher_next(pub)) == AETHER_FULL)
            sched_yield();
        set(&stage->published, aether_publisher_next(pub));
    }
    aether_publisher_close(pub);
    aether_disconnect(client);
}

static struct test_subscriber open_subscriber(aether_client *client, const aether_subscribe_options *options) {
    const aether_topic_config config = topic_config();
    struct test_subscriber subscriber = {.max_message = MAX_MESSAGE};

    REQUIRE(aether_subscriber_open(client, stage->topic, options, &config, &subscriber.sub) == 0);
    subscriber.expected = aether_subscriber_next(subscriber.sub);
    /* What the ring held before a reliable subscriber joined may be overwritten before it is read. */
    subscriber.gaps_allowed = options->policy == AETHER_BEST_EFFORT || options->from != AETHER_FROM_NEW;
    return subscriber;
}

/* Subscribers 0 to 2 are reliable, 3 to 5 best effort; i and i + 3 receive in the same form. */
static void receive_all(unsigned me) {
    const aether_subscribe_options options = {.policy = me < SUBSCRIBERS / 2 ? AETHER_RELIABLE : AETHER_BEST_EFFORT};
    aether_client *client = connect_as("subscriber");
    struct test_subscriber subscriber = open_subscriber(client, &options);
    aether_idle_state idle;

    REQUIRE(subscriber.expected == stage->start);
    __atomic_fetch_add(&stage->ready, 1, __ATOMIC_ACQ_REL);
    aether_idle_init(&idle, AETHER_IDLE_YIELD, 0);
    while (subscriber.expected != stage->end)
        aether_idle(&idle, receive_some(&subscriber, me));
    check_conserved(&subscriber);
    set(&stage->delivered[me], subscriber.delivered);
    set(&stage->lost[me], subscriber.lost);
    aether_subscriber_close(subscriber.sub);
    aether_disconnect(client);
}

static void join_and_leave(unsigned me) {
    aether_client *client = connect_as("joiner");
    uint64_t random = 1000 + me;

    AWAIT_PARENT(get(&stage->ready) == SUBSCRIBERS);
    do { /* at least once, even if this process gets no processor before all is published */
        const uint64_t r = next_random(&random);
        const aether_from from = (aether_from)(r % 3);
        const aether_subscribe_options options = {
            .policy = (aether_policy)(r >> 8 & 1), .from = from, .last = from == AETHER_FROM_LAST ? r >> 16 & 127 : 0};
        struct test_subscriber subscriber = open_subscriber(client, &options);

        for (uint64_t left = r >> 32 & 255; left > 0 && subscriber.expected != stage->end; left--) {
            if (receive_some(&subscriber, (unsigned)(r >> 24)) == 0)
                sched_yield();
        }
        check_conserved(&subscriber);
        aether_subscriber_close(subscriber.sub);
        stage->joined_delivered[me] += subscriber.delivered;
        stage->joins[me]++;
    } while (get(&stage->published) != stage->end);
    aether_disconnect(client);
}

static void run(const char *topic, uint64_t start) {
    pid_t pids[1 + SUBSCRIBERS + JOINERS];
    unsigned n = 0;
    uint64_t lost = 0;

    memset(stage, 0, sizeof *stage);
    snprintf(stage->topic, sizeof stage->topic, "conservation/%s", topic);
    stage->start = stage->published = start;
    stage->end = start + MESSAGES;
    pids[n++] = spawn(publish_all, 0);
    for (unsigned i = 0; i < SUBSCRIBERS; i++)
        pids[n++] = spawn(receive_all, i);
    for (unsigned i = 0; i < JOINERS; i++)
        pids[n++] = spawn(join_and_leave, i);
    while (n > 0)
        join_child(pids[--n]);
    for (unsigned i = 0; i < SUBSCRIBERS; i++) {
        REQUIRE(stage->delivered[i] + stage->lost[i] == MESSAGES);
        REQUIRE(i >= SUBSCRIBERS / 2 || stage->lost[i] == 0);
        lost += stage->lost[i];
    }
    for (unsigned i = 0; i < JOINERS; i++)
        REQUIRE(stage->joins[i] > 0);
    ok("%s: %u messages; 3 reliable miss none; 3 best effort account for %llu lost; %llu joins under load", topic,
       MESSAGES, (unsigned long long)lost, (unsigned long long)(stage->joins[0] + stage->joins[1]));
}

int main(void) {
    stage = share(sizeof *stage);
    test_begin(4);
    run("from-zero", 0);
    run("48-bits-at-once", (1ull << 48) - 3);
    run("48-bits-under-load", (1ull << 48) - MESSAGES / 2);
    run("64-bits-under-load", UINT64_MAX - MESSAGES / 2);
    return 0;
}
