/* SPDX-License-Identifier: Apache-2.0 */
/* Subscribers that are too slow: eviction, gaps, latest. And how a subscriber sees the end of the stream. */
#include "ring/ring_test.h"
#include <aether/wait.h>
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define CAPACITY 16u
#define LANE 4096u

static const uint64_t starts[] = {0, (1ull << 47) - 3, (1ull << 48) - 9, (1ull << 63) - 3, UINT64_MAX - 20};
#define STARTS (sizeof starts / sizeof starts[0])

static const aether_subscribe_options reliable = {.policy = AETHER_RELIABLE},
                                      reliable_in_place = {.policy = AETHER_RELIABLE, .views = AETHER_VIEWS_IN_PLACE},
                                      best_effort = {.policy = AETHER_BEST_EFFORT};

static void evicting_make(struct ring *ring, uint64_t lag, uint64_t start, bool lanes) {
    const aether_topic_config config = {.capacity = CAPACITY,
                                        .max_message = lanes ? LANE : 24,
                                        .inline_max = lanes ? 56 : 0,
                                        .lane_bytes = lanes ? LANE : 0,
                                        .slow = lag != 0 ? AETHER_SLOW_EVICT : AETHER_SLOW_WAIT,
                                        .evict_lag = lag,
                                        .start_seq = start};

    ring_make_as(ring, &config);
}

static size_t max_of(const struct test_publisher *publisher) {
    return aether_publisher_max_message(publisher->handle);
}

static int publish_next(struct test_publisher *publisher) {
    static unsigned char data[LANE];
    const size_t len = payload_fill(data, aether_publisher_next(publisher->handle), max_of(publisher));

    return aether_publish(publisher->handle, data, len);
}

static void publish_many(struct test_publisher *publisher, uint64_t count) {
    while (count-- > 0)
        assert_int_equal(publish_next(publisher), 0);
}

/* Each admission of the record raises the word's generation by one. These are the first subscriber's. */
#define ADMITTED (1ull << 32)
#define EVICTED_LAG(lag) ae_evict_word(ADMITTED, AE_EVICT_LAG, lag)
#define EVICTED_LANE(bytes) ae_evict_word(ADMITTED, AE_EVICT_LANE, (bytes) / AE_LANE_UNIT)
static uint64_t evict_word(const struct ring *ring, unsigned record) {
    return ae_load_relaxed(&ring->log->evict[record]);
}

static bool is_active(const struct ring *ring, unsigned record) {
    return ae_load_relaxed(&ring->cursors->active.active) >> record & 1;
}

static void assert_conserved(const struct test_subscriber *subscriber) {
    aether_subscriber_stats stats;

    aether_subscriber_get_stats(subscriber->handle, &stats);
    assert_int_equal(stats.delivered + stats.lost + stats.aborted + stats.skipped, stats.next - stats.joined);
}

static void expect_message(struct test_subscriber *subscriber, uint64_t seq) {
    aether_message message;

    assert_int_equal(aether_receive(subscriber->handle, &message), 1);
    assert_int_equal(message.seq, seq);
    assert_int_equal(message.lost, 0);
    assert_true(payload_right(&message, subscriber->sub.geometry.max_message));
}

static void expect_nothing(struct test_subscriber *subscriber) {
    aether_message message;

    assert_int_equal(aether_receive(subscriber->handle, &message), 0);
    assert_int_equal(aether_wait(subscriber->handle, 0), 0);
}

static void expect_eviction_for(struct test_subscriber *subscriber, const char *why) {
    const uint64_t next = aether_subscriber_next(subscriber->handle);
    aether_subscriber_stats stats;
    aether_message message;
    char text[128];

    assert_int_equal(aether_wait(subscriber->handle, 0), 1);
    assert_int_equal(aether_receive(subscriber->handle, &message), -EOVERFLOW);
    (void)snprintf(text, sizeof text, "evicted at sequence %" PRIu64 ": %s", next, why);
    assert_memory_equal(aether_errmsg(), text, strlen(text));
    assert_int_equal(aether_subscriber_next(subscriber->handle), next);
    aether_subscriber_get_stats(subscriber->handle, &stats);
    assert_int_equal(stats.evicted, 1);
    assert_conserved(subscriber);
}

