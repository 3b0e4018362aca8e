/* SPDX-License-Identifier: Apache-2.0 */
/* metric_table.c - the table of metrics, and the words for the enums of metrics.h. */
#include "base/export.h"
#include <aether/metrics.h>
#include <string.h>

#define SIZE_OF(type, field) sizeof(((type *)0)->field)

/* The rows of one scope. METRIC: a metric that stands alone. LABELLED: one of several of its name. */
#define ROW(scope_, type, name_, kind_, unit_, field, help_, label_, value_)                                           \
    {                                                                                                                  \
        .name = (name_), .help = (help_), .scope = AETHER_SCOPE_##scope_, .kind = AETHER_##kind_,                      \
        .unit = AETHER_UNIT_##unit_, .offset = offsetof(type, field), .size = SIZE_OF(type, field), .label = (label_), \
        .label_value = (value_)                                                                                        \
    }
#define INSTANCE(name, kind, unit, field, help)                                                                        \
    ROW(INSTANCE, aether_instance_metrics, name, kind, unit, field, help, NULL, NULL)
#define TOPIC(name, kind, unit, field, help) ROW(TOPIC, aether_topic_metrics, name, kind, unit, field, help, NULL, NULL)
#define PUBLISHER(name, kind, unit, field, help)                                                                       \
    ROW(PUBLISHER, aether_publisher_metrics, name, kind, unit, field, help, NULL, NULL)
#define SUBSCRIBER(name, kind, unit, field, help)                                                                      \
    ROW(SUBSCRIBER, aether_subscriber_metrics, name, kind, unit, field, help, NULL, NULL)
#define CLIENT(name, kind, unit, field, help)                                                                          \
    ROW(CLIENT, aether_client_metrics, name, kind, unit, field, help, NULL, NULL)
