/* SPDX-License-Identifier: Apache-2.0 */
/*
 * step.h - runs a function instruction by instruction (x86-64).
 *
 * The function runs on a stack of its own. The processor's trap flag raises SIGTRAP after each of its instructions;
 * when it has made as many as it was told to, the signal's handler switches back to whoever let it run, and the
 * function stands still, its registers in the signal's frame. From there it is stepped on, run to its end, or
 * forgotten.
 *
 * A function that stands still is part of memory: it can be saved, run to its end, and put back to where it stood.
 */
#ifndef AETHER_TESTS_KILL_STEP_H
#define AETHER_TESTS_KILL_STEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FIBER_STACK_BYTES 65536u
#define FIBER_SAVED_BYTES 24576u /* of either stack: what is in use where it stands */

struct fiber {
    void (*play)(void *arg);
    void *arg;
    void *sp, *home; /* stack pointers: its own, of whoever lets it run */
    void *context;   /* ucontext_t of the signal in which it stands */
    uint64_t steps;  /* instructions so far */
    uint64_t left;   /* until it stops */
    bool stepping;   /* else it runs to its end */
    bool done;       /* play() has returned */
    int error;       /* its errno */
    unsigned char *stack, *signal_stack;
};

/* Once, before all others. Returns why it can't be done here, or NULL. */
const char *step_setup(void);

/* Makes it ready to run play(arg). */
void fiber_start(struct fiber *fiber, void (*play)(void *arg), void *arg);

/* Executes up to n instructions more. False: it is done. */
bool fiber_step(struct fiber *fiber, uint64_t n);

/* Runs it to its end. */
void fiber_finish(struct fiber *fiber);

/* Where it stands, as bytes: writes to `saved`, which has room for it, or only counts; returns how many. */
size_t fiber_save(const struct fiber *fiber, unsigned char *saved);
size_t fiber_restore(struct fiber *fiber, const unsigned char *saved);

#endif
