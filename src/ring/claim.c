/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/claim.h"

#define LOOK_TURNS 64 /* honest peers need a few */

struct ae_span ae_claim_intent(const ae_log *log, uint64_t record, uint64_t near_seq) {
    /* B3 acquire, pairs P4 (claim): with an intent come the commits of the ones before. */
    const uint64_t intent = ae_load_acquire(&log->publishers[record].intent);
    const uint64_t first = ae_seq_extend(intent >> AE_CLAIM_SEQ_SHIFT, near_seq);

    return (struct ae_span){.first = first, .end = first + (intent & AE_INTENT_COUNT_MAX)};
}

bool ae_claim_has_bias(uint64_t word) {
    return ae_claim_mode(word) != AE_MODE_SHARED && ae_claim_record(word) < AE_PUBLISHERS_MAX;
}

/*
 * D2: was the last intent of this record won? First the claim word, then `proved`: who replaces a claim word that names
 * it raises `proved` before that.
 */
bool ae_claim_was_won(const ae_log *log, uint32_t record, uint64_t end) {
    return ae_load_acquire(&log->claim.claim) == ae_claim_word(end, AE_MODE_SHARED, record) ||
           (int64_t)(ae_load_acquire(&log->publishers[record].proved) - end) >= 0;
}

/* ---- how far all is claimed ---- */

/*
 * An intent whose last slot is finished was won. One that is still being written may be taken back yet, if a revoker
 * comes before its owner has looked at the claim word: its first sequence then goes to somebody else. geometry NULL:
 * take it for won.
 */
static uint64_t claimed_for_good(const ae_log *log, const ae_geometry *geometry, struct ae_span intent,
                                 uint64_t word_seq) {
    if (geometry == NULL || intent.end == intent.first ||
        !ae_tag_pending(ae_load_acquire(ae_slot_tag(log, geometry, intent.end - 1)), intent.end - 1))
        return intent.end;
    /* Where the bias began was won by compare-and-swap. */
    return (int64_t)(intent.first - word_seq) > 0 ? intent.first : word_seq;
}

static uint64_t claim_end(const ae_log *log, const ae_geometry *geometry, uint64_t near_seq) {
    uint64_t word = 0, seq = near_seq, end;

    for (int turn = 0; turn < LOOK_TURNS; turn++) {
        /* J4 acquire, pairs P5 (claim): with a claim come the intents that were stored before it. */
        word = ae_load_acquire(&log->claim.claim);
        seq = ae_seq_extend(word >> AE_CLAIM_SEQ_SHIFT, near_seq);
        if (!ae_claim_has_bias(word))
            break;
        end = claimed_for_good(log, geometry, ae_claim_intent(log, ae_claim_record(word), near_seq), seq);
        /* J5: the bias was still there after the intent was loaded; else others may have claimed far beyond it. */
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
 * D1 acq_rel, pairs B5 (revoke) and P1 (claim): the dead one's intent is all that it claimed, as revoke() would find.
 */
static void end_bias(ae_log *log, uint32_t record, uint64_t near_seq) {
    for (int turn = 0; turn < LOOK_TURNS; turn++) {
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
         * D3 acq_rel, pairs R1 (receive) and P6 (hold). Only a slot that nobody has committed: if the repairer was
         * killed after it had freed the others, they may be a lap further already.
         */
        if (ae_tag_pending(value, seq) && ae_cas(tag, value, ae_tag(seq, AE_KIND_ABORTED, 0)))
            aborted++;
    }
    return aborted;
}
