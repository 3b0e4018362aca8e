/* SPDX-License-Identifier: Apache-2.0 */
/* run.h - makes the passes of top, and measures what they cost. */
#ifndef AETHER_CLI_TOP_RUN_H
#define AETHER_CLI_TOP_RUN_H

#include "watch/watch.h"
#include <aether/aether.h>
#include <stdint.h>

struct top_run {
    aether_metrics *metrics;
    struct ae_watch *watch;
    const struct ae_watch_pass *pass; /* the last one; NULL: there is none, or it failed */
    char error[512];                  /* why it failed, escaped; "": it didn't */
    uint64_t passed_ns;               /* cli_now_ns() when it began */
    uint64_t cpu_ns;                  /* that this process had used then */
    double cost_percent;              /* of a core, between the last two passes; -1: not known yet */
    double pass_s;                    /* CPU time of the last pass; -1: not known yet */
};

/* Opens the instance at cli_socket(). CLI_OK, or reports the error and returns its status. */
int top_run_open(struct top_run *run);
void top_run_close(struct top_run *run); /* also after top_run_open() failed */

/* Makes a pass. Returns 0, or the negative error; run->pass and run->error are set in both cases. */
int top_run_pass(struct top_run *run, const struct ae_watch_options *options);

#endif
