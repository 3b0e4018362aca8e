/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wake.h - the system calls of sleeping and waking: futex(2) and futex_waitv(2) on the lower half of a topic's wake
 * word, and membarrier(2).
 */
#ifndef AE_RING_WAKE_H
#define AE_RING_WAKE_H

#include <aether/detail/atomic.h>
#include <stdbool.h>

#define AE_WAKE_SLEEP_NS 250000000ull /* longest sleep: bounds what a lie or a death in the wrong moment can cost */
#define AE_WAKE_UNFENCED_SLEEP_NS 1000000u /* the same where a publisher may not have seen the note */

/* Wakes all that sleep on the word; any mapping of it will do. */
void ae_wake_futex(const ae_u64 *word);

/* Raises the word by one, whoever wants it, and wakes all. */
void ae_wake_all(ae_u64 *word);

/*
 * Sleeps until the word isn't `value` any more, somebody wakes, or ns nanoseconds are over: true. False: a signal came.
 */
bool ae_wake_sleep(const ae_u64 *word, uint64_t value, uint64_t ns);

/* One of several words to sleep on, and the value that it must have. The kernel's struct futex_waitv. */
struct ae_wake_entry {
    uint64_t value, address;
    uint32_t flags, reserved;
};

#define AE_WAKE_ENTRIES_MAX 128u /* the kernel's limit */

struct ae_wake_entry ae_wake_entry(const ae_u64 *word, uint64_t value);

/*
 * Sleeps until one of the words isn't its value any more, somebody wakes on one of them, or ns nanoseconds are over: 1.
 * An address that isn't mapped ends the sleep, too. 0: a signal came. -ENOSYS: the kernel or a sandbox doesn't have it;
 * it hasn't slept.
 */
int ae_wake_sleep_any(const struct ae_wake_entry *entries, unsigned count, uint64_t ns);

/* Registers this process for ae_wake_barrier(). False: the kernel or a sandbox doesn't allow it. */
bool ae_wake_register(void);

/* Every registered process's running threads have executed a full fence when this returns true. */
bool ae_wake_barrier(void);

#endif
