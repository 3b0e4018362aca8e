/* SPDX-License-Identifier: Apache-2.0 */
/*
 * figures.h - turns the figures of a publisher or subscriber, as its record of statistics has them, into figures that
 * make sense on their own. aetherd uses it when it folds a record, a reader while the owner lives; so both come to the
 * same result.
 *
 * The account comes from another process and isn't trusted: a function returns false if the values contradict each
 * other or the topic. The functions keep nothing, and may be called on any thread. An account that was never stored, of
 * a record whose `flips` is 0, has no figures: the caller doesn't pass it.
 */
#ifndef AE_RING_FIGURES_H
#define AE_RING_FIGURES_H

#include "shm/stats_layout.h"
#include <stdbool.h>

struct ae_figures {
    uint64_t joined, next;    /* as in metrics.h */
    uint64_t messages, bytes; /* published, or delivered */
    uint64_t batches;
    uint64_t lost, lost_by[AE_LOST_REASONS], gaps, aborted, skipped, evicted;
};

/*
 * A subscriber's. position: its cursor at the moment of the account; what lies between the account's next and the
 * cursor has been delivered. end: what publishers have claimed.
 */
bool ae_figures_of_subscriber(const ae_account *account, uint64_t position, uint64_t end, struct ae_figures *figures);

/*
 * A publisher's. since: ae_figures_since() for the account's next. start and end: the topic's first sequence, and what
 * publishers have claimed.
 */
bool ae_figures_of_publisher(const ae_account *account, uint64_t since, uint64_t start, uint64_t end,
                             struct ae_figures *figures);

/*
 * Counts the messages that the publisher of a record has published since its account said `next`. It doesn't count
 * those that it has claimed but not committed yet, so the number doesn't go back if it dies and they are aborted. log
 * is mapped up to the end of the slots; without them, if geometry is NULL, and then what is claimed counts as
 * committed. Bounded.
 */
uint64_t ae_figures_since(const ae_log *log, const ae_geometry *geometry, uint32_t record, uint64_t next);

/*
 * The time in ns that a publisher was without room, with its present stall up to now_ns, from a copy of its record. The
 * longest stall is stored in *longest, with the present one.
 */
uint64_t ae_figures_stalled(const ae_stats_record *copy, uint64_t now_ns, uint64_t *longest);

#endif
