/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/claim.h"
#include "ring/ring_test.h"
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* Sequences just below 2^47, 2^48, 2^63 and 2^64, where truncated or signed sequences wrap. */
static const uint64_t starts[] = {0, (1ull << 47) - 3, (1ull << 48) - 3, (1ull << 63) - 3, UINT64_MAX - 2};
#define STARTS (sizeof starts / sizeof starts[0])
#define CAPACITY 8u

static uint64_t word_of(const struct ring *ring) {
    return ae_load_relaxed(&ring->log->claim.claim);
}

static void ring_for(struct ring *ring, aether_publishers publishers, uint64_t start) {
    const aether_topic_config config = {
        .capacity = CAPACITY, .max_message = 24, .start_seq = start, .publishers = publishers};

    ring_make_as(ring, &config);
}

/* A message holds its publisher's record and how many messages that publisher had sent before. */
static int publish(struct test_publisher *publisher, uint64_t count) {
    const uint64_t payload[2] = {publisher->pub.record, count};

    return aether_publish(publisher->handle, payload, sizeof payload);
}

static void commit(struct test_publisher *publisher, uint64_t seq, uint64_t count) {
    const uint64_t payload[2] = {publisher->pub.record, count};

    ae_write_slot(publisher->handle, seq, payload, sizeof payload);
}

static void expect(struct test_subscriber *subscriber, uint64_t seq, uint64_t record, uint64_t count) {
    aether_message message;

    assert_int_equal(aether_receive(subscriber->handle, &message), 1);
    assert_int_equal(message.lost, 0);
    assert_int_equal(message.seq, seq);
    assert_int_equal(message.len, 16);
    assert_int_equal(((const uint64_t *)message.data)[0], record);
    assert_int_equal(((const uint64_t *)message.data)[1], count);
}

static void expect_nothing(struct test_subscriber *subscriber) {
    aether_message message;

    assert_int_equal(aether_receive(subscriber->handle, &message), 0);
}

/* ---- which publisher has the bias ---- */

static void one_is_biased_and_two_are_not(void **state) {
    (void)state;
    for (size_t s = 0; s < STARTS; s++) {
        const uint64_t start = starts[s];
        struct test_publisher a, b;
        struct test_subscriber subscriber;
        struct ring ring;

        ring_for(&ring, AETHER_PUBLISHERS_SHARED, start);
        subscriber_open(&subscriber, &ring, ring.log_ro, 0, &(aether_subscribe_options){0});
        publisher_open_as(&a, &ring, 0, ring.cursors_ro);
        assert_int_equal(publish(&a, 0), 0);
        assert_int_equal(word_of(&ring), ae_claim_word(start + 1, AE_MODE_BIASED, 0));
        assert_int_equal(publish(&a, 1), 0);
        assert_int_equal(word_of(&ring), ae_claim_word(start + 1, AE_MODE_BIASED, 0)); /* not written */
        assert_int_equal(ae_claim_end(ring.log, &ring.geometry, start), start + 2);

        publisher_open_as(&b, &ring, 1, ring.cursors_ro);
        assert_int_equal(aether_publisher_next(b.handle), start + 2);
        assert_int_equal(publish(&a, 2), 0); /* until b publishes nothing changes */
        assert_int_equal(word_of(&ring), ae_claim_word(start + 1, AE_MODE_BIASED, 0));
        assert_int_equal(publish(&b, 0), 0);
        assert_int_equal(word_of(&ring), ae_claim_word(start + 4, AE_MODE_SHARED, 1));
        assert_int_equal(publish(&a, 3), 0);
        assert_int_equal(word_of(&ring), ae_claim_word(start + 5, AE_MODE_SHARED, 0));
        for (uint64_t i = 0; i < 3; i++)
            expect(&subscriber, start + i, 0, i);
        expect(&subscriber, start + 3, 1, 0);
        expect(&subscriber, start + 4, 0, 3);
        expect_nothing(&subscriber);

        publisher_close(&b);
        for (uint64_t i = 0; i < CAPACITY; i++) { /* alone again: the scan for room finds that out */
            assert_int_equal(publish(&a, 4 + i), 0);
            expect(&subscriber, start + 5 + i, 0, 4 + i);
            expect_nothing(&subscriber);
        }
        assert_int_equal(ae_claim_mode(word_of(&ring)), AE_MODE_BIASED);
        publisher_close(&a);
        assert_int_equal(word_of(&ring), ae_claim_word(start + 5 + CAPACITY, AE_MODE_SHARED, 0));
        subscriber_close(&subscriber);
        ring_free(&ring);
    }
}

