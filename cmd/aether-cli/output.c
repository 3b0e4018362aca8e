/* SPDX-License-Identifier: Apache-2.0 */
/* output.c - what aether-cli writes. */
#define _GNU_SOURCE /* asprintf */
#include "output.h"
#include "cli.h"
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUFFER_BYTES 65536

/* ---- stdout ------------------------------------------------------------------------------------------------------ */

static int write_fault; /* errno of the first failed write */

void out_init(void) {
    static char buffer[BUFFER_BYTES];

    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
}

bool out_failed(void) {
    if (write_fault == 0 && ferror(stdout))
        write_fault = errno != 0 ? errno : EIO;
    return write_fault != 0;
}

bool out_flush(void) {
    if (!out_failed() && fflush(stdout) != 0)
        write_fault = errno != 0 ? errno : EIO;
    return write_fault == 0;
}

int out_status(void) {
    if (out_flush() || write_fault == EPIPE)
        return CLI_OK;
    return cli_fault(CLI_FAILURE, "can't write the output: %s", strerror(write_fault));
}

bool out_terminal(void) {
    return isatty(STDOUT_FILENO) == 1;
}

/* ---- amounts ----------------------------------------------------------------------------------------------------- */

/* Three significant digits, as a person would write them. */
static char *scaled(char buf[OUT_AMOUNT], double value, const char *unit) {
    const int decimals = value >= 99.95 || value == floor(value) ? 0 : value >= 9.995 ? 1 : 2;

    snprintf(buf, OUT_AMOUNT, "%.*f%s", decimals, value, unit);
    return buf;
}

char *out_bytes(char buf[OUT_AMOUNT], uint64_t bytes) {
    static const char *const units[] = {" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"};
    double value = (double)bytes;
    size_t unit = 0;

    while (value >= 1023.5 && unit + 1 < sizeof units / sizeof units[0]) {
        value /= 1024;
        unit++;
    }
    return scaled(buf, value, units[unit]);
}

char *out_rate(char buf[OUT_AMOUNT], double per_second) {
    static const char *const units[] = {"/s", " k/s", " M/s", " G/s", " T/s"};
    size_t unit = 0;

    while (per_second >= 999.5 && unit + 1 < sizeof units / sizeof units[0]) {
        per_second /= 1000;
        unit++;
    }
    return scaled(buf, per_second, units[unit]);
}

char *out_duration(char buf[OUT_AMOUNT], double seconds) {
    if (seconds < 0.9995e-6)
        return scaled(buf, floor(seconds * 1e9 + 0.5), " ns");
    if (seconds < 0.9995e-3)
        return scaled(buf, seconds * 1e6, " us");
    if (seconds < 0.9995)
        return scaled(buf, seconds * 1e3, " ms");
    if (seconds < 59.95)
        return scaled(buf, seconds, " s");
    const uint64_t whole = seconds < 1e18 ? (uint64_t)seconds : UINT64_C(1000000000000000000);
    const uint64_t minutes = whole / 60, hours = minutes / 60, days = hours / 24;
    if (minutes < 60)
        snprintf(buf, OUT_AMOUNT, "%" PRIu64 " min %02" PRIu64 " s", minutes, whole % 60);
    else if (hours < 24)
        snprintf(buf, OUT_AMOUNT, "%" PRIu64 " h %02" PRIu64 " min", hours, minutes % 60);
    else
        snprintf(buf, OUT_AMOUNT, "%" PRIu64 " d %" PRIu64 " h", days, hours % 24);
    return buf;
}

char *out_count(char buf[OUT_AMOUNT], uint64_t count) {
    char digits[24];
    const int len = snprintf(digits, sizeof digits, "%" PRIu64, count);
    size_t used = 0;

    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            buf[used++] = ',';
        buf[used++] = digits[i];
    }
    buf[used] = '\0';
    return buf;
}

/* ---- tables ------------------------------------------------------------------------------------------------------ */

void table_init(struct table *table, const char *spec) {
    memset(table, 0, sizeof *table);
    for (;;) {
        const int c = table->columns++;
        table->right[c] = *spec == '>';
        table->titles[c] = spec + table->right[c];
        table->title_lens[c] = strcspn(table->titles[c], "|");
        spec = table->titles[c] + table->title_lens[c];
        if (*spec == '\0' || table->columns == TABLE_COLUMNS)
            return;
        spec++;
    }
}

/* Takes the string over. */
static void add_cell(struct table *table, char *cell) {
    if (cell == NULL)
        table->failed = true;
    if (!table->failed && table->count == table->room) {
        const size_t room = table->room > 0 ? table->room * 2 : 64;
        char **cells = realloc(table->cells, room * sizeof *cells);
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
        table->cells[table->count++] = cell;
}

void table_cell(struct table *table, const char *format, ...) {
    char *cell = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&cell, format, args) < 0)
        cell = NULL;
    va_end(args);
    add_cell(table, cell);
}

void table_text(struct table *table, const void *data, size_t len) {
    char *cell = malloc(OUT_ESCAPED(len));

    if (cell != NULL)
        out_escape(cell, data, len);
    add_cell(table, cell);
}

