/* SPDX-License-Identifier: Apache-2.0 */
/* client.h - one program's connection to aetherd, shared by its publishers and subscribers. */
#ifndef AE_CLIENT_CLIENT_H
#define AE_CLIENT_CLIENT_H

#include "protocol/message.h"
#include <aether/topic.h>

/*
 * What a publisher and a subscriber have in common: the grant that aetherd gave and the two objects behind it. Sits in
 * the list of its client. Once its owner has closed it while no daemon could be told, it stays there as a note to give
 * the grant back.
 */
struct ae_grant {
    struct ae_grant *next;
    struct aether_client *client;
    uint64_t grant_id;
    uint32_t role, record;
    ae_geometry geometry; /* checked */
    void *log, *cursors;  /* mappings; cursors NULL for best effort */
    void *buffer;         /* private memory of the owner; freed when the objects are unmapped; may be NULL */
    void (*leave)(struct ae_grant *grant); /* stops taking part; called before the objects are unmapped */
};

/*
 * Asks aetherd to open `role` on the topic and maps its objects into *grant. The objects are unmapped and the grant is
 * given back by ae_grant_close(). Faults are those of aether_publisher_open() and aether_subscriber_open().
 */
int ae_grant_open(struct ae_grant *grant, struct aether_client *client, uint32_t role, const char *topic,
                  const aether_topic_config *config);

/* Leaves, unmaps, gives the grant back and frees the handle that begins with *grant. */
void ae_grant_close(struct ae_grant *grant);

#endif
