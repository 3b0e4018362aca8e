/* SPDX-License-Identifier: Apache-2.0 */
/* latency.c - the histograms of <aether/metrics.h>. */
#include "base/export.h"
#include "base/histogram.h"
#include <aether/metrics.h>

_Static_assert(AETHER_LATENCY_BUCKETS == AE_HISTOGRAM_BUCKETS, "one histogram");

AE_EXPORT uint64_t aether_latency_floor(unsigned i) {
    return ae_histogram_floor(i);
}

AE_EXPORT uint64_t aether_latency_count(const aether_latency *latency) {
    return ae_histogram_count(latency->buckets);
}

AE_EXPORT double aether_latency_quantile(const aether_latency *latency, double q) {
    return ae_histogram_quantile(latency->buckets, q);
}

AE_EXPORT void aether_latency_add(aether_latency *to, const aether_latency *from) {
    to->samples = ae_saturating_add(to->samples, from->samples);
    to->negative = ae_saturating_add(to->negative, from->negative);
    to->missed = ae_saturating_add(to->missed, from->missed);
    to->overflow = ae_saturating_add(to->overflow, from->overflow);
    ae_histogram_add(to->buckets, from->buckets);
}
