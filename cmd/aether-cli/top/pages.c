/* SPDX-License-Identifier: Apache-2.0 */
/* pages.c - the list of topics, and help. The pages of one topic and one client are in details.c. */
#include "pages.h"
#include "layout.h"
#include "text.h"
#include "view/amount.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SPARK_MAX 60 /* cells, which are the seconds of a minute */

/* ---- the head ---------------------------------------------------------------------------------------------------- */

static void add_daemon(struct top_page *page, const struct top_show *show) {
    const aether_daemon_info *d = &show->pass->instance.daemon;
    char path[TOP_TEXT_SIZE(128)], memory[AE_AMOUNT_SIZE], up[AE_AMOUNT_SIZE], state[64];
    const double uptime_s = (double)(int64_t)(show->pass->instance.now_ns - d->started_ns) / 1e9;

    top_text_escape(path, sizeof path, show->socket_path, strlen(show->socket_path));
    if (d->running)
        snprintf(state, sizeof state, "pid %" PRIu32 ", up %s", d->pid,
                 ae_amount_duration(up, uptime_s > 0 ? uptime_s : 0));
    else
        snprintf(state, sizeof state, "NOT RUNNING (last: pid %" PRIu32 ")", d->pid);
    top_page_add_text(page, d->running ? TOP_STRONG : TOP_BAD, "aetherd %s; %" PRIu32 " client%s, %s; %s", state,
                      d->clients, ae_plural(d->clients, "", "s"), ae_amount_bytes(memory, d->memory_bytes), path);
}

static void add_totals(struct top_page *page, const struct top_show *show) {
    const struct ae_watch_pass *pass = show->pass;
    const struct ae_watch_topic *t = &pass->total;
    const uint64_t publishers = pass->instance.publishers, subscribers = pass->instance.subscribers;
    char in[AE_AMOUNT_SIZE + 8] = "", out[2 * AE_AMOUNT_SIZE] = "", bytes[AE_AMOUNT_SIZE], amount[2][AE_AMOUNT_SIZE];
    char trouble[96] = "";

    if (t->rates.known) {
        snprintf(in, sizeof in, " %s, %s/s", ae_amount_rate(amount[0], t->rates.published),
                 ae_amount_bytes(bytes, (uint64_t)t->rates.published_bytes));
        snprintf(out, sizeof out, " %s, %s lost", ae_amount_rate(amount[0], t->rates.delivered),
                 ae_amount_rate(amount[1], t->rates.lost));
    }
    if (t->figures.waiting > 0)
        snprintf(trouble, sizeof trouble, "; %" PRIu64 " waiting", t->figures.waiting);
    if (t->figures.stuck > 0)
        snprintf(trouble + strlen(trouble), sizeof trouble - strlen(trouble), "; %" PRIu64 " stuck", t->figures.stuck);
    top_page_add_text(page, TOP_PLAIN, "%zu topic%s; %" PRIu64 " publisher%s%s; %" PRIu64 " subscriber%s%s%s",
                      pass->topics, ae_plural(pass->topics, "", "s"), publishers, ae_plural(publishers, "", "s"), in,
                      subscribers, ae_plural(subscribers, "", "s"), out, trouble);
}

/* "by rate, every 1 s, latencies now; filter eur: 3; top: 0.4 % of a core, 2.1 ms a pass" */
static void add_settings(struct top_page *page, const struct top_show *show) {
    char every[AE_AMOUNT_SIZE], filter[TOP_TEXT_SIZE(128)] = "", cost[96] = "", pass[AE_AMOUNT_SIZE];

    if (show->filter[0] != '\0') {
        char text[TOP_TEXT_SIZE(64)];
        top_text_escape(text, sizeof text, show->filter, strlen(show->filter));
        snprintf(filter, sizeof filter, "; filter %s: %zu", text, show->pass->matching);
    }
    if (show->cost_percent >= 0)
        snprintf(cost, sizeof cost, "; top: %.1f %% of a core, %s a pass", show->cost_percent,
                 ae_amount_duration(pass, show->pass_s));
    top_page_add_text(page, show->paused ? TOP_WARN : TOP_PLAIN, "%sby %s%s, every %s, latencies %s%s%s",
                      show->paused ? "PAUSED; " : "", ae_watch_order_names[show->order],
                      show->reverse ? " reversed" : "", ae_amount_duration(every, show->interval_s),
                      show->total_latency ? "of all time" : "now", filter, cost);
}

