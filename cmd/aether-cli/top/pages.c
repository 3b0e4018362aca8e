/* SPDX-License-Identifier: Apache-2.0 */
/* pages.c - the list of topics, and help. topic_page.c and client_page.c have the pages of one topic and one client. */
#include "pages.h"
#include "table.h"
#include "text.h"
#include "view/amount.h"
#include "view/daemon.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SPARK_MAX 60 /* cells, which are the seconds of a minute */

/* ---- the head ---------------------------------------------------------------------------------------------------- */

static void add_daemon(struct top_page *page, const struct top_show *show) {
    const aether_daemon_info *d = &show->pass->instance.daemon;
    const enum ae_daemon_state daemon = ae_daemon_state(&show->pass->instance);
    char path[TOP_TEXT_SIZE(128)], memory[AE_AMOUNT_SIZE], up[AE_AMOUNT_SIZE], remedy[AE_DAEMON_REMEDY], state[80] = "";
    const double uptime_s = (double)d->uptime_ns / 1e9;

    top_text_escape(path, sizeof path, show->socket_path, strlen(show->socket_path));
    switch (daemon) {
    case AE_DAEMON_RUNS:
        snprintf(state, sizeof state, "pid %" PRIu32 ", up %s", d->pid, ae_amount_duration(up, uptime_s));
        break;
    case AE_DAEMON_STOPPED:
        snprintf(state, sizeof state, "STOPPED (pid %" PRIu32 ": %s)", d->pid,
                 ae_daemon_remedy(remedy, &show->pass->instance));
        break;
    case AE_DAEMON_GONE:
        snprintf(state, sizeof state, "NOT RUNNING (last: pid %" PRIu32 ")", d->pid);
        break;
    }
    top_page_add_text(page, daemon == AE_DAEMON_RUNS ? TOP_STRONG : TOP_BAD, "aetherd %s; %" PRIu32 " client%s, %s; %s",
                      state, d->clients, ae_plural(d->clients, "", "s"), ae_amount_bytes(memory, d->memory_bytes),
                      path);
}

