/* SPDX-License-Identifier: Apache-2.0 */
/* Which messages are stamped, and for how many messages each stamp stands. */
#include "ring/stats_test.h"
#include "base/histogram.h"
#include "ring/stats.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define GROUP_MAX 4096u /* messages */

#define STAMPS_MAX 65536u

/* Reads a publisher's stamps in its ring, after each call: it is the only one, from sequence 0 on. */
struct watch {
    struct ring ring;
    struct test_publisher publisher;
    uint64_t seen;                /* messages */
    uint64_t weights;             /* messages for which the stamps stand */
    uint64_t count;               /* stamps */
    uint64_t numbers[STAMPS_MAX]; /* of the messages that are stamped */
    unsigned weight;              /* of the last one */
    bool reviewed;                /* subscribers have slept */
};

static void watch_open(struct watch *watch, aether_latency_mode latency) {
    const aether_topic_config config = {.capacity = 128, .max_message = 24, .latency = latency};

    memset(watch, 0, sizeof *watch);
    ring_make_as(&watch->ring, &config);
    publisher_open(&watch->publisher, &watch->ring);
    watch->publisher.pub.sampling.random = 20261128;
}

static void watch_close(struct watch *watch) {
    publisher_close(&watch->publisher);
    ring_free(&watch->ring);
}

static void look(struct watch *watch) {
    const ae_geometry *g = &watch->ring.geometry;
    const ae_u64 *stamps = (const ae_u64 *)(const void *)((const unsigned char *)watch->ring.log_ro + g->stamps_off);

    for (; watch->seen != aether_publisher_next(watch->publisher.handle); watch->seen++) {
        const uint64_t tag = word(ring_tag(&watch->ring, watch->seen));
        assert_int_equal(ae_tag_kind(tag) & ~AE_KIND_STAMPED, AE_KIND_INLINE);
        if ((ae_tag_kind(tag) & AE_KIND_STAMPED) == 0)
            continue;
        const uint64_t stamp = word(&stamps[watch->seen % g->capacity]);
        watch->weight = stamp & AE_STAMP_WEIGHT_MASK;
        watch->weights += 1ull << watch->weight;
        watch->numbers[watch->count++ % STAMPS_MAX] = watch->seen;
        assert_int_equal(stamp >> AE_STAMP_NS_SHIFT, now);
        assert_true(watch->weight <= 12);
        assert_int_equal(word(&watch->publisher.stats.last_ns), now);
    }
    /*
     * Each group is stamped once, but for those that end early: the stamps stand for all messages but some of a
     * group.
     */
    if (g->stamps_off != 0 && !watch->reviewed) {
        const int64_t ahead = (int64_t)(watch->weights - watch->seen);
        assert_true(ahead <= (int64_t)GROUP_MAX && ahead >= -(int64_t)GROUP_MAX);
    }
}

/* Publishes count messages, ns nanoseconds after each other. */
static void pace(struct watch *watch, uint64_t count, uint64_t ns) {
    for (; count > 0; count--) {
        now += ns;
        assert_int_equal(publish_as(watch->publisher.handle, PUBLISH, 24, 1), 0);
        look(watch);
    }
}

static void all_or_none(void **state) {
    struct watch *watch = malloc(sizeof *watch);
    uint64_t random = 3;

    (void)state;
    for (int mode = 0; mode < 2; mode++) {
        watch_open(watch, mode == 0 ? AETHER_LATENCY_ALL : AETHER_LATENCY_OFF);
        for (int turn = 0; turn < 2000; turn++) {
            now += next_random(&random) % (1000 * US);
            assert_int_equal(publish_as(watch->publisher.handle, (enum form)(next_random(&random) % FORMS),
                                        next_random(&random) % 2 == 0 ? 8 : 24, 1 + next_random(&random) % 40),
                             0);
            look(watch);
        }
        assert_int_equal(watch->count, mode == 0 ? watch->seen : 0);
        assert_int_equal(watch->weights, watch->count);
        watch_close(watch);
    }
    free(watch);
}

