/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is said of publishers and subscribers that have gone: died is said of a program that ended without closing them,
 * and of no other; also by a reader without aetherd, and by the next aetherd.
 */
#include "lib/process.h"
#include <aether/metrics.h>

enum way { CLOSES, DISCONNECTS, STAYS, EXITS, KILLED, WAYS }; /* STAYS: goes on after aether_disconnect() */

static const char *const roles[] = {"publisher", "reliable", "best-effort"};
#define ROLES (sizeof roles / sizeof roles[0])

static struct stage {
    char topic[32];
    uint64_t ready, go, done, end;
} * stage;

static void open_handle(aether_client *client, unsigned role, aether_publisher **pub, aether_subscriber **sub) {
    const aether_subscribe_options options = {.policy = role == 1 ? AETHER_RELIABLE : AETHER_BEST_EFFORT};

    if (role == 0)
        REQUIRE(aether_publisher_open(client, stage->topic, NULL, pub) == 0 && aether_publish(*pub, "x", 1) == 0);
    else
        REQUIRE(aether_subscriber_open(client, stage->topic, &options, NULL, sub) == 0);
}

/* arg: role * WAYS + way */
static void leave(unsigned arg) {
    const enum way way = arg % WAYS;
    aether_client *client = connect_as("leaver");
    aether_publisher *pub = NULL;
    aether_subscriber *sub = NULL;

    open_handle(client, arg / WAYS, &pub, &sub);
    add(&stage->ready, 1);
    AWAIT_PARENT(get(&stage->go) != 0);
    if (way == CLOSES) {
        aether_publisher_close(pub);
        aether_subscriber_close(sub);
    }
    if (way <= STAYS)
        aether_disconnect(client);
    add(&stage->done, 1);
    while (way == KILLED || (way == STAYS && get(&stage->end) == 0))
        usleep(1000);
    _exit(0);
}

static const aether_topic_metrics *read_topic(aether_metrics *metrics) {
    static aether_topic_metrics topic;

    REQUIRE(aether_metrics_find(metrics, stage->topic, &topic) == 1);
    return &topic;
}

static const aether_departed_metrics *departed(const aether_topic_metrics *topic, pid_t pid) {
    for (size_t i = 0; i < topic->departed_count; i++) {
        if (topic->departed[i].owner.pid == (uint32_t)pid)
            return &topic->departed[i];
    }
    return NULL;
}

static bool is_listed(const aether_topic_metrics *topic, pid_t pid) {
    for (size_t i = 0; i < topic->publisher_count; i++) {
        if (topic->publishers[i].owner.pid == (uint32_t)pid)
            return true;
    }
    for (size_t i = 0; i < topic->subscriber_count; i++) {
        if (topic->subscribers[i].owner.pid == (uint32_t)pid)
            return true;
    }
    return false;
}

/* Those that closed have gone, whether aetherd runs or not; the dead have as soon as one has noticed. */
static bool is_as_it_was(aether_metrics *metrics, const pid_t pids[WAYS], unsigned role, bool noticed) {
    const aether_topic_metrics *topic = read_topic(metrics);
    bool all = true;

    for (unsigned way = 0; way < WAYS; way++) {
        const aether_departed_metrics *gone = departed(topic, pids[way]);
        const bool died = way > STAYS;
        if (died && !noticed) {
            REQUIRE(gone == NULL);
            all = all && is_listed(topic, pids[way]);
            continue;
        }
        all = all && gone != NULL;
        if (gone == NULL)
            continue;
        REQUIRE(!is_listed(topic, pids[way]));
        REQUIRE(gone->died == died);
        REQUIRE((gone->role == AETHER_ROLE_PUBLISHER) == (role == 0) && strcmp(gone->owner.client, "leaver") == 0);
        REQUIRE(gone->messages == (role == 0));
    }
    REQUIRE(topic->published == (role == 0 ? WAYS : 0));
    for (size_t i = 1; i < topic->departed_count; i++)
        REQUIRE(topic->departed[i - 1].left_mono_ns >= topic->departed[i].left_mono_ns);
    return all;
}

static void go_all_ways(unsigned role, bool with_daemon) {
    aether_metrics *metrics;
    pid_t pids[WAYS];

    memset(stage, 0, sizeof *stage);
    snprintf(stage->topic, sizeof stage->topic, "gone/%s/%d", roles[role], with_daemon);
    aether_client *client = connect_patiently("creator");
    REQUIRE(aether_topic_create(client, stage->topic, NULL) == 0);
    aether_disconnect(client);
    REQUIRE(aether_metrics_open(&metrics, test.socket) == 0);
    for (unsigned way = 0; way < WAYS; way++)
        pids[way] = spawn(leave, role * WAYS + way);
    AWAIT_PROGRESS(get(&stage->ready), get(&stage->ready) == WAYS);
    if (!with_daemon)
        daemon_kill();
    set(&stage->go, 1);
    AWAIT_PROGRESS(get(&stage->done), get(&stage->done) == WAYS);
    kill_child(pids[KILLED]);
    join_child(pids[EXITS]);
    if (!with_daemon) {
        AWAIT(is_as_it_was(metrics, pids, role, false));
        daemon_start();
    }
    AWAIT(is_as_it_was(metrics, pids, role, true));
    set(&stage->end, 1);
    for (unsigned way = 0; way <= STAYS; way++)
        join_child(pids[way]);
    aether_metrics_close(metrics);
    ok("%s, %s aetherd: only those that didn't close have died", roles[role], with_daemon ? "with" : "without");
}

int main(void) {
    test_begin(2 * ROLES);
    stage = share(sizeof *stage);
    for (unsigned role = 0; role < ROLES; role++) {
        go_all_ways(role, true);
        go_all_ways(role, false);
    }
    return 0;
}
