/* SPDX-License-Identifier: Apache-2.0 */
/*
 * waitset.h - wait for many subscribers at once.
 *
 * A waitset holds any number of subscribers, also of several clients, and names those that have something to receive,
 * one after the other. There are two ways to use it.
 *
 * Blocking: aether_waitset_next() sleeps in the calling thread. There is no helper thread.
 *
 *     while ((n = aether_waitset_next(set, &ready, AETHER_FOREVER)) >= 0)
 *         if (n > 0)
 *             aether_poll(ready.subscriber, on_message, ready.context, 64);
 *
 * Event loop (poll, epoll, libuv, ...): aether_waitset_fd() is a descriptor to add to the loop for reading. One helper
 * thread, however many subscribers there are, sleeps in the loop's stead. When the descriptor is readable:
 *
 *     while (aether_waitset_next(set, &ready, 0) > 0)
 *         aether_poll(ready.subscriber, on_message, ready.context, 64);
 *
 * Something   A subscriber has something if aether_wait() would say so: a message, a gap, an eviction or another error
 *             to be received, an aborted sequence, or the end of the stream (once for each end).
 * Level       A subscriber is named as long as it has something. It needn't be emptied: what is left is named again,
 *             when it is its turn. The descriptor is readable from when a subscriber has something until
 *             aether_waitset_next() returns 0; a loop may return before that and is called again.
 * Fairness    Subscribers take turns. Between two times that one of them is named, every other one that has something
 *             is named once.
 * No loss     A waitset is armed from the beginning. What is published before, while or after the program looks is
 *             never missed.
 * Latency     A publish wakes a waitset at once for its 127 reliable subscribers that were active last. The others, and
 *             those of best effort and latest, which can't leave a note for publishers, are looked at in naps: after
 *             50 us at first, then in doubling steps up to 1 ms. If the looks would take more than about 1 % of a core
 *             that way, naps go on growing until they don't, up to 50 ms; with a thousand subscribers they grow to some
 *             10 ms. Where the kernel has no futex_waitv(2) (before Linux 5.16, or in a sandbox that forbids it) a
 *             publish wakes for one subscriber, and all others are looked at in naps.
 * Threads     A waitset and its subscribers are used by one thread at a time; a call that comes while another thread is
 *             in one is refused with -EBUSY. aether_waitset_wake() is the exception.
 * Closing     A subscriber that is closed, by itself or by aether_disconnect(), leaves its waitset by itself. Waitset
 *             and subscribers may be closed in any order, also while handling what aether_waitset_next() has named.
 * Fork        A forked child has neither the helper thread nor the subscribers' memory. All it may do with its parent's
 *             waitset is to close it, which frees the child's copy and leaves the parent's alone; other calls return
 *             -EPERM.
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
 * Adds a subscriber. context: for the program, which gets it back with each aether_ready. Takes effect at once: if the
 * subscriber has something already, aether_waitset_next() names it, and the descriptor becomes readable.
 * Errors: -EEXIST the subscriber is in this set; -EBUSY it is in another set, or has a notifier; -ENOMEM.
 */
int aether_waitset_add(aether_waitset *set, aether_subscriber *subscriber, void *context);

/*
 * Removes a subscriber, which stays open. It isn't named any more. Never blocks for longer than a look at all members.
 * Errors: -ENOENT it isn't in this set.
 */
int aether_waitset_remove(aether_waitset *set, aether_subscriber *subscriber);

/*
 * Names the next subscriber that has something. Waits for one for at most timeout_ns nanoseconds (0: only looks;
 * AETHER_FOREVER: without end). Allocates nothing. A look costs some 0.1 us for each subscriber that has nothing.
 * Returns 1: *ready is filled in. 0: none has anything and timeout_ns is over, a signal came, or aether_waitset_wake()
 * was called. After 0 the descriptor is unreadable until a subscriber has something again.
 */
int aether_waitset_next(aether_waitset *set, aether_ready *ready, uint64_t timeout_ns);

/*
 * The descriptor for event loops. The first call makes it and starts the helper thread (signals blocked, 64 KiB of
 * stack); later calls return the same one. Owned by the set; only to be polled for reading, neither read nor closed.
 * Errors: -EMFILE, -ENFILE, -EAGAIN no thread.
 */
int aether_waitset_fd(aether_waitset *set);

/*
 * Makes aether_waitset_next() return 0: the one that waits now, or else the next one; and the descriptor readable until
 * then. For another thread that wants the set's thread to do something else, such as to add a subscriber or to stop.
 * Any thread may call it, and a signal handler. Calls that come before the return count as one.
 */
void aether_waitset_wake(aether_waitset *set);

#ifdef __cplusplus
}
#endif
#endif
