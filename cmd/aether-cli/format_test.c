/* SPDX-License-Identifier: Apache-2.0 */
/* format_test.c - each letter, and what is wrong with a format. */
#include "format.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void expect(const char *format, const aether_message *message, const char *wanted, size_t len) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    assert_int_equal(format_check(format), 0);
    format_write(out, format, "a/b", UINT64_C(1795824123000456789), message);
    fclose(out);
    assert_int_equal(size, len);
    assert_memory_equal(text, wanted, len);
    free(text);
}
#define BYTES(text) text, sizeof(text) - 1

static void letters(void **state) {
    const aether_message message = {.seq = UINT64_MAX, .data = "p\0\xff", .len = 3};
    const aether_message empty = {.seq = 0, .data = "", .len = 0};

    (void)state;
    expect("%t %s %l %p\\n", &message, BYTES("a/b 18446744073709551615 3 p\0\xff\n"));
    expect("%x|%T|%%|\\\\|\\t|\\0|", &message, BYTES("7000ff|2026-11-28T00:02:03.000456Z|%|\\|\t|\0|"));
    expect("%x%p%l", &empty, BYTES("0"));
    expect("%%s", &message, BYTES("%s"));
    expect("\\\\n", &message, BYTES("\\n"));
    expect("no letters", &message, BYTES("no letters"));
}

static void wrong(void **state) {
    static const char *const bad[] = {"%", "%s %", "\\", "%q", "\\x", "%%%", "%S", "%\xff"};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(format_check(bad[i]), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(letters), cmocka_unit_test(wrong)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
