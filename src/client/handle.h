/* SPDX-License-Identifier: Apache-2.0 */
/* handle.h - the memory of a public publisher or subscriber: its grant, and its side of the ring. */
#ifndef AE_CLIENT_HANDLE_H
#define AE_CLIENT_HANDLE_H

#include "client/grants.h"
#include "client/stall.h"
#include "ring/publisher.h"
#include "ring/subscriber.h"

struct ae_publisher_handle {
    struct ae_grant grant; /* first: ae_grant_close() frees from here */
    struct ae_publisher ring;
    struct ae_stall_source stall;
};

/* A waitset, whose helper thread reads the subscriber's memory and mappings. */
struct ae_watcher {
    void (*forget)(struct ae_watcher *watcher);   /* called before the subscriber leaves; may free the watcher */
    void (*attached)(struct ae_watcher *watcher); /* called after it has taken its shape, before it unmaps anything */
};

struct ae_subscriber_handle {
    struct ae_grant grant; /* first: ae_grant_close() frees from here */
    struct ae_subscriber ring;
    struct ae_watcher *watcher; /* NULL: none */
};

static inline struct ae_subscriber_handle *ae_handle_of_subscriber(aether_subscriber *subscriber) {
    return (struct ae_subscriber_handle *)(void *)((char *)subscriber - offsetof(struct ae_subscriber_handle, ring));
}

#endif
