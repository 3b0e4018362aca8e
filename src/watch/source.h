/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source.h - where a watch reads: aether_metrics, or synthetic figures in unit tests.
 *
 * begin, next and client do and return what aether_metrics_begin(), _next() and _client() do. What next fills in is
 * valid until the next call of begin or next. now is a clock in nanoseconds that never goes back; the watch calls it
 * once for each topic, right after next.
 */
#ifndef AE_WATCH_SOURCE_H
#define AE_WATCH_SOURCE_H

#include <aether/metrics.h>
#include <stdint.h>

struct ae_watch_source {
    int (*begin)(void *self, aether_instance_metrics *instance);
    int (*next)(void *self, aether_topic_metrics *topic);
    int (*client)(void *self, uint32_t *cursor, aether_client_metrics *client);
    uint64_t (*now)(void *self);
    void *self;
};

/* Reads with `metrics`, which stays the caller's and must outlive the source; the clock is CLOCK_MONOTONIC. */
struct ae_watch_source ae_watch_metrics_source(aether_metrics *metrics);

#endif
