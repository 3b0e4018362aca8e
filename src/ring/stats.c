/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/stats.h"
#include "base/clock.h"
#include "base/histogram.h"
#include "ring/figures.h"

/* A fast publisher stamps a message about this often, as long as a group isn't larger than GROUP_MAX. */
#define SAMPLE_NS 250000u
/* So long is no gap between two stamps of a steady pace, for which a group takes 2 * SAMPLE_NS at most. */
#define PAUSE_NS (8 * SAMPLE_NS)
#define WEIGHT_MAX AE_WEIGHT_MAX
#define NEVER INT64_MAX                                                 /* no message has this number */
#define PUBLISHER_WORDS (offsetof(ae_account, lost) / sizeof(uint64_t)) /* the others stay 0 */

/* ---- the figures that belong together ---- */

/*
 * M3 fence, pairs M4 (current): a process that has loaded a word of the copy that is written here then finds that
 * `flips` was raised. M1 release, pairs M2 (copy): with the raised `flips` comes the whole copy.
 */
static inline void store_account(ae_stats_record *record, uint64_t *flips, const ae_account *account, size_t words) {
    ae_u64 *copy = record->account[(*flips + 1) & 1].words;
    const uint64_t *from = (const uint64_t *)(const void *)account;

    ae_fence_release();
    for (size_t i = 0; i < words; i++)
        ae_store_relaxed(&copy[i], from[i]);
    ae_store_release(&record->flips, ++*flips);
}

/* ---- publishers ---- */

void ae_stats_store_publisher(struct ae_publisher *p) {
    const ae_account account = {
        .joined = p->joined,
        .next = p->run.base,
        .messages = p->run.first,
        .bytes = p->hot.bytes,
        .batches = p->hot.batches,
        .stall_ns = p->stall_ns,
        .stalled_since = p->waits_since,
    };

    store_account(p->stats, &p->flips, &account, PUBLISHER_WORDS);
}

void ae_stats_open_publisher(struct ae_publisher *p) {
    p->joined = p->hot.next;
    p->run.base = p->hot.next;
    p->sampling.due = p->geometry.stamps_off != 0 ? 0 : NEVER;
    p->sampling.group_end = 1;
    p->sampling.random = ae_now_ns() ^ (uintptr_t)p;
    ae_stats_store_publisher(p);
}

/* The number of the message after the last one that this publisher claimed. */
static uint64_t messages_of(const struct ae_publisher *p) {
    const uint64_t run = p->hot.next - p->run.base;

    return p->run.first + ((int64_t)run > 0 ? run : 0); /* a run may have begun whose first claim was lost */
}

void ae_stats_begin_run(struct ae_publisher *p, uint64_t seq) {
    if (seq == p->hot.next && (int64_t)(seq - p->run.base) >= 0)
        return;
    p->run.first = messages_of(p);
    p->run.base = seq;
    ae_stats_store_publisher(p);
}

void ae_stats_store_loans(struct ae_publisher *p) {
    ae_store_relaxed(&p->stats->loans, p->loans.open_count);
    ae_store_relaxed(&p->stats->lane_used, p->lane.head - p->lane.free);
}

void ae_stats_no_room(struct ae_publisher *p, uint64_t what, uint64_t record, uint64_t seq) {
    const uint64_t now = ae_now_ns();
    ae_stats_record *stats = p->stats;

    /* It gave up in between. There may have been room meanwhile, so this isn't the same stall. */
    if (p->waits_since != 0 && ae_stall_end(ae_load_relaxed(&stats->waits_last), now) != now)
        ae_stats_room(p);
    if (p->waits_since == 0) {
        p->waits_since = now;
        p->notice_due = now + p->notice_after;
        ae_store_relaxed(&stats->stalls, ++p->stalls);
        ae_stats_store_publisher(p);
    }
    ae_store_relaxed(&stats->full, ++p->full);
    ae_store_relaxed(&stats->waits_last, now);
    ae_store_relaxed(&stats->waits_for, what);
    ae_store_relaxed(&stats->waits_record, record);
    ae_store_relaxed(&stats->waits_seq, seq);
    ae_store_relaxed(&stats->waits_since, p->waits_since);
    if (AE_UNLIKELY(p->notice != NULL && now >= p->notice_due)) {
        while (now >= p->notice_due)
            p->notice_due += p->notice_due - p->waits_since;
        p->notice(p);
    }
}

