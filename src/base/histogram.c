/* SPDX-License-Identifier: Apache-2.0 */
#include "base/histogram.h"

uint64_t ae_histogram_floor(unsigned i) {
    if (i < 16)
        return i;
    if (i > AE_HISTOGRAM_BUCKETS)
        i = AE_HISTOGRAM_BUCKETS;
    return (uint64_t)(16 + i % 16) << (i / 16 - 1);
}

uint64_t ae_histogram_count(const uint64_t *buckets) {
    uint64_t count = 0;

    for (unsigned i = 0; i < AE_HISTOGRAM_BUCKETS; i++)
        count = ae_saturating_add(count, buckets[i]);
    return count;
}

/* The smallest number of values that are the share q of count; at least 1. */
static uint64_t rank_of(double q, uint64_t count) {
    if (!(q > 0))
        return 1;
    if (q >= 1)
        return count;
    double share = q * (double)count;
    share -= share * 0x1p-50; /* 0.07 * 100 is 7, although the product of the doubles is a little more */
    const uint64_t whole = (uint64_t)share;
    return whole + (share > (double)whole || whole == 0);
}

double ae_histogram_quantile(const uint64_t *buckets, double q) {
    const uint64_t count = ae_histogram_count(buckets);
    uint64_t seen = 0;
    unsigned i = 0;

    if (count == 0)
        return -1;
    const uint64_t rank = rank_of(q, count);
    for (;; i++) {
        seen = ae_saturating_add(seen, buckets[i]);
        if (seen >= rank || i == AE_HISTOGRAM_BUCKETS - 1)
            break;
    }
    return (double)(ae_histogram_floor(i) + ae_histogram_floor(i + 1) - 1) / 2;
}

void ae_histogram_add(uint64_t *to, const uint64_t *from) {
    for (unsigned i = 0; i < AE_HISTOGRAM_BUCKETS; i++)
        to[i] = ae_saturating_add(to[i], from[i]);
}
