/* SPDX-License-Identifier: Apache-2.0 */
/*
 * publish.h - publishers.
 *
 * A topic has up to 64 publishers at a time, in any processes, or one if it is exclusive. All subscribers see their
 * messages in the same order. Within it, the messages of each publisher keep the order of its calls.
 *
 * If a publisher is killed, nothing that it had published is lost. Subscribers wait at a message that it had begun
 * until aetherd has proof of its death and aborts the message. If a publisher is stopped, it finishes such a message
 * when it continues.
 *
 * Threads, fork, signals: see aether.h. A publisher may move to another thread with the usual synchronisation. No call
 * that publishes allocates memory or takes a lock. Publishing makes a system call only to wake a subscriber that sleeps
 * and to end another publisher's bias; the two functions that wait also sleep.
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
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wold-style-cast" /* the inline functions are C */
#endif

typedef struct aether_publisher aether_publisher;

/*
 * Opens a publisher of the topic, and creates the topic if it doesn't exist. config may be NULL: the topic as it is, or
 * a new one with all defaults (see topic.h). Returns 0 and stores the publisher, which aether_publisher_close() frees;
 * aether_disconnect() does so, too.
 *
 * Every byte that publishing will touch is mapped and populated here, so that a lack of memory is an error of this
 * call. Blocks for one request (see connect.h) plus the time to populate the ring and the publisher's lane.
 *
 * Errors: -ENOENT config states AETHER_OPEN_EXISTING and there is no such topic; -EUSERS the topic has 64 publishers,
 *         or aetherd has reached its limit of open handles; -EBUSY the topic is exclusive and has a publisher (the text
 *         names it); and those of aether_topic_create().
 */
int aether_publisher_open(aether_client *client, const char *topic, const aether_topic_config *config,
                          aether_publisher **publisher);

/*
 * Closes the publisher and frees it. What it has published stays. Open loans are discarded. If it was the last
 * publisher of the topic, subscribers see the end of the stream after its last message. NULL is allowed.
 *
 * Blocks for one request (see connect.h). If no daemon runs, it doesn't wait: a later request reports the close to the
 * next daemon.
 */
void aether_publisher_close(aether_publisher *publisher);

/*
 * Publishes one message: copies len bytes from data into the ring, or into the publisher's lane if len is above the
 * topic's inline_max. With a constant len it compiles to plain moves.
 *
 * data   any alignment; NULL is allowed if len is 0. The caller's again when the call returns.
 * len    bytes, 0 to the topic's max_message.
 *
 * Returns 0: published with sequence aether_publisher_next() - 1. AETHER_FULL: no room now, see error.h. After that and
 * after an error nothing was published.
 *
 * Waits for no other process. The usual call is a few instructions. Further steps, each bounded:
 *
 *   - When the known free room is used up, it reads the cursors of up to 64 subscribers and the intents of up to 64
 *     publishers. On a topic that evicts, it evicts slow subscribers here.
 *   - While others publish at the same time, it tries to claim a sequence up to AETHER_CLAIM_TRIES times, with growing
 *     pauses of at most a microsecond or so.
 *   - If another publisher has the bias (see topic.h), it ends that with membarrier(2), some 10 us.
 *   - If a subscriber sleeps, it wakes that with futex(2).
 *
 * Errors: -EMSGSIZE len is above the topic's max_message (the text names it); -ENOBUFS the message needs lane room that
 *         this publisher's open loans hold; -ENOSYS another publisher has the bias, and membarrier(2), which would end
 *         it, isn't allowed in this process (the text says what to do).
 */
AETHER_INLINE int aether_publish(aether_publisher *publisher, const void *data, size_t len);

/*
 * As aether_publish(), but waits while there is no room, for at most timeout_ns nanoseconds (0: doesn't wait;
 * AETHER_FOREVER: without a time limit). Results and errors as for aether_publish(); AETHER_FULL: timeout_ns is over.
 *
 * It spins, yields, then sleeps for 50 us .. 1 ms at a time, after a second for 10 ms, and tries again. A signal
 * shortens one such sleep and doesn't end the wait. A reliable subscriber or a publisher that is stopped may hold the
 * room for as long as it is stopped; what a dead one holds is free when aetherd has proof of its death.
 */
