/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench.h - measuring with two or more pinned processes.
 *
 * The parent publishes and reports; the first children subscribe, those after them publish, too. They share one
 * anonymous page set, the arena, for the bare cache-line ping-pong, for starting together, and for results. A figure is
 * taken between two halves of the ping-pong: a run during which the cores moved apart or together is thrown away.
 */
#ifndef AETHER_CLI_BENCH_H
#define AETHER_CLI_BENCH_H

#include "error.h"
#include "output.h"
#include "signals.h"
#include "view/measure.h"
#include <aether/aether.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define BENCH_CHILDREN_MAX 64
#define BENCH_PUBLISHERS_MAX 64  /* a topic's */
#define BENCH_FLOOR_TRIPS 50000u /* in each half */
#define BENCH_ATTEMPTS_MAX 40
#define BENCH_SIZE_MAX (UINT64_C(64) << 20)
#define BENCH_WAKES_MAX 8192u /* of one kind in a run */

/* ---- clock: the CPU's counter, as one sample must cost less than what it measures ---- */

static inline uint64_t bench_ticks(void) {
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t value;
    __asm__ __volatile__("mrs %0, cntvct_el0" : "=r"(value));
    return value;
#else
    return cli_now_ns();
#endif
}

double bench_ns_per_tick(void); /* measured once, against CLOCK_MONOTONIC */

/* ---- histogram of single samples, one bucket a tick ---- */

#define HISTOGRAM_BUCKETS 262144u /* about 100 us */

struct histogram {
    uint64_t count, over; /* over: samples beyond the last bucket */
    uint32_t bucket[HISTOGRAM_BUCKETS];
};

static inline void histogram_add(struct histogram *h, uint64_t ticks) {
    if (ticks < HISTOGRAM_BUCKETS)
        h->bucket[ticks]++;
    else
        h->over++;
    h->count++;
}

double histogram_ns(const struct histogram *h, double quantile);

/* ---- arena ---- */

struct bench_word {
    _Alignas(128) uint64_t v;
};

struct bench_arena {
    struct bench_word ping, pong;         /* the floor's two cache lines */
    struct bench_word step;               /* raised by the parent, see bench_step */
    struct bench_word total;              /* messages published in this run, set at its end */
    struct bench_word end_ns;             /* of this run: when publishers stop */
    struct bench_word futex;              /* wakeup: what the bare wake-ups are made of */
    struct bench_word sent_ns;            /* wakeup: when the last of them was sent */
    struct bench_word woken;              /* wakeup: of both kinds, in this run */
    uint64_t wake_ns[2][BENCH_WAKES_MAX]; /* wakeup: from the call to the return, by message and bare */
    struct {
        struct bench_word done;    /* the step that this child has reached, or BENCH_FAILED */
        uint64_t count, lost, sum; /* messages received or published, and the sum of their words */
        uint64_t ns, stall_ns;     /* of a subscriber: its last message, and its longest time without one */
        char text[256];            /* why it failed */
    } child[BENCH_CHILDREN_MAX];
};

#define BENCH_FAILED UINT64_MAX

struct bench {
    struct bench_arena *arena;
    const char *socket_path; /* of the daemon that is used */
    pid_t daemon;            /* the private one; 0 */
    char directory[64];      /* the private daemon's; "" */
    char socket[96];
    pid_t pids[BENCH_CHILDREN_MAX];
    int children;
    int cpus[2]; /* publishers, subscribers */
    char topic[2][64];
    aether_client *client;
};

/* What the commands take. */
struct bench_options {
    uint64_t size;     /* bytes a message */
    uint64_t runs;     /* accepted runs */
    double seconds;    /* a run */
    uint64_t capacity; /* slots; 0: the preset's */
    uint64_t lane;     /* bytes; 0: 8 MiB, or two messages if that is more */
    aether_preset preset;
    uint64_t subscribers;
    uint64_t publishers;      /* throughput; the parent is one of them */
    aether_publishers admits; /* the topics */
    uint64_t batch;           /* throughput: messages a call */
    bool shared, no_bias;     /* throughput: as asked for */
    bool loan;                /* throughput */
    int touch;                /* throughput: enum bench_touch */
    struct out_options output;
    struct ae_view view; /* chosen by output */
};

enum bench_touch { BENCH_TOUCH_ALL, BENCH_TOUCH_FIRST };

typedef int bench_child(struct bench *bench, int index, const struct bench_options *options);

/*
 * Starts a daemon if none runs, connects, creates topics, forks and pins: the first options->subscribers children to
 * one core, all others to the parent's. Status; bench_stop() in every case.
 */
int bench_start(struct bench *bench, const char *command, const struct bench_options *options, int topics, int children,
                bench_child *child);
void bench_stop(struct bench *bench);

/*
 * Starts the next step in all children / waits until all have reached it. False: a child failed or a signal came; it is
 * reported.
 */
void bench_go(struct bench *bench);
bool bench_joined(struct bench *bench);
bool bench_joined_from(struct bench *bench, int first); /* the children from this one on */

/* The child's side: waits for the parent's next step. Ends the process when the parent is gone. */
uint64_t bench_next_step(struct bench *bench, uint64_t step);
void bench_reached(struct bench *bench, int index, uint64_t step);
int bench_child_error(struct bench *bench, int index, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Child 0's side of the floor. */
void bench_floor_pong(struct bench_arena *arena);

/* ---- runs ---- */

struct bench_result {
    double floor_ns;
    double ratio;              /* to the floor: what runs are ordered by */
    double msgs_per_s;         /* throughput */
    uint64_t lost;             /* throughput */
    double stall_ns;           /* throughput */
    double p50, p99, p999;     /* round trip or wake-up, ns */
    double bare_p50, bare_p99; /* wakeup, of a bare futex, ns */
};

struct bench_case {
    bool (*run)(struct bench *bench, const struct bench_options *options, void *context, struct bench_result *result);
    double (*ratio)(const struct bench_result *result);
    const char *unit; /* of the ratio, for progress */
    void *context;
};

/*
 * Takes options->runs accepted runs, each between the two halves of its floor, after one that isn't counted. results:
 * options->runs of them, ordered by ratio on return. Status; an error is reported.
 */
int bench_measure(struct bench *bench, const struct bench_options *options, const struct bench_case *bench_case,
                  struct bench_result *results, uint64_t *discarded);

/* For the report: all runs. results: options->runs of them, ordered by ratio. */
struct ae_view_runs bench_runs(const struct bench_options *options, const struct bench_result *results,
                               uint64_t discarded);

/* For the report: the topic as it was created. CLI_OK, or reports the error. */
int bench_ring(struct bench *bench, const struct bench_options *options, struct ae_view_ring *ring);

/* Such messages lie in a lane and not in the ring. */
static inline bool bench_has_lane(const struct bench_options *options) {
    return options->size > AETHER_INLINE_LIMIT;
}

int bench_throughput(const struct bench_options *options);
int bench_latency(const struct bench_options *options);
int bench_wakeup(const struct bench_options *options);

#endif
