/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/objects.h"
#include "base/socket.h"
#include "ring/topic.h"
#include "service/log.h"
#include "shm/segment.h"
#include <aether/error.h>
#include <errno.h>
#include <unistd.h>

static bool has_slots(const ae_registry_topic *topic) {
    return ae_shape_of(topic->shape.v) != AE_SHAPE_OPEN;
}

static uint64_t log_bytes(const ae_registry_topic *topic) {
    return has_slots(topic) ? topic->geometry.log_bytes : AE_LOG_SLOTS_OFF;
}

/* The end of what is allocated beside lanes. */
static uint64_t slots_end(const ae_registry_topic *topic) {
    return has_slots(topic) ? topic->geometry.lanes_off : AE_LOG_SLOTS_OFF;
}

/* bytes: 0: any size */
static int open_log(const struct ae_broker *broker, const ae_registry_topic *topic, bool writable, uint64_t bytes,
                    uint64_t *size) {
    char name[AE_OBJECT_NAME_SIZE];

    ae_name_log(&broker->instance, topic->topic_id, name);
    return ae_segment_open(name, writable, broker->instance.uid, bytes, size);
}

int ae_objects_open_log(const struct ae_broker *broker, const ae_registry_topic *topic, bool writable) {
    return open_log(broker, topic, writable, log_bytes(topic), NULL);
}

int ae_objects_open_cursors(const struct ae_broker *broker, const ae_registry_topic *topic, bool writable) {
    char name[AE_OBJECT_NAME_SIZE];

    ae_name_cursors(&broker->instance, topic->topic_id, name);
    return ae_segment_open(name, writable, broker->instance.uid, AE_CURSORS_BYTES, NULL);
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
    char log[AE_OBJECT_NAME_SIZE], cursors[AE_OBJECT_NAME_SIZE], notes[AE_OBJECT_NAME_SIZE];
    struct ae_objects objects = {0};
    void *notes_base = NULL;
    int rc;

    ae_name_log(&broker->instance, topic->topic_id, log);
    ae_name_cursors(&broker->instance, topic->topic_id, cursors);
    ae_name_notes(&broker->instance, topic->topic_id, notes);
    if ((rc = create_object(log, AE_LOG_SLOTS_OFF, AE_LOG_SLOTS_OFF)) != 0)
        return rc;
    if ((rc = create_object(cursors, AE_CURSORS_BYTES, AE_PAGE)) != 0 ||
        (rc = create_object(notes, AE_NOTES_BYTES, AE_NOTES_BYTES)) != 0 ||
        (rc = ae_objects_map(broker, topic, sizeof(ae_log), true, &objects)) != 0 ||
        (rc = map_all(ae_objects_open_notes(broker, topic, true), AE_NOTES_BYTES, &notes_base)) != 0)
        ae_objects_remove(broker, topic->topic_id);
    else
        ae_topic_format(objects.log, objects.cursors, notes_base, &topic->geometry, topic->topic_id);
    ae_segment_unmap(notes_base, AE_NOTES_BYTES);
    ae_objects_unmap(&objects);
    return rc;
}

/* ---- memory ---- */

/* Gives back all memory from the byte `end` on. */
static int cut(const char *name, uint64_t end, uint64_t bytes, int fd) {
    const int rc = ae_segment_resize(fd, end, name);

    return rc != 0 ? rc : ae_segment_resize(fd, bytes, name);
}

int ae_objects_grow(const struct ae_broker *broker, const ae_registry_topic *topic, const ae_geometry *to, int fd) {
    const uint64_t from = log_bytes(topic), end = slots_end(topic);
    char name[AE_OBJECT_NAME_SIZE];
    int rc;

    ae_name_log(&broker->instance, topic->topic_id, name);
    if (to->log_bytes > from && (rc = ae_segment_resize(fd, to->log_bytes, name)) != 0)
        return rc;
    if (to->lanes_off <= end || (rc = ae_segment_allocate(fd, end, to->lanes_off - end, name)) == 0)
        return 0;
    (void)cut(name, end, from, fd);
    return rc;
}

void ae_objects_trim(const struct ae_broker *broker, const ae_registry_topic *topic, uint64_t bytes, int fd) {
    char name[AE_OBJECT_NAME_SIZE];

    ae_name_log(&broker->instance, topic->topic_id, name);
    (void)ae_segment_resize(fd, bytes, name);
}

void ae_objects_undo(const struct ae_broker *broker, const ae_registry_topic *topic, int fd) {
    char name[AE_OBJECT_NAME_SIZE];

    ae_name_log(&broker->instance, topic->topic_id, name);
    (void)cut(name, slots_end(topic), log_bytes(topic), fd);
}

int ae_objects_allocate_lane(const struct ae_broker *broker, const ae_registry_topic *topic,
                             const ae_geometry *geometry, uint32_t record, int fd) {
    char name[AE_OBJECT_NAME_SIZE];

    if (geometry->lane_bytes == 0)
        return 0;
    ae_name_log(&broker->instance, topic->topic_id, name);
    return ae_segment_allocate(fd, geometry->lanes_off + record * geometry->lane_bytes, geometry->lane_bytes, name);
}

int ae_objects_allocate_cursor(const struct ae_broker *broker, const ae_registry_topic *topic, uint32_t record,
                               int fd) {
    const uint64_t off = offsetof(ae_cursors, records) + record * sizeof(ae_cursor_record);
    char name[AE_OBJECT_NAME_SIZE];

    if (off < AE_PAGE) /* allocated from the beginning */
        return 0;
    ae_name_cursors(&broker->instance, topic->topic_id, name);
    return ae_segment_allocate(fd, off / AE_PAGE * AE_PAGE, AE_PAGE, name);
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

/*
 * Opens the log, after it has given it the size of its shape. Nobody has mapped the slots of a topic that isn't FIXED,
 * so what is cut off is nobody's.
 */
static int open_log_repaired(const struct ae_broker *broker, const ae_registry_topic *topic) {
    uint64_t size = 0;
    int rc, fd = open_log(broker, topic, true, 0, &size);

    if (fd < 0 || size == log_bytes(topic))
        return fd;
    if (ae_shape_of(topic->shape.v) == AE_SHAPE_FIXED || size < AE_LOG_SLOTS_OFF) {
        ae_close(&fd);
        return -EBADMSG;
    }
    char name[AE_OBJECT_NAME_SIZE];
    const uint64_t end = slots_end(topic);
    ae_name_log(&broker->instance, topic->topic_id, name);
    rc = cut(name, end, log_bytes(topic), fd);
    if (rc == 0 && size < end)
        rc = ae_segment_allocate(fd, AE_LOG_SLOTS_OFF, end - AE_LOG_SLOTS_OFF, name);
    if (rc != 0)
        ae_close(&fd);
    return rc != 0 ? rc : fd;
}

int ae_objects_fit(const struct ae_broker *broker, const ae_registry_topic *topic) {
    int fd = open_log_repaired(broker, topic);

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
