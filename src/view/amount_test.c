/* SPDX-License-Identifier: Apache-2.0 */
/* amount_test.c - each unit, and where one ends and the next begins. */
#include "view/amount.h"
/* cmocka.h needs these before it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void amounts(void **state) {
    char buf[AE_AMOUNT_SIZE];

    (void)state;
    assert_string_equal(ae_amount_bytes(buf, 0), "0 B");
    assert_string_equal(ae_amount_bytes(buf, 1023), "1023 B");
    assert_string_equal(ae_amount_bytes(buf, 1024), "1 KiB");
    assert_string_equal(ae_amount_bytes(buf, 1536), "1.50 KiB");
    assert_string_equal(ae_amount_bytes(buf, 64u << 20), "64 MiB");
    assert_string_equal(ae_amount_bytes(buf, UINT64_MAX), "16 EiB");
    assert_string_equal(ae_amount_rate(buf, 0), "0/s");
    assert_string_equal(ae_amount_rate(buf, 950), "950/s");
    assert_string_equal(ae_amount_rate(buf, 1250000), "1.25 M/s");
    assert_string_equal(ae_amount_rate(buf, 999.7), "1.00 k/s");
    assert_string_equal(ae_amount_rate(buf, 0.004), "<0.01/s");
    assert_string_equal(ae_amount_byte_rate(buf, 0), "0 B/s");
    assert_string_equal(ae_amount_byte_rate(buf, 0.2), "1 B/s");
    assert_string_equal(ae_amount_byte_rate(buf, 1536), "1.50 KiB/s");
    assert_string_equal(ae_amount_byte_rate(buf, 100.0 * 1024 + 1), "100 KiB/s");
    assert_string_equal(ae_amount_duration(buf, 0), "0 s");
    assert_string_equal(ae_amount_duration(buf, 85e-9), "85 ns");
    assert_string_equal(ae_amount_duration(buf, 1.25e-6), "1.25 \u00b5s");
    ae_amount_set_ascii(true);
    assert_string_equal(ae_amount_duration(buf, 1.25e-6), "1.25 us");
    ae_amount_set_ascii(false);
    assert_string_equal(ae_amount_duration(buf, 999.6e-9), "1.00 \u00b5s");
    assert_string_equal(ae_amount_duration(buf, 3.2), "3.20 s");
    assert_string_equal(ae_amount_duration(buf, 59.94), "59.9 s");
    assert_string_equal(ae_amount_duration(buf, 59.97), "1 min 00 s");
    assert_string_equal(ae_amount_duration(buf, 0.0123), "12.3 ms");
    assert_string_equal(ae_amount_duration(buf, 61), "1 min 01 s");
    assert_string_equal(ae_amount_duration(buf, 7500), "2 h 05 min");
    assert_string_equal(ae_amount_duration(buf, 273600), "3 d 4 h");
    assert_true(strlen(ae_amount_duration(buf, 1e300)) < AE_AMOUNT_SIZE);
    assert_string_equal(ae_amount_brief(buf, 999999), "999,999");
    assert_string_equal(ae_amount_brief(buf, 999999.6), "1.00 M");
    assert_string_equal(ae_amount_brief(buf, 12345678), "12.3 M");
    assert_string_equal(ae_amount_brief(buf, 1.8e19), "18 E");
    assert_true(strlen(ae_amount_brief(buf, 1e300)) < AE_AMOUNT_SIZE);
    assert_string_equal(ae_amount_percent(buf, 0), "0 %");
    assert_string_equal(ae_amount_percent(buf, 0.1234), "12.3 %");
    assert_string_equal(ae_amount_percent(buf, 1), "100 %");
    assert_string_equal(ae_amount_count(buf, 0), "0");
    assert_string_equal(ae_amount_count(buf, 999), "999");
    assert_string_equal(ae_amount_count(buf, 1000), "1,000");
    assert_string_equal(ae_amount_count(buf, UINT64_MAX), "18,446,744,073,709,551,615");
}

static void plurals(void **state) {
    (void)state;
    assert_string_equal(ae_plural(0, "", "s"), "s");
    assert_string_equal(ae_plural(1, "", "s"), "");
    assert_string_equal(ae_plural(2, "topic is", "topics are"), "topics are");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(amounts),
        cmocka_unit_test(plurals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
