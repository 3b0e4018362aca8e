/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "base/export.h"
#include "ring/publisher.h"
#include <inttypes.h>

static struct ae_publisher *publisher_of(aether_publisher *handle) {
    return (struct ae_publisher *)(void *)handle;
}

/*
 * The topic's next sequence, as a full 64-bit value. Both words are hostile: whatever they hold, the result is only a number that is
 * masked before it becomes an address.
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

void ae_publisher_init(struct ae_publisher *p, const ae_geometry *geometry, uint32_t record, ae_log *log,
                       const ae_cursors *cursors) {
    ae_publisher_record *own = &log->publishers[record];
    uint64_t next = load_claim(log);

    *p = (struct ae_publisher){
        .hot =
            {
                .slots = (unsigned char *)log + geometry->slots_off,
                .mask = geometry->capacity - 1,
                .slot_size = geometry->slot_size,
                .max_message = geometry->max_message,
                .claim = &log->claim.claim,
                .claim_owner = ae_claim(0, AE_MODE_EXCLUSIVE, record),
                .store16 = has_store16(geometry),
            },
        .log = log,
        .cursors = cursors,
        .geometry = *geometry,
        .record = record,
    };
    /*
     * The predecessor may have died between a slot's commit and the claim store. What it committed is delivered already: the
     * claim moves to the end of the committed slots, and the first sequence that wasn't committed is used again.
     * S2 acquire, pairs W2 (publish): their payloads are seen too, so that they are ordered before the claim store below.
     */
    for (uint64_t i = 0; i < geometry->capacity; i++) {
        const ae_u64 *tag = (const ae_u64 *)(const void *)(p->hot.slots + (next & p->hot.mask) * p->hot.slot_size);
        const uint64_t value = ae_load_acquire(tag);
        if (ae_tag_ahead(value, next) != 0 || ae_tag_kind(value) == AE_KIND_BUSY)
            break;
        next++;
    }
    p->hot.next = next;
    p->hot.limit = next;
    ae_store_relaxed(&own->joined, next);
    ae_store_relaxed(&own->full, 0);
    ae_store_relaxed(&log->claim.position, next);
    ae_store_claim(&p->hot, next);
}

/*
 * limit = min(claim, every active cursor) + capacity. The claim is stored before the fence and the cursors are read after it; a joiner
 * stores its record before its own fence and reads the claim after that. So either the scan sees the joiner, or the joiner
 * sees this claim and starts at or after it, where nothing below claim + capacity = the new limit can hurt it.
 */
AE_EXPORT int aether_detail_refresh(aether_publisher *handle, uint64_t count) {
    struct ae_publisher *p = publisher_of(handle);
    const uint64_t next = handle->next, capacity = handle->mask + 1;
    uint64_t max_lag = 0, limit;

    /* For joiners that need more than the claim's 48 bits; at most one capacity behind, so far within 2^47. */
    ae_store_relaxed(&p->log->claim.position, next);
    ae_store_claim(handle, next);
    ae_fence_seq_cst(); /* J2 fence, pairs J1 (join) */

    /* F3 acquire, pairs J3 (join): a bit that is seen set comes with the cursor that was stored before it. */
    for (uint64_t active = ae_load_acquire(&p->cursors->active.active); active != 0; active &= active - 1) {
        const unsigned r = (unsigned)__builtin_ctzll(active);
        /* F2 acquire, pairs F1 (receive): the reader's last look at a released slot happens before it is overwritten. */
        const uint64_t lag = next - ae_load_acquire(&p->cursors->records[r].cursor);
        /* A cursor outside [claim - capacity, claim] is no cursor: one ahead (negative lag) can only be a lie and holds nobody
         * back, one too far behind counts as a whole ring. */
        if ((int64_t)lag > 0 && lag > max_lag)
            max_lag = lag < capacity ? lag : capacity;
    }
    limit = next + capacity - max_lag;
    if ((int64_t)(limit - handle->limit) > 0)
        handle->limit = limit; /* never back: slots below the old limit may be promised to a batch */
    if (handle->limit - next >= count)
        return 0;
    ae_store_relaxed(&p->log->publishers[p->record].full, ++p->full);
    return AETHER_FULL;
}

AE_EXPORT int aether_detail_refuse(const aether_publisher *handle, size_t value, int code) {
    if (code == -E2BIG)
        return ae_fail(code, "batch of %zu messages is too large: at most %" PRIu64 ", half of the topic's ring", value,
                       (handle->mask + 1) / 2);
    return ae_fail(code, "message of %zu bytes is too large: the topic's maximum is %" PRIu64, value,
                   handle->max_message);
}
