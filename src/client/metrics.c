/* SPDX-License-Identifier: Apache-2.0 */
/* metrics.c - the functions of <aether/metrics.h>, apart from the table. */
#include "client/metrics_topic.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/export.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* Objects that stay open between passes. A process may have 65530 mappings by default. */
#define TOPIC_MAPPINGS 4096u
#define CLIENT_DESCRIPTORS 1024u /* but at most a quarter of what the process may have */

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static uint32_t descriptor_room(void) {
    uint32_t room = CLIENT_DESCRIPTORS;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1;
    while (room > 1 && room > limit.rlim_cur / 4)
        room /= 2;
    return room;
}

/* Makes room for what is seen of the registry's grants. */
static int make_seen(aether_metrics *metrics) {
    const uint32_t grants = metrics->survey.registry.grants_max;

    metrics->seen = calloc(grants, sizeof *metrics->seen);
    return metrics->seen != NULL ? 0 : ae_fail(-ENOMEM, "out of memory for a reader of the grants");
}

AE_EXPORT int aether_metrics_open(aether_metrics **metrics, const char *socket_path) {
    aether_metrics *new = calloc(1, sizeof *new);

    *metrics = NULL;
    if (new == NULL)
        return ae_fail(-ENOMEM, "out of memory for a reader of metrics");
    int rc = ae_survey_open(&new->survey, socket_path, AE_SOURCE_PATIENCE_NS);
    if (rc == 0)
        rc = make_seen(new);
    if (rc == 0)
        rc = ae_mappings_init(&new->topics, TOPIC_MAPPINGS);
    if (rc == 0)
        rc = ae_mappings_init(&new->clients, descriptor_room());
    if (rc != 0) {
        aether_metrics_close(new);
        return rc;
    }
    *metrics = new;
    return 0;
}

AE_EXPORT void aether_metrics_close(aether_metrics *metrics) {
    if (metrics == NULL)
        return;
    ae_mappings_close(&metrics->topics);
    ae_mappings_close(&metrics->clients);
    ae_totals_close(&metrics->totals);
    ae_survey_close(&metrics->survey);
    free(metrics->subscribers);
    free(metrics->seen);
    free(metrics);
}

/* An object that is missing, damaged, or of another version. Other errors pass. */
static bool is_unusable(int rc) {
    return ae_mappings_none(rc) || rc == -EPROTO;
}

/* Maps the totals that there are now. Without any, topics have the figures of what is open. */
static int follow_totals(aether_metrics *metrics) {
    struct ae_object_source *source = &metrics->survey.source;
    struct ae_totals other;

    if (metrics->totals.header != NULL && !ae_source_totals_replaced(source, &metrics->totals))
        return 0;
    const int rc = ae_source_totals(source, metrics->survey.registry.topics_max, &other);
    if (rc != 0)
        return is_unusable(rc) ? 0 : rc; /* they may be unfinished: try later */
    ae_totals_close(&metrics->totals);
    metrics->totals = other;
    return 0;
}

/* Maps what there is now, and reads clients and grants. */
static int refresh(aether_metrics *metrics) {
    int rc = ae_survey_follow(&metrics->survey);

    if (rc < 0)
        return rc;
    if (rc == 1) {
        ae_mappings_clear(&metrics->topics);
        ae_mappings_clear(&metrics->clients);
        ae_totals_close(&metrics->totals);
        free(metrics->seen);
        metrics->seen = NULL;
    }
    if (metrics->seen == NULL && make_seen(metrics) != 0)
        return -ENOMEM;
    rc = follow_totals(metrics);
    return rc == 0 ? ae_survey_read(&metrics->survey) : rc;
}

/* As refresh(). If there is another registry that can't be used, the present one is read. */
static int refresh_or_stay(aether_metrics *metrics) {
    const int rc = refresh(metrics);

    return is_unusable(rc) ? ae_survey_read(&metrics->survey) : rc;
}

