/* SPDX-License-Identifier: Apache-2.0 */
/* error.c - an error text of one line, with escapes for everything that could break the line. */
#include "error.h"
#include "view/escape.h"
#include <aether/aether.h>
#include <errno.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ERROR_MAX 1024
#define UNKNOWN 3 /* of monitoring plugins */

static bool monitoring;

void cli_errors_for_monitoring(void) {
    monitoring = true;
}

int cli_error(int status, const char *format, ...) {
    char text[ERROR_MAX], line[AE_ESCAPED_SIZE(ERROR_MAX)];
    va_list args;

    va_start(args, format);
    const int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (len < 0)
        text[0] = '\0';
    ae_escape(line, text, strlen(text));
    if (!monitoring) {
        fprintf(stderr, "aether-cli: %s\n", line);
        return status;
    }
    /* A '|' would begin figures. */
    for (char *bar = strchr(line, '|'); bar != NULL; bar = strchr(bar, '|'))
        *bar = '/';
    fprintf(ferror(stdout) ? stderr : stdout, "AETHER UNKNOWN - %s\n", line);
    return UNKNOWN;
}

int cli_library_error(int rc) {
    switch (rc) {
    case -EINVAL:
        return cli_error(CLI_USAGE, "%s", aether_errmsg());
    case -ECONNREFUSED:
        return cli_error(CLI_NO_DAEMON, "%s", aether_errmsg());
    case -ENOENT:
        return cli_error(CLI_NO_TOPIC, "%s", aether_errmsg());
    case -EMSGSIZE:
        return cli_error(CLI_TOO_LARGE, "%s", aether_errmsg());
    default:
        return cli_error(CLI_FAILURE, "%s", aether_errmsg());
    }
}
