/* SPDX-License-Identifier: Apache-2.0 */
/*
 * join.h - a publisher or subscriber that aetherd has admitted begins to take part in its topic, and leaves.
 *
 * The caller owns the mappings and buffers that are passed in; they outlive the handle. No function here can fail.
 */
#ifndef AE_RING_JOIN_H
#define AE_RING_JOIN_H

#include "ring/publisher.h"
#include "ring/subscriber.h"

/*
 * Makes *p the publisher that holds the record. log is mapped read-write and cursors read-only, as large as geometry
 * (checked by the caller) says; the record's lane is allocated. The record's former holder has left, or is dead and
 * repaired: aetherd grants it only then. buffer: ae_publisher_buffer_bytes() bytes, 64-byte aligned. Registers the
 * process for membarrier.
 */
void ae_publisher_init(struct ae_publisher *p, const ae_geometry *geometry, uint32_t record, ae_log *log,
                       const ae_cursors *cursors, unsigned char *buffer);

/* Leaves: if no other publisher is there, subscribers see the end of the stream. */
void ae_publisher_leave(struct ae_publisher *p);

/*
 * Bytes for copies that ae_subscriber_init() needs, 0 for none: 64 KiB, thousands of small messages, or one message of
 * the largest size. 8-byte aligned.
 */
size_t ae_subscriber_copies_bytes(const ae_geometry *geometry, const aether_subscribe_options *options);

/*
 * Makes *s a subscriber, which joins here. cursors is NULL for best effort and latest. The caller has checked options
 * and geometry; record is below AE_SUBSCRIBERS_MAX and granted by aetherd. Lanes that are in use are populated.
 */
void ae_subscriber_init(struct ae_subscriber *s, const ae_geometry *geometry, uint32_t record, const ae_log *log,
                        ae_cursors *cursors, const aether_subscribe_options *options, unsigned char *copies);

/* Leaves: publishers no longer wait for it. */
void ae_subscriber_leave(struct ae_subscriber *s);

/*
 * Populates a lane before its first byte is read, so that neither a page fault for each page nor a lack of memory comes
 * in the middle of a message. The work is done once a lane. False: the lane has never had a publisher, or has no
 * memory.
 */
bool ae_subscriber_populate_lane(struct ae_subscriber *s, uint64_t lane);

#endif
