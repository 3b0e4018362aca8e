/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/lane.h"
#include "base/error.h"
#include "ring/claimer.h"
#include "ring/flow.h"
#include "ring/stats.h"
#include <inttypes.h>

#define CHECKPOINT_SPACING 64u /* parts of the lane */

static uint64_t round_up(uint64_t len, uint64_t unit) {
    return (len + unit - 1) & ~(unit - 1);
}

uint64_t ae_lane_units(uint64_t len) {
    return len == 0 ? AE_LANE_UNIT : round_up(len, AE_LANE_UNIT);
}

/*
 * Subscribers may still read the last messages of the record's former holder. lane_floor alone says how far that has
 * used the lane: up to one lane above the floor. The first checkpoint says that nothing below this position is free
 * until every reliable cursor has passed all that the former holder can have published.
 */
void ae_lane_init(struct ae_publisher *p, uint32_t record) {
    struct ae_lane *lane = &p->lane;

    lane->size = p->geometry.lane_bytes;
    if (lane->size == 0)
        return;
    lane->bytes = (unsigned char *)p->log + p->geometry.lanes_off + record * lane->size;
    lane->floor = &p->own->lane_floor;
    lane->free = ae_load_relaxed(lane->floor) & ~(uint64_t)(AE_LANE_UNIT - 1);
    lane->head = lane->free + lane->size;
    lane->checkpoints[0] = (struct ae_checkpoint){.position = lane->head, .seq = p->hot.next};
    lane->count = 1;
}

/* ---- room ---- */

/*
 * Finds the position of a contiguous block of `bytes`, if positions below `free` are free. False: it has no room;
 * *position is undefined.
 */
static bool fits(const struct ae_lane *lane, uint64_t bytes, uint64_t free, uint64_t *position) {
    const uint64_t off = lane->head & (lane->size - 1);

    *position = off + bytes <= lane->size ? lane->head : lane->head + lane->size - off;
    return (int64_t)(*position + bytes - lane->size - free) <= 0;
}

/* Returns the lowest position that an open loan holds; the head, if there is none. */
static uint64_t lowest_open(const struct ae_publisher *p) {
    for (uint64_t i = p->loans.first; i != p->loans.next; i++) {
        const struct ae_open_loan *loan = &p->loans.entries[i % AETHER_LOANS_MAX];
        if (loan->open && loan->in_lane)
            return loan->position;
    }
    return p->lane.head;
}

uint64_t ae_lane_loaned(const struct ae_publisher *p) {
    return p->lane.head - lowest_open(p);
}

/* Frees what every reliable subscriber had released at the last scan. */
static void reclaim(struct ae_publisher *p) {
    struct ae_lane *lane = &p->lane;

    while (lane->count > 0 && (int64_t)(p->released - ae_checkpoint_at(lane, 0)->seq) >= 0) {
        lane->free = ae_checkpoint_at(lane, 0)->position;
        lane->first = ae_checkpoint_index(lane, 1);
        lane->count--;
    }
    if (lane->count == 0) /* only open loans hold bytes; the first may lie after bytes skipped at the lane's end */
        lane->free = lowest_open(p);
    /* All of the lane is free. The next block goes to its start, because one as large as the lane fits only there. */
    if (lane->free == lane->head) {
        lane->head = round_up(lane->head, lane->size);
        lane->free = lane->head;
    }
}

/* Returns the sequence that every reliable cursor must reach before a block of `bytes` fits. */
static uint64_t wanted_seq(struct ae_publisher *p, uint64_t bytes) {
    struct ae_lane *lane = &p->lane;
    uint64_t position;
    unsigned i = 0;

    while (i + 1 < lane->count && !fits(lane, bytes, ae_checkpoint_at(lane, i)->position, &position))
        i++;
    return ae_checkpoint_at(lane, i)->seq;
}

static int loans_hold_it(struct ae_publisher *p, uint64_t bytes) {
    ae_stats_no_room(p, AE_WAITS_LOANS, 0, 0);
    return ae_fail(
        -ENOBUFS, "no room for %" PRIu64 " bytes in the lane of %" PRIu64 ": open loans hold it; commit or discard one",
        bytes, p->lane.size);
}

