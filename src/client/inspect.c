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
#include "base/histogram.h"
#include "base/number.h"
#include "base/socket.h"
#include "client/mappings.h"
#include "client/record.h"
#include "client/survey.h"
#include "ring/wake.h"
#include "shm/segment.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Statistics of clients that stay open from list to list. */
#define CLIENT_DESCRIPTORS 64u

struct aether_inspector {
    struct ae_survey survey;
    uint64_t listing;           /* the registry's generation when the present list began */
    uint64_t listed;            /* the registry's generation when the last complete list began */
    bool complete;              /* there has been a complete list of this registry */
    bool listing_all;           /* the present list began in this registry */
    struct ae_mappings clients; /* descriptors of statistics */
    struct ae_record record;    /* that was read last: too large for the stack */
};

/* The two objects of a topic. NULL: the object can't be opened. */
struct objects {
    const ae_log *log; /* up to the lanes */
    const ae_cursors *cursors;
};

/* ---- topics' objects --------------------------------------------------------------------------------------------- */

/* Maps the first `bytes` bytes of an object of file_bytes bytes. *base is NULL if there is none. 0, or what passes. */
static int map_object(aether_inspector *inspector, uint32_t kind, uint64_t topic_id, uint64_t file_bytes,
                      uint64_t bytes, void **base) {
    int fd = ae_source_open(&inspector->survey.source, kind, topic_id, file_bytes);
    const int rc = fd >= 0 ? ae_segment_map(fd, bytes, false, false, base) : fd;

    ae_close(&fd);
    return ae_mappings_none(rc) ? 0 : rc;
}

/* Call close_objects() afterwards, also after an error. */
static int open_objects(aether_inspector *inspector, const ae_registry_topic *topic, struct objects *objects) {
    const ae_geometry *geometry = &topic->geometry;
    void *log = NULL, *cursors = NULL;

    int rc = 0;
    if (ae_survey_has_log(topic))
        rc = map_object(inspector, AE_LOOK_LOG, topic->topic_id, geometry->log_bytes, geometry->lanes_off, &log);
    if (rc == 0)
        rc = map_object(inspector, AE_LOOK_CURSORS, topic->topic_id, geometry->cursors_bytes, geometry->cursors_bytes,
                        &cursors);
    *objects = (struct objects){.log = log, .cursors = cursors};
    return rc;
}

static void close_objects(const ae_registry_topic *topic, struct objects *objects) {
    ae_segment_unmap((void *)(uintptr_t)objects->log, topic->geometry.lanes_off);
    ae_segment_unmap((void *)(uintptr_t)objects->cursors, topic->geometry.cursors_bytes);
}

/* ---- figures ----------------------------------------------------------------------------------------------------- */

/* Reads the figures of a grant. 1; 0: the handle has gone meanwhile; or an error that passes. */
static int read_figures(aether_inspector *inspector, const ae_registry_topic *topic, const struct objects *objects,
                        const struct ae_survey_grant *listed, struct ae_record *record) {
    const struct ae_record_topic place = {
        .geometry = &topic->geometry, .log = objects->log, .cursors = objects->cursors};
    struct ae_survey *survey = &inspector->survey;
    struct ae_mapping stats;
    ae_registry_grant grant;

    if (ae_registry_read_grant(&survey->registry, listed->index, &grant) != 1 || grant.grant_id != listed->grant_id)
        return 0;
    int rc = ae_mappings_take(&inspector->clients, &survey->source, AE_LOOK_STATS, grant.client_id,
                              ae_record_file_bytes(survey->registry.grants_max), 0, &stats);
    if (rc == 0)
        rc = ae_record_read(stats.fd, &grant, &place, NULL, record);
    ae_mappings_drop(&stats);
    return rc == 0 ? 1 : rc;
}

/* 0, or an error that passes. */
static int fill_topic(aether_inspector *inspector, const ae_registry_topic *topic, aether_topic_info *info) {
    struct objects objects;
    size_t count;
    const struct ae_survey_grant *grants = ae_survey_grants(&inspector->survey, topic->topic_id, &count);
    int rc = open_objects(inspector, topic, &objects);

    if (rc == 0) {
        ae_survey_fill(topic, objects.log, objects.cursors, grants, count, info);
        info->memory_bytes = ae_survey_memory(&inspector->survey, topic);
    }
    for (size_t i = 0; i < count && rc >= 0; i++) {
        if (grants[i].role != AE_ROLE_PUBLISHER)
            continue;
        rc = read_figures(inspector, topic, &objects, &grants[i], &inspector->record);
        if (rc == 1)
            info->full = ae_saturating_add(info->full, inspector->record.copy.full.v);
    }
    close_objects(topic, &objects);
    return rc < 0 ? rc : 0;
}

/* ---- the interface ----------------------------------------------------------------------------------------------- */

AE_EXPORT int aether_inspect_open(aether_inspector **inspector, const char *socket_path) {
    aether_inspector *new = calloc(1, sizeof *new);

    *inspector = NULL;
    if (new == NULL)
        return ae_fail(-ENOMEM, "out of memory for an inspector");
    int rc = ae_survey_open(&new->survey, socket_path, AE_SOURCE_PATIENCE_NS);
    if (rc == 0)
        rc = ae_mappings_init(&new->clients, CLIENT_DESCRIPTORS);
    if (rc != 0) {
        aether_inspect_close(new);
        return rc;
    }
    *inspector = new;
    return 0;
}

AE_EXPORT void aether_inspect_close(aether_inspector *inspector) {
    if (inspector == NULL)
        return;
    ae_mappings_close(&inspector->clients);
    ae_survey_close(&inspector->survey);
    free(inspector);
}

