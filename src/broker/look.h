/* SPDX-License-Identifier: Apache-2.0 */
/* look.h - the request to open an object for reading, for programs that can't or needn't find it by its name. */
#ifndef AE_BROKER_LOOK_H
#define AE_BROKER_LOOK_H

#include "broker/broker.h"

/* LOOK, from a client or from a connection that hasn't said HELLO. Changes nothing. */
void ae_broker_look(const struct ae_broker *broker, const struct ae_msg *msg, struct ae_reply *reply);

#endif
