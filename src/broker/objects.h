/* SPDX-License-Identifier: Apache-2.0 */
/*
 * objects.h - how aetherd creates, opens, maps and removes the shared-memory objects of a topic.
 *
 * Of a topic's record only the id, the shape and the geometry are used. aetherd keeps no object open or mapped.
 * Descriptors and mappings belong to the caller. Errors are those of segment.h.
 */
#ifndef AE_BROKER_OBJECTS_H
#define AE_BROKER_OBJECTS_H

#include "broker/state.h"

/* Creates and formats all objects of a topic that is OPEN: the log has no slots. On an error none is left behind. */
int ae_objects_create(const struct ae_broker *broker, const ae_registry_topic *topic);

/*
 * Changes the log, which is open as fd, to another geometry, while nobody has mapped its slots; they hold zeros. grow
 * allocates what is missing and removes nothing. If it fails, the log is as it was. Then trim leaves the new size, or
 * undo the size of the topic's present shape. Neither needs memory.
 */
int ae_objects_grow(const struct ae_broker *broker, const ae_registry_topic *topic, const ae_geometry *to, int fd);
void ae_objects_trim(const struct ae_broker *broker, const ae_registry_topic *topic, uint64_t bytes, int fd);
void ae_objects_undo(const struct ae_broker *broker, const ae_registry_topic *topic, int fd);

/* Allocates the lane of a publisher's record in the log, which is open as fd. What is allocated stays as it is. */
int ae_objects_allocate_lane(const struct ae_broker *broker, const ae_registry_topic *topic,
                             const ae_geometry *geometry, uint32_t record, int fd);

/* Allocates the page of a reliable subscriber's record in the cursors, which are open as fd. */
int ae_objects_allocate_cursor(const struct ae_broker *broker, const ae_registry_topic *topic, uint32_t record, int fd);

/* Removes one object. If that fails, a line of the log says that it stays. */
void ae_object_remove(const char *name);

void ae_objects_remove(const struct ae_broker *broker, uint64_t topic_id);

/*
 * 1 if all exist, belong to our user, and are as large as the shape says; 0 if not; -errno with a text if that can't be
 * found out now. The log of a topic that isn't FIXED is given its size if a predecessor was killed while it changed it.
 */
int ae_objects_fit(const struct ae_broker *broker, const ae_registry_topic *topic);

/* True if a retry may help, because descriptors or memory of aetherd or the machine ran out. */
bool ae_objects_error_passes(int rc);

/* Open one of the objects. Return the descriptor. */
int ae_objects_open_log(const struct ae_broker *broker, const ae_registry_topic *topic, bool writable);
int ae_objects_open_cursors(const struct ae_broker *broker, const ae_registry_topic *topic, bool writable);
int ae_objects_open_notes(const struct ae_broker *broker, const ae_registry_topic *topic, bool writable);

/*
 * The `position` of the log, which is open as fd: the topic's end or a sequence before it. start_seq if it can't be
 * read.
 */
uint64_t ae_objects_position(const ae_registry_topic *topic, int fd);

struct ae_objects {
    ae_log *log;
    uint64_t log_bytes;
    ae_cursors *cursors;
};

/*
 * Maps the log's first log_bytes bytes, if log_bytes isn't 0, and the cursors, if with_cursors; both read-write. Each
 * of them needs a descriptor for a moment.
 */
int ae_objects_map(const struct ae_broker *broker, const ae_registry_topic *topic, uint64_t log_bytes,
                   bool with_cursors, struct ae_objects *objects);

/* The same for the log only, which is open as fd. */
int ae_objects_map_log(int fd, uint64_t log_bytes, struct ae_objects *objects);

void ae_objects_unmap(struct ae_objects *objects);

#endif