static void add_totals(struct top_page *page, const struct top_show *show) {
    const struct ae_watch_pass *pass = show->pass;
    const struct ae_watch_topic *t = &pass->total;
    const uint64_t publishers = pass->instance.publishers, subscribers = pass->instance.subscribers;
    char in[AE_AMOUNT_SIZE + 8] = "", out[2 * AE_AMOUNT_SIZE] = "", bytes[AE_AMOUNT_SIZE], amount[2][AE_AMOUNT_SIZE];
    char trouble[96] = "";

    if (t->rates.known) {
        snprintf(in, sizeof in, " %s, %s", ae_amount_rate(amount[0], t->rates.published),
                 ae_amount_byte_rate(bytes, t->rates.published_bytes));
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

/* "by rate, every 1 s; P50 to MAX of the last 1.00 s; filter eur: 3 topics; top: 0.4 % of a core, 2.10 ms a pass" */
static void add_settings(struct top_page *page, const struct top_show *show) {
    char window[TOP_WINDOW_SIZE], every[AE_AMOUNT_SIZE], filter[TOP_TEXT_SIZE(128)] = "", cost[96] = "",
                                                         pass[AE_AMOUNT_SIZE];

    if (show->filter[0] != '\0') {
        char text[TOP_TEXT_SIZE(64)];
        top_text_escape(text, sizeof text, show->filter, strlen(show->filter));
        snprintf(filter, sizeof filter, "; filter %s: %zu topic%s", text, show->pass->matching,
                 ae_plural(show->pass->matching, "", "s"));
    }
    if (show->cost_percent >= 0)
        snprintf(cost, sizeof cost, "; top: %.1f %% of a core, %s a pass", show->cost_percent,
                 ae_amount_duration(pass, show->pass_s));
    top_page_add_text(page, show->paused ? TOP_WARN : TOP_PLAIN, "%sby %s%s, every %s; P50 to MAX %s%s%s%s",
                      show->paused ? "PAUSED; " : "", ae_watch_order_names[show->order],
                      show->reverse ? " reversed" : "", ae_amount_duration(every, show->interval_s),
                      show->total_latency ? "since creation" : "of ",
                      show->total_latency ? "" : top_show_window(window, show), filter, cost);
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

enum { NAME, RATE, BYTES, PUBLISHERS, SUBSCRIBERS, LAG, AGE, P50, P99, P999, MAX, LOST, SPARK, COLUMNS };

static const struct top_column columns[COLUMNS] = {
    [NAME] = {.title = "TOPIC", .left = 1},
    [RATE] = {.title = "RATE", .rank = 1, .width = 8},
    [BYTES] = {.title = "BYTES", .rank = 6, .width = 10},
    [PUBLISHERS] = {.title = "PUB", .rank = 7, .width = 3},
    [SUBSCRIBERS] = {.title = "SUB", .rank = 8, .width = 3},
    [LAG] = {.title = "LAG", .rank = 2, .width = 7},
    [AGE] = {.title = "AGE", .rank = 3, .width = 7},
    [P50] = {.title = "P50", .rank = 9, .width = 7},
    [P99] = {.title = "P99", .rank = 4, .width = 7},
    [P999] = {.title = "P99.9", .rank = 10, .width = 7},
    [MAX] = {.title = "MAX", .rank = 11, .width = 7},
    [LOST] = {.title = "LOST", .rank = 5, .width = 7},
    [SPARK] = {.title = "RATE, LAST MINUTE", .rank = 12, .width = 17, .max = SPARK_MAX, .left = 1},
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

/* The rows: the selected topics and, behind them, the sum of the others. */
static void fill_topic(struct top_row *row, const void *context, size_t i) {
    const struct top_show *show = context;
    const struct ae_watch_pass *pass = show->pass;
    const bool is_sum = i == pass->selected_count;
    const struct ae_watch_topic *topic = is_sum ? &pass->other : pass->selected[i];
    const aether_topic_metrics *t = &topic->figures;
    const bool known = topic->rates.known;
    double latencies[TOP_QUANTILES];

    if (is_sum) {
        const size_t others = pass->matching - pass->selected_count;
        snprintf(row->name, sizeof row->name, "%zu %s", others, ae_plural(others, "other", "others"));
    } else {
        top_text_escape(row->name, sizeof row->name, t->info.name, strlen(t->info.name));
        top_row_link_topic(row, t->info.name);
    }
    row->style = style_of(topic);
    top_show_quantiles(show, topic, latencies);
    top_cell_rate(row, RATE, known ? topic->rates.published : -1);
    top_cell_byte_rate(row, BYTES, known ? topic->rates.published_bytes : -1);
    top_cell_count(row, PUBLISHERS, t->info.publishers);
    top_cell_count(row, SUBSCRIBERS, (double)t->info.reliable + t->info.best_effort);
    top_cell_count(row, LAG, (double)t->lag);
    top_cell_time(row, AGE, top_show_seconds(t->age_ns));
    top_cell_time(row, P50, latencies[0]);
    top_cell_time(row, P99, latencies[1]);
    top_cell_time(row, P999, latencies[2]);
    top_cell_time(row, MAX, latencies[3]);
    top_cell_count(row, LOST, (double)t->lost);
    if (row->layout != NULL && row->layout->widths[SPARK] > 0 && topic->sample_count > 0) {
        static char spark[4 * SPARK_MAX + 1];
        spark_of(spark, sizeof spark, topic, row->layout->widths[SPARK]);
        row->cells[SPARK] = spark;
    }
}

void top_list_page(struct top_page *page, const struct top_show *show) {
    const struct ae_watch_pass *pass = show->pass;

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
    const struct top_table table = {.columns = columns,
                                    .count = show->sparks ? COLUMNS : SPARK,
                                    .rows = pass->selected_count + (pass->matching > pass->selected_count),
                                    .fill = fill_topic,
                                    .context = show};
    if (pass->matching > 0) {
        top_table_add(page, &table, true);
        return;
    }
    page->fixed = page->count;
    top_page_add(page, TOP_DIM, pass->topics == 0 ? "No topics." : "No topic matches the filter.");
}

/* ---- help -------------------------------------------------------------------------------------------------------- */

/* Adds `text` behind `term`, and below itself where it needs more lines. On a narrow page it begins below the term. */
static void add_entry(struct top_page *page, const char *term, const char *text, unsigned column) {
    const bool narrow = page->width < 2 * column;
    const unsigned indent = narrow ? 4 : column;
    const unsigned room = page->width > indent ? page->width - indent : 1;
    const char *before = term;

    if (narrow) {
        top_page_add(page, TOP_PLAIN, "%s", term);
        before = "";
    }
    while (text[0] != '\0' && !page->failed) {
        const size_t len = top_page_break(text, room);
        top_page_add(page, TOP_PLAIN, "%-*s%.*s", (int)indent, before, (int)len, text);
        text += len + strspn(text + len, " ");
        before = "";
    }
}

void top_help_page(struct top_page *page) {
    static const char *const keys[][2] = {
        {"  arrows, PgUp, Home ...", "move; also j, k, g, G"},
        {"  Enter", "open the topic, or the client, of the line"},
        {"  Tab", "go to the next line that can be opened"},
        {"  Escape, Backspace", "go back"},
        {"  s, R L A O 9 N", "sort: next order; rate, lag, age, loss, p99, name"},
        {"  r", "reverse the order"},
        {"  /", "filter: part of the name, or a pattern with * and ?"},
        {"  space", "stop and go on"},
        {"  + -", "pass more often, less often"},
        {"  t", "P50 to MAX of the last pass, or since creation"},
        {"  ? h", "this page"},
        {"  q", "quit"},
    };
    static const char *const words[][2] = {
        {"  RATE, BYTES", "messages and payload published a second, in the last pass"},
        {"  PUB, SUB", "open publishers and subscribers"},
        {"  LAG, AGE", "unread by the slowest subscriber; age of the oldest one"},
        {"  P50 to MAX", "time from publish to receive of so many % of messages"},
        {"  LOST", "messages that subscribers lost since the topic's creation"},
        {"  RATE, LAST MINUTE", "each row has its own scale"},
        {"  -", "unknown, or there is nothing to measure"},
        {"  red", "a publisher waits for a second, or a subscriber is stuck"},
        {"  yellow", "messages are being lost"},
    };

    top_page_add(page, TOP_STRONG, "aether-cli top: keys");
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        add_entry(page, keys[i][0], keys[i][1], 26);
    top_page_add(page, TOP_STRONG, "what is shown");
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        add_entry(page, words[i][0], words[i][1], 21);
}
