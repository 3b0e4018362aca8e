/* SPDX-License-Identifier: Apache-2.0 */
/*
 * claimer.h - how a publisher claims sequences. This part writes the publisher's intent and takes and ends its bias;
 * claim.h reads these words on behalf of other processes.
 */
#ifndef AE_RING_CLAIMER_H
#define AE_RING_CLAIMER_H

#include "ring/publisher.h"

/* Returns the sequence at which a claim would begin now. */
uint64_t ae_claim_seq(const struct ae_publisher *p);

/* Returns 0: there are count free slots now; none is reserved. AETHER_FULL: there aren't; that is counted. Bounded. */
int ae_claim_room(struct ae_publisher *p, uint64_t count);

/*
 * Claims count sequences, 1 .. AETHER_BATCH_MAX, where ae_claim_inline() can't. Returns 0: they are next - count ..
 * next - 1, and the caller must write and commit all of them now, in order. AETHER_FULL or an error: nothing is
 * claimed.
 */
int ae_claim_slow(struct ae_publisher *p, uint64_t count);

/* The same; tries the inline path first. */
static inline int ae_claim_next(struct ae_publisher *p, uint64_t count) {
    return ae_claim_inline(&p->hot, count) ? 0 : ae_claim_slow(p, count);
}

/* Ends the publisher's bias, if it has it. */
void ae_claim_leave(struct ae_publisher *p);

#endif
