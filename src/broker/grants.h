/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grants.h - which client has which topic open, and in which role. Each grant is a record of the registry.
 *
 * The end of a grant adds its figures to the topic's totals, retires its publisher or subscriber in the topic's words,
 * so that no peer waits for it, and then frees the record. The functions don't check clients: the caller says whether a
 * holder is proved dead.
 */
#ifndef AE_BROKER_GRANTS_H
#define AE_BROKER_GRANTS_H

#include "broker/state.h"

/* Finds the lowest free record. 0, or -EUSERS with a text. */
int ae_grants_find_free(const struct ae_broker *broker, uint32_t *grant);

/*
 * Records a new grant in a free record. Call it before the reply: if the reply is lost, the client's resume frees the
 * grant. The reverse order could leave a holder without a grant, which nothing would free.
 */
void ae_grants_record(struct ae_broker *broker, uint32_t grant, const ae_registry_grant *new_grant);

/* How many subscribers of all policies the topic of this record has. */
uint64_t ae_grants_count_subscribers(const struct ae_broker *broker, uint32_t topic);

/*
 * Folds, retires and frees. The grant is in the index. died: the holder is proved dead; then the topic's subscribers
 * see that a publisher has died, unless it had closed before. False: no descriptor or memory is left; the grant stays,
 * and the call must be repeated. An OPEN topic ends with its last grant.
 */
bool ae_grants_free(struct ae_broker *broker, uint32_t grant, bool died);

/* The same for all grants of a client that are newer than the grant `newest_kept`. False: not all are freed. */
bool ae_grants_free_newer(struct ae_broker *broker, uint32_t client, uint64_t newest_kept, bool died);

/*
 * Frees a grant that its client has closed. 0, or -ENOENT if the client has no such grant. If memory or descriptors ran
 * out, the grant stays until ae_grants_free_closed() can free it, or the client dies. So its figures aren't lost, and
 * its record isn't granted again before its topic's words are right.
 */
int ae_grants_close(struct ae_broker *broker, uint32_t client, uint64_t grant_id);

/* Frees the grants that stayed when they were closed, up to the first that can't be freed now, either. */
void ae_grants_free_closed(struct ae_broker *broker);

#endif
