/* SPDX-License-Identifier: Apache-2.0 */
/* topic_page.c - the page of one topic. */
#include "topic_page.h"
#include "table.h"
#include "text.h"
#include "view/amount.h"
#include "view/date.h"
#include "view/lost.h"
#include "view/names.h"
#include "watch/problems.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PROBLEMS 8 /* shown of one topic */

/* ---- the topic --------------------------------------------------------------------------------------------------- */

static void add_shape(struct top_page *page, const struct ae_watch_topic *topic) {
    const aether_topic_info *t = &topic->figures.info;
    char created[AE_DATE_SIZE], ring[AE_AMOUNT_SIZE], largest[AE_AMOUNT_SIZE], memory[AE_AMOUNT_SIZE],
        lane[AE_AMOUNT_SIZE];
    char type[TOP_TEXT_SIZE(64)];

    top_text_escape(type, sizeof type, t->type_name, strnlen(t->type_name, sizeof t->type_name));
    top_page_add_text(page, TOP_PLAIN, "created %s, type %s, %s", ae_date(created, t->created_ns),
                      type[0] != '\0' ? type : "not stated", ae_publishers_name(t->admits));
    top_page_add_text(
        page, TOP_PLAIN, "%" PRIu64 " slots of %" PRIu32 " B (%s), messages of up to %s, %s in memory%s%s%s",
        t->capacity, t->slot_size, ae_amount_bytes(ring, t->capacity * t->slot_size),
        ae_amount_bytes(largest, t->max_message), ae_amount_bytes(memory, t->memory_bytes),
        t->lane_bytes > 0 ? ", lanes of " : "", t->lane_bytes > 0 ? ae_amount_bytes(lane, t->lane_bytes) : "",
        t->evict_lag > 0 ? ", evicts slow subscribers" : "");
}

static void add_counters(struct top_page *page, const struct top_show *show, const struct ae_watch_topic *topic) {
    const aether_topic_metrics *t = &topic->figures;
    const struct ae_watch_rates *r = &topic->rates;
    char rates[3][AE_AMOUNT_SIZE], counts[3][AE_AMOUNT_SIZE], bytes[2][AE_AMOUNT_SIZE], stall[2][AE_AMOUNT_SIZE];
    char window[TOP_WINDOW_SIZE], lost[AE_LOST_SIZE];

    if (r->known)
        top_page_add_text(page, TOP_PLAIN, "rates      %s published (%s), %s delivered (%s), %s lost, of %s",
                          ae_amount_rate(rates[0], r->published), ae_amount_byte_rate(bytes[0], r->published_bytes),
                          ae_amount_rate(rates[1], r->delivered), ae_amount_byte_rate(bytes[1], r->delivered_bytes),
                          ae_amount_rate(rates[2], r->lost), top_show_window(window, show));
    top_page_add_text(page, TOP_PLAIN, "in total   %s published, %s delivered, %s aborted",
                      ae_amount_count(counts[0], t->published), ae_amount_count(counts[1], t->delivered),
                      ae_amount_count(counts[2], t->aborted));
    top_page_add_text(page, t->lost > 0 ? TOP_WARN : TOP_PLAIN, "lost       %s in %s gap%s",
                      ae_lost_text(lost, t->lost, t->lost_by), ae_amount_count(counts[1], t->gaps),
                      ae_plural(t->gaps, "", "s"));
    top_page_add_text(page, TOP_PLAIN, "no room    %s time%s, %s in total, the longest %s; %s retr%s",
                      ae_amount_count(counts[0], t->stalls), ae_plural(t->stalls, "", "s"),
                      ae_amount_duration(stall[0], (double)t->stall_ns / 1e9),
                      ae_amount_duration(stall[1], (double)t->stall_longest / 1e9),
                      ae_amount_count(counts[1], t->retries), ae_plural(t->retries, "y", "ies"));
}

