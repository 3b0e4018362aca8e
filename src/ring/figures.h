/* SPDX-License-Identifier: Apache-2.0 */
/*
 * figures.h - reads the figures of a publisher or subscriber in its record of statistics, and turns them into figures
 * that make sense on their own. aetherd uses it when it folds a record, a reader while the owner lives; so both come to
 * the same result.
 *
 * The record comes from another process and isn't trusted: a function returns false if the values contradict each
 * other or the topic. The functions keep nothing, and may be called on any thread. Wait-free.
 *
 * The account says little about the fast path: what has happened there since it was stored follows from the cursor or
 * the intent. These belong to the account if they are loaded between the two calls:
 *
 *     flips = ae_figures_copy(record, &account);
 *     position = load ae_figures_cursor(...), or since = ae_figures_since(...)
 *     if (!ae_figures_current(record, flips)) again;
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

/* Copies the account. Returns a number for ae_figures_current(); 0: the owner has never stored an account. */
uint64_t ae_figures_copy(const ae_stats_record *record, ae_account *account);

/* Is it still the record's account? If not, the owner has stored another one since, or is hostile. */
bool ae_figures_current(const ae_stats_record *record, uint64_t flips);

/*
 * The word with a subscriber's cursor. shared: its record in the cursors object; NULL: it has none, or that isn't
 * mapped. Load it with acquire.
 */
const ae_u64 *ae_figures_cursor(const ae_stats_record *record, const ae_account *account, uint32_t role,
                                const ae_cursor_record *shared);

/*
 * A subscriber's. position: its cursor at the moment of the account; what lies between the account's next and the
 * cursor has been delivered. start and end: the topic's first sequence, and what publishers have claimed, loaded after
 * the cursor.
 */
bool ae_figures_of_subscriber(const ae_account *account, uint64_t position, uint64_t start, uint64_t end,
                              struct ae_figures *figures);

/* A publisher's. since: ae_figures_since() for the account's next. start and end: as above. */
bool ae_figures_of_publisher(const ae_account *account, uint64_t since, uint64_t start, uint64_t end,
                             struct ae_figures *figures);

/*
 * CLOCK_REALTIME of the moment at which the handle of a record was closed, which was CLOCK_MONOTONIC `closed`; not later
 * than now, whatever the record says. now and realtime: of both clocks.
 */
uint64_t ae_figures_left(uint64_t closed, uint64_t now, uint64_t realtime);

/*
 * Counts the messages that the publisher of a record has published since its account said `next`. It doesn't count
 * those that it has claimed but not committed yet, so the number doesn't go back if it dies and they are aborted. log
 * is mapped up to the end of the slots; without them, if geometry is NULL, and then what is claimed counts as
 * committed. Bounded.
 */
uint64_t ae_figures_since(const ae_log *log, const ae_geometry *geometry, uint32_t record, uint64_t next);

/* A publisher that found no room and hasn't tried for so long doesn't wait any more: nobody knows if it has room. */
#define AE_GIVEN_UP_NS 2000000000ull

/* When a stall ends at the latest, at now_ns: waits_last is the record's, of the last call that found no room. */
static inline uint64_t ae_stall_end(uint64_t waits_last, uint64_t now_ns) {
    return now_ns > waits_last && now_ns - waits_last > AE_GIVEN_UP_NS ? waits_last + AE_GIVEN_UP_NS : now_ns;
}

/*
 * The time in ns that a publisher was without room, with its present stall up to now_ns, which is *present. waits_last
 * is loaded before the account, and the clock is read before both, so that the sum never goes back.
 */
uint64_t ae_figures_stalled(const ae_account *account, uint64_t waits_last, uint64_t now_ns, uint64_t *present);

/*
 * Have publishers evicted the reliable subscriber that holds the record? It knows only after its next receive. On a topic
 * that doesn't evict the word in the log is ignored. log may be NULL.
 */
bool ae_figures_is_evicted(const ae_log *log, const ae_geometry *geometry, uint32_t record);

/* The bytes of so many messages, which the client has counted; limited to what so many messages can have. */
uint64_t ae_figures_bytes(const struct ae_figures *figures, const ae_geometry *geometry);

#endif
