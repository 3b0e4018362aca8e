/* SPDX-License-Identifier: Apache-2.0 */
/* open.h - the request to open a topic: the checks, the grant, and the descriptors for the client. */
#ifndef AE_BROKER_OPEN_H
#define AE_BROKER_OPEN_H

#include "broker/state.h"
#include "protocol/message.h"

struct ae_opened {
    const ae_registry_grant *grant;
    const ae_registry_topic *topic;
    int fds[AE_FDS_MAX]; /* without cursors if the role is best effort; owned by the caller */
    int fd_count;
};

/*
 * Opens a topic for a client in a role. flags: AE_OPEN_*. Creates the topic if it doesn't exist and the flags don't
 * forbid it. The grant is recorded when this returns. 0, or -errno with a text, and then *opened is empty: -EPROTO
 * unknown role; -EBUSY an exclusive topic has a publisher; -EUSERS a limit is reached; -ESRCH the client is dead; and
 * the errors of ae_topics_plan().
 */
int ae_open(struct ae_broker *broker, uint32_t client, uint32_t role, uint32_t flags,
            const struct ae_topic_request *request, struct ae_opened *opened);

#endif
