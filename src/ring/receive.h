/* SPDX-License-Identifier: Apache-2.0 */
/* receive.h - receiving; the calls are those of <aether/subscribe.h>. */
#ifndef AE_RING_RECEIVE_H
#define AE_RING_RECEIVE_H

#include "ring/subscriber.h"

/*
 * Is there an entry to receive, or an eviction that isn't reported yet? While the subscriber waits for its topic's
 * shape: is there a shape to take? Changes nothing. Bounded.
 */
bool ae_subscriber_ready(const struct ae_subscriber *s);

/*
 * Makes visible how far the subscriber is, because it has found nothing to receive and may wait: the cursor, as
 * publishers may need the slots that were read; and its figures. Wait-free.
 */
void ae_subscriber_release(struct ae_subscriber *s);

#endif
