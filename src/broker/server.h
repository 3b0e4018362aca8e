/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server.h - the daemon's socket around a broker: which programs may connect, their requests, and when to check whether
 * a client lives.
 *
 * Nothing here blocks. A connection that sends nonsense, says nothing or doesn't read its replies is closed.
 */
#ifndef AE_BROKER_SERVER_H
#define AE_BROKER_SERVER_H

#include "broker/broker.h"
#include "service/loop.h"

struct ae_server;

/*
 * Listens at the instance's socket, and serves while the loop runs. A SHUTDOWN request stops the loop. Broker and loop
 * stay the caller's and outlive the server. 0, or -errno with a text.
 */
int ae_server_open(struct ae_server **server, struct ae_broker *broker, struct ae_loop *loop);

/* Removes the socket and closes all connections. */
void ae_server_close(struct ae_server *server);

#endif
