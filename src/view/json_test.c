/* SPDX-License-Identifier: Apache-2.0 */
/* json_test.c - values of each kind, nesting, text that isn't UTF-8, and memory that runs out. */
#include "view/json.h"
#include "view/out_test.h"
/* cmocka.h needs these before it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void kinds(void **state) {
    struct ae_json object = ae_json_object();

    (void)state;
    ae_json_bytes(&object, "a", "x\0\"\n", 4);
    ae_json_bytes(&object, "b", "\xc0\x80", 2);
    ae_json_bytes(&object, "c", NULL, 0);
    ae_json_u64(&object, "n", UINT64_MAX);
    ae_json_real(&object, "r", 0.5);
    ae_json_bool(&object, "t", true);
    ae_json_text(&object, "s", "Z\xc3\xbcrich");
    assert_int_equal(ae_json_line(object, &out), 0);
    assert_true(ae_out_flush(&out));
    assert_string_equal(text, "{\"a\":\"x\\u0000\\\"\\n\",\"b_b64\":\"wIA=\",\"c\":\"\",\"n\":9223372036854775807,"
                              "\"r\":0.5,\"t\":true,\"s\":\"Z\xc3\xbcrich\"}\n");
}

static void nesting(void **state) {
    struct ae_json object = ae_json_object(), inner = ae_json_object(), array = ae_json_array();

    (void)state;
    ae_json_u64(&inner, "n", 1);
    ae_json_append(&array, inner);
    ae_json_append(&array, ae_json_object());
    ae_json_nest(&object, "list", array);
    assert_int_equal(ae_json_line(object, &out), 0);
    assert_true(ae_out_flush(&out));
    assert_string_equal(text, "{\"list\":[{\"n\":1},{}]}\n");
}

static void on_a_terminal(void **state) {
    struct ae_json object = ae_json_object();

    (void)state;
    out.terminal = true;
    ae_json_text(&object, "s", "\xc2\x9b");
    assert_int_equal(ae_json_line(object, &out), 0);
    assert_true(ae_out_flush(&out));
    assert_string_equal(text, "{\"s\":\"\\u009B\"}\n");
}

/* A value for which there was no memory makes each value that it is put into fail, and nothing is written. */
static void no_memory(void **state) {
    struct ae_json object = ae_json_object(), array = ae_json_array(), none = {NULL};

    (void)state;
    ae_json_u64(&none, "n", 1);
    ae_json_bytes(&none, "b", "\xff", 1);
    assert_null(none.value);
    ae_json_append(&array, none);
    assert_null(array.value);
    ae_json_nest(&object, "list", array);
    assert_null(object.value);
    ae_json_text(&object, "s", "more");
    assert_int_equal(ae_json_line(object, &out), -ENOMEM);
    assert_true(ae_out_flush(&out));
    assert_int_equal(size, 0);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, open_out, close_out)

int main(void) {
    const struct CMUnitTest tests[] = {CASE(kinds), CASE(nesting), CASE(on_a_terminal), CASE(no_memory)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
