/* SPDX-License-Identifier: Apache-2.0 */
#include "export/others.h"
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define SINCE 1000u

static struct ae_others *others;

static int open_others(void **state) {
    (void)state;
    others = ae_others_open(SINCE);
    return others == NULL ? -1 : 0;
}

static int close_others(void **state) {
    (void)state;
    ae_others_close(others);
    return 0;
}

/* Index of a counter of topics that stands alone. */
static size_t row_of(const char *name, aether_unit unit) {
    size_t count;
    const aether_metric *rows = ae_metrics_of(AETHER_SCOPE_TOPIC, &count);

    for (size_t i = 0; i < count; i++)
        if (strcmp(rows[i].name, name) == 0 && rows[i].unit == unit)
            return i;
    fail_msg("no row %s", name);
    return 0;
}

static aether_topic_metrics topic; /* too large for the stack */

static void see(uint64_t id, uint64_t created_ns, uint64_t published) {
    memset(&topic, 0, sizeof topic);
    topic.info.id = id;
    topic.info.created_ns = topic.info.created_mono_ns = created_ns;
    topic.published = published;
    topic.latency.buckets[100] = published;
    topic.latency.samples = published;
    assert_int_equal(ae_others_topic(others, &topic), 0);
}

static void name(uint64_t id, uint64_t created_ns) {
    const aether_topic_info info = {.id = id, .created_ns = created_ns};

    ae_others_named(others, &info);
}

static void assert_sum(uint64_t expected) {
    const struct ae_view_sum *sum = ae_others_end(others);
    uint64_t messages = 0;

    for (size_t i = 0; i <= AE_POWERS; i++)
        messages += sum->latency.counts[i];
    assert_int_equal(sum->values[row_of("published", AETHER_UNIT_MESSAGES)], expected);
    assert_int_equal(messages, expected);
    assert_int_equal(sum->latency.samples, expected);
}

/* All counters of a topic have room, and each is in the sum. */
static void all_counters(void **state) {
    size_t count;
    const aether_metric *rows = ae_metrics_of(AETHER_SCOPE_TOPIC, &count);

    (void)state;
    memset(&topic, 0, sizeof topic);
    topic.info.created_ns = topic.info.created_mono_ns = SINCE;
    for (size_t i = 0; i < count; i++) {
        uint64_t value = i + 1;
        if (rows[i].kind == AETHER_COUNTER) {
            assert_int_equal(rows[i].size, sizeof value);
            memcpy((unsigned char *)&topic + rows[i].offset, &value, sizeof value);
        }
    }
    ae_others_begin(others);
    assert_int_equal(ae_others_topic(others, &topic), 0);
    const struct ae_view_sum *sum = ae_others_end(others);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(sum->values[i], rows[i].kind == AETHER_COUNTER ? i + 1 : 0);
}

static void old_topics_add_what_they_gain(void **state) {
    (void)state;
    ae_others_begin(others);
    see(1, SINCE - 1, 100);
    see(2, SINCE, 5);
    assert_sum(5);
    ae_others_begin(others);
    see(2, SINCE, 6);
    see(1, SINCE - 1, 110);
    assert_sum(16);
}

static void named_topics_add_nothing(void **state) {
    (void)state;
    ae_others_begin(others);
    see(1, SINCE, 100);
    see(2, SINCE, 10);
    name(1, SINCE);
    assert_sum(10);
    ae_others_begin(others); /* now the other one is shown by name */
    see(1, SINCE, 101);
    see(2, SINCE, 50);
    name(2, SINCE);
    assert_sum(11);
    ae_others_begin(others);
    see(1, SINCE, 101);
    see(2, SINCE, 51);
    assert_sum(12);
    name(99, SINCE); /* unknown */
}

static void ended_topics_stay_in_the_sum(void **state) {
    (void)state;
    ae_others_begin(others);
    see(1, SINCE, 100);
    assert_sum(100);
    ae_others_begin(others);
    assert_sum(100);
    ae_others_begin(others);
    see(1, SINCE + 1, 3); /* created anew: another topic, though the id is the same */
    assert_sum(103);
    ae_others_begin(others);
    see(1, SINCE + 1, 2); /* went back */
    assert_sum(103);
}

/* A topic whose counters go back once and return has gained nothing by that. */
static void a_step_back_is_passing(void **state) {
    (void)state;
    ae_others_begin(others);
    see(1, SINCE, 1000);
    assert_sum(1000);
    ae_others_begin(others);
    see(1, SINCE, 10);
    assert_sum(1000);
    ae_others_begin(others);
    see(1, SINCE, 1005);
    assert_sum(1005);
}

/* The pass ends early, with an error: nothing is forgotten. */
static void a_pass_that_fails(void **state) {
    (void)state;
    ae_others_begin(others);
    see(1, SINCE, 10);
    see(2, SINCE, 100);
    assert_sum(110);
    ae_others_begin(others);
    see(1, SINCE, 15);
    ae_others_begin(others);
    see(1, SINCE, 16);
    see(2, SINCE, 100);
    assert_sum(116);
}

static void many_topics(void **state) {
    (void)state;
    for (uint64_t pass = 1; pass <= 3; pass++) {
        ae_others_begin(others);
        for (uint64_t id = 0; id < 3000; id++)
            see(id << 7, SINCE, pass);
        assert_sum(3000 * pass);
    }
    ae_others_begin(others);
    see(UINT64_MAX, UINT64_MAX, UINT64_MAX - 9001);
    const struct ae_view_sum *sum = ae_others_end(others);
    assert_true(sum->values[row_of("published", AETHER_UNIT_MESSAGES)] == UINT64_MAX - 1);
    ae_others_begin(others);
    see(1, UINT64_MAX, UINT64_MAX);
    (void)ae_others_end(others);
    assert_true(sum->values[row_of("published", AETHER_UNIT_MESSAGES)] == UINT64_MAX);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, open_others, close_others)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(all_counters),
        CASE(old_topics_add_what_they_gain),
        CASE(named_topics_add_nothing),
        CASE(ended_topics_stay_in_the_sum),
        CASE(a_step_back_is_passing),
        CASE(a_pass_that_fails),
        CASE(many_topics),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
