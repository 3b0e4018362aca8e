/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/geometry.h"
#include "shm/registry_layout.h"
#include "shm/stats_layout.h"
#include <aether/error.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <cmocka.h>

static ae_geometry made(const aether_topic_config *config) {
    ae_geometry geometry;

    assert_int_equal(ae_geometry_make(&geometry, config), 0);
    assert_int_equal(ae_geometry_check(&geometry), 0);
    return geometry;
}

static void everything_lies_inside(const ae_geometry *g) {
    const uint64_t inline_max = ae_inline_max(g);

    assert_true(g->capacity >= AE_CAPACITY_MIN && (g->capacity & (g->capacity - 1)) == 0);
    assert_true(g->slot_size % 8 == 0 && g->slot_size >= AE_SLOT_HEADER + inline_max && g->slot_size <= AE_SLOT_MAX);
    assert_true(g->slots_off >= sizeof(ae_log) && g->slots_off % AE_PAGE == 0);
    const uint64_t slots_end = g->slots_off + g->capacity * g->slot_size, stamps_off = g->stamps_off;
    if (g->latency == AE_LATENCY_OFF)
        assert_true(stamps_off == 0 && g->lanes_off >= slots_end && g->lanes_off < slots_end + AE_PAGE);
    else
        assert_true(stamps_off == slots_end && stamps_off % 8 == 0 && g->lanes_off >= stamps_off + 8 * g->capacity &&
                    g->lanes_off < stamps_off + 8 * g->capacity + AE_PAGE);
    assert_true(g->lanes_off % AE_PAGE == 0);
    assert_true(g->log_bytes == g->lanes_off + AE_PUBLISHERS_MAX * g->lane_bytes);
    assert_int_equal(g->cursors_bytes, sizeof(ae_cursors));
    if (g->lane_bytes == 0) {
        assert_int_equal(inline_max, g->max_message);
        return;
    }
    assert_true(inline_max < g->max_message && inline_max >= sizeof(ae_lane_descriptor));
    assert_true(g->lane_bytes % AE_PAGE == 0 && (g->lane_bytes & (g->lane_bytes - 1)) == 0);
    assert_true(g->lane_bytes >= (g->max_message + AE_LANE_UNIT - 1) / AE_LANE_UNIT * AE_LANE_UNIT);
}

static void defaults_and_presets(void **state) {
    const aether_topic_config none = {0}, throughput = {.preset = AETHER_PRESET_THROUGHPUT},
                              small = {.max_message = 8, .preset = AETHER_PRESET_THROUGHPUT};
    ae_geometry g = made(&none);

    (void)state;
    assert_int_equal(g.max_message, 1016);
    assert_int_equal(g.slot_size, 1024);
    assert_int_equal(g.capacity, 1024);
    assert_int_equal(g.lane_bytes, 0);
    assert_int_equal(g.evict_lag, 0);
    everything_lies_inside(&g);
    g = made(&throughput);
    assert_int_equal(g.capacity, 8192);
    g = made(&small);
    assert_int_equal(g.slot_size, 16);
    assert_int_equal(g.capacity, 512 * 1024);
}

/* The default, stated, gives what stating nothing gives. */
static void stated_defaults(void **state) {
    const ae_geometry none = made(&(aether_topic_config){0}),
                      stated = made(&(aether_topic_config){.preset = AETHER_PRESET_DEFAULT,
                                                           .publishers = AETHER_PUBLISHERS_SHARED,
                                                           .slow = AETHER_SLOW_WAIT,
                                                           .latency = AETHER_LATENCY_SAMPLED});

    (void)state;
    assert_memory_equal(&none, &stated, sizeof none);
}

static void small_rings(void **state) {
    static const struct {
        uint64_t max_message, capacity;
    } cases[] = {{4, 512}, {56, 128}, {1016, 8}, {4088, 8}, {1 << 20, 128}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const ae_geometry g =
            made(&(aether_topic_config){.max_message = cases[i].max_message, .preset = AETHER_PRESET_SMALL});
        everything_lies_inside(&g);
        assert_int_equal(g.capacity, cases[i].capacity);
        assert_int_equal(g.lane_bytes, cases[i].max_message <= AETHER_INLINE_LIMIT ? 0 : 8 * cases[i].max_message);
    }
}

