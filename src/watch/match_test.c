/* SPDX-License-Identifier: Apache-2.0 */
/* Filters: substrings and globs; and patterns of levels. */
#include "watch/match.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void no_filter(void **state) {
    (void)state;
    assert_true(ae_watch_match(NULL, "a"));
    assert_true(ae_watch_match("", "a"));
}

static void substrings(void **state) {
    (void)state;
    assert_true(ae_watch_match("eur", "market/eur/usd"));
    assert_true(ae_watch_match("market/eur/usd", "market/eur/usd"));
    assert_true(ae_watch_match("EUR", "market/eur/usd"));
    assert_true(ae_watch_match("usd", "market/EUR/USD"));
    assert_true(ae_watch_match("aab", "aaab"));
    assert_false(ae_watch_match("gbp", "market/eur/usd"));
    assert_false(ae_watch_match("usdx", "market/eur/usd"));
    assert_true(ae_watch_match("[", "a[b"));
}

static void globs(void **state) {
    (void)state;
    assert_true(ae_watch_match("*", "a"));
    assert_true(ae_watch_match("market/*", "market/eur/usd"));
    assert_true(ae_watch_match("*/usd", "market/eur/usd"));
    assert_true(ae_watch_match("M*r*D", "market/eur/usd"));
    assert_true(ae_watch_match("a*b*c", "a-bb-b-c"));
    assert_true(ae_watch_match("?", "\xc3\xa4"));
    assert_true(ae_watch_match("a?c*", "abc"));
    assert_false(ae_watch_match("a?c", "ac"));
    assert_false(ae_watch_match("market/*", "a/market/eur"));
    assert_false(ae_watch_match("*eur", "market/eur/usd"));
    assert_false(ae_watch_match("?", "ab"));
    assert_false(ae_watch_match("**?", ""));
    assert_true(ae_watch_match("**", ""));
}

/* Each star that could begin anywhere would take exponential time if earlier stars were tried again. */
static void many_stars(void **state) {
    char name[256], filter[256];

    (void)state;
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    for (size_t i = 0; i + 1 < sizeof filter; i++)
        filter[i] = i % 2 == 0 ? 'a' : '*';
    filter[sizeof filter - 2] = 'b';
    filter[sizeof filter - 1] = '\0';
    assert_false(ae_watch_match(filter, name));
}

static void levels(void **state) {
    static const struct {
        const char *pattern, *name;
        bool admits;
    } cases[] = {
        {"a/b", "a/b", true},      {"a/b", "a/B", false},
        {"a/b", "a", false},       {"a", "a/b", false},
        {"+", "a", true},          {"+", "a/b", false},
        {"a/+", "a/b", true},      {"a/+", "a", false},
        {"a/+", "a/b/c", false},   {"+/b", "a/b", true},
        {"+/b", "a/c", false},     {"a/+/c", "a/b/c", true},
        {"a/+/c", "a/b/d", false}, {"#", "a", true},
        {"#", "a/b/c", true},      {"a/#", "a", true},
        {"a/#", "a/b/c", true},    {"a/#", "ab", false},
        {"a/#", "b/a", false},     {"+/#", "a", true},
        {"+/b/#", "a/b", true},    {"+/b/#", "a/c", false},
        {"a/+/#", "a", false},     {"a/+/#", "a/b", true},
        {"a*", "ab", false},       {"\xff/+", "\xff/\xfe", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_true(ae_watch_pattern_valid(cases[i].pattern));
        if (ae_watch_match_levels(cases[i].pattern, cases[i].name) != cases[i].admits)
            fail_msg("%s %s", cases[i].pattern, cases[i].name);
    }
    static const char *const bad[] = {"a+", "+a", "a/b+", "#/a", "a#", "a/#/b", "##", "a/+#", "++"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(ae_watch_pattern_valid(bad[i]));
    assert_true(ae_watch_is_pattern("a/+"));
    assert_true(ae_watch_is_pattern("#"));
    assert_false(ae_watch_is_pattern("a/*?"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_filter),  cmocka_unit_test(substrings), cmocka_unit_test(globs),
        cmocka_unit_test(many_stars), cmocka_unit_test(levels),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
