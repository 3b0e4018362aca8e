/* SPDX-License-Identifier: Apache-2.0 */
#include "export/target.h"
#include <stdint.h>
#include <string.h>
#include <strings.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct ae_target target;

static void paths(void **state) {
    static const struct {
        const char *text, *host, *path, *query;
    } cases[] = {
        {"/", "", "/", ""},
        {"", "", "", ""},
        {"*", "", "*", ""},
        {"/healthz", "", "/healthz", ""},
        {"/healthz?", "", "/healthz", ""},
        {"/healthz?a=b?c", "", "/healthz", "a=b?c"},
        {"/%68ealth%7A", "", "/healthz", ""},
        {"/a%2Db%2e%5f%7e", "", "/a-b._~", ""},
        {"/healthz%00", "", "/healthz%00", ""},
        {"/healthz%00x", "", "/healthz%00x", ""},
        {"/%2fhealthz", "", "/%2fhealthz", ""},
        {"/api%2Ftopics.json", "", "/api%2Ftopics.json", ""},
        {"/%3Fx", "", "/%3Fx", ""},
        {"/%25%36%38", "", "/%2568", ""},
        {"/healthz%", "", "/healthz%", ""},
        {"/healthz%6", "", "/healthz%6", ""},
        {"/healthz%6?8", "", "/healthz%6", "8"},
        {"/healthz%zz", "", "/healthz%zz", ""},
        {"//healthz", "", "//healthz", ""},
        {"/./healthz", "", "/./healthz", ""},
        {"/%2e%2e/healthz", "", "/../healthz", ""},
        {"http://localhost/healthz?x", "localhost", "/healthz", "x"},
        {"HTTP://[::1]:9477", "[::1]:9477", "/", ""},
        {"http://localhost?x", "localhost", "/", "x"},
        {"http:///healthz", "", "/healthz", ""},
        {"https://localhost/healthz", "", "https://localhost/healthz", ""},
        {"http://user@evil.example:1//", "user@evil.example:1", "//", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ae_target_parse(&target, cases[i].text);
        assert_false(target.too_long);
        assert_int_equal(target.absolute, strncasecmp(cases[i].text, "http://", 7) == 0);
        assert_string_equal(target.host, cases[i].host);
        assert_string_equal(target.path, cases[i].path);
        assert_string_equal(target.query, cases[i].query);
    }
}

static void lengths(void **state) {
    char text[AE_TARGET_MAX + 2];

    (void)state;
    memset(text, '/', sizeof text);
    text[AE_TARGET_MAX + 1] = '\0';
    ae_target_parse(&target, text);
    assert_true(target.too_long);
    assert_string_equal(target.path, "");
    text[AE_TARGET_MAX] = '\0';
    ae_target_parse(&target, text);
    assert_false(target.too_long);
    assert_string_equal(target.path, text);
}

/* The value of the argument "topic", which has room for 7 bytes. */
static void arguments(void **state) {
    static const struct {
        const char *query;
        int found;
        const char *value;
        size_t len;
    } cases[] = {
        {"", 0, "", 0},
        {"topic", 1, "", 0},
        {"topic&x", 1, "", 0},
        {"topi", 0, "", 0},
        {"topics=a", 0, "", 0},
        {"xtopic=a", 0, "", 0},
        {"x=topic=a", 0, "", 0},
        {"topic=", 1, "", 0},
        {"topic=a", 1, "a", 1},
        {"&&x&topic=a%2Fb", 1, "a/b", 3},
        {"topic=a&topic=b", 1, "a", 1},
        {"topic=a=b?c#d", 1, "a=b?c#d", 7},
        {"topic=a+b%2B", 1, "a b+", 4},
        {"topic=%00", 1, "\0", 1},
        {"topic=a%00b", 1, "a\0b", 3},
        {"topic=%", 1, "%", 1},
        {"topic=%4&1", 1, "%4", 2},
        {"topic=%zz%FF", 1, "%zz\xff", 4},
        {"topic=1234567", 1, "1234567", 7},
        {"topic=12345678", -1, "", 0},
        {"topic=%31%32%33%34%35%36%37", 1, "1234567", 7},
        {"topic=%31%32%33%34%35%36%37%38", -1, "", 0},
    };
    char text[64] = "/?", value[8];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t len = 0;
        memcpy(text + 2, cases[i].query, strlen(cases[i].query) + 1);
        ae_target_parse(&target, text);
        if (ae_target_argument(&target, "topic", value, sizeof value, &len) != cases[i].found)
            fail_msg("%s", cases[i].query);
        if (cases[i].found <= 0)
            continue;
        assert_int_equal(len, cases[i].len);
        assert_memory_equal(value, cases[i].value, len);
        assert_int_equal(value[len], 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(paths), cmocka_unit_test(lengths), cmocka_unit_test(arguments)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
