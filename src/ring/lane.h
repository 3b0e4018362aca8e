/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lane.h - the allocator of a publisher's lane, where messages lie that don't fit in a slot.
 *
 * Order of a large message: room is taken in the lane, filled, and only then a sequence is claimed and its slot
 * committed. So a publisher that fills slowly, or dies while it fills, holds nobody up.
 *
 * Two kinds of subscribers must not find their bytes overwritten. Reliable ones: bytes are used again only below
 * `free`, which moves up to a checkpoint's position when a scan has shown that every reliable cursor has reached the
 * checkpoint's sequence. Others copy and load lane_floor afterwards, which is raised before the first byte changes.
 */
#ifndef AE_RING_LANE_H
#define AE_RING_LANE_H

#include "ring/publisher.h"

/* Bytes of the lane that a message of len bytes takes: at least one unit, so that no two loans have one position. */
uint64_t ae_lane_units(uint64_t len);

/* Makes p->lane that of the record, whose last holder may have left messages that are still read. */
void ae_lane_init(struct ae_publisher *p, uint32_t record);

/*
 * Finds room for a block of `bytes`, a multiple of the unit and at most the lane: 0 and *position. Nothing is reserved.
 * AETHER_FULL: subscribers hold it, which is counted. -ENOBUFS with a text: open loans hold it.
 */
int ae_lane_find(struct ae_publisher *p, uint64_t bytes, uint64_t *position);

/* Takes the block that ae_lane_find() has found, and returns its memory. */
unsigned char *ae_lane_take(struct ae_publisher *p, uint64_t position, uint64_t bytes);

/* Commits the slot of a claimed sequence: it says that the message is in the lane, at position. */
void ae_lane_commit(const struct ae_publisher *p, uint64_t seq, uint64_t position, uint64_t len);

/* After a commit, or after taken room was given up: notes from which sequence on the lane below it is free. */
void ae_lane_checkpoint(struct ae_publisher *p);

/* Returns -EMSGSIZE, and sets the text for a message of len bytes, which the topic doesn't take. */
int ae_lane_too_large(const struct ae_publisher *p, uint64_t len);

#endif
