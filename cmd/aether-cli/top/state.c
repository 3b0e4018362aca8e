/* SPDX-License-Identifier: Apache-2.0 */
/* state.c - keys change the state; pages and passes follow from it. */
#include "state.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define MINUTE_S 60.0
#define HISTORY_MAX 600 /* samples */

static const double intervals[] = {0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60};
#define INTERVALS (sizeof intervals / sizeof intervals[0])

void top_state_init(struct top_state *state, double interval_s) {
    memset(state, 0, sizeof *state);
    state->depth = 1;
    state->visits[0].place.kind = TOP_LIST;
    state->visits[0].entered = true;
    state->interval_s = interval_s;
}

struct top_visit *top_state_visit(struct top_state *state) {
    return &state->visits[state->depth - 1];
}

/* ---- pages ------------------------------------------------------------------------------------------------------- */

static bool same_place(const struct top_place *a, const struct top_place *b) {
    return a->kind == b->kind && a->client_id == b->client_id && strcmp(a->topic, b->topic) == 0;
}

/* A page that is open already is gone back to, so that a topic and its client don't pile up. */
static void enter(struct top_state *state, const struct top_place *place) {
    state->pass_wanted = true;
    for (size_t i = 0; i < state->depth; i++) {
        if (same_place(&state->visits[i].place, place)) {
            state->depth = i + 1;
            return;
        }
    }
    if (state->depth == TOP_DEPTH_MAX) { /* the oldest one behind the list is forgotten */
        memmove(&state->visits[1], &state->visits[2], (TOP_DEPTH_MAX - 2) * sizeof state->visits[0]);
        state->depth--;
    }
    struct top_visit *visit = &state->visits[state->depth++];
    memset(visit, 0, sizeof *visit);
    visit->place = *place;
}

static void go_back(struct top_state *state) {
    if (state->depth == 1)
        return;
    state->depth--;
    state->pass_wanted = true;
}

static size_t scrolling_lines(const struct top_page *page) {
    return page->count > page->fixed ? page->count - page->fixed : 0;
}

static const struct top_line *line_at(const struct top_page *page, size_t cursor) {
    return page->fixed + cursor < page->count ? &page->lines[page->fixed + cursor] : NULL;
}

/* Moves the cursor to a line, and in the list makes it follow that line's topic. */
static void move_to(struct top_state *state, const struct top_page *page, size_t cursor) {
    struct top_visit *visit = top_state_visit(state);
    const size_t lines = scrolling_lines(page);

    visit->cursor = lines == 0 ? 0 : cursor < lines ? cursor : lines - 1;
    visit->to_end = cursor == SIZE_MAX;
    visit->follow[0] = '\0';
    const struct top_line *line = line_at(page, visit->cursor);
    if (visit->place.kind == TOP_LIST && visit->cursor > 0 && !visit->to_end && line != NULL &&
        line->place.kind == TOP_TOPIC)
        snprintf(visit->follow, sizeof visit->follow, "%s", line->place.topic);
}

/* The next line that leads to a page, from the first one on after the last. */
static void move_to_link(struct top_state *state, const struct top_page *page) {
    const size_t lines = scrolling_lines(page), cursor = top_state_visit(state)->cursor;

    for (size_t i = 1; i <= lines; i++) {
        const size_t at = (cursor + i) % lines;
        if (line_at(page, at)->place.kind != TOP_NOWHERE) {
            move_to(state, page, at);
            return;
        }
    }
}

void top_state_fit(struct top_state *state, const struct top_page *page, unsigned lines) {
    struct top_visit *visit = top_state_visit(state);
    const size_t count = scrolling_lines(page);

    state->rows = lines > page->fixed ? lines - (unsigned)page->fixed : 0;
    if (!visit->entered && count > 0) {
        visit->entered = true;
        for (size_t i = 0; i < count && i < state->rows; i++) {
            if (line_at(page, i)->place.kind != TOP_NOWHERE) {
                visit->cursor = i;
                break;
            }
        }
    }
    for (size_t i = 0; visit->follow[0] != '\0' && i < count; i++) {
        if (strcmp(page->lines[page->fixed + i].place.topic, visit->follow) == 0) {
            visit->cursor = i;
            break;
        }
    }
    if (visit->cursor >= count || visit->to_end)
        visit->cursor = count > 0 ? count - 1 : 0;
    if (visit->scroll + state->rows > count)
        visit->scroll = count > state->rows ? count - state->rows : 0;
    if (visit->cursor < visit->scroll)
        visit->scroll = visit->cursor;
    if (state->rows > 0 && visit->cursor >= visit->scroll + state->rows)
        visit->scroll = visit->cursor - state->rows + 1;
}

static void to_top(struct top_visit *visit) {
    visit->cursor = visit->scroll = 0;
    visit->to_end = false;
    visit->follow[0] = '\0';
}

/* ---- keys -------------------------------------------------------------------------------------------------------- */

static void set_order(struct top_state *state, enum ae_watch_order order) {
    state->order = order;
    state->pass_wanted = true;
    to_top(&state->visits[0]);
}

