/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/join.h"
#include "ring/claim.h"
#include "ring/claimer.h"
#include "ring/lane.h"
#include "ring/loan.h"
#include "ring/stats.h"
#include "ring/wake.h"
#include "shm/segment.h"

/*
 * A subscriber that takes messages one by one stores its cursor at least every so many messages. Measured: 64 to 4096
 * make no difference.
 */
#define CURSOR_EVERY_MAX 256u

#define COPIES_BYTES 65536u

/* ---- publishers ---- */

static uint64_t has_store16(const ae_geometry *geometry) {
#ifdef AE_STORE16
    return geometry->slot_size % 16 == 0 && __builtin_cpu_supports("avx");
#else
    (void)geometry;
    return 0;
#endif
}

void ae_publisher_init(struct ae_publisher *p, const ae_geometry *geometry, uint32_t record, ae_log *log,
                       const ae_cursors *cursors, const ae_notes *notes, unsigned char *buffer,
                       ae_stats_record *stats) {
    const bool registered = ae_wake_register();
    const uint64_t next = ae_claim_end(log, geometry, ae_load_relaxed(&log->claim.position));

    *p = (struct ae_publisher){
        .hot =
            {
                .next = next,
                .limit = next,
                /* No publisher's, so the first claim fails on the fast path and loads the claim word. */
                .word = ae_claim_word(next, AE_MODE_REVOKING, AE_CLAIM_NOBODY),
                .intent = &log->publishers[record].intent,
                .slots = (unsigned char *)log + geometry->slots_off,
                .mask = geometry->capacity - 1,
                .slot_size = geometry->slot_size,
                .inline_max = ae_inline_max(geometry),
                .max_message = geometry->max_message,
                .store16 = has_store16(geometry),
                .want = &notes->want.want,
                .wake = ae_load_relaxed(&log->wake.wake),
            },
        .log = log,
        .own = &log->publishers[record],
        .cursors = cursors,
        .cursor_pages = 1,
        .geometry = *geometry,
        .record = record,
        .stats = stats,
        .room = next,
        /* No other publisher ends the bias of an exclusive topic, so there membarrier(2) isn't needed. */
        .may_bias = geometry->publishers == AE_PUBLISHERS_EXCLUSIVE ||
                    (geometry->publishers == AE_PUBLISHERS_SHARED && registered),
        .released = next - geometry->capacity,
        .window = geometry->evict_lag != 0 ? geometry->evict_lag : geometry->capacity,
    };
    /*
     * Z5, pairs Z6 (sleep): before the first message. So a subscriber that could miss a message of this publisher knows
     * that its membarrier doesn't reach it.
     */
    if (!registered)
        (void)ae_fetch_or(&log->stream.unfenced, 1ull << record);
    ae_loan_init(p, buffer);
    ae_lane_init(p, record);
    ae_stats_open_publisher(p);
}

void ae_publisher_leave(struct ae_publisher *p) {
    ae_stats_room(p);
    ae_stats_store_publisher(p);
    ae_claim_leave(p);
    /* T1 acq_rel, pairs T2 (stream): a subscriber that sees the bit clear sees all that was committed. */
    (void)ae_fetch_and(&p->log->stream.open, ~(1ull << p->record));
    ae_wake_all(&p->log->wake.wake);
}

/* ---- subscribers ---- */

/* Fills in the record, and makes publishers count it. Returns its cursor. */
static ae_u64 *enter(const struct ae_subscriber *s, uint64_t seq) {
    ae_u64 *cursor = &s->cursors->records[s->record].cursor;

    ae_store_relaxed(cursor, seq);
    /* J3 acq_rel, pairs F3 (scan): the bit comes with the cursor above. */
    (void)ae_fetch_or(&s->cursors->active.active, 1ull << s->record);
    /*
     * J1 fence, pairs J2 (scan): if a publisher's scan doesn't see the bit, what is loaded from here on is at least as
     * new as what that publisher knew: the claim, beyond which it claims at most a ring, and the topic's shape.
     */
    ae_fence_seq_cst();
    return cursor;
}

/* Returns J. From J on no publisher overwrites what this subscriber hasn't released. */
static uint64_t join_reliable(struct ae_subscriber *s, uint64_t position) {
    ae_u64 *cursor = enter(s, ae_claim_end(s->log, &s->geometry, position));
    const uint64_t joined = ae_claim_end(s->log, &s->geometry, position);

    s->hot.cursor = cursor;
    ae_store_cursor(&s->hot, joined);
    return joined;
}

