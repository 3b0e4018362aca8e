/* SPDX-License-Identifier: Apache-2.0 */
/* input.h - reads from descriptors of any kind: files, pipes, sockets, terminals, blocking or not. */
#ifndef AETHER_CLI_INPUT_H
#define AETHER_CLI_INPUT_H

#include <stddef.h>

/*
 * Reads what is there, at most len bytes, and waits while there is nothing. *got: the bytes; 0: the input has ended.
 * Returns 0; -EINTR: SIGINT or SIGTERM was caught; or another negative errno of read(2).
 */
int input_read(int fd, void *data, size_t len, size_t *got);

/* Says what is wrong with the input, for an error text. error: what input_read() returned. */
const char *input_error(int error);

#endif
