/* SPDX-License-Identifier: Apache-2.0 */
#include "view/metrics.h"
#include "view/out_test.h"
#include <stdbool.h>
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static aether_latency latency; /* too large for the stack */

/* Index of the bucket that counts the value. */
static unsigned bucket_of(uint64_t value) {
    unsigned i = 0;

    while (aether_latency_floor(i + 1) <= value)
        i++;
    return i;
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

static bool ends_with(const char *name, const char *end) {
    return strlen(name) >= strlen(end) && strcmp(name + strlen(name) - strlen(end), end) == 0;
}

/* The forms rely on this. A name may not end with what OpenMetrics appends to the name of a family. */
static void table(void **state) {
    static const char *const reserved[] = {"_total", "_created", "_bucket", "_sum", "_count", "_info"};
    char names[256][AE_METRIC_NAME_SIZE];
    size_t count, families = 0, rows;

    (void)state;
    const aether_metric *t = aether_metrics_table(&count);
    assert_in_range(count, 1, 256);
    for (size_t i = 0; i < count; i++) {
        char name[AE_METRIC_NAME_SIZE];
        ae_metric_family(name, &t[i]);
        assert_true(strlen(name) < AE_METRIC_NAME_SIZE - 1);
        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz_"), strlen(name));
        assert_true(strlen(t[i].help) > 0 && ends_with(t[i].help, "."));
        assert_null(strpbrk(t[i].help, "\\\"\n"));
        assert_true(t[i].size == (t[i].kind == AETHER_HISTOGRAM ? sizeof latency : t[i].size == 4 ? 4 : 8));
        assert_true((t[i].label == NULL) == (t[i].label_value == NULL));
        for (size_t k = 0; k < sizeof reserved / sizeof reserved[0]; k++)
            assert_false(ends_with(name, reserved[k]));
        if (i > 0 && strcmp(name, names[families - 1]) == 0) {
            assert_non_null(t[i].label);
            assert_string_equal(t[i].label, t[i - 1].label);
            assert_string_not_equal(t[i].label_value, t[i - 1].label_value);
            assert_int_equal(t[i].kind, t[i - 1].kind);
            assert_string_equal(t[i].help, t[i - 1].help);
            continue;
        }
        for (size_t k = 0; k < families; k++)
            assert_string_not_equal(name, names[k]); /* families are contiguous */
        strcpy(names[families++], name);
    }
    rows = 0;
    for (aether_scope scope = AETHER_SCOPE_INSTANCE; scope <= AETHER_SCOPE_CLIENT; scope++) {
        size_t of_scope, histograms = 0;
        const aether_metric *first = ae_metrics_of(scope, &of_scope);
        for (size_t i = 0; i < of_scope; i++)
            histograms += first[i].kind == AETHER_HISTOGRAM;
        assert_in_range(of_scope, 1, AE_METRIC_ROWS_MAX);
        assert_in_range(histograms, 0, 1);
        rows += of_scope;
    }
    assert_int_equal(rows, count);
}

static void names(void **state) {
    char text_[AE_METRIC_NAME_SIZE];
    aether_metric metric = {.name = "published", .scope = AETHER_SCOPE_TOPIC, .unit = AETHER_UNIT_MESSAGES};

    (void)state;
    assert_string_equal(ae_metric_family(text_, &metric), "aether_topic_published_messages");
    assert_string_equal(ae_metric_key(text_, &metric), "published");
    metric.unit = AETHER_UNIT_BYTES;
    assert_string_equal(ae_metric_family(text_, &metric), "aether_topic_published_bytes");
    assert_string_equal(ae_metric_key(text_, &metric), "published_bytes");
    metric = (aether_metric){.name = "age", .scope = AETHER_SCOPE_SUBSCRIBER, .unit = AETHER_UNIT_NS};
    assert_string_equal(ae_metric_family(text_, &metric), "aether_subscriber_age_seconds");
    assert_string_equal(ae_metric_key(text_, &metric), "age_ns");
    assert_false(ae_metric_known(&metric, AETHER_UNKNOWN));
    assert_true(ae_metric_known(&metric, 0));
    metric = (aether_metric){.name = "running", .scope = AETHER_SCOPE_INSTANCE};
    assert_string_equal(ae_metric_family(text_, &metric), "aether_daemon_running");
    assert_string_equal(ae_metric_key(text_, &metric), "running");
    assert_true(ae_metric_known(&metric, UINT64_MAX)); /* a counter */
    metric.kind = AETHER_GAUGE;
    assert_false(ae_metric_known(&metric, AETHER_UNKNOWN));
    assert_true(ae_metric_known(&metric, 0));
    metric.unit = AETHER_UNIT_REALTIME_NS;
    assert_false(ae_metric_known(&metric, 0));
}

/* ---- histograms -------------------------------------------------------------------------------------------------- */

/* Each count is in the bucket of its power of two, at the limits too, and none is lost. */
static void powers(void **state) {
    struct ae_powers p;

    (void)state;
    for (unsigned power = 0; power < 42; power++) {
        for (uint64_t near = 0; near <= 2; near++) {
            const uint64_t value = (1ull << power) - 1 + near;
            unsigned at = 0;
            while (at < AE_POWERS && value >= 1ull << (AE_POWER_FIRST + at))
                at++;
            memset(&latency, 0, sizeof latency);
            latency.buckets[bucket_of(value)] = 3;
            ae_powers_from(&p, &latency);
            assert_int_equal(p.counts[at], 3);
            const double middle = p.sum_ns / 3;
            assert_true(middle >= (double)value * (1 - 1.0 / 32) && middle <= (double)value * (1 + 1.0 / 32) + 1);
        }
    }
    memset(&latency, 0, sizeof latency);
    for (unsigned i = 0; i < AETHER_LATENCY_BUCKETS; i++)
        latency.buckets[i] = i;
    latency.overflow = 5;
    latency.samples = 6;
    latency.negative = 7;
    latency.missed = 8;
    ae_powers_from(&p, &latency);
    uint64_t sum = 0;
    for (unsigned i = 0; i <= AE_POWERS; i++)
        sum += p.counts[i];
    assert_int_equal(sum, aether_latency_count(&latency) + 5);
    assert_int_equal(p.samples, 6);
    assert_int_equal(p.negative, 7);
    assert_int_equal(p.missed, 8);
}

/* What no subscriber can have counted, but a program may say. */
static void powers_saturate(void **state) {
    const unsigned first = bucket_of(128), second = bucket_of(129 + 128 / 16);
    struct ae_powers p;

    (void)state;
    memset(&latency, 0, sizeof latency);
    latency.buckets[first] = UINT64_MAX - 1;
    latency.buckets[second] = 5;
    latency.buckets[AETHER_LATENCY_BUCKETS - 1] = 7; /* above the largest limit, as `overflow` */
    latency.overflow = UINT64_MAX;
    ae_powers_from(&p, &latency);
    assert_true(p.counts[2] == UINT64_MAX);
    assert_true(p.counts[AE_POWERS] == UINT64_MAX);
    assert_int_equal(ae_json_line(ae_json_latency(&latency, false), &out), 0);
    assert_true(ae_out_flush(&out));
    /* Numbers of JSON end at 2^63 - 1. */
    assert_non_null(strstr(text, "\"count\":9223372036854775807,"));
    assert_non_null(strstr(text, "\"powers\":[[256,9223372036854775807],[4398046511104,7]]}"));
}

static void latency_as_json(void **state) {
    (void)state;
    memset(&latency, 0, sizeof latency);
    assert_int_equal(ae_json_line(ae_json_latency(&latency, true), &out), 0);
    latency.samples = 4;
    latency.negative = 1;
    latency.missed = 2;
    latency.overflow = 3;
    latency.buckets[bucket_of(10)] = 10;
    latency.buckets[bucket_of(63)] = 20;
    latency.buckets[bucket_of(64)] = 30;
    latency.buckets[AETHER_LATENCY_BUCKETS - 1] = 40;
    assert_int_equal(ae_json_line(ae_json_latency(&latency, false), &out), 0);
    assert_int_equal(ae_json_line(ae_json_latency(&latency, true), &out), 0);
    assert_true(ae_out_flush(&out));
    assert_ptr_equal(
        strstr(text, "{\"count\":0,\"samples\":0,\"negative\":0,\"missed\":0,\"overflow\":0,\"p50_ns\":null,"
                     "\"p90_ns\":null,\"p99_ns\":null,\"p999_ns\":null,\"p9999_ns\":null,\"max_ns\":null,\"powers\":[],"
                     "\"buckets\":[]}\n{\"count\":100,\"samples\":4,\"negative\":1,\"missed\":2,"
                     "\"overflow\":3,\"p50_ns\":"),
        text);
    assert_non_null(strstr(text, "\"powers\":[[64,30],[128,30],[4398046511104,40]]}\n"));
    assert_non_null(strstr(text, "\"powers\":[[64,30],[128,30],[4398046511104,40]],"
                                 "\"buckets\":[[11,10],[64,20],[68,30],[4398046511104,40]]}\n"));
}

/* ---- figures as JSON --------------------------------------------------------------------------------------------- */

static void figures_as_json(void **state) {
    static aether_topic_metrics topic;
    struct ae_json o = ae_json_object();

    (void)state;
    topic.published = 12;
    topic.published_bytes = 96;
    topic.age_ns = AETHER_UNKNOWN;
    topic.lag = 7;
    topic.lost_by[AETHER_LOST_RING] = 3;
    topic.lost_by[AETHER_LOST_EVICTED] = 4;
    ae_json_figures(&o, AETHER_SCOPE_TOPIC, &topic);
    assert_int_equal(ae_json_line(o, &out), 0);
    assert_true(ae_out_flush(&out));
    static const char *const parts[] = {"\"published\":12",
                                        "\"published_bytes\":96",
                                        "\"age_ns\":null",
                                        "\"lag\":7",
                                        "\"lost\":7",
                                        "\"created_ns\":null",
                                        "\"latency\":{\"count\":0",
                                        "\"lost_by\":{\"evicted\":4,\"lane\":0,\"retained\":0,\"ring\":3}"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (strstr(text, parts[i]) == NULL)
            fail_msg("%s isn't in %s", parts[i], text);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, open_out, close_out)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(table), CASE(names), CASE(powers), CASE(powers_saturate), CASE(latency_as_json), CASE(figures_as_json),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
