/* SPDX-License-Identifier: Apache-2.0 */
/*
 * claim.h - which publisher owns which sequences: reading the claim word and the intents, and repairing what a dead
 * publisher leaves of them. A publisher claims with claimer.h. docs/claim.md explains why this is right.
 *
 * A publisher first stores its intent. Without the bias it then wins the claim by compare-and-swap of the claim word,
 * which from then on names it. With the bias the store of the intent is the claim. Whether a publisher's last intent
 * was won follows from the claim word, if no publisher has claimed since; otherwise from `proved`, which each publisher
 * raises for the publisher that claimed before it.
 */
#ifndef AE_RING_CLAIM_H
#define AE_RING_CLAIM_H

#include <aether/detail/layout.h>
#include <stdbool.h>

/*
 * Returns the sequence below which everything is claimed for good, as a full 64-bit value within 2^47 of near_seq. A
 * joiner starts there. The sequence never goes back. A hostile peer can make the result any number, but nothing worse:
 * it is masked before it becomes an address. Bounded. log is mapped up to the end of the slots.
 */
uint64_t ae_claim_end(const ae_log *log, const ae_geometry *geometry, uint64_t near_seq);

/*
 * As ae_claim_end(), but reads no slots, so log may be mapped without them. With the bias, a publish that has just
 * begun counts as claimed, although its publisher may still take it back. For callers that read the slots themselves,
 * and for read-outs.
 */
uint64_t ae_claim_reach(const ae_log *log, uint64_t near_seq);

/*
 * Repairs what a dead publisher has left: ends its bias, and aborts the sequences that it had claimed and not
 * committed. Returns how many it has aborted. log is mapped up to the end of the slots.
 *
 * The caller has proof of the death, is the only repairer, and grants the record again only after the repair. If the
 * caller is killed during the repair, its successor calls this again; a second repair changes nothing. Bounded.
 */
uint64_t ae_claim_repair(ae_log *log, const ae_geometry *geometry, uint32_t record);

/* ---- for claimer.c ---- */

/* An intent's sequences, [first, end), as full values. */
struct ae_span {
    uint64_t first, end;
};

/* Returns the intent of a record; near_seq as for ae_claim_end(). */
struct ae_span ae_claim_intent(const ae_log *log, uint64_t record, uint64_t near_seq);

/* Does the record that this claim word names have the bias, also if another publisher is revoking it? */
bool ae_claim_has_bias(uint64_t word);

/* Returns the claim word of the same bias while a publisher is revoking it. */
static inline uint64_t ae_claim_revoking(uint64_t word) {
    return (word & ~AE_CLAIM_MODE_MASK) | AE_MODE_REVOKING << AE_CLAIM_MODE_SHIFT;
}

/* Was the record's last intent, which ends at `end`, won? Call it only if the record hasn't the bias. */
bool ae_claim_was_won(const ae_log *log, uint32_t record, uint64_t end);

/* ---- slots ---- */

static inline ae_u64 *ae_slot_tag(const ae_log *log, const ae_geometry *geometry, uint64_t seq) {
    return (ae_u64 *)((uintptr_t)log + geometry->slots_off + (seq & (geometry->capacity - 1)) * geometry->slot_size);
}

#endif
