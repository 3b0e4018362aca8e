/* SPDX-License-Identifier: Apache-2.0 */
/* source.c - aether_metrics as a source. */
#include "watch/source.h"
#include "base/clock.h"

static int begin(void *self, aether_instance_metrics *instance) {
    return aether_metrics_begin(self, instance);
}

static int next(void *self, aether_topic_metrics *topic) {
    return aether_metrics_next(self, topic);
}

static int client(void *self, uint32_t *cursor, aether_client_metrics *metrics) {
    return aether_metrics_client(self, cursor, metrics);
}

static uint64_t now(void *self) {
    (void)self;
    return ae_now_ns();
}

struct ae_watch_source ae_watch_metrics_source(aether_metrics *metrics) {
    return (struct ae_watch_source){.begin = begin, .next = next, .client = client, .now = now, .self = metrics};
}
