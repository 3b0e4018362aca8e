/* SPDX-License-Identifier: Apache-2.0 */
/* open.h - the request to open a topic: the checks, the grant, and the descriptors that come with it. */
#ifndef AE_BROKER_OPEN_H
#define AE_BROKER_OPEN_H

#include "broker/state.h"
#include "protocol/message.h"

#define AE_OPEN_FDS 2

struct ae_opened {
    const ae_registry_grant *grant;
    const ae_registry_topic *topic;
    int fds[AE_OPEN_FDS]; /* log, and cursors unless best effort; owned by the caller */
    int fd_count;
};

/*
 * Opens a topic for a client in a role; creates it if there is none. The grant is recorded when this returns. 0, or
 * -errno with a text, and then *opened holds nothing: -EPROTO an unknown role, -EBUSY an exclusive topic has a
 * publisher, -EUSERS a limit, -ESRCH the client turns out to be dead, and those of ae_topics_provide().
 */
int ae_open(struct ae_broker *broker, uint32_t client, uint32_t role, const struct ae_topic_request *request,
            struct ae_opened *opened);

#endif
