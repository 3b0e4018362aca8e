/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wait.h - wait for a message without spinning. For many subscribers at once: waitset.h.
 *
 * This costs a publish one load. A subscriber that is about to sleep leaves a note in shared memory. With
 * membarrier(2) it makes sure that every publisher either sees the note or has made its message visible. It checks once
 * more, and sleeps on a futex of the topic. The next publish finds the note and wakes all that sleep.
 *
 * Each sleep is bounded, to 250 ms, or to 1 ms while a publisher can't be reached by membarrier. So a subscriber never
 * waits for ever because a process died, wrote a wrong value, or overwrote the note. All policies sleep and are woken
 * in the same way.
 */
#ifndef AETHER_WAIT_H
#define AETHER_WAIT_H

#include <aether/subscribe.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Waits until there is something to receive, for at most timeout_ns nanoseconds (0: returns at once; AETHER_FOREVER:
 * without end). Spins, yields, then sleeps; it learns from earlier waits how long spinning pays.
 * A subscriber that waits for its topic's first publisher takes the topic's shape here as soon as there is one.
 * Returns 1: there is something: a message, a gap, an error, the end of the stream (once for each end), or an aborted
 * sequence, which a receive passes over. 0: timeout_ns is over, or a signal came.
 */
int aether_wait(aether_subscriber *subscriber, uint64_t timeout_ns);

/*
 * aether_receive(), and aether_wait() while there is nothing. Results and errors as for aether_receive(); 0 also at the
 * end of the stream.
 */
int aether_receive_wait(aether_subscriber *subscriber, aether_message *message, uint64_t timeout_ns);

/*
 * A file descriptor for event loops (poll, epoll, libuv, ...). A helper thread sleeps in place of the loop.
 *
 *     fd = aether_notifier_fd(notifier);          add it to the loop, for reading
 *     when it is readable:
 *         while (aether_receive(sub, &m) > 0) use(&m);
 *         aether_notifier_arm(notifier);
 *
 * A notifier is armed when it is opened, and by aether_notifier_arm(). From then on fd is unreadable until there is
 * something to receive that its subscriber hasn't received: a message, a gap, an error, or the end of the stream. If
 * there is something already, fd is readable at once. From when fd becomes readable until the next arm the helper does
 * nothing, so a notifier costs a busy loop nothing. A program that never calls aether_notifier_arm() loses nothing, but
 * fd stays readable from the first message on, and its loop spins. If the subscriber is closed, fd stays unreadable.
 * What waitset.h says of closing and of forked children holds for a notifier, too.
 */
typedef struct aether_notifier aether_notifier;

/*
 * Starts a helper thread (signals blocked, 64 KiB of stack) for subscriber, which may be closed before the notifier.
 * Errors: -EBUSY the subscriber has a notifier, or is in a waitset; -ENOMEM; -EMFILE, -ENFILE; -EAGAIN no thread.
 */
int aether_notifier_open(aether_subscriber *subscriber, aether_notifier **notifier);

/*
 * Stops the helper and closes the fd. Blocks until the thread has ended: as a rule microseconds, at most 250 ms. NULL
 * is allowed.
 */
void aether_notifier_close(aether_notifier *notifier);

/* Returns the descriptor. Owned by the notifier; only to be polled for reading, neither read nor closed. */
int aether_notifier_fd(const aether_notifier *notifier);

/* Arms the notifier again, as described above. Called by the thread that uses the subscriber. */
void aether_notifier_arm(aether_notifier *notifier);

#ifdef __cplusplus
}
#endif
#endif
