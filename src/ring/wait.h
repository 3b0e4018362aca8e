/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wait.h - how a subscriber waits for an entry: it spins, yields, then sleeps. The calls are in <aether/wait.h>; idle.c
 * and the waitset use the parts below.
 */
#ifndef AE_RING_WAIT_H
#define AE_RING_WAIT_H

#include "ring/subscriber.h"

/*
 * Sleeps until there is an entry to receive, the stream ends, or max_ns is over. It may return early for no reason.
 * False: a signal came.
 */
bool ae_subscriber_sleep(struct ae_subscriber *s, uint64_t max_ns);

/* Is ae_subscriber_ready(), or is the stream at an end that hasn't been reported yet? Changes nothing. */
bool ae_subscriber_has_news(const struct ae_subscriber *s);

/*
 * Call it when the program has been woken, or is about to be, because of ae_subscriber_has_news(). If the stream is at
 * an end, that end counts as reported from now on.
 */
void ae_subscriber_mark_reported(struct ae_subscriber *s);

/*
 * The steps of a sleep on a topic's wake word, for a sleep on several topics at once. They are taken in this order:
 *
 *   1. ae_subscriber_leave_note() for each topic. It asks publishers to wake the subscriber, and sets *word to the wake
 *      word's value to sleep on. False: no note could be left, because other subscribers left theirs at every try.
 *   2. ae_wake_barrier(), once for all topics.
 *   3. ae_subscriber_unfenced() for each. True: the barrier doesn't reach one of its publishers, so the sleep may take
 *      AE_WAKE_UNFENCED_SLEEP_NS at most.
 *   4. ae_subscriber_has_news() for each.
 *   5. The sleep, on all wake words.
 */
bool ae_subscriber_leave_note(const struct ae_subscriber *s, uint64_t *word);
bool ae_subscriber_unfenced(const struct ae_subscriber *s);

#endif
