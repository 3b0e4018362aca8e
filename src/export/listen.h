/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listen.h - where aether-metrics listens: a port of a numeric address, or a Unix socket.
 *
 * One thread uses an address. ae_listen_open() may block for the file system; nothing else blocks.
 */
#ifndef AE_EXPORT_LISTEN_H
#define AE_EXPORT_LISTEN_H

#include "base/socket.h"
#include <stdbool.h>
#include <sys/socket.h>

#define AE_LISTEN_TEXT_MAX (5 + AE_SOCKET_PATH_MAX)

struct ae_listen {
    struct sockaddr_storage address; /* of a port */
    socklen_t length;
    char path[AE_SOCKET_PATH_MAX + 1]; /* of a Unix socket; "": it is a port */
    bool remote;                       /* other machines can reach it */
    int fd, lock;                      /* -1: not open. The lock belongs to a Unix socket */
};

/* Reads "ADDRESS:PORT", "[ADDRESS]:PORT" for IPv6, or "unix:PATH". 0, or -EINVAL with a text. */
int ae_listen_parse(struct ae_listen *listen, const char *text);

/*
 * Binds and listens; listen->fd is non-blocking. A Unix socket has mode 0660 and appears when it can be connected to; a
 * socket that nobody listens at is replaced. Returns 0. Errors: -EALREADY another aether-metrics listens at this Unix
 * socket; -EADDRINUSE another program does, or at the port; -EEXIST the path is something else than a socket; and
 * others.
 */
int ae_listen_open(struct ae_listen *listen);

/* Closes it and removes the Unix socket. Does nothing if it isn't open. */
void ae_listen_close(struct ae_listen *listen);

/* Writes "http://127.0.0.1:9477/", with the port that the kernel chose if it was 0, or "unix:PATH". Returns text. */
#define AE_LISTEN_URL_SIZE 128
char *ae_listen_url(const struct ae_listen *listen, char text[AE_LISTEN_URL_SIZE]);

/*
 * May a request with this header Host be answered? Only names that nobody else can make resolve to this server are
 * admitted: localhost, loopback addresses, the address of the listener, any numeric address if that is the address of
 * all interfaces, and any text on a Unix socket. The port doesn't matter.
 */
bool ae_listen_admits(const struct ae_listen *listen, const char *host);

#endif
