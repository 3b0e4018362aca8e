/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options.h - the options of a measurement. bench.c reads them; throughput.c (also for fan-out), latency.c and wakeup.c
 * measure, with processes (processes.h) in runs (measure.h).
 */
#ifndef AETHER_CLI_BENCH_OPTIONS_H
#define AETHER_CLI_BENCH_OPTIONS_H

#include "view/view.h"
#include <aether/aether.h>
#include <stdbool.h>
#include <stdint.h>

#define BENCH_PUBLISHERS_MAX 64 /* of a topic */

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
    aether_publishers admits; /* what the topics admit */
    uint64_t batch;           /* throughput: messages a call */
    bool shared, no_bias;     /* throughput: the options */
    bool loan;                /* throughput */
    int touch;                /* throughput: enum bench_touch */
};

/* True if messages of this size lie in a lane and not in the ring. */
static inline bool bench_has_lane(const struct bench_options *options) {
    return options->size > AETHER_INLINE_LIMIT;
}

#endif
