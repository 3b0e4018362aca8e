/* SPDX-License-Identifier: Apache-2.0 */
/*
 * subscribe.h - subscribers.
 *
 *   reliable      Publishers wait for it, so it misses no message from the sequence at which it joined. At most 64 a
 *                 topic. On a topic that evicts, publishers don't wait: a subscriber that is too slow continues as
 *                 best effort.
 *   best effort   Publishers never wait for it, whatever it does. If it is too slow it loses messages,
 *                 and each loss is reported exactly.
 *   latest        As best effort, but each receive takes the newest message. The messages before that are skipped, not
 *                 lost.
 *
 * A subscriber receives entries in sequence order. An entry is a message, or a gap (lost > 0). For every subscriber:
 * messages delivered + sequences lost + aborted + skipped = sequences advanced since it joined.
 *
 * A subscriber may be opened before its topic has a publisher. Then it waits: it lacks only the topic's memory, whose
 * shape the first publisher fixes. It misses nothing that is published after its open returned. It takes the shape in
 * the first receive, poll or wait after the first publisher was opened; that needs no daemon.
 *
 * Threads, fork, signals: see aether.h. A subscriber may move to another thread with the usual synchronisation. No call
 * that receives allocates memory, takes a lock or waits. The only system call is one that populates a publisher's lane,
 * before the first message in that lane. The exception is the call that takes the topic's shape: it maps and populates
 * the topic as an open does, once.
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
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wold-style-cast" /* the inline functions are C */
#endif

typedef struct aether_subscriber aether_subscriber;

typedef enum aether_policy {
    AETHER_RELIABLE = 0,    /* holds publishers back until it has released what they need */
    AETHER_BEST_EFFORT = 1, /* holds nobody back; a message that it was too slow for is reported as lost */
    AETHER_LATEST = 2       /* holds nobody back; each receive takes the newest message that it hasn't received yet */
} aether_policy;

typedef enum aether_from {
    AETHER_FROM_NEW = 0,    /* the first message published after the open */
    AETHER_FROM_OLDEST = 1, /* the oldest message that the ring still holds */
    AETHER_FROM_LAST = 2    /* the last n messages that the ring still holds, then new ones */
} aether_from;

/*
 * Where the bytes of a message lie if publishers don't wait for the subscriber, and so may overwrite them: best effort,
 * latest, and reliable on a topic that evicts. A reliable subscriber on another topic reads in place. Messages from
 * before its join (oldest, last) are copied for every reliable subscriber.
 */
typedef enum aether_views {
    /* in a buffer of the handle: copied there and then checked, so a message that is delivered is whole */
    AETHER_VIEWS_COPY = 0,
    /*
     * in shared memory, without a copy. A publisher may overwrite them at any time: use the bytes, then call
     * aether_still_valid() before you rely on the result
     */
    AETHER_VIEWS_IN_PLACE = 1
} aether_views;

/* Zero-initialise: reliable, from new, copies where they are needed. The library keeps no reference to the struct. */
typedef struct aether_subscribe_options {
    aether_policy policy;
    /* with AETHER_LATEST: AETHER_FROM_NEW, or any other value for the newest message that the ring holds */
    aether_from from;
    /* with AETHER_FROM_LAST: messages; more than the ring holds means oldest. Must be 0 otherwise */
    uint64_t last;
    aether_views views;
} aether_subscribe_options;

/*
 * An entry. A message has data, len and seq, and lost is 0. A gap has lost > 0: the sequences seq .. seq + lost - 1
 * were overwritten before this subscriber read them; data is NULL and len 0.
 *
 * data is 8-byte aligned and read-only. It is valid until the next receive, poll, wait or close on this handle, or as
 * long as the message is held (aether_hold()). Its bytes don't change meanwhile, unless it is a view in place that
 * publishers may overwrite (see AETHER_VIEWS_IN_PLACE).
 */
typedef struct aether_message {
    uint64_t seq;     /* the topic's offset */
    const void *data; /* len bytes */
    size_t len;       /* bytes */
    uint64_t lost;    /* sequences */
} aether_message;

/* How many messages a subscriber can hold at a time. */
#define AETHER_HOLDS_MAX 64u

/* A message that is held; see aether_hold(). */
typedef struct aether_held {
    aether_message message; /* as it was received; data is valid until aether_release() */
    uint64_t place;         /* private; 0: nothing is held */
} aether_held;

/*
 * Called by aether_poll() for each entry, on the thread of the poll. Returns 0 to continue, another value to end the
 * poll after this entry. message and its data are valid until it returns, or longer if it is held. It mustn't use the
 * subscriber, except with aether_still_valid(), aether_hold() and aether_release().
 */
typedef int aether_handler(void *context, const aether_message *message);

