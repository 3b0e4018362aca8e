/* SPDX-License-Identifier: Apache-2.0 */
/* pub_lines.h - the lines of stdin as messages. */
#ifndef AETHER_CLI_PUB_LINES_H
#define AETHER_CLI_PUB_LINES_H

#include "sender.h"

/*
 * Publishes each line without its newline, until stdin ends or sender_has_more() returns false. CLI_OK; or a status
 * that ends the command.
 */
int pub_lines(struct sender *s);

#endif
