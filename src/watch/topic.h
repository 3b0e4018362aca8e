/* SPDX-License-Identifier: Apache-2.0 */
/* topic.h - a topic as a watch shows it, and sums of topics. */
#ifndef AE_WATCH_TOPIC_H
#define AE_WATCH_TOPIC_H

#include "watch/rates.h"
#include <aether/metrics.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A topic in one pass. */
struct ae_watch_sample {
    uint64_t taken_ns; /* by the source's clock */
    double published;  /* messages a second; -1: not known yet */
    uint64_t lag;
    double p99_ns; /* of the latencies since the pass before; -1: none */
};

/*
 * A topic, or the sum of several. In a sum figures.info has the sums of its counts and of memory_bytes, and no name;
 * lag, ages and times are the largest ones; counters, `waiting` and `stuck` are added, and so are histograms; there are
 * no publishers, subscribers and departed, and no samples. `recent` is the sum of what is known.
 */
struct ae_watch_topic {
    aether_topic_metrics figures;
    uint64_t taken_ns; /* when they were read, by the source's clock */
    struct ae_watch_rates rates;
    const struct ae_watch_rates *publisher_rates;  /* index as figures.publishers */
    const struct ae_watch_rates *subscriber_rates; /* index as figures.subscribers */
    bool has_recent;                               /* the histogram of an earlier pass is known */
    aether_latency recent;                         /* latencies since then, of all subscribers */
    const struct ae_watch_sample *samples;         /* the oldest first; the last one is of this pass */
    size_t sample_count;
};

/* Adds a topic, or a sum, to a sum, which begins as all zeros. */
void ae_watch_topic_add(struct ae_watch_topic *sum, const struct ae_watch_topic *topic);

#endif
