/* SPDX-License-Identifier: Apache-2.0 */
/* table.h - aligned columns of text. The rows are kept in memory until they are printed. */
#ifndef AE_VIEW_TABLE_H
#define AE_VIEW_TABLE_H

#include "view/out.h"
#include <stdbool.h>
#include <stddef.h>

#define AE_TABLE_COLUMNS 16

struct ae_table_cell {
    char *text;
    bool cut; /* it may be cut */
};

struct ae_table {
    int columns;
    const char *titles[AE_TABLE_COLUMNS]; /* title_lens[] bytes each */
    size_t title_lens[AE_TABLE_COLUMNS];
    bool right[AE_TABLE_COLUMNS]; /* aligned right */
    struct ae_table_cell *cells;  /* row by row */
    size_t count, room;
    bool failed; /* out of memory */
};

/*
 * spec: the columns' titles, separated by '|'. A column is aligned right if its title begins with '>', as in
 * "TOPIC|>MESSAGES|>RATE". spec must outlive the table. Cells are added row by row.
 */
void ae_table_init(struct ae_table *table, const char *spec);
void ae_table_cell(struct ae_table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A cell of escaped text. On a terminal it is cut after AE_TABLE_TEXT columns, so that no name widens all rows. */
#define AE_TABLE_TEXT 40
void ae_table_text(struct ae_table *table, const void *data, size_t len);

/*
 * Writes the titles and the rows, each column as wide as its widest cell, and frees the cells. Returns 0; -ENOMEM if
 * there was no memory for a cell, and then nothing was written; or the stream's error.
 */
int ae_table_print(struct ae_table *table, struct ae_out *out);

#endif