#define LOST(scope, type, reason, value)                                                                               \
    ROW(scope, type, "lost", COUNTER, MESSAGES, lost_by[AETHER_LOST_##reason],                                         \
        "Messages that subscribers lost, by reason.", "reason", value)
#define DIED(field, value)                                                                                             \
    ROW(TOPIC, aether_topic_metrics, "died", COUNTER, ONE, field,                                                      \
        "Publishers and subscribers whose program died, or exited, before it closed them.", "role", value)
#define JOINED(policy, value)                                                                                          \
    ROW(TOPIC, aether_topic_metrics, "subscribers", GAUGE, ONE, info.policy, "Open subscribers.", "policy", value)

static const aether_metric table[] = {
    INSTANCE("clients", GAUGE, ONE, daemon.clients, "Clients in the registry."),
    INSTANCE("clients_max", GAUGE, ONE, daemon.clients_max, "Clients that aetherd admits."),
    INSTANCE("grants_max", GAUGE, ONE, grants_max, "Open publishers and subscribers that aetherd admits, together."),
    INSTANCE("memory", GAUGE, BYTES, daemon.memory_bytes, "Shared memory of all topics."),
    INSTANCE("publishers", GAUGE, ONE, publishers, "Open publishers."),
    INSTANCE("running", GAUGE, ONE, daemon.running, "1 if aetherd runs, else 0."),
    INSTANCE("started", GAUGE, REALTIME_NS, daemon.started_ns, "When aetherd was started."),
    INSTANCE("stopped", GAUGE, ONE, stopped,
             "1 if aetherd runs but is stopped (SIGSTOP), so that it answers nothing; else 0."),
    INSTANCE("subscribers", GAUGE, ONE, subscribers, "Open subscribers."),
    INSTANCE("topics", GAUGE, ONE, daemon.topics, "Topics."),
    INSTANCE("topics_max", GAUGE, ONE, daemon.topics_max, "Topics that aetherd admits."),
    INSTANCE("topics_waiting", GAUGE, ONE, daemon.topics_waiting,
             "Topics that only subscribers have opened, which wait for a publisher."),

    TOPIC("aborted", COUNTER, MESSAGES, aborted,
          "Sequences that subscribers passed over because a publisher died before it committed them."),
    TOPIC("accounted", COUNTER, MESSAGES, accounted,
          "Sequences that subscribers have accounted for: delivered, lost, aborted and skipped."),
    TOPIC("age", GAUGE, NS, age_ns, "Age of the oldest unread message."),
    TOPIC("batches", COUNTER, ONE, batches, "Calls that published several messages."),
    TOPIC("capacity", GAUGE, MESSAGES, info.capacity, "Slots of the ring."),
    TOPIC("created", GAUGE, REALTIME_NS, info.created_ns, "When the topic was created."),
    TOPIC("delivered", COUNTER, MESSAGES, delivered,
          "Messages that subscribers received; one that three subscribers received counts three times."),
    TOPIC("delivered", COUNTER, BYTES, delivered_bytes, "Payload of the messages that subscribers received."),
    DIED(publishers_died, "publisher"),
    DIED(subscribers_died, "subscriber"),
    TOPIC("evictions", COUNTER, ONE, evictions, "Reliable subscribers that publishers evicted."),
    TOPIC("full", COUNTER, ONE, full, "Calls that found no room to publish."),
    TOPIC("gaps", COUNTER, ONE, gaps, "Gaps in which subscribers lost messages."),
    TOPIC("lag", GAUGE, MESSAGES, lag,
          "Messages between the subscriber that is farthest behind and the topic's end; some may be overwritten."),
    TOPIC("latency", HISTOGRAM, NS, latency, "Time from publish to receive, estimated from stamped messages."),
    LOST(TOPIC, aether_topic_metrics, EVICTED, "evicted"),
    LOST(TOPIC, aether_topic_metrics, LANE, "lane"),
    LOST(TOPIC, aether_topic_metrics, RETAINED, "retained"),
    LOST(TOPIC, aether_topic_metrics, RING, "ring"),
    TOPIC("memory", GAUGE, BYTES, info.memory_bytes, "Shared memory of the topic."),
    TOPIC("overwritten", GAUGE, MESSAGES, overwritten,
          "Messages that were overwritten before subscribers received them and that aren't counted as lost yet."),
    TOPIC("published", COUNTER, MESSAGES, published, "Messages published."),
    TOPIC("published", COUNTER, BYTES, published_bytes, "Payload of the messages published."),
    TOPIC("publisher_joins", COUNTER, ONE, info.joins, "Publishers that were ever admitted."),
    TOPIC("publishers", GAUGE, ONE, info.publishers, "Open publishers."),
    TOPIC("retries", COUNTER, ONE, retries, "Claims that another publisher won."),
    TOPIC("skipped", COUNTER, MESSAGES, skipped, "Messages that latest subscribers passed over for a newer one."),
    TOPIC("sleeps", COUNTER, ONE, sleeps, "Times that a subscriber slept to wait for a message."),
    TOPIC("stall", COUNTER, NS, stall_ns, "Time that publishers were without room."),
    TOPIC("stall_longest", GAUGE, NS, stall_longest, "The longest time that a publisher was without room."),
    TOPIC("stalls", COUNTER, ONE, stalls, "Times that publishers ran out of room."),
    TOPIC("stuck", GAUGE, ONE, stuck,
          "Subscribers for which messages have waited for a second or longer, in which they received none."),
    JOINED(best_effort, "best-effort"),
    JOINED(reliable, "reliable"),
    TOPIC("waited", GAUGE, NS, waited_ns, "The longest time that a publisher has waited for room now."),
    TOPIC("waiting", GAUGE, ONE, waiting, "Publishers that wait for room now."),
    TOPIC("wakes", COUNTER, ONE, wakes, "Wake-ups of sleeping subscribers."),
    TOPIC("woken", COUNTER, ONE, woken, "Sleeps of subscribers after which there was a message."),

    PUBLISHER("batches", COUNTER, ONE, batches, "Calls that published several messages."),
    PUBLISHER("full", COUNTER, ONE, full, "Calls that found no room to publish."),
    PUBLISHER("lane", GAUGE, BYTES, lane_bytes, "Size of the publisher's lane; 0 without one."),
    PUBLISHER("lane_fits", GAUGE, MESSAGES, lane_fits, "Messages of the largest size for which the lane has room now."),
    PUBLISHER("lane_used", GAUGE, BYTES, lane_used,
              "Bytes of the lane that can't be used now, because subscribers or loans hold them."),
    PUBLISHER("loans", GAUGE, ONE, loans, "Open loans."),
    PUBLISHER("published", COUNTER, MESSAGES, messages, "Messages published."),
    PUBLISHER("published", COUNTER, BYTES, bytes, "Payload of the messages published."),
    PUBLISHER("retries", COUNTER, ONE, retries, "Claims that another publisher won."),
    PUBLISHER("stall", COUNTER, NS, stall_ns, "Time that the publisher was without room."),
    PUBLISHER("stall_longest", GAUGE, NS, stall_longest, "The longest time that the publisher was without room."),
    PUBLISHER("stalls", COUNTER, ONE, stalls, "Times that the publisher ran out of room."),
    PUBLISHER("waited", GAUGE, NS, waited_ns, "How long the publisher has waited for room now; 0 if it doesn't wait."),
    PUBLISHER("wakes", COUNTER, ONE, wakes, "Wake-ups of sleeping subscribers."),

    SUBSCRIBER("aborted", COUNTER, MESSAGES, aborted,
               "Sequences passed over because a publisher died before it committed them."),
    SUBSCRIBER("age", GAUGE, NS, age_ns, "Age of the oldest unread message."),
    SUBSCRIBER("delivered", COUNTER, MESSAGES, delivered, "Messages received."),
    SUBSCRIBER("delivered", COUNTER, BYTES, bytes, "Payload of the messages received."),
    SUBSCRIBER("evictions", COUNTER, ONE, evictions, "1 if publishers evicted the subscriber, else 0."),
    SUBSCRIBER("gaps", COUNTER, ONE, gaps, "Gaps in which the subscriber lost messages."),
    SUBSCRIBER("held_up", GAUGE, NS, held_up_ns, "The longest time that a publisher has waited for it now."),
    SUBSCRIBER("holds_up", GAUGE, ONE, holds_up, "Publishers that wait for it now."),
    SUBSCRIBER("lag", GAUGE, MESSAGES, lag,
               "Messages that publishers can't overwrite because of it, or if they don't wait for it, unread ones."),
    SUBSCRIBER("lane_held", GAUGE, BYTES, lane_held, "Room in publishers' lanes that the subscriber holds."),
    SUBSCRIBER("latency", HISTOGRAM, NS, latency, "Time from publish to receive, estimated from stamped messages."),
    LOST(SUBSCRIBER, aether_subscriber_metrics, EVICTED, "evicted"),
    LOST(SUBSCRIBER, aether_subscriber_metrics, LANE, "lane"),
    LOST(SUBSCRIBER, aether_subscriber_metrics, RETAINED, "retained"),
    LOST(SUBSCRIBER, aether_subscriber_metrics, RING, "ring"),
    SUBSCRIBER("overwritten", GAUGE, MESSAGES, overwritten,
               "Of the unread ones, messages that were overwritten and that the next receive counts as lost."),
    SUBSCRIBER("received", GAUGE, NS, received_ns, "How long ago the subscriber last received a stamped message."),
    SUBSCRIBER("skipped", COUNTER, MESSAGES, skipped, "Messages passed over for a newer one (latest)."),
    SUBSCRIBER("sleeps", COUNTER, ONE, sleeps, "Times that the subscriber slept to wait for a message."),
    SUBSCRIBER("unread", GAUGE, MESSAGES, unread, "Messages that it hasn't received yet."),
    SUBSCRIBER("woken", COUNTER, ONE, woken, "Sleeps after which there was a message."),

    CLIENT("created", GAUGE, REALTIME_NS, created_ns, "When the client connected."),
    CLIENT("publishers", GAUGE, ONE, publishers, "Open publishers."),
    CLIENT("stats", GAUGE, BYTES, stats_bytes, "Shared memory of the client's statistics."),
    CLIENT("subscribers", GAUGE, ONE, subscribers, "Open subscribers."),
};

AE_EXPORT const aether_metric *aether_metrics_table(size_t *count) {
    *count = sizeof table / sizeof table[0];
    return table;
}

AE_EXPORT uint64_t aether_metric_value(const aether_metric *metric, const void *figures) {
    const unsigned char *at = (const unsigned char *)figures + metric->offset;
    uint32_t narrow;
    uint64_t wide;

    if (metric->size == sizeof narrow) {
        memcpy(&narrow, at, sizeof narrow);
        return narrow;
    }
    memcpy(&wide, at, sizeof wide);
    return wide;
}

AE_EXPORT const char *aether_state_name(aether_subscriber_state state) {
    switch (state) {
    case AETHER_SUBSCRIBER_IDLE:
        return "idle";
    case AETHER_SUBSCRIBER_BEHIND:
        return "behind";
    case AETHER_SUBSCRIBER_STUCK:
        return "stuck";
    case AETHER_SUBSCRIBER_EVICTED:
        return "evicted";
    }
    return "?";
}

AE_EXPORT const char *aether_waits_name(aether_waits waits) {
    switch (waits) {
    case AETHER_WAITS_NOT:
        return "nothing";
    case AETHER_WAITS_SUBSCRIBER:
        return "subscriber";
    case AETHER_WAITS_PUBLISHER:
        return "publisher";
    case AETHER_WAITS_LANE:
        return "lane";
    case AETHER_WAITS_LOANS:
        return "loans";
    case AETHER_WAITS_CLAIM:
        return "claim";
    }
    return "?";
}

AE_EXPORT const char *aether_evict_reason_name(aether_evict_reason reason) {
    switch (reason) {
    case AETHER_EVICT_NOT:
        return "none";
    case AETHER_EVICT_LAG:
        return "lag";
    case AETHER_EVICT_LANE:
        return "lane";
    }
    return "?";
}

AE_EXPORT const char *aether_lost_name(aether_lost reason) {
    switch (reason) {
    case AETHER_LOST_RING:
        return "ring";
    case AETHER_LOST_LANE:
        return "lane";
    case AETHER_LOST_RETAINED:
        return "retained";
    case AETHER_LOST_EVICTED:
        return "evicted";
    }
    return "?";
}
