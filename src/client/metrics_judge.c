/* SPDX-License-Identifier: Apache-2.0 */
#include "client/metrics_judge.h"
#include "base/number.h"
#include "client/lanes.h"
#include "ring/claim.h"
#include "ring/figures.h"

#define AGE_TAGS 65536u /* how many slots are searched for a stamp */

/* ---- what a publisher waits for ---------------------------------------------------------------------------------- */

/*
 * How far the subscriber of an active record is behind `end`, as publishers see it: at most a ring. 0: nothing holds
 * them.
 */
static uint64_t lag_of(const struct ae_reading *r, unsigned record, uint64_t end) {
    const uint64_t lag = end - ae_load_acquire(&r->objects.cursors->records[record].cursor);

    if ((int64_t)lag <= 0 || ae_figures_is_evicted(r->objects.log, r->geometry, record))
        return 0;
    return ae_least(lag, r->geometry->capacity);
}

/*
 * Does the subscriber hold back a publisher that waits until it has released all below seq? Publishers wait for the
 * subscriber that is farthest behind, and even for a batch as large as the ring for no more than what is published. So
 * a publisher that isn't honest can name no other subscriber.
 */
static bool is_held_by(const struct ae_reading *r, uint64_t record, uint64_t seq) {
    const uint64_t end = ae_survey_next_seq(r->objects.log, r->geometry);

    if (record >= AE_SUBSCRIBERS_MAX || !ae_survey_is_active(r->objects.cursors, (uint32_t)record) ||
        (int64_t)(seq - end) > 0)
        return false;
    const uint64_t lag = lag_of(r, (unsigned)record, end);
    if (lag == 0 || (int64_t)(seq - (end - lag)) <= 0)
        return false;
    for (uint64_t active = ae_load_acquire(&r->objects.cursors->active.active); active != 0; active &= active - 1) {
        if (lag_of(r, (unsigned)__builtin_ctzll(active), end) > lag)
            return false;
    }
    return true;
}

/* Has the publisher of the record claimed seq and not finished it? */
static bool is_pending_of(const struct ae_reading *r, uint64_t record, uint64_t seq) {
    const ae_log *log = r->objects.log;

    if (log == NULL || record >= AE_PUBLISHERS_MAX)
        return false;
    const uint64_t end = ae_survey_next_seq(log, r->geometry);
    const struct ae_span intent = ae_claim_intent(log, (uint32_t)record, end);
    return seq - intent.first < intent.end - intent.first && (int64_t)(end - seq) > 0 &&
           end - seq <= r->geometry->capacity &&
           ae_tag_pending(ae_load_acquire(ae_slot_tag(log, r->geometry, seq)), seq);
}

/* Is what the publisher waited for at its last try still so? The words of the record are as they were copied. */
static bool still_waits(const struct ae_reading *r, const ae_stats_record *copy) {
    switch (copy->waits_for.v) {
    case AE_WAITS_SUBSCRIBER:
    case AE_WAITS_LANE:
        return is_held_by(r, copy->waits_record.v, copy->waits_seq.v);
    case AE_WAITS_PUBLISHER:
        return is_pending_of(r, copy->waits_record.v, copy->waits_seq.v);
    case AE_WAITS_LOANS:
        return copy->loans.v != 0;
    case AE_WAITS_CLAIM:
        return true;
    default:
        return false;
    }
}

void ae_judge_waits(const struct ae_reading *r, const ae_stats_record *copy, aether_publisher_metrics *p) {
    const bool waits =
        copy->waits_since.v != 0 && ae_reading_since(r, copy->waits_last.v) < AE_GIVEN_UP_NS && still_waits(r, copy);

    p->waits_subscriber = p->waits_publisher = -1;
    p->tried_ns = AETHER_UNKNOWN;
    if (!waits)
        return;
    p->waits = (aether_waits)copy->waits_for.v;
    p->waited_ns = ae_reading_since(r, copy->waits_since.v);
    p->tried_ns = ae_reading_since(r, copy->waits_last.v);
    /* Record numbers for now; ae_judge() replaces them. */
    if (p->waits == AETHER_WAITS_PUBLISHER)
        p->waits_publisher = (int32_t)copy->waits_record.v;
    else if (p->waits == AETHER_WAITS_SUBSCRIBER || p->waits == AETHER_WAITS_LANE)
        p->waits_subscriber = (int32_t)copy->waits_record.v;
}

/* ---- subscribers that are behind --------------------------------------------------------------------------------- */

