/* SPDX-License-Identifier: Apache-2.0 */
/*
 * step.h - runs a function instruction by instruction (x86-64).
 *
 * The function runs on a stack of its own. The processor's trap flag raises SIGTRAP after each of its instructions.
 * After the wanted number of instructions the signal's handler switches back to the caller of fiber_step(), and the
 * function is stopped: its registers are in the signal's frame. From there it is stepped on, run to its end, or
 * abandoned.
 *
 * A stopped function is bytes in memory: it can be saved, run to its end, and restored to where it was stopped.
 */
#ifndef AETHER_TESTS_KILL_STEP_H
#define AETHER_TESTS_KILL_STEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FIBER_STACK_BYTES 65536u
#define FIBER_SAVED_BYTES 24576u /* of either stack: at most so many bytes in use when it is stopped */

struct fiber {
    void (*play)(void *arg);
    void *arg;
    void *sp, *home; /* stack pointers: its own, and that of the caller */
    void *context;   /* ucontext_t of the signal in which it is stopped */
    uint64_t steps;  /* instructions so far */
    uint64_t left;   /* until it stops */
    bool stepping;   /* else it runs to its end */
    bool done;       /* play() has returned */
    int error;       /* its errno */
    unsigned char *stack, *signal_stack;
};

/* Call it once, first. Returns NULL, or why stepping isn't possible here. */
const char *step_setup(void);

/* Makes the fiber ready to run play(arg). */
void fiber_start(struct fiber *fiber, void (*play)(void *arg), void *arg);

/* Executes up to n more instructions. False: play() has returned. */
bool fiber_step(struct fiber *fiber, uint64_t n);

/* Runs it to its end. */
void fiber_finish(struct fiber *fiber);

/* Copies the fiber's state to `saved`, which has room for it, or back. Returns how many bytes. */
size_t fiber_save(const struct fiber *fiber, unsigned char *saved);
size_t fiber_restore(struct fiber *fiber, const unsigned char *saved);

#endif
