/* SPDX-License-Identifier: Apache-2.0 */
/* lanes_test.c - how full lanes are, beside a publisher that finds it out by publishing. */
#include "client/lanes.h"
#include "client/survey.h"
#include "ring/ring_test.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define LANE 65536u
#define LARGEST 8192u
#define UNITS LARGEST /* of it in a lane */

struct world {
    struct ring ring;
    struct test_publisher pub;
    struct test_subscriber subs[2];
};

static void make(struct world *w, uint64_t start_seq, uint64_t floor) {
    const aether_topic_config config = {
        .capacity = 64, .max_message = LARGEST, .inline_max = 56, .lane_bytes = LANE, .start_seq = start_seq};
    const aether_subscribe_options options = {.policy = AETHER_RELIABLE};

    ring_make_as(&w->ring, &config);
    ae_store_relaxed(&w->ring.log->publishers[0].lane_floor, floor);
    publisher_open(&w->pub, &w->ring);
    for (uint32_t i = 0; i < 2; i++)
        subscriber_open(&w->subs[i], &w->ring, w->ring.log_ro, i, &options);
}

static void drop(struct world *w) {
    for (int i = 0; i < 2; i++)
        subscriber_close(&w->subs[i]);
    publisher_close(&w->pub);
    ring_free(&w->ring);
}

static struct ae_lanes lanes_of(const struct world *w) {
    struct ae_lanes lanes;

    ae_lanes_read(&w->ring.geometry, w->ring.log_ro, w->ring.cursors_ro, 3,
                  ae_survey_next_seq(w->ring.log_ro, &w->ring.geometry), &lanes);
    return lanes;
}

static uint64_t fits(const struct world *w) {
    const struct ae_lanes lanes = lanes_of(w);

    assert_true(lanes.whole);
    return ae_lanes_fits(&w->ring.geometry, w->ring.log_ro, 0, lanes.used[0]);
}

/* Publishes messages of a size until there is no room. Returns how many. */
static uint64_t fill(struct world *w, size_t len) {
    static unsigned char data[LARGEST];
    uint64_t count = 0;
    int rc;

    while ((rc = aether_publish(w->pub.handle, data, len)) == 0)
        count++;
    assert_int_equal(rc, AETHER_FULL);
    return count;
}

/* ---- cases ------------------------------------------------------------------------------------------------------- */

static void to_the_byte(void **state) {
    static const struct {
        uint64_t seq, floor;
    } starts[] = {{0, 0}, {(1ull << 48) - 3, LANE - 64}, {UINT64_MAX - 2, UINT64_MAX - 63}};
    static const unsigned char data[LARGEST];
    struct world w;

    (void)state;
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        make(&w, starts[i].seq, starts[i].floor);
        assert_int_equal(lanes_of(&w).used[0], 0);
        assert_int_equal(fits(&w), LANE / UNITS);
        assert_int_equal(aether_publish(w.pub.handle, data, 5000), 0); /* 5056 bytes of the lane */
        assert_int_equal(aether_publish(w.pub.handle, data, 10), 0);   /* in its slot */
        assert_int_equal(aether_publish(w.pub.handle, data, 64), 0);
        assert_int_equal(lanes_of(&w).used[0], 5056 + 64);
        assert_int_equal(lanes_of(&w).held[0], 5056 + 64);
        assert_int_equal(fits(&w), (LANE - 5120) / UNITS);
        const uint64_t expected = fits(&w);
        assert_int_equal(fill(&w, LARGEST), expected);
        assert_int_equal(fits(&w), 0);

        /* One subscriber has released all: the other one holds it. */
        aether_message m;
        while (aether_receive(w.subs[0].handle, &m) == 1)
            continue;
        assert_int_equal(lanes_of(&w).held[0], 0);
        assert_int_equal(lanes_of(&w).held[1], 5120 + expected * UNITS);
        assert_int_equal(lanes_of(&w).used[0], 5120 + expected * UNITS);
        while (aether_receive(w.subs[1].handle, &m) == 1)
            continue;
        assert_int_equal(lanes_of(&w).used[0], 0);
        assert_int_equal(fits(&w), LANE / UNITS);
        assert_int_equal(fill(&w, LARGEST), LANE / UNITS);
        drop(&w);
    }
}

/* The figure is what the publisher finds, or a little more: it frees its lane in steps of 1/64. */
static void beside_a_publisher(void **state) {
    unsigned sum = 0;
    struct world w;

    (void)state;
    make(&w, 0, 0);
    for (unsigned round = 0; round < 200; round++) {
        const size_t len = 57 + round * 977 % (LARGEST - 57);
        (void)fill(&w, len);
        const unsigned count = 1 + round % 5;
        for (int i = 0; i < 2; i++) {
            aether_message m;
            for (unsigned j = 0; j < count; j++)
                (void)aether_receive(w.subs[i].handle, &m);
            if (round % 3 == 0)
                while (aether_receive(w.subs[i].handle, &m) == 1)
                    continue;
        }
        const uint64_t expected = fits(&w), found = fill(&w, LARGEST);
        assert_true(found <= expected && expected <= found + 1);
        sum += (unsigned)found;
    }
    assert_true(sum > 200);
    drop(&w);
}

/* Whatever the ring and the lane's floor say, figures are at most the lane's size. */
static void hostile(void **state) {
    struct world w;
    unsigned random = 1;

    (void)state;
    make(&w, 0, 0);
    (void)fill(&w, 100);
    for (unsigned round = 0; round < 20000; round++) {
        random = random * 1103515245 + 12345;
        const uint64_t value = (uint64_t)random << 32 | random * 2654435761u;
        ae_u64 *tag = ring_tag(&w.ring, random >> 8);
        if (round % 3 == 0)
            ae_store_relaxed(tag + 1 + round % 2, value);
        else if (round % 3 == 1)
            ae_store_relaxed(tag, ae_tag(random >> 8 & 63, AE_KIND_LANE, 16));
        else
            ae_store_relaxed(&w.ring.log->publishers[random >> 9 & 63].lane_floor, value);
        const struct ae_lanes lanes = lanes_of(&w);
        for (unsigned r = 0; r < AE_PUBLISHERS_MAX; r++) {
            assert_true(lanes.used[r] <= LANE);
            assert_true(ae_lanes_fits(&w.ring.geometry, w.ring.log_ro, r, lanes.used[r]) <= LANE / UNITS);
        }
        assert_true(lanes.held[0] <= 64 * UNITS);
    }
    assert_int_equal(ae_lanes_fits(&w.ring.geometry, w.ring.log_ro, 0, UINT64_MAX), 0);
    ring_free(&w.ring);
    free(w.pub.buffer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(to_the_byte),
        cmocka_unit_test(beside_a_publisher),
        cmocka_unit_test(hostile),
    };

    return cmocka_run_group_tests_name("lanes", tests, NULL, NULL);
}
