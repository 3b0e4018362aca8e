/* SPDX-License-Identifier: Apache-2.0 */
/* topic_page.c - the page of one topic. */
#include "topic_page.h"
#include "layout.h"
#include "text.h"
#include "view/amount.h"
#include "view/names.h"
#include "watch/problems.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define ROW_SIZE 4096
#define OWNER_CELLS 48 /* that a client's name and pid take at most */
#define PROBLEMS 8     /* shown of one topic */

/* ---- pieces ------------------------------------------------------------------------------------------------------ */

static void date_text(char dst[32], uint64_t realtime_ns) {
    const time_t seconds = (time_t)(realtime_ns / 1000000000u);
    struct tm tm;

    if (localtime_r(&seconds, &tm) == NULL || strftime(dst, 32, "%Y-%m-%d %H:%M:%S", &tm) == 0)
        strcpy(dst, "?");
}

/* The cells of the longest name with pid, for the tables of a topic. */
static unsigned longest_owner(const aether_topic_metrics *t) {
    char name[TOP_OWNER_SIZE];
    unsigned longest = 16, cells; /* of a title */

    for (size_t i = 0; i < t->publisher_count; i++) {
        cells = top_text_cells(top_show_owner(name, &t->publishers[i].owner));
        longest = cells > longest ? cells : longest;
    }
    for (size_t i = 0; i < t->subscriber_count; i++) {
        cells = top_text_cells(top_show_owner(name, &t->subscribers[i].owner));
        longest = cells > longest ? cells : longest;
    }
    return longest < OWNER_CELLS ? longest : OWNER_CELLS;
}

static void add_titles(struct top_page *page, const struct top_layout *layout) {
    char row[ROW_SIZE];

    top_page_add(page, TOP_TITLES, "%s", top_layout_titles(layout, row, sizeof row));
}

/* cells[0] is the name; the others are texts of TOP_SHORT_SIZE bytes or, as the name, longer ones. */
static void add_row(struct top_page *page, enum top_style style, const struct top_layout *layout,
                    const char *const *cells) {
    char row[ROW_SIZE];

    top_page_add(page, style, "%s", top_layout_row(layout, cells, row, sizeof row));
}

/* ---- the topic --------------------------------------------------------------------------------------------------- */

static void add_shape(struct top_page *page, const struct ae_watch_topic *topic) {
    const aether_topic_info *t = &topic->figures.info;
    char created[32], ring[AE_AMOUNT_SIZE], largest[AE_AMOUNT_SIZE], memory[AE_AMOUNT_SIZE], lane[AE_AMOUNT_SIZE];
    char type[TOP_TEXT_SIZE(64)];

    date_text(created, t->created_ns);
    top_text_escape(type, sizeof type, t->type_name, strnlen(t->type_name, sizeof t->type_name));
    top_page_add_text(page, TOP_PLAIN, "created %s, type %s, %s", created, type[0] != '\0' ? type : "not stated",
                      ae_publishers_name(t->admits));
    top_page_add_text(
        page, TOP_PLAIN, "%" PRIu64 " slots of %" PRIu32 " B (%s), messages of up to %s, %s in memory%s%s%s",
        t->capacity, t->slot_size, ae_amount_bytes(ring, t->capacity * t->slot_size),
        ae_amount_bytes(largest, t->max_message), ae_amount_bytes(memory, t->memory_bytes),
        t->lane_bytes > 0 ? ", lanes of " : "", t->lane_bytes > 0 ? ae_amount_bytes(lane, t->lane_bytes) : "",
        t->evict_lag > 0 ? ", evicts slow subscribers" : "");
}

