/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/totals.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/histogram.h"
#include "broker/objects.h"
#include "broker/stats.h"
#include "ring/claim.h"
#include "ring/figures.h"
#include "service/log.h"
#include "shm/segment.h"
#include <aether/error.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* ---- the object ---- */

int ae_totals_start(struct ae_broker *broker) {
    const uint32_t topics = broker->registry.topics_max;
    char name[AE_OBJECT_NAME_SIZE];
    int rc = ae_totals_open(&broker->totals, &broker->instance, topics, true);

    if (rc == 0 || ae_objects_error_passes(rc))
        return rc;
    if (rc != -ENOENT)
        ae_log_line(AE_LOG_WARNING, "%s: totals of topics begin at 0", aether_errmsg());
    ae_name_totals(&broker->instance, name);
    ae_object_remove(name);
    return ae_totals_create(&broker->totals, &broker->instance, topics);
}

int ae_totals_add_topic(struct ae_broker *broker, const ae_registry_topic *topic) {
    const uint32_t t = ae_state_topic_index(broker, topic);
    const int rc = ae_totals_allocate(&broker->instance, &broker->totals, t);

    if (rc == 0)
        ae_totals_reset(&broker->totals, t, topic->topic_id);
    return rc;
}

void ae_totals_remove_topic(struct ae_broker *broker, const ae_registry_topic *topic) {
    ae_totals_reset(&broker->totals, ae_state_topic_index(broker, topic), 0);
}

int ae_totals_adopt(struct ae_broker *broker) {
    const struct ae_registry *registry = &broker->registry;
    int rc;

    for (uint32_t t = 0; t < registry->topics_max; t++) {
        const ae_registry_topic *topic = &registry->topics[t];
        if (ae_record_state(&topic->state) != AE_RECORD_LIVE)
            continue;
        if ((rc = ae_totals_allocate(&broker->instance, &broker->totals, t)) != 0)
            return rc;
    }
    ae_totals_finish(&broker->totals, registry);
    for (uint32_t t = 0; t < registry->topics_max; t++) {
        const ae_registry_topic *topic = &registry->topics[t];
        if (ae_record_state(&topic->state) != AE_RECORD_LIVE)
            continue;
        const ae_totals_topic *record = ae_totals_record(&broker->totals, t);
        if (record->topic_id != topic->topic_id || (record->epoch.v & 1) != 0)
            ae_totals_reset(&broker->totals, t, topic->topic_id);
    }
    return 0;
}

/* ---- the last figures of a grant ---- */

struct last {
    uint64_t start, end; /* what it can account for lies between them */
    ae_stats_record copy;
    ae_account account;
    struct ae_figures figures;
    uint64_t evict; /* a reliable subscriber's eviction word */
};

static bool publisher_figures(const struct ae_objects *objects, const ae_geometry *geometry,
                              const ae_registry_grant *grant, bool died, struct last *last) {
    /* A dead publisher may have claimed sequences that are going to be aborted. */
    const uint64_t since = ae_figures_since(objects->log, died ? geometry : NULL, grant->record, last->account.next);

    return ae_figures_of_publisher(&last->account, since, last->start, last->end, &last->figures);
}

static bool subscriber_figures(const struct ae_objects *objects, const ae_geometry *geometry,
                               const ae_registry_grant *grant, struct last *last) {
    const ae_cursor_record *shared = objects->cursors != NULL ? &objects->cursors->records[grant->record] : NULL;
    const uint64_t position = ae_load_acquire(ae_figures_cursor(&last->copy, &last->account, grant->role, shared));

    if (!ae_figures_of_subscriber(&last->account, position, last->start, last->end, &last->figures))
        return false;
    if (grant->role == AE_ROLE_RELIABLE && ae_figures_is_evicted(objects->log, geometry, grant->record)) {
        last->figures.evicted = 1;
        last->evict = ae_load_relaxed(&objects->log->evict[grant->record]);
    }
    return true;
}

/* 1: *last has the figures. 0: there are none; with a line in the log if they make no sense. -errno: try again. */
static int read_last(const struct ae_broker *broker, const ae_registry_topic *topic, const ae_registry_grant *grant,
                     bool died, struct last *last) {
    const bool publisher = grant->role == AE_ROLE_PUBLISHER;
    const ae_geometry *geometry = &topic->geometry;
    struct ae_objects objects;
    int rc = ae_client_stats_read(broker, grant, &last->copy);

    if (rc < 0 || (rc == 1 && ae_figures_copy(&last->copy, &last->account) == 0))
        return rc < 0 ? rc : 0; /* 0: the client has never used it */
    if (rc == 1) {
        rc = ae_objects_map(broker, topic, publisher && died ? geometry->lanes_off : sizeof(ae_log),
                            grant->role == AE_ROLE_RELIABLE, &objects);
        if (rc != 0)
            return ae_objects_error_passes(rc) ? rc : 0;
        last->end = ae_claim_reach(objects.log, ae_load_relaxed(&objects.log->claim.position));
        last->start = ae_figures_start(geometry, grant->granted_seq, last->end);
        ae_figures_limit(&last->copy, &last->account, grant->granted_ns, ae_now_ns());
        rc = publisher ? publisher_figures(&objects, geometry, grant, died, last)
                       : subscriber_figures(&objects, geometry, grant, last);
        ae_objects_unmap(&objects);
    }
    if (rc == 0)
        ae_log_line(AE_LOG_WARNING, "client %" PRIu64 ": the figures of its %s of topic '%s' are damaged: not counted",
                    grant->client_id, publisher ? "publisher" : "subscriber", topic->name);
    return rc;
}

/* ---- folding ---- */

