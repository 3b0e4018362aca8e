/* SPDX-License-Identifier: Apache-2.0 */
/* table_test.c - widths of columns, alignment, and a stream that fails. */
#include "view/table.h"
/* cmocka.h needs these before it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void two_rows(struct ae_table *table) {
    ae_table_init(table, "TOPIC|>COUNT|NOTE");
    ae_table_text(table, "Z\xc3\xbcrich\n", 8);
    ae_table_cell(table, "%d", 5);
    ae_table_cell(table, "x");
    ae_table_text(table, "b", 1);
    ae_table_cell(table, "%d", 1234567);
    ae_table_cell(table, "%s", "");
}

static void aligned(void **state) {
    struct ae_table table;
    struct ae_out out;
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);

    (void)state;
    assert_non_null(file);
    ae_out_init(&out, file);
    assert_false(out.terminal);
    two_rows(&table);
    assert_int_equal(ae_table_print(&table, &out), 0);
    assert_true(ae_out_flush(&out));
    assert_string_equal(text, "TOPIC       COUNT  NOTE\n"
                              "Z\xc3\xbcrich\\n        5  x\n"
                              "b         1234567  \n");
    fclose(file);
    free(text);
}

/* Text is cut on a terminal, so that no name widens all rows. */
static void long_names(void **state) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz";
    struct ae_table table;
    struct ae_out out;

    (void)state;
    for (int terminal = 0; terminal < 2; terminal++) {
        char *text = NULL;
        size_t size = 0;
        FILE *file = open_memstream(&text, &size);
        assert_non_null(file);
        ae_out_init(&out, file);
        out.terminal = terminal;
        ae_table_init(&table, "TOPIC|N");
        ae_table_text(&table, letters, 41);
        ae_table_cell(&table, "1");
        ae_table_text(&table, letters, 40);
        ae_table_cell(&table, "2");
        for (int i = 0; i < 2; i++) {
            ae_table_text(&table,
                          "\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc"
                          "\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc"
                          "abcdefghijklmnopqrs\xc3\xbcu",
                          i == 0 ? 61 : 62);
            ae_table_cell(&table, "3");
        }
        assert_int_equal(ae_table_print(&table, &out), 0);
        assert_true(ae_out_flush(&out));
        if (!terminal) {
            assert_non_null(strstr(text, "mno  1\n"));
            assert_non_null(strstr(text, "rs\xc3\xbcu  3\n"));
        } else {
            assert_non_null(strstr(text, "klm\xe2\x80\xa6  1\n"));
            assert_non_null(strstr(text, "klmn  2\n"));
            assert_non_null(strstr(text, "qrs\xc3\xbc  3\n"));
            assert_non_null(strstr(text, "qrs\xe2\x80\xa6  3\n"));
        }
        fclose(file);
        free(text);
    }
}

static void no_memory(void **state) {
    struct ae_table table;
    struct ae_out out;
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);

    (void)state;
    assert_non_null(file);
    ae_out_init(&out, file);
    two_rows(&table);
    table.failed = true;
    ae_table_cell(&table, "more");
    assert_int_equal(ae_table_print(&table, &out), -ENOMEM);
    assert_true(ae_out_flush(&out));
    assert_int_equal(size, 0);
    fclose(file);
    free(text);
}

static void full_disk(void **state) {
    struct ae_table table;
    struct ae_out out;
    FILE *file = fopen("/dev/full", "w");

    (void)state;
    assert_non_null(file);
    setvbuf(file, NULL, _IONBF, 0);
    ae_out_init(&out, file);
    two_rows(&table);
    assert_int_equal(ae_table_print(&table, &out), -ENOSPC);
    assert_true(ae_out_failed(&out));
    assert_false(ae_out_flush(&out));
    assert_int_equal(ae_out_result(&out), -ENOSPC);
    fclose(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aligned),
        cmocka_unit_test(long_names),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(full_disk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
