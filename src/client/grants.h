/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grants.h - what a publisher and a subscriber have in common: the grant that aetherd gave, and the objects behind it.
 */
#ifndef AE_CLIENT_GRANTS_H
#define AE_CLIENT_GRANTS_H

#include "client/client.h"
#include <aether/topic.h>

struct ae_grant {
    /* First: once its handle is closed, the handle's memory belongs to the client's queue of what is to be returned. */
    struct ae_return back;
    struct ae_grant *next; /* in the list of its client */
    struct aether_client *client;
    uint32_t role, record;
    ae_geometry geometry; /* checked */
    void *log, *cursors;  /* mappings; cursors NULL for best effort */
    void *buffer;         /* private memory of the owner; freed when the objects are unmapped; may be NULL */
    void (*leave)(struct ae_grant *grant); /* stops taking part; called before the objects are unmapped */
};

/*
 * Asks aetherd to open `role` on the topic and maps its objects into *grant. The objects are unmapped and the grant is
 * given back by ae_grant_close(). Errors are those of aether_publisher_open() and aether_subscriber_open(); the caller
 * frees *grant then.
 */
int ae_grant_open(struct ae_grant *grant, struct aether_client *client, uint32_t role, const char *topic,
                  const aether_topic_config *config);

/* Leaves, unmaps, gives the grant back and frees the handle that begins with *grant. */
void ae_grant_close(struct ae_grant *grant);

/* aether_disconnect(): leaves, unmaps and frees all of them. Gives nothing back: aetherd frees it with the client. */
void ae_grants_drop(struct aether_client *client);

#endif