static void change_interval(struct top_state *state, bool shorter) {
    size_t i = 0;

    if (shorter) {
        for (i = INTERVALS - 1; i > 0 && intervals[i] >= state->interval_s; i--)
            ;
        if (intervals[i] < state->interval_s)
            state->interval_s = intervals[i];
        return;
    }
    while (i + 1 < INTERVALS && intervals[i] <= state->interval_s)
        i++;
    if (intervals[i] > state->interval_s)
        state->interval_s = intervals[i];
}

static void filter_changed(struct top_state *state) {
    state->pass_wanted = true;
    to_top(&state->visits[0]);
}

static void edit_filter(struct top_state *state, int key) {
    size_t len = strlen(state->filter);

    switch (key) {
    case TOP_KEY_ENTER:
        state->editing = false;
        return;
    case TOP_KEY_ESCAPE:
        state->editing = false;
        strcpy(state->filter, state->old_filter);
        break;
    case TOP_KEY_BACKSPACE:
        while (len > 0 && ((unsigned char)state->filter[len - 1] & 0xc0) == 0x80)
            len--;
        if (len > 0)
            len--;
        state->filter[len] = '\0';
        break;
    case 21: /* Ctrl-U */
        state->filter[0] = '\0';
        break;
    default:
        if (key < 32 || key == 127 || key > 255 || len + 1 >= sizeof state->filter)
            return;
        state->filter[len] = (char)key;
        state->filter[len + 1] = '\0';
        break;
    }
    filter_changed(state);
}

static void move(struct top_state *state, const struct top_page *page, int key) {
    const size_t cursor = top_state_visit(state)->cursor, rows = state->rows > 1 ? state->rows - 1 : 1;

    switch (key) {
    case TOP_KEY_UP:
    case 'k':
        move_to(state, page, cursor > 0 ? cursor - 1 : 0);
        break;
    case TOP_KEY_DOWN:
    case 'j':
        move_to(state, page, cursor + 1);
        break;
    case TOP_KEY_PAGE_UP:
        move_to(state, page, cursor > rows ? cursor - rows : 0);
        break;
    case TOP_KEY_PAGE_DOWN:
        move_to(state, page, cursor + rows);
        break;
    case TOP_KEY_HOME:
    case 'g':
        move_to(state, page, 0);
        break;
    case TOP_KEY_END:
    case 'G':
        move_to(state, page, SIZE_MAX);
        break;
    case TOP_KEY_TAB:
        move_to_link(state, page);
        break;
    }
    /* The list has only as many lines as it needs. */
    if (top_state_visit(state)->place.kind == TOP_LIST && !state->paused)
        state->pass_wanted = true;
}

/* Keys that choose what is shown. False: the key does nothing of that kind. */
static bool choose(struct top_state *state, int key) {
    static const char order_keys[] = "RLAO9N"; /* index: enum ae_watch_order */
    const char *found = key > 0 && key < 128 ? strchr(order_keys, key) : NULL;

    if (found != NULL) {
        set_order(state, (enum ae_watch_order)(found - order_keys));
        return true;
    }
    switch (key) {
    case 's':
        set_order(state, (enum ae_watch_order)((state->order + 1) % (sizeof order_keys - 1)));
        return true;
    case 'r':
        state->reverse = !state->reverse;
        set_order(state, state->order);
        return true;
    case 't':
        state->total_latency = !state->total_latency;
        return true;
    case ' ':
        state->paused = !state->paused;
        state->pass_wanted = !state->paused;
        return true;
    case '+':
    case '-':
        change_interval(state, key == '+');
        return true;
    case '/':
        state->editing = true;
        state->depth = 1;
        strcpy(state->old_filter, state->filter);
        return true;
    default:
        return false;
    }
}

void top_state_key(struct top_state *state, const struct top_page *page, int key) {
    const struct top_line *line = line_at(page, top_state_visit(state)->cursor);

    if (state->editing) {
        edit_filter(state, key);
        return;
    }
    if (choose(state, key))
        return;
    switch (key) {
    case 'q':
        state->quit = true;
        break;
    case '?':
    case 'h':
        enter(state, &(struct top_place){.kind = TOP_HELP});
        break;
    case TOP_KEY_ESCAPE:
    case TOP_KEY_BACKSPACE:
        go_back(state);
        break;
    case TOP_KEY_ENTER:
        if (line != NULL && line->place.kind != TOP_NOWHERE)
            enter(state, &line->place);
        break;
    default:
        move(state, page, key);
        break;
    }
}

/* ---- passes ------------------------------------------------------------------------------------------------------ */

struct ae_watch_options top_state_options(const struct top_state *state, unsigned lines) {
    const struct top_visit *list = &state->visits[0], *visit = &state->visits[state->depth - 1];
    const double samples = MINUTE_S / state->interval_s + 1;
    struct ae_watch_options options = {
        .order = state->order,
        .reverse = state->reverse,
        .filter = state->filter,
        .history = samples < HISTORY_MAX ? (size_t)ceil(samples) : HISTORY_MAX,
    };

    /* Twice the screen, so that a page further down can be shown at once. */
    options.topics =
        list->to_end ? SIZE_MAX : (list->cursor > list->scroll ? list->cursor : list->scroll) + 2 * (size_t)lines;
    if (visit->place.kind == TOP_TOPIC)
        options.pinned = visit->place.topic;
    if (visit->place.kind == TOP_CLIENT)
        options.client_id = visit->place.client_id;
    return options;
}
