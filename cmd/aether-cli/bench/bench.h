/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench.h - `bench`: what its commands take, and the measurements.
 *
 * bench.c reads the options; throughput.c (also fan-out), latency.c and wakeup.c measure, each with processes
 * (processes.h) in runs (measure.h). A figure is taken between two halves of the floor (floor.h): a run during which
 * the cores moved apart or together is thrown away.
 */
#ifndef AETHER_CLI_BENCH_BENCH_H
#define AETHER_CLI_BENCH_BENCH_H

#include "view/view.h"
#include <aether/aether.h>
#include <stdbool.h>
#include <stdint.h>

#define BENCH_PUBLISHERS_MAX 64 /* a topic's */

enum bench_touch { BENCH_TOUCH_ALL, BENCH_TOUCH_FIRST };

struct bench_options {
    struct ae_view view; /* shows the runs and the result */
    uint64_t size;       /* bytes a message */
    uint64_t runs;       /* accepted runs */
    double seconds;      /* a run */
    uint64_t capacity;   /* slots; 0: the preset's */
    uint64_t lane;       /* bytes; 0: 8 MiB, or two messages if that is more */
    aether_preset preset;
    uint64_t subscribers;
    uint64_t publishers;      /* throughput; the parent is one of them */
    aether_publishers admits; /* the topics */
    uint64_t batch;           /* throughput: messages a call */
    bool shared, no_bias;     /* throughput: as asked for */
    bool loan;                /* throughput */
    int touch;                /* throughput: enum bench_touch */
};

/* True: such messages lie in a lane and not in the ring. */
static inline bool bench_has_lane(const struct bench_options *options) {
    return options->size > AETHER_INLINE_LIMIT;
}

/* Measure and show the result. Each returns an exit status; an error is reported. */
int bench_throughput(const struct bench_options *options);
int bench_latency(const struct bench_options *options);
int bench_wakeup(const struct bench_options *options);

#endif
