/* SPDX-License-Identifier: Apache-2.0 */
/*
 * topic.h - the steps of aetherd on the words of a topic: format, admit, retire.
 *
 * These functions own the order in which the words of a topic's objects change when the topic is created and when a
 * publisher or subscriber is admitted or retired. layout.h says what the words mean. aetherd, the unit tests, the kill
 * harness and the model checker all call these functions and have no such steps of their own.
 *
 * One process at a time calls them for a topic: aetherd, which holds the lock of its instance. Publishers and
 * subscribers of the topic work on meanwhile. aetherd may be killed between any two stores; its successor calls the
 * same function again, which then has the same result. Nothing here blocks, allocates or returns an error; all loops
 * are bounded. Whatever a hostile publisher or subscriber has stored, nothing is read or written out of bounds.
 */
#ifndef AE_RING_TOPIC_H
#define AE_RING_TOPIC_H

#include <aether/detail/layout.h>

/*
 * Fills in the words of a new topic. All objects are mapped read-write and hold zeros, and no other process has them
 * yet. Only start_seq of the geometry is used. log: the first sizeof(ae_log) bytes suffice; cursors: the first page.
 */
void ae_topic_format(ae_log *log, ae_cursors *cursors, ae_notes *notes, const ae_geometry *geometry, uint64_t topic_id);

/* Writes a topic's geometry to the log's header, for people. log: the first sizeof(ae_log) bytes suffice. */
void ae_topic_set_geometry(ae_log *log, const ae_geometry *geometry);

/*
 * Admits a publisher to the record, which is free: it was never granted, or its former holder is retired. Call it after
 * the grant is recorded: a process that finds the record's bit in `open` must find the grant that it belongs to.
 */
void ae_topic_admit_publisher(ae_log *log, uint32_t record);

/*
 * Retires the record's publisher and returns how many sequences were aborted.
 *
 * death: a new id of this death, of which aetherd has proof; log is mapped up to the end of the slots. Aborts what the
 * publisher had claimed and not committed, stores the id in `died` unless it had left before, and wakes subscribers.
 * 0: it has closed; log is mapped for sizeof(ae_log) bytes. As a rule there is nothing left to do, because it has left
 * by itself.
 *
 * Free the grant afterwards: the record must not be granted again before.
 */
uint64_t ae_topic_retire_publisher(ae_log *log, const ae_geometry *geometry, uint32_t record, uint64_t death);

/*
 * Prepares the cursor record, which is free, for a new reliable subscriber. Publishers don't count the subscriber until
 * it joins by itself, in ae_subscriber_init() or ae_subscriber_init_waiting(). So a grant that its client never
 * received holds up no publisher.
 */
void ae_topic_admit_subscriber(ae_log *log, ae_cursors *cursors, uint32_t record);

/*
 * Retires a reliable subscriber that has closed or that aetherd has proof is dead: publishers no longer wait for it,
 * and whether they have evicted it doesn't change any more. log: NULL if the topic's publishers don't evict. May be
 * done again.
 */
void ae_topic_retire_subscriber(ae_log *log, ae_cursors *cursors, uint32_t record);

/* Stores how many subscribers of all policies the topic has. log: the first sizeof(ae_log) bytes suffice. */
void ae_topic_set_subscribers(ae_log *log, uint64_t count);

#endif
