/* SPDX-License-Identifier: Apache-2.0 */
/* ticks.h - the CPU's counter as a clock, because reading the clock must take less time than the measured event. */
#ifndef AETHER_CLI_BENCH_TICKS_H
#define AETHER_CLI_BENCH_TICKS_H

#include "signals.h"
#include <stdint.h>

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

/* Measured against CLOCK_MONOTONIC by the first call, which takes 20 ms; children inherit the value. */
double bench_ns_per_tick(void);

#endif
