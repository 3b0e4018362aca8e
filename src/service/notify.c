/* SPDX-License-Identifier: Apache-2.0 */
#include "service/notify.h"
#include "base/error.h"
#include "base/socket.h"
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

int ae_notify(const char *state) {
    const char *name = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (name == NULL || name[0] == '\0')
        return 0;
    const size_t len = strlen(name);
    if ((name[0] != '/' && name[0] != '@') || len >= sizeof address.sun_path)
        return ae_fail(-EINVAL, "$NOTIFY_SOCKET '%s' isn't a path or an abstract name of at most %zu bytes", name,
                       sizeof address.sun_path - 1);
    memcpy(address.sun_path, name, len);
    if (name[0] == '@')
        address.sun_path[0] = '\0';
    /* Without a NUL at the end: an abstract name must not have one, and a path need not. */
    const socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const ssize_t sent = sock < 0 ? -1
                                  : sendto(sock, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT,
                                           (const struct sockaddr *)&address, size);
    const int rc = sent < 0 ? ae_fail(-errno, "$NOTIFY_SOCKET %s: %s", name, strerror(errno)) : 0;
    ae_close(&sock);
    return rc;
}
