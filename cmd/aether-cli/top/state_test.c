/* SPDX-License-Identifier: Apache-2.0 */
/* What keys do. */
#include "state.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct top_state state;
static struct top_page page;

/* A list of `count` topics t00, t01 ... behind two fixed lines, the first being number `first`. */
static void make_list(size_t first, size_t count) {
    top_page_clear(&page, 80);
    top_page_add(&page, TOP_STRONG, "head");
    top_page_add(&page, TOP_TITLES, "titles");
    page.fixed = 2;
    for (size_t i = first; i < first + count; i++) {
        char name[8] = {'t', (char)('0' + i / 10), (char)('0' + i % 10)};
        top_page_add(&page, TOP_PLAIN, "%s", name);
        top_page_link_topic(&page, name);
    }
    top_state_fit(&state, &page, 12); /* ten rows */
}

static int setup(void **unused) {
    (void)unused;
    top_state_init(&state, 1);
    make_list(0, 40);
    return 0;
}

static int teardown(void **unused) {
    (void)unused;
    top_page_clear(&page, 0);
    return 0;
}

static void press(int key) {
    top_state_key(&state, &page, key);
}

static void assert_at(size_t cursor, size_t scroll) {
    top_state_fit(&state, &page, 12);
    assert_int_equal(top_state_visit(&state)->cursor, cursor);
    assert_int_equal(top_state_visit(&state)->scroll, scroll);
}

static void moving(void **unused) {
    (void)unused;
    assert_at(0, 0);
    press(TOP_KEY_UP);
    assert_at(0, 0);
    for (int i = 0; i < 10; i++)
        press('j');
    assert_at(10, 1);
    press(TOP_KEY_PAGE_DOWN);
    assert_at(19, 10);
    press(TOP_KEY_UP);
    press(TOP_KEY_PAGE_UP);
    assert_at(9, 9);
    press(TOP_KEY_HOME);
    assert_at(0, 0);
    press(TOP_KEY_END);
    assert_at(39, 30);
    assert_true(state.pass_wanted);
    assert_true(top_state_options(&state, 12).topics == SIZE_MAX);
    make_list(0, 60); /* a pass with all topics */
    assert_at(59, 50);
    press(TOP_KEY_UP);
    assert_at(58, 50);
    assert_int_equal(top_state_options(&state, 12).topics, 58 + 24);
    make_list(0, 3);
    assert_at(2, 0);
    make_list(0, 0);
    assert_at(0, 0);
    press(TOP_KEY_DOWN);
    press(TOP_KEY_TAB);
    press(TOP_KEY_ENTER);
    assert_at(0, 0);
}

/* The cursor stays on its topic when the order changes; on the first line it stays at the top. */
static void following(void **unused) {
    (void)unused;
    press(TOP_KEY_DOWN);
    press(TOP_KEY_DOWN);
    assert_at(2, 0);
    make_list(1, 40);
    assert_at(1, 0);
    make_list(10, 20); /* the topic has gone */
    assert_at(1, 0);
    press(TOP_KEY_HOME);
    make_list(5, 20);
    assert_at(0, 0);
}

static void pages(void **unused) {
    (void)unused;
    press(TOP_KEY_DOWN);
    state.pass_wanted = false;
    press(TOP_KEY_ENTER);
    assert_true(state.pass_wanted);
    assert_int_equal(state.depth, 2);
    assert_int_equal(top_state_visit(&state)->place.kind, TOP_TOPIC);
    assert_string_equal(top_state_options(&state, 12).pinned, "t01");

    /* The cursor begins on the first line that leads somewhere. */
    top_page_clear(&page, 80);
    for (int i = 0; i < 8; i++)
        top_page_add(&page, TOP_PLAIN, "line");
    top_page_link_client(&page, 7);
    top_page_add(&page, TOP_PLAIN, "line");
    assert_at(7, 0);
    press(TOP_KEY_UP);
    press(TOP_KEY_ENTER);
    assert_int_equal(state.depth, 2);
    press(TOP_KEY_TAB);
    press(TOP_KEY_ENTER);
    assert_int_equal(state.depth, 3);
    assert_int_equal(top_state_options(&state, 12).client_id, 7);
    assert_null(top_state_options(&state, 12).pinned);
    press(TOP_KEY_ENTER); /* the page of a client that leads to itself */
    assert_int_equal(state.depth, 3);
    press('?');
    assert_int_equal(top_state_visit(&state)->place.kind, TOP_HELP);
    press('?');
    assert_int_equal(state.depth, 4);
    press(TOP_KEY_ESCAPE);
    press(TOP_KEY_BACKSPACE);
    assert_int_equal(state.depth, 2);
    assert_at(7, 0);
    press(TOP_KEY_ESCAPE);
    make_list(0, 40);
    assert_at(1, 0);
    press(TOP_KEY_ESCAPE);
    assert_int_equal(state.depth, 1);
    assert_false(state.quit);
    press('q');
    assert_true(state.quit);
}