/* Where only short messages are stated, all objects of a topic with a publisher and a subscriber take 64 KiB. */
static void short_messages_give_small_topics(void **state) {
    const uint64_t totals = AE_TOTALS_RECORD, statistics = AE_STATS_PUBLISHER + AE_STATS_RECORD;
    const uint64_t registry = sizeof(ae_registry_topic) + 2 * sizeof(ae_registry_grant);

    (void)state;
    for (uint64_t max = 1; max <= 64; max++) {
        const ae_geometry g = made(&(aether_topic_config){.max_message = max}),
                          small = made(&(aether_topic_config){.max_message = max, .preset = AETHER_PRESET_SMALL});
        everything_lies_inside(&g);
        assert_memory_equal(&g, &small, sizeof g);
        assert_true(g.capacity >= 128);
        /* Of the cursors the first page is allocated. */
        assert_true(g.log_bytes + AE_PAGE + AE_NOTES_BYTES + totals + statistics + registry <= 64 << 10);
    }
    /* Not if anything about the ring is stated, or the length isn't. */
    static const aether_topic_config others[] = {
        {.max_message = 65},
        {.max_message = 64, .preset = AETHER_PRESET_DEFAULT},
        {.max_message = 64, .inline_max = 64},
        {.max_message = 64, .inline_max = 56, .lane_bytes = 4096},
        {.max_message = 8, .slow = AETHER_SLOW_EVICT, .evict_lag = 40000},
        {0},
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        const ae_geometry g = made(&others[i]);
        assert_true(g.lanes_off - g.slots_off > 1 << 19);
    }
    const ae_geometry stated = made(&(aether_topic_config){.max_message = 8, .capacity = 4096});
    assert_int_equal(stated.capacity, 4096);
}

static void every_inline_size(void **state) {
    (void)state;
    for (uint64_t max = 1; max <= AETHER_INLINE_LIMIT; max++) {
        const aether_topic_config by_preset = {.max_message = max, .preset = AETHER_PRESET_DEFAULT},
                                  by_hand = {.max_message = max, .capacity = 32};
        ae_geometry g = made(&by_preset);

        everything_lies_inside(&g);
        assert_int_equal(g.max_message, max);
        assert_int_equal(g.lane_bytes, 0);
        assert_true(g.capacity * g.slot_size <= 1u << 20 && g.capacity * g.slot_size * 2 > 1u << 20);
        g = made(&by_hand);
        everything_lies_inside(&g);
        assert_int_equal(g.capacity, 32);
    }
}

/* Every inline_max below some lengths of messages: lanes if and only if the longest doesn't fit in its slot. */
static void every_inline_max(void **state) {
    static const uint64_t lengths[] = {1, 8, 16, 17, 20, 24, 25, 1016, 4087, 4088, 4089, 1 << 20};

    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        const uint64_t max = lengths[i];
        for (uint64_t inline_max = 1; inline_max <= max && inline_max <= AETHER_INLINE_LIMIT; inline_max++) {
            const aether_topic_config config = {.max_message = max, .inline_max = inline_max};
            const ae_geometry g = made(&config);

            everything_lies_inside(&g);
            assert_true(ae_inline_max(&g) >= inline_max && ae_inline_max(&g) < inline_max + 16);
            if (g.lane_bytes != 0)
                assert_int_equal(g.slot_size,
                                 inline_max <= 16 ? AE_SLOT_LANE_MIN : (AE_SLOT_HEADER + inline_max + 7) / 8 * 8);
        }
    }
}

/* For 8 of the longest message where that is 1 GiB at most, or else for 2; and at least the preset's ring. */
static void lane_has_room(const ae_geometry *g, uint64_t max, uint64_t ring) {
    const uint64_t messages = 8 * (uint64_t)g->max_message <= 1 << 30 ? 8 : 2;

    assert_true(g->max_message >= max && g->max_message < 2 * max);
    assert_true((g->max_message & (g->max_message - 1)) == 0);
    assert_true(g->lane_bytes == messages * g->max_message ||
                (g->lane_bytes == ring && ring > messages * g->max_message));
}

