/* SPDX-License-Identifier: Apache-2.0 */
/* quantiles.h - the quantiles of latencies that are shown. */
#ifndef AE_VIEW_QUANTILES_H
#define AE_VIEW_QUANTILES_H

struct ae_quantile {
    double share;
    const char *word, *key; /* in text and in JSON */
};

#define AE_QUANTILES 6
extern const struct ae_quantile ae_quantiles[AE_QUANTILES];

#endif