static void add_problems(struct top_page *page, const struct top_show *show) {
    const struct ae_watch_pass *pass = show->pass;
    const size_t shown = pass->problem_count < show->problems ? pass->problem_count : show->problems;

    for (size_t i = 0; i < shown; i++) {
        const struct ae_problem *problem = &pass->problems[i];
        char name[TOP_TEXT_SIZE(256)], fit[TOP_TEXT_SIZE(256)], sentence[AE_PROBLEM_TEXT];
        char text[TOP_TEXT_SIZE(AE_PROBLEM_TEXT)];
        const unsigned room = page->width / 4 + 4;
        top_text_escape(name, sizeof name, problem->topic, strlen(problem->topic));
        const bool cut = top_text_cells(name) > room;
        if (cut)
            top_text_fit(fit, sizeof fit, name, room, TOP_LEFT);
        top_page_add_text(page, TOP_BAD, "%s: %s", cut ? fit : name,
                          top_text_show(text, sizeof text, ae_problem_text(sentence, problem)));
    }
    if (pass->problem_count > shown)
        top_page_add(page, TOP_BAD, "and %zu%s more", pass->problem_count - shown,
                     pass->problem_count == AE_WATCH_PROBLEMS_MAX ? " or" : "");
}

/* ---- the list ---------------------------------------------------------------------------------------------------- */

enum { NAME, RATE, MB, PUBLISHERS, SUBSCRIBERS, LAG, AGE, P50, P99, P999, MAX, LOST, SPARK, COLUMNS };

static const struct top_column columns[COLUMNS] = {
    [NAME] = {.title = "TOPIC", .left = 1},
    [RATE] = {.title = "MSG/S", .rank = 1, .width = 6},
    [MB] = {.title = "MB/S", .rank = 5, .width = 6},
    [PUBLISHERS] = {.title = "PUB", .rank = 6, .width = 3},
    [SUBSCRIBERS] = {.title = "SUB", .rank = 7, .width = 4},
    [LAG] = {.title = "LAG", .rank = 2, .width = 6},
    [AGE] = {.title = "AGE", .rank = 3, .width = 6},
    [P50] = {.title = "P50", .rank = 9, .width = 6},
    [P99] = {.title = "P99", .rank = 4, .width = 6},
    [P999] = {.title = "P99.9", .rank = 10, .width = 6},
    [MAX] = {.title = "MAX", .rank = 11, .width = 6},
    [LOST] = {.title = "LOST", .rank = 8, .width = 6},
    [SPARK] = {.title = "LAST MINUTE", .rank = 12, .width = 11, .max = SPARK_MAX, .left = 1},
};

/* The rates of the last minute, in `cells` equal parts of it: of each part the largest one, or -1. */
static void spark_of(char *dst, size_t size, const struct ae_watch_topic *topic, unsigned cells) {
    double values[SPARK_MAX];
    const uint64_t part_ns = UINT64_C(60000000000) / cells;

    for (unsigned i = 0; i < cells; i++)
        values[i] = -1;
    for (size_t i = 0; i < topic->sample_count; i++) {
        const struct ae_watch_sample *s = &topic->samples[i];
        const uint64_t part = (topic->taken_ns - s->taken_ns) / part_ns;
        if (part < cells && s->published > values[cells - 1 - part])
            values[cells - 1 - part] = s->published;
    }
    /* With samples that are farther apart than the parts, each one fills the parts before it. */
    const uint64_t gap_ns = topic->sample_count > 1 ? topic->samples[topic->sample_count - 1].taken_ns -
                                                          topic->samples[topic->sample_count - 2].taken_ns
                                                    : 0;
    for (unsigned i = cells - 1, filled = 0; i > 0; i--) {
        filled = values[i - 1] >= 0 ? 0 : filled + 1;
        if (values[i - 1] < 0 && filled * part_ns < gap_ns)
            values[i - 1] = values[i];
    }
    top_spark(dst, size, values, cells);
}

static enum top_style style_of(const struct ae_watch_topic *t) {
    if (t->figures.stuck > 0 || (t->figures.waiting > 0 && t->figures.waited_ns >= UINT64_C(1000000000)))
        return TOP_BAD;
    return t->rates.lost > 0 ? TOP_WARN : TOP_PLAIN;
}

