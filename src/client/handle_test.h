/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handle_test.h - a subscriber's handle on a ring without a daemon. Publisher and subscriber share one mapping, so that
 * ThreadSanitizer sees their races.
 */
#ifndef AE_CLIENT_HANDLE_TEST_H
#define AE_CLIENT_HANDLE_TEST_H

#include "client/handle.h"
#include "ring/ring_test.h"

static inline aether_subscriber *handle_open(const struct ring *ring, uint32_t record, aether_policy policy) {
    const aether_subscribe_options options = {.policy = policy};
    struct ae_subscriber_handle *handle = calloc(1, sizeof *handle);
    const size_t copies = ae_subscriber_copies_bytes(&ring->geometry, &options);

    check_setup(handle != NULL, "handle");
    handle->grant.buffer = malloc(copies + 1);
    check_setup(handle->grant.buffer != NULL, "copies");
    ae_subscriber_init(&handle->ring, &ring->geometry, record, ring->log,
                       policy == AETHER_RELIABLE ? ring->cursors : NULL, ring->notes, &options, handle->grant.buffer,
                       &scratch_stats);
    return &handle->ring.hot;
}

/* Does the same as aether_subscriber_close(), without aetherd. */
static inline void handle_close(aether_subscriber *subscriber) {
    struct ae_subscriber_handle *handle = ae_handle_of_subscriber(subscriber);

    if (handle->watcher != NULL)
        handle->watcher->forget(handle->watcher);
    ae_subscriber_leave(&handle->ring);
    free(handle->grant.buffer);
    free(handle);
}

#endif
