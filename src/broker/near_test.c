/* SPDX-License-Identifier: Apache-2.0 */
/* near_test.c - which topic is suggested for a name. */
#include "broker/near.h"
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

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
        cmocka_unit_test(topics_are_suggested),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
