/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process that follows the topics sees every state in which they rest, and sleeps in between: while topics come and
 * go, get a type, and while aetherd is killed, started again, or ends in an orderly way and begins with an empty
 * registry. The follower does nothing but list and wait: a change that it misses leaves it asleep with the wrong list.
 * AETHER_TEST_SEED repeats a run.
 */
#include "lib/traffic.h"

#define NAMES 48u
#define ROUNDS (SANITIZED ? 100u : 400u)
#define DEATHS (SANITIZED ? 4u : 12u)
#define LATE_NS 100000000ull

static struct stage {
    uint64_t listed; /* bit i: topic follow/i is there */
    uint64_t typed;  /* bit i: and has a type */
    uint64_t lists;
} * stage;

static uint64_t seed, there; /* as listed, as it ought to be */
static aether_client *client;

/* ---- the follower ---- */

static void list_topics(aether_inspector *inspector) {
    uint64_t listed = 0, typed = 0;
    aether_topic_info info;
    uint32_t at = 0;
    int rc;

    while ((rc = aether_inspect_topic(inspector, &at, &info)) > 0) {
        if (strncmp(info.name, "follow/", 7) != 0)
            continue;
        const unsigned long i = strtoul(info.name + 7, NULL, 10);
        REQUIRE(i < NAMES);
        REQUIRE((listed >> i & 1) == 0);
        listed |= 1ull << i;
        typed |= (uint64_t)(info.type_name[0] != '\0') << i;
    }
    REQUIRE(rc == 0);
    set(&stage->typed, typed);
    set(&stage->listed, listed);
    add(&stage->lists, 1);
}

static void follow(unsigned arg) {
    aether_inspector *inspector;

    (void)arg;
    REQUIRE(aether_inspect_open(&inspector, test.socket) == 0);
    for (;;) {
        list_topics(inspector);
        REQUIRE(aether_inspect_changed(inspector, AETHER_FOREVER) == 1);
    }
}

/* ---- what it follows ---- */

static void change_topic(unsigned i) {
    char name[32];

    snprintf(name, sizeof name, "follow/%u", i);
    if ((there >> i & 1) == 0)
        REQUIRE(aether_topic_create(client, name, &(aether_topic_config){.max_message = 8, .capacity = 8}) == 0);
    else
        REQUIRE(aether_topic_remove(client, name) == 0);
    there ^= 1ull << i;
}

/* Changes a few topics; then nothing changes any more. */
static void change_some(void) {
    for (uint64_t n = 1 + next_random(&seed) % 4; n > 0; n--)
        change_topic((unsigned)(next_random(&seed) % NAMES));
}

static void remove_all(void) {
    for (unsigned i = 0; i < NAMES; i++) {
        if ((there >> i & 1) != 0)
            change_topic(i);
    }
}

static void stop_daemon(void) {
    REQUIRE(kill(test.daemon, SIGTERM) == 0);
    REQUIRE(waitpid(test.daemon, NULL, 0) == test.daemon);
    test.daemon = 0;
}

/* ---- cases ---- */

static void sees_every_rest(pid_t follower) {
    uint64_t late = 0, lists = get(&stage->lists);

    for (unsigned round = 0; round < ROUNDS; round++) {
        change_some();
        const uint64_t start = now_ns(), held_up = process_held_up_ns(follower);
        AWAIT(get(&stage->listed) == there);
        late += now_ns() - start > LATE_NS + process_held_up_ns(follower) - held_up;
    }
    lists = get(&stage->lists) - lists;
    REQUIRE(late < ROUNDS / 2); /* woken, and not because a bounded sleep was over */
    ok("%u changes of topics, %llu lists: each is seen (%llu late)", ROUNDS, (unsigned long long)lists,
       (unsigned long long)late);
}

static void sees_a_type(void) {
    const aether_topic_config typed = {.type_name = "t", .type_version = 1, .type_size = 8};
    char name[32];

    if (there == 0)
        change_topic(3);
    const unsigned i = (unsigned)__builtin_ctzll(there);
    snprintf(name, sizeof name, "follow/%u", i);
    AWAIT(get(&stage->listed) == there);
    REQUIRE(get(&stage->typed) == 0);
    REQUIRE(aether_topic_create(client, name, &typed) == 0);
    AWAIT(get(&stage->typed) == 1ull << i);
    ok("a type that is stated later is seen");
}

/* Killed between two changes or in the middle of one. The topics stay, and so does the follower. */
static void sees_what_a_successor_does(void) {
    for (unsigned round = 0; round < DEATHS; round++) {
        change_some();
        if (round % 2 == 0)
            AWAIT(get(&stage->listed) == there);
        daemon_kill();
        if (round % 3 == 0)
            AWAIT(get(&stage->listed) == there);
        daemon_start();
        if (round % 2 == 0)
            change_some();
        AWAIT(get(&stage->listed) == there);
    }
    ok("aetherd was killed %u times: what came and went before and after is seen", DEATHS);
}

/* Without topics an orderly stop removes the registry, and the next aetherd makes another one. */
static void sees_another_registry(void) {
    for (unsigned round = 0; round < DEATHS / 2; round++) {
        remove_all();
        AWAIT(get(&stage->listed) == 0);
        stop_daemon();
        daemon_start();
        if (round % 2 == 0)
            change_some();
        AWAIT(get(&stage->listed) == there);
        change_some();
        AWAIT(get(&stage->listed) == there);
    }
    ok("aetherd ended and began anew %u times: the follower goes over to its new registry", DEATHS / 2);
}

static void lists_without_a_daemon(void) {
    aether_inspector *inspector;
    aether_topic_info info;
    uint32_t at = 0;
    int n = 0;

    change_some();
    daemon_kill();
    REQUIRE(aether_inspect_open(&inspector, test.socket) == 0);
    REQUIRE(aether_inspect_changed(inspector, AETHER_FOREVER) == 1);
    while (aether_inspect_topic(inspector, &at, &info) > 0)
        n++;
    REQUIRE(n == __builtin_popcountll(there));
    REQUIRE(aether_inspect_changed(inspector, 300000000) == 0);
    daemon_start();
    REQUIRE(aether_inspect_changed(inspector, AETHER_FOREVER) == 1);
    aether_inspect_close(inspector);
    ok("without a daemon nothing changes; its successor wakes who waits");
}

int main(void) {
    pid_t follower;

    stage = share(sizeof *stage);
    test_begin(5);
    seed = setting("AETHER_TEST_SEED", 1);
    client = connect_as("creator");
    follower = spawn(follow, 0);
    AWAIT(get(&stage->lists) != 0);
    sees_every_rest(follower);
    sees_a_type();
    sees_what_a_successor_does();
    sees_another_registry();
    lists_without_a_daemon();
    kill_child(follower);
    remove_all();
    aether_disconnect(client);
    return 0;
}
