/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A burst does what aether_publish() does, whatever happens to the publisher and the topic between two of its messages.
 * An array does what one call a message would do, for all of its messages or for none.
 */
#include "ring/ring_test.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define MESSAGES 4000u
#define WORDS_BYTES 128u /* of the longest message */

struct scene {
    struct ring ring;
    struct test_publisher publisher, other;
    struct test_subscriber subscriber;
    size_t len;
    uint64_t random, seq; /* of the next message to be received */
};

static void expect(struct scene *s) {
    aether_message message;
    uint64_t words[16];

    fill_bytes(words, s->seq, WORDS_BYTES);
    assert_int_equal(aether_receive(s->subscriber.handle, &message), 1);
    assert_int_equal(message.seq, s->seq);
    assert_int_equal(message.lost, 0);
    assert_int_equal(message.len, s->len);
    assert_memory_equal(message.data, words, s->len);
    s->seq++;
}

static void expect_until(struct scene *s, uint64_t end) {
    aether_message message;

    while (s->seq != end)
        expect(s);
    assert_int_equal(aether_receive(s->subscriber.handle, &message), 0);
}

/* Between two messages of a burst: nothing, another call on the same publisher, or one on another publisher. */
static uint64_t disturb(struct scene *s, uint64_t next) {
    uint64_t words[16];
    aether_loan loan;

    fill_bytes(words, next, WORDS_BYTES);
    switch (next_random(&s->random) % 16) {
    case 0:
        return aether_publish(s->publisher.handle, words, s->len) == 0;
    case 1:
        return aether_publish(s->other.handle, words, s->len) == 0;
    case 2: /* committing a loan claims a sequence, too */
        if (aether_loan_take(s->publisher.handle, s->len, &loan) != 0)
            return 0;
        memcpy(loan.data, words, s->len);
        if (aether_loan_commit(s->publisher.handle, &loan) == 0)
            return 1;
        assert_int_equal(aether_loan_discard(s->publisher.handle, &loan), 0);
        return 0;
    case 3:
        (void)aether_publisher_wait(s->publisher.handle, s->len, 0);
        return 0;
    default:
        return 0;
    }
}

/* Inlined, so that len is a constant where the caller passes one. */
static inline void __attribute__((always_inline)) run(struct scene *s, size_t len, uint64_t end) {
    aether_burst burst = aether_burst_begin(s->publisher.handle, len);
    uint64_t next = s->seq, fulls = 0;

    while ((int64_t)(end - next) > 0) {
        uint64_t words[16];
        fill_bytes(words, next, WORDS_BYTES);
        const int rc = aether_burst_publish(&burst, words);
        assert_true(rc == 0 || rc == AETHER_FULL);
        if (rc == 0) {
            next++;
            assert_int_equal(aether_publisher_next(s->publisher.handle), next);
        } else {
            fulls++;
            assert_int_equal(next - s->seq, s->ring.geometry.capacity);
        }
        next += disturb(s, next);
        if (rc != 0 || next_random(&s->random) % 64 == 0)
            expect_until(s, next);
    }
    expect_until(s, next);
    assert_true(fulls > 0 || s->ring.geometry.lane_bytes != 0);
}

static void run_len(struct scene *s, uint64_t end) {
    switch (s->len) {
    case 8:
        run(s, 8, end);
        break;
    case 16:
        run(s, 16, end);
        break;
    case 24:
        run(s, 24, end);
        break;
    case 32:
        run(s, 32, end);
        break;
    case 40:
        run(s, 40, end);
        break;
    case 48:
        run(s, 48, end);
        break;
    case 56:
        run(s, 56, end);
        break;
    case 64:
        run(s, 64, end);
        break;
    default:
        run(s, s->len, end);
    }
}

static void all_of(size_t len, aether_publishers publishers, uint64_t start) {
    static const aether_subscribe_options options;
    const aether_topic_config config = {
        .capacity = 16, .max_message = len, .start_seq = start, .publishers = publishers};
    struct scene s = {.len = len, .random = len + start, .seq = start};

    ring_make_as(&s.ring, &config);
    publisher_open(&s.publisher, &s.ring);
    publisher_open_as(&s.other, &s.ring, 1, s.ring.cursors_ro);
    subscriber_open(&s.subscriber, &s.ring, s.ring.log_ro, 0, &options);
    run_len(&s, start + MESSAGES);
    publisher_close(&s.other); /* the first publisher may get the bias again */
    publisher_open_as(&s.other, &s.ring, 1, s.ring.cursors_ro);
    run_len(&s, s.seq + MESSAGES);
    subscriber_close(&s.subscriber);
    publisher_close(&s.other);
    publisher_close(&s.publisher);
    ring_free(&s.ring);
}

static void every_length(void **state) {
    static const size_t lens[] = {1, 5, 8, 16, 24, 32, 40, 48, 56, 64, 72, 127, 128};
    static const uint64_t starts[] = {0, (1ull << 48) - 3, UINT64_MAX - 2};

    (void)state;
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        for (size_t j = 0; j < sizeof starts / sizeof starts[0]; j++) {
            all_of(lens[i], AETHER_PUBLISHERS_SHARED, starts[j]);
            all_of(lens[i], AETHER_PUBLISHERS_UNBIASED, starts[j]);
        }
    }
}

