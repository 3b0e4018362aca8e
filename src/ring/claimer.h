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

/* Ends the publisher's bias, if it has it. */
void ae_claim_leave(struct ae_publisher *p);

#endif