/* Around every power of two up to the longest message. */
static void every_lane_size(void **state) {
    (void)state;
    for (uint64_t power = 4096; power <= AETHER_MAX_MESSAGE_LIMIT; power *= 2) {
        for (uint64_t max = power - 1; max <= power + 1; max++) {
            const aether_topic_config config = {.max_message = max},
                                      throughput = {.max_message = max, .preset = AETHER_PRESET_THROUGHPUT};
            if (max <= AETHER_INLINE_LIMIT || max > AETHER_MAX_MESSAGE_LIMIT)
                continue;
            ae_geometry g = made(&config);
            everything_lies_inside(&g);
            assert_int_equal(ae_inline_max(&g), AETHER_INLINE_LANES_DEFAULT);
            assert_int_equal(g.slot_size, 64);
            assert_int_equal(g.capacity, 16384);
            lane_has_room(&g, max, 1 << 20);
            g = made(&throughput);
            everything_lies_inside(&g);
            assert_int_equal(g.capacity, 131072);
            lane_has_room(&g, max, 8 << 20);
        }
    }
    for (uint64_t lane = 4096; lane <= 1ull << 31; lane *= 2) {
        const ae_geometry g = made(&(aether_topic_config){
            .max_message = lane / 2, .inline_max = 100, .capacity = AE_CAPACITY_MAX, .lane_bytes = lane});
        everything_lies_inside(&g);
        assert_true(g.lane_bytes == lane);
        assert_int_equal(ae_inline_max(&g), 104);
    }
}

static void eviction(void **state) {
    ae_geometry g = made(&(aether_topic_config){.capacity = 64, .slow = AETHER_SLOW_EVICT});

    (void)state;
    assert_int_equal(g.evict_lag, 64);
    for (uint64_t lag = 32; lag <= 64; lag++) {
        g = made(&(aether_topic_config){.capacity = 64, .slow = AETHER_SLOW_EVICT, .evict_lag = lag});
        assert_int_equal(g.evict_lag, lag);
    }
}

static void latency(void **state) {
    aether_topic_config config = {.max_message = 100, .capacity = 1024};
    const ae_geometry sampled = made(&config);

    (void)state;
    assert_int_equal(sampled.latency, AE_LATENCY_SAMPLED);
    assert_int_equal(sampled.lanes_off - sampled.stamps_off, 8 * 1024);
    everything_lies_inside(&sampled);
    config.latency = AETHER_LATENCY_ALL;
    const ae_geometry all = made(&config);
    assert_int_equal(all.latency, AE_LATENCY_ALL);
    assert_int_equal(all.lanes_off, sampled.lanes_off);
    everything_lies_inside(&all);
    config.latency = AETHER_LATENCY_OFF;
    const ae_geometry off = made(&config);
    assert_int_equal(off.latency, AE_LATENCY_OFF);
    assert_int_equal(off.lanes_off, sampled.stamps_off);
    everything_lies_inside(&off);
    for (uint64_t capacity = 8; capacity <= 4096; capacity *= 2) {
        config = (aether_topic_config){.max_message = 1, .capacity = capacity};
        const ae_geometry g = made(&config);
        everything_lies_inside(&g);
        assert_int_equal(g.stamps_off - g.slots_off, 16 * capacity);
        assert_int_equal(g.lanes_off, (g.stamps_off + 8 * capacity + AE_PAGE - 1) / AE_PAGE * AE_PAGE);
    }
}

static void refused(const aether_topic_config *config, const char *text) {
    ae_geometry g;

    assert_int_equal(ae_geometry_make(&g, config), -EINVAL);
    assert_non_null(strstr(aether_errmsg(), text));
}

