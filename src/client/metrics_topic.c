/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics_topic.c - reads one topic: what its publishers and subscribers say now, what those that have gone had said,
 * and what follows from both.
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/histogram.h"
#include "client/lanes.h"
#include "client/metrics_topic.h"
#include "ring/claim.h"
#include "ring/figures.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SETTLE_TRIES 1000      /* of each one fails if aetherd folds a grant of the topic in some 10 us */
#define STUCK_NS 1000000000ull /* a subscriber that receives nothing for so long is stuck */
#define AGE_TAGS 65536u        /* how many slots are searched for a stamp */

/* A topic while it is read. */
struct reading {
    aether_metrics *metrics;
    aether_topic_metrics *out;
    const ae_registry_topic *topic;
    const ae_geometry *geometry;
    struct ae_record_topic objects;
    const struct ae_survey_grant *grants;
    size_t grant_count;
    uint64_t now;  /* CLOCK_MONOTONIC */
    bool has_sums; /* there are totals of those that have gone */
    /* Index of the publisher or subscriber that holds a record; -1: none. */
    int32_t by_publisher[AE_PUBLISHERS_MAX], by_cursor[AE_SUBSCRIBERS_MAX];
};

static uint64_t at_most(uint64_t value, uint64_t limit) {
    return value < limit ? value : limit;
}

