/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon.h - which daemon the commands use, and the connection to it.
 *
 * Owns the path of the socket: one for the process, set from the command line before a command runs.
 */
#ifndef AETHER_CLI_DAEMON_H
#define AETHER_CLI_DAEMON_H

#include <aether/aether.h>
#include <stdbool.h>

/* Path of the daemon's socket: --socket, else $AETHER_SOCKET, else the default. Never NULL. */
const char *cli_socket(void);

/* Uses path, of 1 to 106 bytes, which it copies; NULL: $AETHER_SOCKET or the default. CLI_OK, or reports the error. */
int cli_set_socket(const char *path);

/* The command that starts a daemon at cli_socket(), for error texts. Static storage. */
const char *cli_start_command(void);

/* Does rc, from aether_connect(), say that no daemon listens there? */
bool cli_is_absent(int rc);

/* What the options of a command say about its connection. */
struct cli_connection {
    const char *name;               /* of the client; NULL: "aether-cli COMMAND" */
    double wait;                    /* seconds for a daemon that isn't there yet */
    uint64_t answer_ns;             /* how long an answer may take; 0: 5 seconds */
    uint64_t patient_until_ns;      /* of cli_now_ns(): until then a daemon that doesn't answer is waited for; 0: not */
    aether_stall_handler *on_stall; /* NULL: none */
    void *stall_context;
};

/* answer_ns of a command that is to end after `seconds` (negative: never). A second is always allowed. */
uint64_t cli_answer_ns(double seconds);

/*
 * Connects; how may be NULL. The caller disconnects. CLI_OK, or reports the error, also if the name isn't allowed, and
 * returns its status; *client is then NULL.
 */
int cli_connect(const char *command, const struct cli_connection *how, aether_client **client);

#define OPTION_NAME(connection)                                                                                        \
    {                                                                                                                  \
        .name = "name", .kind = ARGS_TEXT, .target = &(connection).name, .min = 1, .value = "NAME",                    \
        .help = "the client's name in clients, top, lag and topic info; default: the command's"                        \
    }
#define OPTION_WAIT_DAEMON(connection)                                                                                 \
    {                                                                                                                  \
        .name = "wait-daemon", .kind = ARGS_DURATION, .target = &(connection).wait, .value = "TIME",                   \
        .help = "wait so long for a daemon that isn't there yet, such as 5s; default: don't wait"                      \
    }

#endif
