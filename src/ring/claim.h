/* SPDX-License-Identifier: Apache-2.0 */
/*
 * claim.h - which publisher owns which sequences: reading the claim word and the intents, and repairing what a dead
 * publisher leaves of them. A publisher's own claims are in claimer.h. docs/claim.md has the argument.
 *
 * A claim is won by compare-and-swap of the claim word, which names its winner, or, with the bias, by the store of the
 * intent alone. Either way the intent was stored before. So three words tell whether the last intent of a publisher was
 * won: the claim word if nobody has claimed since; else `proved`, which each claimer raises for the one before it.
 */
#ifndef AE_RING_CLAIM_H
#define AE_RING_CLAIM_H

#include <aether/detail/layout.h>
#include <stdbool.h>

/*
 * The sequence below which everything is claimed for good, as a full 64-bit value within 2^47 of near_seq: where a
 * joiner starts. It never goes back. All words are hostile: whatever they hold, the result is only a number that is
 * masked before it becomes an address. Bounded. log is mapped up to the end of the slots.
 */
uint64_t ae_claim_end(const ae_log *log, const ae_geometry *geometry, uint64_t near_seq);

/*
 * As ae_claim_end() without a look at slots, for who looks at slots itself, and for read-outs: with the bias one
 * publish that has just begun counts as claimed, though it may still be taken back.
 */
uint64_t ae_claim_reach(const ae_log *log, uint64_t near_seq);

/*
 * Repairs what a publisher left that died in the middle of a publish: the bias goes, and sequences that it had claimed
 * and not committed become ABORTED. Returns how many. log is mapped up to the end of the slots.
 *
 * The caller has proof of its death, is the only repairer, and gives the record out again only afterwards. May be
 * killed at any point and is run again from the start then; running it twice changes nothing. Bounded.
 */
uint64_t ae_claim_repair(ae_log *log, const ae_geometry *geometry, uint32_t record);

/* ---- for claimer.c ---- */

/* An intent's sequences, [first, end), as full values. */
struct ae_span {
    uint64_t first, end;
};

/* The intent of a record; near_seq as for ae_claim_end(). */
struct ae_span ae_claim_intent(const ae_log *log, uint64_t record, uint64_t near_seq);

/* Does the intent of this claim word's record stand for its sequence? */
bool ae_claim_has_bias(uint64_t word);

/* The claim word of a bias that somebody is ending. */
static inline uint64_t ae_claim_revoking(uint64_t word) {
    return (word & ~AE_CLAIM_MODE_MASK) | AE_MODE_REVOKING << AE_CLAIM_MODE_SHIFT;
}

/* Was the last intent of this record, which ends at end, won? The record has no bias. */
bool ae_claim_was_won(const ae_log *log, uint32_t record, uint64_t end);

/* ---- slots ---- */

static inline ae_u64 *ae_slot_tag(const ae_log *log, const ae_geometry *geometry, uint64_t seq) {
    return (ae_u64 *)((uintptr_t)log + geometry->slots_off + (seq & (geometry->capacity - 1)) * geometry->slot_size);
}

#endif
