/* SPDX-License-Identifier: Apache-2.0 */
/* page_test.c - the embedded files are there, with the types that a browser insists on. */
#include "export/page.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void finds_each_file(void **state) {
    static const struct {
        const char *path, *type;
    } files[] = {
        {"/", "text/html; charset=utf-8"},
        {"/page.css", "text/css; charset=utf-8"},
        {"/page.js", "text/javascript; charset=utf-8"},
        {"/theme.js", "text/javascript; charset=utf-8"},
        {"/icon.svg", "image/svg+xml"},
        {"/favicon.ico", "image/svg+xml"},
    };
    (void)state;

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        const struct ae_page_file *file = ae_page_find(files[i].path);
        assert_non_null(file);
        assert_string_equal(file->content_type, files[i].type);
        assert_true(file->size > 100);
    }
}

static void other_paths_have_no_file(void **state) {
    (void)state;

    assert_null(ae_page_find(""));
    assert_null(ae_page_find("/index"));
    assert_null(ae_page_find("/page.js/"));
    assert_null(ae_page_find("/../page.js"));
    assert_null(ae_page_find("page.js"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_each_file),
        cmocka_unit_test(other_paths_have_no_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
