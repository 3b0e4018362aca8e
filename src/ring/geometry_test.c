/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/geometry.h"
#include <aether/error.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static ae_geometry made(const aether_topic_config *config) {
    ae_geometry geometry;

    assert_int_equal(ae_geometry_make(&geometry, config), 0);
    assert_int_equal(ae_geometry_check(&geometry), 0);
    return geometry;
}

static void every_slot_lies_inside(const ae_geometry *g) {
    assert_true(g->capacity >= AE_CAPACITY_MIN && (g->capacity & (g->capacity - 1)) == 0);
    assert_true(g->slot_size % 8 == 0 && g->slot_size >= AE_SLOT_HEADER + g->max_message &&
                g->slot_size <= AE_SLOT_MAX);
    assert_true(g->slots_off >= sizeof(ae_log) && g->slots_off % AE_PAGE == 0);
    assert_true(g->slots_off + g->capacity * g->slot_size <= g->log_bytes);
    assert_true(g->log_bytes % AE_PAGE == 0);
    assert_int_equal(g->cursors_bytes, sizeof(ae_cursors));
}

static void defaults_and_presets(void **state) {
    const aether_topic_config none = {0}, throughput = {.preset = AETHER_PRESET_THROUGHPUT},
                              small = {.max_message = 8, .preset = AETHER_PRESET_THROUGHPUT};
    ae_geometry g = made(&none);

    (void)state;
    assert_int_equal(g.max_message, 1016);
    assert_int_equal(g.slot_size, 1024);
    assert_int_equal(g.capacity, 1024);
    every_slot_lies_inside(&g);
    g = made(&throughput);
    assert_int_equal(g.capacity, 8192);
    g = made(&small);
    assert_int_equal(g.slot_size, 16);
    assert_int_equal(g.capacity, 512 * 1024);
}

static void every_message_size(void **state) {
    (void)state;
    for (uint64_t max = 1; max <= AETHER_MAX_MESSAGE_LIMIT; max++) {
        const aether_topic_config by_preset = {.max_message = max}, by_hand = {.max_message = max, .capacity = 32};
        ae_geometry g = made(&by_preset);

        every_slot_lies_inside(&g);
        assert_int_equal(g.max_message, max);
        assert_true(g.capacity * g.slot_size <= 1u << 20 && g.capacity * g.slot_size * 2 > 1u << 20);
        g = made(&by_hand);
        every_slot_lies_inside(&g);
        assert_int_equal(g.capacity, 32);
    }
}

static void refused(const aether_topic_config *config, const char *text) {
    ae_geometry g;

    assert_int_equal(ae_geometry_make(&g, config), -EINVAL);
    assert_non_null(strstr(aether_errmsg(), text));
}

static void wrong_configurations_are_refused(void **state) {
    static const uint64_t capacities[] = {1, 4, 7, 9, 12, 1023, (1ull << 33), UINT64_MAX, 1ull << 63};

    (void)state;
    refused(&(aether_topic_config){.max_message = 4089}, "4088");
    refused(&(aether_topic_config){.max_message = UINT64_MAX}, "4088");
    refused(&(aether_topic_config){.preset = (aether_preset)7}, "preset");
    for (size_t i = 0; i < sizeof capacities / sizeof capacities[0]; i++)
        refused(&(aether_topic_config){.capacity = capacities[i]}, "power of two");
    refused(&(aether_topic_config){.capacity = 9}, "capacity of 9 slots is not a power of two from 8 to 4294967296");
}

/* A changed bit is noticed unless the result is as whole: any start_seq, a max_message of the same slot size. */
static void damage_is_noticed(void **state) {
    const aether_topic_config config = {.max_message = 100, .capacity = 64, .start_seq = 5};
    const ae_geometry good = made(&config);

    (void)state;
    for (size_t bit = 0; bit < sizeof good * 8; bit++) {
        ae_geometry g = good;
        ((unsigned char *)&g)[bit / 8] ^= (unsigned char)(1u << bit % 8);
        if (g.start_seq != good.start_seq || (g.max_message > 96 && g.max_message <= 104 && g.max_message != 100))
            assert_int_equal(ae_geometry_check(&g), 0);
        else
            assert_int_equal(ae_geometry_check(&g), -EBADMSG);
    }
}

static void mismatch_names_both(void **state) {
    const aether_topic_config config = {.max_message = 100, .capacity = 64, .start_seq = 5};
    const ae_geometry g = made(&config);

    (void)state;
    assert_int_equal(ae_geometry_match(&g, &config, "t"), 0);
    assert_int_equal(ae_geometry_match(&g, &(aether_topic_config){0}, "t"), 0);
    assert_int_equal(ae_geometry_match(&g, &(aether_topic_config){.max_message = 104}, "t/x"), -EEXIST);
    assert_non_null(strstr(aether_errmsg(), "t/x"));
    assert_non_null(strstr(aether_errmsg(), "104"));
    assert_non_null(strstr(aether_errmsg(), "100"));
    assert_int_equal(ae_geometry_match(&g, &(aether_topic_config){.capacity = 128}, "t"), -EEXIST);
    assert_non_null(strstr(aether_errmsg(), "128"));
    assert_int_equal(ae_geometry_match(&g, &(aether_topic_config){.start_seq = 6}, "t"), -EEXIST);
    assert_int_equal(ae_geometry_match(&g, &(aether_topic_config){.preset = AETHER_PRESET_THROUGHPUT}, "t"), -EEXIST);
    assert_int_equal(ae_geometry_match(&g, &(aether_topic_config){.preset = (aether_preset)9}, "t"), -EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_and_presets),
        cmocka_unit_test(every_message_size),
        cmocka_unit_test(wrong_configurations_are_refused),
        cmocka_unit_test(damage_is_noticed),
        cmocka_unit_test(mismatch_names_both),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
