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

/* Is there something to receive, or is the stream at an end that hasn't been reported yet? Changes nothing. */
bool ae_subscriber_has_news(const struct ae_subscriber *s);

/* The caller has reported that there is something: an end of the stream isn't new any more. */
void ae_subscriber_told(struct ae_subscriber *s);

/*
 * The steps of a sleep on a topic's wake word, for a sleep on several topics at once. They are taken in this order:
 *
 *   1. ae_subscriber_leave_note() for each topic. It asks publishers to wake, and stores in *word the value of the wake
 *      word to sleep on. False: no note could be left, because too many others left theirs at the same time.
 *   2. ae_wake_barrier(), once for all topics.
 *   3. ae_subscriber_unfenced() for each. True: the barrier doesn't reach one of its publishers, so the sleep may take
 *      AE_WAKE_UNFENCED_SLEEP_NS at most.
 *   4. ae_subscriber_has_news() for each.
 *   5. The sleep, on all wake words.
 *
 * s has cursors.
 */
bool ae_subscriber_leave_note(const struct ae_subscriber *s, uint64_t *word);
bool ae_subscriber_unfenced(const struct ae_subscriber *s);

#endif
