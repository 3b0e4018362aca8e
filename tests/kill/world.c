/* SPDX-License-Identifier: Apache-2.0 */
#include "world.h"
#include "base/clock.h"
#include "ring/ring_test.h"
#include "ring/stats.h"
#include "ring/topic.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_BYTES_MAX (AE_LOG_SLOTS_OFF + (64u << 10) + (AE_PUBLISHERS_MAX * 8192u))
#define COPIES_BYTES 65536u
#define LOAN_BUFFER_BYTES (AETHER_LOANS_MAX * 512u)
#define SNAPSHOT_BYTES (512u << 10)

struct world world;

static struct peer peers[PEERS_MAX];
static struct call scratch; /* for calls that aren't stopped */
static unsigned char *copies[SUBSCRIBERS_MAX], *buffers[PUBLISHERS_MAX];

void wrong(const char *format, ...) {
    va_list args;

    va_start(args, format);
    vsnprintf(world.wrong, sizeof world.wrong, format, args);
    va_end(args);
    TRACE("WRONG: %s", world.wrong);
    longjmp(world.escape, 1);
}

void trace_line(const char *format, ...) {
    va_list args;

    va_start(args, format);
    fprintf(stderr, "  | ");
    vfprintf(stderr, format, args);
    fprintf(stderr, "   [claim %#llx]\n", (unsigned long long)ae_load_relaxed(&world.log->claim.claim));
    va_end(args);
}

/* ---- the topic ---- */

static void map_once(void) {
    struct object log, cursors, notes;

    if (world.log != NULL)
        return;
    object_make(&log, LOG_BYTES_MAX);
    object_make(&cursors, AE_CURSORS_BYTES);
    object_make(&notes, AE_NOTES_BYTES);
    world.log = (ae_log *)(void *)log.rw;
    world.log_ro = (const ae_log *)(const void *)log.ro;
    world.cursors = (ae_cursors *)(void *)cursors.rw;
    world.cursors_ro = (const ae_cursors *)(const void *)cursors.ro;
    world.notes = (ae_notes *)(void *)notes.rw;
    world.notes_ro = (const ae_notes *)(const void *)notes.ro;
    for (unsigned i = 0; i < SUBSCRIBERS_MAX; i++)
        check_setup((copies[i] = aligned_alloc(64, COPIES_BYTES)) != NULL, "memory");
    for (unsigned i = 0; i < PUBLISHERS_MAX; i++)
        check_setup((buffers[i] = aligned_alloc(64, LOAN_BUFFER_BYTES)) != NULL, "memory");
}

static void reset_objects(void) {
    const ae_geometry *g = &world.geometry;

    memset(world.log, 0, g->lanes_off + RECORDS * g->lane_bytes);
    memset(world.cursors, 0, g->cursors_bytes);
    memset(world.notes, 0, AE_NOTES_BYTES);
    ae_topic_format(world.log, world.cursors, world.notes, g, 1);
}

void world_make(const aether_topic_config *config) {
    static const uint64_t paces[] = {1, 700, 40000, 300000};

    map_once();
    memset(world.ledger, 0, world.top * sizeof world.ledger[0]);
    world.pace = paces[mix(world.seed) % 4];
    world.clock_ns = 1ull << 40;
    world.tick = world.top = world.aborted = world.died = world.deaths = 0;
    world.publisher_count = world.subscriber_count = world.peer_count = 0;
    ae_store_release(&world.shape, AE_SHAPE_OPEN);
    (void)new_peer(); /* peer 0, which is stepped */
    if (ae_geometry_make(&world.geometry, config) != 0)
        wrong("geometry: %s", aether_errmsg());
    if (world.geometry.log_bytes > LOG_BYTES_MAX || ae_publisher_buffer_bytes(&world.geometry) > LOAN_BUFFER_BYTES)
        wrong("the topic is larger than the harness has room for");
    world.published_end = world.geometry.start_seq;
    reset_objects();
}

static size_t move(void *there, unsigned char *bytes, size_t n, bool save) {
    if (save)
        memcpy(bytes, there, n);
    else
        memcpy(there, bytes, n);
    return n;
}

static size_t move_objects(unsigned char *bytes, bool save) {
    const ae_geometry *g = &world.geometry;
    ae_log *log = world.log;
    size_t at = 0;
    uint32_t lanes = 0;

    at += move(&log->claim, bytes, sizeof log->claim + sizeof log->wake + sizeof log->stream, save);
    at += move(log->evict, bytes + at, SUBSCRIBERS_MAX * sizeof log->evict[0], save);
    at += move(log->publishers, bytes + at, RECORDS * sizeof log->publishers[0], save);
    at += move((unsigned char *)log + g->slots_off, bytes + at, g->capacity * g->slot_size, save);
    if (g->stamps_off != 0)
        at += move((unsigned char *)log + g->stamps_off, bytes + at, g->capacity * sizeof(uint64_t), save);
    at += move(&world.cursors->active, bytes + at, sizeof world.cursors->active, save);
    at += move(&world.notes->want, bytes + at, sizeof world.notes->want, save);
    at += move(world.cursors->records, bytes + at, SUBSCRIBERS_MAX * sizeof world.cursors->records[0], save);
    for (unsigned i = 0; g->lane_bytes != 0 && i < world.publisher_count; i++) {
        const uint32_t record = world.publishers[i].record;
        if ((lanes >> record & 1) == 0)
            at += move((unsigned char *)log + g->lanes_off + record * g->lane_bytes, bytes + at, g->lane_bytes, save);
        lanes |= 1u << record;
    }
    for (unsigned i = 0; i < world.publisher_count; i++)
        at +=
            move((unsigned char *)publisher_stats(&world.publishers[i]) + FIGURES_OFF, bytes + at, FIGURES_BYTES, save);
    for (unsigned i = 0; i < world.subscriber_count; i++)
        at += move((unsigned char *)subscriber_stats(&world.subscribers[i]) + FIGURES_OFF, bytes + at, FIGURES_BYTES,
                   save);
    return at;
}

