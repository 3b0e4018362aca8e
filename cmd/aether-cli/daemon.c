/* SPDX-License-Identifier: Apache-2.0 */
/* daemon.c - the daemon's socket and the connection to it. */
#include "daemon.h"
#include "error.h"
#include "view/escape.h"
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define SOCKET_PATH_MAX 106 /* the longest path that the library and aetherd accept */
#define SOCKET_PATH_SIZE (SOCKET_PATH_MAX + 1)
#define CLIENT_NAME_MAX 63 /* bytes of a client's name; the library would cut a longer one */

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

/* Is the name text that is shown as it is? A backslash is shown as two, and counts as shown. */
static bool is_plain(const char *name) {
    char escaped[AE_ESCAPED_SIZE(CLIENT_NAME_MAX)];
    size_t backslashes = 0;

    for (const char *p = name; *p != '\0'; p++)
        backslashes += *p == '\\';
    return ae_escape(escaped, name, strlen(name)) == strlen(name) + backslashes;
}

bool cli_is_absent(int rc) {
    return rc == -ECONNREFUSED || rc == -ENOENT;
}

static int connect_as(const char *name, aether_client **client) {
    const aether_connect_options options = {.socket_path = socket_path, .name = name};
    const int rc = aether_connect(client, &options);
    if (rc == 0)
        return CLI_OK;
    *client = NULL;
    return cli_error(cli_is_absent(rc) ? CLI_NO_DAEMON : CLI_FAILURE, "%s", aether_errmsg());
}

int cli_connect(const char *command, const char *name, aether_client **client) {
    char standard[CLIENT_NAME_MAX + 1];

    *client = NULL;
    if (name == NULL) {
        snprintf(standard, sizeof standard, "aether-cli %s", command);
        return connect_as(standard, client);
    }
    if (strlen(name) > CLIENT_NAME_MAX)
        return cli_error(CLI_USAGE, "--name: a name of %zu bytes is too long: use at most %d", strlen(name),
                         CLIENT_NAME_MAX);
    if (!is_plain(name))
        return cli_error(CLI_USAGE, "--name '%s': use UTF-8 without control characters", name);
    return connect_as(name, client);
}