/*
 * Opens a subscriber of the topic. If the topic has never had a publisher, the subscriber waits for the first one.
 * Nothing was published before that, so oldest and last mean the same as new. options may be NULL: reliable, from new.
 * config may be NULL: the topic as it is or will be. What it states is a request (see topic.h). Returns 0 and stores
 * the subscriber, which aether_subscriber_close() frees; aether_disconnect() does so, too.
 *
 * On a topic that evicts, publishers may evict a waiting subscriber before it has taken the shape. Until then it has
 * lost nothing.
 *
 * Nothing keeps messages from before the open (oldest, last) for this subscriber. It reads them as a best-effort
 * subscriber does until it has caught up with the sequence at which it joined. If publishers overwrite some of them
 * first, it gets a gap before the first message after them.
 *
 * Memory: if messages are copied, a buffer of 64 KiB, or of the topic's max_message if that is more. A reliable
 * subscriber from oldest or last has this buffer, too.
 *
 * Blocks for one request (see connect.h) plus, if the topic has its shape, the time to populate the ring and the lanes
 * that are in use.
 * Errors: -ENOENT config states AETHER_OPEN_EXISTING and there is no such topic; -EUSERS the topic has 64 reliable
 *         subscribers, or aetherd has reached its limit of open handles; -EINVAL an option is wrong; -ENOMEM no memory
 *         for the buffer; and those of aether_topic_create().
 */
int aether_subscriber_open(aether_client *client, const char *topic, const aether_subscribe_options *options,
                           const aether_topic_config *config, aether_subscriber **subscriber);

/*
 * Closes the subscriber and frees it: publishers stop waiting for it, and its views are invalid. NULL is allowed.
 * Before this call, make sure that no idle state watches it (aether_idle_watch()). It leaves its notifier or waitset by
 * itself.
 *
 * Blocks for one request (see connect.h). If no daemon runs, it doesn't wait: a later request reports the close to the
 * next daemon.
 */
void aether_subscriber_close(aether_subscriber *subscriber);

/*
 * Receives the next entry, if there is one, and releases the entry before it. Wait-free. Aborted sequences are passed
 * over without an entry. A reliable subscriber stores how far it has released at least every min(256, capacity / 8)
 * messages, and whenever it finds nothing to receive; until then publishers see the older position.
 *
 * Returns 1: *message is filled in. 0: nothing to receive now; *message is undefined.
 * Errors: -ENOMEM there is no memory to map the topic, whose shape is known now. The subscriber goes on waiting, and
 *         the next call tries again.
 *         -EBADMSG the slot holds something that a correct publisher never writes, so a publisher is faulty or hostile;
 *         or the lane that holds the message can't be populated. The subscriber doesn't advance.
 *         -EOVERFLOW publishers have evicted this reliable subscriber. Returned once; from then on the subscriber is
 *         best effort, and reports the messages that it misses as gaps. The eviction itself loses nothing. To be
 *         reliable again, close it and open another one.
 */
AETHER_INLINE int aether_receive(aether_subscriber *subscriber, aether_message *message);

/*
 * Receives up to max entries and releases those of the call before. All views stay valid until the next call on this
 * handle; meanwhile all these entries of a reliable subscriber hold publishers back. Where messages are copied, no more
 * are returned than fit in the buffer, although more may be there. AETHER_LATEST: at most one. Wait-free.
 *
 * Returns the number of entries; 0: nothing to receive now, or max is 0 or less. Errors: as aether_receive(), but only
 * if there is no entry before; after some entries the next call returns the error.
 */
AETHER_INLINE int aether_receive_batch(aether_subscriber *subscriber, aether_message *messages, int max);

/*
 * Receives up to max entries and calls handler(context, entry) for each. Entries are released while the poll continues,
 * so a long poll doesn't hold publishers back. Wait-free, apart from the handler. An entry counts as received when its
 * handler is called.
 *
 * Returns the number of entries handled; 0: nothing to receive now, or max is 0 or less.
 * Errors: as aether_receive(). -EOVERFLOW is returned even after entries were handled, because it is reported only
 *         once. Other errors are returned only if no entry was handled; else the next call returns them.
 */
AETHER_INLINE int aether_poll(aether_subscriber *subscriber, aether_handler *handler, void *context, int max);

/*
 * For AETHER_VIEWS_IN_PLACE: call it after the last access to a message's bytes. message is one that this handle has
 * delivered and whose view is still valid. Wait-free.
 *
 * Returns 1: up to now the bytes were those that were published. 0: they may have been overwritten; discard what was
 * read. Always 1 for a gap, for a copy, and for a view that publishers can't overwrite.
 */
int aether_still_valid(const aether_subscriber *subscriber, const aether_message *message);

