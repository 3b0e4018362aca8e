/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/wake.h"
#include "base/clock.h"
#include "base/export.h"
#include "ring/publisher.h"
#include "ring/stats.h"
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000ull

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449 /* younger than some headers; the same on every architecture that Aether knows */
#endif
#ifndef FUTEX_32
#define FUTEX_32 2
#endif

void ae_wake_futex(const ae_u64 *word) {
    /* The only possible error is an address that isn't mapped. */
    (void)syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void ae_wake_all(ae_u64 *word) {
    (void)ae_fetch_add(word, 1);
    ae_wake_futex(word);
}

bool ae_wake_sleep(const ae_u64 *word, uint64_t value, uint64_t ns) {
    const struct timespec span = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};

    /* On a little-endian machine the word's lower half, which is the futex, is at the word's address. */
    return syscall(SYS_futex, word, FUTEX_WAIT, (uint32_t)value, &span, NULL, 0) == 0 || errno != EINTR;
}

struct ae_wake_entry ae_wake_entry(const ae_u64 *word, uint64_t value) {
    return (struct ae_wake_entry){.value = (uint32_t)value, .address = (uintptr_t)word, .flags = FUTEX_32};
}

int ae_wake_sleep_any(const struct ae_wake_entry *entries, unsigned count, uint64_t ns) {
    const uint64_t end = ae_now_ns() + ns;
    const struct timespec until = {.tv_sec = (time_t)(end / NS_PER_S), .tv_nsec = (long)(end % NS_PER_S)};

    if (syscall(SYS_futex_waitv, entries, count, 0, &until, CLOCK_MONOTONIC) >= 0)
        return 1;
    switch (errno) {
    case EAGAIN: /* a word had another value */
    case ETIMEDOUT:
    case EFAULT:
        return 1;
    case EINTR:
        return 0;
    default:
        return -ENOSYS;
    }
}

bool ae_wake_register(void) {
    return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) == 0;
}

bool ae_wake_barrier(void) {
    return syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0) == 0;
}

/*
 * Called when the note in `want` isn't older than the wake word as this publisher knows it. The note is loaded before
 * the word, so an honest note is never ahead of the word; a note that is ahead comes from a hostile peer and wakes
 * nothing.
 *
 * Z3 acq_rel, pairs Z4 (sleep): the word is raised before the wake. So a subscriber that goes to sleep with the old
 * word between the two doesn't fall asleep.
 */
AE_EXPORT void aether_detail_wake(aether_publisher *handle) {
    struct ae_publisher *p = ae_publisher_of(handle);
    const uint64_t want = ae_load_acquire(handle->want), word = ae_load_acquire(&p->log->wake.wake);

    if ((int64_t)(want - word) > 0)
        return;
    handle->wake = word;
    if (want != word)
        return;
    if (ae_cas(&p->log->wake.wake, word, word + 1)) { /* else another publisher has raised it, and wakes the sleepers */
        ae_wake_futex(&p->log->wake.wake);
        ae_store_relaxed(&p->stats->wakes, ++p->wakes);
    }
    handle->wake = word + 1;
    /* Where subscribers sleep, messages are rare: the next one may have to be stamped, and the next call may be far. */
    ae_stamp_review(p);
    ae_stats_store_publisher(p);
}
