/* SPDX-License-Identifier: Apache-2.0 */
/*
 * claim.h - who owns which sequences: the claim word, publishers' intents, and what a dead publisher leaves of them.
 * docs/claim.md has the argument.
 */
#ifndef AE_RING_CLAIM_H
#define AE_RING_CLAIM_H

#include <aether/detail/layout.h>

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

static inline ae_u64 *ae_slot_tag(const ae_log *log, const ae_geometry *geometry, uint64_t seq) {
    return (ae_u64 *)((uintptr_t)log + geometry->slots_off + (seq & (geometry->capacity - 1)) * geometry->slot_size);
}

#endif
