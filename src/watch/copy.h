/* SPDX-License-Identifier: Apache-2.0 */
/* copy.h - memory for the full copy of a topic, which is used again from pass to pass. */
#ifndef AE_WATCH_COPY_H
#define AE_WATCH_COPY_H

#include "watch/topic.h"
#include "watch/track.h"
#include <aether/metrics.h>
#include <stddef.h>

struct ae_watch_copy {
    struct ae_watch_topic topic; /* its pointers point to the arrays below, and to the samples of the track */
    aether_publisher_metrics *publishers;
    aether_subscriber_metrics *subscribers;
    aether_departed_metrics *departed;
    struct ae_watch_rates *publisher_rates, *subscriber_rates;
    size_t publisher_room, subscriber_room, departed_room;
};

/*
 * Makes *copy, which begins as all zeros, a copy of the topic, with the rates of publishers and subscribers since the
 * track was updated last, but without samples. track may be NULL. Returns 0. Errors: -ENOMEM; the copy is then empty.
 */
int ae_watch_copy_make(struct ae_watch_copy *copy, const struct ae_watch_topic *topic,
                       const struct ae_watch_track *track);

/* Frees what the copy points to, not the struct. */
void ae_watch_copy_clear(struct ae_watch_copy *copy);

#endif
