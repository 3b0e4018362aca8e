/* SPDX-License-Identifier: Apache-2.0 */
/* table.c - rows are filled in twice: to measure the columns, and to be shown. */
#include "table.h"
#include "view/amount.h"
#include <stdio.h>
#include <string.h>

#define LINE_SIZE 4096

static void fill(const struct top_table *table, struct top_row *row, size_t i, const struct top_layout *layout) {
    row->layout = layout;
    row->style = TOP_PLAIN;
    memset(&row->place, 0, sizeof row->place);
    row->name[0] = '\0';
    row->cells[0] = row->name;
    for (size_t c = 1; c < table->count; c++) {
        strcpy(row->text[c], "-");
        row->cells[c] = row->text[c];
    }
    table->fill(row, table->context, i);
}

void top_table_add(struct top_page *page, const struct top_table *table, bool fixed) {
    unsigned widest[TOP_COLUMNS_MAX] = {0};
    struct top_layout layout;
    struct top_row row;
    char line[LINE_SIZE];

    for (size_t i = 0; i < table->rows; i++) {
        fill(table, &row, i, NULL);
        for (size_t c = 0; c < table->count; c++) {
            const unsigned cells = top_text_cells(row.cells[c]);
            widest[c] = cells > widest[c] ? cells : widest[c];
        }
    }
    top_layout_make(&layout, table->columns, table->count, page->width, widest);
    top_page_add(page, TOP_TITLES, "%s", top_layout_titles(&layout, line, sizeof line));
    if (fixed)
        page->fixed = page->count;
    for (size_t i = 0; i < table->rows && !page->failed; i++) {
        fill(table, &row, i, &layout);
        top_page_add(page, row.style, "%s", top_layout_row(&layout, row.cells, line, sizeof line));
        top_page_link(page, &row.place);
    }
}

/* ---- cells ------------------------------------------------------------------------------------------------------- */

void top_cell_count(struct top_row *row, size_t column, double count) {
    if (count >= 0)
        ae_amount_brief(row->text[column], count);
}

void top_cell_rate(struct top_row *row, size_t column, double per_second) {
    if (per_second >= 0)
        ae_amount_rate(row->text[column], per_second);
}

void top_cell_byte_rate(struct top_row *row, size_t column, double per_second) {
    if (per_second >= 0)
        ae_amount_byte_rate(row->text[column], per_second);
}

void top_cell_time(struct top_row *row, size_t column, double seconds) {
    if (seconds >= 0)
        ae_amount_duration(row->text[column], seconds);
}

void top_cell_percent(struct top_row *row, size_t column, double share) {
    if (share >= 0)
        ae_amount_percent(row->text[column], share);
}

void top_row_link_topic(struct top_row *row, const char *topic) {
    row->place.kind = TOP_TOPIC;
    snprintf(row->place.topic, sizeof row->place.topic, "%s", topic);
}

void top_row_link_client(struct top_row *row, uint64_t client_id) {
    row->place.kind = TOP_CLIENT;
    row->place.client_id = client_id;
}
