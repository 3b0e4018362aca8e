/* SPDX-License-Identifier: Apache-2.0 */
/*
 * output.h - what aether-cli writes: its stdout, with a large buffer, and JSON lines. After a failed write out_failed()
 * is true; loops end then.
 */
#ifndef AETHER_CLI_OUTPUT_H
#define AETHER_CLI_OUTPUT_H

#include "view/table.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* ---- stdout ------------------------------------------------------------------------------------------------------ */

void out_init(void);  /* once, at the start of main() */
bool out_flush(void); /* false: stdout has failed, now or before */
bool out_failed(void);
int out_status(void); /* flushes. CLI_OK, also if the reader has closed its end; else reports the error: CLI_FAILURE */
bool out_terminal(void); /* stdout is a terminal */

/* Prints the table, or reports that memory ran out. */
void out_print_table(struct ae_table *table);

/* ---- JSON lines -------------------------------------------------------------------------------------------------- */

/* An integer; JSON readers and jansson have signed ones, so what is past 2^63 - 1 (only damage is) becomes that. */
json_t *out_json_u64(uint64_t value);

/* Sets object[key] to the bytes if they are UTF-8, else object[key_b64] to their base64. False: no memory. */
bool out_json_bytes(json_t *object, const char *key, const void *data, size_t len);

/*
 * Writes an object as one line to stdout and drops the reference. object may be NULL. False: no memory, or stdout has
 * failed.
 */
bool out_json_line(json_t *object);

#endif
