/* SPDX-License-Identifier: Apache-2.0 */
/* form_test.h - what a form has written, for unit tests of forms. Include cmocka.h before it. */
#ifndef AE_VIEW_FORM_TEST_H
#define AE_VIEW_FORM_TEST_H

#include "view/out_test.h"
#include <jansson.h>
#include <string.h>

/* The next call begins with an empty stream. */
static inline void clear(void) {
    rewind(out.file);
    memset(text, 0, size);
}

/* Asserts that the last call returned rc and wrote this text. */
static inline void expect(int rc, int expected_rc, const char *expected) {
    assert_int_equal(rc, expected_rc);
    assert_true(ae_out_flush(&out));
    assert_string_equal(text, expected);
    clear();
}

/* Asserts that the last call returned 0 and wrote one line of JSON, which the caller releases. */
static inline json_t *parse(int rc) {
    json_error_t error;

    assert_int_equal(rc, 0);
    assert_true(ae_out_flush(&out));
    json_t *value = json_loads(text, 0, &error);
    assert_non_null(value);
    assert_int_equal(strchr(text, '\n') - text + 1, strlen(text));
    clear();
    return value;
}

/* The value at "key.0.key": keys of objects and indices of arrays. Asserts that it is there. */
static inline json_t *at(json_t *value, const char *path) {
    char key[64];

    while (*path != '\0') {
        const size_t len = strcspn(path, ".");
        assert_true(len < sizeof key);
        memcpy(key, path, len);
        key[len] = '\0';
        value = json_is_array(value) ? json_array_get(value, strtoul(key, NULL, 10)) : json_object_get(value, key);
        if (value == NULL)
            fail_msg("no %s", path);
        path += len + (path[len] == '.');
    }
    return value;
}

static inline json_int_t number(json_t *value, const char *path) {
    value = at(value, path);
    assert_true(json_is_integer(value));
    return json_integer_value(value);
}

static inline const char *string(json_t *value, const char *path) {
    value = at(value, path);
    assert_true(json_is_string(value));
    return json_string_value(value);
}

#endif
