/* SPDX-License-Identifier: Apache-2.0 */
#include "export/negotiate.h"
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A part of the header, without the blanks around it. */
struct part {
    const char *text;
    size_t len;
};

static struct part trim(const char *begin, const char *end) {
    while (begin < end && (*begin == ' ' || *begin == '\t'))
        begin++;
    while (end > begin && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    return (struct part){begin, (size_t)(end - begin)};
}

static bool is(struct part part, const char *word) {
    return part.len == strlen(word) && strncasecmp(part.text, word, part.len) == 0;
}

/* The next part up to the separator or the end; *at is advanced behind it. False: there is no more. */
static bool next_part(const char **at, const char *end, char separator, struct part *part) {
    if (*at > end)
        return false;
    const char *stop = memchr(*at, separator, (size_t)(end - *at));
    if (stop == NULL)
        stop = end;
    *part = trim(*at, stop);
    *at = stop + 1;
    return true;
}

struct range {
    struct part type, version;
    double q;
};

static double quality(struct part value) {
    char text[8] = "", *end;

    if (value.len == 0 || value.len >= sizeof text || strspn(value.text, "01.23456789") < value.len)
        return 0;
    memcpy(text, value.text, value.len);
    const double q = strtod(text, &end);
    return *end == '\0' && q <= 1 ? q : 0;
}

static struct range parse_range(struct part part) {
    struct range range = {.version = {"", 0}, .q = 1};
    const char *at = part.text, *end = part.text + part.len;
    struct part parameter;

    (void)next_part(&at, end, ';', &range.type);
    while (next_part(&at, end, ';', &parameter)) {
        const char *equals = memchr(parameter.text, '=', parameter.len);
        if (equals == NULL)
            continue;
        const struct part name = trim(parameter.text, equals);
        struct part value = trim(equals + 1, parameter.text + parameter.len);
        if (value.len >= 2 && value.text[0] == '"' && value.text[value.len - 1] == '"')
            value = (struct part){value.text + 1, value.len - 2};
        if (is(name, "q"))
            range.q = quality(value);
        else if (is(name, "version"))
            range.version = value;
    }
    return range;
}

bool ae_accepts_openmetrics(const char *accept) {
    double open = 0, plain = 0;
    int precision = 0; /* of the range that says how much text/plain is wanted: the most precise one counts */
    struct part part;

    if (accept == NULL)
        return false;
    const char *end = accept + strlen(accept);
    while (next_part(&accept, end, ',', &part)) {
        const struct range range = parse_range(part);
        const int precise = is(range.type, "text/plain") ? 3 : is(range.type, "text/*") ? 2 : is(range.type, "*/*");
        if (is(range.type, "application/openmetrics-text") && (range.version.len == 0 || is(range.version, "1.0.0")))
            open = range.q > open ? range.q : open;
        if (precise > precision) {
            precision = precise;
            plain = range.q;
        }
    }
    return open > 0 && open >= plain;
}
