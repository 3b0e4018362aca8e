/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The second run is like the first: what an earlier run has left in a topic (an end, a death, an eviction, counts)
 * doesn't change what later programs see. Every case runs twice in one topic and must have equal outcomes.
 */
#include "lib/process.h"
#include <aether/inspect.h>
#include <poll.h>

#define MESSAGES 3u
#define QUIET_NS 20000000u /* a wait for which there is nothing */

static struct stage { uint64_t published; } * stage;

static const aether_topic_config config = {.max_message = 8, .capacity = 16};

/* ---- publishers ---- */

static char topic[64];

/* arg: the number of messages, and 1 << 8 if it waits to be killed. */
static void publish(unsigned arg) {
    aether_client *client = connect_as("publisher");
    aether_publisher *pub;

    REQUIRE(aether_publisher_open(client, topic, &config, &pub) == 0);
    for (unsigned i = 0; i < (arg & 255); i++)
        REQUIRE(aether_publish(pub, "message", 8) == 0);
    add(&stage->published, 1);
    while ((arg & 256) != 0)
        pause();
    aether_publisher_close(pub);
    aether_disconnect(client);
}

/* A publisher comes, publishes and is gone when this returns. */
static void run_publisher(unsigned messages, bool killed) {
    const uint64_t before = get(&stage->published);
    const pid_t pid = spawn(publish, messages | (killed ? 256 : 0));

    AWAIT_PROGRESS(steps_of(pid), get(&stage->published) > before);
    if (killed)
        kill_child(pid);
    else
        join_child(pid);
}

/* ---- subscribers ---- */

enum way { WAIT, WAITSET, NOTIFIER, WAYS };

struct subscriber {
    enum way way;
    aether_client *client;
    aether_subscriber *sub;
    aether_waitset *set;
    aether_notifier *notifier;
};

static void subscriber_open(struct subscriber *subscriber, enum way way, const aether_subscribe_options *options) {
    *subscriber = (struct subscriber){.way = way, .client = connect_as("subscriber")};
    REQUIRE(aether_subscriber_open(subscriber->client, topic, options, &config, &subscriber->sub) == 0);
    if (way == WAITSET) {
        REQUIRE(aether_waitset_open(&subscriber->set) == 0);
        REQUIRE(aether_waitset_add(subscriber->set, subscriber->sub, NULL) == 0);
    } else if (way == NOTIFIER) {
        REQUIRE(aether_notifier_open(subscriber->sub, &subscriber->notifier) == 0);
    }
}

static void subscriber_close(struct subscriber *subscriber) {
    aether_waitset_close(subscriber->set);
    aether_notifier_close(subscriber->notifier);
    aether_disconnect(subscriber->client);
}

/* Is there something to receive, or an end that isn't reported yet, or will there be within this time? */
static bool has_news(struct subscriber *subscriber, uint64_t ns) {
    struct pollfd event = {.events = POLLIN};
    aether_ready ready;

    switch (subscriber->way) {
    case WAIT:
        return aether_wait(subscriber->sub, ns) == 1;
    case WAITSET:
        return aether_waitset_next(subscriber->set, &ready, ns) == 1;
    default:
        aether_notifier_arm(subscriber->notifier);
        event.fd = aether_notifier_fd(subscriber->notifier);
        return poll(&event, 1, (int)(ns / 1000000)) == 1;
    }
}

static unsigned receive_all(struct subscriber *subscriber) {
    aether_message message;
    unsigned n = 0;

    while (aether_receive(subscriber->sub, &message) == 1)
        n++;
    return n;
}

/* What a program sees of one run. */
struct outcome {
    aether_stream first;     /* the state after the open */
    bool first_news;         /* there was news before a publisher came */
    unsigned retained, news; /* messages before a publisher came, and after */
    aether_stream first_end; /* the state when the retained messages were received */
    aether_stream end;       /* and after the publisher had gone */
};

static struct outcome run_once(enum way way, const aether_subscribe_options *options, unsigned messages, bool killed) {
    struct outcome outcome = {0};
    struct subscriber subscriber;

    subscriber_open(&subscriber, way, options);
    outcome.first = aether_subscriber_stream(subscriber.sub);
    outcome.first_news = has_news(&subscriber, QUIET_NS);
    outcome.retained = receive_all(&subscriber);
    outcome.first_end = aether_subscriber_stream(subscriber.sub);
    run_publisher(messages, killed);
    while (aether_subscriber_stream(subscriber.sub) < AETHER_STREAM_CLOSED) {
        (void)has_news(&subscriber, AETHER_FOREVER / 4); /* the test's alarm ends a sleep that doesn't end */
        outcome.news += receive_all(&subscriber);
    }
    outcome.end = aether_subscriber_stream(subscriber.sub);
    AWAIT((outcome.news += receive_all(&subscriber), !has_news(&subscriber, 0))); /* the end is reported once */
    subscriber_close(&subscriber);
    return outcome;
}

