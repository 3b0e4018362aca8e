/* SPDX-License-Identifier: Apache-2.0 */
/* page.c - a list of lines. */
#include "page.h"
#include "text.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX 4096 /* bytes */

void top_page_clear(struct top_page *page, unsigned width) {
    for (size_t i = 0; i < page->count; i++)
        free(page->lines[i].text);
    page->count = page->fixed = 0;
    page->failed = page->compact = false;
    page->width = width;
    if (width == 0) {
        free(page->lines);
        page->lines = NULL;
        page->room = 0;
    }
}

void top_page_add(struct top_page *page, enum top_style style, const char *format, ...) {
    char text[LINE_MAX], line[LINE_MAX];
    va_list args;

    va_start(args, format);
    const int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (page->count == page->room) {
        const size_t room = page->room > 0 ? page->room * 2 : 64;
        struct top_line *more = realloc(page->lines, room * sizeof *more);
        if (more == NULL) {
            page->failed = true;
            return;
        }
        page->lines = more;
        page->room = room;
    }
    const unsigned cells = len < 0 ? 0 : top_text_cells(text);
    top_text_crop(line, sizeof line, len < 0 ? "" : text, cells < page->width ? cells : page->width);
    struct top_line *new = &page->lines[page->count];
    memset(new, 0, sizeof *new);
    new->style = style;
    new->text = strdup(line);
    if (new->text == NULL)
        page->failed = true;
    else
        page->count++;
}

size_t top_page_break(const char *text, unsigned cells) {
    const size_t len = top_text_beginning(text, cells);
    size_t space = len;

    if (text[len] == '\0')
        return len;
    /* At a space, but not between a number and its unit. */
    while (space > 0 && (text[space] != ' ' || (text[space - 1] >= '0' && text[space - 1] <= '9')))
        space--;
    return space > 0 ? space : len > 0 ? len : strlen(text);
}

void top_page_add_text(struct top_page *page, enum top_style style, const char *format, ...) {
    const char *indent = "";
    char buffer[LINE_MAX];
    const char *text = buffer;
    va_list args;

    va_start(args, format);
    const int written = vsnprintf(buffer, sizeof buffer, format, args);
    va_end(args);
    if (page->compact || written <= 0) {
        top_page_add(page, style, "%s", written > 0 ? buffer : "");
        return;
    }
    for (;;) {
        const unsigned room = page->width > strlen(indent) ? page->width - (unsigned)strlen(indent) : 1;
        const size_t len = top_page_break(text, room);
        top_page_add(page, style, "%s%.*s", indent, (int)len, text);
        text += len + strspn(text + len, " ");
        if (text[0] == '\0' || page->failed)
            return;
        indent = page->width > 20 ? "    " : "";
    }
}

/* The last line; NULL if it couldn't be added. */
static struct top_line *last(struct top_page *page) {
    return page->failed || page->count == 0 ? NULL : &page->lines[page->count - 1];
}

void top_page_link(struct top_page *page, const struct top_place *place) {
    struct top_line *line = last(page);

    if (line != NULL)
        line->place = *place;
}

void top_page_link_topic(struct top_page *page, const char *topic) {
    struct top_line *line = last(page);

    if (line == NULL)
        return;
    line->place.kind = TOP_TOPIC;
    snprintf(line->place.topic, sizeof line->place.topic, "%s", topic);
}

void top_page_link_client(struct top_page *page, uint64_t client_id) {
    struct top_line *line = last(page);

    if (line == NULL)
        return;
    line->place.kind = TOP_CLIENT;
    line->place.client_id = client_id;
}
