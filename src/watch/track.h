/* SPDX-License-Identifier: Apache-2.0 */
/*
 * track.h - the recent past of one topic: samples, the histogram of the pass before, and the counters of its publishers
 * and subscribers then.
 */
#ifndef AE_WATCH_TRACK_H
#define AE_WATCH_TRACK_H

#include "watch/rates.h"
#include "watch/topic.h"
#include <aether/metrics.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The counters of a publisher or subscriber. */
struct ae_watch_peer {
    uint64_t grant_id;
    struct ae_watch_counters counters;
};

struct ae_watch_peers {
    struct ae_watch_peer *list; /* in the order of the figures */
    size_t count, room;
};

struct ae_watch_track {
    uint64_t wanted; /* index of the last pass in which the topic was selected */
    bool has_latency;
    aether_latency latency; /* of the last pass that saw the topic, cumulative */

    struct ae_watch_sample *samples; /* the last `count` of them begin at samples[first] */
    size_t first, count, max;

    struct ae_watch_peers publishers, subscribers; /* of that pass */
    struct ae_watch_peers spare;                   /* the next list of subscribers is made here */
};

/* samples: how many are kept. NULL: out of memory. */
struct ae_watch_track *ae_watch_track_new(size_t samples);
void ae_watch_track_free(struct ae_watch_track *track); /* NULL does nothing */

/* Adds a sample; the oldest one goes if there are more than `samples`. Returns 0. Errors: -ENOMEM. */
int ae_watch_track_sample(struct ae_watch_track *track, size_t samples, const struct ae_watch_sample *sample);

/* The rates of a topic's publishers or subscribers since the pass before, into room for as many as there are. */
void ae_watch_track_publisher_rates(const struct ae_watch_track *track, const aether_topic_metrics *topic,
                                    uint64_t taken_ns, struct ae_watch_rates *rates);
void ae_watch_track_subscriber_rates(const struct ae_watch_track *track, const aether_topic_metrics *topic,
                                     uint64_t taken_ns, struct ae_watch_rates *rates);

/*
 * Remembers the histogram, the counters and the losses of subscribers for the next pass. Returns 0. Errors: -ENOMEM;
 * nothing has changed.
 */
int ae_watch_track_update(struct ae_watch_track *track, const aether_topic_metrics *topic, uint64_t taken_ns);

#endif