/* One line; the last column isn't padded on its right. */
static void print_row(const struct table *table, const size_t *widths, char *const *cells) {
    for (int c = 0; c < table->columns; c++) {
        const char *text = cells != NULL ? cells[c] : table->titles[c];
        const size_t len = cells != NULL ? strlen(text) : table->title_lens[c];
        const int pad = (int)(widths[c] - (cells != NULL ? utf8_width(text) : len));
        const bool last = c + 1 == table->columns;

        printf("%*s%.*s%*s", table->right[c] ? pad : 0, "", (int)len, text, table->right[c] || last ? 0 : pad, "");
        fputs(last ? "\n" : "  ", stdout);
    }
}

void table_print(struct table *table) {
    const size_t columns = (size_t)table->columns;
    size_t widths[TABLE_COLUMNS] = {0};

    if (table->failed) {
        cli_fault(CLI_FAILURE, "out of memory: the table is left out");
    } else {
        for (size_t c = 0; c < columns; c++)
            widths[c] = table->title_lens[c];
        for (size_t i = 0; i < table->count; i++) {
            const size_t width = utf8_width(table->cells[i]);
            if (width > widths[i % columns])
                widths[i % columns] = width;
        }
        print_row(table, widths, NULL);
        for (size_t i = 0; i + columns <= table->count && !out_failed(); i += columns)
            print_row(table, widths, table->cells + i);
    }
    for (size_t i = 0; i < table->count; i++)
        free(table->cells[i]);
    free(table->cells);
    table->cells = NULL;
    table->count = table->room = 0;
    table->failed = false;
}

/* ---- text from others -------------------------------------------------------------------------------------------- */

/*
 * Length of the well-formed UTF-8 sequence at p, 0 if there is none (Unicode, table 3-7); *code receives the code
 * point.
 */
static size_t utf8_sequence(const unsigned char *p, size_t len, uint32_t *code) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const size_t need = p[0] < 0x80                   ? 1
                        : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
                        : p[0] >= 0xe0 && p[0] < 0xf0 ? 3
                        : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
                                                      : 0;

    if (need == 0 || need > len)
        return 0;
    uint32_t c = need == 1 ? p[0] : p[0] & (0x7fu >> need);
    for (size_t i = 1; i < need; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3fu);
    }
    if (c < least[need] || (c >= 0xd800 && c < 0xe000) || c > 0x10ffff)
        return 0;
    *code = c;
    return need;
}

bool utf8_valid(const void *data, size_t len) {
    const unsigned char *p = data;
    uint32_t code;

    while (len > 0) {
        const size_t n = utf8_sequence(p, len, &code);
        if (n == 0)
            return false;
        p += n;
        len -= n;
    }
    return true;
}

size_t utf8_width(const char *text) {
    size_t width = 0;

    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

/* Control characters (C0, C1), line separators, and marks that turn or hide what follows them. */
static bool harmful(uint32_t c) {
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || c == 0x61c || (c >= 0x200b && c <= 0x200f) ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff ||
           (c >= 0xfff9 && c <= 0xfffb) || (c >= 0xe0000 && c <= 0xe007f);
}

static size_t escape_byte(char *dst, unsigned char byte) {
    static const char hex[] = "0123456789abcdef";
    const char *short_form = byte == '\n' ? "\\n" : byte == '\r' ? "\\r" : byte == '\t' ? "\\t" : NULL;

    if (short_form != NULL) {
        memcpy(dst, short_form, 2);
        return 2;
    }
    dst[0] = '\\';
    dst[1] = 'x';
    dst[2] = hex[byte >> 4];
    dst[3] = hex[byte & 15];
    return 4;
}

size_t out_escape(char *dst, const void *data, size_t len) {
    const unsigned char *p = data;
    size_t used = 0;

    while (len > 0) {
        uint32_t code = 0;
        const size_t n = utf8_sequence(p, len, &code);
        const size_t step = n > 0 ? n : 1;
        if (n > 0 && !harmful(code)) {
            if (code == '\\')
                dst[used++] = '\\';
            memcpy(dst + used, p, n);
            used += n;
        } else {
            for (size_t i = 0; i < step; i++)
                used += escape_byte(dst + used, p[i]);
        }
        p += step;
        len -= step;
    }
    dst[used] = '\0';
    return used;
}

size_t out_base64(char *dst, const void *data, size_t len) {
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *p = data;
    size_t used = 0;

    for (; len > 0; p += 3) {
        const size_t n = len < 3 ? len : 3;
        const uint32_t bits = (uint32_t)p[0] << 16 | (n > 1 ? (uint32_t)p[1] << 8 : 0) | (n > 2 ? p[2] : 0u);
        dst[used++] = alphabet[bits >> 18];
        dst[used++] = alphabet[bits >> 12 & 63];
        dst[used++] = n > 1 ? alphabet[bits >> 6 & 63] : '=';
        dst[used++] = n > 2 ? alphabet[bits & 63] : '=';
        len -= n;
    }
    dst[used] = '\0';
    return used;
}

/* ---- JSON lines -------------------------------------------------------------------------------------------------- */

json_t *out_json_u64(uint64_t value) {
    return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

bool out_json_bytes(json_t *object, const char *key, const void *data, size_t len) {
    if (utf8_valid(data, len))
        return json_object_set_new(object, key, json_stringn_nocheck(len > 0 ? data : "", len)) == 0;

    char *text = malloc(OUT_BASE64(len));
    char *other_key = NULL;
    bool done = false;
    if (text != NULL && asprintf(&other_key, "%s_b64", key) >= 0) {
        const size_t text_len = out_base64(text, data, len);
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
        cli_fault(CLI_FAILURE, "out of memory: a line is left out");
    json_decref(object);
    return done && !out_failed();
}