static size_t move_peer(struct peer *peer, unsigned char *bytes, bool save) {
    struct call *call = &peer->call;
    size_t at = move(&peer->call.loan, bytes, sizeof call->loan, save);

    at += move(&peer->call.held, bytes + at, sizeof call->held, save);

    at += save ? fiber_save(&peer->fiber, bytes + at) : fiber_restore(&peer->fiber, bytes + at);
    if (peer->fiber.done)
        return at;
    if (call->verb == LOAN_COMMIT) /* of a message in a buffer, which is used again if the ring is full */
        at += move(call->iov[0].iov_base, bytes + at, call->lens[0], save);
    /* It may be stopped in the middle of a copy. */
    if (call->verb == RECEIVE || call->verb == RECEIVE_BATCH) {
        at += move(copies[call->subscriber->record], bytes + at, call->count * (world.geometry.max_message + 8), save);
        at += move(call->messages, bytes + at, call->count * sizeof call->messages[0], save);
    }
    return at;
}

static size_t move_all(unsigned char *bytes, bool save) {
    const uint64_t top = world.top;
    size_t at = 0;

    /* Counts first: what follows depends on them. */
    at += move(&world.tick, bytes + at, (size_t)((unsigned char *)world.ledger - (unsigned char *)&world.tick), save);
    at += move(world.ledger, bytes + at, world.top * sizeof world.ledger[0], save);
    if (!save && top > world.top)
        memset(&world.ledger[world.top], 0, (top - world.top) * sizeof world.ledger[0]);
    at += move(world.publishers, bytes + at, world.publisher_count * sizeof world.publishers[0], save);
    at += move(world.subscribers, bytes + at, world.subscriber_count * sizeof world.subscribers[0], save);
    for (unsigned i = 0; i < world.peer_count; i++)
        at += move_peer(world.peers[i], bytes + at, save);
    return at;
}

void world_save(struct snapshot *snapshot) {
    size_t objects, all;

    if (snapshot->data == NULL)
        check_setup((snapshot->data = malloc(SNAPSHOT_BYTES)) != NULL, "memory");
    all = move_all(snapshot->data, true);
    objects = move_objects(snapshot->data + all, true);
    snapshot->bytes = objects;
    snapshot->objects = snapshot->data + all;
    if (all + objects > SNAPSHOT_BYTES)
        abort();
}

void world_restore(const struct snapshot *snapshot) {
    (void)move_all(snapshot->data, false);
    (void)move_objects(snapshot->objects, false);
}

bool world_same_objects(const struct snapshot *a, const struct snapshot *b) {
    return a->bytes == b->bytes && memcmp(a->objects, b->objects, a->bytes) == 0;
}

uint64_t claim_end(void) {
    return ae_claim_reach(world.log, ae_load_relaxed(&world.log->claim.position));
}

uint64_t tag_of(uint64_t seq) {
    return ae_load_acquire(ae_slot_tag(world.log, &world.geometry, seq));
}

struct entry *entry_of(uint64_t seq) {
    const uint64_t i = seq - world.geometry.start_seq;

    if (i >= LEDGER_MAX)
        wrong("sequence start %+lld is no sequence of this world", (long long)i);
    if (world.top <= i)
        world.top = i + 1;
    return &world.ledger[i];
}

uint64_t first_unfinished(uint64_t end, uint32_t but) {
    uint64_t first = end;

    for (uint32_t r = 0; r < RECORDS; r++) {
        const uint64_t intent = ae_load_acquire(&world.log->publishers[r].intent);
        const uint64_t begin = ae_seq_extend(intent >> AE_CLAIM_SEQ_SHIFT, end);
        if (r == but || (ae_load_acquire(&world.log->stream.open) >> r & 1) == 0)
            continue;
        for (uint64_t seq = begin; seq != begin + (intent & AE_INTENT_COUNT_MAX); seq++) {
            if ((int64_t)(first - seq) > 0 && ae_tag_pending(tag_of(seq), seq))
                first = seq;
        }
    }
    return first;
}

/* ---- payloads: a word of publisher, serial and length, and words that follow from it ---- */

static uint64_t head_word(unsigned publisher, uint64_t serial, size_t len) {
    return mix(world.seed) << 32 | (uint64_t)publisher << 28 | (serial & 0xfff) << 16 | len;
}

/* ---- the ledger ---- */

static long long at(uint64_t seq) {
    return (long long)(seq - world.geometry.start_seq);
}

