/* SPDX-License-Identifier: Apache-2.0 */
/* claimer.c - claiming sequences where the fast path in publish.h can't. */
#include "ring/claimer.h"
#include "base/error.h"
#include "ring/claim.h"
#include "ring/flow.h"
#include "ring/stats.h"
#include "ring/wake.h"

#define PROVE_TRIES 256
#define PAUSE_DOUBLINGS 5u

/* ---- room ---- */

/* The room ends below seq if other publishers have claimed beyond it. */
static bool within_limit(const struct ae_publisher *p, uint64_t seq, uint64_t count) {
    const uint64_t room = p->room - seq;

    return room >= count && room <= p->geometry.capacity;
}

/* Inline: each stamped message comes here. */
AE_ALWAYS_INLINE bool has_room(struct ae_publisher *p, uint64_t seq, uint64_t count) {
    if (within_limit(p, seq, count))
        return true;
    ae_publisher_scan(p, seq, seq + count - p->window, AE_EVICT_LAG);
    return within_limit(p, seq, count);
}

/* Counts that there is no room for a claim of count sequences. */
static int no_room(struct ae_publisher *p, uint64_t count) {
    const struct ae_holder *holder = &p->holder;

    if (holder->what == AE_WAITS_SUBSCRIBER)
        ae_stats_no_room(p, holder->what, holder->record, ae_claim_seq(p) + count - p->window);
    else
        ae_stats_no_room(p, holder->what, holder->record, holder->seq);
    return AETHER_FULL;
}

/*
 * A joiner starts at the same sequence. A scan is made for this sequence, and a joiner that the scan doesn't see must
 * not start below it. So if another publisher has the bias and hasn't committed its intent yet, this is where the
 * intent begins, not where it ends.
 */
uint64_t ae_claim_seq(const struct ae_publisher *p) {
    return p->hot.biased ? p->hot.next : ae_claim_end(p->log, &p->geometry, ae_load_relaxed(&p->log->claim.position));
}

int ae_claim_room(struct ae_publisher *p, uint64_t count) {
    return has_room(p, ae_claim_seq(p), count) ? 0 : no_room(p, count);
}

/* ---- one try to claim ---- */

enum outcome {
    /* The sequences next - count .. next - 1 are claimed. */
    CLAIM_WON,
    /* Another publisher has changed the claim word: try again. */
    CLAIM_LOST,
    CLAIM_NO_ROOM,
    /* Another publisher has the bias, and membarrier(2) isn't allowed. */
    CLAIM_NO_BARRIER,
};

static enum outcome set_won(struct ae_publisher *p, uint64_t end, uint64_t word, bool biased) {
    p->hot.next = end;
    p->hot.word = word;
    p->hot.biased = biased;
    ae_stats_set_limit(p);
    return CLAIM_WON;
}

/*
 * This publisher had the bias and has just stored an intent of count sequences, but the claim word has changed: another
 * publisher is revoking the bias, or has revoked it. There are three cases:
 *
 *   1. This publisher ends the bias first. That takes the intent back, so the claim is lost.
 *   2. The revoker ended the bias and found the intent, so the claim is won.
 *   3. The revoker ended the bias and didn't find the intent, so the claim is lost.
 *
 * D2 distinguishes cases 2 and 3, as it does after a death.
 */
static enum outcome lose_bias(struct ae_publisher *p, uint64_t count) {
    const uint64_t next = p->hot.next;

    p->hot.biased = 0;
    /* B4 acq_rel, pairs B5 (revoke): either the owner or the revoker ends the bias, not both. */
    if (ae_cas(&p->log->claim.claim, ae_claim_revoking(p->hot.word), ae_claim_word(next, AE_MODE_SHARED, p->record)))
        return CLAIM_LOST;
    if (!ae_claim_was_won(p->log, p->record, next + count))
        return CLAIM_LOST;
    return set_won(p, next + count, ae_claim_word(next + count, AE_MODE_SHARED, p->record), false);
}

static enum outcome claim_biased(struct ae_publisher *p, uint64_t count) {
    if (!has_room(p, p->hot.next, count))
        return CLAIM_NO_ROOM;
    ae_stats_begin_run(p, p->hot.next);
    /* P4 and P7 as in ae_claim_at_once(), which may have stored the same intent already. */
    ae_store_release(&p->own->intent, ae_intent(p->hot.next, count));
    ae_compiler_barrier();
    if (ae_load_relaxed(&p->log->claim.claim) != p->hot.word)
        return lose_bias(p, count);
    return set_won(p, p->hot.next + count, p->hot.word, true);
}

/*
 * Ends the bias of another publisher, which may be running, stopped or dead and needn't help. The sequences of the
 * intent that is found after the barrier are claimed for that publisher, which finds this out in lose_bias().
 */
static enum outcome revoke(struct ae_publisher *p, uint64_t word, uint64_t seq) {
    const uint64_t owner = ae_claim_record(word);

