/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats.h - the figures of a publisher or subscriber in its client's statistics, and which messages are stamped.
 *
 * Nothing here runs on the inline path of publish and receive. The inline path adds up bytes in the handle; all other
 * figures change on the slow path, or follow from the cursor and the intent. So that each message that is to be stamped
 * takes the slow path, its sequence bounds the publisher's limit; a subscriber takes the slow path for a stamped
 * message because its tag isn't that of a plain one.
 *
 * One thread at a time uses a publisher or subscriber, and only that thread writes its record. Any process may read the
 * record, at any time and after the owner's death. Wait-free.
 */
#ifndef AE_RING_STATS_H
#define AE_RING_STATS_H

#include "ring/publisher.h"
#include "ring/subscriber.h"
#include "shm/stats_layout.h"

/* ---- publishers ---- */

/* Starts the figures, at the publisher's next sequence. */
void ae_stats_open_publisher(struct ae_publisher *p);

/*
 * The publisher is about to store an intent that begins at seq. If other publishers have claimed since its last claim,
 * a new run begins there; see run.base. This must be visible before the intent.
 */
void ae_stats_begin_run(struct ae_publisher *p, uint64_t seq);

/* Stores the publisher's figures. */
void ae_stats_store_publisher(struct ae_publisher *p);

/* Stores how many loans are open, and how much of the lane is in use. */
void ae_stats_store_loans(struct ae_publisher *p);

/* A call found no room: it waits for `what`, of this record, to pass seq. */
void ae_stats_no_room(struct ae_publisher *p, uint64_t what, uint64_t record, uint64_t seq);

/* A call found a slot. That ends a stall, unless the publisher waits for room in its lane. */
void ae_stats_slot(struct ae_publisher *p);

/* A call found room in the lane. That ends a stall, unless the publisher waits for a slot. */
void ae_stats_lane_room(struct ae_publisher *p);

/* The publisher has all that it waited for, or leaves: a stall ends. */
void ae_stats_room(struct ae_publisher *p);

/* ---- which messages are stamped ---- */

/* Sets the limit of the inline path: up to where there is room, and up to the next message that is to be stamped. */
void ae_stats_set_limit(struct ae_publisher *p);

/* Is the message of seq, which is claimed and not written yet, to be stamped? */
bool ae_stamp_due(const struct ae_publisher *p, uint64_t seq);

/*
 * Returns what is added to the kind in the tag of seq, which says BUSY: AE_KIND_STAMPED, and the stamp is stored; or 0,
 * if the message isn't to be stamped. Call it once a message, in the order of the sequences.
 */
uint64_t ae_stamp(struct ae_publisher *p, uint64_t seq);

/* Some time has passed without a stamp, perhaps: if the topic has become slow, the next message is stamped. */
void ae_stamp_review(struct ae_publisher *p);

/* ---- subscribers ---- */

void ae_stats_open_subscriber(struct ae_subscriber *s);

/* Stores the subscriber's figures. */
void ae_stats_store_subscriber(struct ae_subscriber *s);

/* The subscriber, for which there is nothing, is about to sleep; and there was something after it had slept. */
void ae_stats_slept(struct ae_subscriber *s);
void ae_stats_woken(struct ae_subscriber *s);

/* The slot of seq says that it is stamped. Returns its stamp; whether it belongs to the message is known later. */
uint64_t ae_stamp_load(const struct ae_subscriber *s, uint64_t seq);

/* A stamped message is received now. valid: the stamp is its own. */
void ae_stats_received(struct ae_subscriber *s, uint64_t stamp, bool valid);

#endif