int aether_publish_wait(aether_publisher *publisher, const void *data, size_t len, uint64_t timeout_ns);

/*
 * Waits, in the same way, until there is room for a message of len bytes. Publishes and reserves nothing: the next
 * publish or loan of this size succeeds, unless another publisher takes the slot first. len 0 waits for a slot alone,
 * as the commit of a loan needs it.
 *
 * Returns 0: there is room. AETHER_FULL: timeout_ns is over. Errors: -EMSGSIZE, -ENOBUFS as aether_publish().
 */
int aether_publisher_wait(aether_publisher *publisher, size_t len, uint64_t timeout_ns);

#define AETHER_BATCH_MAX 65535u /* messages a batch */
#define AETHER_CLAIM_TRIES 128u /* claims that a call may lose to other publishers before it returns AETHER_FULL */

/*
 * Publishes count messages with consecutive sequences; messages[i] is message i. The last one has sequence
 * aether_publisher_next() - 1. count 0 publishes nothing and returns 0. The bytes are the caller's again when the call
 * returns.
 *
 * All or nothing: if it returns AETHER_FULL or an error, none of the messages was published. It isn't a transaction:
 * subscribers may see the first messages before the last one is written, and a publisher that is killed in the middle
 * leaves the messages that it had committed; the rest is aborted.
 *
 * Bounds, results and errors are those of aether_publish(); and -E2BIG: count is above half the topic's capacity or
 * above AETHER_BATCH_MAX, or the messages above inline_max, each rounded up to 64 bytes, are together larger than the
 * lane.
 */
AETHER_INLINE int aether_publish_batch(aether_publisher *publisher, const struct iovec *messages, size_t count);

/*
 * As aether_publish_batch() for an array: message i is the len bytes at messages + i * len. This is the fastest way to
 * publish many short messages, as they need no iovec. Best with a constant len.
 */
AETHER_INLINE int aether_publish_array(aether_publisher *publisher, const void *messages, size_t len, size_t count);

/*
 * A burst is aether_publish() for a loop that does little else, with messages of one length. aether_publish() loads the
 * handle's state from memory and stores it again in each call, which takes longer than the rest of the call. A burst is
 * a copy of that state in a local variable of the caller, which the compiler keeps in registers. Each message is
 * published when its call returns, as by aether_publish().
 *
 *     aether_burst burst = aether_burst_begin(pub, sizeof quotes[0]);
 *     for (size_t i = 0; i < count; i++)
 *         while (aether_burst_publish(&burst, &quotes[i]) == AETHER_FULL)
 *             aether_idle(&idle, 0);
 *
 * A burst needs no end, and other calls may use the publisher between two calls of the burst. It is valid until the
 * publisher is closed, and is used by the thread that uses the publisher. It only helps as a local variable whose
 * address is passed to nothing but these two functions, and best with a constant len.
 */
typedef struct aether_burst {
    /* all fields are private */
    aether_publisher *publisher;
    size_t len;
    uint64_t next, limit, word, wake;
    ae_u64 *intent, *claim;
    const ae_u64 *want;
    unsigned char *slot, *slots;
    uint64_t mask, slot_size;
} aether_burst;

/*
 * Begins a burst of messages of len bytes each. Wait-free; can't fail. A len that is too large is an error of
 * aether_burst_publish().
 */
AE_ALWAYS_INLINE aether_burst aether_burst_begin(aether_publisher *publisher, size_t len);

/* Publishes one message, the len bytes at data. data, bounds, results and errors as for aether_publish(). */
AE_ALWAYS_INLINE int aether_burst_publish(aether_burst *burst, const void *data);

/*
 * Publishes one message that is made of count pieces, one after the other. count 0 publishes an empty message. The
 * pieces are the caller's again when the call returns.
 *
 * Bounds, results and errors are those of aether_publish() for the sum of the lengths; and -EINVAL: the sum overflows.
 */
int aether_publish_gather(aether_publisher *publisher, const struct iovec *pieces, size_t count);

