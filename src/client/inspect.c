/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inspect.c - reads an instance's objects, also while a daemon changes them or after it has died.
 *
 * Only aetherd writes the registry. Publishers and subscribers write logs and cursors, which therefore aren't trusted:
 * geometry comes from the registry, and each figure is loaded once and limited to the possible range.
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/export.h"
#include "base/socket.h"
#include "ring/claim.h"
#include "ring/geometry.h"
#include "ring/wake.h"
#include "shm/names.h"
#include "shm/registry.h"
#include "shm/segment.h"
#include <aether/inspect.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct grant {
    uint64_t topic_id, grant_id, client_id;
    uint32_t role, record;
};

struct aether_inspector {
    struct ae_instance instance;
    struct ae_registry registry;
    uint64_t listing;     /* the registry's generation when the present list began */
    uint64_t listed;      /* the registry's generation when the last complete list began */
    bool complete;        /* there has been a complete list of this registry */
    bool listing_all;     /* the present list began in this registry */
    struct grant *grants; /* live grants of the last reading, sorted by topic */
    size_t grant_count;
};

/* The two objects of a topic. NULL: the object can't be opened. */
struct objects {
    const ae_log *log; /* without the slots */
    const ae_cursors *cursors;
    uint64_t memory_bytes; /* allocated for both; if one can't be opened, its first allocation by the registry */
};

/* ---- grants ------------------------------------------------------------------------------------------------------ */

static int by_topic(const void *a, const void *b) {
    const struct grant *x = a, *y = b;

    if (x->topic_id != y->topic_id)
        return x->topic_id < y->topic_id ? -1 : 1;
    return x->grant_id < y->grant_id ? -1 : x->grant_id > y->grant_id;
}

/* Copies the live grants once, so that a list of topics doesn't search the registry for each topic. */
static int read_grants(aether_inspector *inspector) {
    size_t room = 0, count = 0;
    struct grant *grants = NULL;

    for (uint32_t i = 0; i < inspector->registry.grants_max; i++) {
        ae_registry_grant copy;
        if (ae_registry_read_grant(&inspector->registry, i, &copy) != 1)
            continue;
        if (count == room) {
            room = room > 0 ? room * 2 : 64;
            struct grant *more = realloc(grants, room * sizeof *more);
            if (more == NULL) {
                free(grants);
                return ae_fail(-ENOMEM, "out of memory for a copy of %zu grants", room);
            }
            grants = more;
        }
        grants[count++] = (struct grant){.topic_id = copy.topic_id,
                                         .grant_id = copy.grant_id,
                                         .client_id = copy.client_id,
                                         .role = copy.role,
                                         .record = copy.record};
    }
    if (count > 0)
        qsort(grants, count, sizeof *grants, by_topic);
    free(inspector->grants);
    inspector->grants = grants;
    inspector->grant_count = count;
    return 0;
}

/* Returns the topic's first grant, and their number in *count. */
static const struct grant *topic_grants(const aether_inspector *inspector, uint64_t topic_id, size_t *count) {
    size_t low = 0, high = inspector->grant_count;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (inspector->grants[middle].topic_id < topic_id)
            low = middle + 1;
        else
            high = middle;
    }
    for (high = low; high < inspector->grant_count && inspector->grants[high].topic_id == topic_id;)
        high++;
    *count = high - low;
    return *count > 0 ? inspector->grants + low : NULL;
}

/* ---- topics' objects --------------------------------------------------------------------------------------------- */

/* Opens an object and adds its allocated bytes to *memory_bytes: `least` if they can't be found out. */
static int open_object(const char *name, uint32_t uid, uint64_t bytes, uint64_t least, uint64_t *memory_bytes) {
    struct stat st;
    int fd = ae_segment_open(name, false, uid, bytes, NULL);

    *memory_bytes += fd >= 0 && fstat(fd, &st) == 0 ? (uint64_t)st.st_blocks * 512 : least;
    return fd;
}

static int open_log(const aether_inspector *inspector, const ae_registry_topic *topic, uint64_t *memory_bytes) {
    char name[AE_OBJECT_NAME_SIZE];

    ae_name_log(&inspector->instance, topic->topic_id, name);
    return open_object(name, inspector->instance.uid, topic->geometry.log_bytes, topic->geometry.lanes_off,
                       memory_bytes);
}

static int open_cursors(const aether_inspector *inspector, const ae_registry_topic *topic, uint64_t *memory_bytes) {
    char name[AE_OBJECT_NAME_SIZE];

    ae_name_cursors(&inspector->instance, topic->topic_id, name);
    return open_object(name, inspector->instance.uid, topic->geometry.cursors_bytes, topic->geometry.cursors_bytes,
                       memory_bytes);
}

