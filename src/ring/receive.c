/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "base/export.h"
#include "ring/subscriber.h"
#include <inttypes.h>

/* The cursor is stored at least this often while messages are taken one by one: flat from 64 to 4096 when measured. */
#define CURSOR_EVERY_MAX 256u

static struct ae_subscriber *subscriber_of(aether_subscriber *handle) {
    return (struct ae_subscriber *)(void *)handle;
}

static size_t copy_stride(const ae_geometry *geometry) {
    return geometry->slot_size - AE_SLOT_HEADER;
}

/* The topic's next sequence as a full 64-bit value near `near_seq`. Hostile: only ever used as a number that is masked. */
static uint64_t load_claim(const struct ae_subscriber *s, uint64_t near_seq) {
    /* J4 acquire, pairs C1 (publish): every slot below it is seen committed. */
    return ae_seq_extend(ae_load_acquire(&s->log->claim.claim) >> AE_CLAIM_SEQ_SHIFT, near_seq);
}

/* Sets the record up and returns J: from J on no publisher overwrites what this subscriber hasn't released. */
static uint64_t join_reliable(struct ae_subscriber *s, uint64_t position) {
    ae_cursor_record *own = &s->cursors->records[s->record];
    uint64_t joined;

    ae_store_relaxed(&own->lost, 0);
    ae_store_relaxed(&own->gaps, 0);
    ae_store_relaxed(&own->aborted, 0);
    ae_store_relaxed(&own->cursor, load_claim(s, position));
    /* J3 acq_rel, pairs F3 (refresh): the bit comes with the cursor above. */
    (void)ae_fetch_or(&s->cursors->active.active, 1ull << s->record);
    /* J1 fence, pairs J2 (refresh): a publisher that doesn't see the bit has stored the claim that is read here. */
    ae_fence_seq_cst();
    joined = load_claim(s, position);
    s->hot.cursor = &own->cursor;
    ae_store_cursor(&s->hot, joined);
    return joined;
}

void ae_subscriber_init(struct ae_subscriber *s, const ae_geometry *geometry, uint32_t record, const ae_log *log,
                        ae_cursors *cursors, const aether_subscribe_options *options, unsigned char *copies) {
    const uint64_t every = geometry->capacity / 8 < CURSOR_EVERY_MAX ? geometry->capacity / 8 : CURSOR_EVERY_MAX;
    const uint64_t position = ae_load_relaxed(&log->claim.position);
    uint64_t joined, back = 0, retained;

    *s = (struct ae_subscriber){
        .hot =
            {
                .slots = (const unsigned char *)log + geometry->slots_off,
                .mask = geometry->capacity - 1,
                .slot_size = geometry->slot_size,
                .max_message = geometry->max_message,
                .cursor_mask = every - 1,
            },
        .log = log,
        .cursors = cursors,
        .geometry = *geometry,
        .record = record,
        .copies = copies,
        .copy_count = AE_COPY_BUFFER_BYTES / copy_stride(geometry),
    };
    s->hot.cursor = &s->no_cursor;
    joined = cursors != NULL ? join_reliable(s, position) : load_claim(s, position);

    retained = joined - geometry->start_seq < geometry->capacity ? joined - geometry->start_seq : geometry->capacity;
    if (options->from == AETHER_FROM_OLDEST)
        back = retained;
    else if (options->from == AETHER_FROM_LAST)
        back = options->last < retained ? options->last : retained;
    s->protected_seq = joined;
    s->joined = joined - back;
    s->hot.next = s->joined;
    s->hot.zero_copy = cursors != NULL && back == 0;
    if (cursors != NULL)
        ae_store_relaxed(&cursors->records[record].joined, s->joined);
}

void ae_subscriber_leave(struct ae_subscriber *s) {
    /* F4 acq_rel, pairs F3 (refresh): a publisher that sees the bit clear overwrites only after our last look at the ring. */
    if (s->cursors != NULL)
        (void)ae_fetch_and(&s->cursors->active.active, ~(1ull << s->record));
}

/* Counters are for read-outs; each has one writer and is only stored when it changes. */
static void count_lost(struct ae_subscriber *s, uint64_t lost) {
    s->lost += lost;
    s->gaps++;
    if (s->cursors != NULL) {
        ae_store_relaxed(&s->cursors->records[s->record].lost, s->lost);
        ae_store_relaxed(&s->cursors->records[s->record].gaps, s->gaps);
    }
}

static void skip_aborted(struct ae_subscriber *s) {
    s->hot.next++;
    s->aborted++;
    if (s->cursors != NULL)
        ae_store_relaxed(&s->cursors->records[s->record].aborted, s->aborted);
}

/*
 * The slot of `next` holds a message that is `ahead` sequences newer: next is gone. Goes on half a ring behind the newest message, not at the
 * oldest one, which would be overwritten under the reader's hands; never past the sequence from which everything is kept.
 */