void ae_stats_room(struct ae_publisher *p) {
    uint64_t ns;

    if (AE_LIKELY(p->waits_since == 0))
        return;
    ns = ae_stall_end(ae_load_relaxed(&p->stats->waits_last), ae_now_ns()) - p->waits_since;
    p->waits_since = 0;
    p->stall_ns += ns;
    if (ns > p->stall_longest)
        p->stall_longest = ns;
    ae_store_relaxed(&p->stats->waits_since, 0);
    ae_store_relaxed(&p->stats->waits_for, AE_WAITS_NOT);
    ae_store_relaxed(&p->stats->stall_longest, p->stall_longest);
    ae_stats_store_publisher(p);
}

static bool waits_for_lane(const struct ae_publisher *p) {
    const uint64_t what = ae_load_relaxed(&p->stats->waits_for);

    return what == AE_WAITS_LANE || what == AE_WAITS_LOANS;
}

void ae_stats_slot(struct ae_publisher *p) {
    if (AE_UNLIKELY(p->waits_since != 0) && !waits_for_lane(p))
        ae_stats_room(p);
}

void ae_stats_lane_room(struct ae_publisher *p) {
    if (AE_UNLIKELY(p->waits_since != 0) && waits_for_lane(p))
        ae_stats_room(p);
}

/* ---- which messages are stamped ---- */

void ae_stats_set_limit(struct ae_publisher *p) {
    const uint64_t next = p->hot.next, left = p->sampling.due - messages_of(p);
    const uint64_t stamp = next + ((int64_t)left > 0 ? left : 0);
    /* At least next, before it is compared: the next stamp may be 2^63 - 1 messages away, which means never. */
    const uint64_t limit = (int64_t)(p->room - next) > 0 ? p->room : next;

    p->hot.limit = (int64_t)(limit - stamp) > 0 ? stamp : limit;
}

/* xorshift64*; see Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled". */
static uint64_t next_random(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1dull;
}

/* The group after the present one begins. */
static void next_group(struct ae_publisher *p) {
    struct ae_sampling *sampling = &p->sampling;
    const uint64_t size = 1ull << sampling->weight;

    sampling->due = sampling->group_end;
    if (size > 1)
        sampling->due += next_random(&sampling->random) >> 32 & (size - 1);
    sampling->group_end += size;
}

/* A message was stamped now, ns after the one before. */
static void adapt(struct ae_sampling *sampling, uint64_t ns) {
    if (ns < SAMPLE_NS / 2 && sampling->weight < WEIGHT_MAX)
        sampling->weight++;
    for (; ns > 2 * SAMPLE_NS && sampling->weight > 0; ns /= 2)
        sampling->weight--;
}

bool ae_stamp_due(const struct ae_publisher *p, uint64_t seq) {
    return (int64_t)(p->run.first + (seq - p->run.base) - p->sampling.due) >= 0;
}

uint64_t ae_stamp(struct ae_publisher *p, uint64_t seq) {
    struct ae_sampling *sampling = &p->sampling;
    ae_u64 *stamps = (ae_u64 *)(void *)((unsigned char *)p->log + p->geometry.stamps_off);
    uint64_t now;

    if (AE_LIKELY(!ae_stamp_due(p, seq)))
        return 0;
    now = ae_now_ns();
    ae_store_relaxed(&stamps[seq & p->hot.mask], now << AE_STAMP_NS_SHIFT | sampling->weight);
    if (p->geometry.latency != AE_LATENCY_ALL)
        adapt(sampling, now - sampling->last_ns);
    sampling->last_ns = now;
    next_group(p);
    ae_stats_set_limit(p);
    ae_store_relaxed(&p->stats->last_ns, now);
    ae_stats_store_publisher(p);
    return AE_KIND_STAMPED;
}