static void expect_eviction(struct test_subscriber *subscriber) {
    expect_eviction_for(subscriber, "");
}

/* Reads to the end; returns what was lost. */
static uint64_t drain(struct test_subscriber *subscriber) {
    uint64_t expected = aether_subscriber_next(subscriber->handle), lost = 0;
    aether_message message;
    int rc;

    while ((rc = aether_receive(subscriber->handle, &message)) == 1) {
        assert_int_equal(message.seq, expected);
        assert_true(message.lost != 0 || payload_right(&message, subscriber->sub.geometry.max_message));
        lost += message.lost;
        expected += message.lost != 0 ? message.lost : 1;
    }
    assert_int_equal(rc, 0);
    assert_conserved(subscriber);
    return lost;
}

/* ---- eviction ---- */

static void wait_topic_waits(void **state) {
    struct test_publisher publisher;
    struct test_subscriber subscriber;
    struct ring ring;

    (void)state;
    evicting_make(&ring, 0, 0, false);
    publisher_open(&publisher, &ring);
    subscriber_open(&subscriber, &ring, ring.log_ro, 5, &reliable);
    publish_many(&publisher, CAPACITY);
    for (int i = 0; i < 10; i++)
        assert_int_equal(publish_next(&publisher), AETHER_FULL);
    assert_int_equal(evict_word(&ring, 5), ADMITTED);
    assert_int_equal(drain(&subscriber), 0);
    assert_int_equal(aether_subscriber_next(subscriber.handle), CAPACITY);
    subscriber_close(&subscriber);
    publisher_close(&publisher);
    ring_free(&ring);
}

static void evicted_at_the_lag_and_not_before(void **state) {
    static const uint64_t lags[] = {8, 11, 15, 16};

    (void)state;
    for (size_t s = 0; s < STARTS * 8; s++) {
        const uint64_t lag = lags[s / STARTS % 4], start = starts[s % STARTS];
        struct test_publisher publisher;
        struct test_subscriber subscriber;
        struct ring ring;
        char why[64];

        (void)snprintf(why, sizeof why, "was %" PRIu64 " messages behind; ", lag);
        evicting_make(&ring, lag, start, false);
        publisher_open(&publisher, &ring);
        publish_many(&publisher, 5);
        subscriber_open(&subscriber, &ring, ring.log_ro, 63, s < STARTS * 4 ? &reliable : &reliable_in_place);
        publish_many(&publisher, lag);
        assert_int_equal(evict_word(&ring, 63), ADMITTED);
        expect_message(&subscriber, start + 5);
        assert_int_equal(drain(&subscriber), 0);
        publish_many(&publisher, lag);
        assert_int_equal(evict_word(&ring, 63), ADMITTED);
        publish_many(&publisher, 1); /* needs the room */
        assert_int_equal(evict_word(&ring, 63), EVICTED_LAG(lag));
        for (uint64_t i = lag; i < CAPACITY; i++) /* what is left is delivered first */
            expect_message(&subscriber, start + 5 + i);
        publish_many(&publisher, 1);
        if (lag == CAPACITY) {
            expect_eviction_for(&subscriber, why);
            assert_int_equal(drain(&subscriber), 9 + 1); /* half a ring and what was overwritten */
        } else {
            assert_int_equal(aether_receive(subscriber.handle, &(aether_message){0}), 1);
            publish_many(&publisher, 2 * CAPACITY);
            expect_eviction_for(&subscriber, why);
            assert_true(drain(&subscriber) > CAPACITY);
        }
        assert_false(is_active(&ring, 63));
        expect_nothing(&subscriber);
        publish_many(&publisher, 3); /* goes on as best effort */
        assert_int_equal(drain(&subscriber), 0);
        publish_many(&publisher, 100);
        assert_true(drain(&subscriber) >= 100 - CAPACITY);
        assert_int_equal(aether_subscriber_next(subscriber.handle), aether_publisher_next(publisher.handle));
        subscriber_close(&subscriber);
        publisher_close(&publisher);
        ring_free(&ring);
    }
}

