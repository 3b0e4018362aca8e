/* SPDX-License-Identifier: Apache-2.0 */
#include "view/metrics.h"
#include "view/out_test.h"
#include "view/view.h"
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static const struct ae_view open_view = {.form = &ae_openmetrics_form, .out = &out};
static const struct ae_view plain_view = {.form = &ae_prometheus_form, .out = &out};

static aether_topic_metrics topics[3];
static const aether_topic_metrics *const list[] = {&topics[0], &topics[1], &topics[2]};
static aether_subscriber_metrics subscribers[3];
static aether_publisher_metrics publishers[2];
static aether_instance_metrics instance;

static struct ae_view_metrics plain_record(void) {
    memset(topics, 0, sizeof topics);
    memset(subscribers, 0, sizeof subscribers);
    memset(publishers, 0, sizeof publishers);
    memset(&instance, 0, sizeof instance);
    instance.daemon.running = 1;
    strcpy(topics[0].info.name, "a/b");
    strcpy(topics[1].info.name, "c");
    strcpy(topics[2].info.name, "d");
    return (struct ae_view_metrics){.version = "1.2.3", .instance = &instance, .topics = list, .topic_count = 3};
}

static const char *show(const struct ae_view *view, const struct ae_view_metrics *record) {
    rewind(out.file);
    assert_int_equal(ae_view_metrics(view, record), 0);
    fputc('\0', out.file); /* a longer text may have been there */
    assert_true(ae_out_flush(&out));
    return text;
}

/* Does the text have this line? */
static bool has(const char *line) {
    char wanted[1500];

    snprintf(wanted, sizeof wanted, "\n%s\n", line);
    return strstr(text, wanted) != NULL || (strncmp(text, wanted + 1, strlen(wanted) - 1) == 0);
}

static void assert_has(const char *line) {
    if (!has(line))
        fail_msg("no line %s in\n%s", line, text);
}

/* ---- heads and samples ------------------------------------------------------------------------------------------- */

static void openmetrics(void **state) {
    struct ae_view_metrics m = plain_record();

    (void)state;
    topics[0].published = 5;
    topics[0].published_bytes = UINT64_MAX - 1;
    topics[0].stall_ns = 1500000000;
    topics[1].stall_ns = 1;
    topics[2].stall_ns = UINT64_MAX - 1;
    topics[1].age_ns = AETHER_UNKNOWN;
    topics[0].lost_by[AETHER_LOST_LANE] = 9;
    show(&open_view, &m);
    assert_has("# TYPE aether_topic_published_messages counter");
    assert_has("# UNIT aether_topic_published_messages messages");
    assert_has("aether_topic_published_messages_total{topic=\"a/b\"} 5");
    assert_has("aether_topic_published_bytes_total{topic=\"a/b\"} 18446744073709551614");
    assert_has("# TYPE aether_topic_stall_seconds counter");
    assert_has("# UNIT aether_topic_stall_seconds seconds");
    assert_has("aether_topic_stall_seconds_total{topic=\"a/b\"} 1.5");
    assert_has("aether_topic_stall_seconds_total{topic=\"c\"} 0.000000001");
    assert_has("aether_topic_stall_seconds_total{topic=\"d\"} 18446744073.709551614");
    assert_has("aether_topic_age_seconds{topic=\"a/b\"} 0");
    assert_false(has("aether_topic_age_seconds{topic=\"c\"} 0")); /* it is unknown */
    assert_has("aether_topic_lost_messages_total{topic=\"a/b\",reason=\"lane\"} 9");
    assert_has("aether_topic_lost_messages_total{topic=\"a/b\",reason=\"ring\"} 0");
    assert_has("aether_daemon_running 1");
    assert_has("aether_daemon_stopped 0");
    assert_has("# TYPE aether_build info");
    assert_has("aether_build_info{version=\"1.2.3\"} 1");
    assert_string_equal(text + strlen(text) - 6, "# EOF\n");
}

