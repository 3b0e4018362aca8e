/* SPDX-License-Identifier: Apache-2.0 */
/* error.h - exit codes, and the one line on stderr that says why a command failed. */
#ifndef AETHER_CLI_ERROR_H
#define AETHER_CLI_ERROR_H

/*
 * Exit codes, listed in aether-cli(1) and in `aether-cli help`. A command that a signal ended returns 128 + its number.
 */
enum cli_exit {
    CLI_OK = 0,
    CLI_FAILURE = 1,
    CLI_USAGE = 2,
    CLI_NO_DAEMON = 3,
    CLI_NO_TOPIC = 4,
    CLI_TOO_LARGE = 5,
    CLI_FULL = 6
};

/* Prints exactly one line, "aether-cli: ...", on stderr (ae_escape() makes it one) and returns status. */
int cli_error(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Reports the library's last error, rc being what it returned, and returns the exit status that fits it. */
int cli_library_error(int rc);

#endif
