/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clients.h - the clients of aetherd. Each has a record of the registry, a token, whose lock shows whether the client
 * lives, and a statistics object.
 *
 * Nothing is taken from a client because of a timeout or because a connection ended. Only a free token proves that it
 * is dead. Then all its grants are freed, and last its record. Here a client is identified by the index of its record.
 */
#ifndef AE_BROKER_CLIENTS_H
#define AE_BROKER_CLIENTS_H

#include "broker/state.h"

/*
 * Creates a record, a statistics object and a token. *token is the descriptor of the locked file, which the caller owns
 * and sends to the client. pid and uid come from the kernel. 0, or -errno: -EUSERS if no record is free; the errors of
 * ae_token_create() and ae_client_stats_create().
 */
int ae_clients_add(struct ae_broker *broker, const char name[AE_CLIENT_NAME_MAX + 1], uint32_t pid, uint32_t uid,
                   uint32_t *client, int *token);

/*
 * Finds the living client with this id and nonce, which a new connection resumes. Frees its grants that are newer than
 * newest_known: their reply was lost, so the client never had them. AE_NO_CLIENT if there is no such client.
 */
uint32_t ae_clients_resume(struct ae_broker *broker, uint64_t client_id, const uint64_t nonce[2],
                           uint64_t newest_known);

bool ae_clients_is_live(const struct ae_broker *broker, uint32_t client);

/*
 * Checks the token. Frees a dead client with its grants, and the grants of which a living one says that it doesn't have
 * them. True: the record is free, now or already before.
 */
bool ae_clients_free_if_dead(struct ae_broker *broker, uint32_t client);

enum ae_client_end {
    AE_CLIENT_STAYS, /* it lives, or can't be freed now */
    AE_CLIENT_GOES,  /* it is dead, some grants were freed, and it has more */
    AE_CLIENT_GONE,  /* the record is free, now or already before */
};

/* The same, but frees at most so many grants, so that other clients needn't wait for the rest. */
enum ae_client_end ae_clients_free_some(struct ae_broker *broker, uint32_t client, uint32_t most);

/*
 * As ae_clients_free_if_dead(), for all clients with a grant of the topic, by its record, in this role (0: in any
 * role).
 */
void ae_clients_free_dead_holders(struct ae_broker *broker, uint32_t topic, uint32_t role);

/* For a clean stop: removes living clients without grants. For the next aetherd each will be a new client. */
void ae_clients_remove_all(struct ae_broker *broker);

#endif
