/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Structs that a program passes zeroed, or half-filled. Each member that is 0 is a default; what can't be right is
 * -EINVAL, with a text that says what would be. No call crashes, and after each the handles work on.
 */
#include "lib/process.h"
#include <aether/inspect.h>
#include <aether/metrics.h>

#define TOPIC "zeroed"

static aether_client *client;
static aether_publisher *pub;
static aether_subscriber *sub;

/* ---- opening ---- */

static int connect_with(aether_connect_options options) {
    aether_client *other = NULL;
    const int rc = aether_connect(&other, &options);

    REQUIRE((rc == 0) == (other != NULL));
    aether_disconnect(other);
    return rc;
}

static int connect_zeroed(void) {
    return connect_with((aether_connect_options){0});
}

static int connect_stall_time_only(void) {
    return connect_with((aether_connect_options){.stall_after_ns = 1, .stall_context = &client});
}

static int connect_empty_path(void) {
    return connect_with((aether_connect_options){.socket_path = ""});
}

static int connect_empty_name(void) {
    return connect_with((aether_connect_options){.name = ""});
}

static int connect_forever(void) {
    return connect_with((aether_connect_options){.wait_ns = AETHER_FOREVER, .answer_ns = AETHER_FOREVER});
}

static int ping_zeroed(void) {
    const aether_connect_options options = {0};
    aether_pong pong;

    return aether_ping(&options, &pong);
}

static int publish_to(aether_topic_config config) {
    aether_publisher *other = NULL;
    const int rc = aether_publisher_open(client, TOPIC "/config", &config, &other);

    REQUIRE((rc == 0) == (other != NULL));
    aether_publisher_close(other);
    if (rc == 0)
        REQUIRE(aether_topic_remove(client, TOPIC "/config") == 0);
    return rc;
}

static int config_zeroed(void) {
    return publish_to((aether_topic_config){0});
}

static int config_empty_type(void) {
    return publish_to((aether_topic_config){.type_name = ""});
}

static int config_version_only(void) {
    return publish_to((aether_topic_config){.type_version = 1});
}

static int config_evict_lag_only(void) {
    return publish_to((aether_topic_config){.slow = AETHER_SLOW_WAIT, .evict_lag = 1000});
}

static int config_preset(void) {
    return publish_to((aether_topic_config){.preset = (aether_preset)99});
}

static int config_publishers(void) {
    return publish_to((aether_topic_config){.publishers = (aether_publishers)99});
}

static int config_slow(void) {
    return publish_to((aether_topic_config){.slow = (aether_slow)99});
}

static int config_latency(void) {
    return publish_to((aether_topic_config){.latency = (aether_latency_mode)99});
}

static int config_open(void) {
    return publish_to((aether_topic_config){.open = (aether_open)99});
}

static int create_zeroed(void) {
    const aether_topic_config config = {0};
    const int rc = aether_topic_create(client, TOPIC "/created", &config);

    REQUIRE(aether_topic_remove(client, TOPIC "/created") == 0);
    return rc;
}

static int subscribe_with(aether_subscribe_options options) {
    const aether_topic_config config = {0};
    aether_subscriber *other = NULL;
    const int rc = aether_subscriber_open(client, TOPIC, &options, &config, &other);

    REQUIRE((rc == 0) == (other != NULL));
    aether_subscriber_close(other);
    return rc;
}

static int options_zeroed(void) {
    return subscribe_with((aether_subscribe_options){0});
}

static int options_last_zero(void) {
    return subscribe_with((aether_subscribe_options){.from = AETHER_FROM_LAST});
}

static int options_last_only(void) {
    return subscribe_with((aether_subscribe_options){.last = 3});
}

static int options_policy(void) {
    return subscribe_with((aether_subscribe_options){.policy = (aether_policy)99});
}

static int options_from(void) {
    return subscribe_with((aether_subscribe_options){.from = (aether_from)99});
}

static int options_views(void) {
    return subscribe_with((aether_subscribe_options){.views = (aether_views)99});
}

/* ---- publishing ---- */

static int batch_zeroed(void) {
    const struct iovec messages[2] = {{0}};

    return aether_publish_batch(pub, messages, 2);
}

static int gather_zeroed(void) {
    const struct iovec pieces[2] = {{0}};

    return aether_publish_gather(pub, pieces, 2);
}

static int commit_zeroed(void) {
    aether_loan loan = {0};

    return aether_loan_commit(pub, &loan);
}

