/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aetherd's steps on a topic's words: what each of them changes and that it changes nothing else; what is left when
 * aetherd is killed before any of its stores, and that its successor finishes it; and words that a hostile publisher or
 * subscriber has written.
 */
#include "ring/ring_test.h"
#include "ring/wake.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* ---- aetherd may be killed before any store of the code under test ---- */

static jmp_buf killed;
static bool mortal;
static unsigned lives; /* stores until it is killed */

static void before_store(void) {
    if (mortal && lives-- == 0) {
        mortal = false;
        longjmp(killed, 1);
    }
}

/* The code under test is compiled into this file, with accessors that call before_store(). */
#define ae_store_relaxed(p, v) (before_store(), ae_store_relaxed(p, v))
#define ae_store_release(p, v) (before_store(), ae_store_release(p, v))
#define ae_fetch_or(p, v) (before_store(), ae_fetch_or(p, v))
#define ae_fetch_and(p, v) (before_store(), ae_fetch_and(p, v))
#define ae_fetch_add(p, v) (before_store(), ae_fetch_add(p, v))
#define ae_exchange(p, v) (before_store(), ae_exchange(p, v))
#define ae_cas(p, expected, desired) (before_store(), ae_cas(p, expected, desired))
#define ae_wake_all(p) (before_store(), ae_wake_all(p))
#include "ring/claim.c" /* NOLINT(bugprone-suspicious-include) */
#include "ring/topic.c" /* NOLINT(bugprone-suspicious-include) */
#undef ae_store_relaxed
#undef ae_store_release
#undef ae_fetch_or
#undef ae_fetch_and
#undef ae_fetch_add
#undef ae_exchange
#undef ae_cas
#undef ae_wake_all

#define CAPACITY 8u
#define RECORD 5u /* of the publisher or subscriber that a step is for */
#define BIT (1ull << RECORD)
#define OTHER (1ull << 9)
#define DEATH 77u /* the id of a death */

enum verb { ADMIT_PUBLISHER, RETIRE_CLOSED, RETIRE_DEAD, ADMIT_SUBSCRIBER, RETIRE_SUBSCRIBER, VERBS };

static void step(const struct ring *ring, enum verb verb, uint32_t record) {
    switch (verb) {
    case ADMIT_PUBLISHER:
        ae_topic_admit_publisher(ring->log, record);
        break;
    case RETIRE_CLOSED:
    case RETIRE_DEAD:
        (void)ae_topic_retire_publisher(ring->log, &ring->geometry, record, verb == RETIRE_DEAD ? DEATH : 0);
        break;
    case ADMIT_SUBSCRIBER:
        ae_topic_admit_subscriber(ring->log, ring->cursors, record);
        break;
    default:
        ae_topic_retire_subscriber(ring->log, ring->cursors, record);
    }
}

/* Begins the step and is killed before its n-th store. False: the step has no such store, and is done. */
static bool step_killed(const struct ring *ring, enum verb verb, unsigned n) {
    lives = n;
    mortal = true;
    if (setjmp(killed) != 0)
        return true;
    step(ring, verb, RECORD);
    mortal = false;
    return false;
}

/* ---- the words of a topic, all at once ---- */

struct image {
    unsigned char *bytes;
    size_t log_bytes, cursors_bytes;
};

static struct image image_make(const struct ring *ring) {
    struct image image = {.log_bytes = ring->log_object.bytes, .cursors_bytes = ring->cursors_object.bytes};

    image.bytes = malloc(image.log_bytes + image.cursors_bytes);
    check_setup(image.bytes != NULL, "memory");
    return image;
}

static void image_save(struct image *image, const struct ring *ring) {
    memcpy(image->bytes, ring->log, image->log_bytes);
    memcpy(image->bytes + image->log_bytes, ring->cursors, image->cursors_bytes);
}

static void image_restore(const struct image *image, const struct ring *ring) {
    memcpy(ring->log, image->bytes, image->log_bytes);
    memcpy(ring->cursors, image->bytes + image->log_bytes, image->cursors_bytes);
}

static ae_log *image_log(const struct image *image) {
    return (ae_log *)(void *)image->bytes;
}

static ae_cursors *image_cursors(const struct image *image) {
    return (ae_cursors *)(void *)(image->bytes + image->log_bytes);
}

