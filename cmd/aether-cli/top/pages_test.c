/* SPDX-License-Identifier: Apache-2.0 */
/* Pages of synthetic passes: what they say, and that no line is wider than the page. */
#include "client_page.h"
#include "pages.h"
#include "topic_page.h"
#include "watch/problems.h"
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000000)

static struct ae_watch_pass pass;
static struct ae_watch_topic topics[2];
static const struct ae_watch_topic *selected[] = {&topics[0], &topics[1]};
static aether_publisher_metrics publisher;
static aether_subscriber_metrics subscribers[2];
static aether_departed_metrics departed;
static struct ae_watch_rates publisher_rates, subscriber_rates[2];
static struct ae_watch_part parts[2];
static struct ae_watch_sample samples[3];
static struct top_show show;
static struct top_page page;

static aether_owner owner(const char *name, uint32_t pid) {
    aether_owner o = {.grant_id = pid, .client_id = pid, .pid = pid, .process = 'S'};

    snprintf(o.client, sizeof o.client, "%s", name);
    return o;
}

/* The peers of the first topic: its publisher waits for a subscriber that is stopped. */
static void make_peers(void) {
    publisher = (aether_publisher_metrics){.owner = owner("feed", 812),
                                           .waits = AETHER_WAITS_SUBSCRIBER,
                                           .waited_ns = 3200000000,
                                           .waits_publisher = -1,
                                           .messages = 1000000};
    subscribers[0] = (aether_subscriber_metrics){.owner = owner("risk", 790),
                                                 .state = AETHER_SUBSCRIBER_STUCK,
                                                 .lag = 65536,
                                                 .age_ns = 3300000000,
                                                 .holds_up = 1,
                                                 .received_ns = AETHER_UNKNOWN};
    subscribers[0].owner.process = 'T';
    subscribers[1] = (aether_subscriber_metrics){.owner = owner("\x1b[2J\xff", 791), .policy = AETHER_LATEST};
    departed = (aether_departed_metrics){
        .owner = owner("old", 700), .role = AETHER_ROLE_RELIABLE, .died = 1, .ago_ns = 10 * SECOND, .lost = 12};
    publisher_rates = subscriber_rates[0] = subscriber_rates[1] = (struct ae_watch_rates){.known = true};
    for (size_t i = 0; i < 3; i++)
        samples[i] = (struct ae_watch_sample){.taken_ns = (98 + i) * SECOND, .published = (double)i};
}

static void make_topics(void) {
    aether_topic_metrics *t = &topics[0].figures;

    strcpy(t->info.name, "market/eur/usd");
    t->info.reliable = 2;
    t->info.publishers = 1;
    t->publishers = &publisher;
    t->publisher_count = 1;
    t->subscribers = subscribers;
    t->subscriber_count = 2;
    t->departed = &departed;
    t->departed_count = 1;
    t->lag = 65536;
    t->age_ns = 3300000000;
    t->waiting = t->stuck = 1;
    t->lost = 5;
    t->lost_by[AETHER_LOST_LANE] = 5;
    t->latency.buckets[100] = 999;
    t->latency.buckets[400] = 1;
    t->latency.samples = 77;
    topics[0].publisher_rates = &publisher_rates;
    topics[0].subscriber_rates = subscriber_rates;
    topics[0].rates = (struct ae_watch_rates){.known = true, .published = 1250000, .published_bytes = 80e6};
    topics[0].samples = samples;
    topics[0].sample_count = 3;
    topics[0].taken_ns = 100 * SECOND;
    strcpy(topics[1].figures.info.name, "\xe6\xbc\xa2\xe5\xad\x97\n");
    topics[1].figures.age_ns = AETHER_UNKNOWN;
}

/* Two topics, of which the second has no peers. */
static int setup(void **state) {
    (void)state;
    assert_non_null(setlocale(LC_CTYPE, "C.UTF-8"));
    top_text_set_utf8(true);
    memset(&pass, 0, sizeof pass);
    memset(topics, 0, sizeof topics);
    make_peers();
    make_topics();
    pass.selected = selected;
    pass.selected_count = pass.topics = pass.matching = 2;
    pass.pinned = &topics[0];
    pass.instance.now_ns = 1000 * SECOND;
    pass.instance.daemon = (aether_daemon_info){.running = 1, .pid = 42, .uptime_ns = 60 * SECOND, .clients = 3};
    pass.instance.elapsed_ns = 1020000000;
    pass.total.rates.known = true;
    pass.problem_count =
        ae_watch_problems(&topics[0], &pass.instance, AE_WATCH_PATIENCE_NS, pass.problems, 0, AE_WATCH_PROBLEMS_MAX);
    show = (struct top_show){.pass = &pass,
                             .socket_path = "/run/aether.sock",
                             .filter = "",
                             .sparks = true,
                             .interval_s = 1,
                             .cost_percent = 0.4,
                             .pass_s = 0.002,
                             .problems = 3};
    top_page_clear(&page, 200);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    top_page_clear(&page, 0);
    return 0;
}

/* The number of the line that has the text, or a failure. */
static size_t line_with(const char *text) {
    for (size_t i = 0; i < page.count; i++) {
        if (strstr(page.lines[i].text, text) != NULL)
            return i;
    }
    for (size_t i = 0; i < page.count; i++)
        print_message("| %s\n", page.lines[i].text);
    fail_msg("no line has: %s", text);
    return 0;
}