static int commit_ticket(void) {
    aether_loan loan = {.ticket = UINT64_MAX, .len = SIZE_MAX};

    return aether_loan_commit(pub, &loan);
}

static int discard_zeroed(void) {
    aether_loan loan = {0};

    return aether_loan_discard(pub, &loan);
}

/* Its first loan has ticket 0, as a zeroed one has. */
static int commit_zeroed_beside_open(void) {
    aether_loan first, zeroed = {0};

    REQUIRE(aether_loan_take(pub, 8, &first) == 0);
    const int rc = aether_loan_commit(pub, &zeroed);
    REQUIRE(aether_loan_discard(pub, &first) == 0);
    (void)aether_loan_commit(pub, &zeroed); /* for the text */
    return rc;
}

static int burst_of_nothing(void) {
    aether_burst burst = aether_burst_begin(pub, 0);

    return aether_burst_publish(&burst, NULL);
}

/* ---- receiving ---- */

static int hold_zeroed(void) {
    const aether_message message = {0};
    aether_held held;

    return aether_hold(sub, &message, &held);
}

static int hold_sequence_only(void) {
    const aether_message message = {.seq = 1};
    aether_held held;

    return aether_hold(sub, &message, &held);
}

static int release_zeroed(void) {
    aether_held held = {0};

    aether_release(sub, &held);
    held.place = 1;
    aether_release(sub, &held);
    held = (aether_held){.place = UINT64_MAX};
    aether_release(sub, &held);
    return 0;
}

static int still_valid_zeroed(void) {
    const aether_message message = {0};

    return aether_still_valid(sub, &message) < 0;
}

/* ---- waiting ---- */

static int idle_zeroed(void) {
    aether_idle_state idle = {0};

    for (int i = 0; i < 300; i++)
        aether_idle(&idle, i % 3 == 0);
    aether_idle_after(&idle, 1, 2);
    aether_idle_watch(&idle, NULL);
    aether_idle(&idle, 0);
    return 0;
}

static int idle_strategy(void) {
    aether_idle_state idle;

    aether_idle_init(&idle, (aether_idle_strategy)99, UINT32_MAX);
    for (int i = 0; i < 3; i++)
        aether_idle(&idle, 0);
    return 0;
}

static int waitset_empty(void) {
    aether_ready ready = {0};
    aether_waitset *set;

    REQUIRE(aether_waitset_open(&set) == 0);
    const int rc = aether_waitset_next(set, &ready, 0);
    aether_waitset_close(set);
    return rc;
}

/* ---- figures ---- */

static int inspect_zeroed(void) {
    aether_inspector *inspector;
    aether_topic_info topic;
    aether_peer_info peer;
    aether_waiting_info waiting;
    uint32_t cursor = UINT32_MAX;

    REQUIRE(aether_inspect_open(&inspector, NULL) == 0);
    int rc = aether_inspect_topic(inspector, &cursor, &topic);
    rc += aether_inspect_waiting(inspector, &cursor, &waiting);
    rc += aether_inspect_peer(inspector, 0, &cursor, &peer);
    cursor = 0;
    rc += aether_inspect_peer(inspector, 0, &cursor, &peer);
    rc += aether_inspect_find(inspector, "", &topic);
    aether_inspect_close(inspector);
    return rc;
}

static int metrics_zeroed(void) {
    static aether_topic_metrics topic;
    static const aether_metric metric;
    static const aether_latency nothing;
    aether_client_metrics one;
    aether_latency sum = {0};
    aether_metrics *metrics;
    uint32_t cursor = UINT32_MAX;

    REQUIRE(aether_metrics_open(&metrics, NULL) == 0);
    REQUIRE(aether_metrics_next(metrics, &topic) == 1); /* no pass was begun: that begins one */
    int rc = aether_metrics_client(metrics, &cursor, &one);
    rc += aether_metrics_find(metrics, "", &topic);
    aether_metrics_close(metrics);
    aether_latency_add(&sum, &nothing);
    return rc + (int)aether_latency_count(&sum) + (int)aether_metric_value(&metric, &nothing);
}

static int stall_zeroed(void) {
    aether_stall stall = {0};

    return aether_publisher_stall(pub, &stall);
}

