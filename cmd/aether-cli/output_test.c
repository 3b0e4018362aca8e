/* SPDX-License-Identifier: Apache-2.0 */
/* output_test.c - amounts, UTF-8, escapes, base64, tables, JSON. */
#include "output.h"
#include "cli.h"
/* cmocka wants these first */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* What output.c takes from main.c. */
static char fault[1024];

int cli_fault(int status, const char *format, ...) {
    va_list args;

    va_start(args, format);
    vsnprintf(fault, sizeof fault, format, args);
    va_end(args);
    return status;
}

static void amounts(void **state) {
    char buf[OUT_AMOUNT];

    (void)state;
    assert_string_equal(out_bytes(buf, 0), "0 B");
    assert_string_equal(out_bytes(buf, 1023), "1023 B");
    assert_string_equal(out_bytes(buf, 1024), "1 KiB");
    assert_string_equal(out_bytes(buf, 1536), "1.50 KiB");
    assert_string_equal(out_bytes(buf, 64u << 20), "64 MiB");
    assert_string_equal(out_bytes(buf, UINT64_MAX), "16 EiB");
    assert_string_equal(out_rate(buf, 0), "0/s");
    assert_string_equal(out_rate(buf, 950), "950/s");
    assert_string_equal(out_rate(buf, 1250000), "1.25 M/s");
    assert_string_equal(out_rate(buf, 999.7), "1.00 k/s");
    assert_string_equal(out_duration(buf, 85e-9), "85 ns");
    assert_string_equal(out_duration(buf, 1.25e-6), "1.25 us");
    assert_string_equal(out_duration(buf, 0.0123), "12.3 ms");
    assert_string_equal(out_duration(buf, 61), "1 min 01 s");
    assert_string_equal(out_duration(buf, 7500), "2 h 05 min");
    assert_string_equal(out_duration(buf, 273600), "3 d 4 h");
    assert_true(strlen(out_duration(buf, 1e300)) < OUT_AMOUNT);
    assert_string_equal(out_count(buf, 0), "0");
    assert_string_equal(out_count(buf, 999), "999");
    assert_string_equal(out_count(buf, 1000), "1,000");
    assert_string_equal(out_count(buf, UINT64_MAX), "18,446,744,073,709,551,615");
}

#define VALID(text) assert_true(utf8_valid((text), sizeof(text) - 1))
#define INVALID(text) assert_false(utf8_valid((text), sizeof(text) - 1))

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
    assert_int_equal(utf8_width("Z\xc3\xbcrich"), 6);
}

static void escapes(const char *bytes, size_t len, const char *expected) {
    char *dst = malloc(OUT_ESCAPED(len));

    assert_non_null(dst);
    assert_int_equal(out_escape(dst, bytes, len), strlen(expected));
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
    char dst[OUT_BASE64(16)];

    assert_int_equal(out_base64(dst, bytes, strlen(bytes)), strlen(expected));
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

/* Runs print with stdout in a file and returns what it wrote. */
static char *captured(void (*print)(void)) {
    static char text[4096];
    FILE *file = tmpfile();
    const int saved = dup(STDOUT_FILENO);

    assert_non_null(file);
    fflush(stdout);
    dup2(fileno(file), STDOUT_FILENO);
    print();
    fflush(stdout);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

static void two_rows(void) {
    struct table table;

    table_init(&table, "TOPIC|>COUNT|NOTE");
    table_text(&table, "Z\xc3\xbcrich\n", 8);
    table_cell(&table, "%d", 5);
    table_cell(&table, "x");
    table_text(&table, "b", 1);
    table_cell(&table, "%d", 1234567);
    table_cell(&table, "%s", "");
    table_print(&table);
}

static void tables(void **state) {
    (void)state;
    assert_string_equal(captured(two_rows), "TOPIC       COUNT  NOTE\n"
                                            "Z\xc3\xbcrich\\n        5  x\n"
                                            "b         1234567  \n");
}

static void json_lines(void) {
    json_t *object = json_object();

    assert_true(out_json_bytes(object, "a", "x\0\"\n", 4));
    assert_true(out_json_bytes(object, "b", "\xc0\x80", 2));
    assert_true(out_json_bytes(object, "c", NULL, 0));
    assert_int_equal(json_object_set_new(object, "n", out_json_u64(UINT64_MAX)), 0);
    assert_true(out_json_line(object));
    assert_false(out_json_line(NULL));
}

static void json(void **state) {
    (void)state;
    assert_string_equal(captured(json_lines),
                        "{\"a\":\"x\\u0000\\\"\\n\",\"b_b64\":\"wIA=\",\"c\":\"\",\"n\":9223372036854775807}\n");
    assert_non_null(strstr(fault, "memory"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(amounts), cmocka_unit_test(utf8),   cmocka_unit_test(escape),
        cmocka_unit_test(base64),  cmocka_unit_test(tables), cmocka_unit_test(json),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
