/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/objects.h"
#include "base/socket.h"
#include "ring/topic.h"
#include "service/log.h"
#include "shm/segment.h"
#include <aether/error.h>
#include <errno.h>
#include <unistd.h>

int ae_objects_open_log(const struct ae_broker *broker, const ae_registry_topic *topic, bool writable) {
    char name[AE_OBJECT_NAME_SIZE];

    ae_name_log(&broker->instance, topic->topic_id, name);
    return ae_segment_open(name, writable, broker->instance.uid, topic->geometry.log_bytes, NULL);
}

int ae_objects_open_cursors(const struct ae_broker *broker, const ae_registry_topic *topic, bool writable) {
    char name[AE_OBJECT_NAME_SIZE];

    ae_name_cursors(&broker->instance, topic->topic_id, name);
    return ae_segment_open(name, writable, broker->instance.uid, topic->geometry.cursors_bytes, NULL);
}

int ae_objects_open_notes(const struct ae_broker *broker, const ae_registry_topic *topic, bool writable) {
    char name[AE_OBJECT_NAME_SIZE];

    ae_name_notes(&broker->instance, topic->topic_id, name);
    return ae_segment_open(name, writable, broker->instance.uid, AE_NOTES_BYTES, NULL);
}

int ae_objects_map_log(int fd, uint64_t log_bytes, struct ae_objects *objects) {
    void *base;
    const int rc = ae_segment_map(fd, log_bytes, true, false, &base);

    *objects = (struct ae_objects){0};
    if (rc == 0)
        *objects = (struct ae_objects){.log = base, .log_bytes = log_bytes};
    return rc;
}

/* Maps a whole object read-write and closes its descriptor. fd may be an error. */
static int map_all(int fd, uint64_t bytes, void **base) {
    if (fd < 0)
        return fd;
    const int rc = ae_segment_map(fd, bytes, true, false, base);
    ae_close(&fd);
    return rc;
}

static int map_cursors(const struct ae_broker *broker, const ae_registry_topic *topic, struct ae_objects *objects) {
    void *base = NULL;
    const int rc = map_all(ae_objects_open_cursors(broker, topic, true), sizeof *objects->cursors, &base);

    objects->cursors = base;
    return rc;
}

int ae_objects_map(const struct ae_broker *broker, const ae_registry_topic *topic, uint64_t log_bytes,
                   bool with_cursors, struct ae_objects *objects) {
    int rc = 0;

    *objects = (struct ae_objects){0};
    if (log_bytes != 0) {
        int fd = ae_objects_open_log(broker, topic, true);
        if (fd < 0)
            return fd;
        rc = ae_objects_map_log(fd, log_bytes, objects);
        ae_close(&fd);
    }
    if (rc == 0 && with_cursors)
        rc = map_cursors(broker, topic, objects);
    if (rc != 0)
        ae_objects_unmap(objects);
    return rc;
}

void ae_objects_unmap(struct ae_objects *objects) {
    ae_segment_unmap(objects->cursors, sizeof *objects->cursors);
    ae_segment_unmap(objects->log, objects->log_bytes);
    *objects = (struct ae_objects){0};
}

static int create_object(const char *name, uint64_t size, uint64_t allocated) {
    int fd = ae_segment_create(name, size, allocated);

    if (fd < 0)
        return fd;
    ae_close(&fd);
    return 0;
}

int ae_objects_create(const struct ae_broker *broker, const ae_registry_topic *topic) {
    const ae_geometry *geometry = &topic->geometry;
    char log[AE_OBJECT_NAME_SIZE], cursors[AE_OBJECT_NAME_SIZE], notes[AE_OBJECT_NAME_SIZE];
    struct ae_objects objects = {0};
    void *notes_base = NULL;
    int rc;

    ae_name_log(&broker->instance, topic->topic_id, log);
    ae_name_cursors(&broker->instance, topic->topic_id, cursors);
    ae_name_notes(&broker->instance, topic->topic_id, notes);
    if ((rc = create_object(log, geometry->log_bytes, geometry->lanes_off)) != 0)
        return rc;
    if ((rc = create_object(cursors, geometry->cursors_bytes, geometry->cursors_bytes)) != 0 ||
        (rc = create_object(notes, AE_NOTES_BYTES, AE_NOTES_BYTES)) != 0 ||
        (rc = ae_objects_map(broker, topic, sizeof(ae_log), true, &objects)) != 0 ||
        (rc = map_all(ae_objects_open_notes(broker, topic, true), AE_NOTES_BYTES, &notes_base)) != 0)
        ae_objects_remove(broker, topic->topic_id);
    else
        ae_topic_format(objects.log, objects.cursors, notes_base, geometry, topic->topic_id);
    ae_segment_unmap(notes_base, AE_NOTES_BYTES);
    ae_objects_unmap(&objects);
    return rc;
}

int ae_objects_allocate_lane(const struct ae_broker *broker, const ae_registry_topic *topic, uint32_t record, int fd) {
    const ae_geometry *geometry = &topic->geometry;
    char name[AE_OBJECT_NAME_SIZE];

    if (geometry->lane_bytes == 0)
        return 0;
    ae_name_log(&broker->instance, topic->topic_id, name);
    return ae_segment_allocate(fd, geometry->lanes_off + record * geometry->lane_bytes, geometry->lane_bytes, name);
}

uint64_t ae_objects_position(const ae_registry_topic *topic, int fd) {
    uint64_t position;
    const ssize_t done = pread(fd, &position, sizeof position, offsetof(ae_log, claim.position));

    return done == (ssize_t)sizeof position ? position : topic->geometry.start_seq;
}

void ae_object_remove(const char *name) {
    if (ae_segment_remove(name) != 0)
        ae_log_line(AE_LOG_WARNING, "%s", aether_errmsg());
}

void ae_objects_remove(const struct ae_broker *broker, uint64_t topic_id) {
    char name[AE_OBJECT_NAME_SIZE];

    ae_name_log(&broker->instance, topic_id, name);
    ae_object_remove(name);
    ae_name_cursors(&broker->instance, topic_id, name);
    ae_object_remove(name);
    ae_name_notes(&broker->instance, topic_id, name);
    ae_object_remove(name);
}

bool ae_objects_error_passes(int rc) {
    return rc == -EMFILE || rc == -ENFILE || rc == -ENOMEM;
}

int ae_objects_fit(const struct ae_broker *broker, const ae_registry_topic *topic) {
    int fd = ae_objects_open_log(broker, topic, true);

    if (fd >= 0) {
        ae_close(&fd);
        fd = ae_objects_open_cursors(broker, topic, true);
    }
    if (fd >= 0) {
        ae_close(&fd);
        fd = ae_objects_open_notes(broker, topic, true);
    }
    if (fd < 0)
        return ae_objects_error_passes(fd) ? fd : 0;
    ae_close(&fd);
    return 1;
}
