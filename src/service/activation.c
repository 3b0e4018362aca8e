/* SPDX-License-Identifier: Apache-2.0 */
#include "service/activation.h"
#include "base/error.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIRST_FD 3

int ae_activation_take(int *fd) {
    const char *process = getenv("LISTEN_PID");
    const char *count = getenv("LISTEN_FDS");
    int rc = 0;

    *fd = -1;
    /* The variables may have been inherited from another process, for which they were meant. */
    if (process == NULL || count == NULL || strtol(process, NULL, 10) != (long)getpid())
        return 0;
    if (strcmp(count, "1") != 0)
        rc = ae_fail(-EINVAL, "the service manager passes %s sockets ($LISTEN_FDS): configure exactly one", count);
    else if (fcntl(FIRST_FD, F_SETFD, FD_CLOEXEC) != 0 || fcntl(FIRST_FD, F_SETFL, O_NONBLOCK) != 0)
        rc = ae_fail(-errno, "descriptor %d, which $LISTEN_FDS promises: %s", FIRST_FD, strerror(errno));
    else
        *fd = FIRST_FD;
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
    return rc;
}
