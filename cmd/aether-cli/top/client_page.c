/* SPDX-License-Identifier: Apache-2.0 */
/* client_page.c - the page of one client. */
#include "client_page.h"
#include "table.h"
#include "text.h"
#include "view/amount.h"
#include "view/lost.h"
#include "view/names.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { NAME, ROLE, RATE, LAG, AGE, STATUS, LOST, TOTAL, STALLED, COLUMNS };

static const struct top_column columns[COLUMNS] = {
    [NAME] = {.title = "TOPIC", .left = 1},
    [ROLE] = {.title = "ROLE", .rank = 1, .width = 11, .left = 1},
    [RATE] = {.title = "RATE", .rank = 2, .width = 8},
    [LAG] = {.title = "LAG", .rank = 4, .width = 7},
    [AGE] = {.title = "AGE", .rank = 5, .width = 7},
    [STATUS] = {.title = "STATE", .rank = 3, .width = 10, .left = 1},
    [LOST] = {.title = "LOST", .rank = 6, .width = 7},
    [TOTAL] = {.title = "MESSAGES", .rank = 7, .width = 8},
    [STALLED] = {.title = "STALLED", .rank = 8, .width = 7},
};

static void add_client(struct top_page *page, const struct top_show *show) {
    const aether_client_metrics *c = &show->pass->client;
    char name[TOP_TEXT_SIZE(64)], since[AE_AMOUNT_SIZE], bytes[AE_AMOUNT_SIZE];

    top_text_escape(name, sizeof name, c->name, strnlen(c->name, sizeof c->name));
    top_page_add(page, TOP_STRONG, "client %s%s", name, show->paused ? " (PAUSED)" : "");
    if (c->pid != 0)
        top_page_add(page, TOP_PLAIN, "pid %" PRIu32 ", uid %" PRIu32 ", process %s; connected %s ago", c->pid, c->uid,
                     ae_process_name(c->process), ae_amount_duration(since, (double)c->connected_ns / 1e9));
    else
        top_page_add(page, TOP_PLAIN, "uid %" PRIu32 "; connected %s ago", c->uid,
                     ae_amount_duration(since, (double)c->connected_ns / 1e9));
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

static void fill_publisher(struct top_row *row, const struct ae_watch_part *part) {
    const aether_publisher_metrics *p = &part->publisher;
    char waited[AE_AMOUNT_SIZE];

    row->cells[ROLE] = ae_role_name(part->role);
    top_cell_rate(row, RATE, part->rates.known ? part->rates.published : -1);
    top_cell_count(row, TOTAL, (double)p->messages);
    top_cell_time(row, STALLED, (double)p->stall_ns / 1e9);
    if (p->waits == AETHER_WAITS_NOT)
        return;
    snprintf(row->text[STATUS], TOP_CELL_SIZE, "waits %s for %s",
             ae_amount_duration(waited, (double)p->waited_ns / 1e9), aether_waits_name(p->waits));
    row->style = TOP_WARN;
}

static void fill_subscriber(struct top_row *row, const struct ae_watch_part *part) {
    const aether_subscriber_metrics *s = &part->subscriber;

    row->cells[ROLE] = ae_policy_name(s->policy);
    row->cells[STATUS] = aether_state_name(s->state);
    top_cell_rate(row, RATE, part->rates.known ? part->rates.delivered : -1);
    top_cell_count(row, TOTAL, (double)s->delivered);
    top_cell_count(row, LAG, (double)s->lag);
    top_cell_time(row, AGE, top_show_seconds(s->age_ns));
    top_cell_count(row, LOST, (double)s->lost);
    if (s->state == AETHER_SUBSCRIBER_STUCK || s->holds_up > 0)
        row->style = TOP_BAD;
}

static void fill_part(struct top_row *row, const void *context, size_t i) {
    const struct ae_watch_part *part = &((const struct ae_watch_pass *)context)->parts[i];

    top_text_escape(row->name, sizeof row->name, part->topic, strlen(part->topic));
    if (part->role == AETHER_ROLE_PUBLISHER)
        fill_publisher(row, part);
    else
        fill_subscriber(row, part);
    top_row_link_topic(row, part->topic);
}

/* Why its subscribers lost messages, and what they will lose: a sentence for each. */
static void add_losses(struct top_page *page, const struct ae_watch_pass *pass) {
    for (size_t i = 0; i < pass->part_count; i++) {
        const struct ae_watch_part *part = &pass->parts[i];
        const aether_subscriber_metrics *s = &part->subscriber;
        char name[TOP_TEXT_SIZE(256)], lost[AE_LOST_SIZE], lag[AE_AMOUNT_SIZE], gone[AE_AMOUNT_SIZE];
        if (part->role == AETHER_ROLE_PUBLISHER || (s->lost == 0 && s->overwritten == 0))
            continue;
        top_text_escape(name, sizeof name, part->topic, strlen(part->topic));
        if (s->lost > 0) {
            top_page_add_text(page, TOP_WARN, "%s: lost %s", name, ae_lost_text(lost, s->lost, s->lost_by));
            top_page_link_topic(page, part->topic);
        }
        if (s->overwritten > 0) {
            top_page_add_text(page, TOP_WARN, "%s: lag %s, of these %s overwritten", name, ae_amount_count(lag, s->lag),
                              ae_amount_count(gone, s->overwritten));
            top_page_link_topic(page, part->topic);
        }
    }
}

void top_client_page(struct top_page *page, const struct top_show *show, uint64_t client_id) {
    const struct ae_watch_pass *pass = show->pass;
    char window[TOP_WINDOW_SIZE];

    if (show->error != NULL)
        top_page_add(page, TOP_BAD, "%s", show->error);
    if (pass == NULL || !pass->has_client || pass->client.client_id != client_id) {
        top_page_add(page, TOP_WARN, "Client %" PRIu64 " isn't connected.", client_id);
        return;
    }
    add_client(page, show);
    add_problems(page, pass, client_id);
    if (pass->part_count == 0) {
        top_page_add(page, TOP_DIM, "It has no open publisher or subscriber.");
        return;
    }
    top_page_add_text(page, TOP_DIM, "RATE of %s; LOST, MESSAGES and STALLED since each was opened",
                      top_show_window(window, show));
    const struct top_table table = {
        .columns = columns, .count = COLUMNS, .rows = pass->part_count, .fill = fill_part, .context = pass};
    top_table_add(page, &table, true);
    if (pass->parts_left_out > 0)
        top_page_add(page, TOP_DIM, "... and %zu more", pass->parts_left_out);
    add_losses(page, pass);
}