/* How long ago the oldest message from `next` on that has a stamp was published. */
static uint64_t age_of(const struct ae_reading *r, uint64_t next, uint64_t end) {
    const ae_log *log = r->objects.log;
    const uint64_t lag = ae_least(end - next, r->geometry->capacity), from = end - lag;
    const ae_u64 *stamps = (const ae_u64 *)((uintptr_t)log + r->geometry->stamps_off);

    if (log == NULL || r->geometry->stamps_off == 0)
        return AETHER_UNKNOWN;
    for (uint64_t seq = from; seq - from < ae_least(lag, AGE_TAGS); seq++) {
        const ae_u64 *word = ae_slot_tag(log, r->geometry, seq);
        const uint64_t tag = ae_load_acquire(word);
        if (ae_tag_ahead(tag, seq) != 0 || ae_tag_kind(tag) <= AE_KIND_STAMPED)
            continue;
        const uint64_t stamp = ae_load_relaxed(&stamps[seq & (r->geometry->capacity - 1)]);
        ae_fence_acquire();
        if (ae_load_relaxed(word) == tag)
            return ae_reading_since(r, stamp >> AE_STAMP_NS_SHIFT);
    }
    return AETHER_UNKNOWN;
}

/*
 * What the reader remembers of a subscriber. The grants are sorted by id. *at: index of the grant that the call before
 * found.
 */
static struct ae_seen *seen_of(const struct ae_reading *r, size_t *at, uint64_t grant_id) {
    while (r->grants[*at].grant_id != grant_id)
        ++*at;
    return &r->metrics->seen[r->grants[*at].index];
}

/*
 * Remembers this reading. Returns for how long, as readings show, the subscriber hasn't moved although messages wait.
 */
static uint64_t remember(const struct ae_reading *r, const aether_subscriber_metrics *s, struct ae_seen *seen) {
    if (seen->grant_id != s->owner.grant_id)
        *seen = (struct ae_seen){.grant_id = s->owner.grant_id, .next = s->next};
    if (seen->next != s->next) {
        seen->moved_after = seen->read_ns;
        seen->next = s->next;
        seen->waits_since = 0;
    }
    seen->read_ns = r->now;
    if (s->unread == 0)
        seen->waits_since = 0;
    else if (seen->waits_since == 0)
        seen->waits_since = r->now;
    return s->unread > 0 ? ae_reading_since(r, seen->waits_since) : 0;
}

/* A process that is stopped or dead: the states of /proc/PID/stat. */
static bool is_halted(char process) {
    return process == 'T' || process == 't' || process == 'Z' || process == 'X';
}

/*
 * Has the subscriber, for which messages wait, received none for a second? If publishers have overrun it, the ring
 * holds only younger messages than those that it missed, so their age says nothing; without stamps neither does the
 * lag. It isn't stuck if it has moved since a reading that isn't long ago: perhaps none of what it received had a
 * stamp.
 */
static bool is_stuck(const struct ae_reading *r, const aether_subscriber_metrics *s, const struct ae_seen *seen) {
    const bool stamped = r->geometry->latency != AE_LATENCY_OFF;

    if (!stamped && is_halted(s->owner.process))
        return true;
    if (s->received_ns < AE_STUCK_NS ||
        (seen->moved_after != 0 && ae_reading_since(r, seen->moved_after) < 2 * AE_STUCK_NS))
        return false;
    return (stamped && s->unread > r->geometry->capacity) || (s->age_ns != AETHER_UNKNOWN && s->age_ns >= AE_STUCK_NS);
}

/* How far it is behind, and for how long messages have waited for it at least. */
static void judge_lag(const struct ae_reading *r, aether_subscriber_metrics *s, struct ae_seen *seen) {
    const uint64_t end = r->out->info.next_seq;

    s->unread = (int64_t)(end - s->next) > 0 ? ae_least(end - s->next, s->unread) : 0;
    s->lag = s->unread; /* judge_cursors() says more of those for which publishers wait */
    s->overwritten = ae_least(s->overwritten, s->unread); /* a hostile publisher may set the claim back */
    /* If the oldest ones have been overwritten, those that are there say nothing about them. */
    s->age_ns = s->unread == 0 ? 0 : s->unread > r->geometry->capacity ? AETHER_UNKNOWN : age_of(r, s->next, end);
    const uint64_t waited = remember(r, s, seen);
    if (waited > 0 && (s->age_ns == AETHER_UNKNOWN || s->age_ns < waited))
        s->age_ns = waited;
}

/*
 * What publishers wait for is the cursor and not what a subscriber says of itself. It also lags behind what the
 * subscriber has received: it holds messages, or hasn't stored its cursor yet.
 */