static void assert_same(const struct image *image, const struct ring *ring) {
    assert_memory_equal(ring->log, image->bytes, image->log_bytes);
    assert_memory_equal(ring->cursors, image->bytes + image->log_bytes, image->cursors_bytes);
}

static uint64_t load(const ae_u64 *word) {
    return ae_load_relaxed(word);
}

/* ---- format ---- */

static const aether_topic_config configs[] = {
    {.capacity = CAPACITY, .max_message = 24},
    {.capacity = 64, .max_message = 4096, .inline_max = 56, .lane_bytes = 8192, .start_seq = (1ull << 48) - 3},
    {.capacity = 1024,
     .max_message = 1000,
     .slow = AETHER_SLOW_EVICT,
     .evict_lag = 600,
     .publishers = AETHER_PUBLISHERS_EXCLUSIVE,
     .start_seq = UINT64_MAX - 7},
};
#define CONFIGS (sizeof configs / sizeof configs[0])

static uint64_t header_word(size_t off, uint64_t magic, const ae_geometry *g, uint64_t bytes, uint64_t topic_id) {
    switch (off) {
    case 0:
        return magic;
    case 8:
        return AE_LAYOUT_MAJOR | (uint64_t)AE_LAYOUT_MINOR << 32;
    case 16:
        return topic_id;
    case 24:
        return bytes;
    case 32:
        return g->capacity;
    case 40:
        return g->slot_size | (uint64_t)g->max_message << 32;
    default:
        return 0;
    }
}

/* What docs/layout.md says of each word of a new topic. */
static uint64_t log_word(size_t off, const ae_geometry *g, uint64_t topic_id) {
    const uint64_t start = g->start_seq;

    if (off < 128)
        return header_word(off, AE_LOG_MAGIC, g, g->log_bytes, topic_id);
    if (off == 128)
        return ae_claim_word(start, AE_MODE_SHARED, AE_CLAIM_NOBODY);
    if (off == 136)
        return start;
    if (off == 256)
        return 1; /* wake */
    if (off >= 4096 && off < AE_LOG_SLOTS_OFF && off % 256 == 0)
        return start << 16; /* intent: none, at the start */
    if (off >= 4096 && off < AE_LOG_SLOTS_OFF && off % 256 == 128)
        return start; /* proved */
    return 0;
}

static void every_word_is_formatted(void **state) {
    static const ae_geometry none; /* the cursors and the notes are the same for all topics */

    (void)state;
    for (size_t i = 0; i < CONFIGS; i++) {
        const uint64_t topic_id = 0x123456789abcdef0 + i;
        struct ring ring;

        ring_make_as(&ring, &configs[i]);
        memset(ring.log_object.rw, 0, ring.log_object.bytes);
        memset(ring.cursors_object.rw, 0, ring.cursors_object.bytes);
        memset(ring.notes_object.rw, 0, ring.notes_object.bytes);
        ae_topic_format(ring.log, ring.cursors, ring.notes, &ring.geometry, topic_id);
        assert_int_equal(ring.log->header.bytes, AE_LOG_SLOTS_OFF);
        assert_int_equal(ring.log->header.capacity, 0);
        ae_topic_set_geometry(ring.log, &ring.geometry);
        for (size_t off = 0; off < ring.geometry.lanes_off; off += 8)
            assert_int_equal(*(const uint64_t *)(const void *)(ring.log_object.ro + off),
                             log_word(off, &ring.geometry, topic_id));
        for (size_t off = 0; off < ring.geometry.cursors_bytes; off += 8)
            assert_int_equal(*(const uint64_t *)(const void *)(ring.cursors_object.ro + off),
                             off < 128 ? header_word(off, AE_CURSORS_MAGIC, &none, AE_CURSORS_BYTES, topic_id) : 0);
        for (size_t off = 0; off < AE_NOTES_BYTES; off += 8)
            assert_int_equal(*(const uint64_t *)(const void *)(ring.notes_object.ro + off),
                             off < 128 ? header_word(off, AE_NOTES_MAGIC, &none, AE_NOTES_BYTES, topic_id) : 0);
        ring_free(&ring);
    }
}

