/* SPDX-License-Identifier: Apache-2.0 */
/* measure.c - takes runs and orders them. */
#include "measure.h"
#include "error.h"
#include "floor.h"
#include "signals.h"
#include <stdlib.h>

#define DISCARDED_MAX 40 /* in addition to the number of accepted runs */

static bool floor_half(struct bench *bench, struct histogram *h) {
    bench_go(bench);
    bench_floor_ping(bench->arena, h);
    return bench_joined(bench);
}

static int by_ratio(const void *a, const void *b) {
    const double x = ((const struct bench_result *)a)->ratio, y = ((const struct bench_result *)b)->ratio;

    return x < y ? -1 : x > y;
}

int bench_measure(struct bench *bench, const struct bench_options *options, const struct bench_case *bench_case,
                  struct bench_result *results, uint64_t *discarded) {
    static struct histogram before, after;
    uint64_t accepted = 0;
    bool warm = false; /* after a run that isn't counted all pages are present and the cores have their full speed */

    *discarded = 0;
    while (accepted < options->runs) {
        struct bench_result *r = &results[accepted];
        if (!floor_half(bench, &before) || !bench_case->run(bench, options, bench_case->context, r) ||
            !floor_half(bench, &after) || cli_signal != 0)
            return cli_signal != 0 ? cli_signal_status() : CLI_FAILURE;
        if (!warm) {
            warm = true;
            continue;
        }
        if (!bench_floor_steady(&before, &after)) {
            if (++*discarded == options->runs + DISCARDED_MAX)
                return cli_error(CLI_FAILURE, "bench: the cores' distance changed during too many runs: try again");
            continue;
        }
        r->floor_ns = (histogram_ns(&before, 0.5) + histogram_ns(&after, 0.5)) / 2;
        r->ratio = bench_case->ratio(r);
        accepted++;
        const struct ae_view_run run = {.number = accepted,
                                        .of = options->runs,
                                        .ratio = r->ratio,
                                        .unit = bench_case->unit,
                                        .floor_ns = r->floor_ns,
                                        .stall_ns = r->stall_ns};
        (void)ae_view_run(&options->view, &run);
    }
    qsort(results, accepted, sizeof *results, by_ratio);
    return CLI_OK;
}

struct ae_view_runs bench_runs(const struct bench_options *options, const struct bench_result *results,
                               uint64_t discarded) {
    const struct bench_result *median = &results[options->runs / 2];

    return (struct ae_view_runs){.count = options->runs,
                                 .discarded = discarded,
                                 .floor_ns = median->floor_ns,
                                 .ratio = median->ratio,
                                 .ratio_min = results[0].ratio,
                                 .ratio_max = results[options->runs - 1].ratio};
}