static void enter(struct publisher *publisher, uint64_t seq, uint64_t serial, size_t len) {
    struct entry *entry = entry_of(seq);

    if (entry->kind != UNKNOWN)
        wrong("sequence start %+lld is used twice: by publisher %u, and %s", at(seq),
              (unsigned)(publisher - world.publishers), entry->kind == ABORTED ? "aborted" : "by another message");
    if (publisher->has_published && (int64_t)(seq - publisher->last_seq) <= 0)
        wrong("publisher %u: a later message has sequence start %+lld, an earlier one start %+lld",
              (unsigned)(publisher - world.publishers), at(seq), at(publisher->last_seq));
    *entry = (struct entry){
        .kind = PUBLISHED,
        .publisher = (uint8_t)(publisher - world.publishers),
        .serial = (uint16_t)serial,
        .len = (uint32_t)len,
        .began_ns = publisher->began_ns,
        .ended_ns = UINT64_MAX,
    };
    /* A subscriber that had joined before this publish began gets the message. */
    for (unsigned i = 0; i < world.subscriber_count; i++) {
        const struct subscriber *subscriber = &world.subscribers[i];
        if (subscriber->life == ALIVE && subscriber->since != 0 && subscriber->since < publisher->began &&
            (int64_t)(seq - subscriber->sub.protected_seq) < 0)
            wrong("sequence start %+lld was published after subscriber %u had joined, which begins at start %+lld",
                  at(seq), i, at(subscriber->sub.protected_seq));
    }
}

void note_aborted(uint64_t seq) {
    struct entry *entry = entry_of(seq);

    if (entry->kind == PUBLISHED)
        wrong("sequence start %+lld is aborted, but was published by publisher %u", at(seq), entry->publisher);
    if (entry->kind == UNKNOWN) {
        TRACE("start %+lld is aborted", at(seq));
        entry->kind = ABORTED;
        world.aborted++;
    }
}

void note_message(uint64_t seq, const unsigned char *data, size_t len) {
    struct entry *entry = entry_of(seq);
    uint64_t head;
    unsigned who;

    if (len < LEN_MIN || len > world.geometry.max_message)
        wrong("sequence start %+lld has %zu bytes", at(seq), len);
    memcpy(&head, data, sizeof head);
    who = (unsigned)(head >> 28 & 0xf);
    if ((head & 0xffff) != len || head >> 32 != (mix(world.seed) & UINT32_MAX) || who >= world.publisher_count ||
        !right_after_word(data, head, len))
        wrong("sequence start %+lld is torn: %zu bytes, first word %#llx", at(seq), len, (unsigned long long)head);
    if (entry->kind ==
        UNKNOWN) { /* the call that published it hasn't returned yet, or its publisher was killed in it */
        struct publisher *publisher = &world.publishers[who];
        const uint64_t i = ((head >> 16) - publisher->serial) & 0xfff;
        if (i >= publisher->inflight || (publisher->seen != 0 && publisher->first != seq - i))
            wrong("sequence start %+lld holds message %llu of publisher %u, which is at %llu", at(seq),
                  (unsigned long long)(head >> 16 & 0xfff), who, (unsigned long long)publisher->serial);
        enter(publisher, seq, publisher->serial + i, len);
        publisher->seen |= 1ull << i;
        publisher->first = seq - i;
        return;
    }
    if (entry->kind == ABORTED || entry->publisher != who || entry->serial != (head >> 16 & 0xfff) || entry->len != len)
        wrong("sequence start %+lld holds message %llu of publisher %u, and %s before", at(seq),
              (unsigned long long)(head >> 16 & 0xfff), who, entry->kind == ABORTED ? "was aborted" : "another");
}

/* ---- calls ---- */

bool has_lanes(void) {
    return world.geometry.lane_bytes != 0;
}

size_t small_len(void) {
    const uint64_t most = ae_inline_max(&world.geometry);

    return one_in(2) ? LEN_MIN : one_in(3) ? most : LEN_MIN + any_of(most - LEN_MIN + 1);
}

size_t large_len(void) {
    const uint64_t least = ae_inline_max(&world.geometry) + 1;

    return one_in(4) ? world.geometry.max_message : least + any_of((world.geometry.max_message - least) / 2 + 1);
}

void any_lens(size_t *lens, size_t count, bool large) {
    uint64_t room = world.geometry.lane_bytes;

    for (size_t i = 0; i < count; i++) {
        lens[i] = large && (i == 0 || one_in(2)) ? large_len() : small_len();
        if (lens[i] <= ae_inline_max(&world.geometry))
            continue;
        if (lens[i] + AE_LANE_UNIT > room)
            lens[i] = small_len();
        else
            room -= lens[i] + AE_LANE_UNIT;
    }
}

void call_messages(struct call *call, enum verb verb, struct publisher *publisher, size_t count, const size_t *lens) {
    call->verb = verb;
    call->publisher = publisher;
    call->subscriber = NULL;
    call->count = call->pieces = count;
    for (size_t i = 0; i < count; i++) {
        call->lens[i] = lens[i];
        fill_after_word(call->data[i],
                        head_word((unsigned)(publisher - world.publishers), publisher->serial + i, lens[i]), lens[i]);
        call->iov[i] = (struct iovec){.iov_base = call->data[i], .iov_len = lens[i]};
    }
}

