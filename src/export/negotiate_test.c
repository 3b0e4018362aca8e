/* SPDX-License-Identifier: Apache-2.0 */
#include "export/negotiate.h"
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define OPEN "application/openmetrics-text"

static void wants_openmetrics(void **state) {
    static const char *const accepts[] = {
        OPEN,
        OPEN ";version=1.0.0",
        OPEN "; Version=\"1.0.0\" ; charset=utf-8",
        "APPLICATION/OPENMETRICS-TEXT",
        /* Prometheus 2.42 and 2.5x */
        OPEN ";version=1.0.0," OPEN ";version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        OPEN ";version=1.0.0;q=0.5," OPEN ";version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
        "text/plain, " OPEN,
        "*/*;q=0.5," OPEN ";q=0.6",
        "*/*, text/plain;q=0.1," OPEN ";q=0.2",
        ",,;," OPEN ",",
        OPEN ";q=1.000",
    };

    (void)state;
    for (size_t i = 0; i < sizeof accepts / sizeof accepts[0]; i++)
        if (!ae_accepts_openmetrics(accepts[i]))
            fail_msg("%s", accepts[i]);
}

static void wants_text(void **state) {
    static const char *const accepts[] = {
        NULL,
        "",
        "*/*",
        "text/plain;version=0.0.4",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        OPEN ";version=0.0.1",
        OPEN ";version=2.0.0",
        OPEN ";q=0",
        OPEN ";q=0.000",
        OPEN ";q=-1",
        OPEN ";q=nan",
        OPEN ";q=2",
        OPEN ";q=",
        OPEN ";q=0.5,text/plain",
        OPEN ";q=0.5,text/*",
        OPEN ";q=0.5,*/*",
        OPEN "x",
        "x" OPEN,
        ";;;,,,===\"",
        "\t , \x80\xff",
    };

    (void)state;
    for (size_t i = 0; i < sizeof accepts / sizeof accepts[0]; i++)
        if (ae_accepts_openmetrics(accepts[i]))
            fail_msg("%s", accepts[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(wants_openmetrics), cmocka_unit_test(wants_text)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