/* ---- every end, twice in one topic ---- */

static const aether_policy policies[] = {AETHER_RELIABLE, AETHER_BEST_EFFORT, AETHER_LATEST};
static const char *const way_names[WAYS] = {"wait", "waitset", "notifier"};
static const char *const policy_names[] = {"reliable", "best effort", "latest"};

static void expect_run(const struct outcome *outcome, aether_policy policy, unsigned retained, aether_stream before,
                       unsigned messages, bool killed) {
    const unsigned seen = policy == AETHER_LATEST && messages > 1 ? 1 : messages;

    REQUIRE(outcome->first == (retained != 0 ? AETHER_STREAM_OPEN : AETHER_STREAM_NONE));
    REQUIRE(outcome->first_news == (retained != 0));
    REQUIRE(outcome->retained == retained && outcome->first_end == before);
    REQUIRE(outcome->news <= messages && outcome->news >= seen);
    REQUIRE(outcome->end == (killed ? AETHER_STREAM_DIED : AETHER_STREAM_CLOSED));
}

static void ends_are_the_same(aether_policy policy, enum way way) {
    for (unsigned kind = 0; kind < 12; kind++) {
        const aether_from from = (aether_from)(kind % 3);
        const unsigned messages = kind / 3 % 2 != 0 ? MESSAGES : 0;
        const bool killed = kind / 6 != 0;
        const aether_subscribe_options options = {
            .policy = policy, .from = from, .last = from == AETHER_FROM_LAST ? MESSAGES : 0};

        snprintf(topic, sizeof topic, "end/%u/%u/%u", (unsigned)policy, (unsigned)way, kind);
        for (int run = 0; run < 2; run++) {
            const struct outcome outcome = run_once(way, &options, messages, killed);
            const bool finds = run == 1 && from != AETHER_FROM_NEW && messages != 0;
            expect_run(&outcome, policy,
                       !finds                    ? 0
                       : policy == AETHER_LATEST ? 1
                                                 : messages,
                       !finds   ? AETHER_STREAM_NONE
                       : killed ? AETHER_STREAM_DIED
                                : AETHER_STREAM_CLOSED,
                       messages, killed);
        }
    }
}

static aether_topic_info topic_info(void) {
    aether_inspector *inspector;
    aether_topic_info info;

    REQUIRE(aether_inspect_open(&inspector, test.socket) == 0);
    REQUIRE(aether_inspect_find(inspector, topic, &info) == 1);
    aether_inspect_close(inspector);
    return info;
}

/* Among several publishers: B dies, a subscriber joins, C gets B's record and may die, and A closes last. */
static void only_later_deaths_count(bool another) {
    aether_client *client = connect_as("subscriber");

    snprintf(topic, sizeof topic, "deaths/%d", another);
    for (int run = 0; run < 2; run++) {
        aether_publisher *a;
        aether_subscriber *sub;
        REQUIRE(aether_publisher_open(client, topic, &config, &a) == 0);
        run_publisher(0, true);
        AWAIT(topic_info().publishers == 1); /* aetherd has proof of the death */
        REQUIRE(aether_subscriber_open(client, topic, NULL, NULL, &sub) == 0);
        REQUIRE(aether_subscriber_stream(sub) == AETHER_STREAM_OPEN);
        run_publisher(0, another);
        AWAIT(topic_info().publishers == 1);
        aether_publisher_close(a);
        REQUIRE(aether_wait(sub, AETHER_FOREVER) == 1);
        REQUIRE(aether_subscriber_stream(sub) == (another ? AETHER_STREAM_DIED : AETHER_STREAM_CLOSED));
        aether_subscriber_close(sub);
    }
    aether_disconnect(client);
}

/* ---- sub --exit-at-end ---- */

static void run_sub(unsigned arg) {
    const char *cli = getenv("AETHER_CLI");
    const int null = open("/dev/null", O_RDWR);

    (void)arg;
    REQUIRE(cli != NULL && null >= 0 && dup2(null, STDOUT_FILENO) >= 0);
    execl(cli, cli, "--socket", test.socket, "sub", topic, "--policy", "reliable", "--exit-at-end", (char *)NULL);
    fail("%s: %s", cli, strerror(errno));
}

