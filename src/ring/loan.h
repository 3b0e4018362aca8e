/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loan.h - loans: memory that a program fills in place, in the lane or, if it fits in a slot, in the publisher's own
 * buffer. The calls are those of <aether/publish.h>; here is what opening a publisher needs.
 */
#ifndef AE_RING_LOAN_H
#define AE_RING_LOAN_H

#include "ring/publisher.h"

/* Bytes of the buffer that ae_publisher_init() needs, a multiple of 64. */
size_t ae_publisher_buffer_bytes(const ae_geometry *geometry);

/* No loan is open. buffer: ae_publisher_buffer_bytes() bytes, 64-byte aligned. */
void ae_loan_init(struct ae_publisher *p, unsigned char *buffer);

#endif