static void prometheus(void **state) {
    struct ae_view_metrics m = plain_record();
    const struct ae_view_own_metric own[] = {
        {"scrape", "How long it took.", AETHER_GAUGE, AETHER_UNIT_NS, 2500000},
        {"scrapes", "How many.", AETHER_COUNTER, AETHER_UNIT_ONE, 3},
        {"unknown", "Nobody knows.", AETHER_GAUGE, AETHER_UNIT_ONE, AETHER_UNKNOWN},
    };

    (void)state;
    m.own = own;
    m.own_count = 3;
    show(&plain_view, &m);
    assert_has("# TYPE aether_topic_published_messages_total counter");
    assert_has("aether_topic_published_messages_total{topic=\"a/b\"} 0");
    assert_has("# TYPE aether_build_info gauge");
    assert_has("# TYPE aether_metrics_scrape_seconds gauge");
    assert_has("aether_metrics_scrape_seconds 0.0025");
    assert_has("# HELP aether_metrics_scrapes_total How many.");
    assert_has("aether_metrics_scrapes_total 3");
    assert_null(strstr(text, "aether_metrics_unknown"));
    assert_null(strstr(text, "# UNIT"));
    assert_null(strstr(text, "# EOF"));
}

/* Of an instance that isn't there, one thing is known. Nothing else is shown as 0. */
static void no_instance(void **state) {
    const struct ae_view_metrics m = {.version = "1"};

    (void)state;
    show(&open_view, &m);
    assert_has("aether_daemon_running 0");
    assert_null(strstr(text, "aether_daemon_topics"));
    assert_null(strstr(text, "aether_topic_"));
}

/* The lines of a family stand together, each family once, in both forms. */
static void contiguous(void **state) {
    const struct ae_view *const views[] = {&open_view, &plain_view};
    struct ae_view_metrics m = plain_record();

    (void)state;
    topics[0].subscribers = subscribers;
    topics[0].subscriber_count = 3;
    m.peers = 10;
    for (size_t v = 0; v < 2; v++) {
        static char seen[400][128];
        size_t count = 0;
        show(views[v], &m);
        for (const char *line = text; line != NULL && *line != '\0';) {
            char name[128];
            const bool head = strncmp(line, "# HELP ", 7) == 0;
            if (head && sscanf(line + 7, "%127s", name) == 1) {
                for (size_t i = 0; i < count; i++)
                    assert_string_not_equal(seen[i], name);
                assert_in_range(count, 0, 399);
                strcpy(seen[count++], name);
            } else if (*line != '#') {
                assert_true(count > 0);
                assert_memory_equal(line, seen[count - 1], strlen(seen[count - 1]));
            }
            line = strchr(line, '\n');
            line = line != NULL ? line + 1 : NULL;
        }
        assert_in_range(count, 40, 400);
    }
}

/* ---- hostile names ----------------------------------------------------------------------------------------------- */

static void names(void **state) {
    struct ae_view_metrics m = plain_record();

    (void)state;
    strcpy(topics[0].info.name, "a\"} 1\n# EOF\n{x=\"");
    strcpy(topics[1].info.name, "\xff\\xff");
    strcpy(topics[2].info.name, "\\xff\\xff\xe2\x82\xac");
    topics[0].published = topics[1].published = topics[2].published = 7;
    show(&open_view, &m);
    assert_has("aether_topic_published_messages_total{topic=\"a\\\"} 1\\\\n# EOF\\\\n{x=\\\"\"} 7");
    /* As aether-cli shows them: \xff\\xff and \\xff\\xff and the euro sign, each backslash doubled once more. */
    assert_has("aether_topic_published_messages_total{topic=\"\\\\xff\\\\\\\\xff\"} 7");
    assert_has("aether_topic_published_messages_total{topic=\"\\\\\\\\xff\\\\\\\\xff\xe2\x82\xac\"} 7");
}