/*
 * Evicted before anything is overwritten: the subscriber gets all messages, and then -EOVERFLOW once, also if nothing
 * more is published.
 */
static void told_once_after_what_is_left(void **state) {
    (void)state;
    for (int form = 0; form < 4; form++) {
        aether_message messages[CAPACITY] = {0};
        struct test_publisher publisher;
        struct test_subscriber subscriber;
        struct ring ring;
        int n;

        evicting_make(&ring, 8, 0, false);
        publisher_open(&publisher, &ring);
        subscriber_open(&subscriber, &ring, ring.log_ro, 1, form % 2 == 0 ? &reliable : &reliable_in_place);
        if (form == 3) /* evicted while it has read, and released, everything */
            expect_nothing(&subscriber);
        publish_many(&publisher, 9);
        assert_int_equal(evict_word(&ring, 1), EVICTED_LAG(8));
        if (form < 2) {
            assert_int_equal(aether_receive_batch(subscriber.handle, messages, CAPACITY), 9);
            for (int i = 0; i < 9; i++)
                assert_true(messages[i].lost == 0 && messages[i].seq == (unsigned)i &&
                            payload_right(&messages[i], 24) && aether_still_valid(subscriber.handle, &messages[i]));
            assert_int_equal(aether_receive_batch(subscriber.handle, messages, CAPACITY), -EOVERFLOW);
        } else {
            for (uint64_t i = 0; i < 9; i++)
                expect_message(&subscriber, i);
            expect_eviction(&subscriber);
        }
        for (int i = 0; i < 3; i++) {
            expect_nothing(&subscriber);
            n = aether_receive_batch(subscriber.handle, messages, CAPACITY);
            assert_int_equal(n, 0);
        }
        subscriber_close(&subscriber);
        publisher_close(&publisher);
        ring_free(&ring);
    }
}

static int count_polled(void *context, const aether_message *message) {
    assert_true(message->lost == 0 && payload_right(message, 24));
    ++*(uint64_t *)context;
    return 0;
}

/* A poll handles what is left, and returns -EOVERFLOW after that. */
static void polls_tell_it_too(void **state) {
    (void)state;
    for (int in_place = 0; in_place < 2; in_place++) {
        struct test_publisher publisher;
        struct test_subscriber subscriber;
        struct ring ring;
        uint64_t n = 0;

        evicting_make(&ring, 8, 0, false);
        publisher_open(&publisher, &ring);
        subscriber_open(&subscriber, &ring, ring.log_ro, 1, in_place ? &reliable_in_place : &reliable);
        publish_many(&publisher, 9);
        assert_int_equal(aether_poll(subscriber.handle, count_polled, &n, 4), 4);
        assert_int_equal(aether_poll(subscriber.handle, count_polled, &n, 100), -EOVERFLOW);
        assert_int_equal(n, 9);
        assert_int_equal(aether_poll(subscriber.handle, count_polled, &n, 100), 0);
        publish_many(&publisher, 1);
        assert_int_equal(aether_poll(subscriber.handle, count_polled, &n, 100), 1);
        subscriber_close(&subscriber);
        publisher_close(&publisher);
        ring_free(&ring);
    }
}

/* In place, everything read and released, and then the record is evicted: the next receive must report that. */
static void evicted_at_the_end(void **state) {
    (void)state;
    for (int in_place = 0; in_place < 2; in_place++) {
        struct test_publisher publisher;
        struct test_subscriber subscriber;
        struct ring ring;

        evicting_make(&ring, 8, 0, false);
        publisher_open(&publisher, &ring);
        subscriber_open(&subscriber, &ring, ring.log_ro, 1, in_place ? &reliable_in_place : &reliable);
        publish_many(&publisher, 3);
        assert_int_equal(drain(&subscriber), 0);
        expect_nothing(&subscriber);
        ae_store_relaxed(&ring.log->evict[1], EVICTED_LAG(8)); /* by a scan that had loaded the cursor before */
        expect_eviction(&subscriber);
        expect_nothing(&subscriber);
        subscriber_close(&subscriber);
        publisher_close(&publisher);
        ring_free(&ring);
    }
}

