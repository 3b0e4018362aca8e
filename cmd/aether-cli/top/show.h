/* SPDX-License-Identifier: Apache-2.0 */
/* show.h - a pass, and how the pages show it. */
#ifndef AETHER_CLI_TOP_SHOW_H
#define AETHER_CLI_TOP_SHOW_H

#include "text.h"
#include "watch/watch.h"
#include <stdbool.h>
#include <stdint.h>

struct top_show {
    const struct ae_watch_pass *pass; /* NULL: there is none, and `error` says why */
    const char *error;                /* why the last pass failed; NULL: it didn't */
    const char *socket_path;
    const char *filter; /* as it is used now; "" for none */
    enum ae_watch_order order;
    bool reverse;
    bool paused;
    bool total_latency; /* latencies since each topic's creation, not those since the pass before */
    bool sparks;        /* the list shows the last minute */
    double interval_s;
    double cost_percent; /* of a core, for top itself; negative: not known yet */
    double pass_s;       /* the CPU time of the last pass; negative: not known yet */
    unsigned problems;   /* lines of them in the list, at most */
};

/* p50, p99, p99.9 and the longest one in seconds: since the pass before, or since creation. -1: there are none. */
#define TOP_QUANTILES 4
void top_show_quantiles(const struct top_show *show, const struct ae_watch_topic *topic, double seconds[TOP_QUANTILES]);

/* "the last 1.00 s", of which rates and, without total_latency, latencies are. */
#define TOP_WINDOW_SIZE 48
char *top_show_window(char dst[TOP_WINDOW_SIZE], const struct top_show *show);

/* AETHER_UNKNOWN becomes -1. */
double top_show_seconds(uint64_t ns);

/* "risk (790)" */
#define TOP_OWNER_SIZE TOP_TEXT_SIZE(96)
char *top_show_owner(char dst[TOP_OWNER_SIZE], const aether_owner *owner);

#endif