static void too_many_pages(void **unused) {
    (void)unused;
    for (uint64_t id = 1; id < 40; id++) {
        top_page_clear(&page, 80);
        top_page_add(&page, TOP_PLAIN, "line");
        top_page_link_client(&page, id);
        top_state_visit(&state)->cursor = 0;
        press(TOP_KEY_ENTER);
        assert_int_equal(top_state_visit(&state)->place.client_id, id);
    }
    assert_int_equal(state.depth, TOP_DEPTH_MAX);
    for (int i = 0; i < TOP_DEPTH_MAX; i++)
        press(TOP_KEY_ESCAPE);
    assert_int_equal(top_state_visit(&state)->place.kind, TOP_LIST);
}

static void filters(void **unused) {
    (void)unused;
    press(TOP_KEY_DOWN);
    press('/');
    assert_true(state.editing);
    press('q');
    press(' ');
    press(0xc3);
    press(0xa4);
    press(TOP_KEY_UP);
    press(7);
    assert_string_equal(state.filter, "q \xc3\xa4");
    assert_false(state.quit || state.paused);
    assert_at(0, 0);
    press(TOP_KEY_BACKSPACE);
    assert_string_equal(state.filter, "q ");
    press(TOP_KEY_ENTER);
    assert_false(state.editing);
    assert_string_equal(top_state_options(&state, 12).filter, "q ");
    press('/');
    press(21);
    assert_string_equal(state.filter, "");
    press(TOP_KEY_BACKSPACE);
    for (int i = 0; i < 1000; i++)
        press('x');
    assert_int_equal(strlen(state.filter), TOP_FILTER_SIZE - 1);
    press(TOP_KEY_ESCAPE);
    assert_string_equal(state.filter, "q ");
}

static void orders(void **unused) {
    (void)unused;
    press('s');
    assert_int_equal(state.order, AE_WATCH_BY_LAG);
    press('N');
    assert_int_equal(state.order, AE_WATCH_BY_NAME);
    press('s');
    assert_int_equal(state.order, AE_WATCH_BY_RATE);
    press('9');
    assert_int_equal(top_state_options(&state, 12).order, AE_WATCH_BY_P99);
    press('r');
    assert_true(top_state_options(&state, 12).reverse);
    press('t');
    assert_true(state.total_latency);
    press(0);
    assert_int_equal(state.order, AE_WATCH_BY_P99);
}

static void intervals(void **unused) {
    (void)unused;
    assert_int_equal(top_state_options(&state, 12).history, 61);
    press('-');
    assert_true(state.interval_s == 2.0);
    for (int i = 0; i < 20; i++)
        press('-');
    assert_true(state.interval_s == 60.0);
    assert_int_equal(top_state_options(&state, 12).history, 2);
    for (int i = 0; i < 20; i++)
        press('+');
    assert_true(state.interval_s == 0.1);
    assert_int_equal(top_state_options(&state, 12).history, 600);
    state.interval_s = 0.15; /* from the command line */
    press('+');
    assert_true(state.interval_s == 0.1);
    state.interval_s = 3600;
    press('-');
    assert_true(state.interval_s == 3600);
    press('+');
    assert_true(state.interval_s == 60.0);
    state.pass_wanted = false;
    press(' ');
    assert_true(state.paused && !state.pass_wanted);
    press(TOP_KEY_DOWN);
    assert_false(state.pass_wanted);
    press(' ');
    assert_true(!state.paused && state.pass_wanted);
}

int main(void) {
#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {CASE(moving),  CASE(following), CASE(pages),    CASE(too_many_pages),
                                       CASE(filters), CASE(orders),    CASE(intervals)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
