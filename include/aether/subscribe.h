/* SPDX-License-Identifier: Apache-2.0 */
/*
 * subscribe.h - subscribers.
 *
 *   reliable     the publisher waits for it: it misses nothing from the sequence at which it joined. At most 64 a
 *                topic. On a topic that evicts, one that is too slow loses this and goes on as best effort.
 *   best effort  nobody ever waits for it, and it can't write to the topic: a slow one loses messages and is told
 *   exactly which.
 *   latest       best effort, but it is only interested in the newest message: what it passes over is skipped, not
 *                lost.
 *
 * Everything that happens to a subscriber arrives in sequence order as an aether_message: a message, or a gap (lost >
 * 0). For every subscriber: messages delivered + sequences lost + aborted + skipped = sequences advanced since it
 * joined.
 *
 *     aether_subscriber *sub;
 *     aether_message m;
 *     aether_subscriber_open(client, "market/eur", NULL, NULL, &sub);
 *     for (;;) {
 *         int n = aether_receive(sub, &m);
 *         if (n > 0 && m.lost == 0) use(m.data, m.len);
 *         aether_idle(&idle, n);
 *     }
 */
#ifndef AETHER_SUBSCRIBE_H
#define AETHER_SUBSCRIBE_H

#include <aether/detail/handle.h>
#include <aether/error.h>
#include <aether/topic.h>

#ifndef AETHER_INLINE
#define AETHER_INLINE static inline __attribute__((always_inline))
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct aether_subscriber aether_subscriber;

typedef enum aether_policy {
    AETHER_RELIABLE = 0,    /* flow-controls the publisher */
    AETHER_BEST_EFFORT = 1, /* never does; loses and reports what it was too slow for */
    AETHER_LATEST = 2       /* never does; each receive takes the newest message, if it is newer than the one before */
} aether_policy;

typedef enum aether_from {
    AETHER_FROM_NEW = 0,    /* the first message published after the open */
    AETHER_FROM_OLDEST = 1, /* the oldest message that the ring still holds */
    AETHER_FROM_LAST = 2    /* the last n messages that the ring still holds, then new ones */
} aether_from;

/* Where the messages of a subscriber lie that may be overrun: best effort, latest, reliable on a topic that evicts. */
typedef enum aether_views {
    AETHER_VIEWS_COPY = 0, /* in a buffer of the handle: copied, then checked. What is delivered is whole */
    /*
     * in shared memory: no copy, but a publisher may overwrite them at any time. Use the bytes, then ask
     * aether_still_valid()
     */
    AETHER_VIEWS_IN_PLACE = 1
} aether_views;

/* Zero-initialise: reliable, from new, copies where they are needed. */
typedef struct aether_subscribe_options {
    aether_policy policy;
    aether_from from; /* with AETHER_LATEST: from new, or, for any other value, the newest message that is there */
    uint64_t last;    /* with AETHER_FROM_LAST: how many; more than the ring holds means oldest */
    aether_views views;
} aether_subscribe_options;

/*
 * What is delivered. A message: data, len and seq, lost 0. A gap: the sequences seq .. seq + lost - 1 were overwritten
 * before this subscriber read them; data is NULL and len 0.
 *
 * data is 8-byte aligned, read-only, and the caller's to read until the next receive, poll, wait or close on this
 * handle. Of a reliable subscriber on a topic that doesn't evict it doesn't change meanwhile; of others neither, unless
 * they asked for AETHER_VIEWS_IN_PLACE.
 */
typedef struct aether_message {
    uint64_t seq;     /* the topic's offset */
    const void *data; /* len bytes */
    size_t len;       /* bytes */
    uint64_t lost;    /* sequences */
} aether_message;

/*
 * Called for each entry. Returns 0 to go on, anything else to end the poll after this entry. The view ends with the
 * call. Doesn't use the subscriber, but for aether_still_valid().
 */
typedef int aether_handler(void *context, const aether_message *message);

/*
 * Opens a subscriber, creating the topic if it doesn't exist. options and config may be NULL. Messages that the ring
 * holds from before the open (oldest, last) are read like a best-effort reader's until the subscriber has caught up
 * with the sequence at which it joined: a publisher that overruns them meanwhile causes a gap, reported before the
 * first message after it.
 *
 * Faults: -EUSERS the topic has 64 reliable subscribers; -EINVAL options; and those of aether_topic_create().
 * Memory: with copies, a buffer of 64 KiB or the topic's longest message.
 */
