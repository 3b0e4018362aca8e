/* SPDX-License-Identifier: Apache-2.0 */
/* measure.h - the results of measurements, for a view. Times are in nanoseconds; figures come from the median run. */
#ifndef AE_VIEW_MEASURE_H
#define AE_VIEW_MEASURE_H

#include <aether/topic.h>
#include <stdbool.h>
#include <stdint.h>

/* One accepted run. */
struct ae_view_run {
    uint64_t number, of; /* from 1 on */
    double ratio;
    const char *unit; /* of the ratio */
    double floor_ns;
    double stall_ns; /* 0: no stall, or stalls aren't measured */
};

/* All runs of a measurement. ratio compares its figure with the machine's floor. */
struct ae_view_runs {
    uint64_t count, discarded;
    double floor_ns; /* the round trip of a bare cache line */
    double ratio, ratio_min, ratio_max;
};

/* The topic of the messages. */
struct ae_view_ring {
    const char *preset; /* which preset or option gave the capacity */
    uint64_t capacity;  /* slots */
    uint32_t slot_size;
    uint64_t lane_bytes; /* 0: no lanes */
};

struct ae_view_throughput {
    struct ae_view_runs runs;
    struct ae_view_ring ring;
    uint64_t size;  /* bytes a message */
    uint64_t batch; /* messages a call */
    uint64_t publishers, subscribers;
    aether_publishers admits;
    bool loan;        /* written in place, not copied in */
    bool touch_first; /* only the first 8 bytes are written and read */
    double msgs_per_s, bytes_per_s;
    uint64_t lost;   /* in all runs */
    double stall_ns; /* the longest stall of all runs */
};

struct ae_view_latency {
    struct ae_view_runs runs;
    struct ae_view_ring ring;
    uint64_t size;
    double p50_ns, p99_ns, p999_ns; /* of the round trip */
};

struct ae_view_wakeup {
    struct ae_view_runs runs;
    uint64_t size;
    uint64_t samples;   /* of the last run */
    double distance_ns; /* the shortest time between two samples */
    double p50_ns, p99_ns;
    double futex_p50_ns, futex_p99_ns; /* the same for a bare futex */
};

#endif
