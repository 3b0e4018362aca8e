/* SPDX-License-Identifier: Apache-2.0 */
/* escape_test.c - UTF-8, escapes, base64. */
#include "view/escape.h"
/* cmocka.h needs these before it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define VALID(text) assert_true(ae_utf8_valid((text), sizeof(text) - 1))
#define INVALID(text) assert_false(ae_utf8_valid((text), sizeof(text) - 1))

static void utf8(void **state) {
    (void)state;
    VALID("");
    VALID("plain\n\0nul");
    VALID("\x7f");
    VALID("\xc2\x80");
    VALID("\xdf\xbf");
    VALID("\xe0\xa0\x80");
    VALID("\xed\x9f\xbf");
    VALID("\xee\x80\x80");
    VALID("\xef\xbf\xbf");
    VALID("\xf0\x90\x80\x80");
    VALID("\xf4\x8f\xbf\xbf");
    INVALID("\x80");
    INVALID("\xbf");
    INVALID("\xc0\x80");         /* overlong NUL */
    INVALID("\xc1\xbf");         /* overlong */
    INVALID("\xe0\x9f\xbf");     /* overlong */
    INVALID("\xf0\x8f\xbf\xbf"); /* overlong */
    INVALID("\xed\xa0\x80");     /* surrogate */
    INVALID("\xed\xbf\xbf");     /* surrogate */
    INVALID("\xf4\x90\x80\x80"); /* past U+10FFFF */
    INVALID("\xf5\x80\x80\x80");
    INVALID("\xff");
    INVALID("\xc3");     /* cut */
    INVALID("\xe2\x82"); /* cut */
    INVALID("\xf0\x9f\x98");
    INVALID("\xc3(");
    INVALID("\xe2\x82(");
    assert_int_equal(ae_utf8_width("Z\xc3\xbcrich"), 6);
}

static void escapes(const char *bytes, size_t len, const char *expected) {
    char *dst = malloc(AE_ESCAPED_SIZE(len));

    assert_non_null(dst);
    assert_int_equal(ae_escape(dst, bytes, len), strlen(expected));
    assert_string_equal(dst, expected);
    free(dst);
}
#define ESCAPES(text, expected) escapes((text), sizeof(text) - 1, expected)

static void escape(void **state) {
    (void)state;
    ESCAPES("", "");
    ESCAPES("Z\xc3\xbcrich", "Z\xc3\xbcrich");
    ESCAPES("a\nb\tc\rd\\", "a\\nb\\tc\\rd\\\\");
    ESCAPES("\x1b[2J\x07\x7f", "\\x1b[2J\\x07\\x7f");
    ESCAPES("a\0b", "a\\x00b");
    ESCAPES("\xc2\x9b"
            "31m",
            "\\xc2\\x9b31m");                   /* C1: control sequence introducer */
    ESCAPES("\xe2\x80\xae", "\\xe2\\x80\\xae"); /* right-to-left override */
    ESCAPES("\xef\xbb\xbf", "\\xef\\xbb\\xbf"); /* byte order mark */
    ESCAPES("\xff\xc3", "\\xff\\xc3");          /* not UTF-8 */
    ESCAPES("\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80");
}

static void encodes(const char *bytes, const char *expected) {
    char dst[AE_BASE64_SIZE(16)];

    assert_int_equal(ae_base64(dst, bytes, strlen(bytes)), strlen(expected));
    assert_string_equal(dst, expected);
}

/* RFC 4648, section 10. */
static void base64(void **state) {
    (void)state;
    encodes("", "");
    encodes("f", "Zg==");
    encodes("fo", "Zm8=");
    encodes("foo", "Zm9v");
    encodes("foob", "Zm9vYg==");
    encodes("fooba", "Zm9vYmE=");
    encodes("foobar", "Zm9vYmFy");
    encodes("\xff\xfe\xfb\xff", "//77/w==");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utf8),
        cmocka_unit_test(escape),
        cmocka_unit_test(base64),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
