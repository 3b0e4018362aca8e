/* SPDX-License-Identifier: Apache-2.0 */
/*
 * publish.h - publishers.
 *
 * A topic has up to 64 publishers at a time, in any processes, or one if it is exclusive. Their messages have one order
 * that all subscribers see, in which each publisher's have the order of its calls. A publisher that is killed, at any
 * moment, loses nothing that it had published, and holds nobody up once aetherd has proof of its death; one that is
 * stopped keeps what it has begun, and finishes it when it goes on.
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
#define AETHER_INLINE static inline __attribute__((always_inline))
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct aether_publisher aether_publisher;

/*
 * Opens a publisher of the topic, creating the topic if it doesn't exist. config may be NULL (see topic.h). Every byte
 * that publishing will touch is mapped and populated here. Blocks for at most 5 seconds plus the time to populate the
 * ring.
 *
 * Faults: -EUSERS the topic has 64 publishers; -EBUSY it is exclusive and has one (the text names it); and those of
 *         aether_topic_create().
 */
int aether_publisher_open(aether_client *client, const char *topic, const aether_topic_config *config,
                          aether_publisher **publisher);

/*
 * Closes the publisher; what it published stays, open loans are discarded, subscribers see the end of the stream. NULL
 * is allowed.
 */
void aether_publisher_close(aether_publisher *publisher);

/*
 * Publishes one message: copies len bytes from data into the ring, or into the publisher's lane if len is above the
 * topic's inline_max. With a constant len it compiles to plain moves.
 *
 * Bounded: a few instructions; a look at the subscribers' cursors when the known free space is used up; while others
 * publish at the same moment up to AETHER_CLAIM_TRIES tries to claim a sequence, with growing pauses of at most a
 * microsecond or so. The first message after a second publisher has come may cost it a membarrier(2), some 10 us. If a
 * subscriber sleeps, it is woken: one system call. No call waits for another process.
 *
 * data   any alignment; may be NULL if len is 0; not kept.
 * Returns 0: published, as aether_publisher_next() - 1. AETHER_FULL: nothing happened, see error.h.
 * Faults: -EMSGSIZE len exceeds the topic's maximum (the text names it); -ENOBUFS open loans hold the room that is
 *         needed; -ENOSYS membarrier(2) isn't allowed in this process, and another publisher that is idle must be
 *         parted from its bias with it (see topic.h; the text says what to do).
 */
AETHER_INLINE int aether_publish(aether_publisher *publisher, const void *data, size_t len);

/*
 * As aether_publish(), but while it would return AETHER_FULL it waits, for at most timeout_ns nanoseconds
 * (AETHER_FOREVER: without end): it spins, yields, then naps for 50 us .. 1 ms at a time. A subscriber that is stopped
 * or dead ends no wait: AETHER_FULL after timeout_ns does.
 */
int aether_publish_wait(aether_publisher *publisher, const void *data, size_t len, uint64_t timeout_ns);

/*
 * Waits in that way until a message of len bytes has room. Returns 0, or AETHER_FULL after timeout_ns. Faults as
 * aether_publish(). Nothing is reserved: the next publish or loan of that size succeeds, unless another publisher takes
 * the slot before.
 */
int aether_publisher_wait(aether_publisher *publisher, size_t len, uint64_t timeout_ns);

/*
 * Publishes count messages with consecutive sequences, all or nothing: the last is aether_publisher_next() - 1. Readers
 * may see the first ones before the last one is written, and a publisher that is killed in between leaves those.
 * count may be 0. Returns and faults as aether_publish(); -E2BIG: count exceeds half the topic's capacity or
 * AETHER_BATCH_MAX, or the messages above inline_max don't fit in the lane together.
 */
#define AETHER_BATCH_MAX 65535u
#define AETHER_CLAIM_TRIES 128u /* see aether_publish() */
AETHER_INLINE int aether_publish_batch(aether_publisher *publisher, const struct iovec *messages, size_t count);

/*
 * The same of an array: message i is the len bytes at messages + i * len. Without an iovec for each it is the fastest
 * way to publish many short ones; best with a constant len.
 */
AETHER_INLINE int aether_publish_array(aether_publisher *publisher, const void *messages, size_t len, size_t count);

