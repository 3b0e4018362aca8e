/* SPDX-License-Identifier: Apache-2.0 */
/* handle.c - opens and closes publishers and subscribers. */
#include "client/handle.h"
#include "base/error.h"
#include "base/export.h"
#include "ring/join.h"
#include "ring/loan.h"
#include <errno.h>
#include <stdlib.h>

/* ---- publishers ---- */

static struct ae_publisher_handle *handle_of_publisher(aether_publisher *publisher) {
    return (struct ae_publisher_handle *)(void *)((char *)publisher - offsetof(struct ae_publisher_handle, ring));
}

static void leave_publisher(struct ae_grant *grant) {
    ae_publisher_leave(&((struct ae_publisher_handle *)(void *)grant)->ring);
}

AE_EXPORT int aether_publisher_open(aether_client *client, const char *topic, const aether_topic_config *config,
                                    aether_publisher **publisher) {
    struct ae_publisher_handle *handle = calloc(1, sizeof *handle);
    int rc;

    if (handle == NULL)
        return ae_fail(-ENOMEM, "out of memory");
    handle->grant.leave = leave_publisher;
    rc = ae_grant_open(&handle->grant, client, AE_ROLE_PUBLISHER, topic, config);
    if (rc != 0) {
        free(handle);
        return rc;
    }
    handle->grant.buffer = aligned_alloc(AE_LANE_UNIT, ae_publisher_buffer_bytes(&handle->grant.geometry));
    ae_publisher_init(&handle->ring, &handle->grant.geometry, handle->grant.record, handle->grant.log,
                      handle->grant.cursors, handle->grant.notes, handle->grant.buffer, handle->grant.stats);
    if (handle->grant.buffer == NULL) {
        ae_grant_close(&handle->grant);
        return ae_fail(-ENOMEM, "out of memory for the loans of a publisher");
    }
    ae_stall_open(&handle->ring, &handle->stall, &handle->grant, topic);
    *publisher = &handle->ring.hot;
    return 0;
}

AE_EXPORT void aether_publisher_close(aether_publisher *publisher) {
    if (publisher != NULL)
        ae_grant_close(&handle_of_publisher(publisher)->grant);
}

/* ---- subscribers ---- */

static void leave_subscriber(struct ae_grant *grant) {
    struct ae_subscriber_handle *handle = (struct ae_subscriber_handle *)(void *)grant;

    if (handle->watcher != NULL)
        handle->watcher->forget(handle->watcher);
    ae_subscriber_leave(&handle->ring);
}

static int check_options(const aether_subscribe_options *options) {
    if (options->policy != AETHER_RELIABLE && options->policy != AETHER_BEST_EFFORT && options->policy != AETHER_LATEST)
        return ae_fail(-EINVAL, "policy %u is unknown: use 0 (reliable), 1 (best effort) or 2 (latest)",
                       (unsigned)options->policy);
    if (options->views != AETHER_VIEWS_COPY && options->views != AETHER_VIEWS_IN_PLACE)
        return ae_fail(-EINVAL, "views %u are unknown: use 0 (copy) or 1 (in place)", (unsigned)options->views);
    if (options->from != AETHER_FROM_NEW && options->from != AETHER_FROM_OLDEST && options->from != AETHER_FROM_LAST)
        return ae_fail(-EINVAL, "start %u is unknown: use 0 (new), 1 (oldest) or 2 (last)", (unsigned)options->from);
    if (options->from != AETHER_FROM_LAST && options->last != 0)
        return ae_fail(-EINVAL, "a number of last messages is given without AETHER_FROM_LAST");
    return 0;
}

AE_EXPORT int aether_subscriber_open(aether_client *client, const char *topic, const aether_subscribe_options *options,
                                     const aether_topic_config *config, aether_subscriber **subscriber) {
    static const aether_subscribe_options defaults;
    struct ae_subscriber_handle *handle;
    uint32_t role;
    size_t copies;
    int rc;

    if (options == NULL)
        options = &defaults;
    rc = check_options(options);
    if (rc != 0)
        return rc;
    handle = calloc(1, sizeof *handle);
    if (handle == NULL)
        return ae_fail(-ENOMEM, "out of memory");
    handle->grant.leave = leave_subscriber;
    role = options->policy == AETHER_RELIABLE ? AE_ROLE_RELIABLE : AE_ROLE_BEST_EFFORT;
    rc = ae_grant_open(&handle->grant, client, role, topic, config);
    if (rc != 0) {
        free(handle);
        return rc;
    }
    copies = ae_subscriber_copies_bytes(&handle->grant.geometry, options);
    handle->grant.buffer = copies != 0 ? malloc(copies) : NULL;
    ae_subscriber_init(&handle->ring, &handle->grant.geometry, handle->grant.record, handle->grant.log,
                       handle->grant.cursors, handle->grant.notes, options, handle->grant.buffer, handle->grant.stats);
    if (copies != 0 && handle->grant.buffer == NULL) {
        ae_grant_close(&handle->grant);
        return ae_fail(-ENOMEM, "out of memory for copies of messages: %zu bytes", copies);
    }
    *subscriber = &handle->ring.hot;
    return 0;
}

AE_EXPORT void aether_subscriber_close(aether_subscriber *subscriber) {
    if (subscriber != NULL)
        ae_grant_close(&ae_handle_of_subscriber(subscriber)->grant);
}
