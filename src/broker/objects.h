/* SPDX-License-Identifier: Apache-2.0 */
/*
 * objects.h - how aetherd creates, opens, maps and removes the shared-memory objects of a topic.
 *
 * Of a topic's record only the id and the geometry are used. aetherd keeps no object open or mapped. Descriptors and
 * mappings belong to the caller. Errors are those of segment.h.
 */
#ifndef AE_BROKER_OBJECTS_H
#define AE_BROKER_OBJECTS_H

#include "broker/state.h"

/* Creates and formats all objects, without lanes. On an error none is left behind. */
int ae_objects_create(const struct ae_broker *broker, const ae_registry_topic *topic);

/*
 * Allocates the lane of a publisher's record in the log, which is open as fd. A lane that is allocated stays as it is.
 */
int ae_objects_allocate_lane(const struct ae_broker *broker, const ae_registry_topic *topic, uint32_t record, int fd);

/* Removes one object. If that fails, a line of the log says that it stays. */
void ae_object_remove(const char *name);

void ae_objects_remove(const struct ae_broker *broker, uint64_t topic_id);

/*
 * 1 if all exist, belong to our user, and are as large as the geometry says; 0 if not; -errno with a text if that
 * can't be found out now.
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
