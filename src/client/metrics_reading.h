/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics_reading.h - what the reader of <aether/metrics.h> keeps between calls, and a topic while it is read.
 *
 * The reader's memory is bounded by the numbers of clients, of grants, and of the subscribers of one topic.
 */
#ifndef AE_CLIENT_METRICS_READING_H
#define AE_CLIENT_METRICS_READING_H

#include "base/histogram.h"
#include "client/mappings.h"
#include "client/record.h"
#include "client/survey.h"
#include "shm/totals.h"
#include <aether/metrics.h>

/* What was read of a grant. Times are CLOCK_MONOTONIC; 0: never. */
struct ae_seen {
    struct ae_record_seen record;
    /* It was closed, but isn't folded: CLOCK_MONOTONIC and CLOCK_REALTIME; 0: it is open. */
    uint64_t left_mono_ns, left_ns;
    /* Of a subscriber that is open. */
    uint64_t grant_id, next;
    uint64_t waits_since; /* since this reading messages have waited and `next` has been the same */
    uint64_t moved_after; /* the last reading with another `next` */
    uint64_t read_ns;     /* the last reading */
};

/* While the grants are listed, publishers may close and others get their records. */
#define AE_METRICS_PUBLISHERS (2 * AE_PUBLISHERS_MAX)

struct aether_metrics {
    struct ae_survey survey;
    struct ae_totals totals;            /* not mapped: there are none yet */
    struct ae_mappings topics, clients; /* logs and cursors; descriptors of statistics */
    uint32_t next_topic;                /* of the pass: index in the registry */
    struct ae_seen *seen;               /* index: the grant's in the registry */
    uint64_t began_ns;                  /* CLOCK_MONOTONIC of the pass's beginning; 0: there was none */

    /* The topic that was read last. */
    aether_publisher_metrics publishers[AE_METRICS_PUBLISHERS];
    aether_subscriber_metrics *subscribers;
    size_t subscriber_room;
    aether_departed_metrics departed[AE_DEPARTED_MAX];

    /* While a topic is read: too large for the stack. */
    ae_totals_topic sums;
    struct ae_record record;
};

#define AE_STUCK_NS 1000000000ull /* a subscriber that receives nothing for so long is stuck */

/* A topic while it is read. */
struct ae_reading {
    aether_metrics *metrics;
    aether_topic_metrics *out;
    const ae_registry_topic *topic;
    const ae_geometry *geometry;
    struct ae_record_topic objects;
    const struct ae_survey_grant *grants;
    size_t grant_count;
    uint64_t now;  /* CLOCK_MONOTONIC */
    bool has_sums; /* there are totals of those that have gone */
    /* Index of the publisher or subscriber that holds a record; -1: none. */
    int32_t by_publisher[AE_PUBLISHERS_MAX], by_cursor[AE_SUBSCRIBERS_MAX];
};

static inline void ae_reading_add(uint64_t *to, uint64_t value) {
    *to = ae_saturating_add(*to, value);
}

/* How long ago that was. A time that lies in the future was just now. */
static inline uint64_t ae_reading_since(const struct ae_reading *r, uint64_t then) {
    return r->now > then ? r->now - then : 0;
}

#endif
