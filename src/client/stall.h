/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stall.h - says whom a publisher without room waits for: aether_publisher_stall(), and the client's handler.
 *
 * The names come from the registry, which is read without aetherd and without the client's lock.
 */
#ifndef AE_CLIENT_STALL_H
#define AE_CLIENT_STALL_H

#include "client/grants.h"
#include "ring/publisher.h"

/* What names a publisher's topic and instance. It belongs to the publisher's handle. */
struct ae_stall_source {
    const struct ae_grant *grant;
    char topic[AE_TOPIC_NAME_MAX + 1];
};

/* Takes the handler from the options, which may be NULL. */
void ae_stall_options(struct aether_client *client, const aether_connect_options *options);

/* p has been opened with this grant: fills in *source, and notices p's stalls from now on. */
void ae_stall_open(struct ae_publisher *p, struct ae_stall_source *source, const struct ae_grant *grant,
                   const char *topic);

#endif
