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
#include "client/survey.h"
#include "ring/wake.h"
#include "shm/segment.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct aether_inspector {
    struct ae_survey survey;
    uint64_t listing; /* the registry's generation when the present list began */
    uint64_t listed;  /* the registry's generation when the last complete list began */
    bool complete;    /* there has been a complete list of this registry */
    bool listing_all; /* the present list began in this registry */
};

/* The two objects of a topic, without the slots. NULL: the object can't be opened. */
struct objects {
    const ae_log *log;
    const ae_cursors *cursors;
};

/* ---- topics' objects --------------------------------------------------------------------------------------------- */

/* Maps the first `bytes` bytes of an object of file_bytes bytes. NULL on an error. */
static const void *map_object(const aether_inspector *inspector, const char *name, uint64_t file_bytes,
                              uint64_t bytes) {
    int fd = ae_segment_open(name, false, inspector->survey.instance.uid, file_bytes, NULL);
    void *base = NULL;

    if (fd >= 0 && ae_segment_map(fd, bytes, false, false, &base) != 0)
        base = NULL;
    ae_close(&fd);
    return base;
}

static struct objects open_objects(const aether_inspector *inspector, const ae_registry_topic *topic) {
    char name[AE_OBJECT_NAME_SIZE];
    struct objects objects;

    ae_name_log(&inspector->survey.instance, topic->topic_id, name);
    objects.log = map_object(inspector, name, topic->geometry.log_bytes, sizeof(ae_log));
    ae_name_cursors(&inspector->survey.instance, topic->topic_id, name);
    objects.cursors = map_object(inspector, name, topic->geometry.cursors_bytes, sizeof(ae_cursors));
    return objects;
}

static void close_objects(struct objects *objects) {
    ae_segment_unmap((void *)(uintptr_t)objects->log, sizeof(ae_log));
    ae_segment_unmap((void *)(uintptr_t)objects->cursors, sizeof(ae_cursors));
}

static void fill_topic(const aether_inspector *inspector, const ae_registry_topic *topic, aether_topic_info *info) {
    struct objects objects = open_objects(inspector, topic);
    size_t count;
    const struct ae_survey_grant *grants = ae_survey_grants(&inspector->survey, topic->topic_id, &count);

    ae_survey_fill(topic, objects.log, objects.cursors, grants, count, info);
    info->memory_bytes = ae_survey_memory(&inspector->survey, topic);
    close_objects(&objects);
}

/* ---- the interface ----------------------------------------------------------------------------------------------- */

AE_EXPORT int aether_inspect_open(aether_inspector **inspector, const char *socket_path) {
    aether_inspector *new = calloc(1, sizeof *new);

    *inspector = NULL;
    if (new == NULL)
        return ae_fail(-ENOMEM, "out of memory for an inspector");
    const int rc = ae_survey_open(&new->survey, socket_path);
    if (rc != 0) {
        free(new);
        return rc;
    }
    *inspector = new;
    return 0;
}

AE_EXPORT void aether_inspect_close(aether_inspector *inspector) {
    if (inspector == NULL)
        return;
    ae_survey_close(&inspector->survey);
    free(inspector);
}

AE_EXPORT int aether_inspect_daemon(aether_inspector *inspector, aether_daemon_info *info) {
    ae_survey_daemon(&inspector->survey, info);
    return 0;
}