static void add_counters(struct top_page *page, const struct ae_watch_topic *topic) {
    const aether_topic_metrics *t = &topic->figures;
    const struct ae_watch_rates *r = &topic->rates;
    char rates[4][AE_AMOUNT_SIZE], counts[4][AE_AMOUNT_SIZE], bytes[2][AE_AMOUNT_SIZE], stall[2][AE_AMOUNT_SIZE];
    char by[160] = "";

    if (r->known)
        top_page_add_text(page, TOP_PLAIN, "now        %s published (%s/s), %s delivered (%s/s), %s lost",
                          ae_amount_rate(rates[0], r->published),
                          ae_amount_bytes(bytes[0], (uint64_t)r->published_bytes),
                          ae_amount_rate(rates[1], r->delivered),
                          ae_amount_bytes(bytes[1], (uint64_t)r->delivered_bytes), ae_amount_rate(rates[2], r->lost));
    for (int i = 0; i < AETHER_LOST_REASONS; i++) {
        if (t->lost_by[i] > 0)
            snprintf(by + strlen(by), sizeof by - strlen(by), "%s%s %s", by[0] != '\0' ? ", " : "",
                     aether_lost_name((aether_lost)i), ae_amount_count(counts[3], t->lost_by[i]));
    }
    top_page_add_text(page, TOP_PLAIN, "in total   %s published, %s delivered, %s aborted",
                      ae_amount_count(counts[0], t->published), ae_amount_count(counts[1], t->delivered),
                      ae_amount_count(counts[2], t->aborted));
    top_page_add_text(page, t->lost > 0 ? TOP_WARN : TOP_PLAIN, "lost       %s in %s gap%s%s%s%s",
                      ae_amount_count(counts[0], t->lost), ae_amount_count(counts[1], t->gaps),
                      ae_plural(t->gaps, "", "s"), by[0] != '\0' ? " (" : "", by, by[0] != '\0' ? ")" : "");
    top_page_add_text(page, TOP_PLAIN, "no room    %s time%s, %s in total, the longest %s; %s retr%s",
                      ae_amount_count(counts[0], t->stalls), ae_plural(t->stalls, "", "s"),
                      ae_amount_duration(stall[0], (double)t->stall_ns / 1e9),
                      ae_amount_duration(stall[1], (double)t->stall_longest / 1e9),
                      ae_amount_count(counts[1], t->retries), ae_plural(t->retries, "y", "ies"));
}

static void add_problems(struct top_page *page, const struct ae_watch_topic *topic, uint64_t now_ns) {
    struct ae_problem list[PROBLEMS];
    const size_t count = ae_watch_problems(topic, now_ns, AE_WATCH_PATIENCE_NS, list, 0, PROBLEMS);

    for (size_t i = 0; i < count; i++) {
        char sentence[AE_PROBLEM_TEXT], text[TOP_TEXT_SIZE(AE_PROBLEM_TEXT)];
        top_page_add_text(page, TOP_BAD, "%s", top_text_show(text, sizeof text, ae_problem_text(sentence, &list[i])));
        if (list[i].has_culprit || list[i].has_victim)
            top_page_link_client(page, list[i].has_culprit ? list[i].culprit.client_id : list[i].victim.client_id);
    }
}

/* The spectrum: a line for each power of four up to the longest latency, with the share of its messages. */
static void add_bars(struct top_page *page, const aether_latency *latency) {
    const uint64_t count = aether_latency_count(latency);
    const unsigned room = page->width > 34 ? page->width - 34 : 1;
    unsigned i = 0;
    uint64_t above = count;

    for (uint64_t end = 16; count > 0 && above > 0 && i < AETHER_LATENCY_BUCKETS; end *= 4) {
        uint64_t sum = 0;
        char from[TOP_SHORT_SIZE], to[TOP_SHORT_SIZE], bar[1024];
        top_short_time(from, (double)aether_latency_floor(i) / 1e9);
        for (; i < AETHER_LATENCY_BUCKETS && aether_latency_floor(i) < end; i++)
            sum += latency->buckets[i];
        above -= sum < above ? sum : above;
        if (sum == 0 && above == count)
            continue; /* nothing is as short as that */
        const double share = (double)sum / (double)count;
        top_short_time(to, (double)end / 1e9);
        top_page_add(page, TOP_PLAIN, "  %6s .. %6s %8.4f %% %s", from, to, share * 100,
                     top_bar(bar, sizeof bar, share, room < 200 ? room : 200));
    }
}

