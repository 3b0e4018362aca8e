/* SPDX-License-Identifier: Apache-2.0 */
/* interactive.c - the loop of the screen. */
#include "interactive.h"
#include "client_page.h"
#include "daemon.h"
#include "error.h"
#include "events.h"
#include "pages.h"
#include "screen.h"
#include "show.h"
#include "signals.h"
#include "text.h"
#include "topic_page.h"
#include <stdio.h>
#include <string.h>

#define FIRST_NS UINT64_C(250000000) /* the time for which the first rates are measured */

/* What the loop keeps. */
struct loop {
    struct top_run *run;
    struct top_state *state;
    struct top_page page;
    uint64_t due_ns; /* the next pass */
    uint64_t passes;
};

static void make_page(struct loop *loop, unsigned width, unsigned height) {
    const struct top_state *state = loop->state;
    const struct top_place *place = &top_state_visit(loop->state)->place;
    const struct top_show show = {
        .pass = loop->run->pass,
        .error = loop->run->error[0] != '\0' ? loop->run->error : NULL,
        .socket_path = cli_socket(),
        .filter = state->filter,
        .order = state->order,
        .reverse = state->reverse,
        .paused = state->paused,
        .total_latency = state->total_latency,
        .sparks = true,
        .interval_s = state->interval_s,
        .cost_percent = loop->run->cost_percent,
        .pass_s = loop->run->pass_s,
        .problems = height >= 24   ? height / 8
                    : height >= 20 ? 3
                    : height >= 10 ? 1
                                   : 0,
    };

    top_page_clear(&loop->page, width);
    loop->page.compact = height < 16 || width < 60;
    if (place->kind == TOP_TOPIC)
        top_topic_page(&loop->page, &show, place->topic);
    else if (place->kind == TOP_CLIENT)
        top_client_page(&loop->page, &show, place->client_id);
    else if (place->kind == TOP_HELP)
        top_help_page(&loop->page);
    else
        top_list_page(&loop->page, &show);
}

/* A key in the last line. Where not all fit, those with the largest rank are left out. */
struct hint {
    const char *text;
    unsigned rank;
};

static const struct hint list_hints[] = {{"Enter open", 2},  {"s r sort", 3}, {"/ filter", 4}, {"t window", 6},
                                         {"space pause", 5}, {"+ - pace", 7}, {"? help", 0},   {"q quit", 1}};
static const struct hint page_hints[] = {{"Esc back", 1},    {"Enter open", 3}, {"Tab next", 4}, {"t window", 6},
                                         {"space pause", 5}, {"? help", 0},     {"q quit", 2}};

static void put_hints(char *dst, size_t size, const struct hint *hints, size_t count, unsigned width) {
    unsigned rank = 0, cells = 0;
    size_t used = 0;

    /* How many ranks fit, each with the two spaces before it. */
    for (; rank < count; rank++) {
        size_t i = 0;
        while (hints[i].rank != rank)
            i++;
        cells += (unsigned)strlen(hints[i].text) + (rank > 0 ? 2 : 0);
        if (cells > width)
            break;
    }
    dst[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        if (hints[i].rank < rank && used < size)
            used += (size_t)snprintf(dst + used, size - used, "%s%s", used > 0 ? "  " : "", hints[i].text);
    }
}

static void bottom_text(const struct top_state *state, unsigned width, char *dst, size_t size) {
    char filter[TOP_TEXT_SIZE(TOP_FILTER_SIZE)];

    if (state->editing)
        snprintf(dst, size, "filter (part of the name, or * and ?): %s",
                 top_text_escape(filter, sizeof filter, state->filter, strlen(state->filter)));
    else if (state->depth > 1)
        put_hints(dst, size, page_hints, sizeof page_hints / sizeof page_hints[0], width);
    else
        put_hints(dst, size, list_hints, sizeof list_hints / sizeof list_hints[0], width);
}

static void draw(struct loop *loop) {
    unsigned width, height;
    char bottom[2048];

    top_screen_size(&width, &height);
    make_page(loop, width, height);
    /* On a screen that is too low for the head, the list comes first. */
    if (loop->page.fixed + 2 > height)
        loop->page.fixed = 0;
    top_state_fit(loop->state, &loop->page, height - 1);
    const struct top_visit *visit = top_state_visit(loop->state);
    bottom_text(loop->state, width - 1, bottom, sizeof bottom); /* the last cell stays empty */
    top_screen_draw(&loop->page, visit->scroll, visit->cursor, bottom, loop->state->editing);
}

static void pass(struct loop *loop) {
    unsigned width, height;

    top_screen_size(&width, &height);
    const struct ae_watch_options options = top_state_options(loop->state, height);
    const uint64_t interval_ns = (uint64_t)(loop->state->interval_s * 1e9);
    (void)top_run_pass(loop->run, &options); /* an error is shown, and the next pass may succeed */
    loop->due_ns = loop->run->passed_ns + (loop->passes == 0 && interval_ns > FIRST_NS ? FIRST_NS : interval_ns);
    /* However long a pass takes, at most half of the time is spent on passes. */
    const uint64_t now = cli_now_ns(), rest_ns = now - loop->run->passed_ns;
    if (loop->due_ns < now + rest_ns)
        loop->due_ns = now + rest_ns;
    loop->passes++;
    loop->state->pass_wanted = false;
}

static void read_keys(struct loop *loop) {
    int key;

    while ((key = top_screen_key()) != TOP_KEY_NONE) {
        top_state_key(loop->state, &loop->page, key);
        if (loop->state->pass_wanted)
            pass(loop);
        draw(loop); /* the next key is about what is shown then */
        if (loop->state->quit)
            return;
    }
}

static int run_loop(struct loop *loop, uint64_t count) {
    for (;;) {
        if (!loop->state->paused && cli_now_ns() >= loop->due_ns) {
            if (count > 0 && loop->passes > count) /* the first one shows no rates */
                return CLI_OK;
            pass(loop);
        }
        draw(loop);
        switch (top_events_wait(top_screen_fd(), loop->state->paused ? UINT64_MAX : loop->due_ns)) {
        case TOP_EVENT_TIME:
            break;
        case TOP_EVENT_KEY:
            read_keys(loop);
            if (loop->state->quit)
                return CLI_OK;
            break;
        case TOP_EVENT_RESIZED:
            top_screen_resize();
            break;
        case TOP_EVENT_STOP:
            top_screen_leave();
            top_events_stop();
            top_screen_resize();
            break;
        case TOP_EVENT_RESUMED:
            top_screen_leave(); /* the modes may be the shell's: drawing sets them again */
            top_screen_resize();
            break;
        case TOP_EVENT_END:
            return top_events_status();
        }
    }
}

int top_interactive(struct top_run *run, struct top_state *state, uint64_t count) {
    struct loop loop = {.run = run, .state = state};
    int status;

    top_events_begin();
    status = top_screen_begin();
    if (status == CLI_OK)
        status = run_loop(&loop, count);
    top_screen_end();
    top_events_end();
    top_page_clear(&loop.page, 0);
    return status;
}