/* Lengths of 0, above inline_max, and above max_message. */
static void other_lengths(void **state) {
    static const aether_subscribe_options options;
    const aether_topic_config config = {.capacity = 64, .max_message = 4096, .inline_max = 24, .lane_bytes = 1 << 16};
    struct scene s = {.len = 64};
    uint64_t words[1024] = {0};
    aether_message message;

    (void)state;
    ring_make_as(&s.ring, &config);
    publisher_open(&s.publisher, &s.ring);
    subscriber_open(&s.subscriber, &s.ring, s.ring.log_ro, 0, &options);
    aether_burst lane = aether_burst_begin(s.publisher.handle, 64);
    aether_burst empty = aether_burst_begin(s.publisher.handle, 0);
    aether_burst beyond = aether_burst_begin(s.publisher.handle, sizeof words);
    for (unsigned i = 0; i < 1000; i++) {
        fill_bytes(words, s.seq, WORDS_BYTES);
        assert_int_equal(aether_burst_publish(&lane, words), 0);
        expect(&s);
        assert_int_equal(aether_burst_publish(&beyond, words), -EMSGSIZE);
        assert_int_equal(aether_burst_publish(&empty, NULL), 0);
        assert_int_equal(aether_receive(s.subscriber.handle, &message), 1);
        assert_int_equal(message.len, 0);
        s.seq++;
    }
    subscriber_close(&s.subscriber);
    publisher_close(&s.publisher);
    ring_free(&s.ring);
}

/* Every other slot isn't 16-byte aligned, so an 8-byte message mustn't be written by one store of 16 bytes. */
static void odd_slots(void **state) {
    static const aether_subscribe_options options;
    const aether_topic_config config = {.capacity = 16, .max_message = 16};
    struct scene s = {.len = 8};

    (void)state;
    ring_make_as(&s.ring, &config);
    assert_int_equal(s.ring.geometry.slot_size, 24);
    publisher_open(&s.publisher, &s.ring);
    publisher_open_as(&s.other, &s.ring, 1, s.ring.cursors_ro);
    subscriber_open(&s.subscriber, &s.ring, s.ring.log_ro, 0, &options);
    run_len(&s, MESSAGES);
    subscriber_close(&s.subscriber);
    publisher_close(&s.other);
    publisher_close(&s.publisher);
    ring_free(&s.ring);
}

static inline void __attribute__((always_inline)) run_array(struct scene *s, size_t len) {
    unsigned char messages[8 * 128];
    uint64_t words[16], fulls = 0, next = s->seq;

    for (unsigned turn = 0; turn < MESSAGES; turn++) {
        const uint64_t count = next_random(&s->random) % 9, room = s->ring.geometry.capacity - (next - s->seq);
        for (uint64_t i = 0; i < count; i++) {
            fill_bytes(words, next + i, WORDS_BYTES);
            memcpy(messages + i * len, words, len);
        }
        const int rc = aether_publish_array(s->publisher.handle, messages, len, count);
        assert_int_equal(rc, count > room ? AETHER_FULL : 0);
        fulls += rc != 0;
        next += rc == 0 ? count : 0;
        assert_int_equal(aether_publisher_next(s->publisher.handle), next);
        if (rc != 0 || next_random(&s->random) % 8 == 0)
            expect_until(s, next);
    }
    expect_until(s, next);
    assert_true(fulls > 0);
    assert_int_equal(aether_publish_array(s->publisher.handle, messages, len, 9), -E2BIG);
    assert_int_equal(aether_publish_array(s->publisher.handle, messages, 129, 2), -EMSGSIZE);
    expect_until(s, next);
}

static void arrays(void **state) {
    static const size_t lens[] = {8, 32, 64, 1, 100, 128};
    static const size_t inline_maxes[] = {128, 24}; /* with the second, some messages lie in a lane */
    static const aether_subscribe_options options;

    (void)state;
    for (size_t i = 0; i < 2 * sizeof lens / sizeof lens[0]; i++) {
        const size_t len = lens[i / 2];
        const aether_topic_config config = {.capacity = 16, .max_message = 128, .inline_max = inline_maxes[i % 2]};
        struct scene s = {.len = len, .random = len};
        ring_make_as(&s.ring, &config);
        publisher_open(&s.publisher, &s.ring);
        subscriber_open(&s.subscriber, &s.ring, s.ring.log_ro, 0, &options);
        if (len == 8)
            run_array(&s, 8);
        else if (len == 32)
            run_array(&s, 32);
        else if (len == 64)
            run_array(&s, 64);
        else
            run_array(&s, len);
        subscriber_close(&s.subscriber);
        publisher_close(&s.publisher);
        ring_free(&s.ring);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_length),
        cmocka_unit_test(other_lengths),
        cmocka_unit_test(odd_slots),
        cmocka_unit_test(arrays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
