/* SPDX-License-Identifier: Apache-2.0 */
/* observe_test.c - latencies, lags, rates, clients and checks in every form, with hostile names. */
#include "view/observe.h"
#include "view/view.h"
/* cmocka.h needs these before it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "view/form_test.h"

static const struct ae_view text_view = {.form = &ae_text_form, .out = &out};
static const struct ae_view json_view = {.form = &ae_json_form, .out = &out};
static const struct ae_view raw_view = {.form = &ae_raw_form, .out = &out};

#define BAD_OWNER                                                                                                      \
    { .client_id = 7, .client = "s\xff\n|", .pid = 790, .process = 'T' }
#define PLAIN_OWNER                                                                                                    \
    { .client_id = 8, .client = "feed", .process = '?' }
static const aether_owner bad_owner = BAD_OWNER, plain_owner = PLAIN_OWNER;

/* ---- latencies --------------------------------------------------------------------------------------------------- */

/* Bucket 16 begins at 16 ns, bucket 32 at 32 ns, bucket 48 at 64 ns; the last one ends at 2^42 ns. */
static const aether_latency some = {
    .samples = 9, .missed = 1, .negative = 2, .overflow = 3, .buckets = {[16] = 1000, [48] = 250, [49] = 250}};

static void latencies(void **state) {
    const aether_topic_info info = {.name = "a\x1b", .latency = AETHER_LATENCY_ALL};
    const aether_subscriber_metrics subscribers[] = {
        {.owner = bad_owner, .policy = AETHER_BEST_EFFORT, .latency = some},
        {.owner = plain_owner},
    };
    struct ae_view_latencies record = {
        .info = &info, .together = &some, .subscribers = subscribers, .count = 2, .columns = 60};

    (void)state;
    expect(
        ae_view_latencies(&text_view, &record), 0,
        "a\\x1b: time from publish to receive, of all messages, since each subscriber was opened; together, since the "
        "topic was created\n"
        "SUBSCRIBER  PID  POLICY       MESSAGES  SAMPLES    P50    P90    P99  P99.9  P99.99    MAX  MISSED  "
        "NEGATIVE  OVERFLOW\n"
        "s\\xff\\n|    790  best-effort     1,500        9  16 ns  70 ns  70 ns  70 ns   70 ns  70 ns       1       "
        "  2         3\n"
        "feed          -  reliable            0        0      -      -      -      -       -      -       0         "
        "0         0\n"
        "together      -  -               1,500        9  16 ns  70 ns  70 ns  70 ns   70 ns  70 ns       1         "
        "2         3\n");
    record.histogram = true;
    record.seconds = 1.5;
    record.repeat.index = 1;
    record.count = 0;
    expect(ae_view_latencies(&text_view, &record), 0,
           "\n"
           "a\\x1b: time from publish to receive, of all messages, in the last 1.50 s\n"
           "SUBSCRIBER  PID  POLICY  MESSAGES  SAMPLES    P50    P90    P99  P99.9  P99.99    MAX  MISSED  NEGATIVE  "
           "OVERFLOW\n"
           "together      -  -          1,500        9  16 ns  70 ns  70 ns  70 ns   70 ns  70 ns       1         2    "
           "     3\n"
           "\n"
           "LATENCY          MESSAGES  CUMULATIVE  \n"
           "16 ns to 32 ns      1,000    66.667 %  #####################\n"
           "32 ns to 64 ns          0    66.667 %  \n"
           "64 ns to 128 ns       500   100.000 %  ###########\n");
    out.terminal = true;
    record.repeat.watched = true;
    record.histogram = false;
    expect(ae_view_latencies(&text_view, &record), 0,
           "\033[H\033[Ja\\x1b: time from publish to receive, of all messages, in the last 1.50 s\n"
           "SUBSCRIBER  PID  POLICY  MESSAGES  SAMPLES    P50    P90    P99  P99.9  P99.99    MAX  MISSED  NEGATIVE  "
           "OVERFLOW\n"
           "together      -  -          1,500        9  16 ns  70 ns  70 ns  70 ns   70 ns  70 ns       1         2    "
           "     3\n");
    out.terminal = false;
    expect(ae_view_latencies(&raw_view, &record), AE_VIEW_SKIPPED, "");
}

