/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source.h - finds the objects of the aetherd behind a socket, and opens them read-only.
 *
 * An object is opened by its name in /dev/shm. That needs no aetherd. It fails in a program that has another /dev/shm
 * than aetherd, as in a container, and where the socket is seen under another name, which is a part of each object's
 * name. So when an instance is opened, the aetherd at the socket is asked for its registry (LOOK). If that answers, its
 * registry is the instance's: the objects have the names that the answer states, or if these lead elsewhere, aetherd is
 * asked for each object. If no aetherd answers, there are only the names of the socket's path.
 *
 * A source is used by one thread at a time. Functions with errors return -errno codes and set aether_errmsg(). Only
 * requests to aetherd block, each for at most the patience that ae_source_init() states. After one that wasn't answered
 * in that time all others fail at once for a second more. What aetherd passes isn't trusted: an object must be shared
 * memory, of the size that the caller states, and the object that was asked for.
 */
#ifndef AE_CLIENT_SOURCE_H
#define AE_CLIENT_SOURCE_H

#include "client/look.h"
#include "shm/registry.h"
#include "shm/totals.h"
#include <stdbool.h>

struct ae_object_source {
    struct ae_instance instance; /* where the objects' names and the lock file are known */
    bool by_request;             /* names lead to no objects, or to others' */
    bool renamed;    /* aetherd knows its socket by another path: whether it runs is found out by a connection */
    bool other_pids; /* aetherd's pids, and those that it states, are of a pid namespace that isn't this program's */
    struct ae_control control; /* for requests, at the socket's path as the program sees it */
    uint64_t silent_ns;        /* CLOCK_MONOTONIC: no request is sent before, because one wasn't answered */
};

#define AE_SOURCE_PATIENCE_NS 1000000000ull /* in which an aetherd that runs answers */

/*
 * Resolves socket_path (NULL: aether_default_socket()) and contacts nothing. patience_ns: for a request; 0: aetherd is
 * never asked, and there are only the names of the socket's path. Call ae_source_close() afterwards, also after an
 * error.
 * Errors: those of ae_instance_init().
 */
int ae_source_init(struct ae_object_source *source, const char *socket_path, uint64_t patience_ns);
void ae_source_close(struct ae_object_source *source);

/*
 * Finds the instance and maps its registry, which the caller closes. Errors: -ENOENT no aetherd is there, and none has
 * left anything; -EACCES; -EPROTO another layout version; -EBADMSG it is damaged, unfinished, or aetherd's answer is
 * wrong; -ETIMEDOUT; and other errors of sockets and mappings.
 */
int ae_source_registry(struct ae_object_source *source, struct ae_registry *registry);

/*
 * If there is another registry than `registry` by now, maps that one into *other and returns 1; else 0, also if that
 * can't be found out now. Errors are about the new registry.
 */
int ae_source_follow(struct ae_object_source *source, const struct ae_registry *registry, struct ae_registry *other);

/*
 * Opens the object of a kind (AE_LOOK_LOG, AE_LOOK_CURSORS, AE_LOOK_STATS), which must have `bytes` bytes (0: any
 * number). id: of the topic or client. Returns an fd, which the caller closes. Errors: -ENOENT; -EACCES; -EBADMSG;
 * -EMFILE ...; and if aetherd is asked, -ETIMEDOUT, -ENOTCONN and others, all of which may pass.
 */
int ae_source_open(struct ae_object_source *source, uint32_t kind, uint64_t id, uint64_t bytes);

/* Stores in *allocated how much memory the object has. Errors as above. */
int ae_source_allocated(struct ae_object_source *source, uint32_t kind, uint64_t id, uint64_t bytes,
                        uint64_t *allocated);

/* Maps the totals that there are now. Errors as above, and -EPROTO: another layout version. */
int ae_source_totals(struct ae_object_source *source, uint32_t topics, struct ae_totals *totals);

/* Are there other totals by now? 0 also if that can't be found out. */
int ae_source_totals_replaced(struct ae_object_source *source, const struct ae_totals *totals);

/* Does an aetherd run at the socket? It may be stopped. */
bool ae_source_running(struct ae_object_source *source);

#endif