static void the_list(void **state) {
    (void)state;
    top_list_page(&page, &show);
    line_with("aetherd pid 42, up 1 min 00 s; 3 clients, 0 B; /run/aether.sock");
    line_with("by rate, every 1 s; P50 to MAX of the last 1.02 s; top: 0.4 % of a core, 2 ms a pass");
    line_with("market/eur/usd: publisher feed (pid 812) has waited 3.20 s for subscriber risk (pid 790), which is "
              "stopped, 65,536 behind");
    const size_t first = page.fixed;
    assert_int_equal(page.lines[first - 1].style, TOP_TITLES);
    assert_int_equal(line_with("1.25 M/s 76.3 MiB/s"), first);
    assert_int_equal(page.lines[first].style, TOP_BAD);
    assert_string_equal(page.lines[first].place.topic, "market/eur/usd");
    assert_int_equal(line_with("\u6f22\u5b57\\n"), first + 1);
    line_with("\u2581\u2585\u2588"); /* the samples */
    assert_int_equal(page.count, first + 2);

    pass.matching = 12;
    show.paused = show.reverse = show.total_latency = true;
    show.filter = "e\nu";
    pass.instance.stopped = 1;
    pass.instance.process = 'T';
    top_page_clear(&page, 200);
    top_list_page(&page, &show);
    assert_int_equal(page.lines[line_with("aetherd STOPPED (pid 42: kill -CONT 42); 3 clients")].style, TOP_BAD);
    pass.instance.daemon.running = 0;
    top_page_clear(&page, 200);
    top_list_page(&page, &show);
    line_with("aetherd NOT RUNNING (last: pid 42)");
    line_with("PAUSED; by rate reversed, every 1 s; P50 to MAX since creation; filter e\\nu: 12 topics; top");
    line_with("10 others");
}

static void nothing_to_show(void **state) {
    (void)state;
    pass.selected_count = pass.topics = pass.matching = pass.problem_count = 0;
    top_list_page(&page, &show);
    line_with("No topics.");
    pass.topics = 3;
    top_page_clear(&page, 200);
    top_list_page(&page, &show);
    line_with("No topic matches the filter.");
    show.pass = NULL;
    show.error = "damaged";
    top_page_clear(&page, 200);
    top_list_page(&page, &show);
    assert_int_equal(page.count, 1);
    assert_int_equal(line_with("damaged"), 0);
    top_page_clear(&page, 200);
    top_topic_page(&page, &show, "market/eur/usd");
    line_with("This topic isn't there.");
    top_page_clear(&page, 200);
    top_client_page(&page, &show, 7);
    line_with("Client 7 isn't connected.");
}

static void many_problems(void **state) {
    (void)state;
    for (size_t i = 1; i < AE_WATCH_PROBLEMS_MAX; i++)
        pass.problems[i] = pass.problems[0];
    pass.problem_count = AE_WATCH_PROBLEMS_MAX;
    top_list_page(&page, &show);
    line_with("and 13 or more");
}

static void a_topic(void **state) {
    (void)state;
    top_topic_page(&page, &show, "market/eur/usd");
    assert_int_equal(line_with("topic market/eur/usd"), 0);
    line_with("lost       5 (lane) in 0 gaps");
    const size_t sentence = line_with("publisher feed (pid 812) has waited");
    assert_int_equal(page.lines[sentence].place.client_id, 790);
    line_with("since creation ");
    line_with("99.9 %");
    line_with(" 0.10 %");
    assert_int_equal(page.lines[line_with("feed (812) ")].place.client_id, 812);
    const size_t stuck = line_with("risk (790) ");
    assert_int_equal(page.lines[stuck].style, TOP_BAD);
    assert_non_null(strstr(page.lines[stuck].text, "stuck"));
    assert_non_null(strstr(page.lines[stuck].text, "stopped"));
    line_with("\\x1b[2J\\xff (791)");
    assert_non_null(strstr(page.lines[line_with("old (700)")].text, "died"));
    line_with("10 s");
}

static void a_client(void **state) {
    (void)state;
    strcpy(parts[0].topic, "a");
    parts[0].role = AETHER_ROLE_PUBLISHER;
    parts[0].publisher = publisher;
    strcpy(parts[1].topic, "b");
    parts[1].role = AETHER_ROLE_RELIABLE;
    parts[1].subscriber = subscribers[0];
    pass.parts = parts;
    pass.part_count = 2;
    pass.parts_left_out = 9;
    pass.has_client = true;
    pass.client = (aether_client_metrics){.client_id = 7, .name = "risk", .pid = 790, .process = 'T', .publishers = 1};
    top_client_page(&page, &show, 7);
    line_with("client risk");
    line_with("pid 790, uid 0, process stopped");
    line_with("1 publisher, 0 subscribers, 0 B of statistics");
    assert_int_equal(page.lines[line_with("for subscriber")].style, TOP_WARN);
    assert_string_equal(page.lines[line_with("stuck")].place.topic, "b");
    line_with("... and 9 more");
}

static void every_width(void **state) {
    (void)state;
    pass.matching = 12;
    pass.has_client = true;
    pass.client.client_id = 7;
    pass.part_count = 0;
    for (unsigned width = 1; width <= 300; width++) {
        for (int kind = 0; kind < 8; kind++) {
            top_page_clear(&page, width);
            page.compact = kind >= 4;
            if (kind % 4 == 0)
                top_list_page(&page, &show);
            else if (kind % 4 == 1)
                top_topic_page(&page, &show, "market/eur/usd");
            else if (kind % 4 == 2)
                top_client_page(&page, &show, 7);
            else
                top_help_page(&page);
            assert_false(page.failed);
            for (size_t i = 0; i < page.count; i++) {
                if (top_text_cells(page.lines[i].text) > width)
                    fail_msg("wider than %u: %s", width, page.lines[i].text);
                assert_null(strpbrk(page.lines[i].text, "\x1b\n\xff"));
            }
        }
    }
}

int main(void) {
#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {CASE(the_list), CASE(nothing_to_show), CASE(many_problems),
                                       CASE(a_topic),  CASE(a_client),        CASE(every_width)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
