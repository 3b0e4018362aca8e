/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grants.h - what a publisher and a subscriber have in common: the grant from aetherd, the topic's mapped objects, and
 * the mapped record in the client's statistics.
 *
 * The functions block for at most 5 seconds for each step with aetherd.
 */
#ifndef AE_CLIENT_GRANTS_H
#define AE_CLIENT_GRANTS_H

#include "client/client.h"
#include "shm/stats_layout.h"
#include <aether/topic.h>

struct ae_grant {
    /* First, because after a close the handle's memory is in the client's queue of grants to give back. */
    struct ae_return back;
    struct ae_grant *next, **link; /* in the list of its client */
    struct aether_client *client;
    uint32_t role, record;
    ae_geometry geometry;        /* checked */
    void *log, *cursors, *notes; /* mappings; cursors is NULL for best effort */
    ae_stats_record *stats;      /* its record in the client's statistics, mapped */
    void *buffer;                /* private memory of the handle, freed when the objects are unmapped; may be NULL */
    void (*leave)(struct ae_grant *grant); /* leaves the topic; called before the objects are unmapped */
};

/*
 * Opens `role` on the topic and maps its objects into *grant. ae_grant_close() undoes both. Errors are those of
 * aether_publisher_open() and aether_subscriber_open(); then the caller frees *grant.
 */
int ae_grant_open(struct ae_grant *grant, struct aether_client *client, uint32_t role, const char *topic,
                  const aether_topic_config *config);

/* Leaves, unmaps, gives the grant back and frees the handle that begins with *grant. */
void ae_grant_close(struct ae_grant *grant);

/* For aether_disconnect(): leaves, unmaps and frees all grants. Gives none back: aetherd frees them with the client. */
void ae_grants_drop(struct aether_client *client);

#endif
