/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wait.h - wait for a message without spinning.
 *
 * A publisher pays one load a publish for this. A subscriber that is about to sleep says so in shared memory, makes
 * sure with membarrier(2) that every publisher either sees that or has shown its message, looks once more, and sleeps
 * on a futex in the topic. The next publish finds the note and wakes all who sleep. Each sleep is bounded (250 ms; 1 ms
 * while a publisher can't be reached by membarrier), so no death, lie or lost note makes anybody wait for good.
 * Best-effort and latest subscribers can't leave a note: they look again every 50 us .. 1 ms.
 */
#ifndef AETHER_WAIT_H
#define AETHER_WAIT_H

#include <aether/subscribe.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Waits until there is something to receive, for at most timeout_ns nanoseconds (0: only looks; AETHER_FOREVER: without
 * end). Spins, yields, then sleeps; it learns from the waits before how long spinning pays.
 * Returns 1: there is something: a message, a gap, a fault, the end of the stream (once for each end), or an aborted
 * sequence, which a receive passes over. 0: timeout_ns is over, or a signal came.
 */
int aether_wait(aether_subscriber *subscriber, uint64_t timeout_ns);

/*
 * aether_receive(), and aether_wait() while there is nothing. Returns and faults as aether_receive(); 0 also at the end
 * of the stream.
 */
int aether_receive_wait(aether_subscriber *subscriber, aether_message *message, uint64_t timeout_ns);

/*
 * A file descriptor for event loops (poll, epoll, libuv, ...), from a helper thread that sleeps in the loop's stead.
 *
 *     fd = aether_notifier_fd(notifier);          add it to the loop, for reading
 *     when it is readable, and once at the start:
 *         while (aether_receive(sub, &m) > 0) use(&m);
 *         aether_notifier_arm(notifier);
 *
 * aether_notifier_arm() makes fd unreadable until there is something to receive that its subscriber hasn't received (a
 * message, a gap, a fault, or the end of the stream). If there is already, fd is readable at once. Between being
 * readable and the next arm the helper does nothing, so a busy loop pays nothing.
 */
typedef struct aether_notifier aether_notifier;

/*
 * Starts a helper thread (signals blocked, 64 KiB of stack) for subscriber. At most one notifier a subscriber. Close it
 * before the subscriber.
 * Faults: -ENOMEM, -EMFILE, -EAGAIN no thread.
 */
int aether_notifier_open(aether_subscriber *subscriber, aether_notifier **notifier);

/*
 * Stops the helper and closes the fd. Blocks until the thread has ended: as a rule microseconds, at most 250 ms. NULL
 * is allowed.
 */
void aether_notifier_close(aether_notifier *notifier);

/* The fd. Owned by the notifier; only to be polled for reading, neither read nor closed. */
int aether_notifier_fd(const aether_notifier *notifier);

/* See above. Called by the thread that uses the subscriber. */
void aether_notifier_arm(aether_notifier *notifier);

#ifdef __cplusplus
}
#endif
#endif
