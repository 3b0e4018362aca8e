/* SPDX-License-Identifier: Apache-2.0 */
/* json.h - a pass as one JSON object on a line. What isn't known is left out. */
#ifndef AETHER_CLI_TOP_JSON_H
#define AETHER_CLI_TOP_JSON_H

#include "run.h"
#include "view/out.h"

/* Returns 0; -ENOMEM, and then nothing was written; or the stream's error. */
int top_json_pass(const struct top_run *run, struct ae_out *out);

#endif