/*
 * A burst: aether_publish() for a loop that does little else, with messages of one length. From call to call of
 * aether_publish() the handle's state goes through memory, which takes longer than all the rest; a burst is a copy of
 * it in the caller's locals, where the compiler keeps it in registers. Every message is published when its call
 * returns, as by aether_publish().
 *
 *     aether_burst burst = aether_burst_begin(pub, sizeof quotes[0]);
 *     for (size_t i = 0; i < count; i++)
 *         while (aether_burst_publish(&burst, &quotes[i]) == AETHER_FULL)
 *             aether_idle(&idle, 0);
 *
 * There is nothing to end, and the publisher may be used otherwise in between. Of use only as a local variable whose
 * address isn't given to anything that isn't inlined, and best with a constant len; valid while the publisher is open.
 * Other threads don't use the publisher meanwhile, as ever.
 */
typedef struct aether_burst {
    aether_publisher *publisher; /* all private */
    size_t len;
    uint64_t next, limit, word, wake;
    ae_u64 *intent, *claim;
    const ae_u64 *want;
    unsigned char *slot, *slots;
    uint64_t mask, slot_size;
} aether_burst;

/* len: of every message of the burst, in bytes. */
AE_ALWAYS_INLINE aether_burst aether_burst_begin(aether_publisher *publisher, size_t len);
/* Returns and faults as aether_publish(). */
AE_ALWAYS_INLINE int aether_burst_publish(aether_burst *burst, const void *data);

/*
 * Publishes one message that is gathered from count pieces, in their order. Returns and faults as aether_publish() for
 * the sum of their lengths.
 * -EINVAL: the sum overflows.
 */
int aether_publish_gather(aether_publisher *publisher, const struct iovec *pieces, size_t count);

/*
 * Loans: memory of the topic that the caller fills in place. No sequence is taken before the commit, so nobody waits
 * for a slow filler, and a publisher that dies while it fills leaves nothing behind. Taking and committing cost the
 * same for every size above inline_max; shorter loans lie in a buffer of the handle and are copied into their slot by
 * the commit.
 *
 *     aether_loan loan;
 *     if (aether_loan_take(pub, 1 << 20, &loan) == 0) {
 *         loan.len = camera_read(loan.data, loan.len);
 *         aether_loan_commit(pub, &loan);
 *     }
 *
 * data is 64-byte aligned, holds whatever was there before, and is the caller's from the take to the commit, the
 * discard or the close. After a commit readers have it: writing to it then is a bug that they may see.
 * At most AETHER_LOANS_MAX loans are open at a time; the oldest open one keeps the entries of all that were taken after
 * it. They are committed and discarded in any order; messages have the order of the commits.
 */
#define AETHER_LOANS_MAX 64u

typedef struct aether_loan {
    void *data;
    size_t len;      /* as asked for; the caller may lower it before the commit */
    uint64_t ticket; /* private */
} aether_loan;

/*
 * Takes a loan of len bytes. Wait-free. Returns 0; AETHER_FULL: reliable subscribers hold the lane's room, *loan is
 * unchanged.
 * Faults: -EMSGSIZE as aether_publish(); -ENOBUFS open loans hold all entries or the room that is needed: commit or
 *         discard one.
 */
int aether_loan_take(aether_publisher *publisher, size_t len, aether_loan *loan);

/*
 * Publishes the first loan->len bytes. Bounded as aether_publish(). Returns 0: published, *loan is cleared;
 * AETHER_FULL: nothing happened; the loan stays open, try again.
 * Faults: -EINVAL it isn't an open loan of this publisher, or len was raised; -ENOSYS as aether_publish(). Nothing
 *         happened.
 */
int aether_loan_commit(aether_publisher *publisher, aether_loan *loan);

/*
 * Gives a loan back unpublished and clears *loan. Wait-free. Faults: -EINVAL it isn't an open loan of this publisher.
 */
int aether_loan_discard(aether_publisher *publisher, aether_loan *loan);

/*
 * One past the sequence of the last message that this publisher published: that was next - 1, and a batch of n was
 * next - n .. next - 1. Before the first one: where the topic stood at the open. While nobody else publishes it is the
 * sequence of the next message.
 */
AETHER_INLINE uint64_t aether_publisher_next(const aether_publisher *publisher);

/* The largest message, in bytes. */
AETHER_INLINE size_t aether_publisher_max_message(const aether_publisher *publisher);

/* ---- inline hot path. Memory-order edges are labelled; docs/memory-model.md has both ends of each. ---- */

/*
 * Claims the next count sequences, 1 .. AETHER_BATCH_MAX, where the inline part couldn't: no room that is known,
 * another publisher. 0, AETHER_FULL or a fault.
 */
