/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lane.c - a publisher's lane, and the loans in it.
 *
 * Order: room is taken in the lane, filled, and only then a sequence is claimed and its slot committed. So a slow or
 * dying filler holds nobody up.
 *
 * Two kinds of readers must not find their bytes overwritten. Reliable ones: bytes are used again only below `free`,
 * which moves up to a checkpoint's position when the scan says that every reliable cursor has reached the checkpoint's
 * sequence. Others copy and then look at lane_floor, which is raised before the first byte changes.
 */
#include "base/error.h"
#include "base/export.h"
#include "ring/publisher.h"
#include <inttypes.h>

#define CHECKPOINT_SPACING 64u /* parts of the lane */

static uint64_t round_up(uint64_t len, uint64_t unit) {
    return (len + unit - 1) & ~(unit - 1);
}

/* At least one unit, so that no two loans have the same position. */
static uint64_t units(uint64_t len) {
    return len == 0 ? AE_LANE_UNIT : round_up(len, AE_LANE_UNIT);
}

static uint64_t loan_stride(const ae_geometry *geometry) {
    return units(ae_inline_max(geometry));
}

size_t ae_publisher_buffer_bytes(const ae_geometry *geometry) {
    return AETHER_LOANS_MAX * loan_stride(geometry);
}

/*
 * The predecessor's last messages may still be read and how far it has used its lane is told by lane_floor alone: its
 * end is one lane further on. Nothing below that is free until every reliable cursor has passed all that the
 * predecessor can have published, which is what the first checkpoint says.
 */
void ae_lane_init(struct ae_publisher *p, uint32_t record, unsigned char *buffer) {
    struct ae_lane *lane = &p->lane;

    p->loans.buffer = buffer;
    p->loans.stride = loan_stride(&p->geometry);
    lane->size = p->geometry.lane_bytes;
    if (lane->size == 0)
        return;
    lane->bytes = (unsigned char *)p->log + p->geometry.lanes_off + record * lane->size;
    lane->floor = &p->own->lane_floor;
    lane->free = ae_load_relaxed(lane->floor) & ~(uint64_t)(AE_LANE_UNIT - 1);
    lane->head = lane->free + lane->size;
    lane->checkpoints[0] = (struct ae_checkpoint){.position = lane->head, .seq = p->hot.next};
    lane->count = 1;
}

/* ---- room ---- */

static struct ae_checkpoint *checkpoint(struct ae_lane *lane, unsigned i) {
    return &lane->checkpoints[(lane->first + i) % AE_CHECKPOINTS];
}

/* Where a block of `bytes` goes if positions below `free` are free; false: nowhere. A block is contiguous. */
static bool fits(const struct ae_lane *lane, uint64_t bytes, uint64_t free, uint64_t *position) {
    const uint64_t off = lane->head & (lane->size - 1);

    *position = off + bytes <= lane->size ? lane->head : lane->head + lane->size - off;
    return (int64_t)(*position + bytes - lane->size - free) <= 0;
}

/* Lowest position that an open loan holds; the head, if there is none. */
static uint64_t lowest_open(const struct ae_publisher *p) {
    for (uint64_t i = p->loans.first; i != p->loans.next; i++) {
        const struct ae_open_loan *loan = &p->loans.entries[i % AETHER_LOANS_MAX];
        if (loan->open && loan->in_lane)
            return loan->position;
    }
    return p->lane.head;
}

/* Frees what every reliable subscriber has released, as of the last scan. */
static void reclaim(struct ae_publisher *p) {
    struct ae_lane *lane = &p->lane;

    while (lane->count > 0 && (int64_t)(p->released - checkpoint(lane, 0)->seq) >= 0) {
        lane->free = checkpoint(lane, 0)->position;
        lane->first = (lane->first + 1) % AE_CHECKPOINTS;
        lane->count--;
    }
    if (lane->count == 0) /* only open loans are left, which may begin past a wrap */
        lane->free = lowest_open(p);
    /* Nothing is outstanding: a block as large as the lane fits only at its start. */
    if (lane->free == lane->head) {
        lane->head = round_up(lane->head, lane->size);
        lane->free = lane->head;
    }
}