/* Maps the first `bytes` bytes and closes fd, which may be a negative error code. NULL on an error. */
static const void *map_object(int fd, uint64_t bytes) {
    void *base = NULL;

    if (fd < 0)
        return NULL;
    if (ae_segment_map(fd, bytes, false, false, &base) != 0)
        base = NULL;
    ae_close(&fd);
    return base;
}

static struct objects open_objects(const aether_inspector *inspector, const ae_registry_topic *topic) {
    struct objects objects = {.memory_bytes = 0};

    objects.log = map_object(open_log(inspector, topic, &objects.memory_bytes), sizeof(ae_log));
    objects.cursors = map_object(open_cursors(inspector, topic, &objects.memory_bytes), sizeof(ae_cursors));
    return objects;
}

static uint64_t memory_of(const aether_inspector *inspector, const ae_registry_topic *topic) {
    uint64_t bytes = 0;
    int fd = open_log(inspector, topic, &bytes);

    ae_close(&fd);
    fd = open_cursors(inspector, topic, &bytes);
    ae_close(&fd);
    return bytes;
}

static void close_objects(struct objects *objects) {
    ae_segment_unmap((void *)(uintptr_t)objects->log, sizeof(ae_log));
    ae_segment_unmap((void *)(uintptr_t)objects->cursors, sizeof(ae_cursors));
}

/* ---- figures ----------------------------------------------------------------------------------------------------- */

static uint64_t at_most(uint64_t value, uint64_t limit) {
    return value < limit ? value : limit;
}

/* The topic's next sequence. A claim before the topic's first sequence is impossible and means nothing published. */
static uint64_t next_seq(const ae_log *log, const ae_geometry *geometry) {
    if (log == NULL)
        return geometry->start_seq;
    const uint64_t seq = ae_claim_reach(log, ae_load_relaxed(&log->claim.position));
    return seq > geometry->start_seq ? seq : geometry->start_seq;
}

/* The sequences from cursor to next, at most the capacity. The cursor was loaded first. */
static uint64_t lag_of(uint64_t cursor, uint64_t next, const ae_geometry *geometry) {
    return cursor < next ? at_most(next - cursor, geometry->capacity) : 0;
}

static int is_active(const ae_cursors *cursors, uint32_t record) {
    return (ae_load_acquire(&cursors->active.active) >> record & 1) != 0;
}

/* True if publishers don't wait for the subscriber any more. On a topic that doesn't evict the word is ignored. */
static int is_evicted(const ae_log *log, uint32_t record, const ae_geometry *geometry) {
    return log != NULL && geometry->evict_lag != 0 && (ae_load_acquire(&log->evict[record]) & 1) != 0;
}

/* Fills in what the registry's record states. */
static void fill_record(const ae_registry_topic *topic, aether_topic_info *info) {
    const ae_geometry *geometry = &topic->geometry;

    memset(info, 0, sizeof *info);
    info->id = topic->topic_id;
    memcpy(info->name, topic->name, sizeof info->name);
    info->created_ns = topic->created_ns;
    info->start_seq = geometry->start_seq;
    info->capacity = geometry->capacity;
    info->slot_size = geometry->slot_size;
    info->max_message = geometry->max_message;
    info->inline_max = (uint32_t)ae_inline_max(geometry);
    info->lane_bytes = geometry->lane_bytes;
    info->evict_lag = geometry->evict_lag;
    info->admits = (aether_publishers)geometry->publishers;
    memcpy(info->type_name, topic->type_name, sizeof info->type_name);
    info->type_version = topic->type_version;
    info->type_size = topic->type_size;
}

static void fill_topic(const aether_inspector *inspector, const ae_registry_topic *topic, aether_topic_info *info) {
    const ae_geometry *geometry = &topic->geometry;
    struct objects objects = open_objects(inspector, topic);
    uint64_t slowest = UINT64_MAX;
    size_t count;
    const struct grant *grants = topic_grants(inspector, topic->topic_id, &count);

    fill_record(topic, info);
    info->memory_bytes = objects.memory_bytes;
    if (objects.log != NULL)
        info->joins = ae_load_relaxed(&objects.log->stream.joins);
    for (size_t i = 0; i < count; i++) {
        const uint32_t record = grants[i].record;
        if (grants[i].role == AE_ROLE_PUBLISHER) {
            info->publishers++;
            if (objects.log != NULL)
                info->full += ae_load_relaxed(&objects.log->publishers[record].full);
        } else if (grants[i].role == AE_ROLE_RELIABLE) {
            const int evicted = is_evicted(objects.log, record, geometry);
            const int active = objects.cursors != NULL && is_active(objects.cursors, record);
            info->reliable += objects.cursors == NULL || active || evicted;
            if (active && !evicted)
                slowest = at_most(ae_load_acquire(&objects.cursors->records[record].cursor), slowest);
        } else {
            info->best_effort++;
        }
    }
    /* Loaded last, so that it isn't behind the cursors. */
    info->next_seq = next_seq(objects.log, geometry);
    info->messages = info->next_seq - info->start_seq;
    info->max_lag = lag_of(slowest, info->next_seq, geometry);
    close_objects(&objects);
}

