/* SPDX-License-Identifier: Apache-2.0 */
/* batch.h - top without a screen: a table or a JSON line for each pass. */
#ifndef AETHER_CLI_TOP_BATCH_H
#define AETHER_CLI_TOP_BATCH_H

#include "run.h"
#include "state.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Prints `count` passes (0: without end) of at most `topics` topics. Returns the exit status. */
int top_batch(struct top_run *run, const struct top_state *state, bool json, size_t topics, uint64_t count);

#endif
