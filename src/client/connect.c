/* SPDX-License-Identifier: Apache-2.0 */
/* connect.c - connects and disconnects a client, and stops aetherd. */
#include "base/error.h"
#include "base/export.h"
#include "client/client.h"
#include "client/grants.h"
#include "client/stall.h"
#include "shm/names.h"
#include <aether/connect.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
    ae_stall_options(client, options);
    ae_control_init(&client->control, path, name);
    rc = ae_client_request(client, NULL, 0, AE_CONTROL_ONCE);
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