/* Of the log only the part before the slots is mapped then. */
static void format_needs_no_slots(void **state) {
    ae_log *log = (ae_log *)(void *)guarded_map(sizeof(ae_log), PROT_READ | PROT_WRITE, -1);
    struct ring ring;

    (void)state;
    ring_make_as(&ring, &configs[0]);
    ae_topic_format(log, ring.cursors, ring.notes, &ring.geometry, 1);
    assert_memory_equal(log, ring.log, sizeof *log);
    guarded_unmap((unsigned char *)log, sizeof *log);
    ring_free(&ring);
}

/* ---- admission of a publisher ---- */

/* Words of the stream before the step. */
static const struct stream {
    uint64_t open, died, unfenced;
} streams[] = {
    {0, 0, 0},
    {0, 9, OTHER},
    {0, 9, BIT},
    {OTHER, 0, BIT},
    {OTHER, 9, 0},
    {OTHER, 9, BIT | OTHER},
    {~BIT, UINT64_MAX, UINT64_MAX},
};
#define STREAMS (sizeof streams / sizeof streams[0])

static void set_stream(const struct ring *ring, const struct stream *stream) {
    ae_store_relaxed(&ring->log->stream.open, stream->open);
    ae_store_relaxed(&ring->log->stream.died, stream->died);
    ae_store_relaxed(&ring->log->stream.unfenced, stream->unfenced);
    ae_store_relaxed(&ring->log->stream.joins, 41);
}

/* The words as they must be after the admission. */
static void admit_in(ae_log *log, const struct stream *before) {
    ae_store_relaxed(&log->stream.open, before->open | BIT);
    ae_store_relaxed(&log->stream.unfenced, before->unfenced & ~BIT);
    ae_store_relaxed(&log->stream.joins, 42);
    if (before->open == 0)
        ae_store_relaxed(&log->stream.died, 0);
}

/*
 * aetherd is killed in an admission. Its successor finds the grant, which no client has, and retires it: as closed, or
 * as dead if the client has died. Then the record is admitted again.
 */
static void admission_is_cut(struct ring *ring, const struct stream *before, struct image *expected, bool died) {
    ae_stream_block *stream = &ring->log->stream;
    bool cut = true;

    for (unsigned n = 0; cut; n++) {
        ring_reset(ring);
        set_stream(ring, before);
        image_save(expected, ring);
        admit_in(image_log(expected), before);
        cut = step_killed(ring, ADMIT_PUBLISHER, n);
        const bool open = (load(&stream->open) & BIT) != 0;
        assert_true(!open || (load(&stream->unfenced) & BIT) == 0);
        assert_true(load(&stream->died) == before->died || (open && before->open == 0 && load(&stream->died) == 0));
        if (!cut)
            assert_same(expected, ring);
        step(ring, died ? RETIRE_DEAD : RETIRE_CLOSED, RECORD);
        assert_int_equal(load(&stream->open), before->open);
        assert_true(!died || !open || load(&stream->died) == DEATH);
        step(ring, ADMIT_PUBLISHER, RECORD);
        if (died && open && before->open != 0)
            ae_store_relaxed(&image_log(expected)->stream.died, DEATH);
        assert_in_range(load(&stream->joins), 42, 43);
        ae_store_relaxed(&image_log(expected)->stream.joins, load(&stream->joins));
        assert_in_range(load(&ring->log->wake.wake), 1, 2);
        ae_store_relaxed(&image_log(expected)->wake.wake, load(&ring->log->wake.wake));
        assert_same(expected, ring);
    }
}

/* The same call again has the same result, but for the admissions that it counts. */
static void admission_is_repeated(struct ring *ring, const struct stream *before, struct image *expected) {
    bool cut = true;

    for (unsigned n = 0; cut; n++) {
        ring_reset(ring);
        set_stream(ring, before);
        image_save(expected, ring);
        admit_in(image_log(expected), before);
        cut = step_killed(ring, ADMIT_PUBLISHER, n);
        step(ring, ADMIT_PUBLISHER, RECORD);
        assert_in_range(load(&ring->log->stream.joins), 42, 43);
        ae_store_relaxed(&image_log(expected)->stream.joins, load(&ring->log->stream.joins));
        assert_same(expected, ring);
    }
}

