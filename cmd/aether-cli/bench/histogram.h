/* SPDX-License-Identifier: Apache-2.0 */
/* histogram.h - counts samples in ticks, with a bucket for each tick. */
#ifndef AETHER_CLI_BENCH_HISTOGRAM_H
#define AETHER_CLI_BENCH_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BUCKETS 262144u /* about 100 us */

struct histogram {
    uint64_t count, over; /* over: samples beyond the last bucket */
    uint32_t bucket[HISTOGRAM_BUCKETS];
};

static inline void histogram_add(struct histogram *h, uint64_t ticks) {
    if (ticks < HISTOGRAM_BUCKETS)
        h->bucket[ticks]++;
    else
        h->over++;
    h->count++;
}

double histogram_ns(const struct histogram *h, double quantile);

#endif
