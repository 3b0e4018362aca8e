/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock.h - time without system calls.
 *
 * ae_ticks() reads the CPU's constant-rate counter (TSC, or the arm generic timer) if the CPU states that it has one,
 * and otherwise CLOCK_MONOTONIC through the vDSO. ae_clock_init() decides between them, once in each process; call it
 * before ae_ticks() and ae_ticks_from_ns(). All functions are thread-safe and can't fail.
 */
#ifndef AE_BASE_CLOCK_H
#define AE_BASE_CLOCK_H

#include <stdint.h>

/* The first call takes about 1 ms, later calls almost nothing. */
void ae_clock_init(void);

/* The counter's value. Wait-free. */
uint64_t ae_ticks(void);

/* Ticks in that time; UINT64_MAX if they don't fit. */
uint64_t ae_ticks_from_ns(uint64_t ns);

/* CLOCK_MONOTONIC and CLOCK_REALTIME in nanoseconds. */
uint64_t ae_now_ns(void);
uint64_t ae_realtime_ns(void);

#endif