static void latencies_in_json(void **state) {
    const aether_topic_info info = {.name = "a\x1b", .latency = AETHER_LATENCY_ALL};
    const aether_subscriber_metrics subscribers[] = {
        {.owner = bad_owner, .policy = AETHER_BEST_EFFORT, .latency = some},
        {.owner = plain_owner},
    };
    struct ae_view_latencies record = {
        .info = &info, .seconds = 1.5, .together = &some, .subscribers = subscribers, .count = 2};
    json_t *o = parse(ae_view_latencies(&json_view, &record));

    (void)state;
    assert_string_equal(string(o, "topic"), "a\x1b");
    assert_string_equal(string(o, "latency_mode"), "all");
    assert_true(json_real_value(at(o, "seconds")) == 1.5);
    assert_int_equal(number(o, "latency.count"), 1500);
    assert_int_equal(number(o, "latency.missed"), 1);
    assert_true(json_real_value(at(o, "latency.p50_ns")) == 16);
    assert_true(json_is_real(at(o, "latency.p9999_ns")));
    assert_string_equal(string(o, "subscribers.0.client_b64"), "c/8KfA==");
    assert_string_equal(string(o, "subscribers.0.policy"), "best-effort");
    assert_int_equal(number(o, "subscribers.0.latency.samples"), 9);
    assert_true(json_is_null(at(o, "subscribers.1.latency.max_ns")));
    assert_null(json_object_get(at(o, "latency"), "buckets"));
    json_decref(o);
    record.histogram = true;
    record.seconds = 0;
    o = parse(ae_view_latencies(&json_view, &record));
    assert_true(json_is_null(at(o, "seconds")));
    assert_int_equal(json_array_size(at(o, "latency.buckets")), 3);
    json_decref(o);
}

/* Bars of any width; counts that differ by many orders of magnitude. */
static void histograms(void **state) {
    static aether_latency latency = {.buckets = {[0] = 1, [AETHER_LATENCY_BUCKETS - 1] = UINT64_C(1) << 40}};
    const aether_topic_info info = {.name = "t"};
    struct ae_view_latencies record = {.info = &info, .together = &latency, .histogram = true};

    (void)state;
    for (record.columns = 0; record.columns < 400; record.columns++) {
        assert_int_equal(ae_view_latencies(&text_view, &record), 0);
        assert_true(ae_out_flush(&out));
        const char *first = strstr(text, "\n0 s to 16 ns");
        assert_non_null(first);
        assert_non_null(strstr(first, "0.000 %  #\n"));
        const char *last = strrchr(first, '%');
        const size_t bar = strspn(last + 3, "#");
        assert_true(last[3 + bar] == '\n' && bar >= 10 && bar <= 200);
        /* The last row has no more columns than there are, if 10 are left for the bar. */
        const char *line = last;
        while (line[-1] != '\n')
            line--;
        assert_true(strlen(line) - 1 <= record.columns || bar == 10);
        clear();
    }
    memset(&latency, 0, sizeof latency);
    expect(
        ae_view_latencies(&text_view, &record), 0,
        "t: time from publish to receive, of sampled messages, since the topic was created\n"
        "SUBSCRIBER  PID  POLICY  MESSAGES  SAMPLES  P50  P90  P99  P99.9  P99.99  MAX  MISSED  NEGATIVE  OVERFLOW\n"
        "together      -  -              0        0    -    -    -      -       -    -       0         0         0\n");
}

/* ---- lag and rates ----------------------------------------------------------------------------------------------- */

/* The record of the tests of lags: two subscribers, and three problems. */
static const aether_subscriber_metrics lagging[] = {
    {.owner = BAD_OWNER,
     .state = AETHER_SUBSCRIBER_STUCK,
     .lag = 65536,
     .unread = 60000,
     .lane_held = 12582912,
     .overwritten = 3000,
     .age_ns = 3200000000,
     .lost = 1204,
     .lost_by = {[AETHER_LOST_RING] = 1200, [AETHER_LOST_RETAINED] = 4},
     .holds_up = 2},
    {.owner = PLAIN_OWNER, .policy = AETHER_LATEST, .age_ns = AETHER_UNKNOWN},
};
static const struct ae_view_lagging lag_rows[] = {{"b|\n", &lagging[0]}, {"a", &lagging[1]}};
static const struct ae_problem lag_problems[] = {
    {.topic = "b|\n",
     .kind = AE_PROBLEM_WAITS,
     .has_victim = true,
     .has_culprit = true,
     .victim = PLAIN_OWNER,
     .culprit = BAD_OWNER,
     .role = AETHER_ROLE_RELIABLE,
     .behind = 65536,
     .overwritten = 3000,
     .waits = AETHER_WAITS_SUBSCRIBER,
     .for_ns = 3200000000,
     .tried_ns = AETHER_UNKNOWN},
    {.topic = "a",
     .kind = AE_PROBLEM_LOSES,
     .has_culprit = true,
     .culprit = PLAIN_OWNER,
     .role = AETHER_ROLE_BEST_EFFORT,
     .lost = 70,
     .lost_count = 35,
     .reason = AETHER_LOST_LANE,
     .evicted = true,
     .for_ns = AETHER_UNKNOWN},
    {.topic = "a",
     .kind = AE_PROBLEM_WAITS,
     .has_victim = true,
     .victim = PLAIN_OWNER,
     .waits = AETHER_WAITS_CLAIM,
     .for_ns = AETHER_UNKNOWN,
     .tried_ns = AETHER_UNKNOWN},
};
static const struct ae_view_lag lag_record = {
    .rows = lag_rows, .count = 2, .problems = lag_problems, .problem_count = 3};

