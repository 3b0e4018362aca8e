/* SPDX-License-Identifier: Apache-2.0 */
/*
 * socket.h - packets with file descriptors over SOCK_SEQPACKET.
 *
 * All functions are non-blocking, retry EINTR by themselves, and return -errno codes without setting aether_errmsg().
 */
#ifndef AE_BASE_SOCKET_H
#define AE_BASE_SOCKET_H

#include <stddef.h>
#include <stdint.h>

#define AE_PACKET_FDS_MAX 4

/* Bytes of a socket's absolute path: one less than an address takes, for the name under which a new socket is made. */
#define AE_SOCKET_PATH_MAX 106u

/* Fills a sockaddr_un; returns its length, or -ENAMETOOLONG; -ENOENT: the path is empty. */
struct sockaddr_un;
int ae_socket_address(struct sockaddr_un *address, const char *path);

/*
 * Sends one packet, which isn't empty; never raises SIGPIPE. Returns 0, or -EAGAIN, -EPIPE, ... The caller keeps its
 * fds.
 */
int ae_packet_send(int sock, const void *data, size_t len, const int *fds, int fd_count);

/*
 * Receives one packet. *fd_count: in, room in fds; out, fds received, all O_CLOEXEC and owned by the caller. Returns
 * its length; 0 at the end of the connection; -EAGAIN; -EMSGSIZE: it was cut because it exceeds size; -ENFILE: fds were
 * cut (no fd is left open in either case).
 */
int ae_packet_receive(int sock, void *data, size_t size, int *fds, int *fd_count);

/*
 * Waits until the socket is readable (or writable, events = POLLIN/POLLOUT) or deadline_ns (CLOCK_MONOTONIC). 0, or
 * -ETIMEDOUT.
 */
int ae_socket_wait(int sock, short events, uint64_t deadline_ns);

/* Closes *fd if it is >= 0 and sets it to -1. */
void ae_close(int *fd);

#endif