/*
 * A loan is memory of the topic that the caller fills in place. It has no sequence before the commit. So a caller that
 * fills slowly holds nobody up, and a publisher that dies while it fills leaves nothing behind. Taking and committing a
 * loan costs the same for every size above inline_max. A shorter loan lies in a buffer of the handle, and the commit
 * copies it into its slot.
 *
 *     aether_loan loan;
 *     if (aether_loan_take(pub, 1 << 20, &loan) == 0) {
 *         loan.len = camera_read(loan.data, loan.len);
 *         aether_loan_commit(pub, &loan);
 *     }
 *
 * data is 64-byte aligned and holds arbitrary bytes at first. It is the caller's, to read and write, from the take to
 * the commit, the discard or the close of the publisher. After the commit it belongs to the subscribers. A program that
 * still writes to it then has a bug, and subscribers may read what it writes.
 *
 * Loans may be committed and discarded in any order; their messages have the order of the commits. At most
 * AETHER_LOANS_MAX are open at a time, and no more than that may be taken while the oldest of them is open.
 */
#define AETHER_LOANS_MAX 64u

typedef struct aether_loan {
    void *data;
    size_t len;      /* bytes, as asked for; the caller may lower it before the commit */
    uint64_t ticket; /* private */
} aether_loan;

/*
 * Takes a loan of len bytes, 0 to the topic's max_message, and stores it in *loan. Wait-free, without a system call. On
 * a topic that evicts, it evicts subscribers that hold the room.
 *
 * Returns 0. AETHER_FULL: reliable subscribers hold the lane's room, and *loan is unchanged.
 * Errors: -EMSGSIZE as aether_publish(); -ENOBUFS open loans hold the lane's room, or AETHER_LOANS_MAX loans were taken
 *         since the oldest open one: commit or discard one. *loan is unchanged.
 */
int aether_loan_take(aether_publisher *publisher, size_t len, aether_loan *loan);

/*
 * Publishes the first loan->len bytes of a loan and clears *loan. Bounded as aether_publish().
 *
 * Returns 0: published with sequence aether_publisher_next() - 1. AETHER_FULL: no slot now; retry. After that and after
 * an error nothing was published, and an open loan stays open.
 * Errors: -EINVAL it isn't an open loan of this publisher, or len was raised; -ENOSYS as aether_publish().
 */
int aether_loan_commit(aether_publisher *publisher, aether_loan *loan);

/*
 * Gives a loan back without publishing it, and clears *loan. Wait-free. Returns 0.
 * Errors: -EINVAL it isn't an open loan of this publisher.
 */
int aether_loan_discard(aether_publisher *publisher, aether_loan *loan);

/*
 * Returns one more than the sequence of this publisher's last message. After a batch of n its sequences are
 * [result - n, result). Before its first message: the topic's next sequence when the publisher was opened. Wait-free.
 *
 * It is the sequence of this publisher's next message unless another publisher takes that first.
 */
AETHER_INLINE uint64_t aether_publisher_next(const aether_publisher *publisher);

/* Returns the topic's max_message: the length of the longest message, in bytes. Wait-free. */
AETHER_INLINE size_t aether_publisher_max_message(const aether_publisher *publisher);

/* What a publisher without room waits for. */
typedef enum aether_waits {
    AETHER_WAITS_NOT = 0,        /* it has room, or has no messages to publish */
    AETHER_WAITS_SUBSCRIBER = 1, /* a reliable subscriber hasn't released the slot */
    AETHER_WAITS_PUBLISHER = 2,  /* another publisher hasn't finished a publish: it is stopped, or slow */
    AETHER_WAITS_LANE = 3,       /* a reliable subscriber hasn't released bytes of its lane */
    AETHER_WAITS_LOANS = 4,      /* its own open loans hold its lane */
    AETHER_WAITS_CLAIM = 5       /* other publishers were faster at each try */
} aether_waits;

/*
 * Why a publisher has no room, and whom it waits for: the subscriber that is farthest behind, the other publisher, or,
 * if its own loans hold the room, its own program.
 */