/* The sequence that every reliable cursor must reach before a block of `bytes` fits. */
static uint64_t wanted_seq(struct ae_publisher *p, uint64_t bytes) {
    struct ae_lane *lane = &p->lane;
    uint64_t position;
    unsigned i = 0;

    while (i + 1 < lane->count && !fits(lane, bytes, checkpoint(lane, i)->position, &position))
        i++;
    return checkpoint(lane, i)->seq;
}

static int loans_hold_it(const struct ae_publisher *p, uint64_t bytes) {
    return ae_fail(
        -ENOBUFS, "no room for %" PRIu64 " bytes in the lane of %" PRIu64 ": open loans hold it; commit or discard one",
        bytes, p->lane.size);
}

/* Room for a block of `bytes`, a multiple of the unit and at most the lane. */
static int find_room(struct ae_publisher *p, uint64_t bytes, uint64_t *position) {
    struct ae_lane *lane = &p->lane;
    uint64_t seq;

    if (AE_LIKELY(fits(lane, bytes, lane->free, position)))
        return 0;
    seq = ae_claim_seq(p);
    ae_publisher_scan(p, seq, seq - p->window);
    reclaim(p);
    if (fits(lane, bytes, lane->free, position))
        return 0;
    /* All that subscribers hold set aside: if there is an open loan, what is free at best ends where that begins. */
    if (lowest_open(p) != lane->head && !fits(lane, bytes, lowest_open(p), position))
        return loans_hold_it(p, bytes);
    if (p->geometry.evict_lag != 0 && lane->count > 0) {
        ae_publisher_scan(p, seq, wanted_seq(p, bytes));
        reclaim(p);
        if (fits(lane, bytes, lane->free, position))
            return 0;
    }
    ae_store_relaxed(&p->own->full, ++p->full);
    return AETHER_FULL;
}

int ae_lane_room(struct ae_publisher *p, uint64_t len) {
    uint64_t position;

    return find_room(p, units(len), &position);
}

/* Takes the block at `position`, which find_room() has found. */
static unsigned char *take(struct ae_publisher *p, uint64_t position, uint64_t bytes) {
    struct ae_lane *lane = &p->lane;

    lane->head = position + bytes;
    ae_store_relaxed(lane->floor, lane->head - lane->size);
    /* L1 fence, pairs L2 (validated copy): a reader that finds one new byte finds the new floor, too. */
    ae_fence_release();
    return lane->bytes + (position & (lane->size - 1));
}

/*
 * After a commit or a discard. More entries than this spacing allows would free the lane no sooner than 1/64 of it
 * earlier.
 */
static void make_checkpoint(struct ae_publisher *p) {
    struct ae_lane *lane = &p->lane;
    const struct ae_checkpoint now = {.position = lowest_open(p), .seq = p->hot.next};
    struct ae_checkpoint *newest;
    uint64_t before;

    if (lane->count > 0) {
        newest = checkpoint(lane, lane->count - 1);
        before = lane->count > 1 ? checkpoint(lane, lane->count - 2)->position : lane->free;
        if (newest->position == now.position)
            return; /* nothing new below it */
        if (newest->seq == now.seq || newest->position - before < lane->size / CHECKPOINT_SPACING ||
            lane->count == AE_CHECKPOINTS) {
            *newest = now;
            return;
        }
    } else if (lane->free == now.position) {
        return;
    }
    *checkpoint(lane, lane->count) = now;
    lane->count++;
}

/* ---- commit ---- */

