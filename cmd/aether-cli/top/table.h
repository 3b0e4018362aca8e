/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table.h - tables of a page: each column is as wide as its widest cell, and columns that don't fit are left out by
 * layout.h. A cell is never empty: what is unknown, or doesn't exist for a row, is "-".
 */
#ifndef AETHER_CLI_TOP_TABLE_H
#define AETHER_CLI_TOP_TABLE_H

#include "layout.h"
#include "page.h"
#include "text.h"
#include <stddef.h>
#include <stdint.h>

#define TOP_CELL_SIZE 64
#define TOP_NAME_SIZE TOP_TEXT_SIZE(288)

/* A row that is being filled in. All cells are "-" at first; cells[0] points to `name`. */
struct top_row {
    const char *cells[TOP_COLUMNS_MAX]; /* point to `text`, or to text that lives as long as the table is made */
    char text[TOP_COLUMNS_MAX][TOP_CELL_SIZE];
    char name[TOP_NAME_SIZE];
    const struct top_layout *layout; /* NULL while the widths are measured: the row is filled in again later */
    enum top_style style;
    struct top_place place;
};

struct top_table {
    const struct top_column *columns;
    size_t count;
    size_t rows;
    void (*fill)(struct top_row *row, const void *context, size_t i); /* fills in row i; it is called twice */
    const void *context;
};

/* Adds the titles and the rows. The lines up to the titles are fixed if `fixed` is true. */
void top_table_add(struct top_page *page, const struct top_table *table, bool fixed);

/* ---- cells ------------------------------------------------------------------------------------------------------- */

/* As amount.h writes them. A negative number is unknown. */
void top_cell_count(struct top_row *row, size_t column, double count);
void top_cell_rate(struct top_row *row, size_t column, double per_second);
void top_cell_byte_rate(struct top_row *row, size_t column, double per_second);
void top_cell_time(struct top_row *row, size_t column, double seconds);
void top_cell_percent(struct top_row *row, size_t column, double share);

void top_row_link_topic(struct top_row *row, const char *topic);
void top_row_link_client(struct top_row *row, uint64_t client_id);

#endif
