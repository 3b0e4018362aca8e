/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json.h - builds JSON values and writes each on a line.
 *
 * If memory runs out, the value becomes NULL, later calls on it do nothing, and ae_json_line() returns the error. So
 * callers check only the last call.
 */
#ifndef AE_VIEW_JSON_H
#define AE_VIEW_JSON_H

#include "view/out.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ae_json {
    json_t *value; /* an object or an array, owned; NULL: memory ran out */
};

struct ae_json ae_json_object(void);
struct ae_json ae_json_array(void);

/* These set object[key]. */

/* A value above 2^63 - 1, which only a damaged record has, becomes 2^63 - 1: jansson has signed integers. */
void ae_json_u64(struct ae_json *object, const char *key, uint64_t value);
void ae_json_real(struct ae_json *object, const char *key, double value); /* finite */
void ae_json_bool(struct ae_json *object, const char *key, bool value);
void ae_json_text(struct ae_json *object, const char *key, const char *text); /* UTF-8 */
void ae_json_null(struct ae_json *object, const char *key);

/* Sets object[key] to the bytes if they are UTF-8, else object[key_b64] to their base64. */
void ae_json_bytes(struct ae_json *object, const char *key, const void *data, size_t len);

/* These take over the inner value. */
void ae_json_nest(struct ae_json *object, const char *key, struct ae_json inner);
void ae_json_append(struct ae_json *array, struct ae_json inner);

void ae_json_append_text(struct ae_json *array, const char *text); /* UTF-8 */
void ae_json_append_u64(struct ae_json *array, uint64_t value);    /* as ae_json_u64() */

/*
 * Writes the value as one line and frees it. Returns 0; -ENOMEM: memory had run out, and nothing was written; or the
 * stream's error. A terminal gets ASCII, because UTF-8 can hold control characters that JSON doesn't have to escape.
 */
int ae_json_line(struct ae_json value, struct ae_out *out);

#endif
