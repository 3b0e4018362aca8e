/* SPDX-License-Identifier: Apache-2.0 */
/* claimer.c - claiming sequences where the inline part of aether_publish() could not. */
#include "ring/claimer.h"
#include "base/error.h"
#include "base/export.h"
#include "ring/claim.h"
#include "ring/flow.h"
#include "ring/wake.h"

#define PROVE_TURNS 256
#define PAUSE_DOUBLINGS 5u

/* ---- room ---- */

/* The limit may lie below seq, when others have claimed beyond it. */
static bool within_limit(const struct ae_publisher *p, uint64_t seq, uint64_t count) {
    const uint64_t room = p->hot.limit - seq;

    return room >= count && room <= p->geometry.capacity;
}

static bool has_room(struct ae_publisher *p, uint64_t seq, uint64_t count) {
    if (within_limit(p, seq, count))
        return true;
    ae_publisher_scan(p, seq, seq + count - p->window);
    return within_limit(p, seq, count);
}

/*
 * What a joiner would start at, and no more: a scan is made for this sequence, and a joiner that it doesn't see must
 * not start below. With the bias of another one that is the beginning of an intent that isn't committed yet, not its
 * end.
 */
uint64_t ae_claim_seq(const struct ae_publisher *p) {
    return p->hot.biased ? p->hot.next : ae_claim_end(p->log, &p->geometry, ae_load_relaxed(&p->log->claim.position));
}

int ae_claim_room(struct ae_publisher *p, uint64_t count) {
    if (has_room(p, ae_claim_seq(p), count))
        return 0;
    ae_store_relaxed(&p->own->full, ++p->full);
    return AETHER_FULL;
}

/* ---- tries. WON: the sequences are next - count .. next - 1 ---- */

enum try { WON, LOST, NO_ROOM, NO_BARRIER };

static enum try won(struct ae_publisher *p, uint64_t end, uint64_t word, bool biased) {
    p->hot.next = end;
    p->hot.word = word;
    p->hot.biased = biased;
    return WON;
}

/*
 * The claim word isn't what the biased publisher left there: another one revokes the bias, or has. Either this
 * publisher takes the intent that it has just stored back, by ending the bias itself, or the revoker has ended it and
 * has, or has not, found the intent, which is the very question that repair would ask.
 */
static enum try settle(struct ae_publisher *p, uint64_t count) {
    const uint64_t next = p->hot.next;

    p->hot.biased = 0;
    /* B4 acq_rel, pairs B5 (revoke): only one of the two ends the bias. */
    if (ae_cas(&p->log->claim.claim, ae_claim_revoking(p->hot.word), ae_claim_word(next, AE_MODE_SHARED, p->record)))
        return LOST;
    if (!ae_claim_was_won(p->log, p->record, next + count))
        return LOST;
    return won(p, next + count, ae_claim_word(next + count, AE_MODE_SHARED, p->record), false);
}

static enum try claim_biased(struct ae_publisher *p, uint64_t count) {
    if (!has_room(p, p->hot.next, count))
        return NO_ROOM;
    /* P4 and P7 as in ae_claim_next(). It may have stored this very intent a moment ago. */
    ae_store_release(&p->own->intent, ae_intent(p->hot.next, count));
    ae_compiler_barrier();
    if (ae_load_relaxed(&p->log->claim.claim) != p->hot.word)
        return settle(p, count);
    return won(p, p->hot.next + count, p->hot.word, true);
}

/*
 * Ends the bias of another publisher, dead, stopped or alive, without its help. What is found in its intent after the
 * barrier is claimed for it; it finds that out in settle().
 */
static enum try revoke(struct ae_publisher *p, uint64_t word, uint64_t seq) {
    const uint64_t owner = ae_claim_record(word);

