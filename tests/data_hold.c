/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages that subscribers hold, between processes: their bytes stay as they are while publishers go round the ring,
 * publishers wait for them and for nothing else, and a subscriber that is killed or closes holds nothing any more.
 * AETHER_TEST_SEED repeats a run.
 */
#include "lib/traffic.h"
#include <aether/inspect.h>

#define CAPACITY 64u
#define MAX_MESSAGE 3000u /* most messages lie in the lane */
#define MESSAGES (SANITIZED ? 20000u : 100000u)

static struct stage { uint64_t joined, holds, first, stop; } * stage;

static uint64_t seed;

static const aether_topic_config config = {
    .max_message = MAX_MESSAGE, .inline_max = 56, .capacity = CAPACITY, .lane_bytes = 65536};

static aether_publisher *open_publisher(aether_client *client, const char *topic) {
    aether_publisher *pub;

    REQUIRE(aether_publisher_open(client, topic, &config, &pub) == 0);
    return pub;
}

/* ---- a publisher that never stops, and a subscriber that holds messages for a while ---- */

static void publish(unsigned arg) {
    static unsigned char data[MAX_MESSAGE];
    aether_client *client = connect_as("publisher");
    aether_publisher *pub = open_publisher(client, "hold/busy");

    (void)arg;
    for (uint64_t seq = 0; seq < MESSAGES; seq++) {
        const size_t len = payload_fill(data, seq, MAX_MESSAGE);
        REQUIRE(aether_publish_wait(pub, data, len, AETHER_FOREVER / 4) == 0);
        made_step();
    }
    aether_disconnect(client);
}

/* The figures that other processes read add up, and say no more than there is. */
static void check_figures(aether_inspector *inspector) {
    aether_topic_info info;
    aether_peer_info peer;
    uint32_t cursor = 0;

    REQUIRE(aether_inspect_find(inspector, "hold/busy", &info) == 1);
    while (aether_inspect_peer(inspector, info.id, &cursor, &peer) == 1) {
        if (peer.role == AETHER_ROLE_RELIABLE)
            REQUIRE(peer.joined == 0 && peer.lost == 0 && peer.lag <= CAPACITY && peer.next <= MESSAGES);
    }
}

static void holds_keep_bytes(void) {
    aether_held held[AETHER_HOLDS_MAX] = {0};
    aether_client *client = connect_as("holder");
    aether_inspector *inspector;
    aether_subscriber *sub;
    aether_message message;
    aether_subscriber_stats stats;
    uint64_t random = seed, n = 0, holds = 0, lanes = 0;
    pid_t publisher;

    REQUIRE(aether_subscriber_open(client, "hold/busy", NULL, &config, &sub) == 0);
    REQUIRE(aether_inspect_open(&inspector, test.socket) == 0);
    publisher = spawn(publish, 0);
    while (n < MESSAGES) {
        const uint64_t r = next_random(&random);
        aether_held *one = &held[r % 8]; /* few at a time, or the publisher had room for one message only */
        if (one->place != 0) {
            REQUIRE(payload_right(&one->message, MAX_MESSAGE) && aether_still_valid(sub, &one->message) == 1);
            aether_release(sub, one);
        }
        if (aether_receive(sub, &message) == 0) { /* perhaps the publisher waits for one that is held */
            (void)aether_wait(sub, 100000);
            continue;
        }
        REQUIRE(message.lost == 0 && message.seq == n++ && payload_right(&message, MAX_MESSAGE));
        if (r >> 32 & 1) {
            REQUIRE(aether_hold(sub, &message, one) == 0);
            holds++;
            lanes += message.len > 56;
        }
        if (n % 4096 == 0)
            check_figures(inspector);
    }
    join_child(publisher);
    aether_subscriber_get_stats(sub, &stats);
    REQUIRE(stats.delivered == MESSAGES && stats.lost == 0 && stats.next == MESSAGES);
    aether_inspect_close(inspector);
    aether_disconnect(client); /* releases the rest */
    REQUIRE(holds > MESSAGES / 4 && lanes > holds / 4);
    ok("%llu messages of %u were held for a while, %llu of them in the lane, and all stayed as they were",
       (unsigned long long)holds, MESSAGES, (unsigned long long)lanes);
}

/* ---- ends of a subscriber that holds something ---- */

enum how { RELEASE, CLOSE, EXIT, KILL, KILL_WITHOUT_DAEMON };

static const char *const names[] = {"releases it", "closes", "exits", "is killed", "is killed while no daemon runs"};

/* Holds the first message, and receives all others. */
static void hold_one(unsigned how) {
    aether_client *client = connect_as("holder");
    aether_subscriber *sub;
    aether_message message;
    aether_held held;
    bool ended = false;

    REQUIRE(aether_subscriber_open(client, "hold/end", NULL, &config, &sub) == 0);
    add(&stage->joined, 1);
    AWAIT(aether_receive(sub, &message) == 1);
    REQUIRE(aether_hold(sub, &message, &held) == 0);
    add(&stage->holds, 1);
    for (;;) {
        while (sub != NULL && aether_receive(sub, &message) == 1)
            ;
        poll_pause();
        if (!get(&stage->stop) || ended)
            continue;
        ended = true;
        REQUIRE(*(const uint64_t *)held.message.data == get(&stage->first));
        if (how == EXIT)
            _exit(0);
        if (how == RELEASE)
            aether_release(sub, &held);
        if (how == CLOSE) {
            aether_subscriber_close(sub);
            sub = NULL;
        }
    }
}

static void wait_for_the_held(aether_publisher *pub) {
    for (unsigned i = 0; i < 20; i++) {
        REQUIRE(aether_publish(pub, "12345678", 8) == AETHER_FULL);
        poll_pause();
    }
}

static void ends(enum how how) {
    aether_client *client = connect_as("publisher");
    aether_publisher *pub = open_publisher(client, "hold/end");
    const uint64_t first = aether_publisher_next(pub), joined = get(&stage->joined), holds = get(&stage->holds);
    const pid_t holder = spawn(hold_one, how);

    set(&stage->stop, 0);
    set(&stage->first, first);
    AWAIT(get(&stage->joined) > joined);
    REQUIRE(aether_publish(pub, &first, sizeof first) == 0);
    AWAIT(get(&stage->holds) > holds);
    while (aether_publisher_next(pub) != first + CAPACITY)
        REQUIRE(aether_publish_wait(pub, "12345678", 8, DEADLINE_S * 1000000000ull) == 0);
    wait_for_the_held(pub);
    if (how == KILL_WITHOUT_DAEMON)
        daemon_kill();
    if (how >= KILL)
        kill_child(holder);
    else
        set(&stage->stop, 1);
    if (how == KILL_WITHOUT_DAEMON) {
        wait_for_the_held(pub); /* without a daemon there is no proof of the death */
        daemon_start();
    }
    AWAIT(aether_publish(pub, "12345678", 8) == 0);
    if (how == EXIT)
        join_child(holder);
    else if (how < KILL)
        kill_child(holder);
    aether_disconnect(client);
    ok("publishers wait for a message that is held until its subscriber %s", names[how]);
}

int main(void) {
    stage = share(sizeof *stage);
    test_begin(1 + KILL_WITHOUT_DAEMON + 1);
    seed = setting("AETHER_TEST_SEED", 1);
    holds_keep_bytes();
    for (int how = RELEASE; how <= KILL_WITHOUT_DAEMON; how++)
        ends((enum how)how);
    return 0;
}
