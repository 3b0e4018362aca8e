/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/claim.h"

#define LOADS_MAX 64 /* a few are enough unless a peer is hostile */

struct ae_span ae_claim_intent(const ae_log *log, uint64_t record, uint64_t near_seq) {
    /* B3 acquire, pairs P4 (claim): with an intent come the commits of the claims before it. */
    const uint64_t intent = ae_load_acquire(&log->publishers[record].intent);
    const uint64_t first = ae_seq_extend(intent >> AE_CLAIM_SEQ_SHIFT, near_seq);

    return (struct ae_span){.first = first, .end = first + (intent & AE_INTENT_COUNT_MAX)};
}

bool ae_claim_has_bias(uint64_t word) {
    return ae_claim_mode(word) != AE_MODE_SHARED && ae_claim_record(word) < AE_PUBLISHERS_MAX;
}

/*
 * D2 acquire, pairs P3 (prove). The claim word must be loaded before `proved`: the publisher that
 * replaces a claim word which names this record raises the record's `proved` first.
 */
bool ae_claim_was_won(const ae_log *log, uint32_t record, uint64_t end) {
    return ae_load_acquire(&log->claim.claim) == ae_claim_word(end, AE_MODE_SHARED, record) ||
           (int64_t)(ae_load_acquire(&log->publishers[record].proved) - end) >= 0;
}

/* ---- the sequence below which everything is claimed ---- */

/*
 * Returns the sequence below which everything is claimed for good while a publisher with this intent has the bias. The
 * bias began at word_seq.
 *
 * An intent whose last slot is finished was won. Until then the owner may still take the intent back: it does so if
 * another publisher revokes the bias before the owner has loaded the claim word again. Another publisher then claims
 * the intent's first sequence. geometry NULL: the intent counts as won.
 */
static uint64_t claimed_for_good(const ae_log *log, const ae_geometry *geometry, struct ae_span intent,
                                 uint64_t word_seq) {
    if (geometry == NULL || intent.end == intent.first ||
        !ae_tag_pending(ae_load_acquire(ae_slot_tag(log, geometry, intent.end - 1)), intent.end - 1))
        return intent.end;
    /* All below word_seq was claimed by compare-and-swap. */
    return (int64_t)(intent.first - word_seq) > 0 ? intent.first : word_seq;
}

static uint64_t claim_end(const ae_log *log, const ae_geometry *geometry, uint64_t near_seq) {
    uint64_t word = 0, seq = near_seq, end;

    for (int load = 0; load < LOADS_MAX; load++) {
        /* J4 acquire, pairs P5 (claim): with a claim come the intents that were stored before it. */
        word = ae_load_acquire(&log->claim.claim);
        seq = ae_seq_extend(word >> AE_CLAIM_SEQ_SHIFT, near_seq);
        if (!ae_claim_has_bias(word))
            break;
        end = claimed_for_good(log, geometry, ae_claim_intent(log, ae_claim_record(word), near_seq), seq);
        /*
         * J5 acquire: the bias was still there after the intent was loaded. If it has ended, others
         * may have claimed far beyond the intent.
         */
        if (ae_load_acquire(&log->claim.claim) == word)
            return end;
    }
    return seq;
}

uint64_t ae_claim_end(const ae_log *log, const ae_geometry *geometry, uint64_t near_seq) {
    return claim_end(log, geometry, near_seq);
}

uint64_t ae_claim_reach(const ae_log *log, uint64_t near_seq) {
    return claim_end(log, NULL, near_seq);
}

/* ---- repair ---- */

/*
 * D1 acq_rel, pairs B5 (revoke) and P1 (claim): ends the bias of a dead publisher as revoke() in claimer.c ends that of
 * another one. With the bias, the publisher has claimed everything up to the end of its intent.
 */
static void end_bias(ae_log *log, uint32_t record, uint64_t near_seq) {
    for (int load = 0; load < LOADS_MAX; load++) {
        const uint64_t word = ae_load_acquire(&log->claim.claim);
        if (!ae_claim_has_bias(word) || ae_claim_record(word) != record ||
            ae_cas(&log->claim.claim, word,
                   ae_claim_word(ae_claim_intent(log, record, near_seq).end, AE_MODE_SHARED, record)))
            return;
    }
}

uint64_t ae_claim_repair(ae_log *log, const ae_geometry *geometry, uint32_t record) {
    const uint64_t near_seq = ae_load_relaxed(&log->claim.position);
    struct ae_span intent;
    uint64_t aborted = 0;

    end_bias(log, record, near_seq);
    intent = ae_claim_intent(log, record, near_seq);
    if (!ae_claim_was_won(log, record, intent.end))
        return 0;
    for (uint64_t seq = intent.first; seq != intent.end && seq - intent.first < geometry->capacity; seq++) {
        ae_u64 *tag = ae_slot_tag(log, geometry, seq);
        const uint64_t value = ae_load_acquire(tag);
        /*
         * D3 acq_rel, pairs R1 (receive) and P6 (hold). Only a pending slot is aborted. If aetherd is killed during a
         * repair, its successor repairs again, and by then other publishers may have overwritten some of these slots.
         */
        if (ae_tag_pending(value, seq) && ae_cas(tag, value, ae_tag(seq, AE_KIND_ABORTED, 0)))
            aborted++;
    }
    return aborted;
}
