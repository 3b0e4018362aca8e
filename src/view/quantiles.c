/* SPDX-License-Identifier: Apache-2.0 */
/* quantiles.c - from the median to the longest. */
#include "view/quantiles.h"

const struct ae_quantile ae_quantiles[AE_QUANTILES] = {
    {0.5, "p50", "p50_ns"},      {0.9, "p90", "p90_ns"},         {0.99, "p99", "p99_ns"},
    {0.999, "p99.9", "p999_ns"}, {0.9999, "p99.99", "p9999_ns"}, {1, "max", "max_ns"},
};