static void add_latency(struct top_page *page, const struct top_show *show, const struct ae_watch_topic *topic) {
    static const double shares[] = {0.5, 0.9, 0.99, 0.999, 0.9999, 1};
    static const char *const names[] = {"p50", "p90", "p99", "p99.9", "p99.99", "max"};
    const aether_latency *latency[] = {&topic->recent, &topic->figures.latency};

    top_page_add(page, TOP_TITLES, "%-10s %8s %8s %8s %8s %8s %8s %10s", "LATENCY", names[0], names[1], names[2],
                 names[3], names[4], names[5], "SAMPLES");
    for (int all = 0; all < 2; all++) {
        char text[6][TOP_SHORT_SIZE], samples[TOP_SHORT_SIZE];
        if (!all && !topic->has_recent)
            continue;
        for (size_t i = 0; i < 6; i++) {
            const double ns = aether_latency_quantile(latency[all], shares[i]);
            top_short_time(text[i], ns >= 0 ? ns / 1e9 : -1);
        }
        top_page_add(page, TOP_PLAIN, "%-10s %8s %8s %8s %8s %8s %8s %10s", all ? "all time" : "now", text[0], text[1],
                     text[2], text[3], text[4], text[5], top_short_count(samples, (double)latency[all]->samples));
    }
    const aether_latency *t = &topic->figures.latency;
    if (t->missed + t->negative + t->overflow > 0)
        top_page_add(page, TOP_WARN,
                     "  in no figure: %" PRIu64 " samples overwritten too early, %" PRIu64
                     " with clocks that differ, %" PRIu64 " messages of more than 73 minutes",
                     t->missed, t->negative, t->overflow);
    add_bars(page, show->total_latency || !topic->has_recent ? t : &topic->recent);
}

/* ---- its publishers and subscribers ------------------------------------------------------------------------------ */

static void add_publishers(struct top_page *page, const struct ae_watch_topic *topic) {
    enum { NAME, RATE, MB, COUNT, FULL, STALLED, WAITS, WAITED, LANE, STATE, COLUMNS };
    static const struct top_column columns[COLUMNS] = {
        [NAME] = {.title = "PUBLISHER (PID)", .left = 1},
        [RATE] = {.title = "MSG/S", .rank = 1, .width = 6},
        [MB] = {.title = "MB/S", .rank = 5, .width = 6},
        [COUNT] = {.title = "TOTAL", .rank = 7, .width = 6},
        [FULL] = {.title = "FULL", .rank = 8, .width = 6},
        [STALLED] = {.title = "STALL%", .rank = 4, .width = 6},
        [WAITS] = {.title = "WAITS FOR", .rank = 2, .width = 10, .left = 1},
        [WAITED] = {.title = "SINCE", .rank = 3, .width = 6},
        [LANE] = {.title = "LANE%", .rank = 9, .width = 5},
        [STATE] = {.title = "PROCESS", .rank = 6, .width = 8, .left = 1},
    };
    struct top_layout layout;

    top_layout_make(&layout, columns, COLUMNS, page->width, longest_owner(&topic->figures));
    add_titles(page, &layout);
    for (size_t i = 0; i < topic->figures.publisher_count; i++) {
        const aether_publisher_metrics *p = &topic->figures.publishers[i];
        const struct ae_watch_rates *r = &topic->publisher_rates[i];
        const bool waits = p->waits != AETHER_WAITS_NOT;
        char name[TOP_OWNER_SIZE], text[COLUMNS][TOP_SHORT_SIZE];
        const char *cells[COLUMNS];
        for (size_t k = 0; k < COLUMNS; k++)
            cells[k] = text[k];
        cells[NAME] = top_show_owner(name, &p->owner);
        cells[WAITS] = waits ? aether_waits_name(p->waits) : "";
        cells[STATE] = ae_process_name(p->owner.process);
        top_short_count(text[RATE], r->known ? r->published : -1);
        top_short_fixed(text[MB], r->known ? r->published_bytes / 1e6 : -1);
        top_short_count(text[COUNT], (double)p->messages);
        top_short_count(text[FULL], (double)p->full);
        top_short_fixed(text[STALLED], r->known ? r->stalled * 100 : -1);
        top_short_time(text[WAITED], waits ? top_show_seconds(p->waited_ns) : -1);
        top_short_fixed(text[LANE], p->lane_bytes > 0 ? 100.0 * (double)p->lane_used / (double)p->lane_bytes : -1);
        add_row(page, waits ? TOP_WARN : TOP_PLAIN, &layout, cells);
        top_page_link_client(page, p->owner.client_id);
    }
}