static void wrong_configurations_are_refused(void **state) {
    static const uint64_t capacities[] = {1, 4, 7, 9, 12, 1023, (1ull << 33), UINT64_MAX, 1ull << 63};
    static const uint64_t lanes[] = {1, 2048, 5000, 8191, 3 << 20, 1ull << 32, UINT64_MAX, 1ull << 63};

    (void)state;
    refused(&(aether_topic_config){.max_message = (1 << 30) + 1}, "1073741824");
    refused(&(aether_topic_config){.max_message = UINT64_MAX}, "1073741824");
    refused(&(aether_topic_config){.max_message = 1 << 20, .inline_max = 4089}, "4088");
    refused(&(aether_topic_config){.max_message = 100, .inline_max = 101}, "more than the longest message has, 100");
    refused(&(aether_topic_config){.inline_max = 1017}, "more than the longest message has, 1016");
    refused(&(aether_topic_config){.preset = (aether_preset)7}, "preset 7");
    for (size_t i = 0; i < sizeof capacities / sizeof capacities[0]; i++)
        refused(&(aether_topic_config){.capacity = capacities[i]}, "power of two");
    refused(&(aether_topic_config){.capacity = 9}, "capacity of 9 slots is not a power of two from 8 to 4294967296");
    for (size_t i = 0; i < sizeof lanes / sizeof lanes[0]; i++)
        refused(&(aether_topic_config){.max_message = 5000, .lane_bytes = lanes[i]}, "power of two");
    refused(&(aether_topic_config){.max_message = 4097, .lane_bytes = 4096}, "room for a message of 8192 bytes");
    refused(&(aether_topic_config){.max_message = 4088, .lane_bytes = 8192}, "there are no lanes");
    refused(&(aether_topic_config){.max_message = 20, .inline_max = 17, .lane_bytes = 8192}, "there are no lanes");
    refused(&(aether_topic_config){.slow = (aether_slow)3}, "slow policy 3");
    refused(&(aether_topic_config){.publishers = (aether_publishers)4}, "publishers 4 is unknown");
    refused(&(aether_topic_config){.latency = (aether_latency_mode)4}, "latency 4 is unknown");
    refused(&(aether_topic_config){.capacity = 64, .evict_lag = 64}, "evict_lag of 64");
    refused(&(aether_topic_config){.capacity = 64, .slow = AETHER_SLOW_EVICT, .evict_lag = 31}, "use 32 to 64");
    refused(&(aether_topic_config){.capacity = 64, .slow = AETHER_SLOW_EVICT, .evict_lag = 65}, "use 32 to 64");
    refused(&(aether_topic_config){.slow = AETHER_SLOW_EVICT, .evict_lag = UINT64_MAX}, "use 512 to 1024");
}

/* A changed bit is refused, unless a configuration exists that has the changed geometry. */
static void damage_is_noticed(void **state) {
    const aether_topic_config configs[] = {
        {.max_message = 100, .capacity = 64, .start_seq = 5},
        {.max_message = 1000, .capacity = 64, .slow = AETHER_SLOW_EVICT, .latency = AETHER_LATENCY_OFF},
        {.max_message = 5000, .inline_max = 100, .capacity = 64, .lane_bytes = 1 << 16, .slow = AETHER_SLOW_EVICT},
    };

    (void)state;
    for (size_t i = 0; i < sizeof configs / sizeof configs[0]; i++) {
        const ae_geometry good = made(&configs[i]);
        unsigned accepted = 0;
        for (size_t bit = 0; bit < sizeof good * 8; bit++) {
            ae_geometry g = good, same;
            ((unsigned char *)&g)[bit / 8] ^= (unsigned char)(1u << bit % 8);
            const int rc = ae_geometry_check(&g);
            const aether_topic_config by_hand = {.max_message = g.max_message,
                                                 .inline_max = ae_inline_max(&g),
                                                 .capacity = g.capacity,
                                                 .lane_bytes = g.lane_bytes,
                                                 .start_seq = g.start_seq,
                                                 .publishers = (aether_publishers)ae_geometry_stated(g.publishers),
                                                 .slow = g.evict_lag != 0 ? AETHER_SLOW_EVICT : AETHER_SLOW_WAIT,
                                                 .evict_lag = g.evict_lag,
                                                 .latency = (aether_latency_mode)ae_geometry_stated(g.latency)};
            const bool whole =
                g.max_message != 0 && ae_geometry_make(&same, &by_hand) == 0 && memcmp(&same, &g, sizeof g) == 0;
            assert_int_equal(rc, whole ? 0 : -EBADMSG);
            accepted += rc == 0;
        }
        /* Any start_seq; some lengths of messages and lags; the other two choices of publishers; all for sampled. */
        assert_true(accepted >= 64 && accepted < 64 + 32);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_and_presets),
        cmocka_unit_test(stated_defaults),
        cmocka_unit_test(short_messages_give_small_topics),
        cmocka_unit_test(small_rings),
        cmocka_unit_test(every_inline_size),
        cmocka_unit_test(every_inline_max),
        cmocka_unit_test(every_lane_size),
        cmocka_unit_test(eviction),
        cmocka_unit_test(latency),
        cmocka_unit_test(wrong_configurations_are_refused),
        cmocka_unit_test(damage_is_noticed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
