/* SPDX-License-Identifier: Apache-2.0 */
/* measure.h - runs, each between the two halves of its floor, until enough runs were accepted. */
#ifndef AETHER_CLI_BENCH_MEASURE_H
#define AETHER_CLI_BENCH_MEASURE_H

#include "options.h"
#include "processes.h"
#include "view/measure.h"
#include <stdbool.h>
#include <stdint.h>

struct bench_result {
    double floor_ns;
    double ratio;              /* to the floor; runs are ordered by it */
    double msgs_per_s;         /* throughput */
    uint64_t lost;             /* throughput */
    double stall_ns;           /* throughput */
    double p50, p99, p999;     /* round trip or wake-up, ns */
    double bare_p50, bare_p99; /* wakeup, of a bare futex, ns */
};

struct bench_case {
    /*
     * Does one run with the children and fills in what it measures. False: an error, which was reported, or a signal.
     */
    bool (*run)(struct bench *bench, const struct bench_options *options, void *context, struct bench_result *result);
    double (*ratio)(const struct bench_result *result);
    const char *unit; /* of the ratio, for progress */
    void *context;
};

/*
 * Does a run that isn't counted, and then runs until options->runs of them were accepted. results: the accepted runs,
 * ordered by ratio. Returns a status; an error is reported.
 */
int bench_measure(struct bench *bench, const struct bench_options *options, const struct bench_case *bench_case,
                  struct bench_result *results, uint64_t *discarded);

/* For the report: all runs. */
struct ae_view_runs bench_runs(const struct bench_options *options, const struct bench_result *results,
                               uint64_t discarded);

#endif
