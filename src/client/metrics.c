/* SPDX-License-Identifier: Apache-2.0 */
/* metrics.c - the reader of metrics.h. */
#include "base/clock.h"
#include "base/error.h"
#include "base/export.h"
#include "base/histogram.h"
#include <aether/metrics.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct aether_metrics {
    aether_inspector *inspector;
    uint32_t cursor;
    uint64_t began_ns;
    aether_publisher_metrics publishers[AE_PUBLISHERS_MAX];
    aether_subscriber_metrics *subscribers;
    size_t subscriber_room;
};

AE_EXPORT uint64_t aether_latency_floor(unsigned i) {
    return ae_histogram_floor(i);
}

AE_EXPORT uint64_t aether_latency_count(const aether_latency *latency) {
    return ae_histogram_count(latency->buckets);
}

AE_EXPORT double aether_latency_quantile(const aether_latency *latency, double q) {
    return ae_histogram_quantile(latency->buckets, q);
}

AE_EXPORT void aether_latency_add(aether_latency *to, const aether_latency *from) {
    to->samples = ae_saturating_add(to->samples, from->samples);
    to->negative = ae_saturating_add(to->negative, from->negative);
    to->missed = ae_saturating_add(to->missed, from->missed);
    to->overflow = ae_saturating_add(to->overflow, from->overflow);
    ae_histogram_add(to->buckets, from->buckets);
}

AE_EXPORT int aether_metrics_open(aether_metrics **metrics, const char *socket_path) {
    aether_metrics *new = calloc(1, sizeof *new);

    *metrics = NULL;
    if (new == NULL)
        return ae_fail(-ENOMEM, "out of memory for a reader of metrics");
    const int rc = aether_inspect_open(&new->inspector, socket_path);
    if (rc != 0) {
        free(new);
        return rc;
    }
    *metrics = new;
    return 0;
}

AE_EXPORT void aether_metrics_close(aether_metrics *metrics) {
    if (metrics == NULL)
        return;
    aether_inspect_close(metrics->inspector);
    free(metrics->subscribers);
    free(metrics);
}

AE_EXPORT int aether_metrics_begin(aether_metrics *metrics, aether_instance_metrics *instance) {
    const uint64_t now = ae_now_ns();

    if (instance != NULL) {
        memset(instance, 0, sizeof *instance);
        (void)aether_inspect_changed(metrics->inspector, 0);
        (void)aether_inspect_daemon(metrics->inspector, &instance->daemon);
        instance->now_ns = ae_realtime_ns();
        instance->elapsed_ns = metrics->began_ns != 0 ? now - metrics->began_ns : 0;
    }
    metrics->began_ns = now;
    metrics->cursor = 0;
    return 0;
}

static void fill_owner(const aether_peer_info *peer, aether_owner *owner) {
    owner->client_id = peer->client_id;
    memcpy(owner->client, peer->client, sizeof owner->client);
    owner->pid = peer->pid;
    owner->process = '?';
}

static int fill(aether_metrics *metrics, aether_topic_metrics *topic) {
    aether_peer_info peer;
    uint32_t cursor = 0;

    while (aether_inspect_peer(metrics->inspector, topic->info.id, &cursor, &peer) > 0) {
        if (peer.role == AETHER_ROLE_PUBLISHER && topic->publisher_count < AE_PUBLISHERS_MAX) {
            aether_publisher_metrics *p = &metrics->publishers[topic->publisher_count++];
            *p = (aether_publisher_metrics){.joined = peer.joined,
                                            .next = peer.next,
                                            .full = peer.full,
                                            .tried_ns = AETHER_UNKNOWN,
                                            .waits_subscriber = -1,
                                            .waits_publisher = -1};
            fill_owner(&peer, &p->owner);
        } else if (peer.role != AETHER_ROLE_PUBLISHER) {
            if (topic->subscriber_count == metrics->subscriber_room) {
                const size_t room = metrics->subscriber_room > 0 ? 2 * metrics->subscriber_room : 8;
                aether_subscriber_metrics *more = realloc(metrics->subscribers, room * sizeof *more);
                if (more == NULL)
                    return ae_fail(-ENOMEM, "out of memory for %zu subscribers of a topic", room);
                metrics->subscribers = more;
                metrics->subscriber_room = room;
            }
            aether_subscriber_metrics *s = &metrics->subscribers[topic->subscriber_count++];
            memset(s, 0, sizeof *s);
            fill_owner(&peer, &s->owner);
            s->policy = peer.role == AETHER_ROLE_RELIABLE ? AETHER_RELIABLE : AETHER_BEST_EFFORT;
            s->joined = peer.joined;
            s->next = peer.next;
            s->lag = peer.lag;
            s->lost = peer.lost;
            s->aborted = peer.aborted;
            s->age_ns = s->received_ns = AETHER_UNKNOWN;
            s->state = peer.evicted   ? AETHER_SUBSCRIBER_EVICTED
                       : peer.lag > 0 ? AETHER_SUBSCRIBER_BEHIND
                                      : AETHER_SUBSCRIBER_IDLE;
            if (s->lag > topic->lag)
                topic->lag = s->lag;
        }
    }
    topic->published = topic->info.messages;
    topic->full = topic->info.full;
    topic->publishers = metrics->publishers;
    topic->subscribers = metrics->subscribers;
    return 1;
}

AE_EXPORT int aether_metrics_next(aether_metrics *metrics, aether_topic_metrics *topic) {
    memset(topic, 0, sizeof *topic);
    const int rc = aether_inspect_topic(metrics->inspector, &metrics->cursor, &topic->info);
    return rc == 1 ? fill(metrics, topic) : rc;
}

AE_EXPORT int aether_metrics_find(aether_metrics *metrics, const char *name, aether_topic_metrics *topic) {
    memset(topic, 0, sizeof *topic);
    const int rc = aether_inspect_find(metrics->inspector, name, &topic->info);
    return rc == 1 ? fill(metrics, topic) : rc;
}

AE_EXPORT int aether_metrics_client(aether_metrics *metrics, uint32_t *cursor, aether_client_metrics *client) {
    (void)metrics;
    (void)cursor;
    (void)client;
    return 0;
}