static void write_lane_slot(const struct ae_publisher *p, uint64_t seq, uint64_t position, uint64_t len) {
    unsigned char *slot = p->hot.slots + (seq & p->hot.mask) * p->hot.slot_size;
    ae_u64 *tag = (ae_u64 *)(void *)slot;
    ae_lane_descriptor *descriptor = (ae_lane_descriptor *)(void *)(slot + AE_SLOT_HEADER);

    /* W1 and W2 as for a message in the slot: the payload in the lane and its descriptor come before the tag. */
    ae_store_relaxed(tag, ae_tag(seq, AE_KIND_BUSY, 0));
    ae_fence_release();
    ae_store_relaxed(&descriptor->position, position);
    ae_store_relaxed(&descriptor->where, (uint64_t)p->record << 32 | len);
    ae_store_release(tag, ae_tag(seq, AE_KIND_LANE, sizeof *descriptor));
}

/* ---- loans ---- */

static int too_large(const struct ae_publisher *p, uint64_t len) {
    return ae_fail(-EMSGSIZE, "message of %" PRIu64 " bytes is too large: the topic's maximum is %" PRIu64, len,
                   p->hot.max_message);
}

AE_EXPORT int aether_loan_take(aether_publisher *handle, size_t len, aether_loan *loan) {
    struct ae_publisher *p = ae_publisher_of(handle);
    struct ae_loans *loans = &p->loans;
    struct ae_open_loan *entry = &loans->entries[loans->next % AETHER_LOANS_MAX];
    uint64_t position = 0;
    int rc;

    if (len > handle->max_message)
        return too_large(p, len);
    if (loans->next - loans->first == AETHER_LOANS_MAX)
        return ae_fail(-ENOBUFS, "%u loans are taken since the oldest open one: commit or discard that",
                       AETHER_LOANS_MAX);
    if (len <= handle->inline_max) {
        loan->data = loans->buffer + loans->next % AETHER_LOANS_MAX * loans->stride;
    } else {
        if ((rc = find_room(p, units(len), &position)) != 0)
            return rc;
        loan->data = take(p, position, units(len));
    }
    *entry = (struct ae_open_loan){.position = position, .len = len, .in_lane = len > handle->inline_max, .open = true};
    loan->len = len;
    loan->ticket = loans->next++;
    return 0;
}

static unsigned char *loan_data(const struct ae_publisher *p, const struct ae_open_loan *entry, uint64_t ticket) {
    return entry->in_lane ? p->lane.bytes + (entry->position & (p->lane.size - 1))
                          : p->loans.buffer + ticket % AETHER_LOANS_MAX * p->loans.stride;
}

/* Another publisher's loan may have the same ticket, but its memory is elsewhere. */
static struct ae_open_loan *find_loan(struct ae_publisher *p, const aether_loan *loan) {
    struct ae_open_loan *entry = &p->loans.entries[loan->ticket % AETHER_LOANS_MAX];

    return loan->ticket - p->loans.first < p->loans.next - p->loans.first && entry->open &&
                   loan->data == loan_data(p, entry, loan->ticket)
               ? entry
               : NULL;
}

static int no_such_loan(void) {
    return ae_fail(-EINVAL,
                   "not an open loan of this publisher: it was committed or discarded, or belongs to another one");
}

static void close_loan(struct ae_publisher *p, struct ae_open_loan *entry, aether_loan *loan) {
    struct ae_loans *loans = &p->loans;

    entry->open = false;
    while (loans->first != loans->next && !loans->entries[loans->first % AETHER_LOANS_MAX].open)
        loans->first++;
    if (entry->in_lane)
        make_checkpoint(p);
    *loan = (aether_loan){0};
}

