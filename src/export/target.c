/* SPDX-License-Identifier: Apache-2.0 */
#include "export/target.h"
#include <string.h>
#include <strings.h>

static int digit(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* The byte that %HH at `text` stands for; -1: there is no %HH. */
static int escaped(const char *text) {
    const int high = text[0] == '%' ? digit(text[1]) : -1;
    const int low = high >= 0 ? digit(text[2]) : -1;

    return low >= 0 ? high * 16 + low : -1;
}

/* Bytes that mean the same whether they are escaped or not. */
static bool is_unreserved(int byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
           (byte > 0 && strchr("-._~", byte) != NULL);
}

static void read_path(struct ae_target *target, const char *text, size_t len) {
    size_t out = 0;

    for (size_t i = 0; i < len; i++) {
        const int byte = i + 2 < len ? escaped(text + i) : -1;
        const bool decoded = is_unreserved(byte);
        target->path[out++] = decoded ? (char)byte : text[i];
        i += decoded ? 2 : 0;
    }
    target->path[out] = '\0';
}

void ae_target_parse(struct ae_target *target, const char *text) {
    static const char scheme[] = "http://";
    const size_t len = strnlen(text, AE_TARGET_MAX + 1);

    target->too_long = len > AE_TARGET_MAX;
    target->absolute = false;
    target->host[0] = target->path[0] = target->query[0] = '\0';
    if (target->too_long)
        return;
    if (strncasecmp(text, scheme, sizeof scheme - 1) == 0) {
        text += sizeof scheme - 1;
        const size_t host = strcspn(text, "/?");
        target->absolute = true;
        memcpy(target->host, text, host);
        target->host[host] = '\0';
        text += host;
    }
    const size_t path = strcspn(text, "?");
    if (path == 0 && target->absolute)
        read_path(target, "/", 1);
    else
        read_path(target, text, path);
    if (text[path] == '?')
        memcpy(target->query, text + path + 1, strlen(text + path + 1) + 1);
}

/* Reads from `text` to a "&" or the end. False: it has no room. */
static bool decode(const char *text, char *value, size_t size, size_t *len) {
    size_t out = 0;

    while (*text != '\0' && *text != '&') {
        const int byte = escaped(text);
        if (out + 1 >= size)
            return false;
        value[out++] = (char)(byte >= 0 ? byte : *text == '+' ? ' ' : *text);
        text += byte >= 0 ? 3 : 1;
    }
    value[out] = '\0';
    *len = out;
    return true;
}

int ae_target_argument(const struct ae_target *target, const char *name, char *value, size_t size, size_t *len) {
    const size_t name_len = strlen(name);

    for (const char *at = target->query; *at != '\0';) {
        /* strchr() finds the zero at the end, too. */
        if (strncmp(at, name, name_len) == 0 && strchr("=&", at[name_len]) != NULL)
            return decode(at + name_len + (at[name_len] == '='), value, size, len) ? 1 : -1;
        at += strcspn(at, "&");
        at += *at == '&';
    }
    return 0;
}
