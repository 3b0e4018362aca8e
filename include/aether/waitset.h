/* SPDX-License-Identifier: Apache-2.0 */
/*
 * waitset.h - wait for many subscribers at once.
 *
 * A waitset holds any number of subscribers, also of several clients. aether_waitset_next() returns those that have
 * something to receive, one after the other. There are two ways to use it.
 *
 * Blocking: aether_waitset_next() sleeps in the calling thread. There is no helper thread.
 *
 *     while ((n = aether_waitset_next(set, &ready, AETHER_FOREVER)) >= 0)
 *         if (n > 0)
 *             aether_poll(ready.subscriber, on_message, ready.context, 64);
 *
 * Event loop (poll, epoll, libuv, ...): aether_waitset_fd() is a descriptor to add to the loop for reading. One helper
 * thread, however many subscribers there are, sleeps in place of the loop. When the descriptor is readable:
 *
 *     while (aether_waitset_next(set, &ready, 0) > 0)
 *         aether_poll(ready.subscriber, on_message, ready.context, 64);
 *
 * Something   A subscriber has something in the cases in which aether_wait() returns 1: a message, a gap, an eviction
 *             or another error to be received, an aborted sequence, or the end of the stream (once for each end).
 * Level       A subscriber is returned as long as it has something. The program needn't receive everything: a
 *             subscriber with something left is returned again when its turn comes. The descriptor becomes
 *             readable when a subscriber has something, and stays so until aether_waitset_next() returns 0. A handler
 *             may stop before that: the event loop calls it again.
 * Fairness    Subscribers take turns. Between two returns of one subscriber, every other subscriber that has something
 *             is returned once.
 * No loss     A waitset is armed from the beginning. Whether a message is published before, during or after a call, it
 *             is never missed.
 * Latency     A publish wakes a waitset at once for the 127 subscribers, of any policy, that were active last. The
 *             waitset checks all others after naps. The first nap takes 50 us; naps double up to 1 ms while nothing
 *             happens. If checks would take more than about 1 % of a core, naps grow further, up to 50 ms; with a
 *             thousand subscribers to some 10 ms.
 *             Without futex_waitv(2) (before Linux 5.16, or in a sandbox that forbids it) a publish wakes the waitset
 *             for one subscriber, and all others are checked after naps; aether_waitset_wake() and a change of the
 *             members then may take effect as late as after 250 ms.
 * Threads     A waitset and its subscribers are used by one thread at a time. A call while another thread's call still
 *             runs is refused with -EBUSY. aether_waitset_wake() is the exception.
 * Closing     A subscriber that is closed, directly or by aether_disconnect(), is removed from its waitset. Waitset and
 *             subscribers may be closed in any order, also by the handler of what aether_waitset_next() returned.
 * Fork        A forked child has neither the helper thread nor the subscribers' memory. With its parent's waitset it
 *             may do only one thing: close it, which frees the child's copy and leaves the parent's alone. Other calls
 *             return -EPERM.
 */
#ifndef AETHER_WAITSET_H
#define AETHER_WAITSET_H

#include <aether/subscribe.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct aether_waitset aether_waitset;

/* A subscriber that has something. */
typedef struct aether_ready {
    aether_subscriber *subscriber;
    void *context; /* as it was given to aether_waitset_add() */
} aether_ready;

/* Makes an empty waitset. Errors: -ENOMEM. */
int aether_waitset_open(aether_waitset **set);

/*
 * Closes the set and its descriptor; its subscribers stay open. Blocks until the helper thread, if there is one, has
 * ended: as a rule microseconds, at most 250 ms. NULL is allowed.
 */
void aether_waitset_close(aether_waitset *set);

/*
 * Adds a subscriber. context is the program's: each aether_ready gives it back. Takes effect at once: if the subscriber
 * has something already, aether_waitset_next() returns it, and the descriptor becomes readable.
 * Errors: -EEXIST the subscriber is in this set; -EBUSY it is in another set, or has a notifier; -ENOMEM.
 */
int aether_waitset_add(aether_waitset *set, aether_subscriber *subscriber, void *context);

/*
 * Removes a subscriber, which stays open and isn't returned any more. Blocks no longer than a check of all members
 * takes.
 * Errors: -ENOENT it isn't in this set.
 */
int aether_waitset_remove(aether_waitset *set, aether_subscriber *subscriber);

/*
 * Returns the next subscriber that has something. Waits for at most timeout_ns nanoseconds (0: returns at once;
 * AETHER_FOREVER: without end). Allocates nothing. The cost grows with the number of subscribers: each is checked until
 * one has something.
 * Returns 1: *ready is filled in. 0: no subscriber has anything and timeout_ns is over, a signal came, or
 * aether_waitset_wake() was called. After 0 the descriptor is unreadable until a subscriber has something again.
 */
int aether_waitset_next(aether_waitset *set, aether_ready *ready, uint64_t timeout_ns);

/*
 * The descriptor for event loops. The first call makes it and starts the helper thread (signals blocked, 64 KiB of
 * stack); later calls return the same one. Owned by the set; only to be polled for reading, neither read nor closed.
 * Errors: -EMFILE, -ENFILE; -EAGAIN no thread.
 */
int aether_waitset_fd(aether_waitset *set);

/*
 * Makes aether_waitset_next() return 0: the call that waits now, or else the next one. The descriptor is readable until
 * then. Another thread uses it to make the set's thread do something else, such as add a subscriber or stop. Any thread
 * and any signal handler may call it. Several calls before that return count as one.
 */
void aether_waitset_wake(aether_waitset *set);

#ifdef __cplusplus
}
#endif
#endif