static enum top_style subscriber_style(const aether_subscriber_metrics *s, const struct ae_watch_rates *r) {
    if (s->state == AETHER_SUBSCRIBER_STUCK || s->state == AETHER_SUBSCRIBER_EVICTED || s->holds_up > 0)
        return TOP_BAD;
    return r->lost > 0 ? TOP_WARN : TOP_PLAIN;
}

static void add_subscribers(struct top_page *page, const struct ae_watch_topic *topic) {
    enum { NAME, POLICY, STATUS, RATE, LAG, AGE, LOST, P50, P99, MAX, HOLDS, TOTAL, STATE, COLUMNS };
    static const struct top_column columns[COLUMNS] = {
        [NAME] = {.title = "SUBSCRIBER (PID)", .left = 1},
        [POLICY] = {.title = "POLICY", .rank = 8, .width = 11, .left = 1},
        [STATUS] = {.title = "STATE", .rank = 2, .width = 7, .left = 1},
        [RATE] = {.title = "MSG/S", .rank = 1, .width = 6},
        [LAG] = {.title = "LAG", .rank = 3, .width = 6},
        [AGE] = {.title = "AGE", .rank = 4, .width = 6},
        [LOST] = {.title = "LOST", .rank = 6, .width = 6},
        [P50] = {.title = "P50", .rank = 10, .width = 6},
        [P99] = {.title = "P99", .rank = 7, .width = 6},
        [MAX] = {.title = "MAX", .rank = 11, .width = 6},
        [HOLDS] = {.title = "HOLDS UP", .rank = 5, .width = 8},
        [TOTAL] = {.title = "TOTAL", .rank = 12, .width = 6},
        [STATE] = {.title = "PROCESS", .rank = 9, .width = 8, .left = 1},
    };
    struct top_layout layout;

    top_layout_make(&layout, columns, COLUMNS, page->width, longest_owner(&topic->figures));
    add_titles(page, &layout);
    for (size_t i = 0; i < topic->figures.subscriber_count; i++) {
        const aether_subscriber_metrics *s = &topic->figures.subscribers[i];
        const struct ae_watch_rates *r = &topic->subscriber_rates[i];
        char name[TOP_OWNER_SIZE], text[COLUMNS][TOP_SHORT_SIZE];
        const char *cells[COLUMNS];
        for (size_t k = 0; k < COLUMNS; k++)
            cells[k] = text[k];
        cells[NAME] = top_show_owner(name, &s->owner);
        cells[POLICY] = ae_policy_name(s->policy);
        cells[STATUS] = aether_state_name(s->state);
        cells[STATE] = ae_process_name(s->owner.process);
        top_short_count(text[RATE], r->known ? r->delivered : -1);
        top_short_count(text[LAG], (double)s->lag);
        top_short_time(text[AGE], top_show_seconds(s->age_ns));
        top_short_count(text[LOST], (double)s->lost);
        const double quantiles[] = {0.5, 0.99, 1};
        for (size_t k = 0; k < 3; k++) {
            const double ns = aether_latency_quantile(&s->latency, quantiles[k]);
            top_short_time(text[k == 0 ? P50 : k == 1 ? P99 : MAX], ns >= 0 ? ns / 1e9 : -1);
        }
        strcpy(text[HOLDS], "");
        if (s->holds_up > 0)
            top_short_count(text[HOLDS], (double)s->holds_up);
        top_short_count(text[TOTAL], (double)s->delivered);
        add_row(page, subscriber_style(s, r), &layout, cells);
        top_page_link_client(page, s->owner.client_id);
    }
}

