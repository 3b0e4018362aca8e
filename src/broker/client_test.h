/* SPDX-License-Identifier: Apache-2.0 */
/* client_test.h - clients of the broker of instance_test.h, which send requests without a socket. */
#ifndef AE_BROKER_CLIENT_TEST_H
#define AE_BROKER_CLIENT_TEST_H

#include "broker/instance_test.h"
#include "base/socket.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

struct client {
    uint32_t index;
    uint64_t id, nonce[2];
    int token; /* the client lives as long as this is open */
};

static inline struct ae_reply hello(struct client *client, const struct ae_msg *msg) {
    struct ae_reply reply = {0};

    ae_broker_hello(&broker, msg, 42, (uint32_t)geteuid(), &reply, &client->index);
    return reply;
}

static inline struct client enter(const char *name) {
    struct ae_msg msg = {.type = AE_MSG_HELLO, .version = AE_PROTOCOL_VERSION};
    struct client client;

    (void)snprintf(msg.u.hello.name, sizeof msg.u.hello.name, "%s", name);
    const struct ae_reply reply = hello(&client, &msg);
    assert_int_equal(reply.msg.type, AE_MSG_WELCOME);
    assert_int_equal(reply.fd_count, 1);
    client.id = reply.msg.u.welcome.client_id;
    memcpy(client.nonce, reply.msg.u.welcome.nonce, sizeof client.nonce);
    client.token = reply.fds[0];
    return client;
}

/* The client dies. The broker doesn't know it before it checks. */
static inline void die(struct client *client) {
    ae_close(&client->token);
}

static inline int32_t give_back(const struct client *client, uint64_t grant_id) {
    const struct ae_msg msg = {.type = AE_MSG_CLOSE, .u.close.grant_id = grant_id};
    struct ae_reply reply = {0};

    ae_broker_handle(&broker, client->index, &msg, &reply);
    return reply.msg.type == AE_MSG_DONE ? 0 : reply.msg.u.error.code;
}

#endif