static void add_problems(struct top_page *page, const struct ae_watch_topic *topic,
                         const aether_instance_metrics *instance) {
    struct ae_problem list[PROBLEMS];
    const size_t count = ae_watch_problems(topic, instance, AE_WATCH_PATIENCE_NS, list, 0, PROBLEMS);

    for (size_t i = 0; i < count; i++) {
        char sentence[AE_PROBLEM_TEXT], text[TOP_TEXT_SIZE(AE_PROBLEM_TEXT)];
        top_page_add_text(page, TOP_BAD, "%s", top_text_show(text, sizeof text, ae_problem_text(sentence, &list[i])));
        if (list[i].has_culprit || list[i].has_victim)
            top_page_link_client(page, list[i].has_culprit ? list[i].culprit.client_id : list[i].victim.client_id);
    }
}

/* ---- latencies --------------------------------------------------------------------------------------------------- */

/* The spectrum: a line for each power of four up to the longest latency, with the share of its messages. */
static void add_bars(struct top_page *page, const aether_latency *latency) {
    const uint64_t count = aether_latency_count(latency);
    const unsigned room = page->width > 34 ? page->width - 34 : 1;
    unsigned i = 0;
    uint64_t above = count;

    for (uint64_t end = 16; count > 0 && above > 0 && i < AETHER_LATENCY_BUCKETS; end *= 4) {
        uint64_t sum = 0;
        char amount[AE_AMOUNT_SIZE], from[64], to[64], part[64], bar[1024];
        top_text_fit(from, sizeof from, ae_amount_duration(amount, (double)aether_latency_floor(i) / 1e9), 7,
                     TOP_RIGHT);
        for (; i < AETHER_LATENCY_BUCKETS && aether_latency_floor(i) < end; i++)
            sum += latency->buckets[i];
        above -= sum < above ? sum : above;
        if (sum == 0 && above == count)
            continue; /* nothing is as short as that */
        const double share = (double)sum / (double)count;
        top_text_fit(to, sizeof to, ae_amount_duration(amount, (double)end / 1e9), 7, TOP_RIGHT);
        top_text_fit(part, sizeof part, ae_amount_percent(amount, share), 7, TOP_RIGHT);
        top_page_add(page, TOP_PLAIN, "  %s .. %s  %s  %s", from, to, part,
                     top_bar(bar, sizeof bar, share, room < 200 ? room : 200));
    }
}

enum { WINDOW, L50, L90, L99, L999, L9999, LMAX, SAMPLES, LATENCIES };

struct latencies {
    const aether_latency *latency[2];
    char titles[2][TOP_WINDOW_SIZE];
};

static void fill_latency(struct top_row *row, const void *context, size_t i) {
    static const double shares[] = {0.5, 0.9, 0.99, 0.999, 0.9999, 1};
    const struct latencies *latencies = context;
    const aether_latency *latency = latencies->latency[i];

    snprintf(row->name, sizeof row->name, "%s", latencies->titles[i]);
    for (size_t k = 0; k < sizeof shares / sizeof shares[0]; k++) {
        const double ns = aether_latency_quantile(latency, shares[k]);
        top_cell_time(row, L50 + k, ns >= 0 ? ns / 1e9 : -1);
    }
    top_cell_count(row, SAMPLES, (double)latency->samples);
}

