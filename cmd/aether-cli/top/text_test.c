/* SPDX-License-Identifier: Apache-2.0 */
/* Text in cells, sparklines. */
#include "text.h"
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static char text[256];

static int utf8(void **state) {
    (void)state;
    assert_non_null(setlocale(LC_CTYPE, "C.UTF-8"));
    top_text_set_utf8(true);
    return 0;
}

static int ascii(void **state) {
    (void)state;
    top_text_set_utf8(false);
    return 0;
}

static const char *escape(const char *raw) {
    return top_text_escape(text, sizeof text, raw, strlen(raw));
}

static void escapes(void **state) {
    (void)state;
    assert_string_equal(escape("a\x1b[2J\n\\"), "a\\x1b[2J\\n\\\\");
    assert_string_equal(escape("\xc3\xa4\xff"), "\u00e4\\xff");
    assert_string_equal(escape("\xe2\x80\xae"), "\\xe2\\x80\\xae"); /* turns the direction of writing */
    assert_string_equal(top_text_escape(text, 6, "abcdefgh", 8), "abcde");
    assert_string_equal(top_text_escape(text, 6, "ab\nde", 5), "ab\\nd");
}

static void escapes_without_utf8(void **state) {
    (void)state;
    assert_string_equal(escape("\xc3\xa4x"), "\\xc3\\xa4x");
    assert_string_equal(top_text_show(text, sizeof text, "\\n\u00e4"), "\\n\\xc3\\xa4");
    assert_string_equal(top_text_show(text, 8, "a\u00e4"), "a\\xc3"); /* never half an escape */
}

static void cells(void **state) {
    (void)state;
    assert_int_equal(top_text_cells(""), 0);
    assert_int_equal(top_text_cells("abc"), 3);
    assert_int_equal(top_text_cells("\u00e4\u2588"), 2);
    assert_int_equal(top_text_cells("\u6f22\u5b57"), 4); /* two characters of two cells each */
    assert_int_equal(top_text_cells("e\u0301"), 1);      /* a mark over the e */
    assert_int_equal(top_text_beginning("\u6f22\u5b57", 3), 3);
    assert_int_equal(top_text_beginning("abc", 9), 3);
}

static const char *fit(const char *from, unsigned width) {
    top_text_fit(text, sizeof text, from, width, TOP_LEFT);
    assert_int_equal(top_text_cells(text), width);
    return text;
}

static void fits(void **state) {
    (void)state;
    assert_string_equal(fit("abc", 5), "abc  ");
    assert_string_equal(top_text_fit(text, sizeof text, "abc", 5, TOP_RIGHT), "  abc");
    assert_string_equal(fit("abcdefgh", 8), "abcdefgh");
    assert_string_equal(fit("abcdefgh", 5), "ab\u2026gh");
    assert_string_equal(fit("abcdefgh", 4), "ab\u2026h");
    assert_string_equal(fit("abcdefgh", 2), "a\u2026");
    assert_string_equal(fit("abcdefgh", 1), "\u2026");
    assert_string_equal(fit("abcdefgh", 0), "");
    assert_string_equal(fit("\u6f22\u5b57\u6f22\u5b57", 5), "\u6f22\u2026\u5b57");
    assert_string_equal(fit("\u6f22\u5b57\u6f22\u5b57", 4), "\u6f22\u2026 ");
    assert_string_equal(fit("abce\u0301f", 3), "a\u2026f");
    assert_string_equal(top_text_crop(text, sizeof text, "abcdef", 3), "abc");
    assert_string_equal(top_text_crop(text, sizeof text, "\u6f22\u5b57", 3), "\u6f22 ");
    top_text_set_utf8(false);
    assert_string_equal(fit("abcdefgh", 5), "ab~gh");
}

/* Whatever the length of a name is, it fits into any width. */
static void fits_always(void **state) {
    static const char *const parts[] = {"a", "\u00e4", "\u6f22", "e\u0301"};

    (void)state;
    for (size_t seed = 0; seed < 256; seed++) {
        char name[64] = "";
        for (size_t i = 0, bits = seed; i < 12; i++, bits = bits * 5 + 1)
            strcat(name, parts[bits / 3 % 4]);
        for (unsigned width = 0; width < 30; width++)
            fit(name, width);
    }
}

static void sparks(void **state) {
    const double values[] = {-1, 0, 0.001, 4, 8};

    (void)state;
    assert_string_equal(top_spark(text, sizeof text, values, 5), " \u2581\u2582\u2585\u2588");
    assert_string_equal(top_spark(text, sizeof text, values, 2), " \u2581");
    assert_string_equal(top_spark(text, sizeof text, values, 0), "");
    assert_string_equal(top_bar(text, sizeof text, 0.5, 4), "\u2588\u2588");
    assert_string_equal(top_bar(text, sizeof text, 1e-9, 4), "\u2588");
    assert_string_equal(top_bar(text, sizeof text, 0, 4), "");
    top_text_set_utf8(false);
    assert_string_equal(top_spark(text, sizeof text, values, 5), " _.+@");
    assert_string_equal(top_bar(text, sizeof text, 7, 4), "####");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(escapes, utf8),     cmocka_unit_test_setup(escapes_without_utf8, ascii),
        cmocka_unit_test_setup(cells, utf8),       cmocka_unit_test_setup(fits, utf8),
        cmocka_unit_test_setup(fits_always, utf8), cmocka_unit_test_setup(sparks, utf8),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