static void sub_waits_for_its_own_end(void) {
    aether_client *client = connect_as("maker");

    snprintf(topic, sizeof topic, "end/sub");
    REQUIRE(aether_topic_create(client, topic, &config) == 0);
    for (int run = 0; run < 4; run++) {
        const pid_t sub = spawn(run_sub, 0);
        AWAIT(topic_info().reliable == 1); /* it has joined */
        REQUIRE(waitpid(sub, NULL, WNOHANG) == 0);
        run_publisher(MESSAGES, run % 2 != 0);
        join_child(sub);
        AWAIT(topic_info().reliable == 0);
    }
    aether_disconnect(client);
}

/* ---- counts and evictions ---- */

/* A publisher's counts begin at 0, and the room that it finds is all there is. Returns them. */
static aether_peer_info fill_the_ring(aether_client *client, aether_publisher **pub) {
    aether_inspector *inspector;
    aether_topic_info info;
    aether_peer_info peer;
    uint32_t cursor = 0;
    unsigned n = 0;

    REQUIRE(aether_publisher_open(client, topic, &config, pub) == 0);
    while (aether_publish(*pub, "message", 8) == 0)
        n++;
    REQUIRE(n == config.capacity);
    info = topic_info();
    REQUIRE(aether_inspect_open(&inspector, test.socket) == 0);
    do
        REQUIRE(aether_inspect_peer(inspector, info.id, &cursor, &peer) == 1);
    while (peer.role != AETHER_ROLE_PUBLISHER);
    aether_inspect_close(inspector);
    return peer;
}

static void counts_begin_anew(void) {
    aether_client *client = connect_as("both");

    snprintf(topic, sizeof topic, "counts");
    for (int run = 0; run < 2; run++) {
        aether_publisher *pub;
        aether_subscriber *sub;
        aether_subscriber_stats stats;
        REQUIRE(aether_subscriber_open(client, topic, NULL, &config, &sub) == 0);
        const aether_peer_info peer = fill_the_ring(client, &pub);
        REQUIRE(peer.full == 1 && peer.next == (uint64_t)(run + 1) * config.capacity);
        aether_subscriber_get_stats(sub, &stats);
        REQUIRE(stats.delivered == 0 && stats.joined == (uint64_t)run * config.capacity && stats.lost == 0);
        aether_publisher_close(pub);
        aether_subscriber_close(sub);
    }
    aether_disconnect(client);
}

/* The record of an evicted subscriber is used again. Its next holder isn't evicted for the former one's lag. */
static void evictions_end_with_the_record(void) {
    const aether_topic_config evicting = {.max_message = 8, .capacity = 16, .slow = AETHER_SLOW_EVICT};
    aether_client *client = connect_as("both");
    aether_message message;

    snprintf(topic, sizeof topic, "evicts");
    for (int run = 0; run < 2; run++) {
        aether_publisher *pub;
        aether_subscriber *sub;
        REQUIRE(aether_subscriber_open(client, topic, NULL, &evicting, &sub) == 0);
        REQUIRE(aether_publisher_open(client, topic, &evicting, &pub) == 0);
        for (unsigned i = 0; i < 8; i++) {
            REQUIRE(aether_publish(pub, "message", 8) == 0);
            REQUIRE(aether_receive(sub, &message) == 1 && message.lost == 0);
        }
        for (unsigned i = 0; i < 32; i++)
            REQUIRE(aether_publish(pub, "message", 8) == 0);
        int rc;
        while ((rc = aether_receive(sub, &message)) == 1)
            REQUIRE(message.lost == 0);
        REQUIRE(rc == -EOVERFLOW);
        aether_subscriber_close(sub);
        aether_publisher_close(pub);
    }
    aether_disconnect(client);
}

int main(void) {
    stage = share(sizeof *stage);
    test_begin(3 * WAYS + 5);
    for (unsigned p = 0; p < 3; p++) {
        for (unsigned way = 0; way < WAYS; way++) {
            ends_are_the_same(policies[p], (enum way)way);
            ok("%s, %s: the second run ends like the first", policy_names[p], way_names[way]);
        }
    }
    only_later_deaths_count(false);
    ok("a death before the join: the stream has closed");
    only_later_deaths_count(true);
    ok("another death after the join: the stream has died");
    sub_waits_for_its_own_end();
    ok("sub --exit-at-end waits for a publisher in every run");
    counts_begin_anew();
    ok("the counts of a publisher and a subscriber begin at 0");
    evictions_end_with_the_record();
    ok("an evicted subscriber's record: its next holder isn't evicted for it");
    return 0;
}
