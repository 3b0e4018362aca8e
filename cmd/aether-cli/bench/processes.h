/* SPDX-License-Identifier: Apache-2.0 */
/*
 * processes.h - the pinned processes of a benchmark, which do their steps together.
 *
 * The parent publishes and reports. The first children subscribe; the others publish, too. The parent starts a step in
 * all children by raising the arena's step word. A child stores each step that it has reached. Step 1: all children
 * have connected. Then there are three steps for each run: one half of the floor, the run itself, the other half.
 */
#ifndef AETHER_CLI_BENCH_PROCESSES_H
#define AETHER_CLI_BENCH_PROCESSES_H

#include "arena.h"
#include "options.h"
#include "daemon_process.h"
#include "view/measure.h"
#include <aether/aether.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct bench {
    struct bench_arena *arena;
    const char *socket_path;    /* of the daemon that is used */
    struct bench_daemon daemon; /* the private daemon, if no daemon ran */
    pid_t pids[BENCH_CHILDREN_MAX];
    int children;
    int cpus[2];       /* of publishers, of subscribers */
    char topic[2][64]; /* names of the topics; "": no topic */
    aether_client *client;
};

/* The function of child number index. Its result is the child's exit status. */
typedef int bench_child(struct bench *bench, int index, const struct bench_options *options);

/*
 * Starts a daemon if none runs, connects, creates topics, forks and pins. The first options->subscribers children are
 * pinned to one core, the others to the parent's core. Returns a status; call bench_stop() in every case.
 */
int bench_start(struct bench *bench, const char *command, const struct bench_options *options, int topics, int children,
                bench_child *child);

/* Ends the children, removes the topics, disconnects, and stops the private daemon. */
void bench_stop(struct bench *bench);

/* For the report: the topic as it was created. CLI_OK, or reports the error. */
int bench_ring(struct bench *bench, const struct bench_options *options, struct ae_view_ring *ring);

/* ---- steps: the parent's side ---- */

/* Starts the next step in all children. */
void bench_go(struct bench *bench);

/*
 * Waits until all children from `first` on have reached the step. False: a child failed (reported), or a signal came.
 */
bool bench_joined(struct bench *bench);
bool bench_joined_from(struct bench *bench, int first);

/* ---- steps: the child's side ---- */

/* Waits for the next step and returns it. If the parent ends, the kernel ends the child. */
uint64_t bench_next_step(struct bench *bench, uint64_t step);
void bench_reached(struct bench *bench, int index, uint64_t step);

/* True for the run itself, false for a half of its floor. step: 2 or more. */
static inline bool bench_step_is_run(uint64_t step) {
    return (step - 2) % 3 == 1;
}

/* Stores the text for the parent, which reports it. Returns CLI_FAILURE. */
int bench_child_error(struct bench *bench, int index, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
