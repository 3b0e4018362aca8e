/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "base/export.h"
#include "client/client.h"
#include "ring/join.h"
#include "ring/loan.h"
#include <stdlib.h>

struct publisher_handle {
    struct ae_grant grant; /* first: ae_grant_close() frees from here */
    struct ae_publisher ring;
};

static struct publisher_handle *handle_of(aether_publisher *publisher) {
    return (struct publisher_handle *)(void *)((char *)publisher - offsetof(struct publisher_handle, ring));
}

static void leave(struct ae_grant *grant) {
    ae_publisher_leave(&((struct publisher_handle *)(void *)grant)->ring);
}

AE_EXPORT int aether_publisher_open(aether_client *client, const char *topic, const aether_topic_config *config,
                                    aether_publisher **publisher) {
    struct publisher_handle *handle = calloc(1, sizeof *handle);
    int rc;

    if (handle == NULL)
        return ae_fail(-ENOMEM, "out of memory");
    handle->grant.leave = leave;
    rc = ae_grant_open(&handle->grant, client, AE_ROLE_PUBLISHER, topic, config);
    if (rc != 0) {
        free(handle);
        return rc;
    }
    handle->grant.buffer = aligned_alloc(AE_LANE_UNIT, ae_publisher_buffer_bytes(&handle->grant.geometry));
    ae_publisher_init(&handle->ring, &handle->grant.geometry, handle->grant.record, handle->grant.log,
                      handle->grant.cursors, handle->grant.buffer);
    if (handle->grant.buffer == NULL) {
        ae_grant_close(&handle->grant);
        return ae_fail(-ENOMEM, "out of memory for the loans of a publisher");
    }
    *publisher = &handle->ring.hot;
    return 0;
}

AE_EXPORT void aether_publisher_close(aether_publisher *publisher) {
    if (publisher != NULL)
        ae_grant_close(&handle_of(publisher)->grant);
}