static void unbiased_topics_never_are(void **state) {
    struct test_publisher a;
    struct ring ring;

    (void)state;
    ring_for(&ring, AETHER_PUBLISHERS_UNBIASED, 5);
    publisher_open_as(&a, &ring, 63, ring.cursors_ro);
    for (uint64_t i = 1; i < 100; i++) {
        assert_int_equal(publish(&a, i), 0);
        assert_int_equal(word_of(&ring), ae_claim_word(5 + i, AE_MODE_SHARED, 63));
    }
    publisher_close(&a);
    ring_free(&ring);
}

/* ---- a publisher that is stopped at some point of a biased publish ---- */

/* How far the owner of the bias has come in its publish when it is stopped. */
enum point { BEFORE_INTENT, AFTER_INTENT, AFTER_CHECK, HALF_WRITTEN, POINTS };

/*
 * The owner of the bias is stopped; the other publisher revokes the bias and publishes while there is room. If the
 * owner has stored its intent, the owner's slot stays pending, and the other publisher stops one ring later. When the
 * owner goes on its message appears once, at the sequence that the revocation has left to it.
 */
static void stopped_owner_case(enum point point, uint64_t start) {
    const bool granted = point != BEFORE_INTENT;
    struct test_publisher a, b;
    struct test_subscriber subscriber;
    struct ring ring;
    uint64_t seq = start + 1, n = 0;

    ring_for(&ring, AETHER_PUBLISHERS_SHARED, start);
    subscriber_open(&subscriber, &ring, ring.log_ro, 0, &(aether_subscribe_options){0});
    publisher_open_as(&a, &ring, 0, ring.cursors_ro);
    publisher_open_as(&b, &ring, 1, ring.cursors_ro);
    ae_store_relaxed(&ring.log->stream.open, 1);
    assert_int_equal(publish(&a, 0), 0);
    ae_store_relaxed(&ring.log->stream.open, 3);
    expect(&subscriber, start, 0, 0);
    expect_nothing(&subscriber);
    if (point >= AFTER_INTENT)
        ae_store_release(&ring.log->publishers[0].intent, ae_intent(seq, 1));
    if (point == AFTER_CHECK || point == HALF_WRITTEN)
        a.pub.hot.next = seq + 1; /* it has loaded the claim word and still had the bias */
    if (point == HALF_WRITTEN)
        ae_store_release(ring_tag(&ring, seq), ae_tag_busy(seq));

    while (n < 3 * CAPACITY && publish(&b, n) == 0) {
        n++;
        if (!granted)
            expect(&subscriber, start + n, 1, n - 1);
        expect_nothing(&subscriber);
    }
    assert_int_equal(n, granted ? CAPACITY - 1 : 3 * CAPACITY); /* the ring has wrapped round to a's pending slot */
    assert_int_equal(ae_claim_mode(word_of(&ring)), AE_MODE_SHARED);

    if (point == AFTER_CHECK || point == HALF_WRITTEN)
        commit(&a, seq, 1);
    else
        assert_int_equal(publish(&a, 1), 0);
    if (granted)
        expect(&subscriber, seq++, 0, 1);
    for (uint64_t i = 0; granted && i < n; i++)
        expect(&subscriber, seq++, 1, i);
    if (!granted)
        expect(&subscriber, start + 1 + n, 0, 1);
    expect_nothing(&subscriber);
    assert_int_equal(publish(&b, n), 0);
    assert_int_equal(publish(&a, 2), 0);
    subscriber_close(&subscriber);
    publisher_close(&a);
    publisher_close(&b);
    ring_free(&ring);
}

static void stopped_owners_are_not_robbed(void **state) {
    (void)state;
    for (size_t s = 0; s < STARTS; s++) {
        for (int point = 0; point < POINTS; point++)
            stopped_owner_case((enum point)point, starts[s]);
    }
}