typedef struct aether_stall {
    aether_waits waits;
    /*
     * State of that program as in /proc/PID/stat: R, S, D, T or t (stopped, by a signal or a debugger), Z ...; X: it
     * has ended, and no aetherd has noticed yet; '?': unknown
     */
    char process;
    uint32_t pid;       /* 0: unknown, or AETHER_WAITS_CLAIM, which has no culprit */
    uint64_t client_id; /* names the program's client for the life of the instance; 0: unknown */
    char client[64];    /* the client's name, NUL-terminated; "": unknown */
    char topic[256];    /* the topic's name, NUL-terminated; "": unknown */
    uint64_t waited_ns; /* since the publisher first found no room */
    /*
     * sequences from the first one that isn't released (PUBLISHER: finished) to the topic's end; for a subscriber 0
     * means that it has gone or has received everything
     */
    uint64_t lag;
    uint64_t lane_bytes; /* LANE, LOANS: bytes of the publisher's lane that are held */
    uint32_t others;     /* further subscribers for which it would wait if this one were gone */
    uint32_t daemon;     /* 1: an aetherd runs; 0: none does, so what a program that has ended held isn't freed */
} aether_stall;

/*
 * Finds out what the publisher has waited for since its last call found no room. To be called at each stall while it
 * happens, also within a call that waits, set `on_stall` in the options of aether_connect().
 *
 * Returns 1: *stall is filled in; 0: the last call had room, or was more than two seconds ago; then *stall is zeroed.
 * A program is named only if it is certain that the publisher waits for it. It isn't named if it has gone, if it has
 * received everything, or if it opened the topic only after the program that held the room had gone. Then *stall has
 * everything except the program's client, name, pid and state.
 *
 * Not for the hot path: it reads the registry of aetherd, and /proc, with dozens of system calls. It takes no lock and
 * needs no aetherd. Where the registry isn't in the program's /dev/shm, as in some containers, it asks aetherd, and
 * blocks for up to 50 ms if that doesn't answer.
 *
 * Errors: as aether_inspect_open(). Then *stall names no program.
 */
int aether_publisher_stall(aether_publisher *publisher, aether_stall *stall);

/*
 * Returns how many subscribers the topic has now, of all policies, in all programs. One whose program has died counts
 * until aetherd has proof of its death. Wait-free.
 */
uint64_t aether_publisher_subscribers(const aether_publisher *publisher);

/* ---- inline hot path. Memory-order edges are labelled; docs/memory-model.md has both ends of each. ---- */

/*
 * The same where the inline code can't: no free slot is known, another publisher has claimed, the message is to be
 * stamped, or it has a length that the inline code doesn't handle.
 */
int aether_detail_publish(aether_publisher *publisher, const void *data, size_t len);
int aether_detail_publish_batch(aether_publisher *publisher, const struct iovec *messages, size_t count);
int aether_detail_publish_array(aether_publisher *publisher, const void *messages, size_t len, size_t count);
/* Wakes subscribers, if any still sleeps. */
void aether_detail_wake(aether_publisher *publisher);

AE_ALWAYS_INLINE unsigned char *ae_slot_of(const struct aether_publisher *publisher, uint64_t seq) {
    return publisher->slots + (seq & publisher->mask) * publisher->slot_size;
}

/*
 * Writes the message of len bytes in words to the slot of seq, and commits it. store16: the slot is 16-byte aligned and
 * the CPU stores 16 bytes at once.
 */
AE_ALWAYS_INLINE void ae_write_words(unsigned char *slot, uint64_t seq, const ae_words *words, size_t len,
                                     uint64_t store16) {
    ae_u64 *tag = (ae_u64 *)(void *)slot;

#ifdef AE_STORE16
    /*
     * An 8-byte message and its tag change in one store, so no half-written state needs a mark. A subscriber that polls
     * the line takes it from this core once, and not between two stores: 1.0 line transfers a message in place of 1.4.
     * W2 release, pairs R1 (receive); and V1: a validated copy that took the new word finds the new tag.
     */
    if (len == 8 && AE_LIKELY(store16)) {
        ae_store16_release(tag, ae_tag(seq, AE_KIND_INLINE, 8), words->word[0]);
        return;
    }
#else
    (void)store16;
#endif
    ae_store_relaxed(tag, ae_tag_busy(seq));
    ae_fence_release(); /* W1 and W2 as in ae_write_bytes() */
    ae_store_words(slot + AE_SLOT_HEADER, words, len);
    ae_store_release(tag, ae_tag(seq, AE_KIND_INLINE, len));
}

