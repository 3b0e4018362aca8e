/* SPDX-License-Identifier: Apache-2.0 */
#include "client/stall.h"
#include "base/export.h"
#include "client/survey.h"
#include "ring/stall.h"
#include <stdio.h>
#include <string.h>

#define DEFAULT_AFTER_NS UINT64_C(1000000000)

/* Returns the client of the topic's grant that has this record; NULL: there is none any more. */
static struct ae_survey_client *client_of(const struct ae_survey *survey, uint64_t topic_id, bool publisher,
                                          uint32_t record) {
    size_t count;
    const struct ae_survey_grant *grants = ae_survey_grants(survey, topic_id, &count);

    for (size_t i = 0; i < count; i++) {
        if (grants[i].record == record && grants[i].role == (publisher ? AE_ROLE_PUBLISHER : AE_ROLE_RELIABLE))
            return ae_survey_client(survey, grants[i].client_id);
    }
    return NULL;
}

/* Adds the program of the record, and whether an aetherd runs. Errors: as aether_inspect_open(). */
static int add_names(const struct ae_grant *grant, uint32_t record, aether_stall *stall) {
    const bool publisher = stall->waits == AETHER_WAITS_PUBLISHER || stall->waits == AETHER_WAITS_LOANS;
    struct ae_survey survey;
    int rc = ae_survey_open(&survey, grant->client->control.socket_path, AE_SOURCE_PATIENCE_NS);

    if (rc == 0)
        rc = ae_survey_read(&survey);
    if (rc == 0) {
        struct ae_survey_client *client =
            stall->waits != AETHER_WAITS_CLAIM ? client_of(&survey, grant->stats->topic_id, publisher, record) : NULL;
        stall->daemon = ae_source_running(&survey.source);
        if (client != NULL) {
            stall->client_id = client->client_id;
            stall->pid = client->pid;
            memcpy(stall->client, client->name, sizeof stall->client);
            stall->process = ae_survey_process(&survey, client);
        }
    }
    ae_survey_close(&survey);
    return rc;
}

/* As aether_publisher_stall(). */
static int read_stall(struct ae_publisher *p, aether_stall *stall) {
    const struct ae_stall_source *source = p->opener;
    uint32_t record;
    int rc;

    if (!ae_stall_read(p, stall, &record))
        return 0;
    memcpy(stall->topic, source->topic, sizeof stall->topic);
    stall->process = '?';
    rc = add_names(source->grant, record, stall);
    return rc != 0 ? rc : 1;
}

AE_EXPORT int aether_publisher_stall(aether_publisher *publisher, aether_stall *stall) {
    return read_stall(ae_publisher_of(publisher), stall);
}

/* The names may be missing; that somebody is waited for isn't. */
static void notice(struct ae_publisher *p) {
    const struct ae_stall_source *source = p->opener;
    const struct aether_client *client = source->grant->client;
    aether_stall stall;

    if (read_stall(p, &stall) != 0)
        client->on_stall(client->stall_context, &p->hot, &stall);
}

void ae_stall_options(struct aether_client *client, const aether_connect_options *options) {
    if (options == NULL)
        return;
    client->on_stall = options->on_stall;
    client->stall_context = options->stall_context;
    client->stall_after_ns = options->stall_after_ns != 0 ? options->stall_after_ns : DEFAULT_AFTER_NS;
}

void ae_stall_open(struct ae_publisher *p, struct ae_stall_source *source, const struct ae_grant *grant,
                   const char *topic) {
    source->grant = grant;
    (void)snprintf(source->topic, sizeof source->topic, "%s", topic);
    p->opener = source;
    if (grant->client->on_stall != NULL)
        ae_stall_watch(p, notice, grant->client->stall_after_ns);
}
