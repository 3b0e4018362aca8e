/* SPDX-License-Identifier: Apache-2.0 */
/*
 * claimer.h - one publisher claims sequences. It owns the publisher's intent, its bias, and its side of the claim word;
 * what these words say to others is in claim.h.
 */
#ifndef AE_RING_CLAIMER_H
#define AE_RING_CLAIMER_H

#include "ring/publisher.h"

/* The sequence at which a claim would begin now. */
uint64_t ae_claim_seq(const struct ae_publisher *p);

/* Is there room for count more slots now? 0 or AETHER_FULL, which is counted. Reserves nothing. */
int ae_claim_room(struct ae_publisher *p, uint64_t count);

/* Gives up the bias, if the publisher has it. */
void ae_claim_leave(struct ae_publisher *p);

#endif
