/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connect.h - connect to aetherd.
 *
 * The connection carries the requests to open, close, create and remove. Messages never pass through it. If aetherd
 * stops or is killed, open publishers and subscribers keep working. The next request connects again by itself to the
 * aetherd that listens then.
 *
 * Blocking: a call makes one request, and waits for its answer for at most 5 seconds, or answer_ns. If it has to connect
 * again, it waits for at most as long to connect, and makes further requests: one to identify itself, and one for each
 * handle that was closed while no daemon ran. A signal doesn't end the wait. No call raises SIGPIPE.
 */
#ifndef AETHER_CONNECT_H
#define AETHER_CONNECT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * One program's connection to aetherd. Several threads may use one client at the same time: a lock inside lets one call
 * after the other make its requests.
 */
typedef struct aether_client aether_client;

struct aether_publisher; /* publish.h */
struct aether_stall;     /* publish.h */

/*
 * Is called when a publisher of the client has found no room for `stall_after_ns`, and again after twice that time,
 * four times, and so on, as long as it goes on trying: in aether_publish_wait(), in another call that waits, or in a
 * loop on AETHER_FULL. *stall, which says whom it waits for, is valid until the handler returns. To fill it in takes
 * some 50 ms at most, whatever state aetherd is in; if no program can be named until then, *stall has the rest.
 *
 * It runs in the thread that uses the publisher, inside of that call, and no lock is held: it may open and close other
 * handles of the client, and take its time. Of this publisher it may only call aether_publisher_stall(),
 * aether_publisher_subscribers() and aether_publisher_next(); it mustn't disconnect the client.
 */
typedef void aether_stall_handler(void *context, struct aether_publisher *publisher, const struct aether_stall *stall);

/*
 * Zero-initialise, then set what you need: { .name = "quotes" }. Both texts are NUL-terminated; they are copied, and
 * are the caller's again when aether_connect() returns.
 */
typedef struct aether_connect_options {
    /* aetherd's socket, 1 to 106 bytes; NULL: the path that aether_default_socket() writes */
    const char *socket_path;
    /* the client's name in `aether-cli topic info`; NULL: the program's file name. Bytes after the 63rd are left out */
    const char *name;
    aether_stall_handler *on_stall; /* NULL: none */
    void *stall_context;            /* passed to on_stall */
    uint64_t stall_after_ns;        /* 0: one second */
    /*
     * how long aether_connect() waits for a daemon that isn't there yet, in nanoseconds; 0: not at all, AETHER_FOREVER:
     * without end. It sleeps meanwhile, and connects as soon as the daemon listens
     */
    uint64_t wait_ns;
    /* how long each answer of a daemon that is there is waited for, as of one that is stopped; 0: 5 seconds */
    uint64_t answer_ns;
} aether_connect_options;

/*
 * Connects to aetherd and stores a new client in *client, which aether_disconnect() frees. options may be NULL.
 *
 * Blocks for at most about 10 seconds, 5 to connect and 5 for the answer, or twice answer_ns. A daemon that runs answers in microseconds. With
 * wait_ns, a program may be started before its daemon: while none listens, this call waits for wait_ns before it fails
 * as it would fail without. A daemon that is just starting is waited for in any case: for wait_ns or, where that is 0,
 * for 5 seconds. Other errors end the wait at once, and so does a signal that the program handles.
 *
 * Errors: -ECONNREFUSED, -ENOENT no daemon listens at the socket; -ETIMEDOUT the daemon doesn't answer; -ECONNRESET the
 *         daemon ended before it answered; -EINTR a signal came while it waited for a daemon; -EPROTO the peer isn't
 *         aetherd, or is of a release with another protocol;
 *         -EACCES the socket or the daemon belongs to another user; -ENAMETOOLONG the socket's path is too long;
 *         -EUSERS the daemon has as many clients as it may; -ENOSPC /dev/shm has no room; -EMFILE, -ENFILE no
 *         descriptor is left; -ENOMEM.
 */
int aether_connect(aether_client **client, const aether_connect_options *options);

/*
 * Closes the client and frees it. Publishers and subscribers that are still open are closed, too: their handles, views
 * and loans are invalid afterwards. NULL is allowed.
 *
 * Subscribers leave their notifiers and waitsets, which are closed before or afterwards. While this call runs, no other
 * thread may use the client or one of its handles. Doesn't wait for aetherd.
 */
void aether_disconnect(aether_client *client);

/*
 * Writes the path of the default socket to path, NUL-terminated, at most size bytes: $AETHER_SOCKET if that is set and
 * not empty; else $XDG_RUNTIME_DIR/aether/aetherd.sock if that is; else /tmp/aether-UID/aetherd.sock. Returns 0.
 * Creates nothing and makes no connection. Reads the environment, so no other thread may change that meanwhile.
 *
 * Errors: -ENAMETOOLONG the path has more than 106 bytes, or doesn't fit in size bytes.
 */
int aether_default_socket(char *path, size_t size);

/* What aetherd answers to aether_ping(). */
typedef struct aether_pong {
    uint32_t pid;           /* aetherd's, in its own pid namespace */
    uint32_t uid;           /* aetherd's */
    uint64_t round_trip_ns; /* from a request to its answer */
    char version[24];       /* aetherd's release, "MAJOR.MINOR.PATCH"; NUL-terminated */
    char socket_path[108];  /* the socket's absolute path, as aetherd knows it; NUL-terminated */
} aether_pong;

/*
 * Asks whether an aetherd runs and answers, and fills in *pong. options may be NULL: its socket_path, wait_ns and
 * answer_ns are used as by aether_connect(), so this also waits until a daemon is ready. Leaves nothing behind: the
 * program becomes no client, and `aether-cli clients` doesn't show it.
 *
 * Returns 0. Blocks and fails as aether_connect(): -ENOENT and -ECONNREFUSED mean that no daemon runs, -ETIMEDOUT that
 * one runs and doesn't answer, as one that is stopped: within wait_ns or, where that is 0, within answer_ns. -EBADMSG:
 * one runs, whose objects were removed from /dev/shm.
 */
int aether_ping(const aether_connect_options *options, aether_pong *pong);

/*
 * Asks aetherd to stop, as SIGTERM does. Topics without an open publisher or subscriber end with it; the next aetherd
 * takes the others over, with their messages.
 *
 * Returns 0 when aetherd has accepted the request, which is before it ends. Blocks as every request does, see above.
 * Errors: as aether_connect().
 */
int aether_shutdown(aether_client *client);

#ifdef __cplusplus
}
#endif
#endif
