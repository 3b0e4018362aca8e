/* SPDX-License-Identifier: Apache-2.0 */
/* handle.h - what is behind a public publisher or subscriber: its grant, and its side of the ring. */
#ifndef AE_CLIENT_HANDLE_H
#define AE_CLIENT_HANDLE_H

#include "client/grants.h"
#include "ring/publisher.h"
#include "ring/subscriber.h"

struct ae_publisher_handle {
    struct ae_grant grant; /* first: ae_grant_close() frees from here */
    struct ae_publisher ring;
};

struct ae_subscriber_handle {
    struct ae_grant grant; /* first: ae_grant_close() frees from here */
    struct ae_subscriber ring;
};

#endif