static void add_departed(struct top_page *page, const struct ae_watch_topic *topic, uint64_t now_ns) {
    enum { NAME, ROLE, HOW, AGO, COUNT, LOST, STALLED, COLUMNS };
    static const struct top_column columns[COLUMNS] = {
        [NAME] = {.title = "GONE (PID)", .left = 1},
        [ROLE] = {.title = "ROLE", .rank = 2, .width = 11, .left = 1},
        [HOW] = {.title = "HOW", .rank = 1, .width = 6, .left = 1},
        [AGO] = {.title = "AGO", .rank = 3, .width = 6},
        [COUNT] = {.title = "MSGS", .rank = 4, .width = 6},
        [LOST] = {.title = "LOST", .rank = 5, .width = 6},
        [STALLED] = {.title = "STALL", .rank = 6, .width = 6},
    };
    struct top_layout layout;

    top_layout_make(&layout, columns, COLUMNS, page->width, longest_owner(&topic->figures));
    add_titles(page, &layout);
    for (size_t i = 0; i < topic->figures.departed_count; i++) {
        const aether_departed_metrics *d = &topic->figures.departed[i];
        char name[TOP_OWNER_SIZE], text[COLUMNS][TOP_SHORT_SIZE];
        const char *cells[COLUMNS];
        for (size_t k = 0; k < COLUMNS; k++)
            cells[k] = text[k];
        cells[NAME] = top_show_owner(name, &d->owner);
        cells[ROLE] = ae_role_name(d->role);
        cells[HOW] = d->died ? "died" : "closed";
        top_short_time(text[AGO], now_ns > d->left_ns ? (double)(now_ns - d->left_ns) / 1e9 : 0);
        top_short_count(text[COUNT], (double)d->messages);
        top_short_count(text[LOST], (double)d->lost);
        top_short_time(text[STALLED], d->role == AETHER_ROLE_PUBLISHER ? (double)d->stall_ns / 1e9 : -1);
        add_row(page, d->died ? TOP_WARN : TOP_DIM, &layout, cells);
    }
}

/* The topic in the pass, by name; NULL: it isn't there. */
static const struct ae_watch_topic *find(const struct ae_watch_pass *pass, const char *name) {
    if (pass->pinned != NULL && strcmp(pass->pinned->figures.info.name, name) == 0)
        return pass->pinned;
    for (size_t i = 0; i < pass->selected_count; i++) {
        if (strcmp(pass->selected[i]->figures.info.name, name) == 0)
            return pass->selected[i];
    }
    return NULL;
}

void top_topic_page(struct top_page *page, const struct top_show *show, const char *name) {
    const struct ae_watch_topic *topic = show->pass != NULL ? find(show->pass, name) : NULL;
    char text[TOP_TEXT_SIZE(256)], fit[TOP_TEXT_SIZE(256)];

    if (show->error != NULL)
        top_page_add(page, TOP_BAD, "%s", show->error);
    top_text_escape(text, sizeof text, name, strlen(name));
    const unsigned room = page->width > 20 ? page->width - 20 : 1;
    if (top_text_cells(text) > room)
        top_text_fit(fit, sizeof fit, text, room, TOP_LEFT);
    top_page_add(page, TOP_STRONG, "topic %s%s", top_text_cells(text) > room ? fit : text,
                 show->paused ? " (PAUSED)" : "");
    page->fixed = page->count;
    if (topic == NULL) {
        top_page_add(page, TOP_WARN, "This topic isn't there.");
        return;
    }
    add_shape(page, topic);
    add_counters(page, topic);
    add_problems(page, topic, show->pass->instance.now_ns);
    add_latency(page, show, topic);
    if (topic->figures.publisher_count > 0)
        add_publishers(page, topic);
    else
        top_page_add(page, TOP_DIM, "No publisher is open.");
    if (topic->figures.subscriber_count > 0)
        add_subscribers(page, topic);
    else
        top_page_add(page, TOP_DIM, "No subscriber is open.");
    if (topic->figures.departed_count > 0)
        add_departed(page, topic, show->pass->instance.now_ns);
}
