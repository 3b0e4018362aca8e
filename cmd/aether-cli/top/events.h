/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events.h - waits for keys and signals. The signals below are blocked except while it waits, so none is missed.
 *
 * One for the process. SIGINT, SIGTERM and SIGHUP end the screen in an orderly way. An ignored SIGINT or SIGHUP stays
 * ignored.
 */
#ifndef AETHER_CLI_TOP_EVENTS_H
#define AETHER_CLI_TOP_EVENTS_H

#include <stdint.h>

enum top_event {
    TOP_EVENT_TIME,    /* the deadline has come */
    TOP_EVENT_KEY,     /* a key can be read */
    TOP_EVENT_RESIZED, /* SIGWINCH */
    TOP_EVENT_STOP,    /* SIGTSTP: top_events_stop() stops the process */
    TOP_EVENT_RESUMED, /* SIGCONT */
    TOP_EVENT_END      /* a signal, or the terminal has gone: top_events_status() */
};

void top_events_begin(void);
void top_events_end(void); /* as it was before */

/* Waits until an instant of cli_now_ns(). fd: the terminal that keys come from. */
enum top_event top_events_wait(int fd, uint64_t deadline_ns);

/* Stops the process as SIGTSTP does, and returns when it has been continued. */
void top_events_stop(void);

/* The exit status after TOP_EVENT_END: 128 + the signal's number. */
int top_events_status(void);

#endif
