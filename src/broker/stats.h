/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats.h - each client's statistics object: aetherd creates it, prepares a record for each grant, and reads it.
 *
 * The client can change everything in its object, also its size and its memory. So aetherd doesn't map it but reads and
 * writes it by system calls, and trusts nothing that it reads. Errors are those of segment.h, with a text.
 */
#ifndef AE_BROKER_STATS_H
#define AE_BROKER_STATS_H

#include "broker/state.h"
#include "shm/stats_layout.h"

/* Creates the object of a new client, without memory for records. Leaves nothing behind on an error. */
int ae_client_stats_create(const struct ae_broker *broker, uint64_t client_id);

void ae_client_stats_remove(const struct ae_broker *broker, uint64_t client_id);

/*
 * Chooses the lowest index of a record that no grant of the client uses, and makes room for it in the broker's index.
 * 0, or -ENOMEM with a text.
 */
int ae_client_stats_choose(struct ae_broker *broker, uint32_t client, uint32_t *index);

/*
 * Allocates the record of a grant that is to be recorded, zeroes it, and writes its identity. Returns a read-write
 * descriptor of the object, or -errno.
 */
int ae_client_stats_prepare(const struct ae_broker *broker, const ae_registry_grant *grant);

/*
 * Copies the record of a grant; a publisher's copy has no histogram. Returns 1, or 0 if the client has damaged the
 * record or its object, or -errno if descriptors or memory ran out.
 */
int ae_client_stats_read(const struct ae_broker *broker, const ae_registry_grant *grant, ae_stats_record *copy);

#endif
