/* SPDX-License-Identifier: Apache-2.0 */
/* server.h - the daemon's sockets, timers and signals around a broker. */
#ifndef AE_BROKER_SERVER_H
#define AE_BROKER_SERVER_H

#include "broker/broker.h"

/*
 * Listens at the instance's socket and serves until SIGTERM, SIGINT or a SHUTDOWN request. 0: clean stop; -errno: it
 * can't go on.
 */
int ae_server_run(struct ae_broker *broker);

#endif
