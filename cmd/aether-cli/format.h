/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format.h - messages in a form that the user describes, such as "%T %t %s %p\n".
 *
 *   %t topic  %s sequence  %l length  %p payload  %x payload in hexadecimal  %T time  %% a percent sign
 *   \n newline  \t tab  \0 NUL  \\ backslash
 *
 * Names and payloads are written as they are. Nothing is added, so most formats end with \n.
 */
#ifndef AETHER_CLI_FORMAT_H
#define AETHER_CLI_FORMAT_H

#include <aether/aether.h>
#include <stdio.h>

/* CLI_OK, or reports what is wrong with the format: CLI_USAGE. */
int format_check(const char *format);

/* Writes the message by a format that is right. time_ns: CLOCK_REALTIME. */
void format_write(FILE *file, const char *format, const char *topic, uint64_t time_ns, const aether_message *message);

#endif
