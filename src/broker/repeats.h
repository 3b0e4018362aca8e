/* SPDX-License-Identifier: Apache-2.0 */
/*
 * repeats.h - lines of the log that a program could cause again and again. The first line of a cause is logged at once,
 * and those that follow within a second are counted; then one line says how many they were. So a cause has at most one
 * line a second.
 *
 * Nothing here blocks. One thread uses it, that of the loop.
 */
#ifndef AE_BROKER_REPEATS_H
#define AE_BROKER_REPEATS_H

#include "service/loop.h"
#include <stdbool.h>

struct ae_repeats {
    const char *what; /* for "and 12 more: WHAT"; the caller's */

    /* For the functions below only. */
    struct ae_loop *loop;
    struct ae_timer timer;
    bool armed;
    uint64_t more;
};

/* loop must outlive it, or the call of ae_repeats_close(). */
void ae_repeats_open(struct ae_repeats *repeats, struct ae_loop *loop, const char *what);

/* True: log the line now. False: it is counted, and said later. */
bool ae_repeats_admit(struct ae_repeats *repeats);

/* Says what is left to be said. */
void ae_repeats_close(struct ae_repeats *repeats);

#endif
