/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clients.h - the programs that use aetherd: one record of the registry a client, and one token, whose lock shows
 * whether the client lives.
 *
 * Nothing is taken from a client because of a timeout or because a connection ended. Only a free token proves its
 * death, and then all its grants are freed, and its record last. A client is named by the index of its record here.
 */
#ifndef AE_BROKER_CLIENTS_H
#define AE_BROKER_CLIENTS_H

#include "broker/state.h"

/*
 * Makes a record and a token. *token: the locked file, whose descriptor the caller owns and passes on to the client. pid
 * and uid: as the kernel reports them. 0, or -errno: -EUSERS no record is free, and those of ae_token_create().
 */
int ae_clients_add(struct ae_broker *broker, const char name[AE_CLIENT_NAME_MAX + 1], uint32_t pid, uint32_t uid,
                   uint32_t *client, int *token);

/*
 * Finds the living client that a connection wants to resume: it must know the client's nonce. Grants that are newer than
 * newest_known are freed: their reply was lost, so the client has never had them. AE_NO_CLIENT: there is none.
 */
uint32_t ae_clients_resume(struct ae_broker *broker, uint64_t client_id, const uint64_t nonce[2],
                           uint64_t newest_known);

bool ae_clients_is_live(const struct ae_broker *broker, uint32_t client);

/* Checks the token and frees a dead client with its grants. True: the record is free, now or already before. */
bool ae_clients_free_if_dead(struct ae_broker *broker, uint32_t client);

/* The same for all that hold a grant of the topic in this role; 0: in any. */
void ae_clients_free_dead_holders(struct ae_broker *broker, uint64_t topic_id, uint32_t role);

/* For a clean stop: removes clients that live, but hold nothing. Each starts anew with the next aetherd. */
void ae_clients_remove_all(struct ae_broker *broker);

#endif
