/* SPDX-License-Identifier: Apache-2.0 */
#include "client/stall.h"
#include "base/export.h"
#include "client/survey.h"
#include "ring/stall.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_AFTER_NS UINT64_C(1000000000)
#define ANSWER_NS UINT64_C(50000000) /* for aetherd, while a publisher waits */

/* Who has a record of a topic, as the registry says. */
struct holder {
    ae_registry_grant grant;
    uint32_t index; /* of the grant */
    ae_registry_client client;
};

static bool find_client(const struct ae_registry *registry, uint64_t client_id, ae_registry_client *client) {
    for (uint32_t i = 0; i < registry->clients_max; i++) {
        if (ae_registry_read_client(registry, i, client) == 1 && client->client_id == client_id)
            return true;
    }
    return false;
}

static bool find_holder(const struct ae_registry *registry, uint64_t topic_id, uint32_t role, uint32_t record,
                        struct holder *holder) {
    ae_registry_grant *grant = &holder->grant;

    for (uint32_t i = 0; i < registry->grants_max; i++) {
        if (ae_registry_read_grant(registry, i, grant) == 1 && grant->topic_id == topic_id && grant->role == role &&
            grant->record == record) {
            holder->index = i;
            return find_client(registry, grant->client_id, &holder->client);
        }
    }
    return false;
}

/* Does the holder still have the record? */
static bool still_holds(const struct ae_registry *registry, const struct holder *holder) {
    ae_registry_grant now;

    return ae_registry_read_grant(registry, holder->index, &now) == 1 && now.grant_id == holder->grant.grant_id;
}

/* Finds the publisher itself. Only the registry of the aetherd that granted it has it, and its client's nonce. */
static bool find_own(const struct ae_registry *registry, const struct ae_stall_source *source, struct holder *own) {
    const struct ae_grant *grant = source->grant;

    return find_holder(registry, grant->topic_id, AE_ROLE_PUBLISHER, grant->record, own) &&
           own->grant.grant_id == grant->back.grant_id && own->client.client_id == grant->back.client_id &&
           (source->nonce[0] | source->nonce[1]) != 0 &&
           memcmp(own->client.nonce, source->nonce, sizeof source->nonce) == 0;
}

/*
 * Opens the registry that has the publisher: by name, or if that leads elsewhere, through the socket. 1; 0: the aetherd
 * there doesn't know the publisher; or errors of aether_inspect_open(). Call ae_survey_close() in all cases.
 */
static int open_registry(const struct ae_stall_source *source, struct ae_survey *survey, struct holder *own) {
    const char *path = source->grant->client->control.socket_path;
    int rc = ae_survey_open(survey, path, 0);

    if (rc == 0 && find_own(&survey->registry, source, own))
        return 1;
    ae_survey_close(survey);
    rc = ae_survey_open(survey, path, ANSWER_NS);
    return rc == 0 ? find_own(&survey->registry, source, own) : rc;
}

static void add_client(const struct ae_survey *survey, const ae_registry_client *client, aether_stall *stall) {
    struct ae_survey_client found = {
        .client_id = client->client_id, .created_mono_ns = client->created_mono_ns, .pid = client->pid};

    stall->client_id = client->client_id;
    stall->pid = client->pid;
    memcpy(stall->client, client->name, sizeof stall->client);
    stall->process = ae_survey_process(survey, &found);
}

/*
 * Adds the program that has the record, if it is certain that the publisher waits for that, and for no earlier holder.
 */
static void add_holder(struct ae_publisher *p, const struct ae_survey *survey, uint64_t topic_id, uint32_t record,
                       aether_stall *stall) {
    const uint32_t role = stall->waits == AETHER_WAITS_PUBLISHER ? AE_ROLE_PUBLISHER : AE_ROLE_RELIABLE;
    struct holder holder;

    if (find_holder(&survey->registry, topic_id, role, record, &holder) &&
        ae_stall_due_to(p, stall, record, holder.grant.granted_ns) && still_holds(&survey->registry, &holder))
        add_client(survey, &holder.client, stall);
}

/* Adds the program of the record, and whether an aetherd runs. Errors: as aether_inspect_open(). */
static int add_names(struct ae_publisher *p, uint32_t record, aether_stall *stall) {
    const struct ae_stall_source *source = p->opener;
    struct ae_survey survey;
    struct holder own;
    const int rc = open_registry(source, &survey, &own);

    /* What doesn't answer runs, as far as anybody knows. */
    stall->daemon = rc >= 0 ? ae_source_running(&survey.source) : rc == -ETIMEDOUT;
    if (rc == 1) {
        /* aetherd knows this process by another pid, or by none, if it is in another pid namespace. */
        survey.source.other_pids = own.client.pid != (uint32_t)getpid();
        if (stall->waits == AETHER_WAITS_LOANS)
            add_client(&survey, &own.client, stall);
        else if (stall->waits != AETHER_WAITS_CLAIM)
            add_holder(p, &survey, own.grant.topic_id, record, stall);
    }
    ae_survey_close(&survey);
    return rc < 0 ? rc : 0;
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
    rc = add_names(p, record, stall);
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
    struct aether_client *client = grant->client;

    source->grant = grant;
    memset(source->nonce, 0, sizeof source->nonce);
    pthread_mutex_lock(&client->lock);
    if (client->control.client_id == grant->back.client_id)
        memcpy(source->nonce, client->control.nonce, sizeof source->nonce);
    pthread_mutex_unlock(&client->lock);
    (void)snprintf(source->topic, sizeof source->topic, "%s", topic);
    p->opener = source;
    if (client->on_stall != NULL)
        ae_stall_watch(p, notice, client->stall_after_ns);
}
