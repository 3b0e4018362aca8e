/* SPDX-License-Identifier: Apache-2.0 */
/* table.c - cells are kept as strings until the columns' widths are known. */
#include "view/table.h"
#include "view/escape.h"
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char more[] = "\xe2\x80\xa6"; /* an ellipsis: ends a text that was cut */

void ae_table_init(struct ae_table *table, const char *spec) {
    memset(table, 0, sizeof *table);
    for (;;) {
        const int c = table->columns++;
        table->right[c] = *spec == '>';
        table->titles[c] = spec + table->right[c];
        table->title_lens[c] = strcspn(table->titles[c], "|");
        spec = table->titles[c] + table->title_lens[c];
        if (*spec == '\0' || table->columns == AE_TABLE_COLUMNS)
            return;
        spec++;
    }
}

/* Takes over the string. */
static void add_cell(struct ae_table *table, char *cell, bool cut) {
    if (cell == NULL)
        table->failed = true;
    if (!table->failed && table->count == table->room) {
        const size_t room = table->room > 0 ? table->room * 2 : 64;
        struct ae_table_cell *cells = realloc(table->cells, room * sizeof *cells);
        if (cells == NULL) {
            table->failed = true;
        } else {
            table->cells = cells;
            table->room = room;
        }
    }
    if (table->failed)
        free(cell);
    else
        table->cells[table->count++] = (struct ae_table_cell){.text = cell, .cut = cut};
}

void ae_table_cell(struct ae_table *table, const char *format, ...) {
    char *cell = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&cell, format, args) < 0)
        cell = NULL;
    va_end(args);
    add_cell(table, cell, false);
}

void ae_table_text(struct ae_table *table, const void *data, size_t len) {
    char *cell = malloc(AE_ESCAPED_SIZE(len) + sizeof more);

    if (cell != NULL)
        ae_escape(cell, data, len);
    add_cell(table, cell, true);
}

/* Cuts valid UTF-8 after some columns, of which the last one shows that it was cut. The text has room for `more`. */
static void cut_text(char *text, size_t columns) {
    char *at = text;

    if (ae_utf8_width(text) <= columns)
        return;
    for (size_t i = 0; i + 1 < columns; i++)
        for (at++; ((unsigned char)*at & 0xc0) == 0x80;)
            at++;
    memcpy(at, more, sizeof more);
}

/* Writes one line. The last column isn't padded on its right. cells: NULL for the titles. */
static void print_row(const struct ae_table *table, const size_t *widths, const struct ae_table_cell *cells,
                      FILE *file) {
    for (int c = 0; c < table->columns; c++) {
        const char *text = cells != NULL ? cells[c].text : table->titles[c];
        const size_t len = cells != NULL ? strlen(text) : table->title_lens[c];
        const int pad = (int)(widths[c] - (cells != NULL ? ae_utf8_width(text) : len));
        const bool last = c + 1 == table->columns;

        fprintf(file, "%*s%.*s%*s", table->right[c] ? pad : 0, "", (int)len, text, table->right[c] || last ? 0 : pad,
                "");
        fputs(last ? "\n" : "  ", file);
    }
}

static void print_rows(const struct ae_table *table, struct ae_out *out) {
    const size_t columns = (size_t)table->columns;
    size_t widths[AE_TABLE_COLUMNS] = {0};

    for (size_t c = 0; c < columns; c++)
        widths[c] = table->title_lens[c];
    for (size_t i = 0; i < table->count; i++) {
        if (out->terminal && table->cells[i].cut)
            cut_text(table->cells[i].text, AE_TABLE_TEXT);
        const size_t width = ae_utf8_width(table->cells[i].text);
        if (width > widths[i % columns])
            widths[i % columns] = width;
    }
    print_row(table, widths, NULL, out->file);
    for (size_t i = 0; i + columns <= table->count && !ae_out_failed(out); i += columns)
        print_row(table, widths, table->cells + i, out->file);
}

int ae_table_print(struct ae_table *table, struct ae_out *out) {
    const bool complete = !table->failed;

    if (complete)
        print_rows(table, out);
    for (size_t i = 0; i < table->count; i++)
        free(table->cells[i].text);
    free(table->cells);
    table->cells = NULL;
    table->count = table->room = 0;
    table->failed = false;
    return complete ? ae_out_result(out) : -ENOMEM;
}
