/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unreachable.h - says why aetherd can't be reached at a socket: which process, limit or owner is the cause, and what
 * to do. Nothing blocks. Each function sets aether_errmsg() and returns the code, unless it says something else.
 */
#ifndef AE_CLIENT_UNREACHABLE_H
#define AE_CLIENT_UNREACHABLE_H

#include <stdint.h>

/*
 * connect() has failed with code; -ETIMEDOUT: the backlog was full for patience_ns. *passes_ns: for how long since the
 * first attempt that may pass by itself. That is patience_ns while an aetherd starts, which has its lock and doesn't
 * listen yet; a second while one runs whose socket was removed, because it makes it again; else 0.
 */
int ae_unreachable(const char *path, int code, uint64_t patience_ns, uint64_t *passes_ns);

/* socket() has failed with code. */
int ae_unreachable_socket(const char *path, int code);

/* Does the daemon of this uid, to whose socket there is a connection, serve this program? 0, or -EACCES with a text. */
int ae_unreachable_foreign(const char *path, uint32_t uid);

/* The command that starts an aetherd at the socket, such as "aetherd --socket /run/a.sock". Returns command. */
#define AE_START_SIZE 128
const char *ae_unreachable_start(char command[AE_START_SIZE], const char *path);

#endif
