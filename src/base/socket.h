/* SPDX-License-Identifier: Apache-2.0 */
/*
 * socket.h - packets with file descriptors over SOCK_SEQPACKET.
 *
 * Only ae_socket_wait() blocks. The functions repeat a call that a signal interrupted (EINTR), and return -errno codes
 * without setting aether_errmsg(). They have no state: any thread may call them.
 */
#ifndef AE_BASE_SOCKET_H
#define AE_BASE_SOCKET_H

#include <stddef.h>
#include <stdint.h>

#define AE_PACKET_FDS_MAX 5

/*
 * The longest absolute path of a socket, in bytes. An address has room for one byte more, because aetherd first binds a
 * new socket to PATH~ and renames it when it listens.
 */
#define AE_SOCKET_PATH_MAX 106u

struct sockaddr_un;

/* Fills in an address. Returns its length, or -ENAMETOOLONG, or -ENOENT if the path is empty. */
int ae_socket_address(struct sockaddr_un *address, const char *path);

/*
 * Sends one packet of at least 1 byte. Never raises SIGPIPE. The caller keeps its fds. Returns 0, or -EAGAIN if the
 * socket's buffer is full, -EPIPE, -EINVAL, ...
 */
int ae_packet_send(int sock, const void *data, size_t len, const int *fds, int fd_count);

/*
 * Receives one packet and its fds. *fd_count is the room in fds on entry, and the number of received fds on return;
 * they are O_CLOEXEC and the caller's. Returns the packet's length, 0 at the end of the connection, or -EAGAIN,
 * -EMSGSIZE if the packet is longer than size, -ENFILE if not all its fds could be received. If the result is 0 or
 * negative, no fd stays open.
 */
int ae_packet_receive(int sock, void *data, size_t size, int *fds, int *fd_count);

/*
 * Blocks until the socket is readable or writable (events: POLLIN, POLLOUT), at most until deadline_ns
 * (CLOCK_MONOTONIC). Returns 0, or -ETIMEDOUT.
 */
int ae_socket_wait(int sock, short events, uint64_t deadline_ns);

/* Closes *fd if it is >= 0 and sets it to -1. */
void ae_close(int *fd);

#endif
