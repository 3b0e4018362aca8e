/* SPDX-License-Identifier: Apache-2.0 */
/* measure.h - what measurements report to a view. Times are in nanoseconds; a figure is that of the median run. */
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
    double stall_ns; /* 0: none, or none is measured */
};

/* All runs of a measurement, and how its figure compares with the machine's own: ratio. */
struct ae_view_runs {
    uint64_t count, discarded;
    double floor_ns; /* the round trip of a bare cache line */
    double ratio, ratio_min, ratio_max;
};

/* The topic that the messages went through. */
struct ae_view_ring {
    const char *preset; /* what decided the capacity */
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
    double stall_ns; /* the longest one of all runs */
};

struct ae_view_latency {
    struct ae_view_runs runs;
    struct ae_view_ring ring;
    uint64_t size;
    double p50_ns, p99_ns, p999_ns; /* there and back */
};

struct ae_view_wakeup {
    struct ae_view_runs runs;
    uint64_t size;
    uint64_t samples;   /* of the last run */
    double distance_ns; /* between two of them, at least */
    double p50_ns, p99_ns;
    double futex_p50_ns, futex_p99_ns; /* the same for a bare futex */
};

#endif