static void add_latency(struct top_page *page, const struct top_show *show, const struct ae_watch_topic *topic) {
    static const struct top_column columns[LATENCIES] = {
        [WINDOW] = {.title = "LATENCY OF", .left = 1},      [L50] = {.title = "P50", .rank = 2, .width = 7},
        [L90] = {.title = "P90", .rank = 4, .width = 7},    [L99] = {.title = "P99", .rank = 1, .width = 7},
        [L999] = {.title = "P99.9", .rank = 5, .width = 7}, [L9999] = {.title = "P99.99", .rank = 7, .width = 7},
        [LMAX] = {.title = "MAX", .rank = 3, .width = 7},   [SAMPLES] = {.title = "SAMPLES", .rank = 6, .width = 7},
    };
    const aether_latency *t = &topic->figures.latency;
    struct latencies latencies = {.latency = {t, t}, .titles = {"since creation", "since creation"}};
    const bool recent = topic->has_recent;

    if (topic->figures.info.latency == AETHER_LATENCY_OFF) {
        top_page_add(page, TOP_DIM, "Latencies aren't measured in this topic.");
        return;
    }
    if (t->samples == 0) {
        top_page_add(page, TOP_DIM, "No latencies yet: no stamped message has been received.");
        return;
    }
    if (recent) {
        latencies.latency[0] = &topic->recent;
        top_show_window(latencies.titles[0], show);
    }
    const struct top_table table = {
        .columns = columns, .count = LATENCIES, .rows = recent ? 2 : 1, .fill = fill_latency, .context = &latencies};
    top_table_add(page, &table, false);
    if (t->missed + t->negative + t->overflow > 0)
        top_page_add_text(page, TOP_WARN,
                          "  in no figure: %" PRIu64 " sample%s overwritten too early, %" PRIu64
                          " with clocks that differ, %" PRIu64 " message%s of more than 73 minutes",
                          t->missed, ae_plural(t->missed, "", "s"), t->negative, t->overflow,
                          ae_plural(t->overflow, "", "s"));
    const bool total = show->total_latency || !recent;
    const aether_latency *shown = total ? t : &topic->recent;
    if (aether_latency_count(shown) > 0) {
        top_page_add(page, TOP_DIM, "Share of the messages, %s%s:", total ? "" : "of ",
                     latencies.titles[total ? 1 : 0]);
        add_bars(page, shown);
    }
}

/* ---- its publishers and subscribers ------------------------------------------------------------------------------ */

/* The title of the first column names two things: "feed (812)". */
static void fill_owner(struct top_row *row, const aether_owner *owner) {
    char name[TOP_OWNER_SIZE];

    snprintf(row->name, sizeof row->name, "%s", top_show_owner(name, owner));
}

enum { PUBLISHER, P_RATE, P_BYTES, P_TOTAL, P_SHARE, P_STALLED, P_FULL, P_WAITS, P_SINCE, P_LANE, P_STATE, P_COLUMNS };

static void fill_publisher(struct top_row *row, const void *context, size_t i) {
    const struct ae_watch_topic *topic = context;
    const aether_publisher_metrics *p = &topic->figures.publishers[i];
    const struct ae_watch_rates *r = &topic->publisher_rates[i];
    const bool waits = p->waits != AETHER_WAITS_NOT;

    fill_owner(row, &p->owner);
    top_row_link_client(row, p->owner.client_id);
    row->style = waits ? TOP_WARN : TOP_PLAIN;
    top_cell_rate(row, P_RATE, r->known ? r->published : -1);
    top_cell_byte_rate(row, P_BYTES, r->known ? r->published_bytes : -1);
    top_cell_count(row, P_TOTAL, (double)p->messages);
    top_cell_percent(row, P_SHARE, r->known ? r->stalled : -1);
    top_cell_time(row, P_STALLED, (double)p->stall_ns / 1e9);
    top_cell_count(row, P_FULL, (double)p->full);
    if (waits)
        row->cells[P_WAITS] = aether_waits_name(p->waits);
    top_cell_time(row, P_SINCE, waits ? top_show_seconds(p->waited_ns) : -1);
    top_cell_percent(row, P_LANE, p->lane_bytes > 0 ? (double)p->lane_used / (double)p->lane_bytes : -1);
    row->cells[P_STATE] = ae_process_name(p->owner.process);
}

