/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock.h - time without system calls.
 *
 * ae_ticks() reads the CPU's constant-rate counter (TSC, or the arm generic timer) where the CPU says that it has one,
 * and CLOCK_MONOTONIC through the vDSO otherwise. ae_clock_init() finds out which, once a process; call it before the
 * others.
 */
#ifndef AE_BASE_CLOCK_H
#define AE_BASE_CLOCK_H

#include <stdint.h>

void ae_clock_init(void); /* thread-safe, cheap after the first call (which takes about 1 ms) */
uint64_t ae_ticks(void);  /* counter value; wait-free */
uint64_t ae_ticks_from_ns(uint64_t ns);
uint64_t ae_now_ns(void);      /* CLOCK_MONOTONIC */
uint64_t ae_realtime_ns(void); /* CLOCK_REALTIME */

#endif
