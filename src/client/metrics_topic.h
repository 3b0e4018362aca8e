/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics_topic.h - what the reader of <aether/metrics.h> keeps between calls, and how one topic is read.
 *
 * Its memory is bounded by the numbers of clients, of grants, and of the subscribers of one topic.
 */
#ifndef AE_CLIENT_METRICS_TOPIC_H
#define AE_CLIENT_METRICS_TOPIC_H

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

/*
 * Fills in *out with the topic of registry record `index`, which the caller has read. Returns 1; 0: it was removed
 * meanwhile; or an error with a text that passes: -EMFILE, -ENFILE, -ENOMEM, -EAGAIN ...
 */
int ae_metrics_read_topic(aether_metrics *metrics, uint32_t index, const ae_registry_topic *topic,
                          aether_topic_metrics *out);

#endif
