/* SPDX-License-Identifier: Apache-2.0 */
/* connect.c - connects and disconnects a client, asks whether aetherd answers, and stops it. */
#include "base/clock.h"
#include "base/error.h"
#include "base/export.h"
#include "base/histogram.h"
#include "client/await.h"
#include "client/client.h"
#include "client/grants.h"
#include "client/stall.h"
#include "client/look.h"
#include "shm/names.h"
#include "shm/registry_layout.h"
#include <aether/connect.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The path that the options state, or the default. */
static int socket_path(const aether_connect_options *options, char standard[AE_SOCKET_PATH_MAX + 1],
                       const char **path) {
    *path = options != NULL ? options->socket_path : NULL;
    if (*path == NULL) {
        *path = standard;
        return aether_default_socket(standard, AE_SOCKET_PATH_MAX + 1);
    }
    return strlen(*path) <= AE_SOCKET_PATH_MAX
               ? 0
               : ae_fail(-ENAMETOOLONG, "socket path '%s' is too long: at most %u bytes", *path, AE_SOCKET_PATH_MAX);
}

static int connect_client(struct ae_control *control, void *unused) {
    (void)unused;
    return ae_control_run(control, NULL, 0, AE_CONTROL_ONCE);
}

AE_EXPORT int aether_connect(aether_client **out, const aether_connect_options *options) {
    const char *path;
    const char *name = options != NULL && options->name != NULL ? options->name : program_invocation_short_name;
    struct aether_client *client;
    char standard[AE_SOCKET_PATH_MAX + 1];
    int rc = socket_path(options, standard, &path);

    if (rc != 0)
        return rc;
    client = calloc(1, sizeof *client);
    if (client == NULL)
        return ae_fail(-ENOMEM, "out of memory for a client: %zu bytes", sizeof *client);
    pthread_mutex_init(&client->lock, NULL);
    ae_stall_options(client, options);
    ae_control_init(&client->control, path, name);
    if (options != NULL && options->answer_ns != 0)
        client->control.patience_ns = options->answer_ns;
    rc = ae_await(&client->control, options != NULL ? options->wait_ns : 0, connect_client, NULL);
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

/* The first request connects, and the second one is measured. */
static int ping(struct ae_control *control, void *context) {
    aether_pong *pong = context;
    ae_registry_header header = {0};
    struct ae_look look;
    uint64_t start = 0;
    int rc = 0;

    for (int i = 0; i < 2; i++) {
        start = ae_now_ns();
        if ((rc = ae_look(control, AE_LOOK_INSTANCE, 0, &look)) != 0)
            return rc == AE_LOOK_REFUSED ? look.refusal : rc;
        pong->round_trip_ns = ae_now_ns() - start;
        if (pread(look.fd, &header, sizeof header, 0) < 0)
            rc = ae_fail(-errno, "the registry of aetherd at %s: %s", control->socket_path, strerror(errno));
        ae_close(&look.fd);
    }
    pong->pid = look.pid;
    pong->uid = look.uid;
    memcpy(pong->version, header.release, sizeof pong->version - 1);
    memcpy(pong->socket_path, look.instance.socket_path, sizeof pong->socket_path);
    return rc;
}

AE_EXPORT int aether_ping(const aether_connect_options *options, aether_pong *pong) {
    char standard[AE_SOCKET_PATH_MAX + 1];
    struct ae_control control;
    const char *path;
    int rc = socket_path(options, standard, &path);

    *pong = (aether_pong){0};
    if (rc != 0)
        return rc;
    ae_look_init(&control, path);
    const uint64_t wait_ns = options != NULL ? options->wait_ns : 0;
    if (options != NULL && options->answer_ns != 0)
        control.patience_ns = options->answer_ns;
    if (wait_ns != 0) { /* is for the answer, too */
        control.patience_ns = wait_ns;
        control.until_ns = ae_saturating_add(ae_now_ns(), wait_ns);
    }
    rc = ae_await(&control, wait_ns, ping, pong);
    ae_control_free(&control);
    return rc;
}

AE_EXPORT int aether_shutdown(aether_client *client) {
    struct ae_msg msg = {.type = AE_MSG_SHUTDOWN};

    return ae_client_ask(client, &msg);
}