/* Copies a topic's record of the registry. 1 if it is live and valid. */
static int read_topic(const aether_inspector *inspector, uint32_t i, ae_registry_topic *topic) {
    return ae_registry_read_topic(&inspector->registry, i, topic) == 1 && ae_geometry_check(&topic->geometry) == 0;
}

/* ---- the interface ----------------------------------------------------------------------------------------------- */

AE_EXPORT int aether_inspect_open(aether_inspector **inspector, const char *socket_path) {
    struct stat st;
    aether_inspector *new = calloc(1, sizeof *new);

    *inspector = NULL;
    if (new == NULL)
        return ae_fail(-ENOMEM, "out of memory for an inspector");
    int rc = ae_instance_init(&new->instance, socket_path, getuid());
    if (rc != 0)
        goto fail;
    /* The instance belongs to the user who owns its socket. If there is no socket, it is ours. */
    if (lstat(new->instance.socket_path, &st) == 0 && S_ISSOCK(st.st_mode) && st.st_uid != getuid()) {
        rc = ae_instance_init(&new->instance, socket_path, st.st_uid);
        if (rc != 0)
            goto fail;
    }
    rc = ae_registry_open(&new->registry, &new->instance, false);
    if (rc != 0)
        goto fail;
    *inspector = new;
    return 0;
fail:
    free(new);
    return rc;
}

AE_EXPORT void aether_inspect_close(aether_inspector *inspector) {
    if (inspector == NULL)
        return;
    ae_registry_close(&inspector->registry);
    free(inspector->grants);
    free(inspector);
}

AE_EXPORT int aether_inspect_daemon(aether_inspector *inspector, aether_daemon_info *info) {
    const struct ae_registry *registry = &inspector->registry;

    memset(info, 0, sizeof *info);
    info->running = ae_instance_running(&inspector->instance) == 1;
    info->pid = registry->header->daemon_pid;
    info->started_ns = registry->header->started_ns;
    info->topics_max = registry->topics_max;
    info->clients_max = registry->clients_max;
    for (uint32_t i = 0; i < registry->topics_max; i++) {
        ae_registry_topic topic;
        if (!read_topic(inspector, i, &topic))
            continue;
        info->topics++;
        info->memory_bytes += memory_of(inspector, &topic);
    }
    for (uint32_t i = 0; i < registry->clients_max; i++) {
        ae_registry_client client;
        info->clients += ae_registry_read_client(registry, i, &client) == 1;
    }
    return 0;
}

AE_EXPORT int aether_inspect_topic(aether_inspector *inspector, uint32_t *cursor, aether_topic_info *info) {
    ae_registry_topic topic;

    if (*cursor == 0) {
        inspector->listing = ae_registry_generation(&inspector->registry); /* before the topics are read */
        inspector->listing_all = true;
        const int rc = read_grants(inspector);
        if (rc != 0)
            return rc;
    }
    while (*cursor < inspector->registry.topics_max) {
        if (read_topic(inspector, (*cursor)++, &topic)) {
            fill_topic(inspector, &topic, info);
            return 1;
        }
    }
    if (inspector->listing_all) {
        inspector->listed = inspector->listing;
        inspector->complete = true;
    }
    return 0;
}

/* If another aetherd has created a new registry, maps that one. */
static int follow(aether_inspector *inspector) {
    struct ae_registry other;
    int rc;

    if (ae_registry_replaced(&inspector->registry, &inspector->instance)) {
        rc = ae_registry_open(&other, &inspector->instance, false);
        if (rc == -ENOENT || rc == -EBADMSG)
            return 0; /* it isn't finished, or is gone again: try later */
        if (rc != 0)
            return rc;
        ae_registry_close(&inspector->registry);
        inspector->registry = other;
        inspector->complete = inspector->listing_all = false;
    }
    return 0;
}

