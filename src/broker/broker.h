/* SPDX-License-Identifier: Apache-2.0 */
/*
 * broker.h - the registry's only writer: topics, clients and grants. No sockets here: a request goes in, a reply with
 * fds comes out.
 *
 * Nothing is reclaimed on a timeout or because a connection ended: only a free token proves that a client is dead.
 */
#ifndef AE_BROKER_BROKER_H
#define AE_BROKER_BROKER_H

#include "protocol/message.h"
#include "shm/registry.h"

struct ae_limits {
    uint32_t topics, clients, grants;
    uint64_t ring_bytes; /* most memory of a topic that a client may ask for: ring and lane */
};

struct ae_broker {
    struct ae_instance instance;
    struct ae_registry registry;
    struct ae_limits limits;
};

#define AE_REPLY_FDS 2

struct ae_reply {
    struct ae_msg msg;
    int fds[AE_REPLY_FDS]; /* owned by the caller, who closes them after sending */
    int fd_count;
};

#define AE_NO_CLIENT UINT32_MAX

/*
 * Takes over what a predecessor left, or starts afresh, and removes objects that nothing accounts for. The caller holds
 * the instance's lock. Faults: -EPROTO a registry of another layout version (nothing was touched), and those of
 * ae_registry_create().
 */
int ae_broker_start(struct ae_broker *broker, const struct ae_instance *instance, const struct ae_limits *limits);

/* Clean stop: removes topics that nobody is attached to, and the registry with them if no topic is left. */
void ae_broker_stop(struct ae_broker *broker);

/*
 * HELLO: makes a client record, or finds the one that is resumed. *client: its index; AE_NO_CLIENT if refused (the
 * reply is an ERROR). pid and uid as the kernel told.
 */
void ae_broker_hello(struct ae_broker *broker, const struct ae_msg *msg, uint32_t pid, uint32_t uid,
                     struct ae_reply *reply, uint32_t *client);

/* Any other request of a client but SHUTDOWN. */
void ae_broker_handle(struct ae_broker *broker, uint32_t client, const struct ae_msg *msg, struct ae_reply *reply);

/* Looks at the client's token; if it is dead (or gone already), frees what it held. True: the record is free. */
bool ae_broker_look(struct ae_broker *broker, uint32_t client);

/* Makes *reply an ERROR: code and the text of aether_errmsg(). */
void ae_reply_error(struct ae_reply *reply, int code);

/* ---- between broker.c, topics.c and adopt.c ---- */

uint64_t ae_broker_next_id(struct ae_broker *broker);
/*
 * died: its holder is proved dead. A publisher's subscribers are told so, unless it had closed before. False: aetherd
 * is out of descriptors or memory and must try again; the grant stays.
 */
bool ae_broker_free_grant(struct ae_broker *broker, uint32_t grant, bool died);
void ae_broker_remove_topic(struct ae_broker *broker, uint32_t topic);
uint32_t ae_broker_attached(struct ae_broker *broker, uint64_t topic_id,
                            uint32_t role); /* living ones; dead ones are freed */
int ae_broker_find_topic(const struct ae_broker *broker, const char *name, uint32_t *topic);
int ae_broker_create_topic(struct ae_broker *broker, const struct ae_topic_request *request);
int ae_broker_open(struct ae_broker *broker, uint32_t client, uint32_t role, const struct ae_topic_request *request,
                   struct ae_reply *reply);
int ae_broker_adopt(struct ae_broker *broker);

#endif