static void lags(void **state) {
    (void)state;
    expect(
        ae_view_lag(&text_view, &lag_record), 0,
        "TOPIC  SUBSCRIBER  PID  POLICY    STATE                                  LAG  UNREAD    LANE     AGE  LOST    "
        "                        HOLDS UP\n"
        "b|\\n   s\\xff\\n|    790  reliable  stuck, stopped  65,536 (3,000 overwritten)  60,000  12 MiB  3.20 s  "
        "1,204 "
        "(ring 1,200, retained 4)         2\n"
        "a      feed          -  latest    idle                                     0       0       -       -  0       "
        "                               0\n"
        "\n"
        "b|\\n: publisher feed has waited 3.20 s for subscriber s\\xff\\n| (pid 790), which is stopped, 65,536 behind, "
        "of them 3,000 already overwritten, which it will lose\n"
        "a: subscriber feed loses messages, 70/s: publishers needed the bytes of their lane; it was evicted\n"
        "a: publisher feed waits because other publishers were faster at each try\n");
}

/* Line i of the record as JSON: the subscribers, then the problems. */
static json_t *lag_line(size_t i) {
    json_t *o = NULL;
    size_t count = 0;

    assert_int_equal(ae_view_lag(&json_view, &lag_record), 0);
    assert_true(ae_out_flush(&out));
    for (const char *line = text; *line != '\0'; line = strchr(line, '\n') + 1) {
        if (count++ == i)
            o = json_loads(line, JSON_DISABLE_EOF_CHECK, NULL);
    }
    assert_int_equal(count, 5);
    assert_non_null(o);
    clear();
    return o;
}

static void lags_in_json(void **state) {
    json_t *o = lag_line(0);

    (void)state;
    assert_string_equal(string(o, "topic"), "b|\n");
    assert_string_equal(string(o, "state"), "stuck");
    assert_string_equal(string(o, "process"), "T");
    assert_int_equal(number(o, "lag"), 65536);
    assert_int_equal(number(o, "age_ns"), 3200000000);
    json_decref(o);
    o = lag_line(1);
    assert_true(json_is_null(at(o, "age_ns")));
    json_decref(o);
}

static void problems_in_json(void **state) {
    json_t *o = lag_line(2);

    (void)state;
    assert_string_equal(string(o, "kind"), "waits");
    assert_non_null(strstr(string(o, "text"), "publisher feed has waited 3.20 s for subscriber s\\xff"));
    assert_string_equal(string(o, "victim.client"), "feed");
    assert_true(json_is_null(at(o, "victim.pid")));
    assert_string_equal(string(o, "waits"), "subscriber");
    assert_int_equal(number(o, "culprit.pid"), 790);
    assert_string_equal(string(o, "role"), "reliable");
    assert_int_equal(number(o, "for_ns"), 3200000000);
    assert_int_equal(number(o, "lag"), 65536);
    assert_int_equal(number(o, "overwritten"), 3000);
    assert_true(json_is_null(at(o, "reason")));
    assert_true(json_is_null(at(o, "last_loss")));
    assert_true(json_is_null(at(o, "last_loss_ago_ns")));
    json_decref(o);
    o = lag_line(3);
    assert_string_equal(string(o, "kind"), "loses");
    assert_true(json_is_null(at(o, "victim")));
    assert_true(json_is_null(at(o, "for_ns")));
    assert_true(json_real_value(at(o, "lost_per_s")) == 70);
    assert_int_equal(number(o, "last_loss"), 35);
    assert_int_equal(number(o, "last_loss_ago_ns"), 0);
    assert_string_equal(string(o, "reason"), "lane");
    assert_true(json_is_true(at(o, "evicted")));
    json_decref(o);
    o = lag_line(4);
    assert_string_equal(string(o, "waits"), "claim");
    assert_true(json_is_null(at(o, "culprit")));
    assert_true(json_is_null(at(o, "lag")));
    json_decref(o);
}

