/* SPDX-License-Identifier: Apache-2.0 */
/*
 * broker.h - the requests of clients, and the broker's start and stop. No sockets here: a request goes in, a reply with
 * file descriptors comes out.
 *
 * The broker is the registry's only writer and runs in one thread. A request may block for as long as the kernel takes
 * to allocate a topic's memory, and for nothing else.
 */
#ifndef AE_BROKER_BROKER_H
#define AE_BROKER_BROKER_H

#include "broker/open.h"
#include "broker/state.h"
#include "protocol/message.h"

struct ae_reply {
    struct ae_msg msg;
    int fds[AE_OPEN_FDS]; /* the caller's, to be closed after sending */
    int fd_count;
};

/*
 * Takes over what a predecessor left, or starts afresh, and removes objects that nothing accounts for. The caller holds
 * the instance's lock. 0, or -errno with a text: -EPROTO a registry of another layout version (nothing was touched), and
 * those of ae_registry_create().
 */
int ae_broker_start(struct ae_broker *broker, const struct ae_instance *instance, const struct ae_limits *limits);

/* A clean stop: removes topics that no living client has open, and the registry with them if no topic is left. */
void ae_broker_stop(struct ae_broker *broker);

/*
 * HELLO: adds a client, or finds the one that is resumed. *client: the index of its record; AE_NO_CLIENT if refused (the
 * reply is an ERROR). pid and uid: as the kernel reports them.
 */
void ae_broker_hello(struct ae_broker *broker, const struct ae_msg *msg, uint32_t pid, uint32_t uid,
                     struct ae_reply *reply, uint32_t *client);

/* Any other request of a client but SHUTDOWN. */
void ae_broker_handle(struct ae_broker *broker, uint32_t client, const struct ae_msg *msg, struct ae_reply *reply);

/* Makes *reply an ERROR, with this code and the text of aether_errmsg(). Closes its descriptors. */
void ae_reply_error(struct ae_reply *reply, int code);

#endif
