/* SPDX-License-Identifier: Apache-2.0 */
/*
 * broker.h - the requests of clients, and the broker's start and stop, without sockets: a request in, a reply with file
 * descriptors out.
 *
 * Only the broker writes to the registry. It runs in one thread. A request blocks only while the kernel allocates a
 * topic's memory.
 */
#ifndef AE_BROKER_BROKER_H
#define AE_BROKER_BROKER_H

#include "broker/open.h"
#include "broker/state.h"
#include "protocol/message.h"

struct ae_reply {
    struct ae_msg msg;
    int fds[AE_FDS_MAX]; /* the caller's, to be closed after sending */
    int fd_count;
};

/*
 * Adopts what a predecessor left, or creates a new registry, and removes objects without a record. The caller holds the
 * instance's lock. 0, or -errno with a text: -EPROTO if the registry has another layout version, and then nothing was
 * changed; and the errors of ae_registry_create().
 */
int ae_broker_start(struct ae_broker *broker, const struct ae_instance *instance, const struct ae_limits *limits);

/* A clean stop: removes topics that no living client has open, and the registry with them if no topic is left. */
void ae_broker_stop(struct ae_broker *broker);

/*
 * HELLO: adds a client, or finds the client that is resumed. *client is the index of its record, or AE_NO_CLIENT if it
 * is refused; then the reply is an ERROR. pid and uid come from the kernel.
 */
void ae_broker_hello(struct ae_broker *broker, const struct ae_msg *msg, uint32_t pid, uint32_t uid,
                     struct ae_reply *reply, uint32_t *client);

/* Any other request of a client but LOOK and SHUTDOWN. */
void ae_broker_handle(struct ae_broker *broker, uint32_t client, const struct ae_msg *msg, struct ae_reply *reply);

/* Makes *reply an ERROR, with this code and the text of aether_errmsg(). Closes its descriptors. */
void ae_reply_error(struct ae_reply *reply, int code);

#endif