static void add_topic(struct top_page *page, const struct top_show *show, const struct top_layout *layout,
                      const struct ae_watch_topic *topic, const char *name) {
    const aether_topic_metrics *t = &topic->figures;
    char text[COLUMNS][TOP_SHORT_SIZE], spark[4 * SPARK_MAX + 1] = "", row[4096];
    const char *cells[COLUMNS];
    double latencies[TOP_QUANTILES];

    top_show_quantiles(show, topic, latencies);
    for (size_t i = 0; i < COLUMNS; i++)
        cells[i] = text[i];
    cells[NAME] = name;
    cells[SPARK] = spark;
    top_short_count(text[RATE], topic->rates.known ? topic->rates.published : -1);
    top_short_fixed(text[MB], topic->rates.known ? topic->rates.published_bytes / 1e6 : -1);
    top_short_count(text[PUBLISHERS], t->info.publishers);
    top_short_count(text[SUBSCRIBERS], (double)t->info.reliable + t->info.best_effort);
    top_short_count(text[LAG], (double)t->lag);
    top_short_time(text[AGE], top_show_seconds(t->age_ns));
    top_short_time(text[P50], latencies[0]);
    top_short_time(text[P99], latencies[1]);
    top_short_time(text[P999], latencies[2]);
    top_short_time(text[MAX], latencies[3]);
    top_short_count(text[LOST], (double)t->lost);
    if (layout->widths[SPARK] > 0 && topic->sample_count > 0)
        spark_of(spark, sizeof spark, topic, layout->widths[SPARK]);
    top_page_add(page, style_of(topic), "%s", top_layout_row(layout, cells, row, sizeof row));
}

static unsigned longest_name(const struct ae_watch_pass *pass) {
    char name[TOP_TEXT_SIZE(256)];
    unsigned longest = 12; /* of the line with the sum */

    for (size_t i = 0; i < pass->selected_count; i++) {
        const char *raw = pass->selected[i]->figures.info.name;
        const unsigned cells = top_text_cells(top_text_escape(name, sizeof name, raw, strlen(raw)));
        longest = cells > longest ? cells : longest;
    }
    return longest;
}

void top_list_page(struct top_page *page, const struct top_show *show) {
    const struct ae_watch_pass *pass = show->pass;
    char row[4096], name[TOP_TEXT_SIZE(256)];
    struct top_layout layout;

    if (show->error != NULL)
        top_page_add(page, TOP_BAD, "%s", show->error);
    if (pass == NULL) {
        page->fixed = page->count;
        return;
    }
    add_daemon(page, show);
    add_totals(page, show);
    add_settings(page, show);
    add_problems(page, show);
    top_layout_make(&layout, columns, show->sparks ? COLUMNS : SPARK, page->width, longest_name(pass));
    top_page_add(page, TOP_TITLES, "%s", top_layout_titles(&layout, row, sizeof row));
    page->fixed = page->count;
    for (size_t i = 0; i < pass->selected_count; i++) {
        const struct ae_watch_topic *topic = pass->selected[i];
        const char *raw = topic->figures.info.name;
        add_topic(page, show, &layout, topic, top_text_escape(name, sizeof name, raw, strlen(raw)));
        top_page_link_topic(page, raw);
    }
    if (pass->matching > pass->selected_count) {
        snprintf(name, sizeof name, "%zu others", pass->matching - pass->selected_count);
        add_topic(page, show, &layout, &pass->other, name);
    }
    if (pass->matching == 0)
        top_page_add(page, TOP_DIM, pass->topics == 0 ? "No topics." : "No topic matches the filter.");
}

/* ---- help -------------------------------------------------------------------------------------------------------- */

void top_help_page(struct top_page *page) {
    static const char *const lines[] = {
        "  Up Down PgUp PgDn Home End   move; also j and k",
        "  Enter                        show the topic, or the client of a publisher or subscriber",
        "  Escape, Backspace            go back",
        "  s, or R L A O 9 N            sort: next order, or by rate, lag, age, loss, p99, name",
        "  r                            reverse the order",
        "  /                            filter: part of the name, or a pattern with * and ?",
        "  space                        stop and go on",
        "  + -                          pass more often, less often",
        "  t                            latencies since the pass before, or of all time",
        "  ? h                          this page",
        "  q                            quit",
        "",
        "MSG/S and MB/S  published in a second, without messages of publishers that died",
        "LAG, AGE        messages that the subscriber farthest behind hasn't received, and the age of the oldest",
        "P50 ... MAX     latency from publish to receive; of now: since the pass before",
        "LOST            messages that subscribers lost since the topic's creation",
        "LAST MINUTE     messages a second; each row has its own scale",
        "-               unknown, or there is nothing to measure",
        "Red             a publisher has waited for a second, or a subscriber is stuck",
        "Yellow          messages are being lost",
    };

    top_page_add(page, TOP_STRONG, "aether-cli top: keys");
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        top_page_add(page, TOP_PLAIN, "%s", lines[i]);
}