static void no_lags(void **state) {
    const struct ae_view_lag record = {.count = 0};

    (void)state;
    expect(ae_view_lag(&text_view, &record), 0, "No subscriber.\n");
    expect(ae_view_lag(&json_view, &record), 0, "");
    expect(ae_view_lag(&raw_view, &record), AE_VIEW_SKIPPED, "");
}

static void rates(void **state) {
    const aether_publisher_metrics publishers[] = {{.owner = bad_owner}, {.owner = plain_owner}};
    const aether_topic_metrics busy = {.info = {.name = "b\xff"}, .publishers = publishers, .publisher_count = 2};
    const aether_topic_metrics fresh = {.info = {.name = "new"}};
    const struct ae_view_rate publisher_rates[] = {{true, 1000000, 1 << 20}, {.known = false}};
    const struct ae_view_topic_rates topics[] = {
        {.figures = &busy,
         .published = {true, 1250000, 3 << 20},
         .delivered = {true, 0, 0},
         .publishers = publisher_rates},
        {.figures = &fresh},
    };
    struct ae_view_rates record = {.seconds = 0.5, .topics = topics, .count = 2};

    (void)state;
    expect(ae_view_rates(&text_view, &record), 0,
           "TOPIC  PUBLISHERS  PID  PUBLISHED    BYTES  DELIVERED  BYTES\n"
           "b\\xff  2             -   1.25 M/s  3 MiB/s        0/s  0 B/s\n"
           "  by   s\\xff\\n|    790      1 M/s  1 MiB/s          -      -\n"
           "  by   feed          -          -        -          -      -\n"
           "new    0             -          -        -          -      -\n");
    record.count = 1;
    json_t *o = parse(ae_view_rates(&json_view, &record));
    assert_string_equal(string(o, "topic_b64"), "Yv8=");
    assert_true(json_real_value(at(o, "seconds")) == 0.5);
    assert_true(json_real_value(at(o, "published_per_s")) == 1250000);
    assert_true(json_real_value(at(o, "delivered_per_s")) == 0);
    assert_true(json_real_value(at(o, "publishers.0.published_bytes_per_s")) == 1 << 20);
    assert_true(json_is_null(at(o, "publishers.1.published_per_s")));
    json_decref(o);
    record.count = 0;
    record.repeat = (struct ae_view_repeat){.index = 3, .watched = true};
    expect(ae_view_rates(&text_view, &record), 0,
           "\n"
           "No topic.\n");
    expect(ae_view_rates(&raw_view, &record), AE_VIEW_SKIPPED, "");
}

/* ---- clients and checks ------------------------------------------------------------------------------------------ */

static void clients(void **state) {
    const aether_client_metrics list[] = {
        {.client_id = 1,
         .name = "c\x1b",
         .pid = 12,
         .uid = 1000,
         .process = 'S',
         .created_ns = UINT64_C(1700000000000000000),
         .connected_ns = UINT64_C(90000000000),
         .publishers = 2,
         .subscribers = 3,
         .stats_bytes = 16384},
        {.client_id = 2, .name = "future", .process = '?', .created_ns = UINT64_MAX},
    };
    struct ae_view_clients record = {.list = list, .count = 2};

    (void)state;
    expect(ae_view_clients(&text_view, &record), 0,
           "ID  CLIENT  PID   UID  PROCESS   PUBLISHERS  SUBSCRIBERS       SINCE  MEMORY\n"
           " 1  c\\x1b    12  1000  sleeping           2            3  1 min 30 s  16 KiB\n"
           " 2  future    -     0  -                  0            0         0 s     0 B\n");
    record.count = 1;
    json_t *o = parse(ae_view_clients(&json_view, &record));
    assert_int_equal(number(o, "client_id"), 1);
    assert_string_equal(string(o, "client"), "c\x1b");
    assert_int_equal(number(o, "pid"), 12);
    assert_int_equal(number(o, "uid"), 1000);
    assert_string_equal(string(o, "process"), "S");
    assert_int_equal(number(o, "created_ns"), 1700000000000000000);
    assert_int_equal(number(o, "publishers"), 2);
    assert_int_equal(number(o, "subscribers"), 3);
    assert_int_equal(number(o, "stats_bytes"), 16384);
    json_decref(o);
    record.count = 0;
    expect(ae_view_clients(&text_view, &record), 0, "No client.\n");
    expect(ae_view_clients(&raw_view, &record), AE_VIEW_SKIPPED, "");
}

