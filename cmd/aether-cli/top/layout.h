/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layout.h - which columns of a table fit into a width, and its rows.
 *
 * A table's first column is a name and is always shown. The others have ranks: while the width doesn't suffice, the
 * column with the largest rank is left out. A column is as wide as its widest cell. What is left over widens the name
 * up to its longest value, and then columns that can use more.
 */
#ifndef AETHER_CLI_TOP_LAYOUT_H
#define AETHER_CLI_TOP_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#define TOP_COLUMNS_MAX 16

struct top_column {
    const char *title;
    uint8_t rank;       /* 1: the most important one; 0: the name */
    uint8_t width, max; /* cells: its usual width, so that it seldom changes; max: if it can use more, else 0 */
    uint8_t left;       /* 1: aligned left */
};

struct top_layout {
    const struct top_column *columns;
    size_t count;
    unsigned widths[TOP_COLUMNS_MAX]; /* 0: left out */
};

/*
 * width: cells of a row, at least 1. widest[i]: cells of the widest cell of column i, whose title is not among them.
 * The columns must outlive the layout.
 */
void top_layout_make(struct top_layout *layout, const struct top_column *columns, size_t count, unsigned width,
                     const unsigned *widest);

/* A row: its cells are cut or padded, and separated by a space. cells[i] may be NULL for columns that are left out. */
char *top_layout_row(const struct top_layout *layout, const char *const *cells, char *dst, size_t size);
char *top_layout_titles(const struct top_layout *layout, char *dst, size_t size);

#endif
