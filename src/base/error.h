/* SPDX-License-Identifier: Apache-2.0 */
/* error.h - a fault is a negative errno code and one line of text, kept per thread for aether_errmsg(). */
#ifndef AE_BASE_ERROR_H
#define AE_BASE_ERROR_H

/*
 * Stores the text as this thread's aether_errmsg() (cut at 511 bytes; control characters become '?', so hostile names
 * can't forge a second line) and returns code, so that a fault is raised and returned in one statement:
 *     return ae_fail(-EINVAL, "topic name is empty: use 1 to 255 bytes");
 */
int ae_fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