static void add(uint64_t *sum, uint64_t value) {
    *sum = ae_saturating_add(*sum, value);
}

static void add_publisher(ae_totals_topic *sum, const struct last *last, const ae_geometry *geometry,
                          ae_departed *departed) {
    const struct ae_figures *figures = &last->figures;
    const ae_stats_record *copy = &last->copy;
    uint64_t present;
    const uint64_t stalled = ae_figures_stalled(&last->account, copy->waits_last.v, ae_now_ns(), &present);
    const uint64_t longest = copy->stall_longest.v > present ? copy->stall_longest.v : present;

    add(&sum->published, figures->messages);
    add(&sum->published_bytes, ae_figures_bytes(figures, geometry));
    add(&sum->batches, figures->batches);
    add(&sum->full, copy->full.v);
    add(&sum->stalls, copy->stalls.v);
    add(&sum->stall_ns, stalled);
    add(&sum->retries, copy->retries.v);
    add(&sum->wakes, copy->wakes.v);
    if (longest > sum->stall_longest)
        sum->stall_longest = longest;
    departed->full = copy->full.v;
    departed->stall_ns = stalled;
}

static void add_latency(ae_totals_topic *sum, const struct last *last, const ae_registry_topic *topic,
                        const ae_registry_grant *grant) {
    const ae_stats_record *copy = &last->copy;
    const uint64_t *buckets = (const uint64_t *)(const void *)copy->buckets;

    if (copy->samples.v == 0)
        return;
    if (!ae_figures_measured(copy, buckets, last->end - last->figures.joined)) {
        ae_log_line(AE_LOG_WARNING,
                    "client %" PRIu64 ": the latencies of its subscriber of topic '%s' are damaged: not counted",
                    grant->client_id, topic->name);
        return;
    }
    add(&sum->samples, copy->samples.v);
    add(&sum->negative, copy->negative.v);
    add(&sum->overflow, copy->overflow.v);
    add(&sum->missed, copy->missed.v);
    ae_histogram_add(sum->buckets, buckets);
}

static void add_subscriber(ae_totals_topic *sum, const struct last *last, const ae_geometry *geometry,
                           ae_departed *departed) {
    const struct ae_figures *figures = &last->figures;
    const ae_stats_record *copy = &last->copy;

    add(&sum->accounted, figures->next - figures->joined);
    add(&sum->delivered, figures->messages);
    add(&sum->delivered_bytes, ae_figures_bytes(figures, geometry));
    for (unsigned i = 0; i < AE_LOST_REASONS; i++)
        add(&sum->lost[i], figures->lost_by[i]);
    add(&sum->gaps, figures->gaps);
    add(&sum->aborted, figures->aborted);
    add(&sum->skipped, figures->skipped);
    add(&sum->evictions, figures->evicted);
    add(&sum->sleeps, copy->sleeps.v);
    add(&sum->woken, copy->woken.v);
    departed->lost = figures->lost;
    departed->aborted = figures->aborted;
    departed->skipped = figures->skipped;
    departed->evicted = (uint32_t)figures->evicted;
    departed->reason = (uint32_t)ae_evicted(last->evict);
    departed->held = departed->reason == AE_EVICT_LANE ? ae_evict_units(last->evict) * AE_LANE_UNIT : 0;
}

/* The record as it will be with these figures. died: the client has ended; it may have closed the handle before. */
static void sum_up(const struct ae_broker *broker, const ae_registry_topic *topic, const ae_registry_grant *grant,
                   const struct last *last, bool died, ae_totals_topic *sum) {
    const uint32_t client = ae_index_client(&broker->index, grant->client_id);
    const uint64_t closed = last->copy.closed.v, now = ae_realtime_ns(), mono = ae_now_ns();
    ae_departed departed = {.grant_id = grant->grant_id,
                            .client_id = grant->client_id,
                            .left_ns = closed != 0 ? ae_figures_left(closed, mono, now) : now,
                            .left_mono_ns = closed != 0 && closed < mono ? closed : mono,
                            .role = grant->role,
                            .died = died && closed == 0,
                            .messages = last->figures.messages};

    if (client != AE_NO_CLIENT) {
        departed.pid = broker->registry.clients[client].pid;
        memcpy(departed.client, broker->registry.clients[client].name, sizeof departed.client - 1);
    }
    *sum = *ae_totals_record(&broker->totals, ae_state_topic_index(broker, topic));
    if (grant->role == AE_ROLE_PUBLISHER) {
        add_publisher(sum, last, &topic->geometry, &departed);
    } else {
        add_subscriber(sum, last, &topic->geometry, &departed);
        add_latency(sum, last, topic, grant);
    }
    add(grant->role == AE_ROLE_PUBLISHER ? &sum->publishers_died : &sum->subscribers_died, departed.died);
    sum->departed[sum->departed_count++ % AE_DEPARTED_MAX] = departed;
    sum->last_folded = grant->grant_id;
}

bool ae_totals_fold(struct ae_broker *broker, uint32_t g, bool died) {
    const ae_registry_topic *topic;
    ae_registry_grant grant; /* a copy whose values are valid */
    ae_totals_topic sum;
    struct last last = {.evict = 0};

    if (ae_registry_read_grant(&broker->registry, g, &grant) == 0 || grant.folded != 0 ||
        (topic = ae_state_topic(broker, grant.topic_id)) == NULL)
        return true;
    const int rc = read_last(broker, topic, &grant, died, &last);
    if (rc != 1)
        return rc == 0;
    sum_up(broker, topic, &grant, &last, died, &sum);
    ae_totals_change(&broker->totals, &broker->registry.grants[g], ae_state_topic_index(broker, topic), &sum);
    return true;
}
