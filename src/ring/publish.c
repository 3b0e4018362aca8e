/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "base/export.h"
#include "ring/publisher.h"
#include "ring/wake.h"
#include <inttypes.h>

/*
 * The topic's next sequence, as a full 64-bit value. Both words are hostile: whatever they hold, the result is only a
 * number that is masked before it becomes an address.
 */
static uint64_t load_claim(const ae_log *log) {
    /* S1 acquire, pairs C1 (publish): the slots below the claim are seen committed. */
    const uint64_t word = ae_load_acquire(&log->claim.claim);
    return ae_seq_extend(word >> AE_CLAIM_SEQ_SHIFT, ae_load_relaxed(&log->claim.position));
}

static uint64_t has_store16(const ae_geometry *geometry) {
#ifdef AE_STORE16
    return geometry->slot_size % 16 == 0 && __builtin_cpu_supports("avx");
#else
    (void)geometry;
    return 0;
#endif
}

/*
 * The predecessor may have died between a slot's commit and the claim store. What it committed is delivered already:
 * the claim moves to the end of the committed slots, and the first sequence that wasn't committed is used again.
 * S2 acquire, pairs W2 (publish): their payloads are seen too, so that they are ordered before the claim store that
 * follows.
 */
static uint64_t end_of_committed(const struct ae_publisher *p, uint64_t next) {
    for (uint64_t i = 0; i < p->geometry.capacity; i++) {
        const ae_u64 *tag = (const ae_u64 *)(const void *)(p->hot.slots + (next & p->hot.mask) * p->hot.slot_size);
        const uint64_t value = ae_load_acquire(tag);
        if (ae_tag_ahead(value, next) != 0 || ae_tag_kind(value) == AE_KIND_BUSY)
            break;
        next++;
    }
    return next;
}

void ae_publisher_init(struct ae_publisher *p, const ae_geometry *geometry, uint32_t record, ae_log *log,
                       const ae_cursors *cursors, unsigned char *buffer) {
    ae_publisher_record *own = &log->publishers[record];
    uint64_t next;

    *p = (struct ae_publisher){
        .hot =
            {
                .slots = (unsigned char *)log + geometry->slots_off,
                .mask = geometry->capacity - 1,
                .slot_size = geometry->slot_size,
                .inline_max = ae_inline_max(geometry),
                .max_message = geometry->max_message,
                .claim = &log->claim.claim,
                .claim_owner = ae_claim(0, AE_MODE_EXCLUSIVE, record),
                .store16 = has_store16(geometry),
                .want = &cursors->want.want,
                .wake = ae_load_relaxed(&log->wake.wake),
            },
        .log = log,
        .cursors = cursors,
        .geometry = *geometry,
        .record = record,
        .window = geometry->evict_lag != 0 ? geometry->evict_lag : geometry->capacity,
    };
    /*
     * Z5, pairs Z6 (sleep): before the first message, so that a sleeper that this publisher must wake knows whether
     * membarrier reaches it.
     */
    if (!ae_wake_register())
        (void)ae_fetch_or(&log->stream.unfenced, 1ull << record);
    next = end_of_committed(p, load_claim(log));
    p->hot.next = next;
    p->hot.limit = next;
    p->released = next - geometry->capacity;
    ae_store_relaxed(&own->joined, next);
    ae_store_relaxed(&own->full, 0);
    ae_store_relaxed(&log->claim.position, next);
    ae_store_claim(&p->hot, next);
    ae_lane_init(p, record, buffer);
}

void ae_publisher_leave(struct ae_publisher *p) {
    /* T1 acq_rel, pairs T2 (stream): whoever sees the bit clear sees all that was committed. */
    (void)ae_fetch_and(&p->log->stream.open, ~(1ull << p->record));
    ae_wake_all(&p->log->wake.wake);
}

/*
 * How far behind record r holds the publisher; 0: not at all. *evicted is set if a subscriber that is behind
 * evict_below was evicted, or just about.
 */
static uint64_t lag_of(struct ae_publisher *p, unsigned r, uint64_t evict_below, bool *evicted) {
    const uint64_t next = p->hot.next, capacity = p->geometry.capacity;
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
    lag = next - ae_load_acquire(&p->cursors->records[r].cursor);
    /*
     * A cursor outside [claim - capacity, claim] is no cursor: one ahead (negative lag) can only be a lie and holds
     * nobody back, one too far behind counts as a whole ring.
     */
    if ((int64_t)lag <= 0)
        return 0;
    lag = lag < capacity ? lag : capacity;
    if (p->geometry.evict_lag != 0 && (int64_t)(evict_below - (next - lag)) > 0) {
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

/*
 * limit = min(claim, every active cursor) + window. The claim is stored before the fence and the cursors are read after
 * it; a joiner stores its record before its own fence and reads the claim after that. So either the scan sees the
 * joiner, or the joiner sees this claim and starts at or after it, where nothing below claim + capacity >= the new
 * limit can hurt it.
 */
void ae_publisher_scan(struct ae_publisher *p, uint64_t evict_below) {
    const uint64_t next = p->hot.next;
    uint64_t max_lag = 0;
    bool evicted = true;

    /* For joiners that need more than the claim's 48 bits; at most one capacity behind, so far within 2^47. */
    ae_store_relaxed(&p->log->claim.position, next);
    ae_store_claim(&p->hot, next);
    ae_fence_seq_cst(); /* J2 fence, pairs J1 (join) */

    for (unsigned turn = 0; evicted && turn <= AE_SUBSCRIBERS_MAX; turn++) {
        max_lag = 0;
        evicted = false;
        /* F3 acquire, pairs J3 (join): a bit that is seen set comes with the cursor that was stored before it. */
        for (uint64_t active = ae_load_acquire(&p->cursors->active.active); active != 0; active &= active - 1) {
            const uint64_t lag = lag_of(p, (unsigned)__builtin_ctzll(active), evict_below, &evicted);
            if (lag > max_lag)
                max_lag = lag;
        }
    }
    p->released = next - max_lag;
    if ((int64_t)(p->released + p->window - p->hot.limit) > 0)
        p->hot.limit = p->released + p->window; /* never back: slots below the old limit may be promised to a batch */
}

AE_EXPORT int aether_detail_refresh(aether_publisher *handle, uint64_t count) {
    struct ae_publisher *p = ae_publisher_of(handle);

    ae_publisher_scan(p, handle->next + count - p->window);
    if (handle->limit - handle->next >= count)
        return 0;
    ae_store_relaxed(&p->log->publishers[p->record].full, ++p->full);
    return AETHER_FULL;
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