static void only_the_slow_one(void **state) {
    (void)state;
    for (int lanes = 0; lanes < 2; lanes++) {
        struct test_publisher publisher;
        struct test_subscriber slow, fast[2];
        struct ring ring;

        evicting_make(&ring, 12, starts[4], lanes);
        publisher_open(&publisher, &ring);
        subscriber_open(&slow, &ring, ring.log_ro, 7, &reliable);
        subscriber_open(&fast[0], &ring, ring.log_ro, 6, &reliable);
        subscriber_open(&fast[1], &ring, ring.log_ro, 8, &reliable_in_place);
        for (int i = 0; i < 200; i++) {
            publish_many(&publisher, 1);
            for (int r = 0; r < 2; r++) {
                assert_int_equal(drain(&fast[r]), 0);
                assert_int_equal(aether_subscriber_next(fast[r].handle), aether_publisher_next(publisher.handle));
            }
        }
        assert_int_not_equal(ae_evicted(evict_word(&ring, 7)), 0);
        assert_true(evict_word(&ring, 6) == ADMITTED && evict_word(&ring, 8) == ADMITTED);
        expect_eviction(&slow);
        assert_true(drain(&slow) > 0);
        for (int r = 0; r < 2; r++)
            subscriber_close(&fast[r]);
        subscriber_close(&slow);
        publisher_close(&publisher);
        ring_free(&ring);
    }
}