/* A publisher that dies while it revokes leaves REVOKING behind. The owner or another publisher ends that. */
static void revokers_may_die(void **state) {
    (void)state;
    for (int by_owner = 0; by_owner < 2; by_owner++) {
        for (int intent = 0; intent < 2; intent++) {
            const aether_subscribe_options oldest = {.from = AETHER_FROM_OLDEST};
            struct test_publisher a, b;
            struct test_subscriber subscriber;
            struct ring ring;

            ring_for(&ring, AETHER_PUBLISHERS_SHARED, 0);
            publisher_open_as(&a, &ring, 0, ring.cursors_ro);
            assert_int_equal(publish(&a, 0), 0);
            assert_int_equal(publish(&a, 1), 0);
            publisher_open_as(&b, &ring, 1, ring.cursors_ro);
            ae_store_relaxed(&ring.log->claim.claim, ae_claim_word(1, AE_MODE_REVOKING, 0));
            if (intent)
                ae_store_relaxed(&ring.log->publishers[0].intent, ae_intent(2, 1));
            assert_int_equal(ae_claim_reach(ring.log, 0), intent ? 3 : 2);
            assert_int_equal(ae_claim_end(ring.log, &ring.geometry, 0), 2); /* the intent may be taken back yet */
            subscriber_open(&subscriber, &ring, ring.log_ro, 0, &oldest);
            expect(&subscriber, 0, 0, 0);
            expect(&subscriber, 1, 0, 1);
            expect_nothing(&subscriber);
            if (by_owner) {
                assert_int_equal(publish(&a, 2), 0); /* it ends the bias itself, and takes the same sequence */
                expect(&subscriber, 2, 0, 2);
            } else {
                assert_int_equal(publish(&b, 0), 0);
                assert_int_equal(publish(&a, 2), 0);
                expect(&subscriber, 2, intent ? 0 : 1, intent ? 2 : 0);
                expect(&subscriber, 3, intent ? 1 : 0, intent ? 0 : 2);
            }
            assert_int_equal(ae_claim_mode(word_of(&ring)), AE_MODE_SHARED);
            subscriber_close(&subscriber);
            publisher_close(&a);
            publisher_close(&b);
            ring_free(&ring);
        }
    }
}

/*
 * A subscriber joins when the owner of the bias has stored an intent and hasn't loaded the claim word yet. If another
 * publisher revokes the bias without having seen the intent, the sequence goes to a publish that may have begun after
 * the join. The subscriber must get that message.
 */
static void joiners_start_below_what_may_be_taken_back(void **state) {
    (void)state;
    for (uint64_t mode = AE_MODE_BIASED; mode <= AE_MODE_REVOKING; mode++) {
        for (int first = 0; first < 2; first++) { /* of the bias: won by compare-and-swap */
            for (int written = 0; written < 2; written++) {
                const uint64_t seq = first ? 1 : 3, count = 2;
                struct test_publisher a, b;
                struct test_subscriber subscriber;
                struct ring ring;

                ring_for(&ring, AETHER_PUBLISHERS_SHARED, 0);
                publisher_open_as(&a, &ring, 0, ring.cursors_ro);
                publisher_open_as(&b, &ring, 1, ring.cursors_ro);
                for (uint64_t i = 0; i < seq; i++)
                    commit(&a, i, i);
                ae_store_relaxed(&ring.log->claim.claim, ae_claim_word(first ? seq : 1, mode, 0));
                ae_store_relaxed(&ring.log->publishers[0].intent, ae_intent(seq, count));
                for (uint64_t i = 0; written && i < count; i++)
                    commit(&a, seq + i, 7);
                subscriber_open(&subscriber, &ring, ring.log_ro, 0, &(aether_subscribe_options){0});
                assert_int_equal(aether_subscriber_next(subscriber.handle), written ? seq + count : seq);
                if (!written) { /* the revoking publisher had loaded the owner's intent before it was stored */
                    ae_store_relaxed(&ring.log->claim.claim, ae_claim_word(seq, AE_MODE_SHARED, 0));
                    assert_int_equal(publish(&b, 5), 0);
                    expect(&subscriber, seq, 1, 5);
                }
                expect_nothing(&subscriber);
                subscriber_close(&subscriber);
                publisher_close(&a);
                publisher_close(&b);
                ring_free(&ring);
            }
        }
    }
}

/* ---- repair ---- */

