/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/clients.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "base/socket.h"
#include "broker/grants.h"
#include "broker/objects.h"
#include "broker/stats.h"
#include "service/log.h"
#include "shm/segment.h"
#include "shm/token.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>

#define FAILURES 4 /* grants tried in vain, for each that may be freed in one turn */

bool ae_clients_is_live(const struct ae_broker *broker, uint32_t client) {
    return client < broker->registry.clients_max &&
           ae_record_state(&broker->registry.clients[client].state) == AE_RECORD_LIVE;
}

/* ---- the end ---- */

/* False: not all of the client's grants can be freed yet. The record stays, so that a later call tries again. */
static bool free_client(struct ae_broker *broker, uint32_t client, bool died) {
    ae_registry_client *record = &broker->registry.clients[client];
    char name[AE_OBJECT_NAME_SIZE];

    if (!ae_grants_free_newer(broker, client, 0, died))
        return false;
    ae_record_remove(&record->state);
    ae_name_token(&broker->instance, record->client_id, name);
    ae_object_remove(name);
    ae_client_stats_remove(broker, record->client_id); /* its records are folded, with the grants */
    ae_index_remove_client(&broker->index, client);
    ae_record_free(&record->state);
    return true;
}

/* The client says that it has no grant from this id on: their replies were lost. */
static void free_disowned(struct ae_broker *broker, uint32_t client, uint64_t from) {
    const ae_registry_client *record = &broker->registry.clients[client];
    uint64_t *newest = &broker->index.newest[client];

    if (from == 0 || *newest < from || !ae_grants_free_newer(broker, client, from - 1, false))
        return;
    *newest = from - 1;
    ae_log_line(AE_LOG_INFO, "client %" PRIu64 " (%s, pid %" PRIu32 ") has not received its last grant: it is freed",
                record->client_id, record->name, record->pid);
}

/*
 * Frees up to so many grants of a dead client. Those that can't be freed now are passed by, up to FAILURES times as
 * many, and come last in the next turn. 1: some were freed, and there are more. 0: there are none. -EBUSY: none that
 * was tried can be freed now.
 */
static int free_grants(struct ae_broker *broker, uint32_t client, uint32_t most) {
    const struct ae_grant_list *list = &broker->index.grants_of[client];
    uint32_t freed = 0, first_failed = AE_NO_GRANT, g;
    uint64_t failed = 0;

    while ((g = ae_index_first(list)) != AE_NO_GRANT && g != first_failed && freed < most &&
           failed < (uint64_t)FAILURES * most) {
        if (ae_grants_free(broker, g, true)) {
            freed++;
            continue;
        }
        if (failed++ == 0)
            first_failed = g;
        ae_index_put_last(&broker->index, g);
    }
    if (g == AE_NO_GRANT)
        return 0;
    return freed > 0 ? 1 : -EBUSY;
}

enum ae_client_end ae_clients_free_some(struct ae_broker *broker, uint32_t client, uint32_t most) {
    char name[AE_OBJECT_NAME_SIZE];
    uint64_t disowned;

    if (!ae_clients_is_live(broker, client))
        return AE_CLIENT_GONE;
    const ae_registry_client *record = &broker->registry.clients[client];
    const uint64_t id = record->client_id;
    ae_name_token(&broker->instance, id, name);
    const int free = ae_token_check(name, broker->instance.uid, &disowned);
    if (free == 0)
        free_disowned(broker, client, disowned);
    if (free != 1)
        return AE_CLIENT_STAYS;
    const int rc = free_grants(broker, client, most);
    if (rc == 1)
        return AE_CLIENT_GOES;
    if (rc != 0 || !free_client(broker, client, true))
        return AE_CLIENT_STAYS;
    ae_log_line(AE_LOG_INFO, "client %" PRIu64 " (%s, pid %" PRIu32 ") is gone", id, record->name, record->pid);
    return AE_CLIENT_GONE;
}

bool ae_clients_free_if_dead(struct ae_broker *broker, uint32_t client) {
    return ae_clients_free_some(broker, client, UINT32_MAX) == AE_CLIENT_GONE;
}

/* Adoption found no record of their clients, and couldn't free them. */
static void free_ownerless(struct ae_broker *broker, uint32_t topic, uint32_t role) {
    const struct ae_holders *holders = ae_index_holders(&broker->index, topic, role);

    for (uint32_t g = ae_index_first(&holders->list), next; g != AE_NO_GRANT; g = next) {
        next = ae_index_next(&broker->index, AE_BY_TOPIC, g);
        if (broker->index.holdings[g].client == AE_NO_CLIENT)
            (void)ae_grants_free(broker, g, true);
    }
}

void ae_clients_free_dead_holders(struct ae_broker *broker, uint32_t topic, uint32_t role) {
    const uint32_t *clients;
    const uint32_t count = ae_index_clients_of(&broker->index, topic, role, &clients);

    for (uint32_t i = 0; i < count; i++)
        (void)ae_clients_free_if_dead(broker, clients[i]);
    for (uint32_t r = AE_ROLE_PUBLISHER; r <= AE_ROLE_BEST_EFFORT; r++) {
        if (role == 0 || role == r)
            free_ownerless(broker, topic, r);
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
    const uint32_t client = client_id != 0 ? ae_index_client(&broker->index, client_id) : AE_NO_CLIENT;

    if (client == AE_NO_CLIENT || memcmp(broker->registry.clients[client].nonce, nonce, 2 * sizeof *nonce) != 0 ||
        ae_clients_free_if_dead(broker, client))
        return AE_NO_CLIENT;
    /* Grants that can't be freed now are freed with the client. */
    (void)ae_grants_free_newer(broker, client, newest_known, false);
    return client;
}

int ae_clients_add(struct ae_broker *broker, const char client_name[AE_CLIENT_NAME_MAX + 1], uint32_t pid, uint32_t uid,
                   uint32_t *client, int *token) {
    const struct ae_registry *registry = &broker->registry;
    char name[AE_OBJECT_NAME_SIZE];
    const uint32_t i = ae_index_free_client(&broker->index);

    if (i == AE_NO_CLIENT)
        return ae_fail(-EUSERS, "aetherd's limit of %" PRIu32 " client%s is reached: raise [limits] clients",
                       registry->clients_max, ae_plural(registry->clients_max, "", "s"));
    ae_registry_client *record = &registry->clients[i];
    ae_record_begin(&record->state);
    record->client_id = ae_state_new_id(broker);
    record->created_ns = ae_realtime_ns();
    record->created_mono_ns = ae_now_ns();
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
            ae_object_remove(name);
        ae_close(token);
        ae_record_free(&record->state);
        return rc;
    }
    ae_record_commit(&record->state);
    ae_index_add_client(&broker->index, i);
    *client = i;
    return 0;
}
