/* SPDX-License-Identifier: Apache-2.0 */
/*
 * error.h - what calls return.
 *
 *   < 0   a fault: a negative errno code (-EMSGSIZE, -ENOSPC, ...). aether_errmsg() has one line for people.
 *   0     done
 *   > 0   done, or an ordinary outcome that the call documents: a number of messages, AETHER_FULL
 */
#ifndef AETHER_ERROR_H
#define AETHER_ERROR_H

#include <errno.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define AETHER_VERSION_MAJOR 0
#define AETHER_VERSION_MINOR 4
#define AETHER_VERSION_PATCH 0

/*
 * aether_publish*(), aether_loan_*(): not now. Nothing happened; try again. A reliable subscriber hasn't released what
 * lies there; or a publisher that was stopped or killed in the middle of a publish hasn't finished it, one whole ring
 * later, or one lane later, as reliable subscribers wait there; or other publishers won every one of AETHER_CLAIM_TRIES
 * tries to claim a sequence.
 */
#define AETHER_FULL 1

/* As a timeout: wait without end. */
#define AETHER_FOREVER UINT64_MAX

/*
 * The text of the last fault on this thread: what went wrong, where, and what would be right. One line without a
 * newline, never NULL; "" if there was none. Owned by the library; valid until the next call on this thread that
 * returns a fault.
 */
const char *aether_errmsg(void);

/* The library's version, "0.1.0". Static storage. */
const char *aether_version(void);

#ifdef __cplusplus
}
#endif
#endif
