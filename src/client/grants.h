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
#include "shm/registry_layout.h"
#include "shm/stats_layout.h"
#include <aether/topic.h>

struct ae_grant {
    /* First, because after a close the handle's memory is in the client's queue of grants to give back. */
    struct ae_return back;
    struct ae_grant *next, **link; /* in the list of its client */
    struct aether_client *client;
    uint64_t until_ns; /* as in struct ae_control, for the open; the close waits for 0.1 s at most then. 0: none */
    uint64_t topic_id;
    uint32_t role, record;
    ae_geometry geometry;        /* checked; of a topic without a shape: zero but for start_seq */
    void *log, *cursors, *notes; /* mappings; cursors is NULL for best effort */
    uint64_t log_bytes;          /* that are mapped */
    /*
     * The topic's record in the registry, mapped as long as the subscriber waits for the topic's shape; else NULL. Only
     * aetherd writes it, so it is trusted.
     */
    const ae_registry_topic *topic;
    ae_stats_record *stats; /* its record in the client's statistics, mapped */
    void *buffer;           /* private memory of the handle, freed when the objects are unmapped; may be NULL */
    void (*leave)(struct ae_grant *grant); /* leaves the topic; called before the objects are unmapped */
};

/*
 * Opens `role` on the topic and maps its objects into *grant. ae_grant_close() undoes both. If the topic has no shape
 * yet, which only a subscriber is granted, only the words of the log are mapped, and grant->topic isn't NULL. words:
 * maps only these also if there is a shape. grant->until_ns and grant->leave are the caller's to set. Errors are those of aether_publisher_open() and aether_subscriber_open();
 * then the caller frees *grant.
 */
int ae_grant_open(struct ae_grant *grant, struct aether_client *client, uint32_t role, const char *topic,
                  const aether_topic_config *config, bool words);

/*
 * Takes the shape of a topic that has one now: maps the log as large as it is now, beside its words, and populates it.
 * *geometry and *log receive what ae_grant_attach() takes. Needs no daemon where the kernel can map a mapping again;
 * elsewhere it makes one request. Errors, after which nothing has changed: -ENOMEM, -EBADMSG, and those of
 * aether_connect().
 */
int ae_grant_map_shape(const struct ae_grant *grant, ae_geometry *geometry, void **log);

/* The grant no longer waits: replaces the mapping of the words by that of the log, and unmaps the registry. */
void ae_grant_attach(struct ae_grant *grant, const ae_geometry *geometry, void *log);

/* Leaves, unmaps, gives the grant back and frees the handle that begins with *grant. */
void ae_grant_close(struct ae_grant *grant);

/* For aether_disconnect(): leaves, unmaps and frees all grants. Gives none back: aetherd frees them with the client. */
void ae_grants_drop(struct aether_client *client);

#endif
