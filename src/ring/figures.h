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
 * The first sequence that a publisher or subscriber can account for: when aetherd granted it, granted_seq had been
 * claimed, and a ring before that may have been there. end: as below.
 */
uint64_t ae_figures_start(const ae_geometry *geometry, uint64_t granted_seq, uint64_t end);

/*
 * Limits what the client has counted, in its copied record and account, to what is possible since aetherd granted the
 * handle at granted_ns: no time is longer than that, nothing was done more often than once a nanosecond, and no sleep
 * took less than 256 ns. So the sum of a topic can't come near 2^64: that takes handles that are open for 584 years
 * together. What the figures below have is limited by the topic's messages. Call it before them; not for buckets.
 */
void ae_figures_limit(ae_stats_record *copy, ae_account *account, uint64_t granted_ns, uint64_t now_ns);

/*
 * A subscriber's. position: its cursor at the moment of the account; what lies between the account's next and the
 * cursor has been delivered. start and end: ae_figures_start(), and what publishers have claimed, loaded after the
 * cursor.
 */
bool ae_figures_of_subscriber(const ae_account *account, uint64_t position, uint64_t start, uint64_t end,
                              struct ae_figures *figures);

/* A publisher's. since: ae_figures_since() for the account's next. start and end: as above. */
bool ae_figures_of_publisher(const ae_account *account, uint64_t since, uint64_t start, uint64_t end,
                             struct ae_figures *figures);

/*
 * CLOCK_REALTIME of the moment at which the handle of a record was closed, which was CLOCK_MONOTONIC `closed`; not
 * later than now, whatever the record says. now and realtime: of both clocks.
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
 * Have publishers evicted the reliable subscriber that holds the record? It knows only after its next receive. On a
 * topic that doesn't evict the word in the log is ignored. log may be NULL.
 */
bool ae_figures_is_evicted(const ae_log *log, const ae_geometry *geometry, uint32_t record);

/* The bytes of so many messages, which the client has counted; limited to what so many messages can have. */
uint64_t ae_figures_bytes(const struct ae_figures *figures, const ae_geometry *geometry);

/* ---- latency ---- */

#define AE_WEIGHT_MAX 12u /* a stamp stands for 2^AE_WEIGHT_MAX messages at most */

/*
 * The most messages that a histogram can have while publishers claim so many sequences. A publisher's stamps stand for
 * fewer than twice the messages that it has published: a pause ends its present group early, and the pace before takes
 * as many messages as a group has. To that come what its groups before had been, for each publisher that was there.
 */
static inline uint64_t ae_figures_measured_max(uint64_t claimed) {
    const uint64_t before = (uint64_t)AE_PUBLISHERS_MAX << (AE_WEIGHT_MAX + 1);

    return claimed > (UINT64_MAX - before) / 2 ? UINT64_MAX : 2 * claimed + before;
}

/*
 * Can a subscriber have measured this? claimed: how many sequences publishers have claimed since it joined, loaded
 * after the buckets. If not, the whole histogram is to be left out, with its samples: nothing of it is known.
 */
bool ae_figures_measured(const ae_stats_record *copy, const uint64_t *buckets, uint64_t claimed);

#endif
