/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.h - what the user of the screen has chosen, and what each key does. Knows no terminal.
 */
#ifndef AETHER_CLI_TOP_STATE_H
#define AETHER_CLI_TOP_STATE_H

#include "page.h"
#include "watch/watch.h"
#include <stdbool.h>
#include <stddef.h>

/* Keys: a byte of a character, or one of these. */
enum top_key {
    TOP_KEY_NONE = -1,
    TOP_KEY_ESCAPE = 27,
    TOP_KEY_UP = 256,
    TOP_KEY_DOWN,
    TOP_KEY_PAGE_UP,
    TOP_KEY_PAGE_DOWN,
    TOP_KEY_HOME,
    TOP_KEY_END,
    TOP_KEY_ENTER,
    TOP_KEY_BACKSPACE,
    TOP_KEY_TAB
};

#define TOP_DEPTH_MAX 8
#define TOP_FILTER_SIZE 256

/* One of the pages that are open, with its place in it. */
struct top_visit {
    struct top_place place;
    bool entered;     /* the cursor has been set */
    size_t cursor;    /* the line, counted behind the fixed ones */
    size_t scroll;    /* lines that have scrolled out */
    bool to_end;      /* the cursor stays on the last line */
    char follow[256]; /* in the list: the cursor stays on this topic; "": on its line */
};

struct top_state {
    struct top_visit visits[TOP_DEPTH_MAX]; /* the first is the list */
    size_t depth;                           /* of the page that is shown, from 1 on */
    unsigned rows;                          /* of the part that scrolls, as of the last drawing */
    enum ae_watch_order order;
    bool reverse, paused, total_latency;
    double interval_s;
    char filter[TOP_FILTER_SIZE];
    bool editing;                     /* the filter */
    char old_filter[TOP_FILTER_SIZE]; /* for Escape */
    bool pass_wanted;                 /* what is shown needs a new pass at once */
    bool quit;
};

void top_state_init(struct top_state *state, double interval_s);

/* page: the page that is shown. */
void top_state_key(struct top_state *state, const struct top_page *page, int key);

/* The page that is shown. */
struct top_visit *top_state_visit(struct top_state *state);

/* Places the cursor and scrolls, after a page has been made for a screen with that many lines for it. */
void top_state_fit(struct top_state *state, const struct top_page *page, unsigned lines);

/* What the next pass must have for the page. */
struct ae_watch_options top_state_options(const struct top_state *state, unsigned lines);

#endif
