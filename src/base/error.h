/* SPDX-License-Identifier: Apache-2.0 */
/* error.h - an error is a negative errno code and one line of text, which aether_errmsg() keeps for each thread. */
#ifndef AE_BASE_ERROR_H
#define AE_BASE_ERROR_H

/*
 * Stores the text as this thread's aether_errmsg() and returns code, so that one statement sets and returns an error:
 *     return ae_fail(-EINVAL, "topic name is empty: use 1 to 255 bytes");
 * If the text ends with strerror(-code), a remedy is appended, so that all errors of system calls name it: the limit
 * that a user can raise, or what to compare. So a text says what was tried, with what, and ends with the description:
 *     return ae_fail(-errno, "socket %s: %s", path, strerror(errno));
 * The text is cut after 511 bytes. Control characters become '?', so that a hostile name can't forge a second line.
 */
int ae_fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