static void judge_cursors(const struct ae_reading *r) {
    const uint64_t end = r->out->info.next_seq;
    uint64_t subscribers = 0;
    struct ae_lanes lanes;

    for (unsigned record = 0; record < AE_SUBSCRIBERS_MAX; record++) {
        const int32_t index = r->by_cursor[record];
        if (index < 0 || !ae_survey_is_active(r->objects.cursors, record) ||
            ae_figures_is_evicted(r->objects.log, r->geometry, record))
            continue;
        aether_subscriber_metrics *s = &r->metrics->subscribers[index];
        s->lag = ae_most(s->lag, lag_of(r, record, end));
        subscribers |= 1ull << record;
    }
    if (r->geometry->lane_bytes == 0)
        return;
    ae_lanes_read(r->geometry, r->objects.log, r->objects.cursors, subscribers, end, &lanes);
    for (unsigned record = 0; record < AE_SUBSCRIBERS_MAX; record++) {
        if ((subscribers >> record & 1) != 0)
            r->metrics->subscribers[r->by_cursor[record]].lane_held = lanes.held[record];
    }
    for (uint32_t record = 0; record < AE_PUBLISHERS_MAX; record++) {
        if (r->by_publisher[record] < 0)
            continue;
        aether_publisher_metrics *p = &r->metrics->publishers[r->by_publisher[record]];
        /* What the publisher says is of its last search for room. Only it knows where its loans lie. */
        if (lanes.whole && p->loans == 0)
            p->lane_used = lanes.used[record];
        p->lane_fits = ae_lanes_fits(r->geometry, r->objects.log, record, p->lane_used);
    }
}

/*
 * Finds which subscriber or publisher each publisher waits for, and with it which ones hold publishers up. It waits for
 * the cursor and not for what the subscriber says of itself, and what it waits for was published before its wait began.
 */
static void find_holders(const struct ae_reading *r) {
    aether_topic_metrics *out = r->out;

    for (size_t i = 0; i < out->publisher_count; i++) {
        aether_publisher_metrics *p = &r->metrics->publishers[i];
        if (p->waits_subscriber >= 0)
            p->waits_subscriber = r->by_cursor[p->waits_subscriber];
        if (p->waits_publisher >= 0)
            p->waits_publisher = r->by_publisher[p->waits_publisher];
        out->waiting += p->waits != AETHER_WAITS_NOT;
        out->waited_ns = ae_most(out->waited_ns, p->waited_ns);
        if (p->waits_subscriber < 0)
            continue;
        aether_subscriber_metrics *s = &r->metrics->subscribers[p->waits_subscriber];
        s->holds_up++;
        s->held_up_ns = ae_most(s->held_up_ns, p->waited_ns);
        if (s->age_ns == AETHER_UNKNOWN || s->age_ns < s->held_up_ns)
            s->age_ns = s->held_up_ns;
    }
}

static void judge_state(const struct ae_reading *r, aether_subscriber_metrics *s, const struct ae_seen *seen) {
    /* One that has received all, but is about to release it, is idle, unless somebody waits for that. */
    const bool behind = s->unread > 0 || s->holds_up > 0;

    if (behind && is_stuck(r, s, seen))
        s->state = AETHER_SUBSCRIBER_STUCK;
    else if (s->evictions != 0)
        s->state = AETHER_SUBSCRIBER_EVICTED;
    else if (behind)
        s->state = AETHER_SUBSCRIBER_BEHIND;
}

void ae_judge(const struct ae_reading *r) {
    aether_topic_metrics *out = r->out;
    bool unknown = false;

    for (size_t i = 0, at = 0; i < out->subscriber_count; i++) {
        aether_subscriber_metrics *s = &r->metrics->subscribers[i];
        judge_lag(r, s, seen_of(r, &at, s->owner.grant_id));
    }
    judge_cursors(r);
    find_holders(r);
    for (size_t i = 0, at = 0; i < out->subscriber_count; i++) {
        aether_subscriber_metrics *s = &r->metrics->subscribers[i];
        judge_state(r, s, seen_of(r, &at, s->owner.grant_id));
        out->lag = ae_most(out->lag, s->lag);
        ae_reading_add(&out->overwritten, s->overwritten);
        out->stuck += s->state == AETHER_SUBSCRIBER_STUCK;
        if (s->age_ns == AETHER_UNKNOWN)
            unknown = true;
        else
            out->age_ns = ae_most(out->age_ns, s->age_ns);
    }
    if (unknown && out->age_ns == 0)
        out->age_ns = AETHER_UNKNOWN;
}
