/* SPDX-License-Identifier: Apache-2.0 */
#include "base/export.h"
#include "ring/claim.h"
#include "ring/publisher.h"
#include "ring/wake.h"

static uint64_t has_store16(const ae_geometry *geometry) {
#ifdef AE_STORE16
    return geometry->slot_size % 16 == 0 && __builtin_cpu_supports("avx");
#else
    (void)geometry;
    return 0;
#endif
}

void ae_publisher_init(struct ae_publisher *p, const ae_geometry *geometry, uint32_t record, ae_log *log,
                       const ae_cursors *cursors, unsigned char *buffer) {
    const bool registered = ae_wake_register();
    const uint64_t next = ae_claim_end(log, geometry, ae_load_relaxed(&log->claim.position));

    *p = (struct ae_publisher){
        .hot =
            {
                .next = next,
                .limit = next,
                /* Nobody's: the first claim looks at the claim word. */
                .word = ae_claim_word(next, AE_MODE_REVOKING, AE_CLAIM_NOBODY),
                .intent = &log->publishers[record].intent,
                .slots = (unsigned char *)log + geometry->slots_off,
                .mask = geometry->capacity - 1,
                .slot_size = geometry->slot_size,
                .inline_max = ae_inline_max(geometry),
                .max_message = geometry->max_message,
                .store16 = has_store16(geometry),
                .want = &cursors->want.want,
                .wake = ae_load_relaxed(&log->wake.wake),
            },
        .log = log,
        .own = &log->publishers[record],
        .cursors = cursors,
        .geometry = *geometry,
        .record = record,
        /* Nobody but a repairer ends the bias of an exclusive topic. */
        .may_bias = geometry->publishers == AE_PUBLISHERS_EXCLUSIVE ||
                    (geometry->publishers == AE_PUBLISHERS_SHARED && registered),
        .released = next - geometry->capacity,
        .window = geometry->evict_lag != 0 ? geometry->evict_lag : geometry->capacity,
    };
    /*
     * Z5, pairs Z6 (sleep): before the first message, so that a sleeper that this publisher must wake knows whether
     * membarrier reaches it.
     */
    if (!registered)
        (void)ae_fetch_or(&log->stream.unfenced, 1ull << record);
    ae_store_relaxed(&p->own->joined, next);
    ae_store_relaxed(&p->own->full, 0);
    ae_lane_init(p, record, buffer);
}

void ae_publisher_leave(struct ae_publisher *p) {
    ae_claim_leave(p);
    /* T1 acq_rel, pairs T2 (stream): whoever sees the bit clear sees all that was committed. */
    (void)ae_fetch_and(&p->log->stream.open, ~(1ull << p->record));
    ae_wake_all(&p->log->wake.wake);
}

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

AE_EXPORT int aether_detail_publish(aether_publisher *publisher, const void *data, size_t len) {
    return len > publisher->inline_max ? ae_publish_large(ae_publisher_of(publisher), data, len)
                                       : aether_publish(publisher, data, len);
}

/*
 * Somebody wants to be woken, or wanted to once this publisher has last looked. First the note, then the word: the note
 * is never ahead of an honest word that is loaded after it. Z3: the word is raised before the wake, so that one who
 * comes to sleep with the old word between the two doesn't fall asleep. A note ahead of the word is a lie and wakes
 * nobody.
 */
AE_EXPORT void aether_detail_wake(aether_publisher *handle) {
    struct ae_publisher *p = ae_publisher_of(handle);
    const uint64_t want = ae_load_acquire(handle->want), word = ae_load_acquire(&p->log->wake.wake);

    if ((int64_t)(want - word) > 0)
        return;
    handle->wake = word;
    if (want != word)
        return;
    if (ae_cas(&p->log->wake.wake, word, word + 1)) /* else another one has raised it, and wakes */
        ae_wake_futex(&p->log->wake.wake);
    handle->wake = word + 1;
}