static int report_gap(struct ae_subscriber *s, uint64_t ahead, aether_message *message) {
    const uint64_t next = s->hot.next, claim = load_claim(s, next);
    const uint64_t newest = (int64_t)(claim - (next + ahead)) > 0 ? claim : next + ahead;
    uint64_t resume = newest - s->geometry.capacity / 2;

    if ((int64_t)(resume - next) <= 0)
        resume = next + 1;
    if (s->cursors != NULL && (int64_t)(s->protected_seq - next) > 0 && (int64_t)(resume - s->protected_seq) > 0)
        resume = s->protected_seq;
    *message = (aether_message){.seq = next, .lost = resume - next};
    count_lost(s, message->lost);
    s->hot.next = resume;
    return 1;
}

static int nothing_yet(struct ae_subscriber *s) {
    /* About to wait: the publisher may need the last slot that was read. */
    if (s->hot.zero_copy && s->hot.cursor_stored != s->hot.next)
        ae_store_cursor(&s->hot, s->hot.next);
    return 0;
}

static int bad_slot(const struct ae_subscriber *s, uint64_t tag) {
    return ae_fail(-EBADMSG,
                   "slot of sequence %" PRIu64 " holds tag %#" PRIx64
                   ", which no publisher writes: faulty or hostile peer",
                   s->hot.next, tag);
}

/*
 * Looks at the slot of `next` and does what its tag says; `copy` is where a payload goes that may be overwritten. Bounded: every turn
 * but the last skips an aborted sequence, or found its slot overwritten during the copy, which the next turn reports as a gap.
 */
static int receive_one(struct ae_subscriber *s, aether_message *message, unsigned char *copy) {
    for (uint64_t turn = 0; turn <= s->geometry.capacity; turn++) {
        const uint64_t next = s->hot.next;
        const unsigned char *slot = s->hot.slots + (next & s->hot.mask) * s->hot.slot_size;
        const ae_u64 *word = (const ae_u64 *)(const void *)slot;
        const uint64_t tag = ae_load_acquire(word); /* R1 acquire, pairs W2 (publish) */
        const int64_t ahead = ae_tag_ahead(tag, next);
        const uint64_t kind = ae_tag_kind(tag), len = tag & AE_TAG_LEN_MASK;

        /* A slot that was never written: as a number it lies ahead of the sequences in the upper half of the 48 bits. */
        if (tag == 0)
            return nothing_yet(s);
        if (ahead > 0)
            return report_gap(s, (uint64_t)ahead, message);
        if (ahead < 0 || kind == AE_KIND_BUSY)
            return nothing_yet(s);
        if (kind == AE_KIND_ABORTED) {
            skip_aborted(s);
            continue;
        }
        if (kind != AE_KIND_INLINE || len > s->hot.max_message)
            return bad_slot(s, tag);
        *message = (aether_message){.seq = next, .data = slot + AE_SLOT_HEADER, .len = len};
        if (!s->hot.zero_copy) {
            ae_copy_out(copy, slot + AE_SLOT_HEADER, len);
            /* V1 fence, pairs W1 (publish): if a byte of the copy was new, the tag is now seen to be BUSY or newer. */
            ae_fence_acquire();
            if (ae_load_relaxed(word) != tag)
                continue;
            message->data = copy;
        }
        s->hot.next = next + 1;
        return 1;
    }
    return 0;
}

/* Retained messages are read as copies until the reader reaches the part that is kept for it. */
static void catch_up(struct ae_subscriber *s) {
    if (s->cursors != NULL && !s->hot.zero_copy && (int64_t)(s->hot.next - s->protected_seq) >= 0) {
        s->hot.zero_copy = 1;
        ae_store_cursor(&s->hot, s->hot.next);
    }
}

AE_EXPORT int aether_detail_receive(aether_subscriber *handle, aether_message *message) {
    struct ae_subscriber *s = subscriber_of(handle);

    catch_up(s);
    return receive_one(s, message, s->copies);
}

AE_EXPORT int aether_detail_receive_batch(aether_subscriber *handle, aether_message *messages, int max) {
    struct ae_subscriber *s = subscriber_of(handle);
    int n = 0;

    catch_up(s);
    while (n < max && (size_t)n < s->copy_count) {
        const int rc = receive_one(s, &messages[n], s->copies + (size_t)n * copy_stride(&s->geometry));
        if (rc <= 0)
            return n > 0 ? n : rc;
        n++;
        if (s->cursors != NULL && (s->hot.zero_copy || s->hot.next == s->protected_seq))
            break; /* the rest is read in place, by the next call */
    }
    return n;
}

AE_EXPORT void aether_subscriber_get_stats(const aether_subscriber *handle, aether_subscriber_stats *stats) {
    const struct ae_subscriber *s = (const struct ae_subscriber *)(const void *)handle;

    *stats = (aether_subscriber_stats){
        .joined = s->joined,
        .next = s->hot.next,
        .delivered = s->hot.next - s->joined - s->lost - s->aborted,
        .lost = s->lost,
        .gaps = s->gaps,
        .aborted = s->aborted,
    };
}