AE_EXPORT int aether_loan_commit(aether_publisher *handle, aether_loan *loan) {
    struct ae_publisher *p = ae_publisher_of(handle);
    struct ae_open_loan *entry = find_loan(p, loan);
    int rc;

    if (entry == NULL)
        return no_such_loan();
    if (loan->len > entry->len)
        return ae_fail(-EINVAL, "loan of %" PRIu64 " bytes is committed with %zu: a length can only be lowered",
                       entry->len, loan->len);
    if ((rc = ae_claim_next(handle, 1)) != 0)
        return rc;
    if (entry->in_lane)
        write_lane_slot(p, handle->next - 1, entry->position, loan->len);
    else
        ae_write_slot(handle, handle->next - 1, loan->data, loan->len);
    ae_wake_sleepers(handle);
    close_loan(p, entry, loan);
    return 0;
}

AE_EXPORT int aether_loan_discard(aether_publisher *handle, aether_loan *loan) {
    struct ae_publisher *p = ae_publisher_of(handle);
    struct ae_open_loan *entry = find_loan(p, loan);

    if (entry == NULL)
        return no_such_loan();
    close_loan(p, entry, loan);
    return 0;
}

/* ---- copies of large messages ---- */

static void copy_pieces(unsigned char *dst, const struct iovec *pieces, size_t count) {
#ifdef AE_TSAN
    /* There ae_copy_in() stores whole words, so pieces of any length are put together first. */
    unsigned char word[8] = {0};
    size_t off = 0;

    for (size_t i = 0; i < count; i++) {
        for (size_t n = 0; n < pieces[i].iov_len; n++) {
            word[off % 8] = ((const unsigned char *)pieces[i].iov_base)[n];
            if (++off % 8 == 0)
                ae_copy_in(dst + off - 8, word, 8);
        }
    }
    if (off % 8 != 0)
        ae_copy_in(dst + off - off % 8, word, off % 8);
#else
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].iov_len != 0)
            ae_copy_in(dst, pieces[i].iov_base, pieces[i].iov_len);
        dst += pieces[i].iov_len;
    }
#endif
}

/* One message of len bytes, above inline_max, in pieces. */
static int publish_in_lane(struct ae_publisher *p, const struct iovec *pieces, size_t count, uint64_t len) {
    uint64_t position;
    int rc;

    if (len > p->hot.max_message)
        return too_large(p, len);
    /* A look for a slot first: room that was taken in the lane and isn't used comes back only later. */
    if ((rc = ae_claim_room(p, 1)) != 0 || (rc = find_room(p, units(len), &position)) != 0)
        return rc;
    copy_pieces(take(p, position, units(len)), pieces, count);
    if ((rc = ae_claim_next(&p->hot, 1)) == 0) {
        write_lane_slot(p, p->hot.next - 1, position, len);
        ae_wake_sleepers(&p->hot);
    }
    make_checkpoint(p); /* also when others have taken the slot */
    return rc;
}

int ae_publish_large(struct ae_publisher *p, const void *data, size_t len) {
    const struct iovec piece = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};

    return publish_in_lane(p, &piece, 1, len);
}

static void write_gathered(struct ae_publisher *p, uint64_t seq, const struct iovec *pieces, size_t count,
                           uint64_t len) {
    unsigned char *slot = p->hot.slots + (seq & p->hot.mask) * p->hot.slot_size;
    ae_u64 *tag = (ae_u64 *)(void *)slot;

    /* W1 and W2 as in ae_write_slot(). */
    ae_store_relaxed(tag, ae_tag(seq, AE_KIND_BUSY, 0));
    ae_fence_release();
    copy_pieces(slot + AE_SLOT_HEADER, pieces, count);
    ae_store_release(tag, ae_tag(seq, AE_KIND_INLINE, len));
}

AE_EXPORT int aether_publish_gather(aether_publisher *handle, const struct iovec *pieces, size_t count) {
    struct ae_publisher *p = ae_publisher_of(handle);
    uint64_t len = 0;
    int rc;

    for (size_t i = 0; i < count; i++) {
        if (__builtin_add_overflow(len, pieces[i].iov_len, &len))
            return ae_fail(-EINVAL, "the lengths of %zu pieces are too large to be added", count);
    }
    if (len > handle->inline_max)
        return publish_in_lane(p, pieces, count, len);
    if ((rc = ae_claim_next(handle, 1)) != 0)
        return rc;
    write_gathered(p, handle->next - 1, pieces, count, len);
    ae_wake_sleepers(handle);
    return 0;
}

