/* SPDX-License-Identifier: Apache-2.0 */
/*
 * output.h - what aether-cli writes: aligned tables, amounts with units, JSON lines, and text of others made harmless.
 *
 * Everything goes through stdio's stdout with a large buffer. After a failed write out_failed() is true; loops end
 * then.
 */
#ifndef AETHER_CLI_OUTPUT_H
#define AETHER_CLI_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* ---- stdout ------------------------------------------------------------------------------------------------------ */

void out_init(void);  /* once, at the start of main() */
bool out_flush(void); /* false: stdout has failed, now or before */
bool out_failed(void);
int out_status(void); /* flushes. CLI_OK, also if the reader has closed its end; else reports the fault: CLI_FAILURE */
bool out_terminal(void); /* stdout is a terminal */

/* ---- amounts: written to buf, which is returned ------------------------------------------------------------------ */

#define OUT_AMOUNT 32

char *out_bytes(char buf[OUT_AMOUNT], uint64_t bytes);    /* "512 B", "1.5 KiB", "64 MiB" */
char *out_rate(char buf[OUT_AMOUNT], double per_second);  /* "950/s", "1.25 M/s" */
char *out_duration(char buf[OUT_AMOUNT], double seconds); /* "85 ns", "1.2 us", "3.4 s", "2 h 05 min", "3 d 4 h" */
char *out_count(char buf[OUT_AMOUNT], uint64_t count);    /* "1,234,567" */

/* ---- tables ------------------------------------------------------------------------------------------------------ */

#define TABLE_COLUMNS 16

struct table {
    int columns;
    const char *titles[TABLE_COLUMNS]; /* title_lens[] bytes each */
    size_t title_lens[TABLE_COLUMNS];
    bool right[TABLE_COLUMNS];
    char **cells; /* rows one after the other */
    size_t count, room;
    bool failed; /* out of memory */
};

/*
 * spec: the columns' titles, separated by '|'; one that begins with '>' is aligned right: "TOPIC|>MESSAGES|>RATE". It
 * must outlive the table. Cells are added row by row; table_print() writes the titles and the rows to stdout, as wide
 * as they need to be, and empties the table.
 */
void table_init(struct table *table, const char *spec);
void table_cell(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
void table_text(struct table *table, const void *data, size_t len); /* a cell of escaped text */
void table_print(struct table *table);

/* ---- text from others -------------------------------------------------------------------------------------------- */

/* len bytes are UTF-8: no overlong forms, no surrogates, nothing past U+10FFFF. */
bool utf8_valid(const void *data, size_t len);

/* Columns that valid UTF-8 takes: its code points. */
size_t utf8_width(const char *text);

/*
 * Makes bytes harmless for a terminal: what isn't printable UTF-8 becomes \n, \t, \r, \\ or \xHH. dst has room for
 * OUT_ESCAPED(len) bytes and is terminated; the length is returned.
 */
#define OUT_ESCAPED(len) ((len)*4 + 1)
size_t out_escape(char *dst, const void *data, size_t len);

/* Base64 (RFC 4648, padded). dst has room for OUT_BASE64(len) bytes and is terminated; the length is returned. */
#define OUT_BASE64(len) (((len) + 2) / 3 * 4 + 1)
size_t out_base64(char *dst, const void *data, size_t len);

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