/*
 * T2 acquire, pairs T1 (leave; retire after a death): `open` is loaded last, and before J. So if it is 0, all that was
 * committed lies before J, and belongs to publishers that this subscriber has nothing of but retained messages.
 */
static void note_stream(struct ae_subscriber *s) {
    const ae_stream_block *stream = &s->log->stream;

    s->joins_before = ae_load_acquire(&stream->joins);
    s->died_before = ae_load_acquire(&stream->died);
    s->open_before = ae_load_acquire(&stream->open) != 0;
}

/*
 * Messages that publishers may overwrite are copied, unless the program asked for AETHER_VIEWS_IN_PLACE. A reliable
 * subscriber always copies the messages from before its join, which nothing protects.
 */
size_t ae_subscriber_copies_bytes(const ae_geometry *geometry, const aether_subscribe_options *options) {
    const bool reliable = options->policy == AETHER_RELIABLE;
    const bool always_safe = reliable && geometry->evict_lag == 0;

    if (reliable && options->from != AETHER_FROM_NEW)
        ; /* copies the retained messages */
    else if (always_safe || options->views == AETHER_VIEWS_IN_PLACE)
        return 0;
    return geometry->max_message > COPIES_BYTES ? ((size_t)geometry->max_message + 7) & ~(size_t)7 : COPIES_BYTES;
}

/* Has this lane had a publisher? If not, populating it would allocate it. */
static bool lane_used(const struct ae_subscriber *s, uint64_t lane) {
    return (ae_load_relaxed(&s->log->stream.open) >> lane & 1) != 0 ||
           ae_load_relaxed(&s->log->publishers[lane].lane_floor) != 0;
}

bool ae_subscriber_populate_lane(struct ae_subscriber *s, uint64_t lane) {
    if ((s->lanes_ready >> lane & 1) == 0) {
        if (!lane_used(s, lane))
            return false;
        const uint64_t off = s->geometry.lanes_off + lane * s->geometry.lane_bytes;
        if (ae_segment_populate((void *)(uintptr_t)s->log, off, s->geometry.lane_bytes, false) != 0)
            return false;
        s->lanes_ready |= 1ull << lane;
    }
    return true;
}

static void populate_lanes(struct ae_subscriber *s) {
    if (s->geometry.lane_bytes == 0)
        return;
    for (uint64_t r = 0; r < AE_PUBLISHERS_MAX; r++) {
        if (lane_used(s, r))
            (void)ae_subscriber_populate_lane(s, r); /* if it fails, receiving the lane's first message fails */
    }
}

/* Sets all that follows from the topic's shape, but zero_copy. */
static void set_shape(struct ae_subscriber *s, const ae_geometry *geometry, const ae_log *log, unsigned char *copies,
                      size_t copies_size) {
    const uint64_t every = geometry->capacity / 8 < CURSOR_EVERY_MAX ? geometry->capacity / 8 : CURSOR_EVERY_MAX;

    s->hot.slots = (const unsigned char *)log + geometry->slots_off;
    s->hot.mask = geometry->capacity - 1;
    s->hot.slot_size = geometry->slot_size;
    s->hot.inline_max = ae_inline_max(geometry);
    s->hot.cursor_mask = every - 1;
    s->log = log;
    s->geometry = *geometry;
    s->copies = copies;
    s->copies_size = copies_size;
    populate_lanes(s);
}

/* May messages be read in place by a subscriber that has no retained messages to receive? */
static bool reads_in_place(const struct ae_subscriber *s) {
    return s->cursors != NULL ? s->in_place || s->geometry.evict_lag == 0 : s->in_place && s->policy != AETHER_LATEST;
}

/* Sets all that doesn't follow from the topic's shape, nor from where the subscriber joins. */
static void set_grant(struct ae_subscriber *s, uint32_t record, const ae_log *log, ae_cursors *cursors, ae_notes *notes,
                      const aether_subscribe_options *options, ae_stats_record *stats) {
    *s = (struct ae_subscriber){
        .hot = {.cursor = &stats->position},
        .log = log,
        .cursors = cursors,
        .notes = notes,
        .record = record,
        .policy = options->policy,
        .in_place = options->views == AETHER_VIEWS_IN_PLACE,
        .evict_generation = ae_evict_generation(ae_load_acquire(&log->evict[record])),
        .stats = stats,
    };
}