AE_EXPORT int aether_inspect_changed(aether_inspector *inspector, uint64_t timeout_ns) {
    const uint64_t start = ae_now_ns();

    for (;;) {
        const int rc = follow(inspector);
        if (rc != 0)
            return rc;
        const uint64_t generation = ae_registry_generation(&inspector->registry);
        if (!inspector->complete || generation != inspector->listed)
            return 1;
        const uint64_t waited = ae_now_ns() - start, left = timeout_ns - waited;
        if (waited >= timeout_ns || !ae_wake_sleep(&inspector->registry.header->generation, generation,
                                                   left < AE_WAKE_SLEEP_NS ? left : AE_WAKE_SLEEP_NS))
            return 0;
    }
}

AE_EXPORT int aether_inspect_find(aether_inspector *inspector, const char *topic, aether_topic_info *info) {
    ae_registry_topic record;
    const int rc = read_grants(inspector);

    if (rc != 0)
        return rc;
    for (uint32_t i = 0; i < inspector->registry.topics_max; i++) {
        if (read_topic(inspector, i, &record) && strcmp(record.name, topic) == 0) {
            fill_topic(inspector, &record, info);
            return 1;
        }
    }
    return 0;
}

static void fill_client(const aether_inspector *inspector, uint64_t client_id, aether_peer_info *info) {
    ae_registry_client client;

    for (uint32_t i = 0; i < inspector->registry.clients_max; i++) {
        if (ae_registry_read_client(&inspector->registry, i, &client) == 1 && client.client_id == client_id) {
            info->pid = client.pid;
            memcpy(info->client, client.name, sizeof info->client);
            return;
        }
    }
}

/* One more than the last sequence that a publisher has claimed or is about to claim; at first, where it joined. */
static uint64_t claimed_by(const ae_publisher_record *record, uint64_t joined, uint64_t next) {
    const uint64_t intent = ae_load_acquire(&record->intent);
    const uint64_t end = ae_seq_extend(intent >> AE_CLAIM_SEQ_SHIFT, next) + (intent & AE_INTENT_COUNT_MAX);

    return end > joined ? at_most(end, next) : joined;
}

static void fill_peer(const ae_registry_topic *topic, const struct objects *objects, const struct grant *grant,
                      aether_peer_info *info) {
    if (grant->role == AE_ROLE_PUBLISHER && objects->log != NULL) {
        const ae_publisher_record *record = &objects->log->publishers[grant->record];
        const uint64_t next = next_seq(objects->log, &topic->geometry);
        info->joined = at_most(ae_load_relaxed(&record->joined), next);
        info->full = ae_load_relaxed(&record->full);
        info->next = claimed_by(record, info->joined, next);
    } else if (grant->role == AE_ROLE_RELIABLE && objects->cursors != NULL) {
        const ae_cursor_record *record = &objects->cursors->records[grant->record];
        const int active = is_active(objects->cursors, grant->record);
        const uint64_t cursor = ae_load_acquire(&record->cursor);
        const uint64_t next = next_seq(objects->log, &topic->geometry);
        info->joined = at_most(ae_load_relaxed(&record->joined), next);
        info->lost = at_most(ae_load_relaxed(&record->lost), next - info->joined);
        info->aborted = at_most(ae_load_relaxed(&record->aborted), next - info->joined);
        info->next = at_most(cursor, next);
        info->evicted = (uint32_t)is_evicted(objects->log, grant->record, &topic->geometry);
        info->lag = active ? lag_of(cursor, next, &topic->geometry) : 0;
    }
}

AE_EXPORT int aether_inspect_peer(aether_inspector *inspector, uint64_t topic_id, uint32_t *cursor,
                                  aether_peer_info *info) {
    ae_registry_topic topic;
    uint32_t i = 0;
    size_t count;

    if (*cursor == 0) {
        const int rc = read_grants(inspector);
        if (rc != 0)
            return rc;
    }
    const struct grant *grants = topic_grants(inspector, topic_id, &count);
    if (*cursor >= count)
        return 0;
    while (i < inspector->registry.topics_max && !(read_topic(inspector, i, &topic) && topic.topic_id == topic_id))
        i++;
    if (i == inspector->registry.topics_max)
        return 0;

    const struct grant *grant = &grants[(*cursor)++];
    struct objects objects = open_objects(inspector, &topic);
    memset(info, 0, sizeof *info);
    info->role = (aether_role)grant->role;
    info->client_id = grant->client_id;
    fill_client(inspector, grant->client_id, info);
    fill_peer(&topic, &objects, grant, info);
    close_objects(&objects);
    return 1;
}