static void fill_instance(aether_metrics *metrics, aether_instance_metrics *instance) {
    ae_survey_daemon(&metrics->survey, &instance->daemon);
    instance->grants_max = metrics->survey.registry.grants_max;
    instance->process = ae_survey_daemon_process(&metrics->survey);
    if (instance->daemon.running && instance->process == '?')
        instance->stopped = AETHER_UNKNOWN;
    else
        instance->stopped = instance->daemon.running && (instance->process == 'T' || instance->process == 't');
    for (size_t i = 0; i < metrics->survey.grant_count; i++) {
        if (metrics->survey.grants[i].role == AE_ROLE_PUBLISHER)
            instance->publishers++;
        else
            instance->subscribers++;
    }
}

AE_EXPORT int aether_metrics_begin(aether_metrics *metrics, aether_instance_metrics *instance) {
    const uint64_t now = ae_now_ns();
    const int rc = refresh(metrics);

    if (rc != 0)
        return rc;
    ae_mappings_begin(&metrics->topics);
    ae_mappings_begin(&metrics->clients);
    metrics->next_topic = 0;
    if (instance != NULL) {
        *instance = (aether_instance_metrics){.now_ns = ae_realtime_ns(),
                                              .elapsed_ns = metrics->began_ns != 0 ? now - metrics->began_ns : 0};
        fill_instance(metrics, instance);
    }
    metrics->began_ns = now;
    return 0;
}

AE_EXPORT int aether_metrics_next(aether_metrics *metrics, aether_topic_metrics *topic) {
    ae_registry_topic record;

    if (metrics->seen == NULL) /* the pass has failed at its beginning */
        return -ENOMEM;
    while (metrics->next_topic < metrics->survey.registry.topics_max) {
        const uint32_t i = metrics->next_topic++;
        if (!ae_survey_topic(&metrics->survey, i, &record))
            continue;
        const int rc = ae_metrics_read_topic(metrics, i, &record, topic);
        if (rc != 0)
            return rc;
    }
    return 0;
}

AE_EXPORT int aether_metrics_find(aether_metrics *metrics, const char *name, aether_topic_metrics *topic) {
    ae_registry_topic record;
    const int rc = refresh_or_stay(metrics);

    if (rc != 0)
        return rc;
    for (uint32_t i = 0; i < metrics->survey.registry.topics_max; i++) {
        if (!ae_survey_topic(&metrics->survey, i, &record) || strcmp(record.name, name) != 0)
            continue;
        return ae_metrics_read_topic(metrics, i, &record, topic);
    }
    return 0;
}

/* ---- clients ----------------------------------------------------------------------------------------------------- */

static uint64_t stats_bytes(aether_metrics *metrics, uint64_t client_id) {
    uint64_t bytes = 0;

    (void)ae_source_allocated(&metrics->survey.source, AE_LOOK_STATS, client_id, 0, &bytes);
    return bytes;
}

AE_EXPORT int aether_metrics_client(aether_metrics *metrics, uint32_t *cursor, aether_client_metrics *client) {
    if (*cursor == 0) {
        const int rc = refresh_or_stay(metrics);
        if (rc != 0)
            return rc;
    }
    if (*cursor >= metrics->survey.client_count)
        return 0;
    const uint64_t now = ae_now_ns();
    struct ae_survey_client *found = &metrics->survey.clients[(*cursor)++];
    *client = (aether_client_metrics){.client_id = found->client_id,
                                      .pid = found->pid,
                                      .uid = found->uid,
                                      .process = ae_survey_process(&metrics->survey, found),
                                      .created_ns = found->created_ns,
                                      .connected_ns = now > found->created_mono_ns ? now - found->created_mono_ns : 0,
                                      .publishers = found->publishers,
                                      .subscribers = found->subscribers,
                                      .stats_bytes = stats_bytes(metrics, found->client_id)};
    memcpy(client->name, found->name, sizeof client->name);
    return 1;
}
