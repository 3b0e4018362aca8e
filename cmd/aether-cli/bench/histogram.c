/* SPDX-License-Identifier: Apache-2.0 */
/* histogram.c - quantiles. */
#include "histogram.h"
#include "ticks.h"

/*
 * The quantile, with the samples of a bucket spread evenly over the space between its neighbours. Many CPUs' counters
 * advance in steps (AMD's by 10 ns), and a median that can only be 110 or 120 is too coarse for a ratio.
 */
double histogram_ns(const struct histogram *h, double quantile) {
    const double rank = (double)h->count * quantile;
    double seen = 0;
    uint32_t before = 0, after;

    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (h->bucket[i] == 0)
            continue;
        if (seen + h->bucket[i] > rank) {
            for (after = i + 1; after < HISTOGRAM_BUCKETS && h->bucket[after] == 0;)
                after++;
            if (after == HISTOGRAM_BUCKETS) /* the largest sample: it has no neighbour above */
                after = i + 1;
            const double low = before == 0 ? i : (before + i) / 2.0, high = (i + after) / 2.0;
            return (low + (high - low) * (rank - seen) / h->bucket[i]) * bench_ns_per_tick();
        }
        seen += h->bucket[i];
        before = i;
    }
    return HISTOGRAM_BUCKETS * bench_ns_per_tick();
}