static void publishers_are_admitted(void **state) {
    struct image expected;
    struct ring ring;

    (void)state;
    ring_make_as(&ring, &configs[0]);
    expected = image_make(&ring);
    for (size_t s = 0; s < STREAMS; s++) {
        admission_is_cut(&ring, &streams[s], &expected, false);
        admission_is_cut(&ring, &streams[s], &expected, true);
        admission_is_repeated(&ring, &streams[s], &expected);
    }
    free(expected.bytes);
    ring_free(&ring);
}

/* ---- retirement of a publisher ---- */

/* What a publisher has left behind. */
enum left {
    NOTHING,   /* it has never published */
    PUBLISHED, /* and is between two calls; with the bias if it is alone */
    INTENT,    /* an intent: a claim if it has the bias, else it has lost */
    CLAIM,     /* a claim, no slot committed */
    HALF,      /* a claim, one slot of three committed, one begun */
    BEHIND,    /* the same, and another publisher has claimed behind it */
    CLOSED,    /* it has closed */
    LEFTS
};

static void leave_behind(struct ring *ring, enum left left, bool alone) {
    const uint64_t word = 7;
    struct test_publisher publisher, other;

    ring_reset(ring);
    publisher_open_as(&publisher, ring, RECORD, ring->cursors_ro);
    if (!alone)
        publisher_open_as(&other, ring, 9, ring->cursors_ro);
    if (left != NOTHING)
        assert_int_equal(aether_publish(publisher.handle, &word, sizeof word), 0);
    if (!alone)
        assert_int_equal(aether_publish(other.handle, &word, sizeof word), 0);
    const uint64_t seq = ae_claim_reach(ring->log, ring->geometry.start_seq);
    if (left == INTENT)
        ae_store_relaxed(&ring->log->publishers[RECORD].intent, ae_intent(seq, 2));
    if (left == CLAIM || left == HALF || left == BEHIND)
        assert_int_equal(ae_claim_next(&publisher.pub, 3), 0);
    if (left == HALF || left == BEHIND) {
        ae_write_slot(publisher.handle, seq, &word, sizeof word);
        ae_store_relaxed(ring_tag(ring, seq + 1), ae_tag_busy(seq + 1));
    }
    if (left == BEHIND && !alone)
        assert_int_equal(aether_publish(other.handle, &word, sizeof word), 0);
    if (left == CLOSED)
        ae_publisher_leave(&publisher.pub);
    free(publisher.buffer);
    if (!alone)
        free(other.buffer);
}

/* Slots that the publisher has claimed and not committed. */
static uint64_t pending_slots(const struct ring *ring, enum left left) {
    const struct ae_span intent = ae_claim_intent(ring->log, RECORD, ring->geometry.start_seq);
    uint64_t count = 0;

    if (left == INTENT && !ae_claim_has_bias(load(&ring->log->claim.claim)))
        return 0;
    for (uint64_t seq = intent.first; seq != intent.end; seq++)
        count += ae_tag_pending(load(ring_tag(ring, seq)), seq) ? 1 : 0;
    return count;
}

/* A successor on the record publishes, and a subscriber gets a full ring of that: nothing holds either of them up. */
static void record_works_again(struct ring *ring) {
    const aether_subscribe_options options = {0};
    struct test_subscriber subscriber;
    struct test_publisher publisher;
    aether_message message;

    subscriber_open(&subscriber, ring, ring->log_ro, RECORD, &options);
    publisher_open_as(&publisher, ring, RECORD, ring->cursors_ro);
    for (uint64_t i = 0; i < 3 * CAPACITY; i++) {
        assert_int_equal(aether_publish(publisher.handle, &i, sizeof i), 0);
        assert_int_equal(aether_receive(subscriber.handle, &message), 1);
        assert_true(message.len == sizeof i && memcmp(message.data, &i, sizeof i) == 0);
        assert_int_equal(aether_receive(subscriber.handle, &message), 0);
    }
    publisher_close(&publisher);
    subscriber_close(&subscriber);
}