AE_EXPORT int aether_inspect_topic(aether_inspector *inspector, uint32_t *cursor, aether_topic_info *info) {
    ae_registry_topic topic;

    if (*cursor == 0) {
        inspector->listing = ae_registry_generation(&inspector->survey.registry); /* before the topics are read */
        inspector->listing_all = true;
        const int rc = ae_survey_read(&inspector->survey);
        if (rc != 0)
            return rc;
    }
    while (*cursor < inspector->survey.registry.topics_max) {
        if (ae_survey_topic(&inspector->survey, (*cursor)++, &topic)) {
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
    const int rc = ae_survey_follow(&inspector->survey);

    if (rc < 0)
        return rc;
    if (rc == 1)
        inspector->complete = inspector->listing_all = false;
    return 0;
}

AE_EXPORT int aether_inspect_changed(aether_inspector *inspector, uint64_t timeout_ns) {
    const uint64_t start = ae_now_ns();

    for (;;) {
        const int rc = follow(inspector);
        if (rc != 0)
            return rc;
        const uint64_t generation = ae_registry_generation(&inspector->survey.registry);
        if (!inspector->complete || generation != inspector->listed)
            return 1;
        const uint64_t waited = ae_now_ns() - start, left = timeout_ns - waited;
        if (waited >= timeout_ns || !ae_wake_sleep(&inspector->survey.registry.header->generation, generation,
                                                   left < AE_WAKE_SLEEP_NS ? left : AE_WAKE_SLEEP_NS))
            return 0;
    }
}

AE_EXPORT int aether_inspect_find(aether_inspector *inspector, const char *topic, aether_topic_info *info) {
    ae_registry_topic record;
    const int rc = ae_survey_read(&inspector->survey);

    if (rc != 0)
        return rc;
    for (uint32_t i = 0; i < inspector->survey.registry.topics_max; i++) {
        if (ae_survey_topic(&inspector->survey, i, &record) && strcmp(record.name, topic) == 0) {
            fill_topic(inspector, &record, info);
            return 1;
        }
    }
    return 0;
}

static uint64_t at_most(uint64_t value, uint64_t limit) {
    return value < limit ? value : limit;
}

/* One more than the last sequence that a publisher has claimed or is about to claim; at first, where it joined. */
static uint64_t claimed_by(const ae_publisher_record *record, uint64_t joined, uint64_t next) {
    const uint64_t intent = ae_load_acquire(&record->intent);
    const uint64_t end = ae_seq_extend(intent >> AE_CLAIM_SEQ_SHIFT, next) + (intent & AE_INTENT_COUNT_MAX);

    return end > joined ? at_most(end, next) : joined;
}

static void fill_peer(const ae_registry_topic *topic, const struct objects *objects,
                      const struct ae_survey_grant *grant, aether_peer_info *info) {
    if (grant->role == AE_ROLE_PUBLISHER && objects->log != NULL) {
        const ae_publisher_record *record = &objects->log->publishers[grant->record];
        const uint64_t next = ae_survey_next_seq(objects->log, &topic->geometry);
        info->joined = at_most(ae_load_relaxed(&record->joined), next);
        info->full = ae_load_relaxed(&record->full);
        info->next = claimed_by(record, info->joined, next);
    } else if (grant->role == AE_ROLE_RELIABLE && objects->cursors != NULL) {
        const ae_cursor_record *record = &objects->cursors->records[grant->record];
        const bool active = ae_survey_is_active(objects->cursors, grant->record);
        const uint64_t cursor = ae_load_acquire(&record->cursor);
        const uint64_t next = ae_survey_next_seq(objects->log, &topic->geometry);
        info->joined = at_most(ae_load_relaxed(&record->joined), next);
        info->lost = at_most(ae_load_relaxed(&record->lost), next - info->joined);
        info->aborted = at_most(ae_load_relaxed(&record->aborted), next - info->joined);
        info->next = at_most(cursor, next);
        info->evicted = (uint32_t)ae_survey_is_evicted(objects->log, grant->record, &topic->geometry);
        info->lag = active && cursor < next ? at_most(next - cursor, topic->geometry.capacity) : 0;
    }
}

AE_EXPORT int aether_inspect_peer(aether_inspector *inspector, uint64_t topic_id, uint32_t *cursor,
                                  aether_peer_info *info) {
    ae_registry_topic topic;
    uint32_t i = 0;
    size_t count;

    if (*cursor == 0) {
        const int rc = ae_survey_read(&inspector->survey);
        if (rc != 0)
            return rc;
    }
    const struct ae_survey_grant *grants = ae_survey_grants(&inspector->survey, topic_id, &count);
    if (*cursor >= count)
        return 0;
    while (i < inspector->survey.registry.topics_max &&
           !(ae_survey_topic(&inspector->survey, i, &topic) && topic.topic_id == topic_id))
        i++;
    if (i == inspector->survey.registry.topics_max)
        return 0;

    const struct ae_survey_grant *grant = &grants[(*cursor)++];
    const struct ae_survey_client *client = ae_survey_client(&inspector->survey, grant->client_id);
    struct objects objects = open_objects(inspector, &topic);
    memset(info, 0, sizeof *info);
    info->role = (aether_role)grant->role;
    info->client_id = grant->client_id;
    if (client != NULL) {
        info->pid = client->pid;
        memcpy(info->client, client->name, sizeof info->client);
    }
    fill_peer(&topic, &objects, grant, info);
    close_objects(&objects);
    return 1;
}
