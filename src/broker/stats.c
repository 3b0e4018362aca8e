/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/stats.h"
#include "base/error.h"
#include "base/socket.h"
#include "broker/objects.h"
#include "shm/segment.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

static uint64_t bytes_for(const struct ae_broker *broker) {
    return AE_STATS_RECORDS_OFF + (uint64_t)broker->registry.grants_max * AE_STATS_RECORD;
}

static uint64_t offset_of(uint32_t index) {
    return AE_STATS_RECORDS_OFF + (uint64_t)index * AE_STATS_RECORD;
}

/* What of a record is allocated. */
static size_t allocated(uint32_t role) {
    return role == AE_ROLE_PUBLISHER ? AE_STATS_PUBLISHER : AE_STATS_RECORD;
}

/* Returns 0, or -errno with a text. */
static int write_at(int fd, uint64_t offset, const void *data, size_t len, const char *name) {
    const ssize_t done = pwrite(fd, data, len, (off_t)offset);

    if (done == (ssize_t)len)
        return 0;
    const int code = done < 0 ? errno : EIO;
    return ae_fail(-code, "cannot write %zu bytes of %s in /dev/shm: %s", len, name + 1, strerror(code));
}

int ae_client_stats_create(const struct ae_broker *broker, uint64_t client_id) {
    const ae_stats_header header = {.layout_major = AE_LAYOUT_MAJOR,
                                    .layout_minor = AE_LAYOUT_MINOR,
                                    .client_id = client_id,
                                    .records = broker->registry.grants_max};
    const uint64_t magic = AE_STATS_MAGIC;
    char name[AE_OBJECT_NAME_SIZE];
    int rc;

    ae_name_stats(&broker->instance, client_id, name);
    int fd = ae_segment_create(name, bytes_for(broker), AE_STATS_RECORDS_OFF);
    if (fd < 0)
        return fd;
    rc = write_at(fd, 0, &header, sizeof header, name);
    if (rc == 0)
        rc = write_at(fd, 0, &magic, sizeof magic, name); /* last */
    ae_close(&fd);
    if (rc != 0)
        ae_object_remove(name);
    return rc;
}

void ae_client_stats_remove(const struct ae_broker *broker, uint64_t client_id) {
    char name[AE_OBJECT_NAME_SIZE];

    ae_name_stats(&broker->instance, client_id, name);
    ae_object_remove(name);
}

int ae_client_stats_choose(struct ae_broker *broker, uint32_t client, uint32_t *index) {
    struct ae_slots *used = &broker->index.stats[client];

    *index = ae_slots_lowest(used); /* below the number of grants, because a record of them is free */
    return ae_slots_reserve(used, *index + 1);
}

static int open_object(const struct ae_broker *broker, uint64_t client_id, bool writable,
                       char name[AE_OBJECT_NAME_SIZE]) {
    ae_name_stats(&broker->instance, client_id, name);
    return ae_segment_open(name, writable, broker->instance.uid, bytes_for(broker), NULL);
}

/* The record may have been a former handle's. Its grant_id is written last. */
static int write_record(int fd, const ae_registry_grant *grant, const char *name) {
    const ae_stats_record new = {.topic_id = grant->topic_id, .role = grant->role, .record = grant->record};
    const uint64_t offset = offset_of(grant->stats);
    int rc = ae_segment_allocate(fd, offset, allocated(grant->role), name);

    if (rc == 0)
        rc = write_at(fd, offset, &new, allocated(grant->role), name);
    return rc != 0 ? rc : write_at(fd, offset, &grant->grant_id, sizeof grant->grant_id, name);
}

int ae_client_stats_prepare(const struct ae_broker *broker, const ae_registry_grant *grant) {
    char name[AE_OBJECT_NAME_SIZE];
    int fd = open_object(broker, grant->client_id, true, name);

    if (fd < 0)
        return fd;
    const int rc = write_record(fd, grant, name);
    if (rc != 0) {
        ae_close(&fd);
        return rc;
    }
    return fd;
}

int ae_client_stats_read(const struct ae_broker *broker, const ae_registry_grant *grant, ae_stats_record *copy) {
    const size_t len = allocated(grant->role);
    char name[AE_OBJECT_NAME_SIZE];
    int fd = open_object(broker, grant->client_id, false, name);

    if (fd < 0)
        return ae_objects_error_passes(fd) ? fd : 0;
    memset(copy, 0, sizeof *copy);
    const ssize_t done = pread(fd, copy, len, (off_t)offset_of(grant->stats));
    const int code = done < 0 ? errno : 0;
    ae_close(&fd);
    if (code == ENOMEM)
        return ae_fail(-code, "cannot read %s in /dev/shm: %s", name + 1, strerror(code));
    return done == (ssize_t)len && copy->grant_id.v == grant->grant_id && copy->topic_id == grant->topic_id &&
           copy->role == grant->role && copy->record == grant->record;
}
