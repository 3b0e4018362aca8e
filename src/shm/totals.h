/* SPDX-License-Identifier: Apache-2.0 */
/*
 * totals.h - the totals object of an instance: how aetherd changes it, and how other processes read it.
 *
 * Record i has the totals of the topic in record i of the registry. Only one thread of one aetherd changes them, one
 * record at a time. Any process may read them meanwhile. If aetherd is killed during a change, a reader uses the
 * journal until a successor finishes the change. So a reader never has to wait for an aetherd.
 *
 * Functions that make system calls return -errno codes and set aether_errmsg(). Nothing blocks, except that the
 * allocation of memory takes time.
 */
#ifndef AE_SHM_TOTALS_H
#define AE_SHM_TOTALS_H

#include "shm/registry.h"
#include "shm/stats_layout.h"

/* The mapped totals. Owns the mapping until ae_totals_close(). */
struct ae_totals {
    ae_totals_header *header; /* NULL: not mapped */
    uint64_t bytes;
    uint64_t inode;  /* of the object: a later object of the same name has another inode */
    uint32_t topics; /* records */
};

/* Creates the object for so many topics and maps it read-write. No record has memory yet. Its magic is stored last. */
int ae_totals_create(struct ae_totals *totals, const struct ae_instance *instance, uint32_t topics);

/*
 * Maps the object, which must have this number of records. Errors: -ENOENT; -EACCES; -EPROTO another layout version;
 * -EBADMSG it is unfinished, damaged, or has another size.
 */
int ae_totals_open(struct ae_totals *totals, const struct ae_instance *instance, uint32_t topics, bool writable);

/* The same of an object that is open. name: for texts, with a '/' before it. fd stays open. */
int ae_totals_map(struct ae_totals *totals, int fd, uint32_t topics, bool writable, const char *name);
void ae_totals_close(struct ae_totals *totals);

/* Is there another object of that name by now? 0 also if there is none, or if that can't be found out. */
int ae_totals_replaced(const struct ae_totals *totals, const struct ae_instance *instance);

/* ---- readers ---- */

/*
 * Copies the totals of a topic, whose registry record is t. Returns 1: copy->epoch is odd if the copy is from the
 * journal. 0: there are none. -EAGAIN, without a text: aetherd has changed them meanwhile; try again.
 *
 * Only records of topics that are live in the registry have memory. The caller has checked that: otherwise this
 * allocates some or, if there is none, raises SIGBUS.
 */
int ae_totals_read(const struct ae_totals *totals, uint32_t t, uint64_t topic_id, ae_totals_topic *copy);

/*
 * Has the record still the epoch of that copy? Then every grant that was found live after ae_totals_read() and that
 * isn't marked as folded and isn't copy->last_folded is missing in the copy, and all others of the topic are in it,
 * also those that were found marked or gone before ae_totals_read().
 */
bool ae_totals_current(const struct ae_totals *totals, uint32_t t, uint64_t epoch);

/* ---- aetherd ---- */

/* Allocates record t. Memory that it has stays as it is. Errors: those of ae_segment_allocate(). */
int ae_totals_allocate(const struct ae_instance *instance, const struct ae_totals *totals, uint32_t t);

/* Makes record t, which has memory, that of a new topic. topic_id 0: of none. */
void ae_totals_reset(struct ae_totals *totals, uint32_t t, uint64_t topic_id);

/* The record, for the thread that changes it. */
const ae_totals_topic *ae_totals_record(const struct ae_totals *totals, uint32_t t);

/*
 * Replaces record t by *next, and marks the grant as folded, whose id is next->last_folded: either both have happened
 * or neither, for readers as well as for a successor of a killed aetherd. NULL: there is no such grant. next->epoch is
 * ignored.
 */
void ae_totals_change(struct ae_totals *totals, ae_registry_grant *grant, uint32_t t, const ae_totals_topic *next);

/* aetherd at its start: finishes a change that its predecessor began. */
void ae_totals_finish(struct ae_totals *totals, const struct ae_registry *registry);

/* Step number `step` of ae_totals_change(), for tests that stop in between. */
#define AE_TOTALS_STEPS 7u
void ae_totals_step(struct ae_totals *totals, ae_registry_grant *grant, uint32_t t, const ae_totals_topic *next,
                    unsigned step);

#endif
