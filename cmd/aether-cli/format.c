/* SPDX-License-Identifier: Apache-2.0 */
/* format.c - checks a format once, then follows it for each message. */
#include "format.h"
#include "error.h"
#include "view/date.h"
#include <inttypes.h>
#include <string.h>

int format_check(const char *format) {
    static const char known[] = "use %t topic, %s sequence, %l length, %p payload, %x payload in hexadecimal, %T time, "
                                "%% percent sign; and after a backslash n, t, 0 or a backslash";

    for (const char *p = format; *p != '\0'; p++) {
        if (*p != '%' && *p != '\\')
            continue;
        if (p[1] == '\0')
            return cli_error(CLI_USAGE, "--format: a '%c' at the end stands for nothing: %s", *p, known);
        if (strchr(*p == '%' ? "tslpxT%" : "nt0\\", p[1]) == NULL)
            return cli_error(CLI_USAGE, "--format: '%.2s' is unknown: %s", p, known);
        p++;
    }
    return CLI_OK;
}

static void write_hex(FILE *file, const unsigned char *data, size_t len) {
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < len; i++) {
        putc(digits[data[i] >> 4], file);
        putc(digits[data[i] & 15], file);
    }
}

static void write_value(FILE *file, char letter, const char *topic, uint64_t time_ns, const aether_message *message) {
    char date[AE_DATE_SIZE];

    switch (letter) {
    case 't':
        fputs(topic, file);
        break;
    case 's':
        fprintf(file, "%" PRIu64, message->seq);
        break;
    case 'l':
        fprintf(file, "%zu", message->len);
        break;
    case 'p':
        if (message->len > 0)
            fwrite(message->data, 1, message->len, file);
        break;
    case 'x':
        write_hex(file, message->data, message->len);
        break;
    case 'T':
        fputs(ae_date_rfc3339(date, time_ns), file);
        break;
    default:
        putc('%', file);
    }
}

void format_write(FILE *file, const char *format, const char *topic, uint64_t time_ns, const aether_message *message) {
    for (const char *p = format; *p != '\0'; p++) {
        if (*p == '%')
            write_value(file, *++p, topic, time_ns, message);
        else if (*p == '\\')
            putc(*++p == 'n' ? '\n' : *p == 't' ? '\t' : *p == '0' ? '\0' : '\\', file);
        else
            putc(*p, file);
    }
}
