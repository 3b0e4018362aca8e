/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client.h - a client, shared by its publishers and subscribers: the connection to aetherd, and requests that wait for
 * their reply.
 */
#ifndef AE_CLIENT_CLIENT_H
#define AE_CLIENT_CLIENT_H

#include "client/control.h"
#include "client/stats_map.h"
#include <aether/connect.h>
#include <pthread.h>

struct ae_grant;

struct aether_client {
    pthread_mutex_t lock; /* for all members, when handles are opened and closed; publish and receive never take it */
    struct ae_control control;
    struct ae_grant *grants; /* of the open handles; see grants.h */
    struct ae_stats_map *stats;
    /* As in aether_connect_options; they never change. stall_after_ns: not 0 if on_stall is set. */
    aether_stall_handler *on_stall;
    void *stall_context;
    uint64_t stall_after_ns;
};

/*
 * Runs a request of the control machine to its end; arguments and errors are those of ae_control_start() and
 * ae_control_step(). Blocks for at most control->patience_ns a stage.
 */
int ae_control_run(struct ae_control *control, struct ae_msg *msg, uint16_t expect, bool again);

/* The same for a client. The caller holds the lock. */
int ae_client_request(struct aether_client *client, struct ae_msg *msg, uint16_t expect, bool again);

/* Takes the lock, sends msg and waits for DONE. */
int ae_client_ask(struct aether_client *client, struct ae_msg *msg);

#endif
