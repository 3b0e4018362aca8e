/* SPDX-License-Identifier: Apache-2.0 */
/* dump.h - writes messages to files in a directory. The name of each file is the sequence. */
#ifndef AETHER_CLI_DUMP_H
#define AETHER_CLI_DUMP_H

#include <aether/aether.h>
#include <limits.h>

#define DUMP_PATH_SIZE (PATH_MAX + 32)

struct dump {
    const char *directory; /* NULL: messages aren't dumped */
    int fd;                /* of the directory; -1: not open */
};

/*
 * Opens dump->directory, unless it is NULL. Creates it if only its last level is missing. CLI_OK, or reports the error.
 * Call dump_close() in every case.
 */
int dump_open(struct dump *dump);
void dump_close(struct dump *dump);

/*
 * Writes a message to a new file; path receives its name. The file gets this name only after the whole message was
 * written. CLI_OK, or reports the error, also if there is a file of that name.
 */
int dump_message(const struct dump *dump, const aether_message *m, char path[DUMP_PATH_SIZE]);

#endif
