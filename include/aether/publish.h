/* SPDX-License-Identifier: Apache-2.0 */
/*
 * publish.h - publishers.
 *
 * A topic has one publisher at a time (it is exclusive). When the publisher dies or closes, the next one goes on at the first sequence that was not
 * committed; nothing that was published is lost and no sequence is used twice.
 *
 *     aether_publisher *pub;
 *     aether_publisher_open(client, "market/eur", NULL, &pub);
 *     while (aether_publish(pub, &quote, sizeof quote) == AETHER_FULL)
 *         aether_idle(&idle, 0);
 */
#ifndef AETHER_PUBLISH_H
#define AETHER_PUBLISH_H

#include <aether/detail/handle.h>
#include <aether/error.h>
#include <aether/topic.h>
#include <sys/uio.h>

/* The library compiles the inline functions once more as exported symbols, for bindings that have no C compiler. */
#ifndef AETHER_INLINE
#define AETHER_INLINE static inline
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct aether_publisher aether_publisher;

/*
 * Opens the topic's publisher, creating the topic if it doesn't exist. config may be NULL (see topic.h). Every byte that publishing will
 * touch is mapped and populated here. Blocks for at most 5 seconds plus the time to populate the ring.
 *
 * Faults: -EBUSY the topic has a living publisher (the text names it); and those of aether_topic_create().
 */
int aether_publisher_open(aether_client *client, const char *topic, const aether_topic_config *config,
                          aether_publisher **publisher);

/* Closes the publisher; what it published stays. NULL is allowed. */
void aether_publisher_close(aether_publisher *publisher);

/*
 * Publishes one message: copies len bytes from data into the ring. Wait-free: a few instructions, or one bounded look at the subscribers' cursors
 * when the known free space is used up. With a constant len it compiles to plain moves.
 *
 * data   any alignment; may be NULL if len is 0; not kept.
 * Returns 0: published, its sequence was aether_publisher_next(). AETHER_FULL: a reliable subscriber is a whole ring behind; nothing happened.
 * Faults: -EMSGSIZE len exceeds the topic's maximum (the text names it).
 */
AETHER_INLINE int aether_publish(aether_publisher *publisher, const void *data, size_t len);

/*
 * Publishes count messages with consecutive sequences, all or nothing. Readers may see the first ones before the last one is written.
 * count may be 0. Returns and faults as aether_publish(); -E2BIG: count exceeds half the topic's capacity.
 */
AETHER_INLINE int aether_publish_batch(aether_publisher *publisher, const struct iovec *messages, size_t count);

/* The sequence of the next message that will be published: the topic's offset. */
AETHER_INLINE uint64_t aether_publisher_next(const aether_publisher *publisher);

/* The largest message, in bytes. */
AETHER_INLINE size_t aether_publisher_max_message(const aether_publisher *publisher);

/* ---- inline hot path. Memory-order edges are labelled; docs/memory-model.md has both ends of each. ---- */

/* Finds room for count messages: 0, or AETHER_FULL. Out of line: runs once every time the known free space is used up. */
int aether_detail_refresh(aether_publisher *publisher, uint64_t count);
/* Formats the text for a refused publish and returns code. */
int aether_detail_refuse(const aether_publisher *publisher, size_t value, int code);

AE_ALWAYS_INLINE void ae_write_slot(const struct aether_publisher *publisher, uint64_t seq, const void *data,
                                    size_t len) {
    unsigned char *slot = publisher->slots + (seq & publisher->mask) * publisher->slot_size;
    ae_u64 *tag = (ae_u64 *)(void *)slot;

#ifdef AE_STORE16
    /* Tag and payload change at once, so there is no half-written state to mark. A reader that polls the line takes it away once
     * and not between two stores: the difference between 1.0 and 1.4 line transfers a hop. */
    if (len == 8 && AE_LIKELY(publisher->store16)) {
        uint64_t word;
        memcpy(&word, data, sizeof word);
        /* W2 release, pairs R1 (receive); and V1: a validated copy that took the new word finds the new tag. */
        ae_store16_release(tag, ae_tag(seq, AE_KIND_INLINE, 8), word);
        return;
    }
#endif
    /* A reader that copies this slot's old message must not take new bytes for it: the tag stops saying that the old
     * message is there before the first byte changes. W1 fence, pairs V1 (validated copy). */
    ae_store_relaxed(tag, ae_tag(seq, AE_KIND_BUSY, 0));
    ae_fence_release();
    if (len != 0)
        ae_copy_in(slot + AE_SLOT_HEADER, data, len);
    /* W2 release, pairs R1 (receive) and S2 (successor): whoever sees the tag sees the payload. */
    ae_store_release(tag, ae_tag(seq, AE_KIND_INLINE, len));
}

/* C1 release, pairs J4 (join) and S1 (successor): whoever sees the claim sees every slot below it committed. */
static inline void ae_store_claim(const struct aether_publisher *publisher, uint64_t next) {
    ae_store_release(publisher->claim, next << AE_CLAIM_SEQ_SHIFT | publisher->claim_owner);
}

AETHER_INLINE int aether_publish(aether_publisher *publisher, const void *data, size_t len) {
    const uint64_t seq = publisher->next;

    if (AE_UNLIKELY(len > publisher->max_message))
        return aether_detail_refuse(publisher, len, -EMSGSIZE);
    if (AE_UNLIKELY(seq == publisher->limit)) {
        const int rc = aether_detail_refresh(publisher, 1);
        if (rc != 0)
            return rc;
    }
    ae_write_slot(publisher, seq, data, len);
    publisher->next = seq + 1;
    ae_store_claim(publisher, seq + 1);
    return 0;
}

AETHER_INLINE int aether_publish_batch(aether_publisher *publisher, const struct iovec *messages, size_t count) {
    const uint64_t seq = publisher->next;

    if (AE_UNLIKELY(count > (publisher->mask + 1) / 2))
        return aether_detail_refuse(publisher, count, -E2BIG);
    for (size_t i = 0; i < count; i++) {
        if (AE_UNLIKELY(messages[i].iov_len > publisher->max_message))
            return aether_detail_refuse(publisher, messages[i].iov_len, -EMSGSIZE);
    }
    if (AE_UNLIKELY(publisher->limit - seq < count)) {
        const int rc = aether_detail_refresh(publisher, count);
        if (rc != 0)
            return rc;
    }
    for (size_t i = 0; i < count; i++)
        ae_write_slot(publisher, seq + i, messages[i].iov_base, messages[i].iov_len);
    publisher->next = seq + count;
    ae_store_claim(publisher, seq + count);
    return 0;
}

AETHER_INLINE uint64_t aether_publisher_next(const aether_publisher *publisher) {
    return publisher->next;
}

AETHER_INLINE size_t aether_publisher_max_message(const aether_publisher *publisher) {
    return publisher->max_message;
}

#ifdef __cplusplus
}
#endif
#endif
