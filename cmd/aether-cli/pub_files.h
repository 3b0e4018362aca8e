/* SPDX-License-Identifier: Apache-2.0 */
/* pub_files.h - files as messages; "-" is stdin. */
#ifndef AETHER_CLI_PUB_FILES_H
#define AETHER_CLI_PUB_FILES_H

#include "args.h"
#include "sender.h"
#include <stdint.h>

/*
 * Checks that all files can be read, and raises *largest to the largest size that is known. CLI_OK, or reports the
 * error.
 */
int pub_files_check(const struct args_list *files, uint64_t *largest);

/*
 * Publishes each file as one message, until sender_has_more() returns false. CLI_OK; or a status that ends the command.
 */
int pub_files(struct sender *s, const struct args_list *files);

#endif
