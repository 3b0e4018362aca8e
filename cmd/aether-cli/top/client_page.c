/* SPDX-License-Identifier: Apache-2.0 */
/* client_page.c - the page of one client. */
#include "client_page.h"
#include "layout.h"
#include "text.h"
#include "view/amount.h"
#include "view/names.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { NAME, ROLE, RATE, LAG, AGE, STATUS, LOST, TOTAL, FULL, COLUMNS };

static const struct top_column columns[COLUMNS] = {
    [NAME] = {.title = "TOPIC", .left = 1},
    [ROLE] = {.title = "ROLE", .rank = 1, .width = 11, .left = 1},
    [RATE] = {.title = "MSG/S", .rank = 2, .width = 6},
    [LAG] = {.title = "LAG", .rank = 4, .width = 6},
    [AGE] = {.title = "AGE", .rank = 5, .width = 6},
    [STATUS] = {.title = "STATE", .rank = 3, .width = 14, .left = 1},
    [LOST] = {.title = "LOST", .rank = 6, .width = 6},
    [TOTAL] = {.title = "TOTAL", .rank = 7, .width = 6},
    [FULL] = {.title = "FULL", .rank = 8, .width = 6},
};

static void add_client(struct top_page *page, const struct top_show *show) {
    const aether_client_metrics *c = &show->pass->client;
    char name[TOP_TEXT_SIZE(64)], since[AE_AMOUNT_SIZE], bytes[AE_AMOUNT_SIZE];
    const double age_s = (double)(int64_t)(show->pass->instance.now_ns - c->created_ns) / 1e9;

    top_text_escape(name, sizeof name, c->name, strnlen(c->name, sizeof c->name));
    top_page_add(page, TOP_STRONG, "client %s%s", name, show->paused ? " (PAUSED)" : "");
    if (c->pid != 0)
        top_page_add(page, TOP_PLAIN, "pid %" PRIu32 ", uid %" PRIu32 ", process %s; connected %s ago", c->pid, c->uid,
                     ae_process_name(c->process), ae_amount_duration(since, age_s > 0 ? age_s : 0));
    else
        top_page_add(page, TOP_PLAIN, "uid %" PRIu32 "; connected %s ago", c->uid,
                     ae_amount_duration(since, age_s > 0 ? age_s : 0));
    top_page_add(page, TOP_PLAIN, "%" PRIu64 " publisher%s, %" PRIu64 " subscriber%s, %s of statistics", c->publishers,
                 ae_plural(c->publishers, "", "s"), c->subscribers, ae_plural(c->subscribers, "", "s"),
                 ae_amount_bytes(bytes, c->stats_bytes));
}

/* Those of the list's problems that are about this client. */
static void add_problems(struct top_page *page, const struct ae_watch_pass *pass, uint64_t client_id) {
    for (size_t i = 0; i < pass->problem_count; i++) {
        const struct ae_problem *p = &pass->problems[i];
        char name[TOP_TEXT_SIZE(256)], sentence[AE_PROBLEM_TEXT], text[TOP_TEXT_SIZE(AE_PROBLEM_TEXT)];
        if (!(p->has_culprit && p->culprit.client_id == client_id) &&
            !(p->has_victim && p->victim.client_id == client_id))
            continue;
        top_text_escape(name, sizeof name, p->topic, strlen(p->topic));
        top_page_add_text(page, TOP_BAD, "%s: %s", name,
                          top_text_show(text, sizeof text, ae_problem_text(sentence, p)));
        top_page_link_topic(page, p->topic);
    }
}

static void add_part(struct top_page *page, const struct top_layout *layout, const struct ae_watch_part *part) {
    const bool publisher = part->role == AETHER_ROLE_PUBLISHER;
    const aether_publisher_metrics *p = &part->publisher;
    const aether_subscriber_metrics *s = &part->subscriber;
    char name[TOP_TEXT_SIZE(256)], text[COLUMNS][TOP_SHORT_SIZE], row[4096], status[32];
    const char *cells[COLUMNS];
    enum top_style style = TOP_PLAIN;

    for (size_t i = 0; i < COLUMNS; i++)
        cells[i] = text[i];
    cells[NAME] = top_text_escape(name, sizeof name, part->topic, strlen(part->topic));
    cells[ROLE] = publisher ? ae_role_name(part->role) : ae_policy_name(s->policy);
    cells[STATUS] = status;
    if (publisher) {
        const bool waits = p->waits != AETHER_WAITS_NOT;
        snprintf(status, sizeof status, "%s%s", waits ? "for " : "", waits ? aether_waits_name(p->waits) : "");
        top_short_time(text[AGE], waits ? top_show_seconds(p->waited_ns) : -1);
        style = waits ? TOP_WARN : TOP_PLAIN;
    } else {
        snprintf(status, sizeof status, "%s", aether_state_name(s->state));
        top_short_time(text[AGE], top_show_seconds(s->age_ns));
        style = s->state == AETHER_SUBSCRIBER_STUCK || s->holds_up > 0 ? TOP_BAD : TOP_PLAIN;
    }
    top_short_count(text[RATE], !part->rates.known ? -1 : publisher ? part->rates.published : part->rates.delivered);
    top_short_count(text[LAG], publisher ? -1 : (double)s->lag);
    top_short_count(text[LOST], publisher ? -1 : (double)s->lost);
    top_short_count(text[TOTAL], publisher ? (double)p->messages : (double)s->delivered);
    top_short_count(text[FULL], publisher ? (double)p->full : -1);
    top_page_add(page, style, "%s", top_layout_row(layout, cells, row, sizeof row));
    top_page_link_topic(page, part->topic);
}

void top_client_page(struct top_page *page, const struct top_show *show, uint64_t client_id) {
    const struct ae_watch_pass *pass = show->pass;
    char row[4096], name[TOP_TEXT_SIZE(256)];
    struct top_layout layout;
    unsigned longest = 8;

    if (show->error != NULL)
        top_page_add(page, TOP_BAD, "%s", show->error);
    if (pass == NULL || !pass->has_client || pass->client.client_id != client_id)
        top_page_add(page, TOP_WARN, "Client %" PRIu64 " isn't connected.", client_id);
    else
        add_client(page, show);
    if (pass != NULL)
        add_problems(page, pass, client_id);
    for (size_t i = 0; pass != NULL && i < pass->part_count; i++) {
        const unsigned cells =
            top_text_cells(top_text_escape(name, sizeof name, pass->parts[i].topic, strlen(pass->parts[i].topic)));
        longest = cells > longest ? cells : longest;
    }
    top_layout_make(&layout, columns, COLUMNS, page->width, longest);
    top_page_add(page, TOP_TITLES, "%s", top_layout_titles(&layout, row, sizeof row));
    page->fixed = page->count;
    for (size_t i = 0; pass != NULL && i < pass->part_count; i++)
        add_part(page, &layout, &pass->parts[i]);
    if (pass != NULL && pass->parts_left_out > 0)
        top_page_add(page, TOP_DIM, "... and %zu more", pass->parts_left_out);
}