/* Each message of a slow publisher is stamped; of a fast one about one of 4,096, once it has adapted; and back. */
static void stamps_follow_the_pace(void **state) {
    struct watch *watch = malloc(sizeof *watch);
    uint64_t count;

    (void)state;
    watch_open(watch, AETHER_LATENCY_SAMPLED);
    pace(watch, 1000, MS);
    assert_int_equal(watch->count, 1000);
    pace(watch, 4 * GROUP_MAX, 20); /* it adapts */
    assert_int_equal(watch->weight, 12);
    assert_true(watch->count < 1000 + 24);
    count = watch->count;
    pace(watch, 64 * GROUP_MAX, 20);
    assert_in_range(watch->count - count, 63, 65);
    pace(watch, 2 * GROUP_MAX, 375 * US); /* slow again: within two groups each message is stamped */
    count = watch->count;
    pace(watch, 1000, 375 * US);
    assert_int_equal(watch->count - count, 1000);
    count = watch->count;
    pace(watch, 10000, 25 * US); /* every tenth is 250 us apart */
    assert_in_range(watch->count - count, 10000 / 20, 10000 / 4);
    watch_close(watch);
    free(watch);
}

/*
 * Publishes batches of 32 as fast as gives groups of 64, and counts which positions of a batch and a group are
 * stamped.
 */
static void positions_are_random(void **state) {
    struct watch *watch = malloc(sizeof *watch);
    unsigned in_batch[32] = {0}, in_group[64] = {0}, same = 0;
    uint64_t first = 0;

    (void)state;
    watch_open(watch, AETHER_LATENCY_SAMPLED);
    for (int form = 0; form < 2; form++) {
        for (int i = 0; i < 6400; i++) {
            now += 125 * US;
            assert_int_equal(publish_as(watch->publisher.handle, form == 0 ? BATCH : ARRAY, 8, 32), 0);
            look(watch);
            if (i == 100)
                first = watch->count;
        }
    }
    assert_true(watch->count < STAMPS_MAX);
    for (uint64_t i = first; i < watch->count; i++) {
        in_batch[watch->numbers[i] % 32]++;
        in_group[watch->numbers[i] % 64]++;
        same +=
            i > first + 1 && watch->numbers[i] - watch->numbers[i - 1] == watch->numbers[i - 1] - watch->numbers[i - 2];
    }
    const unsigned mean = (unsigned)(watch->count - first) / 32;
    assert_true(mean > 150);
    for (unsigned i = 0; i < 32; i++)
        assert_in_range(in_batch[i], mean * 2 / 3, mean * 3 / 2);
    for (unsigned i = 0; i < 64; i++)
        assert_in_range(in_group[i], mean / 4, mean);
    assert_true(same < (watch->count - first) / 20); /* no fixed stride */
    watch_close(watch);
    free(watch);
}

/* A subscriber sleeps, and the next message wakes it. */
static void let_sleep(struct watch *watch) {
    ae_store_relaxed(&watch->ring.notes->want.want, word(&watch->ring.log->wake.wake));
    watch->reviewed = true;
}

/*
 * A message that wakes a subscriber after a pause makes the next one stamped, whether or not the present group has been
 * stamped.
 */
static void a_pause_is_noticed(void **state) {
    struct watch *watch = malloc(sizeof *watch);
    unsigned before = 0, after = 0;

    (void)state;
    for (uint64_t fast = GROUP_MAX * 8; fast < GROUP_MAX * 10; fast += 97) {
        watch_open(watch, AETHER_LATENCY_SAMPLED);
        pace(watch, fast, 20);
        const struct ae_sampling *sampling = &watch->publisher.pub.sampling;
        assert_true(sampling->weight == 12 && sampling->due > watch->seen);
        if (watch->seen < sampling->group_end - GROUP_MAX)
            after++;
        else
            before++;
        const uint64_t count = watch->count;
        let_sleep(watch);
        pace(watch, 1, 5 * MS);
        assert_int_equal(watch->count, count);
        pace(watch, 100, 5 * MS);
        assert_int_equal(watch->count, count + 100);
        assert_int_equal(watch->weight, 0);
        pace(watch, 3 * GROUP_MAX, 20);
        watch_close(watch);
    }
    assert_true(before > 2 && after > 2);
    free(watch);
}

/* The same in a burst, which has a copy of the limit. */
static void a_burst_stamps_what_is_due(void **state) {
    static const unsigned char data[24];
    struct watch *watch = malloc(sizeof *watch);

    (void)state;
    watch_open(watch, AETHER_LATENCY_SAMPLED);
    for (int form = 0; form < 2; form++) {
        aether_burst burst = aether_burst_begin(watch->publisher.handle, form == 0 ? 24 : 17);
        for (int round = 0; round < 20; round++) {
            for (uint64_t i = 0; i < 3 * GROUP_MAX + 7; i++) {
                now += 20;
                assert_int_equal(aether_burst_publish(&burst, data), 0);
                look(watch);
            }
            const uint64_t count = watch->count;
            for (int i = 0; i < 20; i++) {
                let_sleep(watch);
                now += 5 * MS;
                assert_int_equal(aether_burst_publish(&burst, data), 0);
                look(watch);
            }
            assert_true(watch->count >= count + 19);
        }
    }
    watch_close(watch);
    free(watch);
}

