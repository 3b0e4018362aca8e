/* SPDX-License-Identifier: Apache-2.0 */
/* daemon.c - the daemon's socket and the connection to it. */
#include "daemon.h"
#include "error.h"
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define SOCKET_PATH_MAX 106 /* the longest path that the library and aetherd accept */
#define SOCKET_PATH_SIZE (SOCKET_PATH_MAX + 1)

static char socket_path[SOCKET_PATH_SIZE];
static bool socket_named; /* on the command line */

const char *cli_socket(void) {
    return socket_path;
}

const char *cli_start_command(void) {
    static char command[SOCKET_PATH_SIZE + 24];

    /* For the default socket the command has no --socket, because only then aetherd creates the directory by itself. */
    snprintf(command, sizeof command, "aetherd%s%s", socket_named ? " --socket " : "", socket_named ? socket_path : "");
    return command;
}

int cli_set_socket(const char *path) {
    socket_named = path != NULL;
    if (path == NULL) {
        const int rc = aether_default_socket(socket_path, sizeof socket_path);
        return rc < 0 ? cli_error(CLI_USAGE, "%s", aether_errmsg()) : CLI_OK;
    }
    if (path[0] == '\0')
        return cli_error(CLI_USAGE, "--socket: the path is empty: name the socket of an aetherd");
    if (strlen(path) > SOCKET_PATH_MAX)
        return cli_error(CLI_USAGE, "--socket: a path of %zu bytes doesn't fit in a socket address: use at most %d",
                         strlen(path), SOCKET_PATH_MAX);
    memcpy(socket_path, path, strlen(path) + 1);
    return CLI_OK;
}

int cli_connect(const char *command, aether_client **client) {
    char name[64];

    snprintf(name, sizeof name, "aether-cli %s", command);
    const aether_connect_options options = {.socket_path = socket_path, .name = name};
    const int rc = aether_connect(client, &options);
    if (rc == 0)
        return CLI_OK;
    *client = NULL;
    if (rc == -ECONNREFUSED || rc == -ENOENT)
        return cli_error(CLI_NO_DAEMON, "no aetherd at %s: start it with: %s", socket_path, cli_start_command());
    return cli_error(CLI_FAILURE, "%s", aether_errmsg());
}