static void retirement_is_cut(struct ring *ring, enum left left, bool alone, struct image *before,
                              struct image *expected) {
    ae_stream_block *stream = &ring->log->stream;
    bool cut = true;

    leave_behind(ring, left, alone);
    image_save(before, ring);
    const uint64_t pending = pending_slots(ring, left);
    assert_int_equal(ae_topic_retire_publisher(ring->log, &ring->geometry, RECORD, DEATH), pending);
    assert_int_equal(load(&stream->open), alone ? 0 : OTHER);
    assert_int_equal(load(&stream->died), left == CLOSED ? 0 : DEATH);
    assert_int_equal(load(&stream->joins), load(&image_log(before)->stream.joins));
    assert_int_equal(load(&ring->log->wake.wake), load(&image_log(before)->wake.wake) + 1);
    assert_int_equal(ae_claim_mode(load(&ring->log->claim.claim)), AE_MODE_SHARED);
    image_save(expected, ring);
    for (unsigned n = 0; cut; n++) {
        uint64_t aborted;

        image_restore(before, ring);
        cut = step_killed(ring, RETIRE_DEAD, n);
        /* Once the bit is clear, subscribers and publishers take the end of this publisher for known. */
        if (left != CLOSED && (load(&stream->open) & BIT) == 0)
            assert_true(load(&stream->died) == DEATH && pending_slots(ring, left) == 0);
        aborted = ae_topic_retire_publisher(ring->log, &ring->geometry, RECORD, DEATH);
        assert_true(aborted <= pending && (cut || aborted == 0));
        assert_in_range(load(&ring->log->wake.wake) - load(&image_log(expected)->wake.wake), 0, 1);
        ae_store_relaxed(&ring->log->wake.wake, load(&image_log(expected)->wake.wake));
        assert_same(expected, ring);
    }
    if (alone)
        record_works_again(ring);
}

static void dead_publishers_are_retired(void **state) {
    struct image before, expected;
    struct ring ring;

    (void)state;
    for (int publishers = AETHER_PUBLISHERS_SHARED; publishers <= (int)AETHER_PUBLISHERS_UNBIASED; publishers += 2) {
        const aether_topic_config config = {.capacity = CAPACITY,
                                            .max_message = 24,
                                            .start_seq = (1ull << 48) - 2,
                                            .publishers = (aether_publishers)publishers};

        ring_make_as(&ring, &config);
        before = image_make(&ring);
        expected = image_make(&ring);
        for (int left = 0; left < LEFTS; left++) {
            retirement_is_cut(&ring, (enum left)left, false, &before, &expected);
            retirement_is_cut(&ring, (enum left)left, true, &before, &expected);
        }
        free(before.bytes);
        free(expected.bytes);
        ring_free(&ring);
    }
}

/* Its client is alive: nothing is repaired, `died` stays as it is, and the slots aren't even mapped. */
static void closed_publishers_are_retired(void **state) {
    ae_log *log = (ae_log *)(void *)guarded_map(sizeof(ae_log), PROT_READ | PROT_WRITE, -1);
    ae_log *expected = malloc(sizeof(ae_log));
    struct ring ring;

    (void)state;
    check_setup(expected != NULL, "memory");
    ring_make_as(&ring, &configs[0]);
    for (size_t s = 0; s < STREAMS; s++) {
        for (unsigned open = 0; open < 2; open++) {
            ring_reset(&ring);
            set_stream(&ring, &streams[s]);
            if (open)
                (void)ae_fetch_or(&ring.log->stream.open, BIT);
            memcpy(log, ring.log, sizeof *log);
            memcpy(expected, ring.log, sizeof *log);
            ae_store_relaxed(&expected->stream.open, streams[s].open);
            ae_store_relaxed(&expected->wake.wake, open ? 2 : 1);
            assert_int_equal(ae_topic_retire_publisher(log, &ring.geometry, RECORD, 0), 0);
            assert_memory_equal(log, expected, sizeof *log);
        }
    }
    free(expected);
    guarded_unmap((unsigned char *)log, sizeof *log);
    ring_free(&ring);
}

/* ---- any sequence of these, against the words' meaning ---- */