    if (owner == p->record) { /* nobody writes that, but it must not last */
        (void)ae_cas(&p->log->claim.claim, word,
                     ae_claim_word(ae_claim_intent(p->log, owner, seq).end, AE_MODE_SHARED, owner));
        return LOST;
    }
    if (word != ae_claim_revoking(word) && !ae_cas(&p->log->claim.claim, word, ae_claim_revoking(word)))
        return LOST;
    /*
     * P8, pairs P7 (ae_claim_next): an owner that loaded the claim word before this, and so goes on, has drained the
     * intent that it stored before that. Also where another one has set REVOKING: it may not have come to this yet.
     */
    if (!ae_wake_barrier())
        return NO_BARRIER;
    /* B5 acq_rel, pairs B4 (settle) and D1 (repair). */
    (void)ae_cas(&p->log->claim.claim, ae_claim_revoking(word),
                 ae_claim_word(ae_claim_intent(p->log, owner, seq).end, AE_MODE_SHARED, owner));
    return LOST;
}

/*
 * The publisher that won the claim which ended at seq will no longer be named by the claim word: note that it has won.
 * Never lowered, as it decides about later intents of that publisher, too. False: no luck among too many others.
 */
static bool prove(ae_u64 *proved, uint64_t seq) {
    for (int turn = 0; turn < PROVE_TURNS; turn++) {
        const uint64_t old = ae_load_relaxed(proved);
        /* P3 acq_rel, pairs D2 (repair): before the claim that follows. */
        if ((int64_t)(old - seq) >= 0 || ae_cas(proved, old, seq))
            return true;
    }
    return false;
}

/* A publisher that is alone saves the compare-and-swap. A hint: any answer is sound. */
static bool wants_bias(const struct ae_publisher *p) {
    return p->may_bias && ae_load_relaxed(&p->log->stream.open) == 1ull << p->record;
}

static enum try claim_shared(struct ae_publisher *p, uint64_t count) {
    /* P1 acquire, pairs P5 (claim): with a claim comes the intent of whoever won it. */
    const uint64_t word = ae_load_acquire(&p->log->claim.claim), last = ae_claim_record(word);
    const uint64_t seq = ae_seq_extend(word >> AE_CLAIM_SEQ_SHIFT, ae_load_relaxed(&p->log->claim.position));
    uint64_t mine;
    bool bias;

    if (ae_claim_has_bias(word))
        return revoke(p, word, seq);
    if (!has_room(p, seq, count))
        return NO_ROOM;
    if (last != p->record && last < AE_PUBLISHERS_MAX && !prove(&p->log->publishers[last].proved, seq))
        return LOST;
    ae_store_release(&p->own->intent, ae_intent(seq, count)); /* P4 */
    bias = wants_bias(p);
    mine = ae_claim_word(seq + count, bias ? AE_MODE_BIASED : AE_MODE_SHARED, p->record);
    /* P5 acq_rel, pairs P1 (claim), J4 (join): with the claim comes the intent that covers it. */
    return ae_cas(&p->log->claim.claim, word, mine) ? won(p, seq + count, mine, bias) : LOST;
}

AE_EXPORT int aether_detail_claim(aether_publisher *handle, uint64_t count) {
    struct ae_publisher *p = ae_publisher_of(handle);
    enum try outcome = LOST;

    for (unsigned turn = 0; turn < AETHER_CLAIM_TRIES; turn++) {
        outcome = handle->biased ? claim_biased(p, count) : claim_shared(p, count);
        if (outcome == WON)
            return 0;
        if (outcome == NO_ROOM)
            break;
        /* Another one has won. Each time twice as long, so that it has its lines to itself meanwhile. */
        for (unsigned pauses = 1u << (turn < PAUSE_DOUBLINGS ? turn : PAUSE_DOUBLINGS); pauses > 0; pauses--)
            ae_pause();
    }
    if (outcome == NO_BARRIER)
        return ae_fail(-ENOSYS,
                       "another publisher has the bias of this topic and is idle, and membarrier(2), which would "
                       "end that, isn't allowed here: allow it, or create the topic as unbiased");
    ae_store_relaxed(&p->own->full, ++p->full);
    return AETHER_FULL;
}

void ae_claim_leave(struct ae_publisher *p) {
    const uint64_t mine = ae_claim_word(p->hot.next, AE_MODE_SHARED, p->record);

    /* B4, as in settle(). If both fail, another one has ended it. */
    if (p->hot.biased && !ae_cas(&p->log->claim.claim, p->hot.word, mine))
        (void)ae_cas(&p->log->claim.claim, ae_claim_revoking(p->hot.word), mine);
    p->hot.biased = 0;
}