int aether_subscriber_open(aether_client *client, const char *topic, const aether_subscribe_options *options,
                           const aether_topic_config *config, aether_subscriber **subscriber);

/* Closes the subscriber; publishers stop waiting for it. NULL is allowed. */
void aether_subscriber_close(aether_subscriber *subscriber);

/*
 * Takes the next entry, if there is one, and releases the one before. Wait-free.
 * Returns 1: *message is filled in. 0: nothing to deliver now.
 * Faults: -EBADMSG the ring holds something that no publisher writes (a faulty or hostile publisher); the subscriber
 *         stays where it is.
 *         -EOVERFLOW publishers have evicted this reliable subscriber. Told once; from now on it is best effort, and
 *         what it then misses is reported as gaps. Nothing is lost by the eviction itself. To be reliable again:
 *         close it and open another one.
 */
AETHER_INLINE int aether_receive(aether_subscriber *subscriber, aether_message *message);

/*
 * Takes up to max entries at once; all their views stay valid until the next call. A reliable subscriber holds the
 * publisher back by what it holds. Best effort copies into a buffer made at open and so may return fewer than are
 * there.
 * Returns the number of entries, 0 for none. Faults as aether_receive(), only when there is no entry before.
 */
AETHER_INLINE int aether_receive_batch(aether_subscriber *subscriber, aether_message *messages, int max);

/*
 * Calls handler for up to max entries. Messages are released as the poll goes on, so the publisher isn't held back by a
 * long one.
 * Returns the number of entries handled, 0 for none. Faults as aether_receive(): -EOVERFLOW, which is told only once,
 * also after entries that were handled; others only when there is no entry before.
 */
AETHER_INLINE int aether_poll(aether_subscriber *subscriber, aether_handler *handler, void *context, int max);

/*
 * For AETHER_VIEWS_IN_PLACE, after the last look at a message's bytes: 1: they were what was published, all the time.
 * 0: they may have been overwritten meanwhile; forget what you read. Always 1 for views that can't be overwritten.
 * message: as it was delivered by this handle. Wait-free.
 */
int aether_still_valid(const aether_subscriber *subscriber, const aether_message *message);

/* What a subscriber can know of the topic's publishers. */
typedef enum aether_stream {
    AETHER_STREAM_NONE = 0, /* no publisher has been there yet */
    /* a publisher is attached, or this subscriber hasn't received all that the last one published */
    AETHER_STREAM_OPEN = 1,
    AETHER_STREAM_CLOSED = 2, /* the last publisher has closed, and all it published has been received */
    AETHER_STREAM_DIED = 3    /* the same, but a publisher has died; everything that it committed was received */
} aether_stream;

/*
 * The state of the stream where this subscriber stands. CLOSED and DIED come after the last message and no earlier;
 * another publisher may open later, then it is OPEN again. A death is seen when aetherd has proof of it. Meant for a
 * loop that found nothing to receive. Wait-free.
 */
aether_stream aether_subscriber_stream(const aether_subscriber *subscriber);

/* The sequence of the next message that will be delivered. */
AETHER_INLINE uint64_t aether_subscriber_next(const aether_subscriber *subscriber);

/* Counters of one subscriber since it was opened: delivered + lost + aborted + skipped = next - joined. */
typedef struct aether_subscriber_stats {
    uint64_t joined;    /* sequence from which it accounts: for oldest and last, the first that it asked for */
    uint64_t next;      /* sequence of the next message to deliver */
    uint64_t delivered; /* messages */
    uint64_t lost;      /* sequences reported as gaps */
    uint64_t gaps;      /* gap reports */
    uint64_t aborted;   /* sequences claimed by a publisher that died before it committed them */
    uint64_t skipped;   /* latest: sequences passed over for a newer message */
    uint64_t evicted;   /* 1: was evicted, and has been told */
} aether_subscriber_stats;
void aether_subscriber_get_stats(const aether_subscriber *subscriber, aether_subscriber_stats *stats);

/* ---- inline hot path ---- */

/*
 * Everything that isn't a whole message in the next slot of a reliable subscriber: nothing yet, a gap, an aborted
 * sequence, a validated copy.
 */
int aether_detail_receive(aether_subscriber *subscriber, aether_message *message);
int aether_detail_receive_batch(aether_subscriber *subscriber, aether_message *messages, int max);

/* F1 release, pairs F2 (scan): the publisher overwrites a slot only after the reader's last look at it. */
static inline void ae_store_cursor(struct aether_subscriber *subscriber, uint64_t seq) {
    ae_store_release(subscriber->cursor, seq);
    subscriber->cursor_stored = seq;
}