int ae_lane_find(struct ae_publisher *p, uint64_t bytes, uint64_t *position) {
    struct ae_lane *lane = &p->lane;
    uint64_t seq;

    if (AE_LIKELY(fits(lane, bytes, lane->free, position)))
        return 0;
    seq = ae_claim_seq(p);
    ae_publisher_scan(p, seq, seq - p->window, AE_EVICT_LAG);
    reclaim(p);
    if (fits(lane, bytes, lane->free, position))
        return 0;
    /* Even if subscribers held nothing, bytes from the lowest open loan on wouldn't be free. */
    if (lowest_open(p) != lane->head && !fits(lane, bytes, lowest_open(p), position))
        return loans_hold_it(p, bytes);
    if (p->geometry.evict_lag != 0 && lane->count > 0) {
        ae_publisher_scan(p, seq, wanted_seq(p, bytes), AE_EVICT_LANE);
        reclaim(p);
        if (fits(lane, bytes, lane->free, position))
            return 0;
    }
    ae_stats_no_room(p, AE_WAITS_LANE, p->holder.last_record, lane->count > 0 ? wanted_seq(p, bytes) : 0);
    return AETHER_FULL;
}

unsigned char *ae_lane_take(struct ae_publisher *p, uint64_t position, uint64_t bytes) {
    struct ae_lane *lane = &p->lane;

    lane->head = position + bytes;
    ae_store_relaxed(lane->floor, lane->head - lane->size);
    /* L1 fence, pairs L2 (validated copy): a subscriber that has copied one new byte then finds the new floor. */
    ae_fence_release();
    return lane->bytes + (position & (lane->size - 1));
}

/* With the spacing, lane bytes become free at most 1/64 of the lane later than if every message had a checkpoint. */
void ae_lane_checkpoint(struct ae_publisher *p) {
    struct ae_lane *lane = &p->lane;
    const struct ae_checkpoint now = {.position = lowest_open(p), .seq = p->hot.next};
    struct ae_checkpoint *newest;
    uint64_t before;

    ae_stats_store_loans(p);
    if (lane->count > 0) {
        newest = &lane->checkpoints[ae_checkpoint_index(lane, lane->count - 1)];
        before = lane->count > 1 ? ae_checkpoint_at(lane, lane->count - 2)->position : lane->free;
        if (newest->position == now.position)
            return; /* no further bytes can become free */
        if (newest->seq == now.seq || newest->position - before < lane->size / CHECKPOINT_SPACING ||
            lane->count == AE_CHECKPOINTS) {
            *newest = now;
            return;
        }
    } else if (lane->free == now.position) {
        return;
    }
    lane->checkpoints[ae_checkpoint_index(lane, lane->count)] = now;
    lane->count++;
}

/* ---- commit ---- */

void ae_lane_commit(struct ae_publisher *p, uint64_t seq, uint64_t position, uint64_t len) {
    unsigned char *slot = p->hot.slots + (seq & p->hot.mask) * p->hot.slot_size;
    ae_u64 *tag = (ae_u64 *)(void *)slot;
    ae_lane_descriptor *descriptor = (ae_lane_descriptor *)(void *)(slot + AE_SLOT_HEADER);

    /* W1 and W2 as for a message in the slot: the payload in the lane, descriptor and stamp come before the tag. */
    ae_store_relaxed(tag, ae_tag_busy(seq));
    ae_fence_release();
    ae_store_relaxed(&descriptor->position, position);
    ae_store_relaxed(&descriptor->where, (uint64_t)p->record << 32 | len);
    p->hot.bytes += len; /* before ae_stamp(), which stores the figures */
    ae_store_release(tag, ae_tag(seq, AE_KIND_LANE + ae_stamp(p, seq), sizeof *descriptor));
    ae_stats_room(p);
}

int ae_lane_too_large(const struct ae_publisher *p, uint64_t len) {
    return ae_fail(-EMSGSIZE, "message of %" PRIu64 " bytes is too large: the topic's maximum is %" PRIu64, len,
                   p->hot.max_message);
}