static void streams_are_as_documented(void **state) {
    uint64_t random = 1, granted = 0, open = 0, died = 0, unfenced = 0, joins = 0;
    struct ring ring;

    (void)state;
    ring_make_as(&ring, &configs[0]);
    for (unsigned i = 0; i < 200000; i++) {
        const uint64_t r = next_random(&random), bit = 1ull << (r & (i % 1000 < 500 ? 3 : 63));
        const uint32_t record = (uint32_t)__builtin_ctzll(bit);

        if ((granted & bit) == 0) {
            ae_topic_admit_publisher(ring.log, record);
            died = open == 0 ? 0 : died;
            open |= bit;
            unfenced &= ~bit;
            joins++;
            granted |= bit;
        } else if ((r >> 8) % 4 == 0) { /* the publisher joins, and membarrier doesn't reach it */
            (void)ae_fetch_or(&ring.log->stream.unfenced, bit);
            unfenced |= bit;
        } else if ((r >> 8) % 4 == 1) { /* it closes */
            (void)ae_fetch_and(&ring.log->stream.open, ~bit);
            open &= ~bit;
        } else {
            const bool dies = (r >> 16 & 1) != 0;
            (void)ae_topic_retire_publisher(ring.log, &ring.geometry, record, dies ? i + 1 : 0);
            died = dies && (open & bit) != 0 ? i + 1 : died;
            open &= ~bit;
            granted &= ~bit;
        }
        assert_int_equal(load(&ring.log->stream.open), open);
        assert_int_equal(load(&ring.log->stream.died), died);
        assert_int_equal(load(&ring.log->stream.unfenced), unfenced);
        assert_int_equal(load(&ring.log->stream.joins), joins);
    }
    ring_free(&ring);
}

/* ---- subscribers ---- */

static void set_cursor_record(const struct ring *ring, uint64_t cursor, uint64_t evict, bool active) {
    ae_cursor_record *own = &ring->cursors->records[RECORD];

    ae_store_relaxed(&own->cursor, cursor);
    ae_store_relaxed(&ring->log->evict[RECORD], evict);
    ae_store_relaxed(&ring->cursors->active.active, OTHER | (active ? BIT : 0));
}

/* The last holder's words, its bit in `active` or not, and its generation, evicted or not. */
static void subscribers_are_admitted(void **state) {
    static const uint64_t words[] = {0, 1ull << 32, 3ull << 32 | 5 << 2 | AE_EVICT_LANE, UINT64_MAX << 32, UINT64_MAX};
    struct image expected;
    struct ring ring;

    (void)state;
    ring_make_as(&ring, &configs[0]);
    expected = image_make(&ring);
    for (unsigned i = 0; i < 2 * sizeof words / sizeof words[0]; i++) {
        const uint64_t old = words[i / 2], next = ((old >> 32) + 1) << 32;
        ae_cursor_record *own = &ring.cursors->records[RECORD], *wanted = &image_cursors(&expected)->records[RECORD];
        uint64_t claim;
        bool cut = true;

        for (unsigned n = 0; cut; n++) {
            leave_behind(&ring, i % 2 ? BEHIND : HALF, i % 2 == 0);
            set_cursor_record(&ring, 0, old, i % 2);
            claim = ae_claim_reach(ring.log, 0);
            image_save(&expected, &ring);
            ae_store_relaxed(&wanted->cursor, claim);
            ae_store_relaxed(&image_cursors(&expected)->active.active, OTHER);
            cut = step_killed(&ring, ADMIT_SUBSCRIBER, n);
            /* A publisher that sees the new generation must not wait for the last holder, or evict the new one. */
            if (load(&ring.log->evict[RECORD]) != old)
                assert_true(load(&own->cursor) == claim && load(&ring.cursors->active.active) == OTHER);
            if (cut)
                step(&ring, ADMIT_SUBSCRIBER, RECORD);
            ae_store_relaxed(&image_log(&expected)->evict[RECORD], next);
            assert_same(&expected, &ring);
        }
    }
    free(expected.bytes);
    ring_free(&ring);
}

