/* SPDX-License-Identifier: Apache-2.0 */
/* pub_stdin.h - stdin as messages: its lines, pieces or frames. */
#ifndef AETHER_CLI_PUB_STDIN_H
#define AETHER_CLI_PUB_STDIN_H

#include "frames.h"
#include "sender.h"

/*
 * Publishes each message in stdin, until that ends or sender_has_more() returns false. CLI_OK; or a status that ends
 * the command.
 */
int pub_stdin(struct sender *s, enum frames_kind kind);

#endif
