/* SPDX-License-Identifier: Apache-2.0 */
/* json.c - JSON values by jansson, with one check at the end. */
#include "view/json.h"
#include "view/escape.h"
#include <errno.h>
#include <stdlib.h>

static void fail(struct ae_json *json) {
    json_decref(json->value);
    json->value = NULL;
}

struct ae_json ae_json_object(void) {
    return (struct ae_json){json_object()};
}

struct ae_json ae_json_array(void) {
    return (struct ae_json){json_array()};
}

/* Takes over value, which is NULL if memory ran out. */
static void set(struct ae_json *object, const char *key, json_t *value) {
    if (json_object_set_new(object->value, key, value) != 0)
        fail(object);
}

static json_t *integer(uint64_t value) {
    return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

void ae_json_u64(struct ae_json *object, const char *key, uint64_t value) {
    set(object, key, integer(value));
}

void ae_json_real(struct ae_json *object, const char *key, double value) {
    set(object, key, json_real(value));
}

void ae_json_bool(struct ae_json *object, const char *key, bool value) {
    set(object, key, json_boolean(value));
}

void ae_json_text(struct ae_json *object, const char *key, const char *text) {
    set(object, key, json_string(text));
}

void ae_json_null(struct ae_json *object, const char *key) {
    set(object, key, json_null());
}

void ae_json_bytes(struct ae_json *object, const char *key, const void *data, size_t len) {
    if (ae_utf8_valid(data, len)) {
        set(object, key, json_stringn_nocheck(len > 0 ? data : "", len));
        return;
    }

    char *text = malloc(AE_BASE64_SIZE(len));
    char *other_key = NULL;
    if (text != NULL && asprintf(&other_key, "%s_b64", key) >= 0) {
        const size_t text_len = ae_base64(text, data, len);
        set(object, other_key, json_stringn_nocheck(text, text_len));
        free(other_key);
    } else {
        fail(object);
    }
    free(text);
}

void ae_json_nest(struct ae_json *object, const char *key, struct ae_json inner) {
    set(object, key, inner.value);
}

void ae_json_append(struct ae_json *array, struct ae_json inner) {
    if (json_array_append_new(array->value, inner.value) != 0)
        fail(array);
}

void ae_json_append_text(struct ae_json *array, const char *text) {
    ae_json_append(array, (struct ae_json){json_string(text)});
}

void ae_json_append_u64(struct ae_json *array, uint64_t value) {
    ae_json_append(array, (struct ae_json){integer(value)});
}

int ae_json_line(struct ae_json value, struct ae_out *out) {
    const size_t flags = JSON_COMPACT | (out->terminal ? JSON_ENSURE_ASCII : 0);
    const bool done =
        value.value != NULL && json_dumpf(value.value, out->file, flags) == 0 && fputc('\n', out->file) != EOF;

    json_decref(value.value);
    if (ae_out_failed(out))
        return ae_out_result(out);
    return done ? 0 : -ENOMEM;
}
