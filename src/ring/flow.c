/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/flow.h"
#include "ring/claim.h"

/*
 * How far behind seq record r holds the publishers; 0: not at all. *evicted is set if a subscriber that is behind
 * evict_below was evicted, or just about.
 */
static uint64_t lag_of(struct ae_publisher *p, unsigned r, uint64_t seq, uint64_t evict_below, bool *evicted) {
    const uint64_t capacity = p->geometry.capacity;
    uint64_t word = 0, lag;

    if (p->geometry.evict_lag != 0) {
        /*
         * E2 acquire, pairs E1 (admission): a word of this generation comes with its cursor. So first the word, then
         * bit and cursor: the other way round a newcomer could be evicted for its predecessor's lag.
         */
        word = ae_load_acquire(&p->log->evict[r]);
        if ((word & 1) != 0 || (ae_load_acquire(&p->cursors->active.active) >> r & 1) == 0)
            return 0;
    }
    /* F2 acquire, pairs F1 (receive): the reader's last look at a released slot happens before it is overwritten. */
    lag = seq - ae_load_acquire(&p->cursors->records[r].cursor);
    /*
     * One ahead (negative lag) holds nobody back: others have claimed since seq was loaded, or it is a lie. One that is
     * too far behind to be a cursor counts as a whole ring.
     */
    if ((int64_t)lag <= 0)
        return 0;
    lag = lag < capacity ? lag : capacity;
    if (p->geometry.evict_lag != 0 && (int64_t)(evict_below - (seq - lag)) > 0) {
        /*
         * E3 acq_rel and a release fence, pairs E4 (receive): before a tag or a floor of what it still could read is
         * stored, so that a reader that finds itself overrun finds the word, too. If another one changed the word, all
         * is looked at anew.
         */
        (void)ae_cas(&p->log->evict[r], word, word | 1);
        ae_fence_release();
        *evicted = true;
    }
    return lag;
}

static bool is_pending(const struct ae_publisher *p, uint64_t seq) {
    return ae_tag_pending(ae_load_acquire(ae_slot_tag(p->log, &p->geometry, seq)), seq);
}

/* The first sequence below `hold` that is claimed by record r and isn't finished yet; or hold. */
static uint64_t first_pending(const struct ae_publisher *p, unsigned r, uint64_t hold) {
    /* P6 acquire, pairs P4 (claim): with an intent come the commits of the one before. */
    const uint64_t intent = ae_load_acquire(&p->log->publishers[r].intent), count = intent & AE_INTENT_COUNT_MAX;
    uint64_t seq = ae_seq_extend(intent >> AE_CLAIM_SEQ_SHIFT, hold);
    const uint64_t last = seq + count - 1;

    /*
     * Nothing a whole ring behind can be pending, or nobody would have claimed so far. Slots are committed, and
     * aborted, in order, so the last one tells of all, and halving finds the first; in an intent that was lost what is
     * pending is another one's, and holds as well. P6 acquire, pairs W2 (publish) and D3 (repair): a slot that is
     * overwritten because it is seen finished is finished for whoever finds the new message.
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
 * An intent that is stored after it was loaded here is for a claim at or after seq, or it loses; so it reaches no slot
 * below the limit. The same holds for a publisher that is admitted after `open` was loaded. The dead keep their bit
 * until they are repaired.
 */
static uint64_t pending_below(const struct ae_publisher *p, uint64_t seq) {
    uint64_t hold = seq;

    /*
     * P9 acquire, pairs T1 (leave) and D4 (repair): all that a publisher whose bit is seen clear claimed is finished.
     */
    for (uint64_t open = ae_load_acquire(&p->log->stream.open) & ~(1ull << p->record); open != 0; open &= open - 1)
        hold = first_pending(p, (unsigned)__builtin_ctzll(open), hold);
    return hold;
}

/*
 * limit = min(min(seq, every active cursor) + window, hold + capacity), where hold is the first pending sequence.
 * Whoever has read up to that has read all that there is: it isn't slow, evicting it would make no room, and only the
 * second term holds for it.
 *
 * seq was loaded from the claim word, or all below it was committed, before the fence, and the cursors are read after
 * it; a joiner stores its record before its own fence and reads the claim after that. So either the scan sees the
 * joiner, or the joiner sees this claim or a later one and starts at or after it, where nothing below seq + capacity >=
 * the new limit can hurt it.
 */
void ae_publisher_scan(struct ae_publisher *p, uint64_t seq, uint64_t evict_below) {
    uint64_t max_lag = 0, slow_lag = 0, hold, limit;
    bool evicted = true;

    ae_store_relaxed(&p->log->claim.position, seq); /* for all that need more than 48 bits */
    ae_fence_seq_cst();                             /* J2 fence, pairs J1 (join) */
    hold = pending_below(p, seq);
    if ((int64_t)(evict_below - hold) > 0)
        evict_below = hold;

    for (unsigned turn = 0; evicted && turn <= AE_SUBSCRIBERS_MAX; turn++) {
        max_lag = slow_lag = 0;
        evicted = false;
        /* F3 acquire, pairs J3 (join): a bit that is seen set comes with the cursor that was stored before it. */
        for (uint64_t active = ae_load_acquire(&p->cursors->active.active); active != 0; active &= active - 1) {
            const uint64_t lag = lag_of(p, (unsigned)__builtin_ctzll(active), seq, evict_below, &evicted);
            if (lag > max_lag)
                max_lag = lag;
            if (lag > slow_lag && (int64_t)(hold - (seq - lag)) > 0)
                slow_lag = lag;
        }
    }
    p->released = seq - max_lag;
    limit = seq - slow_lag + p->window;
    if ((int64_t)(limit - hold) > (int64_t)p->geometry.capacity)
        limit = hold + p->geometry.capacity;
    p->hot.limit = (int64_t)(limit - p->hot.next) > 0 ? limit : p->hot.next;
}