void call_pieces(struct call *call) {
    const size_t len = call->lens[0];
    size_t off = 0;

    call->verb = GATHER;
    call->pieces = 1 + any_of(3);
    for (size_t i = 0; i < call->pieces; i++) {
        const size_t rest = len - off, piece = i + 1 == call->pieces ? rest : any_of(rest + 1);
        call->iov[i] = (struct iovec){.iov_base = call->data[0] + off, .iov_len = piece};
        off += piece;
    }
}

static bool publishes(const struct call *call) {
    return call->verb == PUBLISH || call->verb == BURST || call->verb == BATCH || call->verb == GATHER ||
           call->verb == LOAN_COMMIT;
}

void call_begin(struct call *call) {
    world.tick++;
    if (publishes(call)) {
        call->publisher->inflight = call->count;
        call->publisher->seen = 0;
        call->publisher->began = world.tick;
        call->publisher->began_ns = ae_now_ns();
    }
    if (call->verb == RECEIVE || call->verb == RECEIVE_BATCH)
        call->subscriber->inflight = call->count;
    if (call->verb == JOIN_SUBSCRIBER) {
        call->subscriber->least_start = world.published_end;
        call->subscriber->died[0] = ae_load_acquire(&world.log->stream.died);
        call->subscriber->least_cursor =
            ae_claim_end(world.log, &world.geometry, ae_load_relaxed(&world.log->claim.position));
    }
    if (is_daemons(call))
        begin_daemons(call);
}

static void publish(struct call *call) {
    aether_publisher *handle = &call->publisher->pub.hot;
    const void *data = call->iov[0].iov_base;

    /* A length that is a constant compiles to other code. */
    switch (call->iov[0].iov_len) {
    case 8:
        call->rc = aether_publish(handle, data, 8);
        break;
    case 24:
        call->rc = aether_publish(handle, data, 24);
        break;
    default:
        call->rc = aether_publish(handle, data, call->iov[0].iov_len);
    }
}

static inline void __attribute__((always_inline)) burst_of(struct call *call, size_t len) {
    aether_burst burst = aether_burst_begin(&call->publisher->pub.hot, len);

    call->rc = aether_burst_publish(&burst, call->iov[0].iov_base);
}

/* Also with constant lengths, as publish(). */
static void publish_in_burst(struct call *call) {
    switch (call->iov[0].iov_len) {
    case 8:
        burst_of(call, 8);
        break;
    case 16:
        burst_of(call, 16);
        break;
    case 24:
        burst_of(call, 24);
        break;
    default:
        burst_of(call, call->iov[0].iov_len);
    }
}

/* A subscriber's `attach`: the ring is mapped and populated already. */
static int take_shape(struct ae_subscriber *s) {
    if (!ae_subscriber_ready(s))
        return 0;
    ae_subscriber_take_shape(s, &world.geometry, world.log_ro, copies[s->record]);
    return 1;
}

/* Begins as a subscriber that waits for the topic's shape. False: the topic has one. */
static bool join_waiting(struct subscriber *subscriber, ae_cursors *cursors) {
    const bool waits = ae_subscriber_init_waiting(&subscriber->sub, world.geometry.start_seq, subscriber->record,
                                                  world.log_ro, cursors, world.notes, &subscriber->options,
                                                  subscriber_stats(subscriber), &world.shape, take_shape);

    if (world.broken == BROKEN_NO_ENTRY && cursors != NULL)
        (void)ae_fetch_and(&cursors->active.active, ~(1ull << subscriber->record));
    if (waits || world.broken != BROKEN_NO_SECOND_CHECK)
        return waits;
    ae_stats_open_subscriber(&subscriber->sub);
    return true;
}

static void join(struct subscriber *subscriber) {
    ae_cursors *cursors = subscriber->options.policy == AETHER_RELIABLE ? world.cursors : NULL;

    if (!subscriber->waits || !join_waiting(subscriber, cursors))
        ae_subscriber_init(&subscriber->sub, &world.geometry, subscriber->record, world.log_ro, cursors, world.notes,
                           &subscriber->options, copies[subscriber->record], subscriber_stats(subscriber));
}

void perform(void *arg) {
    struct call *call = arg;
    struct publisher *publisher = call->publisher;
    struct subscriber *subscriber = call->subscriber;

    switch (call->verb) {
    case PUBLISH:
        publish(call);
        break;
    case BURST:
        publish_in_burst(call);
        break;
    case BATCH:
        call->rc = aether_publish_batch(&publisher->pub.hot, call->iov, call->count);
        break;
    case GATHER:
        call->rc = aether_publish_gather(&publisher->pub.hot, call->iov, call->pieces);
        break;
    case LOAN_TAKE:
        call->rc = aether_loan_take(&publisher->pub.hot, call->lens[0], &call->loan);
        break;
    case LOAN_COMMIT:
        call->rc = aether_loan_commit(&publisher->pub.hot, &call->loan);
        break;
    case LOAN_DISCARD:
        call->rc = aether_loan_discard(&publisher->pub.hot, &call->loan);
        break;
    case JOIN_PUBLISHER:
        ae_publisher_init(&publisher->pub, &world.geometry, publisher->record, world.log, world.cursors_ro,
                          world.notes_ro, buffers[publisher - world.publishers], publisher_stats(publisher));
        publisher->pub.sampling.random = mix(world.seed) | 1; /* it depended on an address */
        break;
    case LEAVE_PUBLISHER:
        ae_publisher_leave(&publisher->pub);
        break;
    case REFRESH:
        ae_publisher_scan(&publisher->pub, ae_claim_seq(&publisher->pub), call->evict_below, AE_EVICT_LAG);
        break;
    case RECEIVE:
        call->rc = aether_receive(&subscriber->sub.hot, &call->messages[0]);
        break;
    case RECEIVE_BATCH:
        call->rc = aether_receive_batch(&subscriber->sub.hot, call->messages, (int)call->count);
        break;
    case JOIN_SUBSCRIBER:
        join(subscriber);
        break;
    case LEAVE_SUBSCRIBER:
        ae_subscriber_leave(&subscriber->sub);
        break;
    case HOLD:
        call->rc = aether_hold(&subscriber->sub.hot, &call->messages[0], &call->held);
        if (call->rc == 0 && world.broken == BROKEN_NO_HOLD)
            ae_store_release(&world.cursors->records[subscriber->record].cursor, subscriber->sub.hot.next);
        break;
    case RELEASE:
        aether_release(&subscriber->sub.hot, &call->held);
        break;
    case SLEEP:
        (void)ae_subscriber_sleep(&subscriber->sub, 1000);
        break;
    case ADMIT_PUBLISHER:
    case RETIRE_PUBLISHER:
    case ADMIT_SUBSCRIBER:
    case RETIRE_SUBSCRIBER:
        perform_daemons(call);
        break;
    }
}

