/* SPDX-License-Identifier: Apache-2.0 */
/* error.h - exit codes, and a line on stderr that says why a command failed. */
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
    CLI_FULL = 6,
    CLI_TIMEOUT = 7
};

/* Prints "aether-cli: ..." on stderr, escaped by ae_escape() so that it is one line, and returns status. */
int cli_error(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * From now on cli_error() reports as monitoring plugins do: it prints "AETHER UNKNOWN - ..." on stdout, and returns 3
 * for any status.
 */
void cli_errors_for_monitoring(void);

/* Reports the library's last error and returns the exit status for rc, the code that the library returned. */
int cli_library_error(int rc);

#endif
