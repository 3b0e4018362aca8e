/* SPDX-License-Identifier: Apache-2.0 */
/* publish.c - publishing outside the fast path: messages in lanes, gathers, and the other batches and arrays. */
#include "base/error.h"
#include "base/export.h"
#include "ring/claimer.h"
#include "ring/commit.h"
#include "ring/lane.h"
#include <inttypes.h>

/* ---- one message ---- */

/* Publishes one message of len bytes, which is above inline_max. */
static int publish_in_lane(struct ae_publisher *p, const struct iovec *pieces, size_t count, uint64_t len) {
    uint64_t position;
    int rc;

    if (len > p->hot.max_message)
        return ae_lane_too_large(p, len);
    /* Check for a slot first: lane room that is taken and then not used is free again only later. */
    if ((rc = ae_claim_room(p, 1)) != 0 || (rc = ae_lane_find(p, ae_lane_units(len), &position)) != 0)
        return rc;
    ae_copy_pieces(ae_lane_take(p, position, ae_lane_units(len)), pieces, count);
    if ((rc = ae_claim_next(p, 1)) == 0) {
        ae_lane_commit(p, p->hot.next - 1, position, len);
        ae_wake_sleepers(&p->hot);
    }
    ae_lane_checkpoint(p); /* also if the claim failed, because another publisher has claimed the slot */
    return rc;
}

static int publish_large(struct ae_publisher *p, const void *data, size_t len) {
    const struct iovec piece = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};

    return publish_in_lane(p, &piece, 1, len);
}

AE_EXPORT int aether_detail_publish(aether_publisher *publisher, const void *data, size_t len) {
    struct ae_publisher *p = ae_publisher_of(publisher);
    int rc;

    if (len > publisher->inline_max)
        return publish_large(p, data, len);
    if ((rc = ae_claim_slow(p, 1)) != 0)
        return rc;
    ae_commit_message(p, publisher->next - 1, data, len);
    ae_wake_sleepers(publisher);
    return 0;
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
    if ((rc = ae_claim_next(p, 1)) != 0)
        return rc;
    ae_commit_pieces(p, handle->next - 1, pieces, count, len);
    ae_wake_sleepers(handle);
    return 0;
}

/* ---- batches ---- */

/* The messages of a batch: either an iovec for each, or an array of messages of one length. */
struct batch {
    /* NULL: an array. */
    const struct iovec *each;
    const unsigned char *array;
    /* len: of each message of the array. */
    size_t len, count;
};

static struct iovec message_of(const struct batch *batch, size_t i) {
    return batch->each != NULL
               ? batch->each[i]
               : (struct iovec){.iov_base = (void *)(uintptr_t)(batch->array + i * batch->len), .iov_len = batch->len};
}

/* Checks a batch, and sets *bytes to what its messages need in the lane together. */
static int measure_batch(const struct ae_publisher *p, const struct batch *batch, uint64_t *bytes) {
    const uint64_t half = p->geometry.capacity / 2, most = half < AETHER_BATCH_MAX ? half : AETHER_BATCH_MAX;

    *bytes = 0;
    if (batch->count > most)
        return ae_fail(-E2BIG, "batch of %zu messages is too large: at most %" PRIu64 "%s", batch->count, most,
                       most == half ? ", half of the topic's ring" : "");
    for (size_t i = 0; i < batch->count; i++) {
        const uint64_t len = message_of(batch, i).iov_len;
        if (len > p->hot.max_message)
            return ae_lane_too_large(p, len);
        if (len > p->hot.inline_max)
            *bytes += ae_lane_units(len);
        if (*bytes > p->lane.size)
            return ae_fail(-E2BIG, "batch of %zu messages is too large: more than the lane's %" PRIu64 " bytes",
                           batch->count, p->lane.size);
    }
    return 0;
}

/* Copies the messages that don't fit in a slot into the lane, one after the other from `block` on. */
static void fill_block(const struct ae_publisher *p, const struct batch *batch, unsigned char *block) {
    for (size_t i = 0; i < batch->count; i++) {
        const struct iovec message = message_of(batch, i);
        if (message.iov_len > p->hot.inline_max) {
            ae_copy_pieces(block, &message, 1);
            block += ae_lane_units(message.iov_len);
        }
    }
}

/* Publishes a batch. Its messages in the lane take one block together. */
static int publish_batch(struct ae_publisher *p, const struct batch *batch) {
    uint64_t bytes, position = 0;
    int rc = measure_batch(p, batch, &bytes);

    if (rc != 0 || batch->count == 0)
        return rc;
    if (bytes != 0) {
        if ((rc = ae_claim_room(p, batch->count)) != 0 || (rc = ae_lane_find(p, bytes, &position)) != 0)
            return rc;
        fill_block(p, batch, ae_lane_take(p, position, bytes));
    }
    if ((rc = ae_claim_next(p, batch->count)) == 0) {
        const uint64_t seq = p->hot.next - batch->count;
        for (size_t i = 0; i < batch->count; i++) {
            const struct iovec message = message_of(batch, i);
            if (message.iov_len <= p->hot.inline_max) {
                ae_commit_message(p, seq + i, message.iov_base, message.iov_len);
                continue;
            }
            ae_lane_commit(p, seq + i, position, message.iov_len);
            position += ae_lane_units(message.iov_len);
        }
        p->hot.batches++;
        ae_wake_sleepers(&p->hot);
    }
    if (bytes != 0)
        ae_lane_checkpoint(p);
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
