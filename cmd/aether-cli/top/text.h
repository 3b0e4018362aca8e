/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text.h - text for the cells of a terminal: escaped, measured, cut and padded; sparklines.
 *
 * Whether the terminal shows UTF-8 is a property of the process. Each function writes at most `size` bytes with the
 * NUL, and returns dst.
 */
#ifndef AETHER_CLI_TOP_TEXT_H
#define AETHER_CLI_TOP_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Is the locale a UTF-8 one? At first it isn't. main() has set the locale of the environment. */
void top_text_set_utf8(bool utf8);

/*
 * Bytes from other programs as text that can't command a terminal: ae_escape(), and in a locale without UTF-8, or where
 * the C library doesn't know a character's width, \xHH. Room for TOP_TEXT_SIZE(len) always suffices.
 */
#define TOP_TEXT_SIZE(len) ((len)*4 + 1)
char *top_text_escape(char *dst, size_t size, const void *data, size_t len);

/* As above, of text that ae_escape() has made already. */
char *top_text_show(char *dst, size_t size, const char *escaped);

/* The cells that an escaped text takes. */
unsigned top_text_cells(const char *text);

/* The bytes of the longest beginning of an escaped text that takes at most `cells` cells. */
size_t top_text_beginning(const char *text, unsigned cells);

/* Makes the text exactly `cells` wide: cuts it in the middle, which a mark shows, or adds spaces on one side. */
enum top_align { TOP_LEFT, TOP_RIGHT };
char *top_text_fit(char *dst, size_t size, const char *text, unsigned cells, enum top_align align);

/* As top_text_fit(), but cuts the end. */
char *top_text_crop(char *dst, size_t size, const char *text, unsigned cells);

/* ---- sparklines -------------------------------------------------------------------------------------------------- */

/* A cell for each value, the highest for the largest one; negative: unknown, a space. */
char *top_spark(char *dst, size_t size, const double *values, size_t count);

/* A bar of up to `cells` cells for a share of 0 .. 1; at least one cell if it isn't 0. */
char *top_bar(char *dst, size_t size, double share, unsigned cells);

#endif
