/* SPDX-License-Identifier: Apache-2.0 */
/* await.h - waits for an aetherd that isn't there yet, without asking again and again. */
#ifndef AE_CLIENT_AWAIT_H
#define AE_CLIENT_AWAIT_H

#include "client/control.h"

/*
 * Makes an attempt to connect, and others while no aetherd listens at the control's socket, for wait_ns at most: when
 * something has changed there and, because not each change can be noticed, each 250 ms. Sleeps in between. Returns what
 * the last attempt has returned, or -EINTR: a signal handler ran meanwhile.
 */
int ae_await(struct ae_control *control, uint64_t wait_ns, int (*attempt)(struct ae_control *control, void *context),
             void *context);

#endif
