/* SPDX-License-Identifier: Apache-2.0 */
/* output_test.c - JSON lines. */
#include "output.h"
#include "error.h"
/* cmocka wants these first */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* What output.c takes from main.c. */
static char error[1024];

int cli_error(int status, const char *format, ...) {
    va_list args;

    va_start(args, format);
    vsnprintf(error, sizeof error, format, args);
    va_end(args);
    return status;
}

/* Runs print with stdout in a file and returns what it wrote. */
static char *captured(void (*print)(void)) {
    static char text[4096];
    FILE *file = tmpfile();
    const int saved = dup(STDOUT_FILENO);

    assert_non_null(file);
    fflush(stdout);
    dup2(fileno(file), STDOUT_FILENO);
    print();
    fflush(stdout);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

static void json_lines(void) {
    json_t *object = json_object();

    assert_true(out_json_bytes(object, "a", "x\0\"\n", 4));
    assert_true(out_json_bytes(object, "b", "\xc0\x80", 2));
    assert_true(out_json_bytes(object, "c", NULL, 0));
    assert_int_equal(json_object_set_new(object, "n", out_json_u64(UINT64_MAX)), 0);
    assert_true(out_json_line(object));
    assert_false(out_json_line(NULL));
}

static void json(void **state) {
    (void)state;
    assert_string_equal(captured(json_lines),
                        "{\"a\":\"x\\u0000\\\"\\n\",\"b_b64\":\"wIA=\",\"c\":\"\",\"n\":9223372036854775807}\n");
    assert_non_null(strstr(error, "memory"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json),
    };

    out_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