static void published(struct call *call) {
    struct publisher *publisher = call->publisher;
    const uint64_t first = publisher->pub.hot.next - call->count;

    for (uint64_t i = 0; i < call->count; i++) {
        if ((publisher->seen >> i & 1) == 0)
            enter(publisher, first + i, publisher->serial + i, call->lens[i]);
        entry_of(first + i)->ended_ns = ae_now_ns();
        publisher->bytes += call->lens[i];
    }
    if (publisher->seen != 0 && publisher->first != first)
        wrong("publisher %u finds its message at start %+lld, but subscribers found it at start %+lld",
              (unsigned)(publisher - world.publishers), at(first), at(publisher->first));
    publisher->serial += call->count;
    publisher->has_published = true;
    publisher->last_seq = first + call->count - 1;
    if ((int64_t)(first + call->count - world.published_end) > 0)
        world.published_end = first + call->count;
}

static void joined(struct subscriber *subscriber) {
    subscriber->since = world.tick;
    subscriber->start = subscriber->expected = subscriber->sub.joined;
    if ((int64_t)(subscriber->sub.protected_seq - subscriber->least_start) < 0)
        wrong("subscriber %u joined at start %+lld, but all below start %+lld had been published before",
              subscriber->record, at(subscriber->sub.protected_seq), at(subscriber->least_start));
}

static void take_entry(struct subscriber *subscriber, const aether_message *message);

/*
 * A publisher evicts a subscriber if that is more than the window behind the end of what it wants to claim, which is
 * half a ring at the most; or if it holds the publisher's lane.
 */
static void note_evicted(struct subscriber *subscriber) {
    const ae_geometry *g = &world.geometry;
    const int64_t least = has_lanes() ? 0 : (int64_t)(g->evict_lag - g->capacity / 2);

    TRACE("subscriber %u finds that it was evicted", subscriber->record);
    subscriber->evicted = true;
    if ((int64_t)(claim_end() - subscriber->least_cursor) <= least)
        wrong("subscriber %u is evicted, and only %lld sequences were claimed since it began to join",
              subscriber->record, (long long)(claim_end() - subscriber->least_cursor));
}

/* The loan is still open. */
static void keep_loan(const struct call *call) {
    struct publisher *publisher = call->publisher;

    if (publisher->loan_count == LOANS_MAX)
        wrong("too many loans for this world");
    publisher->loans[publisher->loan_count++] = call->loan;
}

static void held(const struct call *call) {
    struct subscriber *subscriber = call->subscriber;

    if (call->rc == 0)
        subscriber->held[subscriber->held_count++] = call->held;
    else if (world.geometry.evict_lag == 0) /* else a publisher may have overwritten it */
        wrong("subscriber %u can't hold start %+lld: %s", subscriber->record, at(call->messages[0].seq),
              aether_errmsg());
}

static void received(const struct call *call) {
    struct subscriber *subscriber = call->subscriber;

    subscriber->inflight = 0;
    for (int i = 0; i < call->rc; i++)
        take_entry(subscriber, &call->messages[i]);
    check_stamps(subscriber);
    if (call->rc == -EOVERFLOW && world.geometry.evict_lag != 0)
        note_evicted(subscriber);
    else if (call->rc < 0)
        wrong("subscriber %u: error %d, %s", subscriber->record, call->rc, aether_errmsg());
}