int aether_detail_claim(aether_publisher *publisher, uint64_t count);
/* aether_publish(), not inlined; also messages above inline_max, and what is too large. */
int aether_detail_publish(aether_publisher *publisher, const void *data, size_t len);
int aether_detail_publish_batch(aether_publisher *publisher, const struct iovec *messages, size_t count);
int aether_detail_publish_array(aether_publisher *publisher, const void *messages, size_t len, size_t count);
/* Somebody sleeps, or did: wakes. */
void aether_detail_wake(aether_publisher *publisher);

AE_ALWAYS_INLINE unsigned char *ae_slot_of(const struct aether_publisher *publisher, uint64_t seq) {
    return publisher->slots + (seq & publisher->mask) * publisher->slot_size;
}

/*
 * Writes the message of words to the slot of seq, and commits it. store16: the slot is 16-byte aligned and the CPU
 * stores 16 bytes at once.
 */
AE_ALWAYS_INLINE void ae_write_words(unsigned char *slot, uint64_t seq, const ae_words *words, size_t len,
                                     uint64_t store16) {
    ae_u64 *tag = (ae_u64 *)(void *)slot;

#ifdef AE_STORE16
    /*
     * An 8-byte message changes at once with its tag, so there is no half-written state to mark. A reader that polls
     * the line takes it away once and not between two stores: the difference between 1.0 and 1.4 line transfers a hop.
     * W2 release, pairs R1 (receive); and V1: a validated copy that took the new word finds the new tag.
     */
    if (len == 8 && AE_LIKELY(store16)) {
        ae_store16_release(tag, ae_tag(seq, AE_KIND_INLINE, 8), words->word[0]);
        return;
    }
#else
    (void)store16;
#endif
    ae_store_relaxed(tag, ae_tag(seq, AE_KIND_BUSY, 0));
    ae_fence_release(); /* W1 and W2 as in ae_write_bytes() */
    ae_store_words(slot + AE_SLOT_HEADER, words, len);
    ae_store_release(tag, ae_tag(seq, AE_KIND_INLINE, len));
}

/* The same of bytes. */
AE_ALWAYS_INLINE void ae_write_bytes(unsigned char *slot, uint64_t seq, const void *data, size_t len) {
    ae_u64 *tag = (ae_u64 *)(void *)slot;

    /* A reader that copies this slot's old message must not take new bytes for it: the tag stops saying that the old
     * message is there before the first byte changes. W1 fence, pairs V1 (validated copy). */
    ae_store_relaxed(tag, ae_tag(seq, AE_KIND_BUSY, 0));
    ae_fence_release();
    if (len != 0)
        ae_copy_in(slot + AE_SLOT_HEADER, data, len);
    /* W2 release, pairs R1 (receive): whoever sees the tag sees the payload. */
    ae_store_release(tag, ae_tag(seq, AE_KIND_INLINE, len));
}

AE_ALWAYS_INLINE void ae_write_slot(const struct aether_publisher *publisher, uint64_t seq, const void *data,
                                    size_t len) {
    unsigned char *slot = ae_slot_of(publisher, seq);

    if (AE_IS_WORDS(len) || len == 8) {
        ae_words words;
        ae_load_words(&words, data, len);
        ae_write_words(slot, seq, &words, len, publisher->store16);
    } else {
        ae_write_bytes(slot, seq, data, len);
    }
}

AE_ALWAYS_INLINE ae_u64 *ae_claim_of(const struct aether_publisher *publisher) {
    return (ae_u64 *)(void *)(publisher->slots - AE_LOG_SLOTS_OFF + offsetof(ae_log, claim.claim));
}

/*
 * Claims the count sequences from seq on, as *word was left by this publisher's last claim; false: not so simple.
 *
 * First the intent, which tells repair and other publishers what this claim covers. With the bias that is all, if the
 * claim word still says so: P7, a plain store and a plain load that the processor may do the other way round; whoever
 * revokes makes this core drain its stores (P8) before it looks at the intent. Without, it wins by compare-and-swap if
 * nobody has claimed since.
 */
