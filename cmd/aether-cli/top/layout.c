/* SPDX-License-Identifier: Apache-2.0 */
/* layout.c - columns and rows. */
#include "layout.h"
#include "text.h"
#include <string.h>

#define NAME_MIN 10  /* cells that the name has before any other column is shown */
#define NAME_GOOD 22 /* and before a column of no great importance is */
#define RANK_GREAT 4 /* the last rank of great importance */
#define CELL_SIZE 1024

static unsigned least(unsigned a, unsigned b) {
    return a < b ? a : b;
}

/* The column with this rank, or `count`. */
static size_t with_rank(const struct top_layout *layout, unsigned rank) {
    size_t i = 0;

    while (i < layout->count && layout->columns[i].rank != rank)
        i++;
    return i;
}

void top_layout_make(struct top_layout *layout, const struct top_column *columns, size_t count, unsigned width,
                     const unsigned *widest) {
    const unsigned title = top_text_cells(columns[0].title), longest = widest[0] > title ? widest[0] : title;
    unsigned left;

    memset(layout, 0, sizeof *layout);
    layout->columns = columns;
    layout->count = count;
    layout->widths[0] = least(width, NAME_MIN);
    left = width - layout->widths[0];
    for (unsigned rank = 1; rank < count; rank++) {
        const size_t i = with_rank(layout, rank);
        const unsigned name = least(rank <= RANK_GREAT ? NAME_MIN : NAME_GOOD, longest);
        const unsigned reserved = name > layout->widths[0] ? name - layout->widths[0] : 0;
        if (i == count)
            break;
        const unsigned cells = widest[i] > columns[i].width ? widest[i] : columns[i].width;
        if (cells + 1u + reserved > left)
            break;
        layout->widths[i] = cells;
        left -= cells + 1u;
    }
    if (longest > layout->widths[0]) {
        const unsigned more = least(left, longest - layout->widths[0]);
        layout->widths[0] += more;
        left -= more;
    }
    for (size_t i = 1; i < count; i++) {
        if (layout->widths[i] > 0 && columns[i].max > layout->widths[i]) {
            const unsigned more = least(left, columns[i].max - layout->widths[i]);
            layout->widths[i] += more;
            left -= more;
        }
    }
}

char *top_layout_row(const struct top_layout *layout, const char *const *cells, char *dst, size_t size) {
    char cell[CELL_SIZE];
    size_t used = 0;

    dst[0] = '\0';
    for (size_t i = 0; i < layout->count; i++) {
        if (layout->widths[i] == 0)
            continue;
        top_text_fit(cell, sizeof cell, cells[i] != NULL ? cells[i] : "", layout->widths[i],
                     i == 0 || layout->columns[i].left ? TOP_LEFT : TOP_RIGHT);
        const size_t len = strlen(cell);
        if (used + len + 2 > size)
            break;
        if (used > 0)
            dst[used++] = ' ';
        memcpy(dst + used, cell, len + 1);
        used += len;
    }
    return dst;
}

char *top_layout_titles(const struct top_layout *layout, char *dst, size_t size) {
    const char *titles[TOP_COLUMNS_MAX];

    for (size_t i = 0; i < layout->count; i++)
        titles[i] = layout->columns[i].title;
    return top_layout_row(layout, titles, dst, size);
}