void call_end(struct call *call) {
    struct publisher *publisher = call->publisher;

    world.tick++;
    switch (call->verb) {
    case PUBLISH:
    case BURST:
    case BATCH:
    case GATHER:
    case LOAN_COMMIT:
        if (call->rc < 0 && call->rc != -ENOBUFS)
            wrong("publisher %u: error %d, %s", (unsigned)(publisher - world.publishers), call->rc, aether_errmsg());
        if (call->rc == 0)
            published(call);
        else if (publisher->seen != 0)
            wrong("publisher %u got %d from publish, but subscribers got its message",
                  (unsigned)(publisher - world.publishers), call->rc);
        publisher->inflight = publisher->seen = 0;
        if (call->verb == LOAN_COMMIT && call->rc != 0)
            keep_loan(call);
        break;
    case LOAN_TAKE:
        if (call->rc == 0)
            keep_loan(call);
        break;
    case LEAVE_PUBLISHER:
        publisher->life = CLOSED;
        publisher->left = true;
        break;
    case JOIN_SUBSCRIBER:
        /* No publisher was there when a subscriber that still waits had joined, so all deaths come after that. */
        call->subscriber->died[1] =
            ae_subscriber_waits(&call->subscriber->sub) ? 0 : ae_load_acquire(&world.log->stream.died);
        joined(call->subscriber);
        break;
    case LEAVE_SUBSCRIBER:
        call->subscriber->life = CLOSED;
        break;
    case HOLD:
        held(call);
        break;
    case RELEASE:
        if (call->held.place != 0)
            wrong("subscriber %u has released a message, and still holds it", call->subscriber->record);
        break;
    case RECEIVE:
    case RECEIVE_BATCH:
        received(call);
        break;
    case ADMIT_PUBLISHER:
    case RETIRE_PUBLISHER:
    case ADMIT_SUBSCRIBER:
    case RETIRE_SUBSCRIBER:
        end_daemons(call);
        break;
    case JOIN_PUBLISHER:
        publisher->opened = true;
        break;
    case LOAN_DISCARD:
    case REFRESH:
    case SLEEP:
        break;
    }
}

/* ---- whole calls of publishers ---- */

static void make_call(struct call *call) {
    call_begin(call);
    perform(call);
    call_end(call);
}

void join_publisher_now(struct publisher *publisher) {
    scratch.verb = JOIN_PUBLISHER;
    scratch.publisher = publisher;
    make_call(&scratch);
}

struct publisher *open_publisher_at(uint32_t record) {
    struct publisher *publisher = admit_publisher(record);

    join_publisher_now(publisher);
    TRACE("publisher %u opens, record %u", (unsigned)(publisher - world.publishers), record);
    return publisher;
}

struct publisher *open_publisher(void) {
    return open_publisher_at(free_record());
}

void leave_now(struct publisher *publisher) {
    scratch.verb = LEAVE_PUBLISHER;
    scratch.publisher = publisher;
    make_call(&scratch);
    TRACE("publisher %u closes", (unsigned)(publisher - world.publishers));
}

void close_publisher(struct publisher *publisher) {
    leave_now(publisher);
    retire_publisher(publisher);
}

/*
 * Is there room for count more messages? A second implementation of the rule of back pressure. strict: counts only
 * subscribers that certainly hold the publisher back, and not those that haven't joined yet or are dead.
 */
static bool has_room(const struct publisher *publisher, size_t count, bool strict) {
    const uint64_t end = claim_end(), capacity = world.geometry.capacity;
    const uint64_t active = ae_load_acquire(&world.cursors->active.active);
    uint64_t used = end - first_unfinished(end, publisher->record);

    for (unsigned i = 0; i < world.subscriber_count && world.geometry.evict_lag == 0; i++) {
        const struct subscriber *subscriber = &world.subscribers[i];
        const uint64_t lag = end - ae_load_acquire(&world.cursors->records[i].cursor);
        if ((active >> i & 1) == 0 || (int64_t)lag <= 0 ||
            (strict && (subscriber->since == 0 || (subscriber->life != ALIVE && subscriber->life != STOPPED))))
            continue;
        if (lag > used)
            used = lag;
    }
    return used + count <= capacity;
}

/* Commits a loan that is open already, or a new one. */
static int loan_and_commit(struct publisher *publisher, size_t len) {
    int rc = 0;

    if (publisher->loan_count != 0 && one_in(2)) {
        const unsigned i = (unsigned)any_of(publisher->loan_count);
        scratch.loan = publisher->loans[i];
        publisher->loans[i] = publisher->loans[--publisher->loan_count];
        len = scratch.loan.len;
        call_messages(&scratch, LOAN_COMMIT, publisher, 1, &len);
    } else if ((rc = aether_loan_take(&publisher->pub.hot, len, &scratch.loan)) != 0) {
        if (rc < 0 && rc != -ENOBUFS)
            wrong("loan: error %d, %s", rc, aether_errmsg());
        return rc;
    }
    memcpy(scratch.loan.data, scratch.data[0], len);
    make_call(&scratch);
    if (scratch.rc == 0)
        return 0;
    publisher->loan_count--; /* where call_end() has put it */
    if (aether_loan_discard(&publisher->pub.hot, &scratch.loan) != 0)
        wrong("a loan can't be discarded: %s", aether_errmsg());
    return scratch.rc;
}

