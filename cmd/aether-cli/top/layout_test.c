/* SPDX-License-Identifier: Apache-2.0 */
/* Which columns fit into a width, and rows of exactly that width. */
#include "layout.h"
#include "text.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { NAME, A, B, C, SPARK, COLUMNS };

static const struct top_column columns[COLUMNS] = {
    [NAME] = {.title = "TOPIC", .left = 1},
    [A] = {.title = "A", .rank = 2, .width = 6},
    [B] = {.title = "B", .rank = 1, .width = 6},
    [C] = {.title = "C", .rank = 3, .width = 6},
    [SPARK] = {.title = "LAST", .rank = 4, .width = 11, .max = 60, .left = 1},
};

static unsigned width_of(const struct top_layout *layout) {
    unsigned sum = 0;

    for (size_t i = 0; i < layout->count; i++)
        sum += layout->widths[i] > 0 ? layout->widths[i] + (i > 0) : 0;
    return sum;
}

/* Columns with a small rank are shown if any is, a wider table never shows less, and no table is too wide. */
static void every_width(void **state) {
    (void)state;
    for (unsigned longest = 1; longest <= 256; longest += 15) {
        size_t before = 0;
        for (unsigned width = 1; width <= 300; width++) {
            struct top_layout layout;
            size_t shown = 0;
            char row[2048];
            const unsigned widest[COLUMNS] = {[NAME] = longest};
            top_layout_make(&layout, columns, COLUMNS, width, widest);
            assert_in_range(width_of(&layout), 1, width);
            assert_true(layout.widths[NAME] >= (width < 10 ? width : 10));
            for (size_t i = 1; i < COLUMNS; i++) {
                if (layout.widths[i] == 0)
                    continue;
                shown++;
                assert_in_range(layout.widths[i], columns[i].width, i == SPARK ? columns[i].max : columns[i].width);
            }
            assert_true(layout.widths[B] > 0 || shown == 0);
            assert_true(layout.widths[A] > 0 || shown <= 1);
            assert_true(layout.widths[C] > 0 || shown <= 2);
            assert_true(shown >= before);
            before = shown;
            assert_int_equal(top_text_cells(top_layout_titles(&layout, row, sizeof row)), width_of(&layout));
        }
        assert_int_equal(before, longest <= 256 ? 4 : 0);
    }
}

/* What is left over goes to the name, as far as it is needed, and then to the last column. */
static void what_is_left_over(void **state) {
    struct top_layout layout;

    (void)state;
    top_layout_make(&layout, columns, COLUMNS, 80, (const unsigned[COLUMNS]){12});
    assert_int_equal(layout.widths[NAME], 12);
    assert_int_equal(layout.widths[SPARK], 80 - 12 - 3 * 7 - 1);
    top_layout_make(&layout, columns, COLUMNS, 80, (const unsigned[COLUMNS]){100});
    assert_int_equal(layout.widths[SPARK], 11);
    assert_int_equal(layout.widths[NAME], 80 - 12 - 3 * 7);
    top_layout_make(&layout, columns, COLUMNS, 200, (const unsigned[COLUMNS]){20});
    assert_int_equal(layout.widths[NAME], 20);
    assert_int_equal(layout.widths[SPARK], 60);
}

/* A column is as wide as its widest cell, or else it isn't shown at all. */
static void wide_cells(void **state) {
    struct top_layout layout;

    (void)state;
    top_layout_make(&layout, columns, COLUMNS, 38, (const unsigned[COLUMNS]){[NAME] = 12, [A] = 11, [B] = 3});
    assert_int_equal(layout.widths[B], 6);
    assert_int_equal(layout.widths[A], 11);
    assert_int_equal(layout.widths[C], 6);
    top_layout_make(&layout, columns, COLUMNS, 27, (const unsigned[COLUMNS]){[NAME] = 12, [A] = 11});
    assert_int_equal(layout.widths[A], 0);
    assert_int_equal(layout.widths[C], 0);
}

static void rows(void **state) {
    const char *const cells[COLUMNS] = {"market/eur/usd", "1", NULL, "12345678", "x"};
    struct top_layout layout;
    char row[256];

    (void)state;
    top_text_set_utf8(false);
    top_layout_make(&layout, columns, COLUMNS, 36, (const unsigned[COLUMNS]){14});
    assert_string_equal(top_layout_row(&layout, cells, row, sizeof row), "market/eur/usd      1        123~78");
    top_layout_make(&layout, columns, COLUMNS, 10, (const unsigned[COLUMNS]){14});
    assert_string_equal(top_layout_row(&layout, cells, row, sizeof row), "marke~/usd");
    assert_string_equal(top_layout_row(&layout, cells, row, 4), "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_width),
        cmocka_unit_test(what_is_left_over),
        cmocka_unit_test(wide_cells),
        cmocka_unit_test(rows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
