/* SPDX-License-Identifier: Apache-2.0 */
/* topic_wait.c - waits until a topic exists. */
#include "base/clock.h"
#include "base/error.h"
#include "base/export.h"
#include "base/histogram.h"
#include "client/handle.h"
#include "ring/join.h"
#include "ring/wake.h"
#include <errno.h>
#include <stdlib.h>

static void leave(struct ae_grant *grant) {
    ae_subscriber_leave(&((struct ae_subscriber_handle *)(void *)grant)->ring);
}

/* G10 acquire, pairs G9. */
static bool topic_exists(const struct ae_grant *grant) {
    return grant->topic == NULL || ae_shape_of(ae_load_acquire(&grant->topic->shape)) != AE_SHAPE_OPEN;
}

static int wait_for_topic(const struct ae_grant *grant, uint64_t until_ns) {
    const ae_log *log = grant->log;

    for (;;) {
        /* Z4 acquire, pairs Z3: aetherd raises the word after it has stored a shape. */
        const uint64_t word = ae_load_acquire(&log->wake.wake);
        if (topic_exists(grant))
            return 1;
        const uint64_t now = ae_now_ns();
        if (now >= until_ns)
            return 0;
        const uint64_t left = until_ns - now;
        if (!ae_wake_sleep(&log->wake.wake, word, left < AE_WAKE_SLEEP_NS ? left : AE_WAKE_SLEEP_NS))
            return topic_exists(grant);
    }
}

/*
 * A best-effort subscriber that never receives waits for the shape. aetherd keeps its grant over a restart, as it does
 * for all subscribers.
 */
AE_EXPORT int aether_topic_wait(aether_client *client, const char *topic, uint64_t timeout_ns) {
    static const aether_subscribe_options options = {.policy = AETHER_BEST_EFFORT};
    static const ae_u64 fixed = {AE_SHAPE_FIXED};
    struct ae_subscriber_handle *handle = calloc(1, sizeof *handle);
    const uint64_t until_ns = ae_saturating_add(ae_now_ns(), timeout_ns);
    struct ae_grant *grant;
    int rc;

    if (handle == NULL)
        return ae_fail(-ENOMEM, "out of memory for a wait for a topic: %zu bytes", sizeof *handle);
    grant = &handle->grant;
    grant->leave = leave;
    grant->until_ns = timeout_ns != 0 ? until_ns : 0;
    rc = ae_grant_open(grant, client, AE_ROLE_BEST_EFFORT, topic, NULL, true);
    if (rc != 0) {
        free(handle);
        return rc;
    }
    (void)ae_subscriber_init_waiting(&handle->ring, grant->geometry.start_seq, grant->record, grant->log, NULL,
                                     grant->notes, &options, grant->stats,
                                     grant->topic != NULL ? &grant->topic->shape : &fixed, NULL);
    rc = wait_for_topic(grant, until_ns);
    ae_grant_close(grant);
    return rc;
}