static const struct {
    const char *name;
    int (*call)(void);
    int wanted;
    const char *says; /* of the error's text; NULL: there is none */
} cases[] = {
    {"connect options, zeroed", connect_zeroed, 0, NULL},
    {"connect options, a stall's time without its handler", connect_stall_time_only, 0, NULL},
    {"connect options, an empty path", connect_empty_path, -ENOENT, "socket path is empty"},
    {"connect options, an empty name", connect_empty_name, 0, NULL},
    {"connect options, times without end", connect_forever, 0, NULL},
    {"ping options, zeroed", ping_zeroed, 0, NULL},
    {"topic config, zeroed", config_zeroed, 0, NULL},
    {"topic config, an empty type", config_empty_type, 0, NULL},
    {"topic config, a version without a type", config_version_only, -EINVAL, "without its name"},
    {"topic config, evict_lag without eviction", config_evict_lag_only, -EINVAL, "evict"},
    {"topic config, an unknown preset", config_preset, -EINVAL, "preset"},
    {"topic config, unknown publishers", config_publishers, -EINVAL, "publishers"},
    {"topic config, an unknown slow", config_slow, -EINVAL, "slow"},
    {"topic config, an unknown latency", config_latency, -EINVAL, "latency"},
    {"topic config, an unknown open", config_open, -EINVAL, "open 99 is unknown"},
    {"topic create, a zeroed config", create_zeroed, 0, NULL},
    {"subscribe options, zeroed", options_zeroed, 0, NULL},
    {"subscribe options, the last 0", options_last_zero, 0, NULL},
    {"subscribe options, a number without AETHER_FROM_LAST", options_last_only, -EINVAL, "without AETHER_FROM_LAST"},
    {"subscribe options, an unknown policy", options_policy, -EINVAL, "policy 99 is unknown"},
    {"subscribe options, an unknown start", options_from, -EINVAL, "start 99 is unknown"},
    {"subscribe options, unknown views", options_views, -EINVAL, "views 99 are unknown"},
    {"a batch of zeroed pieces", batch_zeroed, 0, NULL},
    {"a gather of zeroed pieces", gather_zeroed, 0, NULL},
    {"commit of a zeroed loan", commit_zeroed, -EINVAL, "not an open loan"},
    {"commit of a loan without data", commit_ticket, -EINVAL, "not an open loan"},
    {"commit of a zeroed loan while ticket 0 is open", commit_zeroed_beside_open, -EINVAL, "not an open loan"},
    {"discard of a zeroed loan", discard_zeroed, -EINVAL, "not an open loan"},
    {"a burst of empty messages", burst_of_nothing, 0, NULL},
    {"hold of a zeroed message", hold_zeroed, -EINVAL, "the message was never received"},
    {"hold of a message without data", hold_sequence_only, -EINVAL, "the message was never received"},
    {"release of what holds nothing", release_zeroed, 0, NULL},
    {"still_valid of a zeroed message", still_valid_zeroed, 0, NULL},
    {"an idle state, zeroed", idle_zeroed, 0, NULL},
    {"an idle state of an unknown strategy", idle_strategy, 0, NULL},
    {"an empty waitset", waitset_empty, 0, NULL},
    {"the inspector, cursors and ids that lead nowhere", inspect_zeroed, 0, NULL},
    {"metrics, cursors and rows that lead nowhere", metrics_zeroed, 0, NULL},
    {"a stall without one", stall_zeroed, 0, NULL},
};

static void check(size_t i) {
    aether_message m;
    const int rc = cases[i].call();
    const char *text = rc < 0 ? aether_errmsg() : "";

    if (rc != cases[i].wanted || (cases[i].says != NULL && strstr(text, cases[i].says) == NULL))
        printf("# %s: %d '%s', wanted %d\n", cases[i].name, rc, text, cases[i].wanted);
    REQUIRE(rc == cases[i].wanted);
    REQUIRE(cases[i].says == NULL || strstr(text, cases[i].says) != NULL);
    while (aether_receive(sub, &m) > 0)
        ;
    REQUIRE(aether_publish(pub, "works", 5) == 0);
    REQUIRE(aether_receive(sub, &m) == 1 && m.len == 5 && memcmp(m.data, "works", 5) == 0);
    ok("%s", cases[i].name);
}

int main(void) {
    test_begin(sizeof cases / sizeof cases[0]);
    REQUIRE(setenv("AETHER_SOCKET", test.socket, 1) == 0); /* the default, which zeroed options mean */
    client = connect_as("zeroed");
    REQUIRE(aether_publisher_open(client, TOPIC, NULL, &pub) == 0);
    REQUIRE(aether_subscriber_open(client, TOPIC, NULL, NULL, &sub) == 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check(i);
    aether_disconnect(client);
    return 0;
}
