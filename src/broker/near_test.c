/* SPDX-License-Identifier: Apache-2.0 */
/* near_test.c - how many edits lie between two names, and which topic is suggested. */
#include "broker/near.h"
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

static void topics_are_suggested(void **state) {
    static ae_registry_topic topics[5];
    struct ae_broker broker = {.registry = {.topics = topics, .topics_max = 5}};
    static const struct {
        const char *name;
        uint64_t state, shape;
    } records[5] = {{"market/eur", AE_RECORD_LIVE, AE_SHAPE_FIXED},
                    {"market/usd", AE_RECORD_LIVE, AE_SHAPE_MADE},
                    {"plant/line1", AE_RECORD_LIVE, AE_SHAPE_OPEN},
                    {"plant/line3", AE_RECORD_FREE, AE_SHAPE_FIXED},
                    {"ab", AE_RECORD_LIVE, AE_SHAPE_FIXED}};

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        strcpy(topics[i].name, records[i].name);
        topics[i].state.v = 0x700 | records[i].state;
        topics[i].shape.v = 0x300 | records[i].shape;
    }
    assert_string_equal(ae_topic_near(&broker, "market/euro"), "market/eur");
    assert_string_equal(ae_topic_near(&broker, "Market/EUR"), "market/eur");
    assert_string_equal(ae_topic_near(&broker, "market/udd"), "market/usd");
    assert_null(ae_topic_near(&broker, "market/xyz"));
    assert_null(ae_topic_near(&broker, "plant/line2"));
    assert_null(ae_topic_near(&broker, "ac"));
    assert_string_equal(ae_topic_near(&broker, "abc"), "ab");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edits_are_counted),
        cmocka_unit_test(long_names),
        cmocka_unit_test(topics_are_suggested),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
