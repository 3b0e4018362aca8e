/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena.h - the memory that the processes of a benchmark share: for the bare cache-line ping-pong, for starting
 * together, and for results.
 *
 * The parent maps it before it forks; it is zero then. A word that one process writes while another waits for it has
 * cache lines of its own.
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
    struct bench_word ping, pong;         /* the floor's two cache lines: of the parent, of child 0 */
    struct bench_word step;               /* raised by the parent, see processes.h */
    struct bench_word total;              /* messages published in this run; the parent sets it at its end */
    struct bench_word end_ns;             /* of this run: when publishers stop */
    struct bench_word futex;              /* wakeup: what the bare wake-ups are made of */
    struct bench_word sent_ns;            /* wakeup: when the parent sent the last of them */
    struct bench_word woken;              /* wakeup: of both kinds, in this run; counted by the child */
    uint64_t wake_ns[2][BENCH_WAKES_MAX]; /* wakeup: from the call to the return, by message and bare */
    struct {
        struct bench_word done;    /* the step that this child has reached, or BENCH_FAILED */
        uint64_t count, lost, sum; /* messages received or published, and the sum of their words */
        uint64_t ns, stall_ns;     /* of a subscriber: its last message, and its longest time without one */
        char text[256];            /* why it failed */
    } child[BENCH_CHILDREN_MAX];
};

#endif
