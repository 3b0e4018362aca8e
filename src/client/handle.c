/* SPDX-License-Identifier: Apache-2.0 */
/* handle.c - opens and closes publishers and subscribers. */
#include "client/handle.h"
#include "base/error.h"
#include "base/export.h"
#include "ring/join.h"
#include "ring/loan.h"
#include "ring/receive.h"
#include "shm/segment.h"
#include <errno.h>
#include <stdio.h>
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
        return ae_fail(-ENOMEM, "out of memory for a publisher: %zu bytes", sizeof *handle);
    handle->grant.leave = leave_publisher;
    rc = ae_grant_open(&handle->grant, client, AE_ROLE_PUBLISHER, topic, config, false);
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

/* Maps the log and allocates the buffer for copies. */
static int take(struct ae_subscriber_handle *handle, ae_geometry *geometry, void **log, unsigned char **copies) {
    const aether_subscribe_options options = ae_subscriber_options(&handle->ring);
    const int rc = ae_grant_map_shape(&handle->grant, geometry, log);
    size_t bytes;

    if (rc != 0)
        return rc;
    bytes = ae_subscriber_copies_bytes(geometry, &options);
    *copies = bytes != 0 ? malloc(bytes) : NULL;
    if (bytes == 0 || *copies != NULL)
        return 0;
    ae_segment_unmap(*log, geometry->log_bytes);
    return ae_fail(-ENOMEM, "out of memory for copies of messages: %zu bytes", bytes);
}

/*
 * The `attach` of a subscriber; see ring/subscriber.h. Errors, after which the subscriber still waits: -ENOMEM no
 * memory for the buffer, and those of ae_grant_map_shape().
 */
static int attach(struct ae_subscriber *s) {
    struct ae_subscriber_handle *handle = ae_handle_of_subscriber(&s->hot);
    unsigned char *copies;
    ae_geometry geometry;
    void *log;
    int rc;

    if (!ae_subscriber_ready(s))
        return 0;
    rc = take(handle, &geometry, &log, &copies);
    if (rc != 0)
        return rc;
    ae_subscriber_take_shape(s, &geometry, log, copies);
    handle->grant.buffer = copies;
    if (handle->watcher != NULL)
        handle->watcher->attached(handle->watcher); /* before the words are unmapped, which another thread may read */
    ae_grant_attach(&handle->grant, &geometry, log);
    return 1;
}

/* Joins a topic that has a shape. */
static int join(struct ae_subscriber_handle *handle, const aether_subscribe_options *options) {
    struct ae_grant *grant = &handle->grant;
    const size_t copies = ae_subscriber_copies_bytes(&grant->geometry, options);

    grant->buffer = copies != 0 ? malloc(copies) : NULL;
    ae_subscriber_init(&handle->ring, &grant->geometry, grant->record, grant->log, grant->cursors, grant->notes,
                       options, grant->buffer, grant->stats);
    return copies == 0 || grant->buffer != NULL
               ? 0
               : ae_fail(-ENOMEM, "out of memory for copies of messages: %zu bytes", copies);
}

/* Joins a topic that had no shape when aetherd granted it. If it has one by now, joins it as any other topic. */
static int join_waiting(struct ae_subscriber_handle *handle, const aether_subscribe_options *options) {
    struct ae_grant *grant = &handle->grant;
    ae_geometry geometry;
    void *log;
    int rc;

    if (ae_subscriber_init_waiting(&handle->ring, grant->geometry.start_seq, grant->record, grant->log, grant->cursors,
                                   grant->notes, options, grant->stats, &grant->topic->shape, attach))
        return 0;
    rc = ae_grant_map_shape(grant, &geometry, &log);
    if (rc != 0)
        return rc;
    ae_grant_attach(grant, &geometry, log);
    return join(handle, options);
}

/* Closes a handle that can't be used; the error's text stays. */
static int give_up(struct ae_grant *grant, const char *topic, int code) {
    char text[512];

    (void)snprintf(text, sizeof text, "%s", aether_errmsg());
    ae_grant_close(grant);
    return ae_fail(code, "topic '%s': %s", topic, text);
}

AE_EXPORT int aether_subscriber_open(aether_client *client, const char *topic, const aether_subscribe_options *options,
                                     const aether_topic_config *config, aether_subscriber **subscriber) {
    static const aether_subscribe_options defaults;
    struct ae_subscriber_handle *handle;
    uint32_t role;
    int rc;

    if (options == NULL)
        options = &defaults;
    rc = check_options(options);
    if (rc != 0)
        return rc;
    handle = calloc(1, sizeof *handle);
    if (handle == NULL)
        return ae_fail(-ENOMEM, "out of memory for a subscriber: %zu bytes", sizeof *handle);
    handle->grant.leave = leave_subscriber;
    role = options->policy == AETHER_RELIABLE ? AE_ROLE_RELIABLE : AE_ROLE_BEST_EFFORT;
    rc = ae_grant_open(&handle->grant, client, role, topic, config, false);
    if (rc != 0) {
        free(handle);
        return rc;
    }
    rc = handle->grant.topic != NULL ? join_waiting(handle, options) : join(handle, options);
    if (rc != 0)
        return give_up(&handle->grant, topic, rc);
    *subscriber = &handle->ring.hot;
    return 0;
}

AE_EXPORT void aether_subscriber_close(aether_subscriber *subscriber) {
    if (subscriber != NULL)
        ae_grant_close(&ae_handle_of_subscriber(subscriber)->grant);
}
