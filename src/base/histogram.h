/* SPDX-License-Identifier: Apache-2.0 */
/*
 * histogram.h - histograms of 64-bit values with a bounded relative error, as plain arrays of counts.
 *
 * Values 0 to 15 have a bucket each. Above, each power of two has 16 buckets of equal width, so the middle of a bucket
 * is at most 1/32 of the value off. Values of 2^42 and more have no bucket: the owner counts them by itself. Sums
 * saturate at UINT64_MAX. The functions keep nothing, can't fail, and accept any content of the array.
 */
#ifndef AE_BASE_HISTOGRAM_H
#define AE_BASE_HISTOGRAM_H

#include <stdint.h>

#define AE_HISTOGRAM_BUCKETS 624u

/* Index of the bucket of value; AE_HISTOGRAM_BUCKETS if it has none. */
static inline unsigned ae_histogram_index(uint64_t value) {
    if (value < 16)
        return (unsigned)value;
    const unsigned power = 63 - (unsigned)__builtin_clzll(value); /* 2^power <= value */
    return power < 42 ? 16 * (power - 3) + ((unsigned)(value >> (power - 4)) & 15) : AE_HISTOGRAM_BUCKETS;
}

/* The smallest value of bucket i; for AE_HISTOGRAM_BUCKETS and above, 2^42: where the buckets end. */
uint64_t ae_histogram_floor(unsigned i);

/* The sum of the buckets. */
uint64_t ae_histogram_count(const uint64_t *buckets);

/*
 * The value that the share q of the values doesn't exceed: the middle of its bucket. q below 0 counts as 0, above 1 as
 * 1, NaN as 0. -1 if all buckets are 0.
 */
double ae_histogram_quantile(const uint64_t *buckets, double q);

/* Adds `from` to `to`. */
void ae_histogram_add(uint64_t *to, const uint64_t *from);

/* a + b, at most UINT64_MAX. */
static inline uint64_t ae_saturating_add(uint64_t a, uint64_t b) {
    uint64_t sum;

    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

#endif