/*
 * Keeps a message beyond the next receive, poll or wait, so that a pipeline needs no copy. message is one whose view is
 * still valid: from the last receive or batch, or in a poll's handler. Up to AETHER_HOLDS_MAX messages are held, and
 * released in any order; the same message may be held more than once.
 *
 * A message that is held counts as not read: publishers wait for it as for any other message, and so its subscriber's
 * lag grows with each message that follows. When the ring, or the lane of its publisher, has come round to it,
 * publishers get AETHER_FULL. So don't wait without a time limit for another message while you hold one for which
 * publishers may wait. Release messages in time, or choose a ring and a lane with room for more than you hold. On a
 * topic that evicts, a subscriber that holds messages for too long is evicted: then nothing is held any more, and the
 * bytes may be overwritten, so call aether_still_valid() with &held->message after the last access to them.
 *
 * Other threads may read the bytes. hold and release are calls on the subscriber like any other: one thread at a time.
 * Closing the subscriber releases all; don't release, or use the bytes, after that. Wait-free.
 *
 * Returns 0: *held is filled in, and is the caller's. After an error *held holds nothing.
 * Errors: -ENOBUFS AETHER_HOLDS_MAX messages are held; -ENOTSUP publishers don't wait for the subscriber (best effort,
 *         latest, evicted), or the message is a copy (retained messages; without AETHER_VIEWS_IN_PLACE all messages of
 *         a topic that evicts); -EINVAL message is a gap, a struct that no receive has filled in (zeroed), or its view
 *         isn't valid any more.
 */
int aether_hold(aether_subscriber *subscriber, const aether_message *message, aether_held *held);

/*
 * Releases a message that this subscriber holds: its bytes may be overwritten from now on. *held then holds nothing. If
 * it held nothing before, or is zeroed, nothing happens. Wait-free.
 */
void aether_release(aether_subscriber *subscriber, aether_held *held);

/* The state of a topic's publishers, as seen from a subscriber's position. */
typedef enum aether_stream {
    /* no publisher has been open since this subscriber was opened, which began at no older message (oldest, last) */
    AETHER_STREAM_NONE = 0,
    /* a publisher is open, or this subscriber hasn't received all that was published */
    AETHER_STREAM_OPEN = 1,
    /* the last publisher has closed, and this subscriber has received all that was published */
    AETHER_STREAM_CLOSED = 2,
    /*
     * as CLOSED, but at least one publisher died since the topic last had none: after this subscriber was opened or, if
     * it began at an older message, at any time since. All that it committed was received
     */
    AETHER_STREAM_DIED = 3
} aether_stream;

/*
 * Returns the state of the stream at this subscriber's position. CLOSED and DIED come after the last message and no
 * earlier. Publishers that had left before the subscriber was opened, and whose messages it doesn't receive, don't
 * count: the state is NONE, whether or not there were any. If another publisher opens later, the state is OPEN again. A
 * death shows when aetherd has proof of it. Call it in a loop that found nothing to receive. Wait-free.
 */
aether_stream aether_subscriber_stream(const aether_subscriber *subscriber);

/*
 * Returns the sequence at which the next receive begins: all below it is accounted for as delivered, lost, aborted or
 * skipped. Wait-free.
 */
AETHER_INLINE uint64_t aether_subscriber_next(const aether_subscriber *subscriber);

/* Counters of one subscriber since it was opened: delivered + lost + aborted + skipped = next - joined. */
typedef struct aether_subscriber_stats {
    uint64_t joined;    /* first sequence that it counts: the join, or with oldest and last the first one asked for */
    uint64_t next;      /* sequence at which the next receive begins */
    uint64_t delivered; /* messages */
    uint64_t lost;      /* sequences reported as lost in gaps */
    uint64_t gaps;      /* gaps */
    uint64_t aborted;   /* sequences that a publisher had claimed, but died before it committed them */
    uint64_t skipped;   /* latest: sequences passed over for a newer message */
    uint64_t evicted;   /* 1: publishers have evicted it, and -EOVERFLOW was returned */
} aether_subscriber_stats;

/* Copies the subscriber's counters to *stats. Call it on the thread that uses the subscriber. Wait-free. */
void aether_subscriber_get_stats(const aether_subscriber *subscriber, aether_subscriber_stats *stats);

/* ---- inline hot path ---- */

/*
 * aether_receive() where the inline code can't: the next slot holds no whole message (nothing yet, a gap, an aborted
 * sequence, a message in a lane), or the message is stamped, or it must be copied and validated.
 */
int aether_detail_receive(aether_subscriber *subscriber, aether_message *message);
/* n entries are there already, which this call has received; it goes on up to max, and returns their number. */
int aether_detail_receive_batch(aether_subscriber *subscriber, aether_message *messages, int n, int max);

