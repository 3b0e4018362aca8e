/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lane.h - the allocator of a publisher's lane. Messages that don't fit in a slot lie in the lane.
 *
 * A publisher takes room in its lane, fills it, then claims a sequence, then commits the slot. So a publisher that
 * fills slowly, or dies while it fills, holds nothing up.
 *
 * No subscriber may accept overwritten bytes:
 *
 *   - For reliable subscribers, only bytes below `free` are used again. `free` moves up to a checkpoint's position when
 *     a scan has shown that every reliable cursor has reached the checkpoint's sequence.
 *   - Others copy the bytes and then load lane_floor. The publisher raises lane_floor before it changes the first byte.
 *
 * The publisher owns its lane's bytes from the take to the commit; then subscribers read them until they are free.
 */
#ifndef AE_RING_LANE_H
#define AE_RING_LANE_H

#include "ring/publisher.h"

/* Returns how many lane bytes a message of len bytes takes: at least one unit, so no two loans have one position. */
uint64_t ae_lane_units(uint64_t len);

/* Makes p->lane the lane of the record. Messages of the record's former holder may still be read there. */
void ae_lane_init(struct ae_publisher *p, uint32_t record);

/*
 * Finds room for a block of `bytes`, a multiple of the unit and at most the lane. Reserves nothing. Bounded; on a topic
 * that evicts, it evicts subscribers that hold the room.
 *
 * Returns 0: the block can be taken at *position. AETHER_FULL: subscribers hold the room; that is counted. -ENOBUFS
 * with a text: open loans hold it.
 */
int ae_lane_find(struct ae_publisher *p, uint64_t bytes, uint64_t *position);

/* Takes the block that the last ae_lane_find() has found, and returns its memory. */
unsigned char *ae_lane_take(struct ae_publisher *p, uint64_t position, uint64_t bytes);

/* Commits the slot of a claimed sequence. The slot says that the message lies in this publisher's lane at position. */
void ae_lane_commit(struct ae_publisher *p, uint64_t seq, uint64_t position, uint64_t len);

/*
 * Notes that all that is used of the lane becomes free, up to the lowest open loan, once every reliable cursor has
 * reached the publisher's next sequence. Call it after a commit, and after taken room was given up.
 */
void ae_lane_checkpoint(struct ae_publisher *p);

/* How many bytes of the lane the publisher's own open loans keep from being used again. */
uint64_t ae_lane_loaned(const struct ae_publisher *p);

/* Sets the error text for a message of len bytes, which is above max_message, and returns -EMSGSIZE. */
int ae_lane_too_large(const struct ae_publisher *p, uint64_t len);

#endif
