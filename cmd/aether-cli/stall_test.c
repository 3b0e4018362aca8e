/* SPDX-License-Identifier: Apache-2.0 */
/* stall_test.c - the sentence for each cause. */
#include "stall.h"
#include "daemon.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void expect(const aether_stall *stall, const char *wanted) {
    char text[STALL_TEXT];

    assert_string_equal(stall_text(text, stall), wanted);
}

static void causes(void **state) {
    aether_stall stall = {.waits = AETHER_WAITS_SUBSCRIBER,
                          .process = 'T',
                          .pid = 77,
                          .client = "viewer",
                          .lag = 1024,
                          .lane_bytes = 12 << 20,
                          .daemon = 1};

    (void)state;
    expect(&stall, "waits for 'viewer' (pid 77, stopped), 1,024 messages behind");
    stall.others = 2;
    stall.lag = 1;
    stall.process = 'S';
    expect(&stall, "waits for 'viewer' (pid 77), 1 message behind, and for 2 more");
    stall.others = 0;
    stall.waits = AETHER_WAITS_LANE;
    expect(&stall, "waits for 'viewer' (pid 77), which holds 12 MiB of this publisher's lane");
    stall.waits = AETHER_WAITS_PUBLISHER;
    stall.process = 't';
    expect(&stall, "waits for publisher 'viewer' (pid 77, traced), which hasn't finished a message");
    stall.waits = AETHER_WAITS_LOANS;
    expect(&stall, "its own loans hold 12 MiB of this publisher's lane");
    stall.waits = AETHER_WAITS_CLAIM;
    expect(&stall, "other publishers were faster each time");
}

/* What a dead program held is freed by aetherd, if there is one. */
static void dead(void **state) {
    aether_stall stall = {
        .waits = AETHER_WAITS_SUBSCRIBER, .process = 'X', .pid = 77, .client = "viewer", .lag = 8, .daemon = 1};

    (void)state;
    assert_int_equal(cli_set_socket("/s"), 0);
    expect(&stall, "waits for 'viewer' (pid 77, dead), 8 messages behind");
    stall.daemon = 0;
    expect(&stall, "waits for 'viewer' (pid 77, dead), 8 messages behind; no aetherd runs that frees its "
                   "room: start it with: aetherd --socket /s");
}

static void unknown(void **state) {
    aether_stall stall = {.waits = AETHER_WAITS_SUBSCRIBER, .process = '?', .lag = 8};

    (void)state;
    expect(&stall, "waits for a subscriber, 8 messages behind");
    strcpy(stall.client, "in a container");
    expect(&stall, "waits for 'in a container', 8 messages behind");
    stall.client[0] = '\0';
    stall.waits = AETHER_WAITS_PUBLISHER;
    expect(&stall, "waits for publisher of another program, which hasn't finished a message");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(causes), cmocka_unit_test(dead), cmocka_unit_test(unknown)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