/* A claim of `count` slots, won or not; `committed` of them are committed, and others have claimed `behind` more. */
static void repair_case(bool won, uint64_t behind, uint64_t count, uint64_t committed, bool busy, uint64_t start) {
    struct test_publisher dead, other;
    struct test_subscriber subscriber;
    struct ring ring;
    aether_subscriber_stats stats;

    ring_for(&ring, AETHER_PUBLISHERS_UNBIASED, start);
    subscriber_open(&subscriber, &ring, ring.log_ro, 0, &(aether_subscribe_options){0});
    publisher_open_as(&dead, &ring, 7, ring.cursors_ro);
    publisher_open_as(&other, &ring, 8, ring.cursors_ro);
    assert_int_equal(publish(&dead, 0), 0); /* so that `proved` isn't fresh */
    assert_int_equal(publish(&other, 0), 0);
    const uint64_t seq = start + 2;
    if (won)
        assert_int_equal(ae_claim_next(&dead.pub, count), 0);
    else
        ae_store_release(&ring.log->publishers[7].intent, ae_intent(seq, count));
    for (uint64_t i = 0; won && i < committed; i++)
        commit(&dead, seq + i, 1 + i);
    if (won && busy && committed < count)
        ae_store_relaxed(ring_tag(&ring, seq + committed), ae_tag_busy(seq + committed));
    for (uint64_t i = 0; i < behind; i++)
        assert_int_equal(publish(&other, 1 + i), 0);
    assert_int_equal(ae_claim_repair(ring.log, &ring.geometry, 7), won ? count - committed : 0);
    assert_int_equal(ae_claim_repair(ring.log, &ring.geometry, 7), 0);
    expect(&subscriber, start, 7, 0);
    expect(&subscriber, start + 1, 8, 0);
    for (uint64_t i = 0; won && i < committed; i++)
        expect(&subscriber, seq + i, 7, 1 + i);
    for (uint64_t i = 0; i < behind; i++)
        expect(&subscriber, seq + (won ? count : 0) + i, 8, 1 + i);
    expect_nothing(&subscriber);
    aether_subscriber_get_stats(subscriber.handle, &stats);
    assert_int_equal(stats.aborted, won ? count - committed : 0);
    /* A successor on the same record and the other publisher go on. */
    free(dead.buffer);
    publisher_open_as(&dead, &ring, 7, ring.cursors_ro);
    for (uint64_t i = 0; i < 2 * CAPACITY; i++) {
        const uint64_t at = seq + (won ? count : 0) + behind + 2 * i;
        assert_int_equal(publish(&dead, i), 0);
        assert_int_equal(publish(&other, i), 0);
        expect(&subscriber, at, 7, i);
        expect(&subscriber, at + 1, 8, i);
        expect_nothing(&subscriber);
    }
    /* The next aetherd may repair the same death again. Then there is nothing to do. */
    assert_int_equal(ae_claim_repair(ring.log, &ring.geometry, 7), 0);
    subscriber_close(&subscriber);
    publisher_close(&dead);
    publisher_close(&other);
    ring_free(&ring);
}

static void repair_aborts_what_was_won_and_nothing_else(void **state) {
    (void)state;
    for (size_t s = 0; s < STARTS; s++) {
        for (uint64_t behind = 0; behind <= 2; behind++) {
            for (uint64_t count = 1; count <= 4; count++) {
                repair_case(false, behind, count, 0, false, starts[s]);
                for (uint64_t committed = 0; committed <= count; committed++) {
                    repair_case(true, behind, count, committed, false, starts[s]);
                    repair_case(true, behind, count, committed, true, starts[s]);
                }
            }
        }
    }
}

static void dead_owners_bias_ends(void **state) {
    (void)state;
    for (uint64_t mode = AE_MODE_BIASED; mode <= AE_MODE_REVOKING; mode++) {
        for (uint64_t count = 0; count <= 3; count++) { /* of the intent that it had stored; 0: it died before that */
            struct test_publisher dead, other;
            struct test_subscriber subscriber;
            struct ring ring;

            ring_for(&ring, AETHER_PUBLISHERS_SHARED, 0);
            subscriber_open(&subscriber, &ring, ring.log_ro, 0, &(aether_subscribe_options){0});
            publisher_open_as(&dead, &ring, 0, ring.cursors_ro);
            assert_int_equal(publish(&dead, 0), 0);
            assert_int_equal(publish(&dead, 1), 0);
            if (count != 0)
                ae_store_release(&ring.log->publishers[0].intent, ae_intent(2, count));
            ae_store_relaxed(&ring.log->claim.claim, ae_claim_word(1, mode, 0));
            assert_int_equal(ae_claim_repair(ring.log, &ring.geometry, 0), count);
            assert_int_equal(word_of(&ring), ae_claim_word(2 + count, AE_MODE_SHARED, 0));
            assert_int_equal(ae_claim_repair(ring.log, &ring.geometry, 0), 0);
            publisher_open_as(&other, &ring, 1, ring.cursors_ro);
            assert_int_equal(publish(&other, 9), 0);
            expect(&subscriber, 0, 0, 0);
            expect(&subscriber, 1, 0, 1);
            expect(&subscriber, 2 + count, 1, 9);
            subscriber_close(&subscriber);
            publisher_close(&other);
            free(dead.buffer);
            ring_free(&ring);
        }
    }
}

