/* SPDX-License-Identifier: Apache-2.0 */
/*
 * claim.h - who owns which sequences: the claim word, publishers' intents, and what a dead publisher leaves of them.
 * docs/claim.md has the argument.
 */
#ifndef AE_RING_CLAIM_H
#define AE_RING_CLAIM_H

#include <aether/detail/layout.h>

/*
 * One past the last claimed sequence, as a full 64-bit value within 2^47 of near_seq. All words are hostile: whatever
 * they hold, the result is only a number that is masked before it becomes an address. Bounded.
 */
uint64_t ae_claim_end(const ae_log *log, uint64_t near_seq);

/*
 * Repairs what a publisher left that died in the middle of a publish: the bias goes, and sequences that it had claimed
 * and not committed become ABORTED. Returns how many. log is mapped up to the end of the slots.
 *
 * The caller has proof of its death, is the only repairer, and gives the record out again only afterwards. May be
 * killed at any point and is run again from the start then; running it twice changes nothing. Bounded.
 */
uint64_t ae_claim_repair(ae_log *log, const ae_geometry *geometry, uint32_t record);

static inline ae_u64 *ae_slot_tag(ae_log *log, const ae_geometry *geometry, uint64_t seq) {
    return (ae_u64 *)(void *)((unsigned char *)log + geometry->slots_off +
                              (seq & (geometry->capacity - 1)) * geometry->slot_size);
}

#endif
