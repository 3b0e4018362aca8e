/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/wake.h"
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000ull

void ae_wake_futex(const ae_u64 *word) {
    /* Its only fault would be an address that isn't mapped. */
    (void)syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void ae_wake_all(ae_u64 *word) {
    (void)ae_fetch_add(word, 1);
    ae_wake_futex(word);
}

bool ae_wake_sleep(const ae_u64 *word, uint64_t value, uint64_t ns) {
    const struct timespec span = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};

    /* The futex is the word's lower half: little-endian. */
    return syscall(SYS_futex, word, FUTEX_WAIT, (uint32_t)value, &span, NULL, 0) == 0 || errno != EINTR;
}

bool ae_wake_register(void) {
    return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) == 0;
}

bool ae_wake_barrier(void) {
    return syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0) == 0;
}
