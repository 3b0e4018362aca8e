/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unreachable.h - says why aetherd can't be reached at a socket: which process, limit or owner is the cause, and what to
 * do. Nothing blocks. Each function sets aether_errmsg() and returns the code, unless it says something else.
 */
#ifndef AE_CLIENT_UNREACHABLE_H
#define AE_CLIENT_UNREACHABLE_H

#include <stdint.h>

/* connect() has failed with code; -ETIMEDOUT: the backlog was full for waited_ns. */
int ae_unreachable(const char *path, int code, uint64_t waited_ns);

/* socket() has failed with code. */
int ae_unreachable_socket(const char *path, int code);

/* Does the daemon of this uid, to whose socket there is a connection, serve this program? 0, or -EACCES with a text. */
int ae_unreachable_foreign(const char *path, uint32_t uid);

#define AE_UNREACHABLE_TIME 24

/* Writes how long was waited ("a second", "5 seconds", "0.05 seconds") to text and returns text. */
const char *ae_unreachable_time(char text[AE_UNREACHABLE_TIME], uint64_t ns);

#endif
