/* SPDX-License-Identifier: Apache-2.0 */
/* page.h - what is shown: lines with a style, some of which lead to another page. Knows no terminal. */
#ifndef AETHER_CLI_TOP_PAGE_H
#define AETHER_CLI_TOP_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum top_style {
    TOP_PLAIN,
    TOP_STRONG, /* headings */
    TOP_TITLES, /* of a table */
    TOP_WARN,
    TOP_BAD,
    TOP_DIM
};

/* The page that a line leads to. */
enum top_kind { TOP_NOWHERE, TOP_LIST, TOP_TOPIC, TOP_CLIENT, TOP_HELP };

struct top_place {
    enum top_kind kind;
    uint64_t client_id; /* of TOP_CLIENT */
    char topic[256];    /* of TOP_TOPIC */
};

struct top_line {
    char *text; /* escaped, no wider than the page */
    enum top_style style;
    struct top_place place;
};

/* Owns its lines. Begins as all zeros; top_page_clear() before it is filled again and at the end. */
struct top_page {
    unsigned width; /* cells; lines are cut there */
    struct top_line *lines;
    size_t count, room;
    size_t fixed; /* lines that don't scroll, from the first one on */
    bool compact; /* texts take one line each, and are cut */
    bool failed;  /* memory ran out, and lines are missing */
};

void top_page_clear(struct top_page *page, unsigned width);

/* Adds a line of text that is escaped already. */
void top_page_add(struct top_page *page, enum top_style style, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The bytes of a text that a line of so many cells takes: up to a space, not between a number and its unit. */
size_t top_page_break(const char *text, unsigned cells);

/* Adds text in as many lines as it needs, which break at spaces. Those after the first one are indented.
 * On a compact page it is one line. */
void top_page_add_text(struct top_page *page, enum top_style style, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The last line leads there. */
void top_page_link(struct top_page *page, const struct top_place *place);
void top_page_link_topic(struct top_page *page, const char *topic);
void top_page_link_client(struct top_page *page, uint64_t client_id);

#endif
