/* SPDX-License-Identifier: Apache-2.0 */
/* near_test.c - how many edits lie between two words, and which one is near. */
#include "base/near.h"
#include <stddef.h>
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void edits_are_counted(void **state) {
    static const struct {
        const char *a, *b;
        unsigned edits;
    } cases[] = {
        {"", "", 0},           {"a", "a", 0},      {"abc", "ABC", 0},
        {"", "a", 1},          {"abc", "abd", 1},  {"abc", "ab", 1},
        {"abc", "bc", 1},      {"abc", "xabc", 1}, {"abc", "acb", 1},
        {"abcd", "badc", 2},   {"abc", "xyc", 2},  {"abc", "c", 2},
        {"abc", "abcde", 2},   {"abc", "ad", 2},   {"abc", "xyz", 3},
        {"abc", "abcdef", 3},  {"", "abc", 3},     {"a/b", "a//b", 1},
        {"line1", "line2", 1}, {"teh", "the", 1},  {"abcdef", "fedcba", 3},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(ae_edits(cases[i].a, cases[i].b, 2), cases[i].edits);
        assert_int_equal(ae_edits(cases[i].b, cases[i].a, 2), cases[i].edits);
    }
    assert_int_equal(ae_edits("kitten", "sitting", 5), 3);
    assert_int_equal(ae_edits("kitten", "sitting", 1), 2);
}

/* However long the names are, this ends soon. */
static void long_names(void **state) {
    char a[256], b[256];

    (void)state;
    memset(a, 'x', sizeof a);
    memset(b, 'x', sizeof b);
    a[255] = b[255] = '\0';
    b[254] = 'y';
    b[253] = 'y';
    for (int n = 0; n < 10000; n++)
        assert_int_equal(ae_edits(a, b, 2), 2);
    b[100] = 'y';
    assert_int_equal(ae_edits(a, b, 2), 3);
}

/* The nearest wins, and less than half of the longer word is edited. */
static void near_words(void **state) {
    struct ae_near near = ae_near("prcies");

    (void)state;
    assert_false(ae_near_try(&near, "orders"));
    assert_true(ae_near_try(&near, "pricess"));
    assert_true(ae_near_try(&near, "prices"));
    assert_false(ae_near_try(&near, "pricey"));
    assert_true(ae_near_try(&near, "PRCIES"));
    assert_int_equal(near.best, 0);
    near = ae_near("su");
    assert_true(ae_near_try(&near, "sub"));
    near = ae_near("test");
    assert_false(ae_near_try(&near, "last"));
    near = ae_near("");
    assert_false(ae_near_try(&near, "a"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edits_are_counted),
        cmocka_unit_test(long_names),
        cmocka_unit_test(near_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
