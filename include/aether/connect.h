/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connect.h - reach aetherd.
 *
 * The connection is used when a handle is opened or closed and is silent otherwise. Messages never pass through it:
 * when aetherd stops or is killed, open publishers and subscribers go on, and the next open or close connects to its
 * successor by itself.
 */
#ifndef AETHER_CONNECT_H
#define AETHER_CONNECT_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct aether_client aether_client;

/* Zero-initialise, then set what you need: { .name = "quotes" }. */
typedef struct aether_connect_options {
    const char *socket_path; /* NULL: aether_default_socket(). At most 106 bytes */
    const char *name;        /* shown by `aether-cli topic info`; NULL: the program's name. Cut after 63 bytes */
} aether_connect_options;

/*
 * Connects to aetherd and stores a new client in *client. options may be NULL. Blocks for at most 5 seconds.
 *
 * Faults: -ECONNREFUSED, -ENOENT no daemon listens there; -ETIMEDOUT it doesn't answer; -EPROTO what answers isn't
 *         aetherd or speaks another version; -EACCES the socket belongs to another user; -ENAMETOOLONG; -EUSERS the
 *         daemon's client limit; -ENOMEM, -EMFILE.
 */
int aether_connect(aether_client **client, const aether_connect_options *options);

/*
 * Closes the client. Close its publishers and subscribers first; those still open are closed by this call and their
 * handles are invalid afterwards. NULL is allowed. Blocks for at most 5 seconds.
 */
void aether_disconnect(aether_client *client);

/*
 * Writes the path of the socket that is used when none is named: $AETHER_SOCKET if set and not empty, else
 * $XDG_RUNTIME_DIR/aether/aetherd.sock, else /tmp/aether-UID/aetherd.sock. Creates nothing.
 * Faults: -ENAMETOOLONG if it doesn't fit in a socket address (106 bytes) or in size bytes.
 */
int aether_default_socket(char *path, size_t size);

/*
 * Asks the daemon to stop, as SIGTERM does. Topics that nobody is attached to end with it; others are adopted by its
 * successor.
 */
int aether_shutdown(aether_client *client);

#ifdef __cplusplus
}
#endif
#endif
