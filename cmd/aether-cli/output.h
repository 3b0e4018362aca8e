/* SPDX-License-Identifier: Apache-2.0 */
/*
 * output.h - the output of aether-cli: stdout, with a large buffer, and the view that shows a command's records.
 *
 * stdout and stderr may be anything: a file, pipe, socket, terminal; blocking or not; closed. Writes block while they
 * take nothing, unless the command must end.
 *
 * After a failed write out_failed() returns true. A loop then ends, and main() reports the error by out_status().
 */
#ifndef AETHER_CLI_OUTPUT_H
#define AETHER_CLI_OUTPUT_H

#include "args.h"
#include "view/view.h"
#include <stdbool.h>

void out_init(void);  /* once, at the start of main() */
bool out_flush(void); /* false: a write to stdout has failed, now or before */
bool out_failed(void);
/* True if stdout's other end is closed, so that a write would fail. */
bool out_closed(void);
FILE *out_terminal(void);   /* stdout for a library that needs its descriptor and buffers by itself */
bool out_utf8(void);        /* does the locale of the environment show UTF-8? */
unsigned out_columns(void); /* of the terminal at stdout; else 80 */
int out_status(void); /* flushes. CLI_OK, also if a pipe's other end is closed; else reports the error: CLI_FAILURE */

/* True if what is written last was given up, because nobody reads stdout and the command must end: out_write_all(). */
bool out_given_up(void);

/*
 * Writes all of it, however little the descriptor takes at a time. 0, or a negative errno: -EINTR, cli_must_end() is
 * true and the descriptor took nothing for a second.
 */
int out_write_all(int fd, const void *data, size_t len);

/* ---- the form of the output -------------------------------------------------------------------------------------- */

struct out_options {
    bool json, raw; /* at most one of them; neither: text */
};

#define OPTION_JSON(options, text)                                                                                     \
    { .name = "json", .kind = ARGS_FLAG, .target = &(options).json, .help = (text) }
#define OPTION_RAW(options, text)                                                                                      \
    { .name = "raw", .kind = ARGS_FLAG, .target = &(options).raw, .help = (text) }

/* The view on stdout, in the form that the options choose. */
struct ae_view out_view(const struct out_options *options);

/*
 * The status after a function of the view has returned rc. If memory ran out, reports what was left out and returns
 * CLI_FAILURE; otherwise CLI_OK, also if a write to stdout failed, which main() reports.
 */
int out_check(const struct ae_view *view, int rc);

#endif