/* `proved` must not go back: a slow claimer with an old sequence comes after a fast one. */
static void proofs_only_rise(void **state) {
    struct test_publisher a, b, c;
    struct ring ring;

    (void)state;
    ring_for(&ring, AETHER_PUBLISHERS_UNBIASED, 0);
    publisher_open_as(&a, &ring, 0, ring.cursors_ro);
    publisher_open_as(&b, &ring, 1, ring.cursors_ro);
    publisher_open_as(&c, &ring, 2, ring.cursors_ro);
    for (uint64_t i = 1; i < 1000; i++) {
        const uint64_t seq = aether_publisher_next(a.handle);
        assert_int_equal(publish(&a, i), 0);
        assert_int_equal(publish(i % 3 == 0 ? &b : &c, i), 0);
        assert_true(ae_load_relaxed(&ring.log->publishers[0].proved) > seq);
    }
    publisher_close(&a);
    publisher_close(&b);
    publisher_close(&c);
    ring_free(&ring);
}

/* ---- subscribers while a claim is pending ---- */

/* A subscriber that has read everything up to an unfinished claim isn't slow. */
static void subscribers_at_a_hole_are_not_evicted(void **state) {
    const aether_topic_config config = {.capacity = CAPACITY, .max_message = 24, .slow = AETHER_SLOW_EVICT};
    struct test_publisher a, b;
    struct test_subscriber subscribers[2];
    struct ring ring;
    aether_message message;
    uint64_t n = 0;

    (void)state;
    ring_make_as(&ring, &config);
    publisher_open_as(&a, &ring, 0, ring.cursors_ro);
    publisher_open_as(&b, &ring, 1, ring.cursors_ro);
    for (uint32_t r = 0; r < 2; r++)
        subscriber_open(&subscribers[r], &ring, ring.log_ro, r, &(aether_subscribe_options){0});
    assert_int_equal(publish(&a, 0), 0);
    expect(&subscribers[0], 0, 0, 0);
    expect_nothing(&subscribers[0]); /* the other subscriber has read nothing */
    assert_int_equal(ae_claim_next(&a.pub, 1), 0);
    while (publish(&b, n) == 0)
        n++;
    assert_int_equal(n, CAPACITY - 1);
    assert_int_equal(ae_evicted(ae_load_relaxed(&ring.log->evict[0])), 0);
    assert_int_equal(ae_evicted(ae_load_relaxed(&ring.log->evict[1])), AE_EVICT_LAG);
    commit(&a, 1, 1);
    expect(&subscribers[0], 1, 0, 1);
    for (uint64_t i = 0; i < n; i++)
        expect(&subscribers[0], 2 + i, 1, i);
    expect_nothing(&subscribers[0]);
    assert_int_equal(publish(&b, n), 0);
    expect(&subscribers[0], 2 + n, 1, n);
    assert_int_equal(aether_receive(subscribers[1].handle, &message), -EOVERFLOW);
    assert_int_equal(aether_receive(subscribers[1].handle, &message), 1);
    assert_int_equal(message.lost, 3 + n - CAPACITY / 2); /* it goes on half a ring behind the newest */
    for (uint32_t r = 0; r < 2; r++)
        subscriber_close(&subscribers[r]);
    publisher_close(&a);
    publisher_close(&b);
    ring_free(&ring);
}

