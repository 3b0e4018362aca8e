/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/clients.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/socket.h"
#include "broker/grants.h"
#include "broker/stats.h"
#include "service/log.h"
#include "shm/segment.h"
#include "shm/token.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>

bool ae_clients_is_live(const struct ae_broker *broker, uint32_t client) {
    return client < broker->registry.clients_max &&
           ae_record_state(&broker->registry.clients[client].state) == AE_RECORD_LIVE;
}

/* ---- the end ---- */

/* False: not all of the client's grants can be freed yet. The record stays, so that a later call tries again. */
static bool free_client(struct ae_broker *broker, uint32_t client, bool died) {
    ae_registry_client *record = &broker->registry.clients[client];
    char name[AE_OBJECT_NAME_SIZE];

    if (!ae_grants_free_newer(broker, record->client_id, 0, died))
        return false;
    ae_record_remove(&record->state);
    ae_name_token(&broker->instance, record->client_id, name);
    ae_segment_remove(name);
    ae_client_stats_remove(broker, record->client_id); /* its records are folded, with the grants */
    ae_record_free(&record->state);
    return true;
}

bool ae_clients_free_if_dead(struct ae_broker *broker, uint32_t client) {
    char name[AE_OBJECT_NAME_SIZE];

    if (!ae_clients_is_live(broker, client))
        return true;
    const ae_registry_client *record = &broker->registry.clients[client];
    const uint64_t id = record->client_id;
    ae_name_token(&broker->instance, id, name);
    if (ae_token_free(name, broker->instance.uid) != 1 || !free_client(broker, client, true))
        return false;
    ae_log_line(AE_LOG_INFO, "client %" PRIu64 " (%s, pid %" PRIu32 ") is gone", id, record->name, record->pid);
    return true;
}

void ae_clients_free_dead_holders(struct ae_broker *broker, uint64_t topic_id, uint32_t role) {
    for (uint32_t g = 0; g < broker->registry.grants_max; g++) {
        if (!ae_grants_match(broker, g, topic_id, role))
            continue;
        const uint32_t client = ae_state_client(broker, broker->registry.grants[g].client_id);
        if (client != AE_NO_CLIENT)
            (void)ae_clients_free_if_dead(broker, client);
        else
            (void)ae_grants_free(broker, g, true); /* there is no record of its client any more */
    }
}

void ae_clients_remove_all(struct ae_broker *broker) {
    for (uint32_t i = 0; i < broker->registry.clients_max; i++) {
        if (ae_clients_is_live(broker, i))
            (void)free_client(broker, i, false);
    }
}

/* ---- the beginning ---- */

uint32_t ae_clients_resume(struct ae_broker *broker, uint64_t client_id, const uint64_t nonce[2],
                           uint64_t newest_known) {
    const uint32_t client = client_id != 0 ? ae_state_client(broker, client_id) : AE_NO_CLIENT;

    if (client == AE_NO_CLIENT || memcmp(broker->registry.clients[client].nonce, nonce, 2 * sizeof *nonce) != 0 ||
        ae_clients_free_if_dead(broker, client))
        return AE_NO_CLIENT;
    /* Grants that can't be freed now are freed with the client. */
    (void)ae_grants_free_newer(broker, client_id, newest_known, false);
    return client;
}

int ae_clients_add(struct ae_broker *broker, const char client_name[AE_CLIENT_NAME_MAX + 1], uint32_t pid, uint32_t uid,
                   uint32_t *client, int *token) {
    const struct ae_registry *registry = &broker->registry;
    char name[AE_OBJECT_NAME_SIZE];
    uint32_t i = 0;

    while (i < registry->clients_max && ae_record_state(&registry->clients[i].state) != AE_RECORD_FREE)
        i++;
    if (i == registry->clients_max)
        return ae_fail(-EUSERS, "aetherd's limit of %" PRIu32 " clients is reached: raise [limits] clients",
                       registry->clients_max);
    ae_registry_client *record = &registry->clients[i];
    ae_record_begin(&record->state);
    record->client_id = ae_state_new_id(broker);
    record->created_ns = ae_realtime_ns();
    record->pid = pid;
    record->uid = uid;
    memcpy(record->name, client_name, sizeof record->name);
    if (getrandom(record->nonce, sizeof record->nonce, 0) != (ssize_t)sizeof record->nonce) {
        ae_record_free(&record->state);
        return ae_fail(-EIO, "no random bytes for a client");
    }
    ae_name_token(&broker->instance, record->client_id, name);
    *token = ae_token_create(name);
    const int rc = *token < 0 ? *token : ae_client_stats_create(broker, record->client_id);
    if (rc != 0) {
        if (*token >= 0)
            ae_segment_remove(name);
        ae_close(token);
        ae_record_free(&record->state);
        return rc;
    }
    ae_record_commit(&record->state);
    *client = i;
    return 0;
}
