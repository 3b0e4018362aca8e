/* SPDX-License-Identifier: Apache-2.0 */
/* stall.h - says for whom a publisher without room waits. */
#ifndef AETHER_CLI_STALL_H
#define AETHER_CLI_STALL_H

#include <aether/aether.h>

#define STALL_TEXT 768

/*
 * Writes why, NUL-terminated, such as
 *
 *     waits for 'viewer' (pid 77, stopped), 1,024 messages behind
 *
 * and returns text. The culprit's name is as it is; cli_error() escapes it.
 */
char *stall_text(char text[STALL_TEXT], const aether_stall *stall);

#endif
