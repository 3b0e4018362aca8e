/* SPDX-License-Identifier: Apache-2.0 */
/* Filters: substrings and globs. */
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_filter),
        cmocka_unit_test(substrings),
        cmocka_unit_test(globs),
        cmocka_unit_test(many_stars),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
