/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/stall.h"
#include "base/clock.h"
#include "base/export.h"
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

static void read_subscriber(struct ae_publisher *p, aether_stall *stall, uint32_t record) {
    const uint64_t seq = ae_load_relaxed(&p->stats->waits_seq);
    const uint64_t cursor = cursor_load(p, (unsigned)record);
    const uint32_t below = count_below(p, seq);

    stall->lag = lag_behind(p, cursor, ae_claim_seq(p));
    /* The subscriber itself is one of them, if it still is in the way. */
    stall->others = below > 0 && (int64_t)(seq - cursor) > 0 ? below - 1 : below;
    if (stall->waits == AETHER_WAITS_LANE)
        stall->lane_bytes = ae_lane_held(p, cursor);
}

bool ae_stall_read(struct ae_publisher *p, aether_stall *stall, uint32_t *record) {
    const uint64_t now = ae_now_ns();

    memset(stall, 0, sizeof *stall);
    if (p->waits_since == 0 || ae_stall_end(ae_load_relaxed(&p->stats->waits_last), now) != now)
        return false;
    stall->waits = (aether_waits)ae_load_relaxed(&p->stats->waits_for);
    stall->waited_ns = now - p->waits_since;
    *record = (uint32_t)ae_load_relaxed(&p->stats->waits_record);
    if (stall->waits == AETHER_WAITS_SUBSCRIBER || stall->waits == AETHER_WAITS_LANE)
        read_subscriber(p, stall, *record);
    else if (stall->waits == AETHER_WAITS_PUBLISHER)
        stall->lag = lag_behind(p, ae_load_relaxed(&p->stats->waits_seq), ae_claim_seq(p));
    else
        *record = p->record;
    if (stall->waits == AETHER_WAITS_LOANS)
        stall->lane_bytes = ae_lane_loaned(p);
    return true;
}

void ae_stall_watch(struct ae_publisher *p, void (*notice)(struct ae_publisher *p), uint64_t after_ns) {
    p->notice = notice;
    p->notice_after = after_ns < AFTER_MAX_NS ? after_ns : AFTER_MAX_NS;
}

AE_EXPORT uint64_t aether_publisher_subscribers(const aether_publisher *handle) {
    /* A figure: it orders nothing. */
    return ae_load_relaxed(&((const struct ae_publisher *)(const void *)handle)->log->stream.subscribers);
}
