/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/stall.h"
#include "base/clock.h"
#include "base/export.h"
#include "ring/claim.h"
#include "ring/claimer.h"
#include "ring/figures.h"
#include "ring/flow.h"
#include "ring/lane.h"
#include <string.h>

/* Longer than a machine runs, and so that the sum of the clock and twice of it is below 2^64. */
#define AFTER_MAX_NS (UINT64_MAX / 8)

_Static_assert((unsigned)AETHER_WAITS_SUBSCRIBER == AE_WAITS_SUBSCRIBER &&
                   (unsigned)AETHER_WAITS_PUBLISHER == AE_WAITS_PUBLISHER &&
                   (unsigned)AETHER_WAITS_LANE == AE_WAITS_LANE && (unsigned)AETHER_WAITS_LOANS == AE_WAITS_LOANS &&
                   (unsigned)AETHER_WAITS_CLAIM == AE_WAITS_CLAIM,
               "what a publisher waits for");

static uint64_t lag_behind(const struct ae_publisher *p, uint64_t seq, uint64_t end) {
    const uint64_t lag = end - seq, capacity = p->geometry.capacity;

    if ((int64_t)lag <= 0)
        return 0;
    return lag < capacity ? lag : capacity;
}

/* A figure: it orders nothing. */
static uint64_t cursor_load(struct ae_publisher *p, unsigned record) {
    const ae_u64 *cursor = ae_cursor_of(p, record % AE_SUBSCRIBERS_MAX);

    return cursor != NULL ? ae_load_relaxed(cursor) : 0;
}

/* Counts the subscribers that haven't reached seq. */
static uint32_t count_below(struct ae_publisher *p, uint64_t seq) {
    uint32_t count = 0;

    for (uint64_t active = ae_load_relaxed(&p->cursors->active.active); active != 0; active &= active - 1) {
        const unsigned r = (unsigned)__builtin_ctzll(active);
        if (!ae_figures_is_evicted(p->log, &p->geometry, r))
            count += (int64_t)(seq - cursor_load(p, r)) > 0;
    }
    return count;
}

/* False: the subscriber isn't in the way, or not any more. If it has left the record, it holds nothing. */
static bool read_subscriber(struct ae_publisher *p, aether_stall *stall, uint32_t record) {
    const uint64_t seq = ae_load_relaxed(&p->stats->waits_seq);
    const bool active = (ae_load_relaxed(&p->cursors->active.active) >> record % AE_SUBSCRIBERS_MAX & 1) != 0 &&
                        !ae_figures_is_evicted(p->log, &p->geometry, record % AE_SUBSCRIBERS_MAX);
    const uint64_t cursor = cursor_load(p, (unsigned)record);
    const bool in_the_way = active && (int64_t)(seq - cursor) > 0;
    const uint32_t below = count_below(p, seq);

    stall->lag = active ? lag_behind(p, cursor, ae_claim_seq(p)) : 0;
    stall->others = below > 0 && in_the_way ? below - 1 : below;
    stall->lane_bytes = active && stall->waits == AETHER_WAITS_LANE ? ae_lane_held(p, cursor) : 0;
    return in_the_way;
}

/* False: the other publisher has finished what the publisher waits for. */
static bool read_publisher(struct ae_publisher *p, aether_stall *stall) {
    const uint64_t seq = ae_load_relaxed(&p->stats->waits_seq);

    stall->lag = lag_behind(p, seq, ae_claim_seq(p));
    return ae_tag_pending(ae_load_relaxed(ae_slot_tag(p->log, &p->geometry, seq)), seq);
}

/* Reads how far behind the record is. Returns whether it is in the way now. */
static bool read_record(struct ae_publisher *p, aether_stall *stall, uint32_t record) {
    if (stall->waits == AETHER_WAITS_SUBSCRIBER || stall->waits == AETHER_WAITS_LANE)
        return read_subscriber(p, stall, record);
    return stall->waits == AETHER_WAITS_PUBLISHER && read_publisher(p, stall);
}

bool ae_stall_read(struct ae_publisher *p, aether_stall *stall, uint32_t *record) {
    const uint64_t now = ae_now_ns();

    memset(stall, 0, sizeof *stall);
    if (p->waits_since == 0 || ae_stall_end(ae_load_relaxed(&p->stats->waits_last), now) != now)
        return false;
    stall->waits = (aether_waits)ae_load_relaxed(&p->stats->waits_for);
    stall->waited_ns = now - p->waits_since;
    *record = p->record;
    if (stall->waits == AETHER_WAITS_LOANS)
        stall->lane_bytes = ae_lane_loaned(p);
    else if (stall->waits != AETHER_WAITS_CLAIM)
        *record = (uint32_t)ae_load_relaxed(&p->stats->waits_record);
    (void)read_record(p, stall, *record);
    return true;
}

bool ae_stall_due_to(struct ae_publisher *p, aether_stall *stall, uint32_t record, uint64_t granted_ns) {
    const bool in_the_way = read_record(p, stall, record);

    /*
     * G11 fence, pairs J3 (join): if the next holder's bit or cursor was loaded above, the grant of the holder that the
     * caller has found is seen to have ended.
     */
    ae_fence_acquire();
    /*
     * What is in the way now is that holder's. Something else may have been when the last call found no room, unless
     * the record was granted before an earlier call of this stall: then the last call's scan is later than the grant. A
     * subscriber that has received everything isn't waited for.
     */
    return in_the_way || (stall->lag != 0 && p->waits_since != ae_load_relaxed(&p->stats->waits_last) &&
                          (int64_t)(p->waits_since - granted_ns) >= 0);
}

void ae_stall_watch(struct ae_publisher *p, void (*notice)(struct ae_publisher *p), uint64_t after_ns) {
    p->notice = notice;
    p->notice_after = after_ns < AFTER_MAX_NS ? after_ns : AFTER_MAX_NS;
}

AE_EXPORT uint64_t aether_publisher_subscribers(const aether_publisher *handle) {
    /* A figure: it orders nothing. */
    return ae_load_relaxed(&((const struct ae_publisher *)(const void *)handle)->log->stream.subscribers);
}