/* As ae_write_words() for a message of any length, in memory. */
AE_ALWAYS_INLINE void ae_write_bytes(unsigned char *slot, uint64_t seq, const void *data, size_t len) {
    ae_u64 *tag = (ae_u64 *)(void *)slot;

    /*
     * A subscriber that copies this slot's old message must not accept new bytes as part of it. So the tag stops naming
     * the old message before the first byte changes. W1 fence, pairs V1 (validated copy).
     */
    ae_store_relaxed(tag, ae_tag_busy(seq));
    ae_fence_release();
    if (len != 0)
        ae_copy_in(slot + AE_SLOT_HEADER, data, len);
    /* W2 release, pairs R1 (receive): a subscriber that sees the tag sees the payload. */
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
 * Claims the count sequences from seq on. *word is the claim word as this publisher's last claim left it. Returns 1:
 * claimed. 0: the caller must take the slow path; the intent is stored already.
 *
 * The intent comes first: it says to repair and to other publishers what this claim covers.
 *
 * With the bias the intent is the claim, if the claim word still names this publisher. P7: a plain store and then a
 * plain load, which the processor may execute the other way round. A publisher that revokes the bias makes this core
 * drain its stores (P8) before it loads the intent.
 *
 * Without the bias the claim is a compare-and-swap, which succeeds if no other publisher has claimed since.
 */
AE_ALWAYS_INLINE int ae_claim_at_once(ae_u64 *intent, ae_u64 *claim, uint64_t *word, uint64_t seq, uint64_t count) {
    /* P4 release, pairs P6 (hold) and D2 (repair): with the intent come the commits of the claim before it. */
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
 * Claims count sequences. Returns 1: they are next - count .. next - 1, and the caller must write and commit all of
 * them now, in order. 0: the caller must take the slow path.
 */
AE_ALWAYS_INLINE int ae_claim_inline(struct aether_publisher *publisher, uint64_t count) {
    const uint64_t seq = publisher->next;

    if (AE_UNLIKELY(publisher->limit - seq < count ||
                    !ae_claim_at_once(publisher->intent, ae_claim_of(publisher), &publisher->word, seq, count)))
        return 0;
    publisher->next = seq + count;
    return 1;
}

/*
 * Does a subscriber sleep, as far as this publisher knows?
 *
 * Z1: the commit, then a plain load of `want`, without a fence, so the processor may execute the load first. Pairs Z2
 * (sleep): the sleeper stores `want`, then makes every publisher's core drain its stores (membarrier), then loads the
 * tag. So either this load sees the note in `want`, or the sleeper sees the message.
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
 * aether_detail_publish() of a message that is held in registers. It passes a copy: with the address of the caller's
 * message the compiler would have to keep that in memory. The copy is made word by word: otherwise the compiler
 * combines the words in vector registers on the fast path, too, where nothing needs them.
 */
AE_ALWAYS_INLINE int ae_publish_outside(aether_publisher *publisher, const ae_words *words, size_t len) {
    ae_words copy;

    ae_store_words((unsigned char *)&copy, words, len);
    return aether_detail_publish(publisher, &copy, len);
}

AETHER_INLINE int aether_publish(aether_publisher *publisher, const void *data, size_t len) {
    ae_words words;

    if (AE_IS_WORDS(len)) { /* loaded into registers before the claim */
        ae_load_words(&words, data, len);
        if (AE_UNLIKELY(len > publisher->inline_max))
            return ae_publish_outside(publisher, &words, len);
    } else if (AE_UNLIKELY(len > publisher->inline_max)) {
        return aether_detail_publish(publisher, data, len);
    }
    if (AE_UNLIKELY(!ae_claim_inline(publisher, 1)))
        return AE_IS_WORDS(len) ? ae_publish_outside(publisher, &words, len)
                                : aether_detail_publish(publisher, data, len);
    publisher->bytes += len;
    if (AE_IS_WORDS(len))
        ae_write_words(ae_slot_of(publisher, publisher->next - 1), publisher->next - 1, &words, len,
                       publisher->store16);
    else
        ae_write_slot(publisher, publisher->next - 1, data, len);
    ae_wake_sleepers(publisher);
    return 0;
}

/*
 * Copies the publisher's state into the burst: when the burst begins, and after each call that isn't inline.
 *
 * A burst whose messages the fast path can't write gets a limit without room, so that the comparison with the limit
 * also sends these to the slow path: messages above inline_max, and 8-byte messages where the CPU or the slot doesn't
 * allow a 16-byte store.
 */
AE_ALWAYS_INLINE void ae_burst_refresh(aether_burst *burst) {
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

    ae_burst_refresh(burst);
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
    ae_burst_refresh(&burst);
    return burst;
}

AE_ALWAYS_INLINE int aether_burst_publish(aether_burst *burst, const void *data) {
    const uint64_t seq = burst->next;
    ae_words words;

    if (AE_IS_WORDS(burst->len))
        ae_load_words(&words, data, burst->len);
    /*
     * Leave the fast path if (1) the publisher was used directly since this copy was made, so it is stale; (2) no
     * free slot is known; (3) the claim failed. In case 3 the intent is already stored; the slow path may store it
     * again.
     *
     * The publisher's own copy of the claim word isn't updated here. If claims are by compare-and-swap it is stale
     * after the burst: the next direct use fails its compare-and-swap once and loads the word anew.
     */
    if (AE_UNLIKELY(!ae_same(&burst->publisher->next, seq)))
        return ae_burst_slow(burst, data, &words);
    if (AE_UNLIKELY(burst->limit == seq))
        return ae_burst_slow(burst, data, &words);
    if (AE_UNLIKELY(!ae_claim_at_once(burst->intent, burst->claim, &burst->word, seq, 1)))
        return ae_burst_slow(burst, data, &words);
    burst->publisher->next = burst->next = seq + 1;
    burst->publisher->bytes += burst->len;
    if (AE_IS_WORDS(burst->len))
        ae_write_words(burst->slot, seq, &words, burst->len, 1);
    else
        ae_write_bytes(burst->slot, seq, data, burst->len);
    burst->slot += burst->slot_size;
    if ((burst->next & burst->mask) == 0)
        burst->slot = burst->slots;
    if (AE_UNLIKELY(ae_sleeper_wants(burst->want, burst->wake))) {
        aether_detail_wake(burst->publisher);
        ae_burst_refresh(burst); /* the wake word, and the limit: the next message may have to be stamped */
    }
    return 0;
}

AETHER_INLINE int aether_publish_batch(aether_publisher *publisher, const struct iovec *messages, size_t count) {
    uint64_t seq, bytes = 0;

    if (AE_UNLIKELY(count == 0))
        return 0;
    if (AE_UNLIKELY(count > AETHER_BATCH_MAX || count > (publisher->mask + 1) / 2))
        return aether_detail_publish_batch(publisher, messages, count);
    for (size_t i = 0; i < count; i++) {
        if (AE_UNLIKELY(messages[i].iov_len > publisher->inline_max))
            return aether_detail_publish_batch(publisher, messages, count);
    }
    if (AE_UNLIKELY(!ae_claim_inline(publisher, count)))
        return aether_detail_publish_batch(publisher, messages, count);
    publisher->batches++;
    seq = publisher->next - count;
    const struct aether_publisher hot = *publisher; /* a copy: the compiler needn't load it anew after each store */
    for (size_t i = 0; i < count; i++) {
        ae_write_slot(&hot, seq + i, messages[i].iov_base, messages[i].iov_len);
        bytes += messages[i].iov_len;
    }
    publisher->bytes += bytes;
    ae_wake_sleepers(publisher);
    return 0;
}

AETHER_INLINE int aether_publish_array(aether_publisher *publisher, const void *messages, size_t len, size_t count) {
    const unsigned char *data = (const unsigned char *)messages;
    unsigned char *slot;
    uint64_t seq;

    if (AE_UNLIKELY(count == 0 || count > AETHER_BATCH_MAX || count > (publisher->mask + 1) / 2 ||
                    len > publisher->inline_max || (AE_IS_WORD(len) && !publisher->store16)))
        return aether_detail_publish_array(publisher, messages, len, count);
    if (AE_UNLIKELY(!ae_claim_inline(publisher, count)))
        return aether_detail_publish_array(publisher, messages, len, count);
    publisher->bytes += len * count;
    publisher->batches++;
    /* In locals, so that the compiler needn't load them anew after each store to a slot. */
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
            /* Not in words: most of the array has left the store buffer by now, so wide loads don't wait. */
            ae_write_bytes(slot, seq, data, len);
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
#pragma GCC diagnostic pop
}
#endif
#endif
