/* SPDX-License-Identifier: Apache-2.0 */
/*
 * error.h - what calls return.
 *
 *   < 0   an error: a negative errno code (-EMSGSIZE, -ENOSPC, ...). aether_errmsg() has one line of text for people.
 *   0     done
 *   > 0   an ordinary outcome that the function documents: a number of messages, AETHER_FULL
 *
 * errno itself has no meaning after a call. A function that opens a handle stores it only if it succeeds. The comment
 * of a function lists the errors to expect; a system call that fails in another way passes its own code on, so test for
 * rc < 0 and not for single codes.
 */
#ifndef AETHER_ERROR_H
#define AETHER_ERROR_H

#include <errno.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define AETHER_VERSION_MAJOR 0
#define AETHER_VERSION_MINOR 6
#define AETHER_VERSION_PATCH 0

/*
 * aether_publish*(), aether_burst_publish(), aether_loan_take(), aether_loan_commit(): no room now. Nothing was
 * published; retry. Causes:
 *
 *   1. A reliable subscriber still holds the slot, or the lane bytes, that are needed.
 *   2. A publisher that was stopped or killed in the middle of a publish left its claim unfinished, and the ring has
 *      wrapped round to it. Reliable subscribers also stop at the unfinished message, and hold the lane bytes of all
 *      messages behind it.
 *   3. AETHER_CLAIM_TRIES claims in a row were lost to other publishers.
 *
 * It isn't an error: aether_errmsg() has no text for it.
 */
#define AETHER_FULL 1

/* As a timeout in nanoseconds: wait without a time limit. */
#define AETHER_FOREVER UINT64_MAX

/*
 * Returns the text of the last error on the calling thread: what went wrong, where, and what would be right.
 *
 * The text is one line of at most 511 bytes, without a newline and without control characters. It is never NULL, and ""
 * if the thread had no error yet. Each thread has its own. A successful call doesn't clear it,
 * but may replace it.
 * The library owns the text. It is valid until the thread's next call into the library: copy it to keep it.
 * Wait-free.
 */
const char *aether_errmsg(void);

/*
 * Returns the version of the library that is loaded, as "MAJOR.MINOR.PATCH"; AETHER_VERSION_* are those of the headers
 * that the program was compiled with. The text has static storage. Wait-free.
 */
const char *aether_version(void);

#ifdef __cplusplus
}
#endif
#endif
