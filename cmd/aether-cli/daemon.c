/* SPDX-License-Identifier: Apache-2.0 */
/* daemon.c - the daemon's socket and the connection to it. */
#include "daemon.h"
#include "error.h"
#include "signals.h"
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

uint64_t cli_answer_ns(double seconds) {
    if (seconds < 0 || seconds >= 5)
        return 0;
    return seconds < 1 ? 1000000000u : cli_nanoseconds(seconds);
}

/*
 * Waits for a daemon that runs and doesn't answer, as one that is stopped, and says so. rc: of the connect. 0, or
 * -errno.
 */
static int connect_later(aether_client **client, const aether_connect_options *options, uint64_t until_ns, int rc) {
    for (uint64_t now = cli_now_ns(); rc == -ETIMEDOUT && now < until_ns; now = cli_now_ns()) {
        const aether_connect_options wait = {.socket_path = options->socket_path,
                                             .wait_ns = until_ns == AETHER_FOREVER ? AETHER_FOREVER : until_ns - now};
        aether_pong pong;
        cli_error(CLI_OK, "waiting for aetherd: %s", aether_errmsg());
        rc = aether_ping(&wait, &pong);
        if (rc == 0)
            rc = aether_connect(client, options);
    }
    return rc;
}

int cli_connect(const char *command, const struct cli_connection *how, aether_client **client) {
    static const struct cli_connection standard = {.name = NULL};
    char name[CLIENT_NAME_MAX + 1];

    *client = NULL;
    if (how == NULL)
        how = &standard;
    if (how->name != NULL && strlen(how->name) > CLIENT_NAME_MAX)
        return cli_error(CLI_USAGE, "--name: a name of %zu bytes is too long: use at most %d", strlen(how->name),
                         CLIENT_NAME_MAX);
    if (how->name != NULL && !is_plain(how->name))
        return cli_error(CLI_USAGE, "--name '%s': use UTF-8 without control characters", how->name);
    snprintf(name, sizeof name, "aether-cli %s", command);
    const aether_connect_options options = {.socket_path = socket_path,
                                            .name = how->name != NULL ? how->name : name,
                                            .on_stall = how->on_stall,
                                            .stall_context = how->stall_context,
                                            .wait_ns = cli_nanoseconds(how->wait),
                                            .answer_ns = how->answer_ns};
    int rc = aether_connect(client, &options);
    if (rc == -ETIMEDOUT)
        rc = connect_later(client, &options, how->patient_until_ns, rc);
    if (rc == 0)
        return CLI_OK;
    *client = NULL;
    if (rc == -ETIMEDOUT && how->patient_until_ns != 0)
        return cli_error(CLI_TIMEOUT, "--timeout was over: %s", aether_errmsg());
    return cli_error(cli_is_absent(rc) ? CLI_NO_DAEMON : CLI_FAILURE, "%s", aether_errmsg());
}
