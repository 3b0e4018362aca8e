/* SPDX-License-Identifier: Apache-2.0 */
/* signals.h - a clean end by SIGINT or SIGTERM, and waits that these signals interrupt. */
#ifndef AETHER_CLI_SIGNALS_H
#define AETHER_CLI_SIGNALS_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * The number of the first SIGINT or SIGTERM after cli_catch_signals(); 0: none yet. If it is set, loops end and return
 * cli_signal_status().
 */
extern volatile sig_atomic_t cli_signal;

/* Call it at the start of main(). Ignores SIGPIPE, so that a write to a closed pipe returns an error. */
void cli_init_signals(void);

/*
 * From now on the first SIGINT or SIGTERM sets cli_signal, and a second one ends the process. System calls are
 * restarted, so that output isn't cut; but the waits below return.
 */
void cli_catch_signals(void);
int cli_signal_status(void); /* 128 + cli_signal */

/*
 * A write to stdout or stderr may block for good, because nobody reads. From when a signal was caught, or the instant has passed
 * (of cli_now_ns(); UINT64_MAX, as at first: none), such a write gets a second without progress: then it is given up.
 */
void cli_set_deadline(uint64_t deadline_ns);
bool cli_must_end(void); /* a signal was caught, or the deadline has passed */

/*
 * From begin to end SIGRTMIN interrupts this thread's system calls ten times a second. The time since is the caller's.
 */
void cli_begin_ticks(void);
void cli_end_ticks(void);

uint64_t cli_now_ns(void);      /* CLOCK_MONOTONIC */
uint64_t cli_realtime_ns(void); /* CLOCK_REALTIME: only to be shown */

/* AETHER_FOREVER if it is more than 292 years. */
uint64_t cli_nanoseconds(double seconds);

/* The instant `seconds` after another one; UINT64_MAX: never, as where seconds < 0. */
uint64_t cli_after(uint64_t from_ns, double seconds);

/* Sleeps until an instant of cli_now_ns(), or until a signal has been caught. */
void cli_sleep_until(uint64_t deadline_ns);

/*
 * Waits until fd can be read, the other end of `output` is closed, an instant of cli_now_ns() (UINT64_MAX: none) is
 * reached, or a signal has been caught.
 */
void cli_wait_for(int fd, int output, uint64_t deadline_ns);

/* Waits until fd can be read (at once if it is a file or has ended), or until a signal has been caught: false. */
bool cli_wait_readable(int fd);

#endif