AE_ALWAYS_INLINE int ae_claim_at_once(ae_u64 *intent, ae_u64 *claim, uint64_t *word, uint64_t seq, uint64_t count) {
    /* P4 release, pairs P6 (hold) and D2 (repair): with the intent come the commits of the one before. */
    ae_store_release(intent, ae_intent(seq, count));
    if (AE_LIKELY((*word & AE_MODE_BIASED << AE_CLAIM_MODE_SHIFT) != 0)) {
        ae_compiler_barrier();
        return ae_is_relaxed(claim, *word); /* P7 */
    }
    /* P5 acq_rel, pairs P1 (claim), J4 (join): with the claim comes the intent that covers it. */
    if (AE_UNLIKELY(!ae_cas(claim, *word, *word + (count << AE_CLAIM_SEQ_SHIFT))))
        return 0;
    *word += count << AE_CLAIM_SEQ_SHIFT;
    return 1;
}

/*
 * Claims count sequences for the caller to write: 0, and they are next - count .. next - 1. It must write and commit
 * them, in order and at once.
 */
AE_ALWAYS_INLINE int ae_claim_next(struct aether_publisher *publisher, uint64_t count) {
    const uint64_t seq = publisher->next;

    if (AE_UNLIKELY(publisher->limit - seq < count ||
                    !ae_claim_at_once(publisher->intent, ae_claim_of(publisher), &publisher->word, seq, count)))
        return aether_detail_claim(publisher, count);
    publisher->next = seq + count;
    return 0;
}

/*
 * Z1: the commit, then a plain load of `want`; no fence, though the processor may do the load first. Pairs Z2 (sleep):
 * the sleeper stores `want`, then makes every publisher's core drain its stores (membarrier), then looks at the tag. So
 * either this load sees that somebody sleeps, or the sleeper sees the message.
 */
AE_ALWAYS_INLINE int ae_sleeper_wants(const ae_u64 *want, uint64_t wake) {
    ae_compiler_barrier();
    return (int64_t)(ae_load_relaxed(want) - wake) >= 0;
}

static inline void ae_wake_sleepers(struct aether_publisher *publisher) {
    if (AE_UNLIKELY(ae_sleeper_wants(publisher->want, publisher->wake)))
        aether_detail_wake(publisher);
}

/*
 * aether_detail_publish() of what is held in registers. Not by the address of the caller's message, as the compiler
 * would have to keep that in memory then; and word by word, or it would make up vectors of them before it knows whether
 * they are needed.
 */
AE_ALWAYS_INLINE int ae_publish_outside(aether_publisher *publisher, const ae_words *words, size_t len) {
    ae_words copy;

    ae_store_words((unsigned char *)&copy, words, len);
    return aether_detail_publish(publisher, &copy, len);
}

AETHER_INLINE int aether_publish(aether_publisher *publisher, const void *data, size_t len) {
    ae_words words;
    int rc;

    if (AE_IS_WORDS(len)) { /* into registers before the claim */
        ae_load_words(&words, data, len);
        if (AE_UNLIKELY(len > publisher->inline_max))
            return ae_publish_outside(publisher, &words, len);
    } else if (AE_UNLIKELY(len > publisher->inline_max)) {
        return aether_detail_publish(publisher, data, len);
    }
    rc = ae_claim_next(publisher, 1);
    if (AE_UNLIKELY(rc != 0))
        return rc;
    if (AE_IS_WORDS(len))
        ae_write_words(ae_slot_of(publisher, publisher->next - 1), publisher->next - 1, &words, len,
                       publisher->store16);
    else
        ae_write_slot(publisher, publisher->next - 1, data, len);
    ae_wake_sleepers(publisher);
    return 0;
}

/*
 * All that the short path doesn't do goes into the one comparison that it needs anyway: where messages don't fit in
 * slots, or a claim takes a compare-and-swap, no room is known.
 */
AE_ALWAYS_INLINE void ae_burst_look(aether_burst *burst) {
    const aether_publisher *p = burst->publisher;

    burst->next = p->next;
    burst->limit = burst->len <= p->inline_max && (!AE_IS_WORD(burst->len) || p->store16) ? p->limit : p->next;
    burst->word = p->word;
    burst->wake = p->wake;
    burst->slot = ae_slot_of(p, p->next);
}

AE_ALWAYS_INLINE int ae_burst_slow(aether_burst *burst, const void *data, const ae_words *words) {
    int rc;

    if (AE_IS_WORDS(burst->len))
        rc = ae_publish_outside(burst->publisher, words, burst->len);
    else
        rc = aether_detail_publish(burst->publisher, data, burst->len);

    ae_burst_look(burst);
    return rc;
}