AE_ALWAYS_INLINE const unsigned char *ae_slot_at(const struct aether_subscriber *subscriber, uint64_t seq) {
    return subscriber->slots + (seq & subscriber->mask) * subscriber->slot_size;
}

/*
 * Looks at slot, which is that of seq. 1: it holds the message, *message is filled in. 0: it holds something older:
 * nothing yet. -1: something else. The subtraction checks three things at once: the tag's sequence, its kind, and that
 * its length is within the slot.
 */
AE_ALWAYS_INLINE int ae_read_slot(const struct aether_subscriber *subscriber, const unsigned char *slot, uint64_t seq,
                                  aether_message *message) {
    /* R1 acquire, pairs W2 (publish): whoever sees the tag sees the payload. */
    const uint64_t len = ae_load_acquire((const ae_u64 *)(const void *)slot) - ae_tag(seq, AE_KIND_INLINE, 0);

    if (AE_UNLIKELY(len > subscriber->inline_max))
        return (int64_t)len < 0 ? 0 : -1;
    message->seq = seq;
    message->data = slot + AE_SLOT_HEADER;
    message->len = len;
    message->lost = 0;
    return 1;
}

AETHER_INLINE int aether_receive(aether_subscriber *subscriber, aether_message *message) {
    const uint64_t seq = subscriber->next;

    if (AE_LIKELY(subscriber->zero_copy)) {
        if (AE_UNLIKELY((seq & subscriber->cursor_mask) == 0))
            ae_store_cursor(subscriber, seq);
        const int rc = ae_read_slot(subscriber, ae_slot_at(subscriber, seq), seq, message);
        if (AE_LIKELY(rc == 1)) {
            subscriber->next = seq + 1;
            return 1;
        }
        if (rc == 0 && subscriber->cursor_stored == seq)
            return 0;
    }
    return aether_detail_receive(subscriber, message);
}

AETHER_INLINE int aether_receive_batch(aether_subscriber *subscriber, aether_message *messages, int max) {
    const uint64_t seq = subscriber->next;
    int n = 0;

    if (AE_UNLIKELY(!subscriber->zero_copy))
        return aether_detail_receive_batch(subscriber, messages, max);
    ae_store_cursor(subscriber, seq);
    while (n < max &&
           ae_read_slot(subscriber, ae_slot_at(subscriber, seq + (unsigned)n), seq + (unsigned)n, &messages[n]) == 1)
        n++;
    subscriber->next = seq + (unsigned)n;
    if (AE_UNLIKELY(n == 0 && max > 0))
        return aether_detail_receive_batch(subscriber, messages, max);
    return n;
}

AETHER_INLINE int aether_poll(aether_subscriber *subscriber, aether_handler *handler, void *context, int max) {
    /* In registers, and by steps from slot to slot: through memory each step would wait for the last one. */
    const struct aether_subscriber hot = *subscriber;
    const uint64_t step = hot.cursor_mask & hot.mask, end = hot.next + (hot.zero_copy && max > 0 ? (unsigned)max : 0);
    uint64_t seq = hot.next, stop = seq;
    int n;

    while (seq == stop && seq != end) {
        /* Up to where the cursor is due, or the ring wraps; or the end. */
        const uint64_t left = end - seq, due = step + 1 - (seq & step);
        const unsigned char *slot = hot.slots + (seq & hot.mask) * hot.slot_size;
        stop = seq + (left < due ? left : due);
        if ((seq & hot.cursor_mask) == 0)
            ae_store_cursor(subscriber, seq);
        for (; seq != stop; slot += hot.slot_size) {
            aether_message message;
            if (AE_UNLIKELY(ae_read_slot(&hot, slot, seq, &message) != 1))
                break;
            subscriber->next = ++seq; /* before the handler, which may not come back */
            if (AE_UNLIKELY(handler(context, &message) != 0))
                return (int)(seq - hot.next);
        }
    }
    n = (int)(seq - hot.next);
    while (n < max) {
        aether_message message;
        const int rc = aether_receive(subscriber, &message);
        if (rc <= 0)
            return n > 0 && rc != -EOVERFLOW ? n : rc; /* the one fault that isn't told again */
        n++;
        if (handler(context, &message) != 0)
            break;
    }
    return n;
}

AETHER_INLINE uint64_t aether_subscriber_next(const aether_subscriber *subscriber) {
    return subscriber->next;
}

#ifdef __cplusplus
}
#endif
#endif
