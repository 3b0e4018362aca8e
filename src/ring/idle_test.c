/* SPDX-License-Identifier: Apache-2.0 */
/* When and for how long a subscriber's loop pauses under load. Publishers and the clock are simulated. */
#include "ring/idle.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define NS_PER_MS UINT64_C(1000000)
#define BUDGET 4800u
#define SHORT (BUDGET / 16)
#define ROUND 100u /* ns from one receive to the next, without a pause */

/* Messages a nanosecond. */
struct publishers {
    double chased;   /* while the subscriber receives each message at once */
    double gathered; /* while it pauses for SHORT */
    double ring;     /* messages that fit; publishers wait when it is full */
    double growth;   /* of that with each longer pause */
};

static const struct publishers fast = {0.04, 0.2, 1e9, 1}, faster = {0.04, 0.2, 1e9, 1.2},
                               cramped = {0.04, 0.2, 450, 1}, paced = {0.02, 0.02, 1e9, 1},
                               quick = {0.06, 0.06, 1e9, 1}, slow = {0.001, 0.001, 1e9, 1};

struct world {
    aether_idle_state idle;
    uint64_t now, pause;
    double rest; /* of a message */
};

static void begin(struct world *world) {
    /* A tick is a nanosecond. */
    *world = (struct world){.idle = {.budget = BUDGET, .window = 4 * BUDGET, .load = AETHER_IDLE_LOAD / 1000.0},
                            .now = 1000 * NS_PER_MS};
}

/* Simulates for `ns`; returns the share of messages that waited for a pause of at least `pause`. */
static double share_paused(struct world *world, struct publishers publishers, uint64_t pause, uint64_t ns) {
    const uint64_t end = world->now + ns;
    uint64_t all = 0, late = 0;

    while (world->now < end) {
        /* A pause, and half that time to receive the messages that came during it. */
        const uint64_t step = world->pause != 0 ? world->pause * 3 / 2 : ROUND;
        double there = (double)step * (world->pause == 0 ? publishers.chased : publishers.gathered);
        uint64_t got;

        for (uint64_t shorter = SHORT; shorter < world->pause; shorter *= 4)
            there *= publishers.growth;
        there = there < publishers.ring ? there + world->rest : publishers.ring;
        got = (uint64_t)there;
        world->rest = there - (double)got;
        world->now += step;
        all += got;
        late += world->pause >= pause ? got : 0;
        world->pause = got != 0 ? ae_idle_pause(&world->idle, world->now, got) : 0;
    }
    return (double)late / (double)all;
}

static void the_shortest_that_is_fastest(void **state) {
    struct world world;

    (void)state;
    begin(&world);
    (void)share_paused(&world, fast, 1, 10 * NS_PER_MS);
    assert_true(share_paused(&world, fast, SHORT, 100 * NS_PER_MS) > 0.95);
    assert_true(share_paused(&world, fast, SHORT + 1, 100 * NS_PER_MS) < 0.02);
    begin(&world);
    (void)share_paused(&world, faster, 1, 10 * NS_PER_MS);
    assert_true(share_paused(&world, faster, BUDGET, 100 * NS_PER_MS) > 0.95);
    begin(&world);
    (void)share_paused(&world, cramped, 1, 10 * NS_PER_MS);
    assert_true(share_paused(&world, cramped, SHORT, 100 * NS_PER_MS) > 0.95);
    assert_true(share_paused(&world, cramped, BUDGET, 100 * NS_PER_MS) < 0.02);
}

static void paced_ones_are_not_paused_for(void **state) {
    struct world world;

    (void)state;
    begin(&world);
    assert_true(share_paused(&world, paced, 1, 1000 * NS_PER_MS) < 0.001);
    assert_true(share_paused(&world, paced, 1, 1000 * NS_PER_MS) < 0.0003);
    begin(&world);
    assert_true(share_paused(&world, slow, 1, 1000 * NS_PER_MS) == 0);
}

static void it_notices_a_change(void **state) {
    struct world world;

    (void)state;
    begin(&world);
    for (int i = 0; i < 3; i++) {
        const struct publishers others = i % 2 == 0 ? paced : quick;

        (void)share_paused(&world, fast, 1, 1000 * NS_PER_MS);
        assert_true(share_paused(&world, fast, SHORT, 10 * NS_PER_MS) > 0.95);
        (void)share_paused(&world, others, 1, 200 * NS_PER_MS);
        assert_true(share_paused(&world, others, 1, 10 * NS_PER_MS) < 0.05);
    }
}

static void bursts_are_gathered_at_once(void **state) {
    struct world world;

    (void)state;
    begin(&world);
    (void)share_paused(&world, fast, 1, 10 * NS_PER_MS);
    for (int i = 0; i < 100; i++) {
        assert_true(share_paused(&world, slow, 1, NS_PER_MS) < 0.5);
        assert_true(share_paused(&world, fast, SHORT, NS_PER_MS) > 0.8);
    }
    /* If pausing doesn't pay, it isn't tried again and again. */
    (void)share_paused(&world, paced, 1, 1000 * NS_PER_MS);
    for (int i = 0; i < 100; i++) {
        (void)share_paused(&world, slow, 1, NS_PER_MS);
        assert_true(share_paused(&world, paced, 1, NS_PER_MS) < 0.1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_shortest_that_is_fastest),
        cmocka_unit_test(paced_ones_are_not_paused_for),
        cmocka_unit_test(it_notices_a_change),
        cmocka_unit_test(bursts_are_gathered_at_once),
    };
    return cmocka_run_group_tests_name("ring/idle", tests, NULL, NULL);
}
