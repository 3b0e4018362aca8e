/* SPDX-License-Identifier: Apache-2.0 */
/*
 * objects.h - the two shared-memory objects of a topic, as aetherd handles them: create, open, map for a moment, remove.
 *
 * Each topic here is a record of the registry with its id and its geometry; nothing else of the record is used. No
 * object stays open or mapped by aetherd. Descriptors and mappings belong to the caller. Errors are those of segment.h.
 */
#ifndef AE_BROKER_OBJECTS_H
#define AE_BROKER_OBJECTS_H

#include "broker/state.h"

/* Creates and formats both objects, without lanes. On an error neither is left behind. */
int ae_objects_create(const struct ae_broker *broker, const ae_registry_topic *topic);

/* Allocates the lane of a publisher's record in the log, which is open as fd. What a lane holds already stays. */
int ae_objects_allocate_lane(const struct ae_broker *broker, const ae_registry_topic *topic, uint32_t record, int fd);

void ae_objects_remove(const struct ae_broker *broker, uint64_t topic_id);

/*
 * 1: both are there, ours, and as large as the geometry says. 0: they aren't. -errno with a text: it can't be found out
 * now.
 */
int ae_objects_fit(const struct ae_broker *broker, const ae_registry_topic *topic);

/* Is it an error that passes, as aetherd or the machine is out of descriptors or memory? */
bool ae_objects_error_passes(int rc);

/* Opens one of them. Returns the descriptor. */
int ae_objects_open_log(const struct ae_broker *broker, const ae_registry_topic *topic, bool writable);
int ae_objects_open_cursors(const struct ae_broker *broker, const ae_registry_topic *topic, bool writable);

struct ae_objects {
    ae_log *log;
    uint64_t log_bytes;
    ae_cursors *cursors;
};

/*
 * Maps the log's first log_bytes bytes, and the cursors, both read-write. Without a log or without cursors, if log_bytes
 * is 0 or with_cursors is false: each object that is mapped takes a descriptor for a moment.
 */
int ae_objects_map(const struct ae_broker *broker, const ae_registry_topic *topic, uint64_t log_bytes,
                   bool with_cursors, struct ae_objects *objects);

/* The same with the log alone, which is open already. */
int ae_objects_map_log(int fd, uint64_t log_bytes, struct ae_objects *objects);

void ae_objects_unmap(struct ae_objects *objects);

#endif
