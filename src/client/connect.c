/* SPDX-License-Identifier: Apache-2.0 */
/* connect.c - connects and disconnects a client, and stops aetherd. */
#include "base/clock.h"
#include "base/error.h"
#include "base/export.h"
#include "base/histogram.h"
#include "base/path_watch.h"
#include "client/client.h"
#include "client/grants.h"
#include "shm/names.h"
#include <aether/connect.h>
#include <aether/error.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_MS 1000000u
#define LONGEST_NAP_MS 250 /* between two attempts: not each change of a path can be noticed */

/* Could a daemon that starts later be connected to? */
static bool is_absent(int rc) {
    return rc == -ENOENT || rc == -ECONNREFUSED || rc == -ECONNRESET;
}

/* Sleeps until something changes at the socket's path, for a time that is bounded. 0, or -EINTR. */
static int nap(struct ae_path_watch *watch, uint64_t until_ns) {
    struct pollfd entry = {.fd = watch->fd, .events = POLLIN};
    const uint64_t end = ae_saturating_add(ae_now_ns(), (uint64_t)LONGEST_NAP_MS * NS_PER_MS);

    until_ns = until_ns < end ? until_ns : end;
    for (uint64_t now; (now = ae_now_ns()) < until_ns;) {
        const int rc = poll(&entry, 1, (int)((until_ns - now + NS_PER_MS - 1) / NS_PER_MS));
        if (rc < 0 && errno == EINTR)
            return -EINTR;
        if (rc <= 0)
            continue;
        const int changed = ae_path_watch_read(watch);
        if (changed > 0)
            return 0;
        if (changed < 0) { /* from now on only the time ends the naps */
            ae_path_watch_close(watch);
            entry.fd = -1;
        }
    }
    return 0;
}

/*
 * Connects, and waits for a daemon until `until_ns`. The watch begins before the second attempt, so that a daemon that
 * starts between an attempt and the nap after it ends that nap.
 */
static int connect_until(struct aether_client *client, uint64_t until_ns) {
    int rc = ae_client_request(client, NULL, 0, AE_CONTROL_ONCE);
    struct ae_path_watch watch;

    if (!is_absent(rc) || client->control.socket_path[0] == '\0' || ae_now_ns() >= until_ns)
        return rc;
    (void)ae_path_watch_open(&watch, client->control.socket_path); /* without a watch there are naps */
    while (is_absent(rc = ae_client_request(client, NULL, 0, AE_CONTROL_ONCE)) && ae_now_ns() < until_ns) {
        if (nap(&watch, until_ns) == -EINTR) {
            rc = ae_fail(-EINTR, "a signal came while no aetherd was at %s", client->control.socket_path);
            break;
        }
    }
    ae_path_watch_close(&watch);
    return rc;
}

AE_EXPORT int aether_connect(aether_client **out, const aether_connect_options *options) {
    const char *path = options != NULL ? options->socket_path : NULL;
    const char *name = options != NULL && options->name != NULL ? options->name : program_invocation_short_name;
    struct aether_client *client;
    char standard[sizeof client->control.socket_path];
    int rc;

    if (path == NULL) {
        if ((rc = aether_default_socket(standard, sizeof standard)) != 0)
            return rc;
        path = standard;
    }
    if (strlen(path) > AE_SOCKET_PATH_MAX)
        return ae_fail(-ENAMETOOLONG, "socket path '%s' is too long: at most %u bytes", path, AE_SOCKET_PATH_MAX);
    client = calloc(1, sizeof *client);
    if (client == NULL)
        return ae_fail(-ENOMEM, "out of memory");
    pthread_mutex_init(&client->lock, NULL);
    ae_control_init(&client->control, path, name);
    rc = connect_until(client, ae_saturating_add(ae_now_ns(), options != NULL ? options->wait_ns : 0));
    if (rc != 0) {
        aether_disconnect(client);
        return rc;
    }
    *out = client;
    return 0;
}

AE_EXPORT void aether_disconnect(aether_client *client) {
    if (client == NULL)
        return;
    ae_grants_drop(client);
    ae_control_free(&client->control);
    pthread_mutex_destroy(&client->lock);
    free(client);
}

AE_EXPORT int aether_shutdown(aether_client *client) {
    struct ae_msg msg = {.type = AE_MSG_SHUTDOWN};

    return ae_client_ask(client, &msg);
}