/* The messages of a batch: each where an iovec says, or one after the other, of one length. */
struct batch {
    const struct iovec *each; /* NULL: an array */
    const unsigned char *array;
    size_t len, count;
};

static struct iovec message_of(const struct batch *batch, size_t i) {
    return batch->each != NULL
               ? batch->each[i]
               : (struct iovec){.iov_base = (void *)(uintptr_t)(batch->array + i * batch->len), .iov_len = batch->len};
}

/* Checks a batch and adds up what it needs in the lane. */
static int measure_batch(const struct ae_publisher *p, const struct batch *batch, uint64_t *bytes) {
    const uint64_t half = p->geometry.capacity / 2, most = half < AETHER_BATCH_MAX ? half : AETHER_BATCH_MAX;

    *bytes = 0;
    if (batch->count > most)
        return ae_fail(-E2BIG, "batch of %zu messages is too large: at most %" PRIu64 "%s", batch->count, most,
                       most == half ? ", half of the topic's ring" : "");
    for (size_t i = 0; i < batch->count; i++) {
        const uint64_t len = message_of(batch, i).iov_len;
        if (len > p->hot.max_message)
            return too_large(p, len);
        if (len > p->hot.inline_max)
            *bytes += units(len);
        if (*bytes > p->lane.size)
            return ae_fail(-E2BIG, "batch of %zu messages is too large: more than the lane's %" PRIu64 " bytes",
                           batch->count, p->lane.size);
    }
    return 0;
}

/* The messages of a batch that lie in the lane, one after the other from `block` on. */
static void fill_block(const struct ae_publisher *p, const struct batch *batch, unsigned char *block) {
    for (size_t i = 0; i < batch->count; i++) {
        const struct iovec message = message_of(batch, i);
        if (message.iov_len > p->hot.inline_max) {
            copy_pieces(block, &message, 1);
            block += units(message.iov_len);
        }
    }
}

/* A batch with messages in the lane; they take one block together. */
static int publish_batch(struct ae_publisher *p, const struct batch *batch) {
    uint64_t bytes, position = 0;
    int rc = measure_batch(p, batch, &bytes);

    if (rc != 0 || batch->count == 0)
        return rc;
    if (bytes != 0) {
        if ((rc = ae_claim_room(p, batch->count)) != 0 || (rc = find_room(p, bytes, &position)) != 0)
            return rc;
        fill_block(p, batch, take(p, position, bytes));
    }
    if ((rc = ae_claim_next(&p->hot, batch->count)) == 0) {
        const uint64_t seq = p->hot.next - batch->count;
        for (size_t i = 0; i < batch->count; i++) {
            const struct iovec message = message_of(batch, i);
            if (message.iov_len <= p->hot.inline_max) {
                ae_write_slot(&p->hot, seq + i, message.iov_base, message.iov_len);
                continue;
            }
            write_lane_slot(p, seq + i, position, message.iov_len);
            position += units(message.iov_len);
        }
        ae_wake_sleepers(&p->hot);
    }
    if (bytes != 0)
        make_checkpoint(p);
    return rc;
}

AE_EXPORT int aether_detail_publish_batch(aether_publisher *handle, const struct iovec *messages, size_t count) {
    const struct batch batch = {.each = messages, .count = count};

    return publish_batch(ae_publisher_of(handle), &batch);
}

AE_EXPORT int aether_detail_publish_array(aether_publisher *handle, const void *messages, size_t len, size_t count) {
    const struct batch batch = {.array = messages, .len = len, .count = count};

    return publish_batch(ae_publisher_of(handle), &batch);
}