static void departed(void **state) {
    const struct ae_view_gone rows[] = {
        {.topic = "a\x1b",
         .figures = {.owner = bad_owner,
                     .role = AETHER_ROLE_RELIABLE,
                     .died = 1,
                     .left_ns = UINT64_C(1700000001000000000),
                     .messages = 10,
                     .lost = 1}},
        {.topic = "b",
         .figures = {.owner = plain_owner, .role = AETHER_ROLE_PUBLISHER, .messages = 1234, .full = 3, .stall_ns = 5}},
    };
    struct ae_view_departed record = {.rows = rows, .count = 2};

    (void)state;
    expect(
        ae_view_departed(&text_view, &record), 0,
        "DEPARTED   PID  CLIENT    LEFT                 HOW     MESSAGES  LOST  ABORTED  SKIPPED  STALLED  FULL  "
        "TOPIC\n"
        "reliable   790  s\\xff\\n|  2023-11-14 22:13:21  died          10     1        0        0        -     -  "
        "a\\x1b\n"
        "publisher    -  feed      1970-01-01 00:00:00  closed     1,234     -        -        -     5 ns     3  b\n");
    record.count = 1;
    json_t *o = parse(ae_view_departed(&json_view, &record));
    assert_string_equal(string(o, "topic"), "a\x1b");
    assert_string_equal(string(o, "role"), "reliable");
    assert_int_equal(number(o, "pid"), 790);
    assert_true(json_is_true(at(o, "died")));
    assert_int_equal(number(o, "delivered"), 10);
    json_decref(o);
    record.count = 0;
    expect(ae_view_departed(&text_view, &record), 0, "No publisher or subscriber has gone.\n");
    expect(ae_view_departed(&json_view, &record), 0, "");
    expect(ae_view_departed(&raw_view, &record), AE_VIEW_SKIPPED, "");
}

static void checks(void **state) {
    const struct ae_view_limit limits[] = {
        {.name = "lag",
         .unit = "",
         .known = true,
         .value = 65536,
         .has_warning = true,
         .warning = 1000,
         .has_critical = true,
         .critical = 1e6},
        {.name = "age", .unit = "s", .known = true, .value = 0.0000125, .has_critical = true, .critical = 2.5},
        {.name = "rate", .unit = "", .floor = true, .has_warning = true, .warning = 10},
    };
    const struct ae_problem problem = {.topic = "a|b",
                                       .kind = AE_PROBLEM_STOPPED,
                                       .has_culprit = true,
                                       .culprit = bad_owner,
                                       .role = AETHER_ROLE_RELIABLE,
                                       .behind = 65536};
    struct ae_view_check record = {.health = AE_HEALTH_WARNING,
                                   .text = "a|b: subscriber s\\xff is 65,536 behind",
                                   .problems = &problem,
                                   .problem_count = 1,
                                   .limits = limits,
                                   .count = 3};

    (void)state;
    expect(ae_view_check(&text_view, &record), 0,
           "AETHER WARNING - a\\x7cb: subscriber s\\xff is 65,536 behind | lag=65536;1000;1000000;0 "
           "age=0.0000125s;;2.5;0 rate=U;10:;;0\n");
    json_t *o = parse(ae_view_check(&json_view, &record));
    assert_string_equal(string(o, "status"), "WARNING");
    assert_int_equal(number(o, "code"), 1);
    assert_string_equal(string(o, "text"), "a|b: subscriber s\\xff is 65,536 behind");
    assert_int_equal(json_array_size(at(o, "problems")), 1);
    assert_string_equal(string(o, "problems.0.topic"), "a|b");
    assert_string_equal(string(o, "problems.0.kind"), "stopped");
    assert_int_equal(number(o, "problems.0.culprit.pid"), 790);
    assert_true(json_real_value(at(o, "figures.lag.value")) == 65536);
    assert_true(json_real_value(at(o, "figures.lag.critical")) == 1e6);
    assert_null(json_object_get(at(o, "figures.age"), "warning"));
    assert_string_equal(string(o, "figures.rate.bad"), "below");
    assert_true(json_is_null(at(o, "figures.rate.value")));
    json_decref(o);
    record = (struct ae_view_check){.health = (enum ae_view_health)9, .text = "?"};
    o = parse(ae_view_check(&json_view, &record));
    assert_int_equal(json_array_size(at(o, "problems")), 0);
    json_decref(o);
    expect(ae_view_check(&text_view, &record), 0, "AETHER UNKNOWN - ?\n");
    expect(ae_view_check(&raw_view, &record), AE_VIEW_SKIPPED, "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_out, close_out)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(latencies),    TEST(latencies_in_json), TEST(histograms), TEST(lags),
        TEST(lags_in_json), TEST(problems_in_json),  TEST(no_lags),    TEST(rates),
        TEST(clients),      TEST(departed),          TEST(checks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