    /* Only a hostile peer makes this publisher the owner. Without this, every later claim would come here. */
    if (owner == p->record) {
        (void)ae_cas(&p->log->claim.claim, word,
                     ae_claim_word(ae_claim_intent(p->log, owner, seq).end, AE_MODE_SHARED, owner));
        return CLAIM_LOST;
    }
    if (word != ae_claim_revoking(word) && !ae_cas(&p->log->claim.claim, word, ae_claim_revoking(word)))
        return CLAIM_LOST;
    /*
     * P8, pairs P7 (ae_claim_at_once): after the barrier there are two cases. Either the owner loaded the claim word
     * before the barrier; then the intent that it stored before that load is visible now. Or the owner loads the claim
     * word later and finds REVOKING. Every revoker executes the barrier, because another one that set REVOKING may not
     * have executed its own yet.
     */
    if (!ae_wake_barrier())
        return CLAIM_NO_BARRIER;
    /* B5 acq_rel, pairs B4 (lose_bias) and D1 (repair): only one of them ends the bias. */
    (void)ae_cas(&p->log->claim.claim, ae_claim_revoking(word),
                 ae_claim_word(ae_claim_intent(p->log, owner, seq).end, AE_MODE_SHARED, owner));
    return CLAIM_LOST;
}

/*
 * Raises *proved, which belongs to the publisher that won the claim up to seq, to at least seq: the claim word is about
 * to be replaced and will no longer name that publisher. *proved must not be lowered, because it also answers for later
 * intents of that publisher. False: other publishers changed *proved at every try.
 */
static bool prove(ae_u64 *proved, uint64_t seq) {
    for (int turn = 0; turn < PROVE_TRIES; turn++) {
        const uint64_t old = ae_load_relaxed(proved);
        /* P3 acq_rel, pairs D2 (repair): `proved` before the claim that follows. */
        if ((int64_t)(old - seq) >= 0 || ae_cas(proved, old, seq))
            return true;
    }
    return false;
}

/* With the bias a publisher that is alone saves the compare-and-swap. The answer is a hint: a wrong one is sound. */
static bool wants_bias(const struct ae_publisher *p) {
    return p->may_bias && ae_load_relaxed(&p->log->stream.open) == 1ull << p->record;
}

static enum outcome claim_shared(struct ae_publisher *p, uint64_t count) {
    /* P1 acquire, pairs P5 (claim): with a claim comes the intent of the publisher that won it. */
    const uint64_t word = ae_load_acquire(&p->log->claim.claim), last = ae_claim_record(word);
    const uint64_t seq = ae_seq_extend(word >> AE_CLAIM_SEQ_SHIFT, ae_load_relaxed(&p->log->claim.position));
    uint64_t mine;
    bool bias;

    if (ae_claim_has_bias(word))
        return revoke(p, word, seq);
    if (!has_room(p, seq, count))
        return CLAIM_NO_ROOM;
    if (last != p->record && last < AE_PUBLISHERS_MAX && !prove(&p->log->publishers[last].proved, seq))
        return CLAIM_LOST;
    ae_stats_begin_run(p, seq);
    ae_store_release(&p->own->intent, ae_intent(seq, count)); /* P4 */
    bias = wants_bias(p);
    mine = ae_claim_word(seq + count, bias ? AE_MODE_BIASED : AE_MODE_SHARED, p->record);
    /* P5 acq_rel, pairs P1 (claim), J4 (join): with the claim comes the intent that covers it. */
    return ae_cas(&p->log->claim.claim, word, mine) ? set_won(p, seq + count, mine, bias) : CLAIM_LOST;
}

int ae_claim_slow(struct ae_publisher *p, uint64_t count) {
    enum outcome outcome = CLAIM_LOST;

    for (unsigned turn = 0; turn < AETHER_CLAIM_TRIES; turn++) {
        outcome = p->hot.biased ? claim_biased(p, count) : claim_shared(p, count);
        if (outcome == CLAIM_WON) {
            ae_stats_slot(p);
            return 0;
        }
        if (outcome == CLAIM_NO_ROOM)
            return no_room(p, count);
        ae_store_relaxed(&p->stats->retries, ++p->retries);
        /* Another publisher has won. The pause doubles each time, so that its cache lines stay with it meanwhile. */
        for (unsigned pauses = 1u << (turn < PAUSE_DOUBLINGS ? turn : PAUSE_DOUBLINGS); pauses > 0; pauses--)
            ae_pause();
    }
    if (outcome == CLAIM_NO_BARRIER)
        return ae_fail(-ENOSYS,
                       "another publisher has the bias of this topic and is idle, and membarrier(2), which would "
                       "end that, isn't allowed here: allow it, or create the topic as unbiased");
    ae_stats_no_room(p, AE_WAITS_CLAIM, 0, 0);
    return AETHER_FULL;
}

void ae_claim_leave(struct ae_publisher *p) {
    const uint64_t mine = ae_claim_word(p->hot.next, AE_MODE_SHARED, p->record);

    /* B4, as in lose_bias(). If both fail, another publisher has ended the bias. */
    if (p->hot.biased && !ae_cas(&p->log->claim.claim, p->hot.word, mine))
        (void)ae_cas(&p->log->claim.claim, ae_claim_revoking(p->hot.word), mine);
    p->hot.biased = 0;
}
