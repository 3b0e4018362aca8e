/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wake.h - the system calls of sleeping and waking: futex(2) on the lower half of a topic's wake word, and
 * membarrier(2).
 */
#ifndef AE_RING_WAKE_H
#define AE_RING_WAKE_H

#include <aether/detail/atomic.h>
#include <stdbool.h>

/* Wakes all that sleep on the word; any mapping of it will do. */
void ae_wake_futex(const ae_u64 *word);

/* Raises the word by one, whoever wants it, and wakes all. */
void ae_wake_all(ae_u64 *word);

/*
 * Sleeps until the word isn't `value` any more, somebody wakes, or ns nanoseconds are over: true. False: a signal came.
 */
bool ae_wake_sleep(const ae_u64 *word, uint64_t value, uint64_t ns);

/* Registers this process for ae_wake_barrier(). False: the kernel or a sandbox doesn't allow it. */
bool ae_wake_register(void);

/* Every registered process's running threads have executed a full fence when this returns true. */
bool ae_wake_barrier(void);

#endif
