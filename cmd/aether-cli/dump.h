/* SPDX-License-Identifier: Apache-2.0 */
/* dump.h - messages as files of a directory, each named by its sequence. */
#ifndef AETHER_CLI_DUMP_H
#define AETHER_CLI_DUMP_H

#include <aether/aether.h>
#include <limits.h>

#define DUMP_PATH_SIZE (PATH_MAX + 32)

struct dump {
    const char *directory; /* NULL: none */
    int fd;                /* of the directory; -1 */
};

/*
 * Opens dump->directory, if there is one; it is made if only its last level is missing. CLI_OK, or reports the error.
 * dump_close() in every case.
 */
int dump_open(struct dump *dump);
void dump_close(struct dump *dump);

/*
 * Writes a message to a new file; path receives its name. The file has this name only once it holds the whole message.
 * CLI_OK, or reports the error, also if there is a file of that name.
 */
int dump_message(const struct dump *dump, const aether_message *m, char path[DUMP_PATH_SIZE]);

#endif