void ae_subscriber_init(struct ae_subscriber *s, const ae_geometry *geometry, uint32_t record, const ae_log *log,
                        ae_cursors *cursors, ae_notes *notes, const aether_subscribe_options *options,
                        unsigned char *copies, ae_stats_record *stats) {
    const uint64_t position = ae_load_relaxed(&log->claim.position);
    uint64_t joined, back = 0, retained;

    set_grant(s, record, log, cursors, notes, options, stats);
    /* Populates lanes, which takes milliseconds; after the join publishers would have to wait meanwhile. */
    set_shape(s, geometry, log, copies, ae_subscriber_copies_bytes(geometry, options));
    note_stream(s);
    joined = cursors != NULL ? join_reliable(s, position) : ae_claim_end(log, geometry, position);

    retained = joined - geometry->start_seq < geometry->capacity ? joined - geometry->start_seq : geometry->capacity;
    if (options->policy == AETHER_LATEST && options->from != AETHER_FROM_NEW)
        back = retained != 0;
    else if (options->from == AETHER_FROM_OLDEST)
        back = retained;
    else if (options->from == AETHER_FROM_LAST)
        back = options->last < retained ? options->last : retained;
    s->protected_seq = joined;
    s->joined = joined - back;
    s->hot.next = s->joined;
    if (cursors != NULL && back != 0)
        s->hot.cursor = &stats->position; /* the shared cursor stays at the join until all retained is read */
    s->hot.zero_copy = (cursors == NULL || back == 0) && reads_in_place(s);
    ae_stats_open_subscriber(s);
}

/*
 * The only slot of a subscriber that waits; it never holds a message. A poll that began before the shape was taken
 * works with a copy of the handle, and so finds nothing here and asks aether_receive() for each message.
 */
static const ae_u64 no_slot;

bool ae_subscriber_init_waiting(struct ae_subscriber *s, uint64_t start_seq, uint32_t record, const ae_log *log,
                                ae_cursors *cursors, ae_notes *notes, const aether_subscribe_options *options,
                                ae_stats_record *stats, const ae_u64 *shape, int (*attach)(struct ae_subscriber *s)) {
    set_grant(s, record, log, cursors, notes, options, stats);
    s->geometry.start_seq = start_seq;
    s->hot.slots = (const unsigned char *)&no_slot;
    s->hot.next = s->joined = s->protected_seq = start_seq;
    s->hot.cursor_stored = start_seq;
    s->shape = shape;
    s->attach = attach;
    if (cursors != NULL && !ae_subscriber_sees_shape(s))
        s->hot.cursor = enter(s, start_seq);
    /*
     * After J1. If there is no shape, every publisher's scan finds the bit: what aetherd stores before it sends a
     * publisher its grant comes before that publisher's J2.
     */
    if (ae_subscriber_sees_shape(s))
        return false; /* without figures: the other join stores the first ones */
    ae_stats_open_subscriber(s);
    return true;
}

aether_subscribe_options ae_subscriber_options(const struct ae_subscriber *s) {
    return (aether_subscribe_options){
        .policy = s->policy,
        .views = s->in_place ? AETHER_VIEWS_IN_PLACE : AETHER_VIEWS_COPY,
    };
}

void ae_subscriber_take_shape(struct ae_subscriber *s, const ae_geometry *geometry, const ae_log *log,
                              unsigned char *copies) {
    const aether_subscribe_options options = ae_subscriber_options(s);

    set_shape(s, geometry, log, copies, ae_subscriber_copies_bytes(geometry, &options));
    s->hot.zero_copy = reads_in_place(s);
    s->shape = NULL;
    s->attach = NULL;
}

void ae_subscriber_leave(struct ae_subscriber *s) {
    ae_stats_store_subscriber(s);
    /*
     * F4 acq_rel, pairs F3 (scan): this subscriber's last load from the ring happens before a publisher sees the bit
     * clear and overwrites.
     */
    if (s->cursors != NULL && !s->evicted)
        (void)ae_fetch_and(&s->cursors->active.active, ~(1ull << s->record));
}