static void subscribers_are_retired(void **state) {
    static const uint64_t admitted = 1ull << 32, reasons[] = {0, AE_EVICT_LAG, 7 << 2 | AE_EVICT_LANE};
    struct image expected;
    struct ring ring;

    (void)state;
    ring_make_as(&ring, &configs[0]);
    expected = image_make(&ring);
    for (unsigned i = 0; i < 6; i++) {
        const uint64_t reason = reasons[i / 2];
        const bool active = i & 1;
        for (unsigned n = 0; n < 2; n++) {
            ring_reset(&ring);
            set_cursor_record(&ring, 77, admitted | reason, active);
            image_save(&expected, &ring);
            ae_store_relaxed(&image_cursors(&expected)->active.active, OTHER);
            ae_store_relaxed(&image_log(&expected)->evict[RECORD], reason != 0 ? admitted | reason : 2 * admitted);
            (void)step_killed(&ring, RETIRE_SUBSCRIBER, n);
            step(&ring, RETIRE_SUBSCRIBER, RECORD);
            assert_same(&expected, &ring);
            /* A publisher that had found the bit set and the word of that time no longer evicts. */
            if (reason == 0)
                assert_false(ae_cas(&ring.log->evict[RECORD], admitted, admitted | AE_EVICT_LAG));
        }
    }
    /* Publishers don't evict there. */
    ring_reset(&ring);
    set_cursor_record(&ring, 77, admitted, true);
    ae_topic_retire_subscriber(NULL, ring.cursors, RECORD);
    assert_int_equal(load(&ring.cursors->active.active), OTHER);
    assert_int_equal(load(&ring.log->evict[RECORD]), admitted);
    free(expected.bytes);
    ring_free(&ring);
}

/* ---- hostile words ---- */

static uint64_t hostile_word(uint64_t *random) {
    const uint64_t r = next_random(random), value = next_random(random);

    switch (r % 6) {
    case 0:
        return 0;
    case 1:
        return UINT64_MAX;
    case 2: /* the claim word of a bias */
        return ae_claim_word(value, value >> 62, (uint32_t)(value >> 56) & 63);
    case 3: /* an intent, mostly of more than a ring */
        return ae_intent(value & 15, value >> 32 & AE_INTENT_COUNT_MAX);
    case 4:
        return value & 31;
    default:
        return value;
    }
}

static void hostile(unsigned char *bytes, size_t len, uint64_t *random) {
    for (size_t off = 0; off < len; off += 8)
        ae_store_relaxed((ae_u64 *)(void *)(bytes + off), hostile_word(random));
}

/* Whatever the words hold: no step touches anything beyond the objects or runs for ever, and each does what it must. */
static void hostile_words_do_no_harm(void **state) {
    uint64_t random = 2;

    (void)state;
    for (size_t i = 0; i < CONFIGS; i++) {
        struct ring ring;

        ring_make_as(&ring, &configs[i]);
        for (unsigned turn = 0; turn < 1000; turn++) {
            const uint32_t record = (uint32_t)(next_random(&random) & 63);
            const enum verb verb = (enum verb)(turn % VERBS);
            uint64_t open;

            hostile(ring.log_object.rw, sizeof(ae_log), &random);
            hostile(ring.cursors_object.rw, sizeof(ae_cursors), &random);
            if (turn % 16 < VERBS) /* the slots, of which there are many */
                hostile(ring.log_object.rw + ring.geometry.slots_off, ring.geometry.lanes_off - ring.geometry.slots_off,
                        &random);
            open = load(&ring.log->stream.open) >> record & 1;
            step(&ring, verb, record);
            if (verb == ADMIT_PUBLISHER)
                assert_true((load(&ring.log->stream.open) >> record & 1) == 1);
            if (verb == RETIRE_CLOSED || verb == RETIRE_DEAD)
                assert_true((load(&ring.log->stream.open) >> record & 1) == 0);
            if (verb == RETIRE_DEAD && open)
                assert_true(load(&ring.log->stream.died) == DEATH);
            if (verb == ADMIT_SUBSCRIBER || verb == RETIRE_SUBSCRIBER)
                assert_true((load(&ring.cursors->active.active) >> record & 1) == 0);
            if (verb == ADMIT_SUBSCRIBER)
                assert_true(ae_evicted(load(&ring.log->evict[record])) == 0);
        }
        ring_free(&ring);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_word_is_formatted),       cmocka_unit_test(format_needs_no_slots),
        cmocka_unit_test(publishers_are_admitted),       cmocka_unit_test(dead_publishers_are_retired),
        cmocka_unit_test(closed_publishers_are_retired), cmocka_unit_test(streams_are_as_documented),
        cmocka_unit_test(subscribers_are_admitted),      cmocka_unit_test(subscribers_are_retired),
        cmocka_unit_test(hostile_words_do_no_harm),
    };

    alarm(900); /* ends the test if a step runs for ever */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