int publish_now(struct publisher *publisher, size_t count, bool large) {
    static const enum verb verbs[] = {PUBLISH, BURST, GATHER, LOAN_COMMIT};
    const enum verb verb = count == 1 ? verbs[any_of(4)] : BATCH;
    const bool sure = has_room(publisher, count, false), possible = has_room(publisher, count, true);
    size_t lens[BATCH_MAX] = {0};
    int rc;

    any_lens(lens, count, large);
    call_messages(&scratch, verb, publisher, count, lens);
    if (verb == GATHER)
        call_pieces(&scratch);
    if (verb == LOAN_COMMIT) {
        rc = loan_and_commit(publisher, lens[0]);
    } else {
        make_call(&scratch);
        rc = scratch.rc;
    }
    TRACE("publisher %u: verb %u, %zu messages, first of %zu bytes: %d, next start %+lld",
          (unsigned)(publisher - world.publishers), verb, count, lens[0], rc, at(publisher->pub.hot.next));
    if (rc == -ENOBUFS && (publisher->loan_count == 0 || !large))
        wrong("publisher %u: no loan is open, but %s", (unsigned)(publisher - world.publishers), aether_errmsg());
    if (rc == AETHER_FULL && sure && !large)
        wrong("publisher %u found no room for %zu messages, but nothing holds it back",
              (unsigned)(publisher - world.publishers), count);
    if (rc == 0 && !possible)
        wrong("publisher %u published %zu messages where there was no room", (unsigned)(publisher - world.publishers),
              count);
    return rc;
}

/* ---- whole calls of subscribers ---- */

void join_subscriber_now(struct subscriber *subscriber) {
    scratch.verb = JOIN_SUBSCRIBER;
    scratch.subscriber = subscriber;
    make_call(&scratch);
}

struct subscriber *granted_subscriber(void) {
    for (unsigned i = 0; i < world.subscriber_count; i++) {
        if (world.subscribers[i].waits && world.subscribers[i].life == GRANTED)
            return &world.subscribers[i];
    }
    return NULL;
}

struct subscriber *open_subscriber(aether_policy policy, aether_from from) {
    const aether_subscribe_options options = {
        .policy = policy,
        .from = from,
        .last = from == AETHER_FROM_LAST ? any_of(world.geometry.capacity + 2) : 0,
    };
    struct subscriber *subscriber = admit_subscriber(&options);

    join_subscriber_now(subscriber);
    TRACE("subscriber %u joins, policy %u, from start %+lld, protected from %+lld", subscriber->record, policy,
          at(subscriber->start), at(subscriber->sub.protected_seq));
    return subscriber;
}

void close_subscriber(struct subscriber *subscriber) {
    scratch.verb = LEAVE_SUBSCRIBER;
    scratch.subscriber = subscriber;
    make_call(&scratch);
    TRACE("subscriber %u closes", subscriber->record);
    retire_subscriber(subscriber);
}

/* Sequences that it has passed over without a gap must be aborted. */
static void pass_over(struct subscriber *subscriber, uint64_t seq) {
    if ((int64_t)(seq - subscriber->expected) < 0)
        wrong("subscriber %u is at start %+lld, and was at %+lld", subscriber->record, at(seq),
              at(subscriber->expected));
    for (; subscriber->expected != seq; subscriber->expected++) {
        if (subscriber->options.policy != AETHER_LATEST)
            note_aborted(subscriber->expected);
    }
}

static bool may_lose(const struct subscriber *subscriber, uint64_t end) {
    return subscriber->options.policy != AETHER_RELIABLE || subscriber->evicted ||
           (int64_t)(end - subscriber->sub.protected_seq) <= 0;
}

static void take_entry(struct subscriber *subscriber, const aether_message *message) {
    pass_over(subscriber, message->seq);
    if (message->lost != 0) {
        if (!may_lose(subscriber, message->seq + message->lost))
            wrong("reliable subscriber %u lost %llu from start %+lld on", subscriber->record,
                  (unsigned long long)message->lost, at(message->seq));
        subscriber->lost += message->lost;
        subscriber->expected += message->lost;
        return;
    }
    TRACE("subscriber %u receives start %+lld, %zu bytes", subscriber->record, at(message->seq), message->len);
    if (aether_still_valid(&subscriber->sub.hot, message) != 0) /* a view in place may be overwritten by now */
        note_message(message->seq, message->data, message->len);
    else if (!subscriber->sub.in_place || world.geometry.evict_lag == 0)
        wrong("subscriber %u got start %+lld, which was overwritten", subscriber->record, at(message->seq));
    subscriber->delivered++;
    subscriber->expected++;
}

uint64_t receive_up_to(struct subscriber *subscriber, uint64_t max) {
    aether_message messages[4];
    uint64_t count = 0;

    while (count < max) {
        const uint64_t rest = max - count;
        const int rc = one_in(4) ? aether_receive_batch(&subscriber->sub.hot, messages, rest < 4 ? (int)rest : 4)
                                 : aether_receive(&subscriber->sub.hot, messages);
        if (rc == -EOVERFLOW && world.geometry.evict_lag != 0 && !subscriber->evicted) {
            note_evicted(subscriber);
            continue;
        }
        if (rc < 0)
            wrong("subscriber %u: error %d, %s", subscriber->record, rc, aether_errmsg());
        if (rc == 0)
            break;
        for (int i = 0; i < rc; i++)
            take_entry(subscriber, &messages[i]);
        check_stamps(subscriber);
        count += (uint64_t)rc;
    }
    if (count < max)
        pass_over(subscriber, subscriber->sub.hot.next);
    return count;
}

void all_receive(uint64_t max) {
    for (unsigned i = 0; i < world.subscriber_count; i++) {
        if (world.subscribers[i].life == ALIVE)
            (void)receive_up_to(&world.subscribers[i], max);
    }
}

/* ---- messages that are held ---- */

