/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "base/export.h"
#include "client/client.h"
#include "ring/subscriber.h"
#include <stdlib.h>

struct subscriber_handle {
    struct ae_grant grant; /* first: ae_grant_close() frees from here */
    struct ae_subscriber ring;
    _Alignas(8) unsigned char copies[]; /* where views may not point into the ring */
};

static struct subscriber_handle *handle_of(aether_subscriber *subscriber) {
    return (struct subscriber_handle *)(void *)((char *)subscriber - offsetof(struct subscriber_handle, ring));
}

static void leave(struct ae_grant *grant) {
    ae_subscriber_leave(&((struct subscriber_handle *)(void *)grant)->ring);
}

static int check_options(const aether_subscribe_options *options) {
    if (options->policy != AETHER_RELIABLE && options->policy != AETHER_BEST_EFFORT)
        return ae_fail(-EINVAL, "policy %u is unknown: use 0 (reliable) or 1 (best effort)", (unsigned)options->policy);
    if (options->from != AETHER_FROM_NEW && options->from != AETHER_FROM_OLDEST && options->from != AETHER_FROM_LAST)
        return ae_fail(-EINVAL, "start %u is unknown: use 0 (new), 1 (oldest) or 2 (last)", (unsigned)options->from);
    if (options->from != AETHER_FROM_LAST && options->last != 0)
        return ae_fail(-EINVAL, "a number of last messages is given without AETHER_FROM_LAST");
    return 0;
}

AE_EXPORT int aether_subscriber_open(aether_client *client, const char *topic, const aether_subscribe_options *options,
                                     const aether_topic_config *config, aether_subscriber **subscriber) {
    static const aether_subscribe_options defaults;
    struct subscriber_handle *handle;
    uint32_t role;
    int rc;

    if (options == NULL)
        options = &defaults;
    rc = check_options(options);
    if (rc != 0)
        return rc;
    handle = calloc(1, sizeof *handle + AE_COPY_BUFFER_BYTES);
    if (handle == NULL)
        return ae_fail(-ENOMEM, "out of memory");
    handle->grant.leave = leave;
    role = options->policy == AETHER_RELIABLE ? AE_ROLE_RELIABLE : AE_ROLE_BEST_EFFORT;
    rc = ae_grant_open(&handle->grant, client, role, topic, config);
    if (rc != 0) {
        free(handle);
        return rc;
    }
    ae_subscriber_init(&handle->ring, &handle->grant.geometry, handle->grant.record, handle->grant.log,
                       handle->grant.cursors, options, handle->copies);
    *subscriber = &handle->ring.hot;
    return 0;
}

AE_EXPORT void aether_subscriber_close(aether_subscriber *subscriber) {
    if (subscriber != NULL)
        ae_grant_close(&handle_of(subscriber)->grant);
}