static uint64_t larger(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

static void add(uint64_t *to, uint64_t value) {
    *to = ae_saturating_add(*to, value);
}

/* How long ago that was. A time that lies in the future was just now. */
static uint64_t since(const struct reading *r, uint64_t then) {
    return r->now > then ? r->now - then : 0;
}

/* The same of a time that a subscriber has stored. It may be a little later than the beginning of this reading. */
static uint64_t ago(const struct reading *r, uint64_t then) {
    return then == 0 || (int64_t)(then - r->now) > (int64_t)STUCK_NS ? AETHER_UNKNOWN : since(r, then);
}

static void fill_owner(const struct reading *r, const ae_registry_grant *grant, aether_owner *owner) {
    struct ae_survey_client *client = ae_survey_client(&r->metrics->survey, grant->client_id);

    *owner = (aether_owner){.grant_id = grant->grant_id, .client_id = grant->client_id, .process = '?'};
    if (client == NULL)
        return;
    memcpy(owner->client, client->name, sizeof owner->client);
    owner->pid = client->pid;
    owner->process = ae_survey_process(&r->metrics->survey, client);
}

/*
 * Was it closed, although aetherd hasn't added it to the totals yet? Perhaps none runs. A program that says so isn't
 * believed as long as the topic's words let it publish or hold publishers up.
 */
static bool is_closed(const struct reading *r, const ae_registry_grant *grant, const struct ae_record *record) {
    if (record->copy.closed.v == 0)
        return false;
    if (grant->role == AE_ROLE_PUBLISHER)
        return r->objects.log != NULL && (ae_load_relaxed(&r->objects.log->stream.open) >> grant->record & 1) == 0;
    return grant->role != AE_ROLE_RELIABLE || r->objects.cursors == NULL ||
           !ae_survey_is_active(r->objects.cursors, grant->record);
}

/*
 * Makes room for one that left then among those that have gone, the latest first. NULL: there were later ones enough.
 */
static aether_departed_metrics *departed_place(const struct reading *r, uint64_t ago_ns) {
    aether_departed_metrics *all = r->metrics->departed;
    size_t at = 0, count = r->out->departed_count;

    while (at < count && all[at].ago_ns < ago_ns)
        at++;
    if (at == AE_DEPARTED_MAX)
        return NULL;
    if (count < AE_DEPARTED_MAX)
        r->out->departed_count = ++count;
    memmove(&all[at + 1], &all[at], (count - 1 - at) * sizeof *all);
    return &all[at];
}

/* ---- publishers -------------------------------------------------------------------------------------------------- */

/*
 * How far the subscriber of an active record is behind `end`, as publishers see it: at most a ring. 0: nothing holds
 * them.
 */
static uint64_t lag_of(const struct reading *r, unsigned record, uint64_t end) {
    const uint64_t lag = end - ae_load_acquire(&r->objects.cursors->records[record].cursor);

    if ((int64_t)lag <= 0 || ae_figures_is_evicted(r->objects.log, r->geometry, record))
        return 0;
    return at_most(lag, r->geometry->capacity);
}

/*
 * Does the subscriber hold back a publisher that waits until it has released all below seq? Publishers wait for the one
 * that is farthest behind, and even for a batch as large as the ring for no more than what is published. So a publisher
 * that isn't honest can name no other one.
 */
static bool is_held_by(const struct reading *r, uint64_t record, uint64_t seq) {
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
static bool is_pending_of(const struct reading *r, uint64_t record, uint64_t seq) {
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
static bool still_waits(const struct reading *r, const ae_stats_record *copy) {
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

static void fill_waits(const struct reading *r, const ae_stats_record *copy, aether_publisher_metrics *p) {
    const bool waits =
        copy->waits_since.v != 0 && since(r, copy->waits_last.v) < AE_GIVEN_UP_NS && still_waits(r, copy);

    p->waits_subscriber = p->waits_publisher = -1;
    p->tried_ns = AETHER_UNKNOWN;
    if (!waits)
        return;
    p->waits = (aether_waits)copy->waits_for.v;
    p->waited_ns = since(r, copy->waits_since.v);
    p->tried_ns = since(r, copy->waits_last.v);
    /* Record numbers for now; find_holders() replaces them. */
    if (p->waits == AETHER_WAITS_PUBLISHER)
        p->waits_publisher = (int32_t)copy->waits_record.v;
    else if (p->waits == AETHER_WAITS_SUBSCRIBER || p->waits == AETHER_WAITS_LANE)
        p->waits_subscriber = (int32_t)copy->waits_record.v;
}

static void fill_publisher(const struct reading *r, const struct ae_record *record, aether_publisher_metrics *p) {
    const struct ae_figures *figures = &record->figures;
    const ae_stats_record *copy = &record->copy;
    uint64_t present;

    *p = (aether_publisher_metrics){.joined = figures->joined,
                                    .next = figures->next,
                                    .messages = figures->messages,
                                    .bytes = figures->bytes,
                                    .batches = figures->batches,
                                    .full = copy->full.v,
                                    .stalls = copy->stalls.v,
                                    .stall_ns =
                                        ae_figures_stalled(&record->account, copy->waits_last.v, r->now, &present),
                                    .stall_longest = copy->stall_longest.v,
                                    .retries = copy->retries.v,
                                    .wakes = copy->wakes.v,
                                    .loans = copy->loans.v,
                                    .lane_bytes = r->geometry->lane_bytes,
                                    .lane_used = at_most(copy->lane_used.v, r->geometry->lane_bytes)};
    p->stall_longest = larger(p->stall_longest, present);
}

static void sum_publisher(aether_topic_metrics *out, const aether_publisher_metrics *p) {
    add(&out->published, p->messages);
    add(&out->published_bytes, p->bytes);
    add(&out->batches, p->batches);
    add(&out->full, p->full);
    add(&out->stalls, p->stalls);
    add(&out->stall_ns, p->stall_ns);
    add(&out->retries, p->retries);
    add(&out->wakes, p->wakes);
    out->stall_longest = larger(out->stall_longest, p->stall_longest);
}

static void add_publisher(struct reading *r, const ae_registry_grant *grant, const struct ae_record *record) {
    aether_topic_metrics *out = r->out;

    if (out->publisher_count == AE_METRICS_PUBLISHERS) /* far more than there are records */
        return;
    aether_publisher_metrics *p = &r->metrics->publishers[out->publisher_count++];
    fill_publisher(r, record, p);
    fill_owner(r, grant, &p->owner);
    fill_waits(r, &record->copy, p);
}

/* ---- subscribers ------------------------------------------------------------------------------------------------- */

static int grow_subscribers(struct reading *r) {
    aether_metrics *metrics = r->metrics;

    if (r->out->subscriber_count < metrics->subscriber_room)
        return 0;
    const size_t room = metrics->subscriber_room > 0 ? 2 * metrics->subscriber_room : 8;
    aether_subscriber_metrics *more = realloc(metrics->subscribers, room * sizeof *more);
    if (more == NULL)
        return ae_fail(-ENOMEM, "out of memory for the subscribers of a topic");
    metrics->subscribers = more;
    metrics->subscriber_room = room;
    return 0;
}

static void fill_latency(const struct reading *r, const struct ae_record *record, aether_latency *latency) {
    const ae_stats_record *copy = &record->copy;

    if (copy->samples.v == 0) {
        memset(latency, 0, sizeof *latency);
        return;
    }
    latency->samples = copy->samples.v;
    latency->negative = copy->negative.v;
    latency->missed = copy->missed.v;
    latency->overflow = copy->overflow.v;
    memcpy(latency->buckets, copy->buckets, sizeof latency->buckets);
    /* Loaded after the buckets, so that they can't have more. */
    const uint64_t claimed = ae_survey_next_seq(r->objects.log, r->geometry) - record->figures.joined;
    if (!ae_figures_measured(copy, latency->buckets, claimed))
        memset(latency, 0, sizeof *latency);
}

/* Publishers overwrite nothing that it hasn't released: it is reliable, not evicted, and past the retained messages. */
static bool is_protected(const ae_registry_grant *grant, const struct ae_record *record) {
    return grant->role == AE_ROLE_RELIABLE && record->figures.evicted == 0 && !record->account.by_position;
}

/*
 * How many messages from `next` on the ring no longer holds. `end` was loaded before `next`: what publishers have
 * overwritten since then, the subscriber may have received before. A latest subscriber passes over older messages, so
 * it loses none.
 */
static uint64_t overwritten(const struct reading *r, const ae_registry_grant *grant, const struct ae_record *record,
                            uint64_t end) {
    const uint64_t behind = end - record->figures.next, capacity = r->geometry->capacity;

    if (is_protected(grant, record) || (grant->role != AE_ROLE_RELIABLE && record->copy.policy.v == AETHER_LATEST))
        return 0;
    return (int64_t)behind > 0 && behind > capacity ? behind - capacity : 0;
}

static void fill_subscriber(const struct reading *r, const ae_registry_grant *grant, const struct ae_record *record,
                            aether_subscriber_metrics *s) {
    const struct ae_figures *figures = &record->figures;
    const ae_stats_record *copy = &record->copy;

    memset(s, 0, offsetof(aether_subscriber_metrics, latency));
    fill_owner(r, grant, &s->owner);
    if (grant->role != AE_ROLE_RELIABLE)
        s->policy = copy->policy.v == AETHER_LATEST ? AETHER_LATEST : AETHER_BEST_EFFORT;
    s->joined = figures->joined;
    s->next = figures->next;
    s->delivered = figures->messages;
    s->bytes = figures->bytes;
    s->lost = figures->lost;
    for (unsigned i = 0; i < AETHER_LOST_REASONS; i++)
        s->lost_by[i] = figures->lost_by[i];
    s->gaps = figures->gaps;
    s->aborted = figures->aborted;
    s->skipped = figures->skipped;
    s->evictions = figures->evicted;
    s->received_ns = ago(r, copy->last_ns.v);
    s->sleeps = copy->sleeps.v;
    s->woken = copy->woken.v;
    s->requests = ae_survey_wish(&grant->wish);
}

static void sum_subscriber(aether_topic_metrics *out, const aether_subscriber_metrics *s) {
    add(&out->delivered, s->delivered);
    add(&out->delivered_bytes, s->bytes);
    add(&out->lost, s->lost);
    for (unsigned i = 0; i < AETHER_LOST_REASONS; i++)
        add(&out->lost_by[i], s->lost_by[i]);
    add(&out->gaps, s->gaps);
    add(&out->aborted, s->aborted);
    add(&out->skipped, s->skipped);
    add(&out->evictions, s->evictions);
    add(&out->sleeps, s->sleeps);
    add(&out->woken, s->woken);
    add(&out->accounted, s->next - s->joined);
    if (s->latency.samples != 0)
        aether_latency_add(&out->latency, &s->latency);
}

static void fill_eviction(uint64_t word, aether_subscriber_metrics *s) {
    const uint64_t reason = ae_evicted(word);

    s->evict_reason = reason <= AE_EVICT_LANE ? (aether_evict_reason)reason : AETHER_EVICT_NOT;
    if (reason == AE_EVICT_LANE)
        s->evict_held = (word >> AE_EVICT_UNITS_SHIFT & AE_EVICT_UNITS_MAX) * AE_LANE_UNIT;
}

/* end: the topic's, loaded before the record. */
static int add_subscriber(struct reading *r, const ae_registry_grant *grant, const struct ae_record *record,
                          uint64_t end) {
    const int rc = grow_subscribers(r);

    if (rc != 0)
        return rc;
    aether_subscriber_metrics *s = &r->metrics->subscribers[r->out->subscriber_count++];
    fill_subscriber(r, grant, record, s);
    s->overwritten = overwritten(r, grant, record, end);
    s->unread = is_protected(grant, record) ? r->geometry->capacity : UINT64_MAX; /* at most: judge_lag() */
    if (s->evictions != 0 && r->objects.log != NULL)
        fill_eviction(ae_load_acquire(&r->objects.log->evict[grant->record]), s);
    fill_latency(r, record, &s->latency);
    return 0;
}

/* ---- those that have gone ---------------------------------------------------------------------------------------- */

static void add_totals(aether_topic_metrics *out, const ae_totals_topic *sums) {
    out->published = sums->published;
    out->published_bytes = sums->published_bytes;
    out->batches = sums->batches;
    out->full = sums->full;
    out->stalls = sums->stalls;
    out->stall_ns = sums->stall_ns;
    out->stall_longest = sums->stall_longest;
    out->retries = sums->retries;
    out->wakes = sums->wakes;
    out->delivered = sums->delivered;
    out->delivered_bytes = sums->delivered_bytes;
    for (unsigned i = 0; i < AETHER_LOST_REASONS; i++) {
        out->lost_by[i] = sums->lost[i];
        add(&out->lost, sums->lost[i]);
    }
    out->gaps = sums->gaps;
    out->aborted = sums->aborted;
    out->skipped = sums->skipped;
    out->evictions = sums->evictions;
    out->sleeps = sums->sleeps;
    out->woken = sums->woken;
    out->accounted = sums->accounted;
    out->publishers_died = sums->publishers_died;
    out->subscribers_died = sums->subscribers_died;
    out->latency.samples = sums->samples;
    out->latency.negative = sums->negative;
    out->latency.missed = sums->missed;
    out->latency.overflow = sums->overflow;
    memcpy(out->latency.buckets, sums->buckets, sizeof out->latency.buckets);
}

static void add_departed(struct reading *r, const ae_totals_topic *sums) {
    const uint64_t count = sums->departed_count;

    /* aetherd doesn't always learn in order who has gone. The first ones here leave room for all. */
    for (uint64_t i = count < AE_DEPARTED_MAX ? count : AE_DEPARTED_MAX; i > 0; i--) {
        const ae_departed *from = &sums->departed[(count - i) % AE_DEPARTED_MAX];
        const uint64_t ago_ns = since(r, from->left_mono_ns);
        aether_departed_metrics *to = departed_place(r, ago_ns);
        *to = (aether_departed_metrics){
            .owner = {.grant_id = from->grant_id, .client_id = from->client_id, .pid = from->pid, .process = '?'},
            .role = (aether_role)from->role,
            .died = from->died != 0,
            .evicted = from->evicted != 0,
            .evict_reason = from->evicted != 0 && from->reason <= AE_EVICT_LANE ? (aether_evict_reason)from->reason : 0,
            .evict_held = from->evicted != 0 && from->reason == AE_EVICT_LANE ? from->held : 0,
            .left_ns = from->left_ns,
            .left_mono_ns = from->left_mono_ns,
            .ago_ns = ago_ns,
            .messages = from->messages,
            .lost = from->lost,
            .aborted = from->aborted,
            .skipped = from->skipped,
            .full = from->full,
            .stall_ns = from->stall_ns};
        memcpy(to->owner.client, from->client, sizeof to->owner.client - 1);
    }
}

/* ---- what follows ------------------------------------------------------------------------------------------------ */

/* How long ago the oldest message from `next` on that has a stamp was published. */
static uint64_t age_of(const struct reading *r, uint64_t next, uint64_t end) {
    const ae_log *log = r->objects.log;
    const uint64_t lag = at_most(end - next, r->geometry->capacity), from = end - lag;
    const ae_u64 *stamps = (const ae_u64 *)((uintptr_t)log + r->geometry->stamps_off);

    if (log == NULL || r->geometry->stamps_off == 0)
        return AETHER_UNKNOWN;
    for (uint64_t seq = from; seq - from < at_most(lag, AGE_TAGS); seq++) {
        const ae_u64 *word = ae_slot_tag(log, r->geometry, seq);
        const uint64_t tag = ae_load_acquire(word);
        if (ae_tag_ahead(tag, seq) != 0 || ae_tag_kind(tag) <= AE_KIND_STAMPED)
            continue;
        const uint64_t stamp = ae_load_relaxed(&stamps[seq & (r->geometry->capacity - 1)]);
        ae_fence_acquire();
        if (ae_load_relaxed(word) == tag)
            return since(r, stamp >> AE_STAMP_NS_SHIFT);
    }
    return AETHER_UNKNOWN;
}

/*
 * What the reader remembers of a subscriber. The grants are sorted by id, and *at is the one that was asked for last.
 */
static struct ae_seen *seen_of(const struct reading *r, size_t *at, uint64_t grant_id) {
    while (r->grants[*at].grant_id != grant_id)
        ++*at;
    return &r->metrics->seen[r->grants[*at].index];
}

/*
 * Remembers this reading. Returns for how long, as readings show, the subscriber hasn't moved although messages wait.
 */
static uint64_t remember(const struct reading *r, const aether_subscriber_metrics *s, struct ae_seen *seen) {
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
    return s->unread > 0 ? since(r, seen->waits_since) : 0;
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
static bool is_stuck(const struct reading *r, const aether_subscriber_metrics *s, const struct ae_seen *seen) {
    const bool stamped = r->geometry->latency != AE_LATENCY_OFF;

    if (!stamped && is_halted(s->owner.process))
        return true;
    if (s->received_ns < STUCK_NS || (seen->moved_after != 0 && since(r, seen->moved_after) < 2 * STUCK_NS))
        return false;
    return (stamped && s->unread > r->geometry->capacity) || (s->age_ns != AETHER_UNKNOWN && s->age_ns >= STUCK_NS);
}

/* How far it is behind, and for how long messages have waited for it at least. */
static void judge_lag(const struct reading *r, aether_subscriber_metrics *s, struct ae_seen *seen) {
    const uint64_t end = r->out->info.next_seq;

    s->unread = (int64_t)(end - s->next) > 0 ? at_most(end - s->next, s->unread) : 0;
    s->lag = s->unread; /* judge_cursors() says more of those for which publishers wait */
    s->overwritten = at_most(s->overwritten, s->unread); /* a hostile publisher may set the claim back */
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
static void judge_cursors(const struct reading *r) {
    const uint64_t end = r->out->info.next_seq;
    uint64_t subscribers = 0;
    struct ae_lanes lanes;

    for (unsigned record = 0; record < AE_SUBSCRIBERS_MAX; record++) {
        const int32_t index = r->by_cursor[record];
        if (index < 0 || !ae_survey_is_active(r->objects.cursors, record) ||
            ae_figures_is_evicted(r->objects.log, r->geometry, record))
            continue;
        aether_subscriber_metrics *s = &r->metrics->subscribers[index];
        s->lag = larger(s->lag, lag_of(r, record, end));
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
 * Finds whom each publisher waits for, and so who holds publishers up. It waits for the cursor and not for what the
 * subscriber says of itself, and what it waits for was published before its wait began.
 */
static void find_holders(const struct reading *r) {
    aether_topic_metrics *out = r->out;

    for (size_t i = 0; i < out->publisher_count; i++) {
        aether_publisher_metrics *p = &r->metrics->publishers[i];
        if (p->waits_subscriber >= 0)
            p->waits_subscriber = r->by_cursor[p->waits_subscriber];
        if (p->waits_publisher >= 0)
            p->waits_publisher = r->by_publisher[p->waits_publisher];
        out->waiting += p->waits != AETHER_WAITS_NOT;
        out->waited_ns = larger(out->waited_ns, p->waited_ns);
        if (p->waits_subscriber < 0)
            continue;
        aether_subscriber_metrics *s = &r->metrics->subscribers[p->waits_subscriber];
        s->holds_up++;
        s->held_up_ns = larger(s->held_up_ns, p->waited_ns);
        if (s->age_ns == AETHER_UNKNOWN || s->age_ns < s->held_up_ns)
            s->age_ns = s->held_up_ns;
    }
}

static void judge_state(const struct reading *r, aether_subscriber_metrics *s, const struct ae_seen *seen) {
    /* One that has received all, but is about to release it, is idle, unless somebody waits for that. */
    const bool behind = s->unread > 0 || s->holds_up > 0;

    if (behind && is_stuck(r, s, seen))
        s->state = AETHER_SUBSCRIBER_STUCK;
    else if (s->evictions != 0)
        s->state = AETHER_SUBSCRIBER_EVICTED;
    else if (behind)
        s->state = AETHER_SUBSCRIBER_BEHIND;
}

static void judge_subscribers(const struct reading *r) {
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
        out->lag = larger(out->lag, s->lag);
        add(&out->overwritten, s->overwritten);
        out->stuck += s->state == AETHER_SUBSCRIBER_STUCK;
        if (s->age_ns == AETHER_UNKNOWN)
            unknown = true;
        else
            out->age_ns = larger(out->age_ns, s->age_ns);
    }
    if (unknown && out->age_ns == 0)
        out->age_ns = AETHER_UNKNOWN;
}

/* ---- a topic ----------------------------------------------------------------------------------------------------- */

/* Copies the grant. False: it has gone, or is folded, or is in the totals that were copied before, if there are any. */
static bool is_unfolded(const struct reading *r, const struct ae_survey_grant *listed, ae_registry_grant *grant) {
    return ae_registry_read_grant(&r->metrics->survey.registry, listed->index, grant) == 1 &&
           grant->grant_id == listed->grant_id && grant->topic_id == r->topic->topic_id && grant->folded == 0 &&
           !(r->has_sums && grant->grant_id == r->metrics->sums.last_folded);
}

static void note_close(const struct reading *r, const ae_registry_grant *grant, const struct ae_record *record,
                       struct ae_seen *seen) {
    const uint64_t closed = record->copy.closed.v;
    const bool left = is_closed(r, grant, record);

    /* Not later than now, whatever the record says. */
    seen->left_mono_ns = !left ? 0 : closed < r->now ? closed : r->now;
    seen->left_ns = left ? ae_figures_left(closed, r->now, ae_realtime_ns()) : 0; /* to be shown as a date */
}

/* Adds what one grant says to the topic's publishers or subscribers. */
static int add_grant(struct reading *r, const struct ae_survey_grant *listed) {
    aether_metrics *metrics = r->metrics;
    struct ae_mapping stats;
    ae_registry_grant grant;

    if (!is_unfolded(r, listed, &grant))
        return 0;
    int rc = ae_mappings_take(&metrics->clients, &metrics->survey.source, AE_LOOK_STATS, grant.client_id,
                              ae_record_file_bytes(metrics->survey.registry.grants_max), 0, &stats);
    const uint64_t end = ae_survey_next_seq(r->objects.log, r->geometry);
    /* Read before the record: a stall that ends meanwhile is at least as long as it is counted here. */
    r->now = ae_now_ns();
    if (rc == 0)
        rc = ae_record_read(stats.fd, &grant, &r->objects, &metrics->seen[listed->index].record, &metrics->record);
    if (rc == 0 && grant.role == AE_ROLE_PUBLISHER)
        add_publisher(r, &grant, &metrics->record);
    else if (rc == 0)
        rc = add_subscriber(r, &grant, &metrics->record, end);
    ae_mappings_drop(&stats);
    if (rc == 0)
        note_close(r, &grant, &metrics->record, &metrics->seen[listed->index]);
    return rc;
}

static int read_grants(struct reading *r) {
    int rc = 0;

    memset(r->out, 0, sizeof *r->out);
    for (size_t i = 0; i < r->grant_count && rc == 0; i++)
        rc = add_grant(r, &r->grants[i]);
    return rc;
}

/* Is the publisher or subscriber of the grant to stay in its list? The other one is NULL. */
typedef bool stays_fn(const struct reading *r, const struct ae_survey_grant *listed, const aether_publisher_metrics *p,
                      const aether_subscriber_metrics *s);

/* Drops those that don't stay, and notes who holds which record. Both lists have the order of the grants. */
static void keep_only(struct reading *r, stays_fn *stays) {
    aether_publisher_metrics *publishers = r->metrics->publishers;
    aether_subscriber_metrics *subscribers = r->metrics->subscribers;
    aether_topic_metrics *out = r->out;
    size_t p = 0, s = 0, kept_p = 0, kept_s = 0;

    memset(r->by_publisher, 0xff, sizeof r->by_publisher);
    memset(r->by_cursor, 0xff, sizeof r->by_cursor);
    for (const struct ae_survey_grant *listed = r->grants; listed != r->grants + r->grant_count; listed++) {
        if (p < out->publisher_count && publishers[p].owner.grant_id == listed->grant_id) {
            if (stays(r, listed, &publishers[p], NULL)) {
                r->by_publisher[listed->record] = (int32_t)kept_p;
                if (kept_p != p)
                    publishers[kept_p] = publishers[p];
                kept_p++;
            }
            p++;
        } else if (s < out->subscriber_count && subscribers[s].owner.grant_id == listed->grant_id) {
            if (stays(r, listed, NULL, &subscribers[s])) {
                if (listed->role == AE_ROLE_RELIABLE)
                    r->by_cursor[listed->record] = (int32_t)kept_s;
                if (kept_s != s)
                    subscribers[kept_s] = subscribers[s];
                kept_s++;
            }
            s++;
        }
    }
    out->publisher_count = kept_p;
    out->subscriber_count = kept_s;
}

static bool stays_unfolded(const struct reading *r, const struct ae_survey_grant *listed,
                           const aether_publisher_metrics *p, const aether_subscriber_metrics *s) {
    ae_registry_grant grant;

    (void)p;
    (void)s;
    return is_unfolded(r, listed, &grant);
}

/* One that is closed goes to the departed, if it is among the last ones. */
static bool stays_open(const struct reading *r, const struct ae_survey_grant *listed, const aether_publisher_metrics *p,
                       const aether_subscriber_metrics *s) {
    const struct ae_seen *seen = &r->metrics->seen[listed->index];
    const uint64_t ago_ns = since(r, seen->left_mono_ns);
    aether_departed_metrics *to = seen->left_mono_ns != 0 ? departed_place(r, ago_ns) : NULL;

    if (to != NULL && p != NULL)
        *to = (aether_departed_metrics){
            .owner = p->owner, .messages = p->messages, .full = p->full, .stall_ns = p->stall_ns};
    else if (to != NULL)
        *to = (aether_departed_metrics){.owner = s->owner,
                                        .messages = s->delivered,
                                        .lost = s->lost,
                                        .aborted = s->aborted,
                                        .skipped = s->skipped,
                                        .evicted = s->evictions != 0,
                                        .evict_reason = s->evict_reason,
                                        .evict_held = s->evict_held};
    if (to != NULL) {
        to->owner.process = '?';
        to->role = (aether_role)listed->role;
        to->left_ns = seen->left_ns;
        to->left_mono_ns = seen->left_mono_ns;
        to->ago_ns = ago_ns;
    }
    return seen->left_mono_ns == 0;
}

/*
 * Copies the totals, and drops what is in them. What aetherd folds meanwhile could be missing, or be in both: then only
 * this is done again, since what was read of the others stays right.
 */
static int settle(struct reading *r, uint32_t index) {
    const struct ae_totals *totals = &r->metrics->totals;

    for (int turn = 0; turn < SETTLE_TRIES; turn++) {
        const int rc =
            totals->header != NULL ? ae_totals_read(totals, index, r->topic->topic_id, &r->metrics->sums) : 0;
        if (rc < 0)
            continue;
        r->has_sums = rc == 1;
        keep_only(r, stays_unfolded);
        if (!r->has_sums || ae_totals_current(totals, index, r->metrics->sums.epoch.v))
            return 0;
    }
    return ae_fail(-EAGAIN, "the totals of topic '%s' change too fast to be read: try again", r->topic->name);
}

static void sum_up(struct reading *r) {
    aether_topic_metrics *out = r->out;

    r->now = ae_now_ns(); /* after all that has left */
    if (r->has_sums) {
        add_totals(out, &r->metrics->sums);
        add_departed(r, &r->metrics->sums);
    }
    for (size_t i = 0; i < out->publisher_count; i++)
        sum_publisher(out, &r->metrics->publishers[i]);
    for (size_t i = 0; i < out->subscriber_count; i++)
        sum_subscriber(out, &r->metrics->subscribers[i]);
    keep_only(r, stays_open);
}

/* A topic that was removed meanwhile has lost its totals and objects. */
static bool is_there(const struct reading *r, uint32_t index) {
    ae_registry_topic topic;

    return ae_survey_topic(&r->metrics->survey, index, &topic) && topic.topic_id == r->topic->topic_id;
}

static bool has_reliable(const struct reading *r) {
    for (size_t i = 0; i < r->grant_count; i++) {
        if (r->grants[i].role == AE_ROLE_RELIABLE)
            return true;
    }
    return false;
}

int ae_metrics_read_topic(aether_metrics *metrics, uint32_t index, const ae_registry_topic *topic,
                          aether_topic_metrics *out) {
    const ae_geometry *geometry = &topic->geometry;
    struct ae_object_source *source = &metrics->survey.source;
    struct reading r = {.metrics = metrics, .out = out, .topic = topic, .geometry = geometry};
    struct ae_mapping log = {.fd = -1}, cursors = {.fd = -1};
    int rc = 0;

    if (ae_survey_has_log(topic))
        rc = ae_mappings_take(&metrics->topics, source, AE_LOOK_LOG, topic->topic_id, geometry->log_bytes,
                              geometry->lanes_off, &log);
    r.grants = ae_survey_grants(&metrics->survey, topic->topic_id, &r.grant_count);
    if (rc == 0 && has_reliable(&r))
        rc = ae_mappings_take(&metrics->topics, source, AE_LOOK_CURSORS, topic->topic_id, geometry->cursors_bytes,
                              geometry->cursors_bytes, &cursors);
    r.objects = (struct ae_record_topic){.geometry = geometry, .log = log.base, .cursors = cursors.base};
    if (rc == 0)
        rc = read_grants(&r);
    if (rc == 0)
        rc = settle(&r, index);
    if (rc == 0 && is_there(&r, index)) {
        rc = 1;
        sum_up(&r);
        /* Loads the topic's end, after all cursors. */
        ae_survey_fill(topic, log.base, cursors.base, r.grants, r.grant_count, &out->info);
        out->info.memory_bytes = ae_survey_memory(&metrics->survey, topic);
        for (size_t i = 0; i < out->publisher_count; i++)
            add(&out->info.full, metrics->publishers[i].full);
        r.now = ae_now_ns();
        judge_subscribers(&r);
        out->publishers = metrics->publishers;
        out->subscribers = metrics->subscribers;
        out->departed = metrics->departed;
    }
    ae_mappings_drop(&log);
    ae_mappings_drop(&cursors);
    return rc;
}