/* The longest names of the worst bytes fit. */
static void longest(void **state) {
    struct ae_view_metrics m = plain_record();
    char label[2 * 4 * 255 + 1] = "";

    (void)state;
    memset(topics[0].info.name, '\\', 255);
    memset(topics[1].info.name, '\x01', 255);
    topics[1].subscribers = subscribers;
    topics[1].subscriber_count = 1;
    memset(subscribers[0].owner.client, '\xff', 63);
    subscribers[0].owner.pid = UINT32_MAX;
    subscribers[0].owner.grant_id = UINT64_MAX;
    m.peers = 1;
    show(&open_view, &m);
    memset(label, '\\', sizeof label - 1);
    label[255 * 4] = '\0';
    assert_non_null(strstr(text, label));
    for (size_t i = 0; i < 255; i++)
        memcpy(label + i * 5, "\\\\x01", 6);
    assert_non_null(strstr(text, label));
    assert_non_null(strstr(text, "\\\\xff\",pid=\"4294967295\",grant=\"18446744073709551615\"}"));
}

/* ---- histograms -------------------------------------------------------------------------------------------------- */

static void histogram(void **state) {
    struct ae_view_metrics m = plain_record();

    (void)state;
    topics[0].latency.samples = 8;
    topics[0].latency.negative = 1;
    topics[0].latency.missed = 2;
    topics[0].latency.overflow = 4;
    topics[0].latency.buckets[3] = 2;                          /* 3 ns */
    topics[0].latency.buckets[48] = 3;                         /* 64 ns and more */
    topics[0].latency.buckets[AETHER_LATENCY_BUCKETS - 1] = 1; /* nearly 2^42 ns */
    assert_int_equal(aether_latency_floor(48), 64);
    show(&open_view, &m);
    assert_has("# TYPE aether_topic_latency_seconds histogram");
    assert_has("aether_topic_latency_seconds_bucket{topic=\"a/b\",le=\"6.4e-08\"} 2");
    assert_has("aether_topic_latency_seconds_bucket{topic=\"a/b\",le=\"1.28e-07\"} 5");
    assert_has("aether_topic_latency_seconds_bucket{topic=\"a/b\",le=\"0.000131072\"} 5");
    assert_has("aether_topic_latency_seconds_bucket{topic=\"a/b\",le=\"1.073741824\"} 5");
    assert_has("aether_topic_latency_seconds_bucket{topic=\"a/b\",le=\"68.719476736\"} 5");
    assert_has("aether_topic_latency_seconds_bucket{topic=\"a/b\",le=\"+Inf\"} 10");
    assert_has("aether_topic_latency_seconds_count{topic=\"a/b\"} 10");
    assert_has("# TYPE aether_topic_latency_samples counter");
    assert_has("aether_topic_latency_samples_total{topic=\"a/b\"} 8");
    assert_has("aether_topic_latency_negative_samples_total{topic=\"a/b\"} 1");
    assert_has("aether_topic_latency_missed_samples_total{topic=\"a/b\"} 2");
    assert_null(strstr(text, "# UNIT aether_topic_latency_samples"));
}

/* Buckets of a histogram that add up to more than 64 bits don't fall, and the last is the count. */
static void histogram_saturates(void **state) {
    struct ae_view_metrics m = plain_record();

    (void)state;
    topics[0].latency.buckets[48] = UINT64_MAX;
    topics[0].latency.buckets[64] = 5;
    topics[0].latency.overflow = 1;
    show(&open_view, &m);
    assert_has("aether_topic_latency_seconds_bucket{topic=\"a/b\",le=\"6.4e-08\"} 0");
    assert_has("aether_topic_latency_seconds_bucket{topic=\"a/b\",le=\"1.28e-07\"} 18446744073709551615");
    assert_has("aether_topic_latency_seconds_bucket{topic=\"a/b\",le=\"2.56e-07\"} 18446744073709551615");
    assert_has("aether_topic_latency_seconds_bucket{topic=\"a/b\",le=\"+Inf\"} 18446744073709551615");
    assert_has("aether_topic_latency_seconds_count{topic=\"a/b\"} 18446744073709551615");
}

