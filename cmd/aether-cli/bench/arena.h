/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena.h - the memory that the processes of a benchmark share: for the floor's ping-pong, for starting steps, and for
 * results.
 *
 * The parent maps it, zeroed, before it forks. A word for which a process waits has cache lines of its own.
 */
#ifndef AETHER_CLI_BENCH_ARENA_H
#define AETHER_CLI_BENCH_ARENA_H

#include <stdint.h>

#define BENCH_CHILDREN_MAX 64
#define BENCH_WAKES_MAX 8192u /* of one kind in a run */
#define BENCH_FAILED UINT64_MAX

struct bench_word {
    _Alignas(128) uint64_t v;
};

struct bench_arena {
    struct bench_word ping, pong;         /* the floor's two cache lines: the parent's, child 0's */
    struct bench_word step;               /* raised by the parent, see processes.h */
    struct bench_word total;              /* messages published in this run; the parent sets it at the run's end */
    struct bench_word end_ns;             /* when the publishers stop in this run */
    struct bench_word futex;              /* wakeup: the bare futex */
    struct bench_word sent_ns;            /* wakeup: when the parent sent the last bare wake-up */
    struct bench_word woken;              /* wakeup: wake-ups of both kinds in this run; the child counts them */
    uint64_t wake_ns[2][BENCH_WAKES_MAX]; /* wakeup: from the call to the return, of messages and of the bare futex */
    struct {
        struct bench_word done;    /* the step that this child has reached, or BENCH_FAILED */
        uint64_t count, lost, sum; /* messages received or published, and the sum of their words */
        uint64_t ns, stall_ns;     /* of a subscriber: when its last message came, its longest time without a message */
        char text[256];            /* why it failed */
    } child[BENCH_CHILDREN_MAX];
};

#endif
