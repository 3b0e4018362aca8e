/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics_topic.c - reads one topic: what its publishers and subscribers say now, and what those that have gone had
 * said.
 */
#include "client/metrics_topic.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/number.h"
#include "client/metrics_judge.h"
#include "ring/figures.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SETTLE_TRIES 1000 /* of each one fails if aetherd folds a grant of the topic in some 10 us */

/* The same of a time that a subscriber has stored. It may be a little later than the beginning of this reading. */
static uint64_t ago(const struct ae_reading *r, uint64_t then) {
    return then == 0 || (int64_t)(then - r->now) > (int64_t)AE_STUCK_NS ? AETHER_UNKNOWN : ae_reading_since(r, then);
}

static void fill_owner(const struct ae_reading *r, const ae_registry_grant *grant, aether_owner *owner) {
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
static bool is_closed(const struct ae_reading *r, const ae_registry_grant *grant, const struct ae_record *record) {
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
static aether_departed_metrics *departed_place(const struct ae_reading *r, uint64_t ago_ns) {
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

static void fill_publisher(const struct ae_reading *r, const struct ae_record *record, aether_publisher_metrics *p) {
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
                                    .lane_used = ae_least(copy->lane_used.v, r->geometry->lane_bytes)};
    p->stall_longest = ae_most(p->stall_longest, present);
}

static void sum_publisher(aether_topic_metrics *out, const aether_publisher_metrics *p) {
    ae_reading_add(&out->published, p->messages);
    ae_reading_add(&out->published_bytes, p->bytes);
    ae_reading_add(&out->batches, p->batches);
    ae_reading_add(&out->full, p->full);
    ae_reading_add(&out->stalls, p->stalls);
    ae_reading_add(&out->stall_ns, p->stall_ns);
    ae_reading_add(&out->retries, p->retries);
    ae_reading_add(&out->wakes, p->wakes);
    out->stall_longest = ae_most(out->stall_longest, p->stall_longest);
}

static void add_publisher(struct ae_reading *r, const ae_registry_grant *grant, const struct ae_record *record) {
    aether_topic_metrics *out = r->out;

    if (out->publisher_count == AE_METRICS_PUBLISHERS) /* far more than there are records */
        return;
    aether_publisher_metrics *p = &r->metrics->publishers[out->publisher_count++];
    fill_publisher(r, record, p);
    fill_owner(r, grant, &p->owner);
    ae_judge_waits(r, &record->copy, p);
}

/* ---- subscribers ------------------------------------------------------------------------------------------------- */

static int grow_subscribers(struct ae_reading *r) {
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

static void fill_latency(const struct ae_reading *r, const struct ae_record *record, aether_latency *latency) {
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
static uint64_t overwritten(const struct ae_reading *r, const ae_registry_grant *grant, const struct ae_record *record,
                            uint64_t end) {
    const uint64_t behind = end - record->figures.next, capacity = r->geometry->capacity;

    if (is_protected(grant, record) || (grant->role != AE_ROLE_RELIABLE && record->copy.policy.v == AETHER_LATEST))
        return 0;
    return (int64_t)behind > 0 && behind > capacity ? behind - capacity : 0;
}

static void fill_subscriber(const struct ae_reading *r, const ae_registry_grant *grant, const struct ae_record *record,
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
    ae_reading_add(&out->delivered, s->delivered);
    ae_reading_add(&out->delivered_bytes, s->bytes);
    ae_reading_add(&out->lost, s->lost);
    for (unsigned i = 0; i < AETHER_LOST_REASONS; i++)
        ae_reading_add(&out->lost_by[i], s->lost_by[i]);
    ae_reading_add(&out->gaps, s->gaps);
    ae_reading_add(&out->aborted, s->aborted);
    ae_reading_add(&out->skipped, s->skipped);
    ae_reading_add(&out->evictions, s->evictions);
    ae_reading_add(&out->sleeps, s->sleeps);
    ae_reading_add(&out->woken, s->woken);
    ae_reading_add(&out->accounted, s->next - s->joined);
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
static int add_subscriber(struct ae_reading *r, const ae_registry_grant *grant, const struct ae_record *record,
                          uint64_t end) {
    const int rc = grow_subscribers(r);

    if (rc != 0)
        return rc;
    aether_subscriber_metrics *s = &r->metrics->subscribers[r->out->subscriber_count++];
    fill_subscriber(r, grant, record, s);
    s->overwritten = overwritten(r, grant, record, end);
    s->unread = is_protected(grant, record) ? r->geometry->capacity : UINT64_MAX; /* at most: ae_judge() */
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
        ae_reading_add(&out->lost, sums->lost[i]);
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

static void add_departed(struct ae_reading *r, const ae_totals_topic *sums) {
    const uint64_t count = sums->departed_count;

    /* aetherd doesn't always notice in order which ones have gone. The first ones here leave room for all. */
    for (uint64_t i = count < AE_DEPARTED_MAX ? count : AE_DEPARTED_MAX; i > 0; i--) {
        const ae_departed *from = &sums->departed[(count - i) % AE_DEPARTED_MAX];
        const uint64_t ago_ns = ae_reading_since(r, from->left_mono_ns);
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

/* ---- a topic ----------------------------------------------------------------------------------------------------- */

/* Copies the grant. False: it has gone, or is folded, or is in the totals that were copied before, if there are any. */
static bool is_unfolded(const struct ae_reading *r, const struct ae_survey_grant *listed, ae_registry_grant *grant) {
    return ae_registry_read_grant(&r->metrics->survey.registry, listed->index, grant) == 1 &&
           grant->grant_id == listed->grant_id && grant->topic_id == r->topic->topic_id && grant->folded == 0 &&
           !(r->has_sums && grant->grant_id == r->metrics->sums.last_folded);
}

static void note_close(const struct ae_reading *r, const ae_registry_grant *grant, const struct ae_record *record,
                       struct ae_seen *seen) {
    const uint64_t closed = record->copy.closed.v;
    const bool left = is_closed(r, grant, record);

    /* Not later than now, whatever the record says. */
    seen->left_mono_ns = !left ? 0 : closed < r->now ? closed : r->now;
    seen->left_ns = left ? ae_figures_left(closed, r->now, ae_realtime_ns()) : 0; /* to be shown as a date */
}

/* Adds what one grant says to the topic's publishers or subscribers. */
static int add_grant(struct ae_reading *r, const struct ae_survey_grant *listed) {
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

static int read_grants(struct ae_reading *r) {
    int rc = 0;

    memset(r->out, 0, sizeof *r->out);
    for (size_t i = 0; i < r->grant_count && rc == 0; i++)
        rc = add_grant(r, &r->grants[i]);
    return rc;
}

/* Is the publisher or subscriber of the grant to stay in its list? The other one is NULL. */
typedef bool stays_fn(const struct ae_reading *r, const struct ae_survey_grant *listed,
                      const aether_publisher_metrics *p, const aether_subscriber_metrics *s);

/* Drops those that don't stay, and notes which program holds which record. Both lists have the order of the grants. */
static void keep_only(struct ae_reading *r, stays_fn *stays) {
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

static bool stays_unfolded(const struct ae_reading *r, const struct ae_survey_grant *listed,
                           const aether_publisher_metrics *p, const aether_subscriber_metrics *s) {
    ae_registry_grant grant;

    (void)p;
    (void)s;
    return is_unfolded(r, listed, &grant);
}

/* One that is closed goes to the departed, if it is among the last ones. */
static bool stays_open(const struct ae_reading *r, const struct ae_survey_grant *listed,
                       const aether_publisher_metrics *p, const aether_subscriber_metrics *s) {
    const struct ae_seen *seen = &r->metrics->seen[listed->index];
    const uint64_t ago_ns = ae_reading_since(r, seen->left_mono_ns);
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
static int settle(struct ae_reading *r, uint32_t index) {
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

static void sum_up(struct ae_reading *r) {
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
static bool is_there(const struct ae_reading *r, uint32_t index) {
    ae_registry_topic topic;

    return ae_survey_topic(&r->metrics->survey, index, &topic) && topic.topic_id == r->topic->topic_id;
}

static bool has_reliable(const struct ae_reading *r) {
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
    struct ae_reading r = {.metrics = metrics, .out = out, .topic = topic, .geometry = geometry};
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
            ae_reading_add(&out->info.full, metrics->publishers[i].full);
        r.now = ae_now_ns();
        ae_judge(&r);
        out->publishers = metrics->publishers;
        out->subscribers = metrics->subscribers;
        out->departed = metrics->departed;
    }
    ae_mappings_drop(&log);
    ae_mappings_drop(&cursors);
    return rc;
}