/* The ring has free slots, but the lane is full: only the subscriber that holds the lane's room is evicted. */
static void lane_room_evicts(void **state) {
    static unsigned char data[LANE];
    struct test_publisher publisher;
    struct test_subscriber slow, fast, in_place, half;
    aether_message held;
    struct ring ring;

    (void)state;
    evicting_make(&ring, 16, 0, true);
    publisher_open(&publisher, &ring);
    subscriber_open(&slow, &ring, ring.log_ro, 0, &reliable);
    subscriber_open(&fast, &ring, ring.log_ro, 1, &reliable);
    subscriber_open(&in_place, &ring, ring.log_ro, 2, &reliable_in_place);
    subscriber_open(&half, &ring, ring.log_ro, 3, &reliable);
    for (int i = 0; i < 4; i++)
        assert_int_equal(aether_publish(publisher.handle, data, 1024), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(aether_receive(fast.handle, &held), 1);
    for (int i = 0; i < 2; i++)
        assert_int_equal(aether_receive(half.handle, &held), 1);
    assert_int_equal(aether_receive(in_place.handle, &held), 1);
    assert_true(aether_still_valid(in_place.handle, &held));
    for (unsigned record = 0; record < 4; record++)
        assert_int_equal(evict_word(&ring, record), ADMITTED);
    assert_int_equal(aether_publish(publisher.handle, data, 1024), 0);
    assert_int_equal(evict_word(&ring, 0), EVICTED_LANE(LANE));
    assert_int_equal(evict_word(&ring, 1), ADMITTED);
    assert_int_equal(evict_word(&ring, 2), EVICTED_LANE(LANE));
    assert_int_equal(evict_word(&ring, 3), ADMITTED); /* holds room, but none that the publisher needed */
    assert_true(is_active(&ring, 3));
    assert_false(aether_still_valid(in_place.handle, &held));
    expect_eviction_for(&slow, "held 4 KiB of lane room; "); /* its next message is gone from the lane */
    assert_int_equal(aether_receive(slow.handle, &held), 1);
    assert_true(held.lost >= 1 && held.seq == 0);
    assert_int_equal(aether_receive(fast.handle, &held), 1);
    assert_true(held.lost == 0 && held.seq == 4 && held.len == 1024);
    for (int i = 0; i < 100; i++) { /* and whatever the size: never full */
        assert_int_equal(aether_publish(publisher.handle, data, (size_t)i * 40), 0);
        if (i % 3 == 0)
            (void)aether_receive(fast.handle, &held);
    }
    assert_conserved(&fast);
    assert_conserved(&slow);
    assert_conserved(&in_place);
    subscriber_close(&slow);
    subscriber_close(&fast);
    assert_conserved(&half);
    subscriber_close(&in_place);
    subscriber_close(&half);
    publisher_close(&publisher);
    ring_free(&ring);
}

static void records_are_used_again(void **state) {
    struct test_publisher publisher;
    struct test_subscriber subscriber;
    struct ring ring;

    (void)state;
    evicting_make(&ring, 8, starts[4], false);
    publisher_open(&publisher, &ring);
    for (uint64_t generation = 1; generation <= 50; generation++) {
        subscriber_open(&subscriber, &ring, ring.log_ro, 3, &reliable);
        assert_int_equal(evict_word(&ring, 3), generation << 32);
        publish_many(&publisher, 8);
        assert_int_equal(drain(&subscriber), 0);
        if (generation % 3 != 0) { /* else it leaves without being evicted */
            publish_many(&publisher, 30);
            assert_int_equal(evict_word(&ring, 3), ae_evict_word(generation << 32, AE_EVICT_LAG, 8));
            if (generation % 3 == 1) /* else it dies before it has seen that, its bit still set */
                expect_eviction(&subscriber);
        }
        if (generation % 3 == 2)
            guarded_unmap(subscriber.copies, subscriber.copies_bytes);
        else
            subscriber_close(&subscriber);
    }
    publisher_close(&publisher);
    ring_free(&ring);
}

/* A subscriber that reads retained messages first may lose those; from its join on it holds the publisher back. */
static void evicted_while_catching_up(void **state) {
    const aether_subscribe_options oldest = {.from = AETHER_FROM_OLDEST};

    (void)state;
    for (uint64_t read = 0; read <= CAPACITY; read += 4) {
        struct test_publisher publisher;
        struct test_subscriber subscriber;
        struct ring ring;

        evicting_make(&ring, 8, starts[2], false);
        publisher_open(&publisher, &ring);
        publish_many(&publisher, 20);
        subscriber_open(&subscriber, &ring, ring.log_ro, 3, &oldest);
        for (uint64_t i = 0; i < read; i++)
            expect_message(&subscriber, starts[2] + 4 + i);
        publish_many(&publisher, 8);
        assert_int_equal(evict_word(&ring, 3), ADMITTED);
        publish_many(&publisher, 40);
        assert_int_equal(evict_word(&ring, 3), EVICTED_LAG(8));
        expect_eviction(&subscriber);
        assert_int_equal(drain(&subscriber), 20 + 48 - 4 - read - CAPACITY / 2);
        assert_int_equal(aether_subscriber_next(subscriber.handle), aether_publisher_next(publisher.handle));
        subscriber_close(&subscriber);
        publisher_close(&publisher);
        ring_free(&ring);
    }
}

/* ---- gaps ---- */

/* The claim may be a batch behind the slots. Gaps begin with what is overwritten, and everything after them comes. */
static void claim_behind_the_slots(void **state) {
    (void)state;
    for (size_t s = 0; s < STARTS * 5 * 20; s++) {
        const uint64_t start = starts[s % STARTS], ahead = s / STARTS % 5, published = s / STARTS / 5 + 8;
        unsigned char data[24];
        struct test_publisher publisher;
        struct test_subscriber subscriber;
        struct ring ring;
        uint64_t lost;

        ring_make(&ring, 8, 24, start);
        publisher_open(&publisher, &ring);
        subscriber_open(&subscriber, &ring, ring.log_ro, 0, &best_effort);
        publish_many(&publisher, published);
        for (uint64_t i = 0; i < ahead; i++)
            ae_write_slot(publisher.handle, start + published + i, data, payload_fill(data, start + published + i, 24));
        lost = drain(&subscriber);
        assert_int_equal(aether_subscriber_next(subscriber.handle), start + published + ahead);
        assert_int_equal(lost != 0, published + ahead > 8);
        assert_true(lost == 0 || (lost >= published + ahead - 8 && lost <= published + ahead - 4));
        subscriber_close(&subscriber);
        publisher_close(&publisher);
        ring_free(&ring);
    }
}

/* Few or no two messages fit beside each other: a gap ends with the newest, or with the one being overwritten. */
static void gaps_of_large_messages(void **state) {
    static unsigned char data[LANE];

    (void)state;
    for (size_t len = 1000; len <= LANE; len += 516) {
        struct test_publisher publisher;
        struct test_subscriber subscriber;
        struct ring ring;
        aether_message message;
        aether_loan loan;
        const uint64_t fit = LANE / ((len + 63) / 64 * 64);

        evicting_make(&ring, 0, starts[3], true);
        publisher_open(&publisher, &ring);
        subscriber_open(&subscriber, &ring, ring.log_ro, 0, &best_effort);
        for (uint64_t round = 1; round < 40; round++) {
            const uint64_t before = aether_publisher_next(publisher.handle);
            for (uint64_t i = 0; i < round; i++)
                assert_int_equal(aether_publish(publisher.handle, data, len), 0);
            if (round > fit) { /* one gap, whatever the reasons */
                assert_int_equal(aether_receive(subscriber.handle, &message), 1);
                assert_true(message.seq == before && message.lost >= round - fit && message.lost < round);
            }
            while (aether_receive(subscriber.handle, &message) == 1)
                assert_true(message.lost == 0 && message.len == len);
            assert_int_equal(message.seq, before + round - 1); /* the newest came last */
            assert_conserved(&subscriber);
            assert_int_equal(aether_publish(publisher.handle, data, len), 0);
            if (aether_loan_take(publisher.handle, LANE, &loan) != 0) /* overwrites all */
                fail();
            assert_int_equal(aether_receive(subscriber.handle, &message), 1);
            assert_true(message.lost == 1 && message.seq == before + round);
            expect_nothing(&subscriber);
            assert_int_equal(aether_loan_discard(publisher.handle, &loan), 0);
        }
        subscriber_close(&subscriber);
        publisher_close(&publisher);
        ring_free(&ring);
    }
}

/* ---- latest ---- */

static void latest_takes_the_newest(void **state) {
    (void)state;
    for (size_t s = 0; s < STARTS * 12; s++) {
        const bool lanes = s / STARTS % 2;
        const aether_subscribe_options latest = {.policy = AETHER_LATEST,
                                                 .from = (aether_from)(s / STARTS / 2 % 3),
                                                 .last = 3,
                                                 .views = (aether_views)(s / STARTS / 6)};
        const uint64_t start = starts[s % STARTS];
        uint64_t delivered = 0, skipped = 0;
        aether_subscriber_stats stats;
        struct test_publisher publisher;
        struct test_subscriber none, subscriber;
        struct ring ring;

        evicting_make(&ring, 0, start, lanes);
        publisher_open(&publisher, &ring);
        subscriber_open(&none, &ring, ring.log_ro, 0, &latest);
        expect_nothing(&none);
        publish_many(&publisher, 5);
        subscriber_open(&subscriber, &ring, ring.log_ro, 0, &latest);
        if (latest.from != AETHER_FROM_NEW) {
            expect_message(&subscriber, start + 4); /* the current value */
            delivered++;
        }
        expect_nothing(&subscriber);
        for (uint64_t burst = 1; burst < 60; burst += 7) {
            publish_many(&publisher, burst);
            expect_message(&subscriber, aether_publisher_next(publisher.handle) - 1);
            expect_nothing(&subscriber);
            delivered++;
            skipped += burst - 1;
        }
        aether_subscriber_get_stats(subscriber.handle, &stats);
        assert_true(stats.delivered == delivered && stats.skipped == skipped && stats.lost == 0 && stats.gaps == 0);
        assert_int_equal(stats.next, aether_publisher_next(publisher.handle));
        assert_conserved(&subscriber);
        expect_message(&none, aether_publisher_next(publisher.handle) - 1);
        assert_conserved(&none);
        subscriber_close(&none);
        subscriber_close(&subscriber);
        publisher_close(&publisher);
        ring_free(&ring);
    }
}

/* The newest message may lie behind others that weren't received. The error names its sequence, not theirs. */
static void latest_names_the_damaged_slot(void **state) {
    const aether_subscribe_options latest = {.policy = AETHER_LATEST};
    struct test_publisher publisher;
    struct test_subscriber subscriber;
    aether_message message;
    struct ring ring;

    (void)state;
    evicting_make(&ring, 0, 40, false);
    publisher_open(&publisher, &ring);
    subscriber_open(&subscriber, &ring, ring.log_ro, 0, &latest);
    publish_many(&publisher, 5);
    ae_store_release(ring_tag(&ring, 44), ae_tag(44, AE_KIND_LANE, 0)); /* there are no lanes */
    assert_int_equal(aether_receive(subscriber.handle, &message), -EBADMSG);
    assert_non_null(strstr(aether_errmsg(), "sequence 44 "));
    subscriber_close(&subscriber);
    publisher_close(&publisher);
    ring_free(&ring);
}

/* ---- the stream's end ---- */

static void expect_end(struct test_subscriber *subscriber, aether_stream end) {
    assert_int_equal(aether_subscriber_stream(subscriber->handle), end);
    assert_int_equal(aether_wait(subscriber->handle, AETHER_FOREVER), 1); /* the end is reported once */
    assert_int_equal(aether_wait(subscriber->handle, 0), 0);
    assert_int_equal(aether_subscriber_stream(subscriber->handle), end);
}

static void ends_come_after_the_last_message(void **state) {
    (void)state;
    for (int policy = AETHER_RELIABLE; policy <= AETHER_LATEST; policy++) {
        const aether_subscribe_options options = {.policy = (aether_policy)policy};
        const uint64_t step = policy == AETHER_LATEST ? 3 : 1;
        struct test_publisher publisher;
        struct test_subscriber subscriber;
        struct ring ring;

        evicting_make(&ring, 0, 0, false);
        subscriber_open(&subscriber, &ring, ring.log_ro, 0, &options);
        assert_int_equal(aether_subscriber_stream(subscriber.handle), AETHER_STREAM_NONE);
        expect_nothing(&subscriber);
        for (uint64_t round = 0; round < 12; round++) {
            const bool dies = round % 3 == 1;
            publisher_open(&publisher, &ring);
            assert_int_equal(aether_subscriber_stream(subscriber.handle), AETHER_STREAM_OPEN);
            expect_nothing(&subscriber);
            if (round % 4 != 3)
                publish_many(&publisher, 3);
            if (dies)
                publisher_die(&publisher);
            else
                publisher_close(&publisher);
            for (uint64_t seq = aether_subscriber_next(subscriber.handle);
                 round % 4 != 3 && seq < aether_publisher_next(publisher.handle); seq += step) {
                assert_int_equal(aether_subscriber_stream(subscriber.handle), AETHER_STREAM_OPEN);
                assert_int_equal(aether_wait(subscriber.handle, AETHER_FOREVER), 1);
                expect_message(&subscriber, seq + step - 1);
            }
            expect_end(&subscriber, dies ? AETHER_STREAM_DIED : AETHER_STREAM_CLOSED);
        }
        subscriber_close(&subscriber);
        subscriber_open(&subscriber, &ring, ring.log_ro, 0, &options); /* from new: that isn't its end */
        assert_int_equal(aether_subscriber_stream(subscriber.handle), AETHER_STREAM_NONE);
        subscriber_close(&subscriber);
        ring_free(&ring);
    }
}

/*
 * Opens subscribers one after the other. Each says `before` when it has received what is retained, and the right end
 * after a publisher has come and gone. before: the end of the retained messages, or NONE if there are none.
 */
static void expect_a_run(const struct ring *ring, const aether_subscribe_options *options, aether_stream before) {
    for (int how = 0; how < 3; how++) {
        struct test_publisher publisher;
        struct test_subscriber subscriber;

        subscriber_open(&subscriber, ring, ring->log_ro, 0, options);
        while (aether_subscriber_next(subscriber.handle) != subscriber.sub.protected_seq) {
            aether_message message;
            assert_int_equal(aether_subscriber_stream(subscriber.handle), AETHER_STREAM_OPEN);
            assert_int_equal(aether_receive(subscriber.handle, &message), 1);
        }
        if (before == AETHER_STREAM_NONE)
            assert_int_equal(aether_wait(subscriber.handle, 1), 0);
        else
            expect_end(&subscriber, before);
        assert_int_equal(aether_subscriber_stream(subscriber.handle), before);
        if (how != 0) {
            publisher_open(&publisher, ring);
            assert_int_equal(aether_subscriber_stream(subscriber.handle), AETHER_STREAM_OPEN);
            if (how == 1)
                publisher_close(&publisher);
            else
                publisher_die(&publisher);
            before = how == 1 ? AETHER_STREAM_CLOSED : AETHER_STREAM_DIED;
            expect_end(&subscriber, before);
        }
        subscriber_close(&subscriber);
        if (options->from == AETHER_FROM_NEW || subscriber.sub.joined == subscriber.sub.protected_seq)
            before = AETHER_STREAM_NONE;
    }
}

/*
 * Every policy and start, on a fresh topic, on one where publishers came without a message, and on one with messages.
 */
static void the_second_run_is_like_the_first(void **state) {
    (void)state;
    for (int n = 0; n < 9; n++) {
        const aether_subscribe_options options = {
            .policy = (aether_policy)(n % 3), .from = (aether_from)(n / 3), .last = n / 3 == AETHER_FROM_LAST ? 2 : 0};
        struct test_publisher publisher;
        struct ring ring;

        evicting_make(&ring, 0, 0, false);
        for (int run = 0; run < 2; run++)
            expect_a_run(&ring, &options, AETHER_STREAM_NONE);
        publisher_open(&publisher, &ring);
        publish_many(&publisher, 3);
        publisher_close(&publisher);
        for (int run = 0; run < 2; run++) {
            expect_a_run(&ring, &options,
                         options.from == AETHER_FROM_NEW ? AETHER_STREAM_NONE
                         : run == 0                      ? AETHER_STREAM_CLOSED
                                                         : AETHER_STREAM_DIED);
        }
        ring_free(&ring);
    }
}

/* A stream has two publishers. One dies before the subscriber is opened, and another in the same record may after. */
static void only_deaths_after_the_join_count(void **state) {
    (void)state;
    for (int n = 0; n < 18; n++) {
        const bool another = n % 2 != 0;
        const aether_subscribe_options options = {.policy = (aether_policy)(n / 2 % 3),
                                                  .from = n / 6 == 0 ? AETHER_FROM_NEW : AETHER_FROM_OLDEST};
        const bool message = n / 6 == 2, counts = another || message;
        struct test_publisher a, b;
        struct test_subscriber subscriber;
        aether_message received;
        struct ring ring;

        evicting_make(&ring, 0, 0, false);
        publisher_open_as(&a, &ring, 0, ring.cursors_ro);
        publisher_open_as(&b, &ring, 1, ring.cursors_ro);
        if (message)
            publish_many(&b, 1);
        publisher_die(&b);
        subscriber_open(&subscriber, &ring, ring.log_ro, 0, &options);
        if (message)
            assert_int_equal(aether_receive(subscriber.handle, &received), 1);
        assert_int_equal(aether_subscriber_stream(subscriber.handle), AETHER_STREAM_OPEN);
        if (another) {
            publisher_open_as(&b, &ring, 1, ring.cursors_ro);
            publisher_die(&b);
        }
        assert_int_equal(aether_subscriber_stream(subscriber.handle), AETHER_STREAM_OPEN);
        publisher_close(&a);
        expect_end(&subscriber, counts ? AETHER_STREAM_DIED : AETHER_STREAM_CLOSED);
        subscriber_close(&subscriber);
        ring_free(&ring);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wait_topic_waits),
        cmocka_unit_test(evicted_at_the_lag_and_not_before),
        cmocka_unit_test(told_once_after_what_is_left),
        cmocka_unit_test(polls_tell_it_too),
        cmocka_unit_test(evicted_at_the_end),
        cmocka_unit_test(only_the_slow_one),
        cmocka_unit_test(lane_room_evicts),
        cmocka_unit_test(records_are_used_again),
        cmocka_unit_test(evicted_while_catching_up),
        cmocka_unit_test(claim_behind_the_slots),
        cmocka_unit_test(gaps_of_large_messages),
        cmocka_unit_test(latest_takes_the_newest),
        cmocka_unit_test(latest_names_the_damaged_slot),
        cmocka_unit_test(ends_come_after_the_last_message),
        cmocka_unit_test(the_second_run_is_like_the_first),
        cmocka_unit_test(only_deaths_after_the_join_count),
    };

    alarm(120); /* an endless wait ends here */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
