/* SPDX-License-Identifier: Apache-2.0 */
/* show.c - figures as seconds, records as words. */
#include "show.h"
#include "view/amount.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void top_show_quantiles(const struct top_show *show, const struct ae_watch_topic *topic,
                        double seconds[TOP_QUANTILES]) {
    static const double shares[TOP_QUANTILES] = {0.5, 0.99, 0.999, 1};
    const bool known = show->total_latency || topic->has_recent;
    const aether_latency *latency = show->total_latency ? &topic->figures.latency : &topic->recent;

    for (size_t i = 0; i < TOP_QUANTILES; i++) {
        const double ns = known ? aether_latency_quantile(latency, shares[i]) : -1;
        seconds[i] = ns >= 0 ? ns / 1e9 : -1;
    }
}

char *top_show_window(char dst[TOP_WINDOW_SIZE], const struct top_show *show) {
    const uint64_t elapsed_ns = show->pass->instance.elapsed_ns;
    char amount[AE_AMOUNT_SIZE];

    snprintf(dst, TOP_WINDOW_SIZE, "the last %s",
             ae_amount_duration(amount, elapsed_ns > 0 ? (double)elapsed_ns / 1e9 : show->interval_s));
    return dst;
}

double top_show_seconds(uint64_t ns) {
    return ns == AETHER_UNKNOWN ? -1 : (double)ns / 1e9;
}

char *top_show_owner(char dst[TOP_OWNER_SIZE], const aether_owner *owner) {
    char name[TOP_TEXT_SIZE(64)];

    top_text_escape(name, sizeof name, owner->client, strnlen(owner->client, sizeof owner->client));
    if (owner->pid != 0)
        snprintf(dst, TOP_OWNER_SIZE, "%s (%" PRIu32 ")", name, owner->pid);
    else
        snprintf(dst, TOP_OWNER_SIZE, "%s", name);
    return dst;
}
