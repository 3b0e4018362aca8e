/* SPDX-License-Identifier: Apache-2.0 */
/* escape.c - UTF-8, escapes, base64. */
#include "view/escape.h"
#include <stdint.h>
#include <string.h>

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

bool ae_utf8_valid(const void *data, size_t len) {
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

size_t ae_utf8_width(const char *text) {
    size_t width = 0;

    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

/* Control characters (C0, C1), line separators, and marks that reverse or hide the text after them. */
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

size_t ae_escape(char *dst, const void *data, size_t len) {
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

size_t ae_base64(char *dst, const void *data, size_t len) {
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
