/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stall.h - says whom a publisher without room waits for: aether_publisher_stall(), and the client's handler.
 *
 * The names come from the registry, which is read without the client's lock, by its name in /dev/shm. Where that leads
 * to no registry, or to another one than that which has the publisher, aetherd is asked for it, and has 50 ms to
 * answer. A publisher is in the middle of a publish meanwhile. So that is the longest for which it waits here.
 */
#ifndef AE_CLIENT_STALL_H
#define AE_CLIENT_STALL_H

#include "client/grants.h"
#include "ring/publisher.h"

/* What names a publisher's topic, instance and client. It belongs to the publisher's handle. */
struct ae_stall_source {
    const struct ae_grant *grant;
    uint64_t nonce[2]; /* of the client that has the grant; 0: not known */
    char topic[AE_TOPIC_NAME_MAX + 1];
};

/* Takes the handler from the options, which may be NULL. */
void ae_stall_options(struct aether_client *client, const aether_connect_options *options);

/* p has been opened with this grant: fills in *source, and notices p's stalls from now on. Takes the client's lock. */
void ae_stall_open(struct ae_publisher *p, struct ae_stall_source *source, const struct ae_grant *grant,
                   const char *topic);

#endif
