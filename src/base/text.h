/* SPDX-License-Identifier: Apache-2.0 */
/* text.h - text for people: control characters replaced, sizes with units, plurals. No errors; no state. */
#ifndef AE_BASE_TEXT_H
#define AE_BASE_TEXT_H

#include <stddef.h>
#include <stdint.h>

/*
 * Replaces each byte of every control character by '?', so that the text stays one line and can't command a terminal.
 * These are 0x01..0x1f, 0x7f, and the UTF-8 form of U+0080..U+009f. The length stays the same.
 */
void ae_text_clean(char *text);

#define AE_TEXT_SIZE_BYTES 24

/* Writes a size with a unit and at most one decimal ("512 B", "20 KiB", "1.5 GiB") to text and returns text. */
const char *ae_text_size(char text[AE_TEXT_SIZE_BYTES], uint64_t bytes);

/* Writes a number with commas ("1,024") to text and returns text. */
#define AE_TEXT_COUNT_BYTES 27
const char *ae_text_count(char text[AE_TEXT_COUNT_BYTES], uint64_t count);

/* Writes a time ("5 seconds", "1 second", "0.05 seconds") to text and returns text. */
#define AE_TEXT_SECONDS_BYTES 32
const char *ae_text_seconds(char text[AE_TEXT_SECONDS_BYTES], uint64_t ns);

/*
 * The form of a word that goes with a count: "%zu topic%s" with ae_plural(count, "", "s"), "%zu %s" with
 * ae_plural(count, "publisher waits", "publishers wait").
 */
static inline const char *ae_plural(uint64_t count, const char *one, const char *many) {
    return count == 1 ? one : many;
}

#endif
