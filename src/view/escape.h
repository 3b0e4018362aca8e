/* SPDX-License-Identifier: Apache-2.0 */
/* escape.h - bytes from other programs, such as names and payloads: checked, escaped for a terminal, or as base64. */
#ifndef AE_VIEW_ESCAPE_H
#define AE_VIEW_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>

/* True if the len bytes are UTF-8: no overlong forms, no surrogates, nothing past U+10FFFF. */
bool ae_utf8_valid(const void *data, size_t len);

/* The number of columns that valid UTF-8 takes on a terminal: its number of code points. */
size_t ae_utf8_width(const char *text);

/*
 * Escapes bytes for a terminal: bytes that aren't printable UTF-8 become \n, \t, \r, \\ or \xHH. dst has room for
 * AE_ESCAPED_SIZE(len) bytes and is terminated. Returns the length.
 */
#define AE_ESCAPED_SIZE(len) ((len)*4 + 1)
size_t ae_escape(char *dst, const void *data, size_t len);

/* Base64 (RFC 4648, padded). dst has room for AE_BASE64_SIZE(len) bytes and is terminated; the length is returned. */
#define AE_BASE64_SIZE(len) (((len) + 2) / 3 * 4 + 1)
size_t ae_base64(char *dst, const void *data, size_t len);

#endif
