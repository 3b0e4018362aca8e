/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/flow.h"
#include "ring/claim.h"
#include "ring/stats.h"
#include "shm/segment.h"

uint64_t ae_lane_held(const struct ae_publisher *p, uint64_t seq) {
    const struct ae_lane *lane = &p->lane;
    uint64_t from = lane->free, end = lane->free;

    for (unsigned i = 0; i < lane->count; i++) {
        const struct ae_checkpoint *checkpoint = ae_checkpoint_at(lane, i);
        end = checkpoint->position;
        if ((int64_t)(seq - checkpoint->seq) >= 0)
            from = end;
    }
    return end - from;
}

/* What a scan evicts: the subscribers whose cursor is below `below`, for a reason, AE_EVICT_*. */
struct eviction {
    uint64_t below, reason;
    bool tried;
};

/* The eviction word of a subscriber that is so far behind and has this cursor. */
static uint64_t evicted_word(const struct ae_publisher *p, uint64_t word, uint64_t reason, uint64_t lag,
                             uint64_t cursor) {
    return ae_evict_word(word, reason, reason == AE_EVICT_LANE ? ae_lane_held(p, cursor) / AE_LANE_UNIT : lag);
}

const ae_u64 *ae_cursor_of(struct ae_publisher *p, unsigned r) {
    const unsigned page = (unsigned)((offsetof(ae_cursors, records) + r * sizeof(ae_cursor_record)) / AE_PAGE);

    if (AE_UNLIKELY((p->cursor_pages >> page & 1) == 0)) {
        if (ae_segment_populate((void *)(uintptr_t)p->cursors, (uint64_t)page * AE_PAGE, AE_PAGE, false) != 0)
            return NULL;
        p->cursor_pages |= 1u << page;
    }
    return &p->cursors->records[r].cursor;
}

/*
 * Returns how many sequences before seq record r holds publishers back; 0: it doesn't. On a topic that evicts, tries to
 * evict it, if it is to be evicted, and says so in eviction->tried.
 */
static uint64_t lag_of(struct ae_publisher *p, unsigned r, uint64_t seq, struct eviction *eviction) {
    const uint64_t capacity = p->geometry.capacity;
    const ae_u64 *cursor = ae_cursor_of(p, r);
    uint64_t word = 0, lag;

    if (p->geometry.evict_lag != 0) {
        /*
         * E2 acquire, pairs E1 (admission) and E5 (retire): with a word of this generation comes this generation's
         * cursor, and with one that a retirement has raised the cleared bit. The word must be loaded before bit and
         * cursor: otherwise a new subscriber could be evicted for the lag of the record's former holder.
         */
        word = ae_load_acquire(&p->log->evict[r]);
        if (ae_evicted(word) != 0 || (ae_load_acquire(&p->cursors->active.active) >> r & 1) == 0)
            return 0;
    }
    /* F2 acquire, pairs F1 (receive): the subscriber's last load from a released slot precedes its overwriting. */
    lag = cursor != NULL ? seq - ae_load_acquire(cursor) : capacity;
    /*
     * A cursor ahead of seq (negative lag) holds nothing back: publishers have claimed since seq was loaded, or the
     * subscriber is hostile. A cursor more than a ring behind can't be honest; it counts as a whole ring.
     */
    if ((int64_t)lag <= 0)
        return 0;
    lag = lag < capacity ? lag : capacity;
    if (p->geometry.evict_lag != 0 && (int64_t)(eviction->below - (seq - lag)) > 0) {
        /*
         * E3 acq_rel and a release fence, pairs E4 (receive): the word is stored before any tag or lane floor that
         * overruns the subscriber. So a subscriber that finds itself overrun also finds the word. The scan starts again
         * after every attempt, so it also sees a word that another process changed.
         */
        (void)ae_cas(&p->log->evict[r], word, evicted_word(p, word, eviction->reason, lag, seq - lag));
        ae_fence_release();
        eviction->tried = true;
    }
    return lag;
}

/* The acquire is P6; see first_pending(). */
static bool is_pending(const struct ae_publisher *p, uint64_t seq) {
    return ae_tag_pending(ae_load_acquire(ae_slot_tag(p->log, &p->geometry, seq)), seq);
}