static void add_publishers(struct top_page *page, const struct ae_watch_topic *topic) {
    static const struct top_column columns[P_COLUMNS] = {
        [PUBLISHER] = {.title = "PUBLISHER (PID)", .left = 1},
        [P_RATE] = {.title = "RATE", .rank = 1, .width = 8},
        [P_WAITS] = {.title = "WAITS FOR", .rank = 2, .width = 10, .left = 1},
        [P_SINCE] = {.title = "SINCE", .rank = 3, .width = 7},
        [P_SHARE] = {.title = "NO ROOM", .rank = 4, .width = 7},
        [P_STALLED] = {.title = "STALLED", .rank = 5, .width = 7},
        [P_BYTES] = {.title = "BYTES", .rank = 6, .width = 10},
        [P_STATE] = {.title = "PROCESS", .rank = 7, .width = 8, .left = 1},
        [P_TOTAL] = {.title = "MESSAGES", .rank = 8, .width = 8},
        [P_LANE] = {.title = "LANE", .rank = 9, .width = 6},
        [P_FULL] = {.title = "FULL", .rank = 10, .width = 7},
    };
    const struct top_table table = {.columns = columns,
                                    .count = P_COLUMNS,
                                    .rows = topic->figures.publisher_count,
                                    .fill = fill_publisher,
                                    .context = topic};

    top_table_add(page, &table, false);
}

enum {
    SUBSCRIBER,
    S_POLICY,
    S_STATUS,
    S_RATE,
    S_LAG,
    S_GONE,
    S_AGE,
    S_LOST,
    S_P50,
    S_P99,
    S_MAX,
    S_HOLDS,
    S_TOTAL,
    S_STATE,
    S_COLUMNS
};

static enum top_style subscriber_style(const aether_subscriber_metrics *s, const struct ae_watch_rates *r) {
    if (s->state == AETHER_SUBSCRIBER_STUCK || s->state == AETHER_SUBSCRIBER_EVICTED || s->holds_up > 0)
        return TOP_BAD;
    return r->lost > 0 || s->overwritten > 0 ? TOP_WARN : TOP_PLAIN;
}

static void fill_subscriber(struct top_row *row, const void *context, size_t i) {
    static const double quantiles[] = {0.5, 0.99, 1};
    const struct ae_watch_topic *topic = context;
    const aether_subscriber_metrics *s = &topic->figures.subscribers[i];
    const struct ae_watch_rates *r = &topic->subscriber_rates[i];

    fill_owner(row, &s->owner);
    top_row_link_client(row, s->owner.client_id);
    row->style = subscriber_style(s, r);
    row->cells[S_POLICY] = ae_policy_name(s->policy);
    row->cells[S_STATUS] = aether_state_name(s->state);
    row->cells[S_STATE] = ae_process_name(s->owner.process);
    top_cell_rate(row, S_RATE, r->known ? r->delivered : -1);
    top_cell_count(row, S_LAG, (double)s->lag);
    top_cell_count(row, S_GONE, (double)s->overwritten);
    top_cell_time(row, S_AGE, top_show_seconds(s->age_ns));
    top_cell_count(row, S_LOST, (double)s->lost);
    for (size_t k = 0; k < 3; k++) {
        const double ns = aether_latency_quantile(&s->latency, quantiles[k]);
        top_cell_time(row, S_P50 + k, ns >= 0 ? ns / 1e9 : -1);
    }
    top_cell_count(row, S_HOLDS, (double)s->holds_up);
    top_cell_count(row, S_TOTAL, (double)s->delivered);
}

static void add_subscribers(struct top_page *page, const struct ae_watch_topic *topic) {
    static const struct top_column columns[S_COLUMNS] = {
        [SUBSCRIBER] = {.title = "SUBSCRIBER (PID)", .left = 1},
        [S_RATE] = {.title = "RATE", .rank = 1, .width = 8},
        [S_STATUS] = {.title = "STATE", .rank = 2, .width = 7, .left = 1},
        [S_LAG] = {.title = "LAG", .rank = 3, .width = 7},
        [S_AGE] = {.title = "AGE", .rank = 4, .width = 7},
        [S_HOLDS] = {.title = "HOLDS UP", .rank = 5, .width = 8},
        [S_LOST] = {.title = "LOST", .rank = 6, .width = 7},
        [S_P99] = {.title = "P99", .rank = 7, .width = 7},
        [S_POLICY] = {.title = "POLICY", .rank = 8, .width = 11, .left = 1},
        [S_GONE] = {.title = "OVERWRITTEN", .rank = 9, .width = 11},
        [S_STATE] = {.title = "PROCESS", .rank = 10, .width = 8, .left = 1},
        [S_P50] = {.title = "P50", .rank = 11, .width = 7},
        [S_MAX] = {.title = "MAX", .rank = 12, .width = 7},
        [S_TOTAL] = {.title = "MESSAGES", .rank = 13, .width = 8},
    };
    const struct top_table table = {.columns = columns,
                                    .count = S_COLUMNS,
                                    .rows = topic->figures.subscriber_count,
                                    .fill = fill_subscriber,
                                    .context = topic};

    top_table_add(page, &table, false);
}

