/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server.h - aetherd's socket and connections: which programs may connect, their requests to the broker, and when to
 * check whether a client lives.
 *
 * Nothing here blocks. A connection is closed if it sends an invalid packet, sends no HELLO in time, or doesn't read
 * its replies. A program that is refused gets an ERROR and has 5 seconds to close the connection.
 */
#ifndef AE_BROKER_SERVER_H
#define AE_BROKER_SERVER_H

#include "broker/broker.h"
#include "service/loop.h"

struct ae_server;

/*
 * Listens at the instance's socket, and serves while the loop runs. A SHUTDOWN request stops the loop. handed and lock:
 * see ae_listener_open(). Broker, loop and lock are the caller's and must outlive the server. 0, or -errno with a text.
 */
int ae_server_open(struct ae_server **server, struct ae_broker *broker, struct ae_loop *loop, int handed, int *lock);

/* Listens again if the socket's file was removed. The server also notices that by itself. */
void ae_server_check(struct ae_server *server);

/* Removes the socket and closes all connections. */
void ae_server_close(struct ae_server *server);

#endif
