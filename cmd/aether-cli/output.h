/* SPDX-License-Identifier: Apache-2.0 */
/*
 * output.h - what aether-cli writes: its stdout, with a large buffer, and the view that a command shows its records by.
 *
 * After a failed write out_failed() is true; loops end then, and main() reports it by out_status().
 */
#ifndef AETHER_CLI_OUTPUT_H
#define AETHER_CLI_OUTPUT_H

#include "args.h"
#include "view/view.h"
#include <stdbool.h>

void out_init(void);  /* once, at the start of main() */
bool out_flush(void); /* false: stdout has failed, now or before */
bool out_failed(void);
int out_status(void); /* flushes. CLI_OK, also if a pipe's other end is closed; else reports the error: CLI_FAILURE */

/* ---- the form of the output -------------------------------------------------------------------------------------- */

struct out_options {
    bool json, raw; /* at most one of them; neither: text */
};

#define OPTION_JSON(options, text)                                                                                     \
    { .name = "json", .kind = ARGS_FLAG, .target = &(options).json, .help = (text) }
#define OPTION_RAW(options, text)                                                                                      \
    { .name = "raw", .kind = ARGS_FLAG, .target = &(options).raw, .help = (text) }

/* The view on stdout in the form that was asked for. */
struct ae_view out_view(const struct out_options *options);

/*
 * The status after a function of the view has returned rc: CLI_OK, also if stdout has failed, which main() reports; if
 * memory ran out, reports what was left out: CLI_FAILURE.
 */
int out_check(const struct ae_view *view, int rc);

#endif
