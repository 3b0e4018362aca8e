/* SPDX-License-Identifier: Apache-2.0 */
/* text.c - text for the cells of a terminal. */
#include "text.h"
#include "view/escape.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#define TEXT_MAX 4096 /* bytes; longer text is cut */

static bool is_utf8;

void top_text_set_utf8(bool utf8) {
    is_utf8 = utf8;
}

/* ---- characters -------------------------------------------------------------------------------------------------- */

/* The character at text, in *len bytes: its width in cells, or -1 if it can't be shown. */
static int character(const char *text, size_t *len) {
    mbstate_t state = {0};
    wchar_t c;

    *len = 1;
    if ((unsigned char)text[0] < 0x80)
        return text[0] >= 0x20 && text[0] != 0x7f ? 1 : -1;
    if (!is_utf8)
        return -1;
    const size_t n = mbrtowc(&c, text, strlen(text), &state);
    if (n == 0 || n > 4)
        return -1;
    *len = n;
    return wcwidth(c);
}

char *top_text_show(char *dst, size_t size, const char *escaped) {
    size_t used = 0, n;

    for (const char *p = escaped; *p != '\0'; p += n) {
        const bool shown = character(p, &n) >= 0;
        const size_t need = shown ? n : 4 * n;
        if (used + need >= size)
            break;
        if (shown) {
            memcpy(dst + used, p, n);
        } else {
            for (size_t i = 0; i < n; i++)
                snprintf(dst + used + 4 * i, 5, "\\x%02x", (unsigned char)p[i]);
        }
        used += need;
    }
    dst[used] = '\0';
    return dst;
}

char *top_text_escape(char *dst, size_t size, const void *data, size_t len) {
    char escaped[AE_ESCAPED_SIZE(TEXT_MAX)];

    ae_escape(escaped, data, len < TEXT_MAX ? len : TEXT_MAX);
    return top_text_show(dst, size, escaped);
}

/* Cells of a character of escaped text. Anything else that can't be shown counts as one. */
static unsigned cells_of(const char *text, size_t *len) {
    const int width = character(text, len);

    return width >= 0 ? (unsigned)width : 1;
}

unsigned top_text_cells(const char *text) {
    unsigned cells = 0;
    size_t n;

    for (; *text != '\0'; text += n)
        cells += cells_of(text, &n);
    return cells;
}

/* The bytes of the longest beginning of text that takes at most `cells` cells, which is what *cells becomes. */
static size_t beginning(const char *text, unsigned *cells) {
    unsigned used = 0;
    size_t at = 0, n;

    for (; text[at] != '\0'; at += n) {
        const unsigned width = cells_of(text + at, &n);
        if (used + width > *cells)
            break;
        used += width;
    }
    *cells = used;
    return at;
}

size_t top_text_beginning(const char *text, unsigned cells) {
    return beginning(text, &cells);
}

/* Where the longest end of text begins that takes at most `cells` of its `total` cells; *cells: how many it takes. */
static size_t ending(const char *text, unsigned total, unsigned *cells) {
    unsigned left = total;
    size_t at = 0, n;

    while (text[at] != '\0' && left > *cells) {
        left -= cells_of(text + at, &n);
        at += n;
    }
    /* Marks that belong to the character that was left out would join the cut. */
    while (text[at] != '\0' && cells_of(text + at, &n) == 0)
        at += n;
    *cells = left;
    return at;
}

/* Appends bytes of text, as far as there is room. */
static void append(char *dst, size_t size, size_t *used, const char *text, size_t len) {
    if (*used + len < size) {
        memcpy(dst + *used, text, len);
        *used += len;
    }
    dst[*used] = '\0';
}

static void append_spaces(char *dst, size_t size, size_t *used, unsigned count) {
    for (; count > 0; count--)
        append(dst, size, used, " ", 1);
}

char *top_text_fit(char *dst, size_t size, const char *text, unsigned cells, enum top_align align) {
    const unsigned total = top_text_cells(text);
    const char *mark = is_utf8 ? "\u2026" : "~";
    size_t used = 0;

    dst[0] = '\0';
    if (total <= cells) {
        append_spaces(dst, size, &used, align == TOP_RIGHT ? cells - total : 0);
        append(dst, size, &used, text, strlen(text));
        append_spaces(dst, size, &used, align == TOP_RIGHT ? 0 : cells - total);
        return dst;
    }
    if (cells == 0)
        return dst;
    unsigned head = cells / 2, tail = cells - 1 - cells / 2;
    const size_t head_bytes = beginning(text, &head);
    const size_t tail_at = ending(text, total, &tail);
    append(dst, size, &used, text, head_bytes);
    append(dst, size, &used, mark, strlen(mark));
    append(dst, size, &used, text + tail_at, strlen(text + tail_at));
    append_spaces(dst, size, &used, cells - head - 1 - tail);
    return dst;
}

char *top_text_crop(char *dst, size_t size, const char *text, unsigned cells) {
    unsigned taken = cells;
    size_t used = 0;

    dst[0] = '\0';
    append(dst, size, &used, text, beginning(text, &taken));
    append_spaces(dst, size, &used, cells - taken);
    return dst;
}

/* ---- sparklines -------------------------------------------------------------------------------------------------- */

#define LEVELS 8
static const char *const blocks[LEVELS] = {"\u2581", "\u2582", "\u2583", "\u2584",
                                           "\u2585", "\u2586", "\u2587", "\u2588"};
static const char *const signs[LEVELS] = {"_", ".", "-", "=", "+", "*", "#", "@"};

char *top_spark(char *dst, size_t size, const double *values, size_t count) {
    double largest = 0;
    size_t used = 0;

    dst[0] = '\0';
    for (size_t i = 0; i < count; i++)
        largest = values[i] > largest ? values[i] : largest;
    for (size_t i = 0; i < count; i++) {
        const double share = largest > 0 ? values[i] / largest : 0;
        size_t level = (size_t)(fmax(share, 0) * (LEVELS - 1) + 0.5);
        if (level == 0 && values[i] > 0)
            level = 1; /* so that it differs from nothing at all */
        const char *cell = values[i] < 0 ? " " : is_utf8 ? blocks[level] : signs[level];
        append(dst, size, &used, cell, strlen(cell));
    }
    return dst;
}

char *top_bar(char *dst, size_t size, double share, unsigned cells) {
    const char *full = is_utf8 ? blocks[LEVELS - 1] : "#";
    unsigned count = (unsigned)(fmin(fmax(share, 0), 1) * cells + 0.5);
    size_t used = 0;

    if (count == 0 && share > 0)
        count = 1;
    dst[0] = '\0';
    for (unsigned i = 0; i < count; i++)
        append(dst, size, &used, full, strlen(full));
    return dst;
}