/* The newest committed message of a batch that isn't finished, with the bias and without. */
static void latest_takes_what_is_committed(void **state) {
    (void)state;
    for (int publishers = AETHER_PUBLISHERS_SHARED; publishers <= (int)AETHER_PUBLISHERS_UNBIASED; publishers++) {
        for (uint64_t committed = 0; committed <= 5; committed++) {
            struct test_publisher a;
            struct test_subscriber subscriber;
            struct ring ring;

            ring_for(&ring, (aether_publishers)publishers, 0);
            publisher_open_as(&a, &ring, 0, ring.cursors_ro);
            assert_int_equal(publish(&a, 0), 0);
            subscriber_open(&subscriber, &ring, ring.log_ro, 0,
                            &(aether_subscribe_options){.policy = AETHER_LATEST, .from = AETHER_FROM_OLDEST});
            expect(&subscriber, 0, 0, 0);
            assert_int_equal(ae_claim_next(&a.pub, 5), 0);
            for (uint64_t i = 0; i < committed; i++)
                commit(&a, 1 + i, 1 + i);
            if (committed > 0)
                expect(&subscriber, committed, 0, committed);
            expect_nothing(&subscriber);
            subscriber_close(&subscriber);
            publisher_close(&a);
            ring_free(&ring);
        }
    }
}

/* ---- anything in any order, against an account of it ---- */

#define PUBLISHERS 5u
#define STEPS 400000u

struct world {
    struct ring ring;
    struct test_publisher publishers[PUBLISHERS];
    uint64_t claimed[PUBLISHERS], left[PUBLISHERS],
        total[PUBLISHERS];     /* an open claim: first sequence, how many aren't committed */
    uint64_t sent[PUBLISHERS]; /* messages */
    bool here[PUBLISHERS], crowded;
    struct test_subscriber subscribers[2];
    uint64_t expected[2], aborted[2], received[2][PUBLISHERS];
    bool gone[CAPACITY * 4]; /* the message of this sequence was aborted */
    uint64_t end, aborts, fulls, random;
};

static void open_publisher(struct world *w, unsigned i) {
    publisher_open_as(&w->publishers[i], &w->ring, i, w->ring.cursors_ro);
    w->left[i] = 0;
    w->here[i] = true;
}

static void finish(struct world *w, unsigned i, uint64_t count) {
    for (; count > 0 && w->left[i] > 0; count--, w->left[i]--)
        commit(&w->publishers[i], w->claimed[i] + w->total[i] - w->left[i], w->sent[i]++);
}

static void end_publisher(struct world *w, unsigned i, bool dies) {
    if (dies) {
        for (uint64_t n = w->left[i]; n > 0; n--)
            w->gone[(w->claimed[i] + w->total[i] - n) % (CAPACITY * 4)] = true;
        assert_int_equal(ae_claim_repair(w->ring.log, &w->ring.geometry, i), w->left[i]);
        w->aborts += w->left[i];
        publisher_die(&w->publishers[i]);
    } else {
        finish(w, i, w->left[i]);
        publisher_close(&w->publishers[i]);
    }
    w->left[i] = 0;
    w->here[i] = false;
}

/* The lowest sequence whose slot is still needed: of the slowest subscriber, or of the oldest pending claim. */
static uint64_t lowest_needed(const struct world *w) {
    uint64_t low = w->end;

    for (unsigned r = 0; r < 2; r++) {
        const uint64_t cursor = ae_load_relaxed(&w->ring.cursors->records[r].cursor);
        if ((int64_t)(low - cursor) > 0)
            low = cursor;
    }
    for (unsigned i = 0; i < PUBLISHERS; i++) {
        const uint64_t pending = w->claimed[i] + w->total[i] - w->left[i];
        if (w->left[i] != 0 && (int64_t)(low - pending) > 0)
            low = pending;
    }
    return low;
}

static void start_claim(struct world *w, unsigned i, uint64_t count) {
    const int rc = ae_claim_next(&w->publishers[i].pub, count);

    if (rc != 0) {
        assert_int_equal(rc, AETHER_FULL);
        assert_true(w->end + count - lowest_needed(w) > CAPACITY);
        w->fulls++;
        return;
    }
    assert_true(w->end + count - lowest_needed(w) <= CAPACITY);
    assert_int_equal(aether_publisher_next(w->publishers[i].handle), w->end + count);
    w->claimed[i] = w->end;
    w->left[i] = w->total[i] = count;
    for (uint64_t n = 0; n < count; n++)
        w->gone[(w->end + n) % (CAPACITY * 4)] = false;
    w->end += count;
}

