/* SPDX-License-Identifier: Apache-2.0 */
#include "base/socket.h"
#include "base/clock.h"
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define NS_PER_MS 1000000ull

/* Room for the fds of one packet, aligned as the CMSG_ macros require. */
union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(AE_PACKET_FDS_MAX * sizeof(int))];
};

int ae_socket_address(struct sockaddr_un *address, const char *path) {
    const size_t len = strlen(path);

    if (len >= sizeof address->sun_path)
        return -ENAMETOOLONG;
    if (len == 0)
        return -ENOENT; /* to the kernel it would be an abstract address */
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path, len);
    return (int)(offsetof(struct sockaddr_un, sun_path) + len + 1);
}

int ae_packet_send(int sock, const void *data, size_t len, const int *fds, int fd_count) {
    struct iovec part = {.iov_len = len};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    union control control;
    ssize_t sent;

    /* The receiver couldn't distinguish an empty packet from the end of the connection. */
    if (len == 0 || fd_count < 0 || fd_count > AE_PACKET_FDS_MAX)
        return -EINVAL;
    memcpy(&part.iov_base, &data, sizeof data); /* sendmsg() only reads it, but iov_base isn't a const pointer */
    if (fd_count > 0) {
        const size_t size = (size_t)fd_count * sizeof *fds;
        memset(&control, 0, sizeof control);
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(size);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(size);
        memcpy(CMSG_DATA(header), fds, size);
    }
    do {
        sent = sendmsg(sock, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : 0;
}

/*
 * Collects the fds that came with a message. Returns how many it stored in fds. If more than `room` came, it closes the
 * others and sets *excess.
 */
static int take_fds(struct msghdr *message, int *fds, int room, bool *excess) {
    int count = 0;

    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL; header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS || header->cmsg_len < CMSG_LEN(0))
            continue;
        const size_t came = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < came; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
            if (count < room) {
                fds[count++] = fd;
            } else {
                ae_close(&fd);
                *excess = true;
            }
        }
    }
    return count;
}

int ae_packet_receive(int sock, void *data, size_t size, int *fds, int *fd_count) {
    struct iovec part = {.iov_base = data, .iov_len = size};
    union control control;
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    const int room = *fd_count;
    bool excess = false;
    ssize_t len;
    int rc;

    *fd_count = 0;
    do {
        len = recvmsg(sock, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (len < 0 && errno == EINTR);
    if (len < 0)
        return -errno;
    int count = take_fds(&message, fds, room, &excess);
    if ((message.msg_flags & MSG_TRUNC) != 0)
        rc = -EMSGSIZE;
    else if (excess || (message.msg_flags & MSG_CTRUNC) != 0)
        rc = -ENFILE;
    else
        rc = (int)len;
    if (rc <= 0) { /* 0: an empty packet can carry fds, too, and the caller expects none */
        while (count > 0)
            ae_close(&fds[--count]);
    }
    *fd_count = count;
    return rc;
}

int ae_socket_wait(int sock, short events, uint64_t deadline_ns) {
    struct pollfd entry = {.fd = sock, .events = events};

    for (;;) {
        const uint64_t now = ae_now_ns();
        const uint64_t left = now < deadline_ns ? deadline_ns - now : 0;
        const uint64_t left_ms = left / NS_PER_MS + (left % NS_PER_MS != 0); /* rounded up: never early */
        const int rc = poll(&entry, 1, left_ms < INT_MAX ? (int)left_ms : INT_MAX);
        if (rc > 0)
            return (entry.revents & POLLNVAL) != 0 ? -EBADF : 0;
        if (rc < 0 && errno != EINTR)
            return -errno;
        if (rc == 0 && left_ms < INT_MAX)
            return -ETIMEDOUT;
    }
}

void ae_close(int *fd) {
    const int saved = errno; /* a caller may close first and read the errno of an earlier error then */

    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    errno = saved;
}
