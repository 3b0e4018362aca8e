/* SPDX-License-Identifier: Apache-2.0 */
/*
 * join.h - how a publisher or subscriber that aetherd has admitted joins its topic, and how it leaves.
 *
 * The caller owns the mappings and buffers that are passed in, and keeps them until the publisher or subscriber has
 * left. Nothing here blocks. Only ae_subscriber_populate_lane() can fail.
 */
#ifndef AE_RING_JOIN_H
#define AE_RING_JOIN_H

#include "ring/publisher.h"
#include "ring/subscriber.h"

/*
 * Makes *p the publisher that holds the record, and registers the process for membarrier(2).
 *
 * geometry is checked. log is mapped read-write, cursors and notes read-only, as large as geometry says, and the lane
 * of the record is allocated. The record's former holder has left, or is dead and repaired. buffer:
 * ae_publisher_buffer_bytes() bytes, 64-byte aligned. stats: the first AE_STATS_PUBLISHER bytes of its record in the
 * statistics, zeroed but for its identity.
 */
void ae_publisher_init(struct ae_publisher *p, const ae_geometry *geometry, uint32_t record, ae_log *log,
                       const ae_cursors *cursors, const ae_notes *notes, unsigned char *buffer, ae_stats_record *stats);

/* Leaves the topic. If it was the last publisher, subscribers see the end of the stream. */
void ae_publisher_leave(struct ae_publisher *p);

/*
 * Returns how many bytes for copies ae_subscriber_init() needs: 64 KiB, which hold thousands of small messages, or one
 * message of the largest size if that is more. 0: it makes no copies.
 */
size_t ae_subscriber_copies_bytes(const ae_geometry *geometry, const aether_subscribe_options *options);

/*
 * Makes *s a subscriber, which joins here, and populates the lanes that are in use. options and geometry are checked.
 * cursors: NULL for best effort and latest. record: below AE_SUBSCRIBERS_MAX; if there are cursors, aetherd has granted
 * it. copies: ae_subscriber_copies_bytes() bytes, 8-byte aligned; NULL if that is 0. stats: its record in the
 * statistics, zeroed but for its identity.
 */
void ae_subscriber_init(struct ae_subscriber *s, const ae_geometry *geometry, uint32_t record, const ae_log *log,
                        ae_cursors *cursors, ae_notes *notes, const aether_subscribe_options *options,
                        unsigned char *copies, ae_stats_record *stats);

/*
 * Makes *s a subscriber of a topic that had no shape when aetherd granted it. True: it waits. It has joined at
 * start_seq, the topic's first sequence, and receives nothing until `attach` has taken the shape. There are no retained
 * messages, so from oldest and last are the same as from new. False: the topic has a shape by now. Then the caller maps
 * the log and calls ae_subscriber_init(), or ae_subscriber_leave(); a reliable subscriber may have entered the topic
 * already.
 *
 * log: the first sizeof(ae_log) bytes. shape: the topic's shape word, mapped until the shape is taken or the subscriber
 * has left. Other arguments as for ae_subscriber_init().
 */
bool ae_subscriber_init_waiting(struct ae_subscriber *s, uint64_t start_seq, uint32_t record, const ae_log *log,
                                ae_cursors *cursors, ae_notes *notes, const aether_subscribe_options *options,
                                ae_stats_record *stats, const ae_u64 *shape, int (*attach)(struct ae_subscriber *s));

/*
 * Gives a subscriber that waits its topic's shape: from now on it receives, as one that ae_subscriber_init() has made.
 * geometry is checked. log: mapped as large as geometry says; the former mapping isn't used any more. copies:
 * ae_subscriber_copies_bytes() bytes for the options that ae_subscriber_options() returns. Populates the lanes that are
 * in use.
 */
void ae_subscriber_take_shape(struct ae_subscriber *s, const ae_geometry *geometry, const ae_log *log,
                              unsigned char *copies);

/* The options of a subscriber that waits. It is one from new. */
aether_subscribe_options ae_subscriber_options(const struct ae_subscriber *s);

/* Leaves the topic: publishers no longer wait for this subscriber. */
void ae_subscriber_leave(struct ae_subscriber *s);

/*
 * Populates a lane before its first byte is read, so that reading a message causes no page faults and can't run out of
 * memory. Does the work once a lane, with a system call. False: the lane has never had a publisher, or there is no
 * memory for it.
 */
bool ae_subscriber_populate_lane(struct ae_subscriber *s, uint64_t lane);

#endif