bool call_hold(struct call *call, struct subscriber *subscriber) {
    aether_message message;
    int rc;

    if (subscriber->held_count == HELD_MAX || (rc = aether_receive(&subscriber->sub.hot, &message)) == 0)
        return false;
    if (rc == -EOVERFLOW && world.geometry.evict_lag != 0 && !subscriber->evicted) {
        note_evicted(subscriber);
        return false;
    }
    if (rc < 0)
        wrong("subscriber %u: error %d, %s", subscriber->record, rc, aether_errmsg());
    take_entry(subscriber, &message);
    check_stamps(subscriber);
    if (message.lost != 0 || !subscriber->sub.hot.zero_copy)
        return false;
    call->verb = HOLD;
    call->subscriber = subscriber;
    call->messages[0] = message;
    return true;
}

bool call_release(struct call *call, struct subscriber *subscriber) {
    if (subscriber->held_count == 0)
        return false;
    const unsigned i = (unsigned)any_of(subscriber->held_count);
    call->verb = RELEASE;
    call->subscriber = subscriber;
    call->held = subscriber->held[i];
    subscriber->held[i] = subscriber->held[--subscriber->held_count];
    return true;
}

void hold_some(struct subscriber *subscriber, uint64_t n) {
    while (n-- > 0 && call_hold(&scratch, subscriber))
        make_call(&scratch);
}

void release_all(void) {
    for (unsigned i = 0; i < world.subscriber_count; i++) {
        while (world.subscribers[i].life == ALIVE && call_release(&scratch, &world.subscribers[i]))
            make_call(&scratch);
    }
}

void check_held(void) {
    for (unsigned i = 0; i < world.subscriber_count; i++) {
        const struct subscriber *subscriber = &world.subscribers[i];
        for (unsigned h = 0; h < subscriber->held_count; h++) {
            const aether_message *message = &subscriber->held[h].message;
            if ((subscriber->life == ALIVE || subscriber->life == STOPPED) &&
                (world.geometry.evict_lag == 0 || aether_still_valid(&subscriber->sub.hot, message) != 0))
                note_message(message->seq, message->data, message->len);
        }
    }
}

/* ---- others on fibers ---- */

struct peer *new_peer(void) {
    struct peer *peer = &peers[world.peer_count];

    if (world.peer_count == PEERS_MAX)
        wrong("too many fibers for this world");
    world.peers[world.peer_count++] = peer;
    peer->call.publisher = NULL;
    peer->call.subscriber = NULL;
    peer->fiber.done = true; /* nothing to save yet */
    return peer;
}

void set_life(const struct peer *peer, enum life life) {
    if (is_daemons(&peer->call)) {
        if (peer->call.verb == RETIRE_PUBLISHER)
            peer->call.publisher->retiring = true;
        return;
    }
    if (peer->call.publisher != NULL)
        peer->call.publisher->life = life;
    if (peer->call.subscriber != NULL)
        peer->call.subscriber->life = life;
}

static bool stop_after(struct peer *peer, uint64_t steps) {
    fiber_start(&peer->fiber, perform, &peer->call);
    if (fiber_step(&peer->fiber, steps)) {
        set_life(peer, STOPPED);
        return true;
    }
    call_end(&peer->call);
    return false;
}

static bool anywhere(const struct peer *peer) {
    (void)peer;
    return true;
}

bool stop_where(struct peer *peer, bool (*here)(const struct peer *peer)) {
    static struct snapshot before;
    const uint64_t choice = any_of(3); /* the first place, the last, or any */
    uint64_t places = 0, chosen = 0;

    /* Makes the whole call to count such places, undoes it, and makes it again up to the chosen place. */
    peer->fiber.done = true;
    world_save(&before);
    fiber_start(&peer->fiber, perform, &peer->call);
    while (fiber_step(&peer->fiber, 1)) {
        if (here(peer) && (places++ == 0 || choice == 1 || (choice == 2 && any_of(places) == 0)))
            chosen = peer->fiber.steps;
    }
    world_restore(&before);
    if (places == 0)
        return false;
    call_begin(&peer->call);
    return stop_after(peer, chosen);
}

bool stop_anywhere(struct peer *peer) {
    return stop_where(peer, anywhere);
}

bool peer_stopped(const struct peer *peer) {
    return !peer->fiber.done;
}

void stop_before(struct peer *peer, bool (*there)(const struct peer *peer)) {
    static struct snapshot before;
    uint64_t steps = 0;

    if (peer->fiber.done)
        return;
    world_save(&before);
    while (fiber_step(&peer->fiber, 1) && !there(peer))
        steps++;
    world_restore(&before);
    (void)fiber_step(&peer->fiber, steps);
}

void peer_dies(struct peer *peer) {
    TRACE("a stopped peer is killed, verb %u", peer->call.verb);
    set_life(peer, DEAD);
    if (is_daemons(&peer->call))
        daemon_dies(&peer->call);
    else if (peer->call.publisher != NULL) /* killed in ae_publisher_leave() it may have left */
        peer->call.publisher->left =
            (ae_load_acquire(&world.log->stream.open) >> peer->call.publisher->record & 1) == 0;
    peer->fiber.done = true;
}

void peer_goes_on(struct peer *peer) {
    set_life(peer, ALIVE);
    fiber_finish(&peer->fiber);
    TRACE("a stopped peer goes on, verb %u: %d", peer->call.verb, peer->call.rc);
    call_end(&peer->call);
}