AE_ALWAYS_INLINE aether_burst aether_burst_begin(aether_publisher *publisher, size_t len) {
    aether_burst burst;

    burst.publisher = publisher;
    burst.len = len;
    burst.intent = publisher->intent;
    burst.claim = ae_claim_of(publisher);
    burst.want = publisher->want;
    burst.slots = publisher->slots;
    burst.mask = publisher->mask;
    burst.slot_size = publisher->slot_size;
    ae_burst_look(&burst);
    return burst;
}

AE_ALWAYS_INLINE int aether_burst_publish(aether_burst *burst, const void *data) {
    const uint64_t seq = burst->next;
    ae_words words;

    if (AE_IS_WORDS(burst->len))
        ae_load_words(&words, data, burst->len);
    /*
     * The first: the publisher was used otherwise. The last may have stored the intent: it is of the same claim. The
     * handle's claim word stays behind where claims are by compare-and-swap; whoever goes on with it loads it anew.
     */
    if (AE_UNLIKELY(!ae_same(&burst->publisher->next, seq)))
        return ae_burst_slow(burst, data, &words);
    if (AE_UNLIKELY(burst->limit == seq))
        return ae_burst_slow(burst, data, &words);
    if (AE_UNLIKELY(!ae_claim_at_once(burst->intent, burst->claim, &burst->word, seq, 1)))
        return ae_burst_slow(burst, data, &words);
    burst->publisher->next = burst->next = seq + 1;
    if (AE_IS_WORDS(burst->len))
        ae_write_words(burst->slot, seq, &words, burst->len, 1);
    else
        ae_write_bytes(burst->slot, seq, data, burst->len);
    burst->slot += burst->slot_size;
    if ((burst->next & burst->mask) == 0)
        burst->slot = burst->slots;
    if (AE_UNLIKELY(ae_sleeper_wants(burst->want, burst->wake))) {
        aether_detail_wake(burst->publisher);
        burst->wake = burst->publisher->wake;
    }
    return 0;
}

AETHER_INLINE int aether_publish_batch(aether_publisher *publisher, const struct iovec *messages, size_t count) {
    uint64_t seq;
    int rc;

    if (AE_UNLIKELY(count == 0 || count > AETHER_BATCH_MAX || count > (publisher->mask + 1) / 2))
        return aether_detail_publish_batch(publisher, messages, count);
    for (size_t i = 0; i < count; i++) {
        if (AE_UNLIKELY(messages[i].iov_len > publisher->inline_max))
            return aether_detail_publish_batch(publisher, messages, count);
    }
    rc = ae_claim_next(publisher, count);
    if (AE_UNLIKELY(rc != 0))
        return rc;
    seq = publisher->next - count;
    const struct aether_publisher hot = *publisher; /* or each store to a slot would make the compiler load it anew */
    for (size_t i = 0; i < count; i++)
        ae_write_slot(&hot, seq + i, messages[i].iov_base, messages[i].iov_len);
    ae_wake_sleepers(publisher);
    return 0;
}

AETHER_INLINE int aether_publish_array(aether_publisher *publisher, const void *messages, size_t len, size_t count) {
    const unsigned char *data = (const unsigned char *)messages;
    unsigned char *slot;
    uint64_t seq;
    int rc;

    if (AE_UNLIKELY(count == 0 || count > AETHER_BATCH_MAX || count > (publisher->mask + 1) / 2 ||
                    len > publisher->inline_max || (AE_IS_WORD(len) && !publisher->store16)))
        return aether_detail_publish_array(publisher, messages, len, count);
    rc = ae_claim_next(publisher, count);
    if (AE_UNLIKELY(rc != 0))
        return rc;
    /* In locals, or each store to a slot would make the compiler load them anew. */
    const uint64_t mask = publisher->mask, slot_size = publisher->slot_size;
    unsigned char *const slots = publisher->slots;
    seq = publisher->next - count;
    slot = ae_slot_of(publisher, seq);
    for (; count > 0; count--, seq++, data += len) {
        if (AE_IS_WORD(len)) {
            ae_words words;
            ae_load_words(&words, data, len);
            ae_write_words(slot, seq, &words, len, 1);
        } else {
            ae_write_bytes(slot, seq, data, len); /* not in words: most of an array has left the store buffer by now */
        }
        slot = ((seq + 1) & mask) != 0 ? slot + slot_size : slots;
    }
    ae_wake_sleepers(publisher);
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