/* F1 release, pairs F2 (scan): a publisher overwrites a slot only after the subscriber's last load from it. */
static inline void ae_show_cursor(const struct aether_subscriber *subscriber, uint64_t seq) {
    ae_store_release(subscriber->cursor, seq);
}

static inline void ae_store_cursor(struct aether_subscriber *subscriber, uint64_t seq) {
    ae_show_cursor(subscriber, seq);
    subscriber->cursor_stored = seq;
}

AE_ALWAYS_INLINE const unsigned char *ae_slot_at(const struct aether_subscriber *subscriber, uint64_t seq) {
    return subscriber->slots + (seq & subscriber->mask) * subscriber->slot_size;
}

/*
 * Reads slot, which is the slot of seq. Returns 1: it holds the message of seq in the slot, and *message is filled in.
 * 0: it holds an older message, so seq isn't published yet. -1: anything else. The subtraction checks three things at
 * once: the tag's sequence, its kind, and that the length is at most inline_max.
 */
AE_ALWAYS_INLINE int ae_read_slot(const struct aether_subscriber *subscriber, const unsigned char *slot, uint64_t seq,
                                  aether_message *message) {
    /* R1 acquire, pairs W2 (publish): a subscriber that sees the tag sees the payload. */
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
            ae_show_cursor(subscriber, seq);
        const int rc = ae_read_slot(subscriber, ae_slot_at(subscriber, seq), seq, message);
        if (AE_LIKELY(rc == 1)) {
            subscriber->next = seq + 1;
            subscriber->bytes += message->len;
            return 1;
        }
        if (rc == 0 && subscriber->cursor_stored == seq) /* the figures are stored, too */
            return 0;
    }
    return aether_detail_receive(subscriber, message);
}

AETHER_INLINE int aether_receive_batch(aether_subscriber *subscriber, aether_message *messages, int max) {
    const uint64_t seq = subscriber->next;
    uint64_t bytes = 0;
    int n = 0, rc = 1;

    if (AE_UNLIKELY(!subscriber->zero_copy))
        return aether_detail_receive_batch(subscriber, messages, 0, max);
    /* Not ae_store_cursor(): cursor_stored says that the figures are stored, too, and this call doesn't store them. */
    ae_show_cursor(subscriber, seq);
    while (n < max && (rc = ae_read_slot(subscriber, ae_slot_at(subscriber, seq + (unsigned)n), seq + (unsigned)n,
                                         &messages[n])) == 1) {
        uint64_t len = messages[n++].len;
        /* Hides what len is from clang, which else sums the tags, and then what it must subtract from them. */
        __asm__("" : "+r"(len));
        bytes += len;
    }
    subscriber->next = seq + (unsigned)n;
    subscriber->bytes += bytes;
    if (AE_UNLIKELY(rc < 0 || (rc == 0 && n == 0)))
        return aether_detail_receive_batch(subscriber, messages, n, max);
    return n;
}

AETHER_INLINE int aether_poll(aether_subscriber *subscriber, aether_handler *handler, void *context, int max) {
    /* A copy in registers, and a pointer that steps from slot to slot: through memory each step waits for the last. */
    const struct aether_subscriber hot = *subscriber;
    const uint64_t step = hot.cursor_mask & hot.mask;
    int n = 0;

    while (n < max) {
        const uint64_t first = subscriber->next;
        const uint64_t end = first + (subscriber->zero_copy ? (unsigned)(max - n) : 0);
        uint64_t seq = first, stop = seq;
        while (seq == stop && seq != end) {
            /* Up to the next sequence at which the cursor must be stored, the end of the ring, or `end`. */
            const uint64_t left = end - seq, due = step + 1 - (seq & step);
            const unsigned char *slot = hot.slots + (seq & hot.mask) * hot.slot_size;
            stop = seq + (left < due ? left : due);
            if ((seq & hot.cursor_mask) == 0)
                ae_show_cursor(subscriber, seq);
            for (; seq != stop; slot += hot.slot_size) {
                aether_message message;
                if (AE_UNLIKELY(ae_read_slot(&hot, slot, seq, &message) != 1))
                    break;
                subscriber->next = ++seq; /* before the handler, which may not return */
                subscriber->bytes += message.len;
                if (AE_UNLIKELY(handler(context, &message) != 0))
                    return n + (int)(seq - first);
            }
        }
        n += (int)(seq - first);
        if (n == max)
            break;
        /* What the loop above can't receive: nothing yet, a gap, a stamped message ... */
        aether_message message;
        const int rc = aether_receive(subscriber, &message);
        if (rc <= 0)
            return n > 0 && rc != -EOVERFLOW ? n : rc; /* -EOVERFLOW isn't returned a second time */
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
#pragma GCC diagnostic pop
}
#endif
#endif