/* ---- those that have gone ---------------------------------------------------------------------------------------- */

enum { DEPARTED, D_HOW, D_ROLE, D_AGO, D_TOTAL, D_LOST, D_STALLED, D_COLUMNS };

static void fill_departed(struct top_row *row, const void *context, size_t i) {
    const aether_departed_metrics *d = (const aether_departed_metrics *)context + i;
    const bool publisher = d->role == AETHER_ROLE_PUBLISHER;

    fill_owner(row, &d->owner);
    row->style = d->died ? TOP_WARN : TOP_DIM;
    row->cells[D_ROLE] = ae_role_name(d->role);
    snprintf(row->text[D_HOW], TOP_CELL_SIZE, "%s%s", d->died ? "died" : "closed", d->evicted ? ", evicted" : "");
    top_cell_time(row, D_AGO, (double)d->ago_ns / 1e9);
    top_cell_count(row, D_TOTAL, (double)d->messages);
    top_cell_count(row, D_LOST, publisher ? -1 : (double)d->lost);
    top_cell_time(row, D_STALLED, publisher ? (double)d->stall_ns / 1e9 : -1);
}

static void add_departed(struct top_page *page, const struct ae_watch_topic *topic) {
    static const struct top_column columns[D_COLUMNS] = {
        [DEPARTED] = {.title = "GONE (PID)", .left = 1},
        [D_HOW] = {.title = "HOW", .rank = 1, .width = 6, .left = 1},
        [D_ROLE] = {.title = "ROLE", .rank = 2, .width = 11, .left = 1},
        [D_AGO] = {.title = "AGO", .rank = 3, .width = 7},
        [D_TOTAL] = {.title = "MESSAGES", .rank = 4, .width = 8},
        [D_LOST] = {.title = "LOST", .rank = 5, .width = 7},
        [D_STALLED] = {.title = "STALLED", .rank = 6, .width = 7},
    };
    const struct top_table table = {.columns = columns,
                                    .count = D_COLUMNS,
                                    .rows = topic->figures.departed_count,
                                    .fill = fill_departed,
                                    .context = topic->figures.departed};

    top_table_add(page, &table, false);
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
    char text[TOP_TEXT_SIZE(256)], fit[TOP_TEXT_SIZE(256)], window[TOP_WINDOW_SIZE];

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
    add_counters(page, show, topic);
    add_problems(page, topic, &show->pass->instance);
    add_latency(page, show, topic);
    if (topic->figures.publisher_count + topic->figures.subscriber_count > 0)
        top_page_add_text(page, TOP_DIM,
                          "RATE, BYTES and NO ROOM of %s; STALLED, FULL, LOST, MESSAGES and P50 to MAX since each was "
                          "opened",
                          top_show_window(window, show));
    if (topic->figures.publisher_count > 0)
        add_publishers(page, topic);
    else
        top_page_add(page, TOP_DIM, "No publisher is open.");
    if (topic->figures.subscriber_count > 0)
        add_subscribers(page, topic);
    else
        top_page_add(page, TOP_DIM, "No subscriber is open.");
    if (topic->figures.departed_count > 0)
        add_departed(page, topic);
}
