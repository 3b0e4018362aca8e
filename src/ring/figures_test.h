/* SPDX-License-Identifier: Apache-2.0 */
/* figures_test.h - what another process reads of the figures of a publisher or subscriber, for tests. */
#ifndef AE_RING_FIGURES_TEST_H
#define AE_RING_FIGURES_TEST_H

#include "ring/figures.h"
#include <errno.h>

#define FIGURES_TRIES 64

static inline uint64_t later_of(uint64_t a, uint64_t b) {
    return (int64_t)(a - b) > 0 ? a : b;
}

/*
 * A subscriber's figures. shared: its record in the cursors object; NULL: it isn't reliable. Returns 1; 0: it has never
 * stored any. -EAGAIN: it stored others at each try. -EBADMSG: they contradict each other.
 */
static inline int read_subscriber(const ae_stats_record *record, const ae_cursor_record *shared,
                                  struct ae_figures *figures) {
    const uint32_t role = shared != NULL ? AE_ROLE_RELIABLE : AE_ROLE_BEST_EFFORT;

    for (int turn = 0; turn < FIGURES_TRIES; turn++) {
        ae_account account;
        const uint64_t flips = ae_figures_copy(record, &account);
        const uint64_t position = ae_load_acquire(ae_figures_cursor(record, &account, role, shared));
        if (flips == 0)
            return 0;
        if (ae_figures_current(record, flips))
            return ae_figures_of_subscriber(&account, position, account.joined, later_of(position, account.next),
                                            figures)
                       ? 1
                       : -EBADMSG;
    }
    return -EAGAIN;
}

/* A publisher's, with the same results. geometry NULL: what is claimed counts as published. */
static inline int read_publisher(const ae_stats_record *record, const ae_log *log, const ae_geometry *geometry,
                                 uint32_t number, struct ae_figures *figures) {
    for (int turn = 0; turn < FIGURES_TRIES; turn++) {
        ae_account account;
        const uint64_t flips = ae_figures_copy(record, &account);
        const uint64_t since = ae_figures_since(log, geometry, number, account.next);
        if (flips == 0)
            return 0;
        if (ae_figures_current(record, flips))
            return ae_figures_of_publisher(&account, since, account.joined - account.messages, account.next + since,
                                           figures)
                       ? 1
                       : -EBADMSG;
    }
    return -EAGAIN;
}

#endif