/* Returns the first sequence below `hold` that record r has claimed and not finished; hold, if there is none. */
static uint64_t first_pending(const struct ae_publisher *p, unsigned r, uint64_t hold) {
    /* P6 acquire, pairs P4 (claim): with an intent come the commits of the claim before it. */
    const uint64_t intent = ae_load_acquire(&p->log->publishers[r].intent), count = intent & AE_INTENT_COUNT_MAX;
    uint64_t seq = ae_seq_extend(intent >> AE_CLAIM_SEQ_SHIFT, hold);
    const uint64_t last = seq + count - 1;

    /*
     * An intent that ends a whole ring before hold is finished: otherwise no publisher could have claimed up to hold.
     * Slots are committed and aborted in order. So if the last one is finished, all are, and otherwise a binary search
     * finds the first pending one. The claim of this intent may have been lost; then a pending slot belongs to another
     * publisher and must not be overwritten either.
     *
     * P6 acquire, pairs W2 (publish) and D3 (repair): a slot is overwritten because it was seen finished. A process
     * that sees the new message then sees that the old one was finished.
     */
    if (count == 0 || (int64_t)(hold - seq) <= 0 || (int64_t)(hold - last) > (int64_t)p->geometry.capacity ||
        !is_pending(p, last))
        return hold;
    for (uint64_t found = last; seq != found;) {
        const uint64_t middle = seq + (found - seq) / 2;
        if (is_pending(p, middle))
            found = middle;
        else
            seq = middle + 1;
    }
    return (int64_t)(hold - seq) > 0 ? seq : hold;
}

/*
 * Returns the first pending sequence below seq, and its publisher in holder.record; seq, if there is none. Two things
 * may be missed, and neither matters:
 *
 *   1. An intent that is stored after it was loaded here. Its claim is at or after seq, or is lost, so it reaches no
 *      slot below the limit.
 *   2. A publisher that is admitted after `open` was loaded. The same holds for its claims.
 *
 * A dead publisher keeps its bit in `open` until it is repaired.
 */
static uint64_t pending_below(struct ae_publisher *p, uint64_t seq) {
    uint64_t hold = seq;

    /* P9 acquire, pairs T1 (leave) and D4 (repair): if a bit is seen clear, its publisher's claims are finished. */
    for (uint64_t open = ae_load_acquire(&p->log->stream.open) & ~(1ull << p->record); open != 0; open &= open - 1) {
        const unsigned r = (unsigned)__builtin_ctzll(open);
        const uint64_t pending = first_pending(p, r, hold);
        if (pending != hold)
            p->holder.record = r;
        hold = pending;
    }
    return hold;
}

/*
 * limit = min(min(seq, every active cursor below hold) + window, hold + capacity)
 * hold  = the first pending sequence, or seq
 *
 * A subscriber that has read everything up to hold isn't slow, and evicting it would make no room. So only the second
 * term limits publishers on its behalf.
 *
 * Before the fence, seq was loaded from the claim word, or everything below it was committed. Bits and cursors are
 * loaded after the fence. A joiner stores its cursor and bit before its own fence and loads the claim after it. So
 * either the scan sees the joiner, or the joiner sees this claim or a later one. In the second case it starts at or
 * after seq, and the new limit, which is at most seq + capacity, reaches nothing that it still has to read.
 */
void ae_publisher_scan(struct ae_publisher *p, uint64_t seq, uint64_t evict_below, uint64_t reason) {
    struct eviction eviction = {.below = evict_below, .reason = reason, .tried = true};
    uint64_t max_lag = 0, slow_lag = 0, slow_record = 0, hold, limit;

    ae_store_relaxed(&p->log->claim.position, seq); /* extends the 48-bit sequences of other words */
    ae_fence_seq_cst();                             /* J2 fence, pairs J1 (join) */
    hold = pending_below(p, seq);
    if ((int64_t)(eviction.below - hold) > 0)
        eviction.below = hold;

    for (unsigned turn = 0; eviction.tried && turn <= AE_SUBSCRIBERS_MAX; turn++) {
        max_lag = slow_lag = 0;
        eviction.tried = false;
        /* F3 acquire, pairs J3 (join): a bit that is seen set comes with the cursor that was stored before it. */
        for (uint64_t active = ae_load_acquire(&p->cursors->active.active); active != 0; active &= active - 1) {
            const unsigned r = (unsigned)__builtin_ctzll(active);
            const uint64_t lag = lag_of(p, r, seq, &eviction);
            if (lag > max_lag) {
                max_lag = lag;
                p->holder.last_record = r;
            }
            if (lag > slow_lag && (int64_t)(hold - (seq - lag)) > 0) {
                slow_lag = lag;
                slow_record = r;
            }
        }
    }
    p->released = seq - max_lag;
    limit = seq - slow_lag + p->window;
    p->holder.what = AE_WAITS_PUBLISHER;
    p->holder.seq = hold;
    if ((int64_t)(limit - hold) > (int64_t)p->geometry.capacity) {
        limit = hold + p->geometry.capacity;
    } else {
        p->holder.what = AE_WAITS_SUBSCRIBER;
        p->holder.record = slow_record;
    }
    p->room = limit;
    ae_stats_set_limit(p);
}
