/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loan.h - loans: memory that a program fills in place. It lies in the lane or, for a message that fits in a slot, in
 * the publisher's buffer. The calls on loans are in <aether/publish.h>; a publisher's open needs these two.
 */
#ifndef AE_RING_LOAN_H
#define AE_RING_LOAN_H

#include "ring/publisher.h"

/* Returns how many bytes of buffer ae_publisher_init() needs: a multiple of 64. */
size_t ae_publisher_buffer_bytes(const ae_geometry *geometry);

/* Sets p->loans up without an open loan. buffer: ae_publisher_buffer_bytes() bytes, 64-byte aligned; p borrows it. */
void ae_loan_init(struct ae_publisher *p, unsigned char *buffer);

#endif
