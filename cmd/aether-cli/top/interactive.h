/* SPDX-License-Identifier: Apache-2.0 */
/* interactive.h - top on a terminal: passes, keys, pages. */
#ifndef AETHER_CLI_TOP_INTERACTIVE_H
#define AETHER_CLI_TOP_INTERACTIVE_H

#include "run.h"
#include "state.h"
#include <stdint.h>

/* Runs until a key or a signal ends it, or after `count` passes (0: without end). Returns the exit status. */
int top_interactive(struct top_run *run, struct top_state *state, uint64_t count);

#endif
