/* SPDX-License-Identifier: Apache-2.0 */
/* input.c - waits with ppoll(), so that a signal ends the wait and a non-blocking descriptor isn't polled in a loop. */
#include "input.h"
#include "signals.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

int input_read(int fd, void *data, size_t len, size_t *got) {
    *got = 0;
    while (cli_wait_readable(fd)) {
        const ssize_t n = read(fd, data, len);
        if (n >= 0) {
            *got = (size_t)n;
            return 0;
        }
        if (errno != EINTR && errno != EAGAIN)
            return -errno;
    }
    return -EINTR;
}

const char *input_error(int error) {
    switch (error) {
    case -EISDIR:
        return "it is a directory";
    case -EBADF:
        return "it isn't open for reading";
    default:
        return strerror(-error);
    }
}