void ae_stamp_review(struct ae_publisher *p) {
    struct ae_sampling *sampling = &p->sampling;
    const uint64_t next = messages_of(p);

    if (sampling->weight == 0 || ae_now_ns() - sampling->last_ns < PAUSE_NS)
        return;
    /*
     * The present group ends early. If its message was stamped it counts for the whole group, if not nothing counts for
     * what there was of it: on the average that is right.
     */
    sampling->due = next;
    sampling->group_end = next + 1;
    sampling->weight = 0;
    ae_stats_set_limit(p);
}

/* ---- subscribers ---- */

void ae_stats_store_subscriber(struct ae_subscriber *s) {
    ae_account account = {
        .joined = s->joined,
        .next = s->hot.next,
        .bytes = s->hot.bytes,
        .gaps = s->gaps,
        .aborted = s->aborted,
        .skipped = s->skipped,
        .evicted = s->evicted,
        .by_position = s->hot.cursor == &s->stats->position,
    };

    for (unsigned reason = 0; reason < AE_LOST_REASONS; reason++)
        account.lost[reason] = s->lost_by[reason];
    s->stored = s->hot.next;
    store_account(s->stats, &s->flips, &account, sizeof account / sizeof(uint64_t));
}

void ae_stats_open_subscriber(struct ae_subscriber *s) {
    ae_store_relaxed(&s->stats->policy, (uint64_t)s->policy);
    ae_store_relaxed(&s->stats->position, s->hot.next);
    ae_stats_store_subscriber(s);
}

void ae_stats_slept(struct ae_subscriber *s) {
    ae_store_relaxed(&s->stats->sleeps, ++s->sleeps);
}

void ae_stats_woken(struct ae_subscriber *s) {
    ae_store_relaxed(&s->stats->woken, ++s->woken);
}

uint64_t ae_stamp_load(const struct ae_subscriber *s, uint64_t seq) {
    const uint64_t off = s->geometry.stamps_off;
    const ae_u64 *stamps = (const ae_u64 *)((uintptr_t)s->log + off);

    return off != 0 ? ae_load_relaxed(&stamps[seq & s->hot.mask]) : 0;
}

/* Only this subscriber changes the word. */
static void add(ae_u64 *word, uint64_t n) {
    ae_store_relaxed(word, ae_load_relaxed(word) + n);
}

/*
 * Returns how many messages a received stamp stands for. A hostile publisher can say more than there are. Then the
 * stamp stands for its own, so that readers don't leave this subscriber's histogram out.
 */
static uint64_t messages_of_stamp(struct ae_subscriber *s, uint64_t stamp) {
    const uint64_t messages = 1ull << (stamp & AE_STAMP_WEIGHT_MASK);
    const uint64_t left = ae_figures_measured_max(s->hot.next - s->joined) - s->measured;
    const uint64_t counted = messages <= left ? messages : 1;

    s->measured += counted;
    return counted;
}

void ae_stats_received(struct ae_subscriber *s, uint64_t stamp, bool valid) {
    const uint64_t now = ae_now_ns(), ns = now - (stamp >> AE_STAMP_NS_SHIFT);
    ae_stats_record *stats = s->stats;

    if (!valid || stamp == 0) /* a topic without stamps, whose publisher is faulty or hostile */
        add(&stats->missed, 1);
    else if ((int64_t)ns < 0)
        add(&stats->negative, 1);
    else if (ae_histogram_index(ns) >= AE_HISTOGRAM_BUCKETS)
        add(&stats->overflow, messages_of_stamp(s, stamp));
    else
        add(&stats->buckets[ae_histogram_index(ns)], messages_of_stamp(s, stamp));
    add(&stats->samples, 1);
    ae_store_relaxed(&stats->last_ns, now);
    ae_stats_store_subscriber(s);
}
