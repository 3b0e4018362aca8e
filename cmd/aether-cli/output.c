/* SPDX-License-Identifier: Apache-2.0 */
/* output.c - what aether-cli writes. */
#include "output.h"
#include "error.h"
#include "view/escape.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER_BYTES 65536

/* ---- stdout ------------------------------------------------------------------------------------------------------ */

static struct ae_out stream;

void out_init(void) {
    static char buffer[BUFFER_BYTES];

    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    ae_out_init(&stream, stdout);
}

bool out_failed(void) {
    return ae_out_failed(&stream);
}

bool out_flush(void) {
    return ae_out_flush(&stream);
}

int out_status(void) {
    if (ae_out_flush(&stream) || stream.error == EPIPE)
        return CLI_OK;
    return cli_error(CLI_FAILURE, "can't write the output: %s", strerror(stream.error));
}

bool out_terminal(void) {
    return stream.terminal;
}

void out_print_table(struct ae_table *table) {
    if (ae_table_print(table, &stream) == -ENOMEM)
        cli_error(CLI_FAILURE, "out of memory: the table is left out");
}

/* ---- JSON lines -------------------------------------------------------------------------------------------------- */

json_t *out_json_u64(uint64_t value) {
    return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

bool out_json_bytes(json_t *object, const char *key, const void *data, size_t len) {
    if (ae_utf8_valid(data, len))
        return json_object_set_new(object, key, json_stringn_nocheck(len > 0 ? data : "", len)) == 0;

    char *text = malloc(AE_BASE64_SIZE(len));
    char *other_key = NULL;
    bool done = false;
    if (text != NULL && asprintf(&other_key, "%s_b64", key) >= 0) {
        const size_t text_len = ae_base64(text, data, len);
        done = json_object_set_new(object, other_key, json_stringn_nocheck(text, text_len)) == 0;
        free(other_key);
    }
    free(text);
    return done;
}

bool out_json_line(json_t *object) {
    /* A terminal gets ASCII: UTF-8 can hold control characters that JSON doesn't have to escape. */
    const size_t flags = JSON_COMPACT | (out_terminal() ? JSON_ENSURE_ASCII : 0);
    const bool done = object != NULL && json_dumpf(object, stdout, flags) == 0 && putchar('\n') != EOF;

    if (!done && !out_failed())
        cli_error(CLI_FAILURE, "out of memory: a line is left out");
    json_decref(object);
    return done && !out_failed();
}