static void receive_one(struct world *w, unsigned r) {
    aether_message message;

    if (aether_receive(w->subscribers[r].handle, &message) == 1) {
        for (; w->expected[r] != message.seq; w->expected[r]++, w->aborted[r]++)
            assert_true(w->gone[w->expected[r] % (CAPACITY * 4)]);
        const uint64_t *payload = message.data;
        assert_true(message.lost == 0 && message.len == 16 && payload[0] < PUBLISHERS);
        assert_int_equal(payload[1], w->received[r][payload[0]]++);
        w->expected[r]++;
    }
    for (; w->expected[r] != aether_subscriber_next(w->subscribers[r].handle); w->expected[r]++, w->aborted[r]++)
        assert_true(w->gone[w->expected[r] % (CAPACITY * 4)]);
}

/* One step of publisher i. Unless `crowded`, the others leave, and publisher 0 gets the bias. */
static void publisher_step(struct world *w, unsigned i, uint64_t random) {
    if (!w->here[i]) {
        if (w->crowded || i == 0)
            open_publisher(w, i);
    } else if (random % 64 == 63 || (!w->crowded && i != 0 && random % 4 == 3)) {
        end_publisher(w, i, random >> 8 & 1);
    } else if (w->left[i] != 0) {
        if (random % 4 != 0)
            finish(w, i, 1 + (random >> 8) % 3);
    } else {
        start_claim(w, i, 1 + (random >> 8) % 4);
    }
}

static void any_order(aether_publishers publishers, uint64_t start) {
    static struct world w;
    uint64_t biased = 0;

    memset(&w, 0, sizeof w);
    w.random = start + (uint64_t)publishers;
    w.end = start;
    ring_for(&w.ring, publishers, start);
    for (unsigned r = 0; r < 2; r++) {
        subscriber_open(&w.subscribers[r], &w.ring, w.ring.log_ro, r, &(aether_subscribe_options){0});
        w.expected[r] = start;
    }
    for (unsigned step = 0; step < STEPS / STARTS; step++) {
        const uint64_t r = next_random(&w.random);
        if (step % 512 == 0)
            w.crowded = !w.crowded;
        biased += ae_claim_mode(word_of(&w.ring)) == AE_MODE_BIASED;
        if (r % 16 < 10)
            publisher_step(&w, (unsigned)(r >> 40) % PUBLISHERS, r >> 8);
        else
            receive_one(&w, r >> 8 & 1);
    }
    for (unsigned i = 0; i < PUBLISHERS; i++)
        finish(&w, i, w.left[i]);
    for (unsigned r = 0; r < 2; r++) {
        aether_subscriber_stats stats;
        for (unsigned n = 0; n < 2 * CAPACITY; n++)
            receive_one(&w, r);
        aether_subscriber_get_stats(w.subscribers[r].handle, &stats);
        assert_int_equal(stats.next, w.end);
        assert_int_equal(stats.aborted, w.aborted[r]);
        assert_int_equal(stats.aborted, w.aborts);
        assert_int_equal(stats.delivered + stats.aborted, w.end - start);
        for (unsigned i = 0; i < PUBLISHERS; i++)
            assert_int_equal(w.received[r][i], w.sent[i]);
        subscriber_close(&w.subscribers[r]);
    }
    assert_true(w.fulls > 0 && w.aborts > 0 && (biased > 0) == (publishers == AETHER_PUBLISHERS_SHARED));
    for (unsigned i = 0; i < PUBLISHERS; i++) {
        if (w.here[i])
            publisher_close(&w.publishers[i]);
    }
    ring_free(&w.ring);
}

static void any_order_is_one_order(void **state) {
    (void)state;
    for (size_t s = 0; s < STARTS; s++) {
        any_order(AETHER_PUBLISHERS_SHARED, starts[s]);
        any_order(AETHER_PUBLISHERS_UNBIASED, starts[s]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_is_biased_and_two_are_not),
        cmocka_unit_test(unbiased_topics_never_are),
        cmocka_unit_test(stopped_owners_are_not_robbed),
        cmocka_unit_test(revokers_may_die),
        cmocka_unit_test(joiners_start_below_what_may_be_taken_back),
        cmocka_unit_test(repair_aborts_what_was_won_and_nothing_else),
        cmocka_unit_test(dead_owners_bias_ends),
        cmocka_unit_test(proofs_only_rise),
        cmocka_unit_test(subscribers_at_a_hole_are_not_evicted),
        cmocka_unit_test(latest_takes_what_is_committed),
        cmocka_unit_test(any_order_is_one_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