static const uint64_t paces[] = {5, 30, 1000, 20 * US, 90 * US, 300 * US, 10 * MS};

/* At any pace and in all forms each group is stamped once: look() checks it after each call. */
static void groups_cover_all_messages(void **state) {
    struct watch *watch = malloc(sizeof *watch);
    uint64_t random = 5;

    (void)state;
    watch_open(watch, AETHER_LATENCY_SAMPLED);
    for (int phase = 0; phase < 600; phase++) {
        const uint64_t ns = paces[next_random(&random) % 7], calls = next_random(&random) % 1000;
        const enum form form = (enum form)(next_random(&random) % FORMS);
        const size_t count = form == BATCH || form == ARRAY ? 1 + next_random(&random) % 60 : 1;
        for (uint64_t i = 0; i < calls; i++) {
            now += ns * (next_random(&random) % 3);
            assert_int_equal(publish_as(watch->publisher.handle, form, 8, count), 0);
            look(watch);
        }
    }
    watch_close(watch);
    free(watch);
}

/* Where pauses end groups early, the stamps stand for as many messages as there are on the average. */
static void groups_that_end_early(void **state) {
    struct watch *watch = malloc(sizeof *watch);
    uint64_t random = 6;

    (void)state;
    watch_open(watch, AETHER_LATENCY_SAMPLED);
    for (int round = 0; round < 2000; round++) {
        pace(watch, 500 + next_random(&random) % 1500, 20);
        let_sleep(watch);
        pace(watch, 2, 5 * MS);
    }
    assert_in_range(watch->weights, watch->seen * 9 / 10, watch->seen * 11 / 10);
    watch_close(watch);
    free(watch);
}

/*
 * At a steady pace, whatever it is, the stamps stand for all messages, also if a subscriber sleeps before each of them:
 * no gap between two stamps is taken for a pause, or groups would end early that are stamped late.
 */
static void steady_paces(void **state) {
    struct watch *watch = malloc(sizeof *watch);

    (void)state;
    for (uint64_t step = 10 * US; step < 300 * US; step += 7 * US) {
        watch_open(watch, AETHER_LATENCY_SAMPLED);
        pace(watch, 1000, step);
        const uint64_t weights = watch->weights, seen = watch->seen;
        for (int i = 0; i < 3000; i++) {
            let_sleep(watch);
            pace(watch, 1, step);
        }
        assert_in_range(watch->weights - weights, watch->seen - seen - 64, watch->seen - seen + 64);
        watch_close(watch);
    }
    free(watch);
}

/* A sample counts for as many messages as its stamp says, so the histogram has all messages. */
static void samples_count_their_weight(void **state) {
    const aether_subscribe_options reliable = {.policy = AETHER_RELIABLE};
    struct watch *watch = malloc(sizeof *watch);
    struct test_subscriber subscriber;
    aether_message message;

    (void)state;
    watch_open(watch, AETHER_LATENCY_SAMPLED);
    subscriber_open(&subscriber, &watch->ring, watch->ring.log_ro, 0, &reliable);
    for (uint64_t i = 0; i < 100000; i++) {
        pace(watch, 1, i % 20000 < 10000 ? 100 : 75 * US);
        now += 777;
        assert_int_equal(aether_receive(subscriber.handle, &message), 1);
        assert_int_equal(word(&subscriber.stats.buckets[ae_histogram_index(777)]), watch->weights);
        assert_int_equal(word(&subscriber.stats.samples), watch->count);
    }
    subscriber_close(&subscriber);
    watch_close(watch);
    free(watch);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(all_or_none, start_clock),
        cmocka_unit_test_setup(stamps_follow_the_pace, start_clock),
        cmocka_unit_test_setup(positions_are_random, start_clock),
        cmocka_unit_test_setup(a_pause_is_noticed, start_clock),
        cmocka_unit_test_setup(a_burst_stamps_what_is_due, start_clock),
        cmocka_unit_test_setup(groups_cover_all_messages, start_clock),
        cmocka_unit_test_setup(groups_that_end_early, start_clock),
        cmocka_unit_test_setup(steady_paces, start_clock),
        cmocka_unit_test_setup(samples_count_their_weight, start_clock),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
