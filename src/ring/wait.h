/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wait.h - a subscriber waits for something to receive, spinning or asleep; the calls are those of <aether/wait.h>.
 */
#ifndef AE_RING_WAIT_H
#define AE_RING_WAIT_H

#include "ring/subscriber.h"

/*
 * Sleeps until there is something to receive, the stream ends, or max_ns is over. It may return early for no reason.
 * False: a signal came.
 */
bool ae_subscriber_sleep(struct ae_subscriber *s, uint64_t max_ns);

/* Is the stream at an end that hasn't been reported yet? */
bool ae_subscriber_at_new_end(const struct ae_subscriber *s);

/* The caller has reported that there is something: an end of the stream isn't new any more. */
void ae_subscriber_told(struct ae_subscriber *s);

#endif
