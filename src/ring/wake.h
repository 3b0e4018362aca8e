/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wake.h - the system calls of sleeping and waking: futex(2) and futex_waitv(2) on the lower half of a topic's wake
 * word, and membarrier(2). All functions may be called on any thread; only the two sleeps block.
 */
#ifndef AE_RING_WAKE_H
#define AE_RING_WAKE_H

#include <aether/detail/atomic.h>
#include <stdbool.h>

/* The longest sleep. A hostile peer or a publisher killed between commit and wake, delays sleepers by at most this. */
#define AE_WAKE_SLEEP_NS 250000000ull
/* The longest sleep while membarrier(2) doesn't reach a publisher, which therefore may not have seen the note. */
#define AE_WAKE_UNFENCED_SLEEP_NS 1000000u

/* Wakes all sleepers on the word, also in processes that map it elsewhere. Doesn't change the word. */
void ae_wake_futex(const ae_u64 *word);

/* Raises the word by one and wakes all sleepers on it. */
void ae_wake_all(ae_u64 *word);

/*
 * Sleeps until the word isn't `value` any more, the word's sleepers are woken, or ns nanoseconds are over: returns
 * true. False: a signal came.
 */
bool ae_wake_sleep(const ae_u64 *word, uint64_t value, uint64_t ns);

/* One of several words to sleep on, and the value that it must have. It is the kernel's struct futex_waitv. */
struct ae_wake_entry {
    uint64_t value, address;
    uint32_t flags, reserved;
};

#define AE_WAKE_ENTRIES_MAX 128u /* the kernel's limit */

/* Returns the entry of a word and its value. */
struct ae_wake_entry ae_wake_entry(const ae_u64 *word, uint64_t value);

/*
 * Sleeps until one of the words hasn't its value any more, one word's sleepers are woken, or ns nanoseconds are over:
 * returns 1. An address that isn't mapped ends the sleep, too. 0: a signal came. -ENOSYS: the kernel or a sandbox
 * doesn't allow it, and it hasn't slept.
 */
int ae_wake_sleep_any(const struct ae_wake_entry *entries, unsigned count, uint64_t ns);

/* Registers this process for ae_wake_barrier(). False: the kernel or a sandbox doesn't allow it. */
bool ae_wake_register(void);

/* True: since the call every running thread of every registered process has executed a full fence. False: it failed. */
bool ae_wake_barrier(void);

#endif