AE_EXPORT int aether_inspect_daemon(aether_inspector *inspector, aether_daemon_info *info) {
    ae_survey_daemon(&inspector->survey, info);
    return 0;
}

static int read_registry(aether_inspector *inspector) {
    ae_mappings_begin(&inspector->clients);
    return ae_survey_read(&inspector->survey);
}

AE_EXPORT int aether_inspect_topic(aether_inspector *inspector, uint32_t *cursor, aether_topic_info *info) {
    ae_registry_topic topic;

    if (*cursor == 0) {
        inspector->listing = ae_registry_generation(&inspector->survey.registry); /* before the topics are read */
        inspector->listing_all = true;
        const int rc = read_registry(inspector);
        if (rc != 0)
            return rc;
    }
    while (*cursor < inspector->survey.registry.topics_max) {
        if (!ae_survey_topic(&inspector->survey, (*cursor)++, &topic))
            continue;
        const int rc = fill_topic(inspector, &topic, info);
        if (rc != 0)
            inspector->listing_all = false; /* this topic is missing */
        return rc != 0 ? rc : 1;
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
    if (rc == 1) {
        ae_mappings_clear(&inspector->clients);
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
    int rc = read_registry(inspector);

    if (rc != 0)
        return rc;
    for (uint32_t i = 0; i < inspector->survey.registry.topics_max; i++) {
        if (!ae_survey_topic(&inspector->survey, i, &record) || strcmp(record.name, topic) != 0)
            continue;
        rc = fill_topic(inspector, &record, info);
        return rc != 0 ? rc : 1;
    }
    return 0;
}

/* What subscribers ask for in sum. Whose values differ is dead: aetherd admits no other. */
static aether_stated read_asked(const struct ae_survey *survey, const struct ae_survey_grant *grants, size_t count) {
    ae_wish all = {.max_message = 0};
    ae_registry_grant grant;

    for (size_t i = 0; i < count; i++) {
        if (ae_registry_read_grant(&survey->registry, grants[i].index, &grant) == 1 &&
            grant.grant_id == grants[i].grant_id)
            ae_wish_merge(&all, &grant.wish);
    }
    return ae_survey_wish(&all);
}

AE_EXPORT int aether_inspect_waiting(aether_inspector *inspector, uint32_t *cursor, aether_waiting_info *info) {
    const struct ae_survey *survey = &inspector->survey;
    ae_registry_topic topic;
    size_t count;

    if (*cursor == 0) {
        const int rc = read_registry(inspector);
        if (rc != 0)
            return rc;
    }
    while (*cursor < survey->registry.topics_max) {
        if (!ae_survey_waiting(survey, (*cursor)++, &topic))
            continue;
        const struct ae_survey_grant *grants = ae_survey_grants(survey, topic.topic_id, &count);
        if (grants == NULL) /* it is about to be removed, or is being reshaped */
            continue;
        const struct ae_survey_client *client = ae_survey_client(survey, grants[0].client_id);
        *info =
            (aether_waiting_info){.id = topic.topic_id, .created_ns = topic.created_ns, .subscribers = (uint32_t)count};
        info->asked = read_asked(survey, grants, count);
        memcpy(info->name, topic.name, sizeof info->name);
        if (client != NULL) {
            info->pid = client->pid;
            memcpy(info->client, client->name, sizeof info->client);
        }
        return 1;
    }
    return 0;
}

/* 0, or an error that passes. */
static int fill_peer(aether_inspector *inspector, const ae_registry_topic *topic, const struct objects *objects,
                     const struct ae_survey_grant *grant, aether_peer_info *info) {
    const struct ae_record *record = &inspector->record;
    const struct ae_figures *figures = &record->figures;

    if (grant->role == AE_ROLE_BEST_EFFORT)
        return 0;
    const int rc = read_figures(inspector, topic, objects, grant, &inspector->record);
    if (rc != 1)
        return rc;
    const uint64_t next = ae_survey_next_seq(objects->log, &topic->geometry);
    info->joined = figures->joined;
    info->next = figures->next;
    if (grant->role == AE_ROLE_PUBLISHER) {
        info->full = record->copy.full.v;
    } else {
        info->lost = figures->lost;
        info->aborted = figures->aborted;
        info->evicted = (uint32_t)ae_figures_is_evicted(objects->log, &topic->geometry, grant->record);
        if (info->evicted == 0 && ae_survey_is_active(objects->cursors, grant->record)) {
            const uint64_t lag = next - ae_load_acquire(&objects->cursors->records[grant->record].cursor);
            info->lag = (int64_t)lag > 0 ? ae_least(lag, topic->geometry.capacity) : 0;
        }
    }
    return 0;
}

AE_EXPORT int aether_inspect_peer(aether_inspector *inspector, uint64_t topic_id, uint32_t *cursor,
                                  aether_peer_info *info) {
    ae_registry_topic topic;
    uint32_t i = 0;
    size_t count;

    if (*cursor == 0) {
        const int rc = read_registry(inspector);
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
    struct objects objects;
    int rc = open_objects(inspector, &topic, &objects);
    memset(info, 0, sizeof *info);
    info->role = (aether_role)grant->role;
    info->client_id = grant->client_id;
    if (client != NULL) {
        info->pid = client->pid;
        memcpy(info->client, client->name, sizeof info->client);
    }
    if (rc == 0)
        rc = fill_peer(inspector, &topic, &objects, grant, info);
    close_objects(&topic, &objects);
    return rc != 0 ? rc : 1;
}
