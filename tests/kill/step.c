/* SPDX-License-Identifier: Apache-2.0 */
#include "step.h"

#if !defined(__x86_64__)
#define CANNOT "single steps are written for x86-64"
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CANNOT "a sanitizer's code isn't what is run"
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CANNOT "a sanitizer's code isn't what is run"
#endif
#endif

#ifdef CANNOT

const char *step_setup(void) {
    return CANNOT;
}

void fiber_start(struct fiber *fiber, void (*play)(void *arg), void *arg) {
    *fiber = (struct fiber){.play = play, .arg = arg};
}

bool fiber_step(struct fiber *fiber, uint64_t n) {
    (void)n;
    fiber_finish(fiber);
    return false;
}

void fiber_finish(struct fiber *fiber) {
    fiber->play(fiber->arg);
    fiber->done = true;
}

size_t fiber_save(const struct fiber *fiber, unsigned char *saved) {
    (void)fiber;
    (void)saved;
    return 0;
}

size_t fiber_restore(struct fiber *fiber, const unsigned char *saved) {
    (void)fiber;
    (void)saved;
    return 0;
}

#else

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define TRAP_FLAG 0x100
#define RED_ZONE 128u

static struct fiber *running;

/* Saves the callee-saved registers and the stack pointer in *save, and continues where `load` was saved. */
void fiber_switch(void **save, void *load);
__asm__(".text\n"
        ".globl fiber_switch\n"
        ".hidden fiber_switch\n"
        ".type fiber_switch, @function\n"
        "fiber_switch:\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n"
        ".size fiber_switch, . - fiber_switch\n");

static inline void trap_on(void) {
    __asm__ __volatile__("leaq -128(%%rsp), %%rsp\n pushfq\n orl $0x100, (%%rsp)\n popfq\n leaq 128(%%rsp), %%rsp" ::
                             : "memory", "cc");
}

static inline void trap_off(void) {
    __asm__ __volatile__("leaq -128(%%rsp), %%rsp\n pushfq\n andl $~0x100, (%%rsp)\n popfq\n leaq 128(%%rsp), %%rsp" ::
                             : "memory", "cc");
}

/* The kernel has cleared the flag for the handler, and sets it again for the function when the handler returns. */
static void on_trap(int signal, siginfo_t *info, void *context) {
    struct fiber *fiber = running;
    ucontext_t *frame = context;
    const int error = errno;

    (void)signal;
    (void)info;
    if (fiber == NULL)
        abort(); /* no fiber runs */
    if (fiber->done)
        return;
    fiber->steps++;
    if (--fiber->left > 0)
        return;
    fiber->context = context;
    fiber->error = error;
    fiber_switch(&fiber->sp, fiber->home);
    if (!fiber->stepping)
        frame->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
    errno = fiber->error;
}

const char *step_setup(void) {
    const struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};

    return sigaction(SIGTRAP, &action, NULL) == 0 ? NULL : "there is no SIGTRAP to be had";
}

static void entry(void) {
    struct fiber *fiber = running;

    if (fiber->stepping)
        trap_on();
    fiber->play(fiber->arg);
    fiber->done = true;
    trap_off();
    fiber->error = errno;
    fiber_switch(&fiber->sp, fiber->home);
    abort(); /* it isn't run again */
}

void fiber_start(struct fiber *fiber, void (*play)(void *arg), void *arg) {
    void **top;

    if (fiber->stack == NULL) {
        fiber->stack = aligned_alloc(64, FIBER_STACK_BYTES);
        fiber->signal_stack = aligned_alloc(64, FIBER_STACK_BYTES);
        if (fiber->stack == NULL || fiber->signal_stack == NULL)
            abort();
    }
    *fiber = (struct fiber){.play = play, .arg = arg, .stack = fiber->stack, .signal_stack = fiber->signal_stack};
    /*
     * What fiber_switch() pops: six registers, the address to return to; and one for the alignment that a call gives.
     */
    top = (void **)(void *)(fiber->stack + FIBER_STACK_BYTES) - 8;
    memset(top, 0, 8 * sizeof *top);
    *(void (**)(void))(void *)&top[6] = entry;
    fiber->sp = top;
}

static void run(struct fiber *fiber) {
    /* Returning from a signal's frame restores its signal stack; this is for the fiber's first signal. */
    if (fiber->context == NULL) {
        const stack_t stack = {.ss_sp = fiber->signal_stack, .ss_size = FIBER_STACK_BYTES};
        if (sigaltstack(&stack, NULL) != 0)
            abort();
    }
    running = fiber;
    fiber_switch(&fiber->home, fiber->sp);
    running = NULL;
}

bool fiber_step(struct fiber *fiber, uint64_t n) {
    if (!fiber->done && n != 0) {
        fiber->stepping = true;
        fiber->left = n;
        run(fiber);
    }
    return !fiber->done;
}

void fiber_finish(struct fiber *fiber) {
    if (!fiber->done) {
        fiber->stepping = false;
        run(fiber);
    }
}

static size_t used(const unsigned char *stack, const unsigned char *sp) {
    const size_t bytes = (size_t)(stack + FIBER_STACK_BYTES - sp);

    if (bytes > FIBER_SAVED_BYTES)
        abort();
    return bytes;
}

static unsigned char *lowest(const struct fiber *fiber) {
    const ucontext_t *frame = fiber->context;

    return (unsigned char *)(uintptr_t)frame->uc_mcontext.gregs[REG_RSP] - RED_ZONE;
}

size_t fiber_save(const struct fiber *fiber, unsigned char *saved) {
    size_t stack, signal_stack;

    memcpy(saved, fiber, sizeof *fiber);
    if (fiber->context == NULL || fiber->done)
        return sizeof *fiber;
    stack = used(fiber->stack, lowest(fiber));
    signal_stack = used(fiber->signal_stack, fiber->sp);
    memcpy(saved + sizeof *fiber, fiber->sp, signal_stack);
    memcpy(saved + sizeof *fiber + signal_stack, lowest(fiber), stack);
    return sizeof *fiber + signal_stack + stack;
}

size_t fiber_restore(struct fiber *fiber, const unsigned char *saved) {
    size_t stack, signal_stack;

    memcpy(fiber, saved, sizeof *fiber);
    if (fiber->context == NULL || fiber->done)
        return sizeof *fiber;
    signal_stack = used(fiber->signal_stack, fiber->sp);
    memcpy(fiber->sp, saved + sizeof *fiber, signal_stack);
    stack = used(fiber->stack, lowest(fiber)); /* by the frame, which is restored now */
    memcpy(lowest(fiber), saved + sizeof *fiber + signal_stack, stack);
    return sizeof *fiber + signal_stack + stack;
}

#endif