/* ---- sums and bounds --------------------------------------------------------------------------------------------- */

static void other(void **state) {
    struct ae_view_metrics m = plain_record();
    struct ae_view_sum sum = {.latency = {.counts = {[2] = 6}, .sum_ns = 1200, .samples = 3}};
    size_t count;
    const aether_metric *rows = ae_metrics_of(AETHER_SCOPE_TOPIC, &count);

    (void)state;
    for (size_t i = 0; i < count; i++)
        sum.values[i] = 1000 + i;
    m.other = &sum;
    show(&open_view, &m);
    for (size_t i = 0; i < count; i++) {
        char line[200], name[AE_METRIC_NAME_SIZE];
        if (rows[i].kind == AETHER_HISTOGRAM || rows[i].unit > AETHER_UNIT_BYTES || rows[i].label != NULL)
            continue;
        snprintf(line, sizeof line, "%s%s{topic=\"#other\"} %zu", ae_metric_family(name, &rows[i]),
                 rows[i].kind == AETHER_COUNTER ? "_total" : "", 1000 + i);
        assert_has(line);
    }
    assert_has("aether_topic_latency_seconds_bucket{topic=\"#other\",le=\"1.28e-07\"} 0");
    assert_has("aether_topic_latency_seconds_bucket{topic=\"#other\",le=\"2.56e-07\"} 6");
    assert_has("aether_topic_latency_seconds_sum{topic=\"#other\"} 1.2e-06");
    assert_has("aether_topic_latency_samples_total{topic=\"#other\"} 3");
}

static size_t lines_with(const char *part) {
    size_t count = 0;

    for (const char *p = text; (p = strstr(p, part)) != NULL; p++)
        count++;
    return count;
}

static void peers(void **state) {
    struct ae_view_metrics m = plain_record();
    static aether_client_metrics clients[1] = {{.client_id = 4, .name = "c\"1", .pid = 77, .publishers = 2}};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        strcpy(subscribers[i].owner.client, "sub");
        subscribers[i].owner.grant_id = 10 + i;
    }
    topics[0].subscribers = subscribers;
    topics[0].subscriber_count = 2;
    topics[1].subscribers = subscribers + 2;
    topics[1].subscriber_count = 1;
    topics[2].publishers = publishers;
    topics[2].publisher_count = 2;
    publishers[1].owner.grant_id = 1;
    subscribers[1].lag = 5;
    show(&open_view, &m);
    assert_null(strstr(text, "aether_subscriber_"));
    assert_null(strstr(text, "aether_publisher_"));
    m.peers = 2;
    m.clients = clients;
    m.client_count = 1;
    show(&open_view, &m);
    assert_has("aether_subscriber_lag_messages{topic=\"a/b\",client=\"sub\",pid=\"0\",grant=\"11\"} 5");
    assert_int_equal(lines_with("aether_subscriber_lag_messages{"), 2);
    assert_int_equal(lines_with("aether_publisher_full_total{"), 2);
    assert_has("aether_client_publishers{client=\"c\\\"1\",pid=\"77\",id=\"4\"} 2");
}

static void full_disk(void **state) {
    const struct ae_view_metrics m = plain_record();
    FILE *memory = enter_full_disk();

    (void)state;
    assert_int_equal(ae_view_metrics(&open_view, &m), -ENOSPC);
    leave_full_disk(memory);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, open_out, close_out)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(openmetrics), CASE(prometheus), CASE(no_instance), CASE(contiguous),
        CASE(names),       CASE(longest),    CASE(histogram),   CASE(histogram_saturates),
        CASE(other),       CASE(peers),      CASE(full_disk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
