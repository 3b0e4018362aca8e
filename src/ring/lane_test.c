/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Large messages and loans on a lane that is far too small for them. Every message carries an id in each of its words,
 * so that one word of another message shows wherever it turns up.
 */
#include "ring/flow.h"
#include "ring/ring_test.h"
#include <aether/wait.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define LANE 4096u
#define INLINE 56u

/* Where sequences and lane positions begin. Positions wrap at 64 bits; floors that no publisher leaves are hostile. */
static const struct {
    uint64_t seq, floor;
} starts[] = {
    {0, 0},
    {(1ull << 48) - 5, 64},
    {(1ull << 63) - 3, LANE - 64},
    {UINT64_MAX - 2, UINT64_MAX - 63},
    {UINT64_MAX - 100, 0 - 3ull * LANE},
    {7, (1ull << 63) - 2 * LANE - 64},
    {1000, 0x123456789abcdef},
    {(1ull << 47) - 9, UINT64_MAX},
};
#define STARTS (sizeof starts / sizeof starts[0])

static void lanes_make(struct ring *ring, size_t start, uint64_t capacity) {
    const aether_topic_config config = {.capacity = capacity,
                                        .max_message = LANE,
                                        .inline_max = INLINE,
                                        .lane_bytes = LANE,
                                        .start_seq = starts[start].seq};

    ring_make_as(ring, &config);
    assert_int_equal(ring->geometry.lanes_off + AE_PUBLISHERS_MAX * (uint64_t)LANE, ring->geometry.log_bytes);
    ae_store_relaxed(&ring->log->publishers[0].lane_floor, starts[start].floor);
}

/* ---- every size ---- */

enum by { PUBLISH, GATHER, BATCH, LOAN, FORMS };

static int send_batch(aether_publisher *pub, unsigned char *data, size_t len) {
    struct iovec messages[3] = {{data, len < 3 ? len : 3}, {data, len}, {data, len / 4}};

    return aether_publish_batch(pub, messages, 3);
}

static int send_by(aether_publisher *pub, enum by form, unsigned char *data, size_t len) {
    struct iovec pieces[4] = {{data, len / 3}, {NULL, 0}, {data + len / 3, len / 2}, {data, 0}};
    aether_loan loan;
    int rc;

    pieces[3] = (struct iovec){data + len / 3 + len / 2, len - len / 3 - len / 2};
    switch (form) {
    case PUBLISH:
        return aether_publish(pub, data, len);
    case GATHER:
        return aether_publish_gather(pub, pieces, 4);
    case BATCH:
        return aether_publish_batch(pub, &(struct iovec){data, len}, 1);
    default:
        if ((rc = aether_loan_take(pub, len, &loan)) != 0)
            return rc;
        assert_int_equal((uintptr_t)loan.data % AE_LANE_UNIT, 0);
        assert_int_equal(loan.len, len);
        if (len != 0)
            memcpy(loan.data, data, len);
        return aether_loan_commit(pub, &loan);
    }
}

static void expect(struct test_subscriber *subscriber, uint64_t seq, uint64_t id, size_t len) {
    aether_message message;

    assert_int_equal(aether_receive(subscriber->handle, &message), 1);
    assert_int_equal(message.lost, 0);
    assert_int_equal(message.seq, seq);
    assert_int_equal(message.len, len);
    assert_int_equal((uintptr_t)message.data % 8, 0);
    assert_true(right_bytes(message.data, id, len));
    assert_int_equal(aether_still_valid(subscriber->handle, &message), 1);
    assert_int_equal(aether_receive(subscriber->handle, &message), 0);
}

static void every_size_by_every_form(void **state) {
    static const size_t sizes[] = {
        0, 1, 8, 55, INLINE, INLINE + 1, 64, 65, 1000, LANE / 2 - 1, LANE / 2, LANE / 2 + 1, LANE - 64, LANE - 1, LANE};
    static const aether_subscribe_options options[] = {
        {.policy = AETHER_RELIABLE},    {.policy = AETHER_RELIABLE, .from = AETHER_FROM_OLDEST},
        {.policy = AETHER_BEST_EFFORT}, {.policy = AETHER_BEST_EFFORT, .views = AETHER_VIEWS_IN_PLACE},
        {.policy = AETHER_LATEST},      {.policy = AETHER_LATEST, .views = AETHER_VIEWS_IN_PLACE}};
    static unsigned char data[LANE + 1];
    uint64_t id = 0;

    (void)state;
    for (size_t s = 0; s < STARTS; s++) {
        struct test_subscriber subscribers[6];
        struct test_publisher publisher;
        struct ring ring;

        lanes_make(&ring, s, 8);
        publisher_open(&publisher, &ring);
        for (uint32_t r = 0; r < 6; r++)
            subscriber_open(&subscribers[r], &ring, ring.log_ro, r, &options[r]);
        for (size_t i = 0; i < 4 * sizeof sizes / sizeof sizes[0]; i++) {
            const size_t len = sizes[i % (sizeof sizes / sizeof sizes[0])];
            for (int form = PUBLISH; form < FORMS; form++) {
                const uint64_t seq = aether_publisher_next(publisher.handle);
                fill_bytes(data, ++id, len);
                assert_int_equal(send_by(publisher.handle, (enum by)form, data, len), 0);
                assert_int_equal(aether_publisher_next(publisher.handle), seq + 1);
                for (int r = 0; r < 6; r++)
                    expect(&subscribers[r], seq, id, len);
                assert_int_equal(send_by(publisher.handle, (enum by)form, data, LANE + 1), -EMSGSIZE);
                assert_int_equal(aether_publisher_next(publisher.handle), seq + 1);
            }
        }
        for (int r = 0; r < 6; r++)
            subscriber_close(&subscribers[r]);
        publisher_close(&publisher);
        ring_free(&ring);
    }
}

/* What a subscriber holds of the lane: all that lies behind the last message that it has released. */
static void held_to_the_byte(void **state) {
    static const aether_subscribe_options reliable = {.policy = AETHER_RELIABLE};
    static unsigned char data[LANE];

    (void)state;
    for (size_t s = 0; s < STARTS; s++) {
        struct test_subscriber subscriber;
        struct test_publisher publisher;
        struct ring ring;
        uint64_t start;

        lanes_make(&ring, s, 64);
        publisher_open(&publisher, &ring);
        start = aether_publisher_next(publisher.handle);
        subscriber_open(&subscriber, &ring, ring.log_ro, 3, &reliable);
        for (unsigned i = 0; i < 8; i++)
            assert_int_equal(aether_publish(publisher.handle, data, LANE / 8), 0);
        for (unsigned i = 0; i <= 8; i++)
            assert_int_equal(ae_lane_held(&publisher.pub, start + i), (8 - i) * (LANE / 8));
        assert_int_equal(aether_publish(publisher.handle, data, LANE / 8), AETHER_FULL);
        assert_int_equal(ae_lane_held(&publisher.pub, start), LANE);
        subscriber_close(&subscriber);
        assert_int_equal(aether_publish(publisher.handle, data, LANE / 2), 0); /* all is free again */
        assert_int_equal(ae_lane_held(&publisher.pub, start), LANE / 2);
        publisher_close(&publisher);
        ring_free(&ring);
    }
}

/* ---- batches ---- */

static void batches_fill_the_lane(void **state) {
    static unsigned char data[LANE];
    struct iovec full[5] = {{data, 2048}, {data, 3}, {data, 1984}, {data, INLINE + 1}, {data, INLINE + 1}};
    const struct iovec overflow[2] = {{data, 8}, {data, SIZE_MAX}};

    (void)state;
    fill_bytes(data, 1, LANE);
    for (size_t s = 0; s < STARTS; s++) {
        struct test_subscriber subscriber;
        struct test_publisher publisher;
        struct ring ring;
        aether_message messages[16];

        lanes_make(&ring, s, 16);
        publisher_open(&publisher, &ring);
        subscriber_open(&subscriber, &ring, ring.log_ro, 0, &(aether_subscribe_options){0});
        for (int round = 0; round < 20; round++) {
            assert_int_equal(aether_publish_batch(publisher.handle, full, 5), -E2BIG);
            assert_non_null(strstr(aether_errmsg(), "4096"));
            assert_int_equal(aether_publish_gather(publisher.handle, overflow, 2), -EINVAL);
            assert_int_equal(aether_publish_batch(publisher.handle, full, 4), 0);
            assert_int_equal(aether_publish(publisher.handle, data, INLINE + 1),
                             AETHER_FULL); /* all of the lane is held */
            assert_int_equal(aether_publish(publisher.handle, data, INLINE), 0);
            assert_int_equal(send_batch(publisher.handle, data, 100), AETHER_FULL);
            assert_int_equal(aether_receive_batch(subscriber.handle, messages, 16), 5);
            for (int i = 0; i < 5; i++)
                assert_true(messages[i].len == (i < 4 ? full[i].iov_len : INLINE) &&
                            right_bytes(messages[i].data, 1, messages[i].len));
            assert_int_equal(aether_publish(publisher.handle, data, INLINE + 1),
                             AETHER_FULL); /* the views still hold it */
            assert_int_equal(aether_receive_batch(subscriber.handle, messages, 16), 0);
            assert_int_equal(send_batch(publisher.handle, data, 2000), 0);
            assert_int_equal(aether_receive_batch(subscriber.handle, messages, 16), 3);
            assert_true(messages[1].len == 2000 && right_bytes(messages[1].data, 1, 2000));
            assert_int_equal(aether_receive_batch(subscriber.handle, messages, 16), 0);
        }
        subscriber_close(&subscriber);
        publisher_close(&publisher);
        ring_free(&ring);
    }
}

/* ---- loans, one rule after the other ---- */

static void loan_of(struct test_publisher *publisher, size_t len, aether_loan *loan, uint64_t id) {
    assert_int_equal(aether_loan_take(publisher->handle, len, loan), 0);
    fill_bytes(loan->data, id, len);
}

static void lengths_and_tickets(void **state) {
    struct test_publisher publisher, other;
    struct ring ring, other_ring;
    struct test_subscriber subscriber;
    aether_loan loan, again, foreign;

    (void)state;
    lanes_make(&ring, 0, 8);
    lanes_make(&other_ring, 0, 8);
    publisher_open(&publisher, &ring);
    publisher_open(&other, &other_ring);
    subscriber_open(&subscriber, &ring, ring.log_ro, 0, &(aether_subscribe_options){0});
    for (size_t len = INLINE; len <= INLINE + 1; len++) { /* in the buffer, in the lane */
        loan_of(&publisher, len, &loan, len);
        loan_of(&other, len, &foreign, len);
        assert_int_equal(foreign.ticket, loan.ticket);
        assert_int_equal(aether_loan_commit(&publisher.pub.hot, &foreign), -EINVAL);
        assert_int_equal(aether_loan_discard(&publisher.pub.hot, &foreign), -EINVAL);
        again = loan;
        loan.len = len + 1;
        assert_int_equal(aether_loan_commit(publisher.handle, &loan), -EINVAL);
        loan.len = len - 50;
        assert_int_equal(aether_loan_commit(publisher.handle, &loan), 0);
        assert_null(loan.data);
        assert_int_equal(aether_loan_commit(publisher.handle, &loan), -EINVAL);
        assert_int_equal(aether_loan_commit(publisher.handle, &again), -EINVAL);
        assert_int_equal(aether_loan_discard(publisher.handle, &again), -EINVAL);
        expect(&subscriber, aether_publisher_next(publisher.handle) - 1, len, len - 50);
        again.ticket += 1;
        assert_int_equal(aether_loan_commit(publisher.handle, &again), -EINVAL);
        assert_int_equal(aether_loan_discard(other.handle, &foreign), 0);
    }
    assert_int_equal(aether_publisher_next(publisher.handle), 2);
    subscriber_close(&subscriber);
    publisher_close(&publisher);
    publisher_close(&other);
    ring_free(&ring);
    ring_free(&other_ring);
}

/* The table is bounded, and the oldest open loan keeps the entries of all after it. */
static void sixty_four_loans(void **state) {
    aether_loan loans[AETHER_LOANS_MAX], more = {0};
    unsigned char byte = 1;
    struct test_publisher publisher;
    struct ring ring;

    (void)state;
    for (size_t len = INLINE; len <= INLINE + 1; len++) { /* 64 units fill the lane exactly */
        lanes_make(&ring, 0, 128);
        publisher_open(&publisher, &ring);
        for (unsigned i = 0; i < AETHER_LOANS_MAX; i++)
            loan_of(&publisher, len, &loans[i], i);
        assert_int_equal(aether_loan_take(publisher.handle, 0, &more), -ENOBUFS);
        assert_int_equal(aether_publish(publisher.handle, &byte, 1), 0);
        for (unsigned i = AETHER_LOANS_MAX - 1; i > 0; i--) {
            assert_true(right_bytes(loans[i].data, i, len));
            assert_int_equal(i % 2 == 0 ? aether_loan_commit(publisher.handle, &loans[i])
                                        : aether_loan_discard(publisher.handle, &loans[i]),
                             0);
            assert_int_equal(aether_loan_take(publisher.handle, 0, &more), -ENOBUFS);
        }
        assert_int_equal(aether_loan_commit(publisher.handle, &loans[0]), 0);
        for (unsigned i = 0; i < AETHER_LOANS_MAX; i++)
            loan_of(&publisher, len, &loans[i], i);
        assert_int_equal(aether_loan_take(publisher.handle, 0, &more), -ENOBUFS);
        assert_null(more.data);
        assert_int_equal(aether_publisher_next(publisher.handle), 33);
        publisher_close(&publisher);
        ring_free(&ring);
    }
}

static void full_ring_keeps_the_loan_open(void **state) {
    unsigned char data[100] = {0};
    aether_message message;
    struct test_publisher publisher;
    struct test_subscriber subscriber;
    struct ring ring;
    aether_loan loan;

    (void)state;
    lanes_make(&ring, 0, 8);
    publisher_open(&publisher, &ring);
    subscriber_open(&subscriber, &ring, ring.log_ro, 0, &(aether_subscribe_options){0});
    loan_of(&publisher, 1000, &loan, 77);
    for (int i = 0; i < 8; i++)
        assert_int_equal(aether_publish(publisher.handle, data, i % 2 == 0 ? 8 : 100), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(aether_loan_commit(publisher.handle, &loan), AETHER_FULL);
    assert_true(loan.len == 1000 && right_bytes(loan.data, 77, 1000));
    for (int i = 0; i < 8; i++)
        assert_int_equal(aether_receive(subscriber.handle, &message), 1);
    assert_int_equal(aether_receive(subscriber.handle, &message), 0);
    assert_int_equal(aether_loan_commit(publisher.handle, &loan), 0);
    expect(&subscriber, 8, 77, 1000);
    subscriber_close(&subscriber);
    publisher_close(&publisher);
    ring_free(&ring);
}

/*
 * What holds the lane decides the result. If it is the publisher's own loans, the result is an error, as waiting would
 * not help; if it is a subscriber's view, it is AETHER_FULL.
 */
static void who_holds_the_room(void **state) {
    unsigned char data[LANE] = {0};
    aether_message message;
    aether_loan first, second;
    struct test_publisher publisher;
    struct test_subscriber subscriber;
    struct ring ring;

    (void)state;
    lanes_make(&ring, 0, 8);
    publisher_open(&publisher, &ring);
    loan_of(&publisher, LANE, &first, 1);
    assert_int_equal(aether_publish(publisher.handle, data, INLINE + 1), -ENOBUFS);
    assert_int_equal(aether_publisher_wait(publisher.handle, INLINE + 1, AETHER_FOREVER), -ENOBUFS);
    assert_int_equal(aether_publish(publisher.handle, data, INLINE), 0);
    assert_int_equal(aether_loan_discard(publisher.handle, &first), 0);
    assert_int_equal(aether_publish(publisher.handle, data, LANE), 0);
    /* A loan past the wrap: nothing before it is in use. */
    assert_int_equal(aether_publish(publisher.handle, data, 3072), 0);
    loan_of(&publisher, 2048, &first, 2);
    loan_of(&publisher, 2048, &second, 3);
    assert_true(right_bytes(first.data, 2, 2048));
    assert_int_equal(aether_loan_take(publisher.handle, INLINE + 1, &(aether_loan){0}), -ENOBUFS);
    assert_int_equal(aether_loan_discard(publisher.handle, &first), 0);
    assert_int_equal(aether_loan_discard(publisher.handle, &second), 0);
    /* Now a subscriber's view holds the lane, and then a view and a loan. */
    subscriber_open(&subscriber, &ring, ring.log_ro, 0, &(aether_subscribe_options){0});
    assert_int_equal(aether_publish(publisher.handle, data, 2048), 0);
    loan_of(&publisher, 1024, &first, 4);
    assert_int_equal(aether_publish(publisher.handle, data, 2048), AETHER_FULL);
    assert_int_equal(aether_publish(publisher.handle, data, LANE), -ENOBUFS);
    assert_int_equal(aether_receive(subscriber.handle, &message), 1);
    assert_int_equal(aether_publish(publisher.handle, data, 2048), AETHER_FULL); /* the view */
    assert_int_equal(aether_receive(subscriber.handle, &message), 0);
    assert_int_equal(aether_publish(publisher.handle, data, 2048), 0);
    assert_true(right_bytes(first.data, 4, 1024));
    subscriber_close(&subscriber);
    publisher_close(&publisher);
    ring_free(&ring);
}

/* The views of a batch stay valid until the next call, also if that batch ended with the newest message. */
static void a_batch_keeps_its_views(void **state) {
    unsigned char data[LANE];
    aether_message messages[4];
    struct test_publisher publisher;
    struct test_subscriber subscriber;
    struct ring ring;

    (void)state;
    lanes_make(&ring, 0, 8);
    publisher_open(&publisher, &ring);
    subscriber_open(&subscriber, &ring, ring.log_ro, 0, &(aether_subscribe_options){0});
    for (uint64_t i = 1; i <= 2; i++) {
        fill_bytes(data, i, LANE / 2);
        assert_int_equal(aether_publish(publisher.handle, data, LANE / 2), 0);
    }
    assert_int_equal(aether_receive_batch(subscriber.handle, messages, 4), 2);
    fill_bytes(data, 3, LANE / 2);
    assert_int_equal(aether_publish(publisher.handle, data, LANE / 2), AETHER_FULL);
    assert_true(right_bytes(messages[0].data, 1, LANE / 2) && right_bytes(messages[1].data, 2, LANE / 2));
    assert_int_equal(aether_receive_batch(subscriber.handle, messages, 4), 0);
    assert_int_equal(aether_publish(publisher.handle, data, LANE / 2), 0);
    subscriber_close(&subscriber);
    publisher_close(&publisher);
    ring_free(&ring);
}

/* Receiving the next message releases the one before, also in the middle of a full lane. */
static void release_is_not_put_off(void **state) {
    unsigned char data[LANE] = {0};
    aether_message message;
    struct test_publisher publisher;
    struct test_subscriber subscriber;
    struct ring ring;

    (void)state;
    lanes_make(&ring, 0, 4096); /* where cursors of inline messages are stored once in 256 messages */
    publisher_open(&publisher, &ring);
    subscriber_open(&subscriber, &ring, ring.log_ro, 0, &(aether_subscribe_options){0});
    assert_int_equal(aether_publish(publisher.handle, data, 2048), 0);
    assert_int_equal(aether_publish(publisher.handle, data, 2048), 0);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(aether_receive(subscriber.handle, &message), 1);
        assert_int_equal(aether_publish(publisher.handle, data, 2048), i == 0 ? AETHER_FULL : 0);
    }
    subscriber_close(&subscriber);
    publisher_close(&publisher);
    ring_free(&ring);
}

/* ---- anything in any order, against an oracle ---- */

#define CAPACITY 16u
#define HISTORY 64u
#define RELIABLE 3u
#define WATCHERS 4u
#define VIEWS 5

struct world {
    struct ring ring;
    struct test_publisher publisher;
    struct test_subscriber reliable[RELIABLE], watchers[WATCHERS];
    aether_message held[RELIABLE][VIEWS], seen[WATCHERS];
    int held_count[RELIABLE];
    uint64_t expected[RELIABLE + WATCHERS];
    struct {
        uint64_t id;
        size_t len;
    } sent[HISTORY]; /* by sequence */
    struct {
        aether_loan loan;
        uint64_t id;
        size_t len;
    } loans[AETHER_LOANS_MAX];
    unsigned loan_count;
    uint64_t id, random;
    uint64_t refused[2], gaps, overwritten; /* prove that the test covers these cases */
};

static size_t random_len(struct world *w) {
    static const size_t sizes[] = {0, 1, INLINE, INLINE + 1, 64, 128, 512, LANE / 2, LANE / 2 + 1, LANE};
    const uint64_t r = next_random(&w->random);

    return r % 8 == 0 ? sizes[(r >> 8) % 10] : r % 8 < 6 ? (r >> 8) % 700 : (r >> 8) % 2000;
}

static void sent(struct world *w, uint64_t seq, uint64_t id, size_t len) {
    w->sent[seq % HISTORY].id = id;
    w->sent[seq % HISTORY].len = len;
}

static bool message_right(const struct world *w, const aether_message *message) {
    return message->len == w->sent[message->seq % HISTORY].len &&
           right_bytes(message->data, w->sent[message->seq % HISTORY].id, message->len);
}

/* No view that is held has changed. */
static void check_held(const struct world *w) {
    for (unsigned r = 0; r < RELIABLE; r++) {
        for (int i = 0; i < w->held_count[r]; i++)
            assert_true(message_right(w, &w->held[r][i]) && aether_still_valid(w->reliable[r].handle, &w->held[r][i]));
    }
    for (unsigned i = 0; i < w->loan_count; i++)
        assert_true(right_bytes(w->loans[i].loan.data, w->loans[i].id, w->loans[i].len));
}

/* FULL or ENOBUFS only for a reason: a view or a loan that is in the way. */
static void check_refusal(struct world *w, int rc, size_t len) {
    bool behind = false;

    for (unsigned r = 0; r < RELIABLE; r++)
        behind |= ae_load_relaxed(&w->ring.cursors->records[r].cursor) != aether_publisher_next(w->publisher.handle);
    if (rc == AETHER_FULL)
        assert_true(behind);
    else if (rc == -ENOBUFS)
        assert_true(w->loan_count != 0 &&
                    (len > INLINE || w->publisher.pub.loans.next - w->publisher.pub.loans.first == AETHER_LOANS_MAX));
    else
        assert_int_equal(rc, 0);
    w->refused[0] += rc == AETHER_FULL;
    w->refused[1] += rc == -ENOBUFS;
}

static void publish_some(struct world *w, unsigned char data[4][LANE]) {
    const uint64_t seq = aether_publisher_next(w->publisher.handle), r = next_random(&w->random);
    struct iovec messages[4];
    size_t count = r % 4 == 0 ? 1 + (r >> 8) % 4 : 1, total = 0;
    int rc;

    for (size_t i = 0; i < count; i++) {
        const size_t len = random_len(w);
        fill_bytes(data[i], ++w->id, len);
        messages[i] = (struct iovec){data[i], len};
        total += len > INLINE ? (len + 63) / 64 * 64 : 0;
    }
    if (count == 1)
        rc = send_by(w->publisher.handle, (enum by)((r >> 16) % 3), data[0], messages[0].iov_len);
    else
        rc = aether_publish_batch(w->publisher.handle, messages, count);
    if (total > LANE) {
        assert_int_equal(rc, -E2BIG);
        return;
    }
    check_refusal(w, rc, count == 1 ? messages[0].iov_len : total);
    for (size_t i = 0; rc == 0 && i < count; i++)
        sent(w, seq + i, w->id - count + 1 + i, messages[i].iov_len);
    assert_int_equal(aether_publisher_next(w->publisher.handle), seq + (rc == 0 ? count : 0));
}

static void take_loan(struct world *w) {
    const size_t len = random_len(w);
    aether_loan loan = {0};
    const int rc = aether_loan_take(w->publisher.handle, len, &loan);

    check_refusal(w, rc, len);
    if (rc != 0)
        return;
    fill_bytes(loan.data, ++w->id, len);
    w->loans[w->loan_count].loan = loan;
    w->loans[w->loan_count].id = w->id;
    w->loans[w->loan_count++].len = len;
}

static void close_loan(struct world *w, unsigned i, bool commit) {
    const uint64_t seq = aether_publisher_next(w->publisher.handle), id = w->loans[i].id;
    const size_t len = w->loans[i].len,
                 less = next_random(&w->random) % 4 == 0 ? next_random(&w->random) % (len + 1) : len;
    int rc;

    w->loans[i].loan.len = less;
    rc = commit ? aether_loan_commit(w->publisher.handle, &w->loans[i].loan)
                : aether_loan_discard(w->publisher.handle, &w->loans[i].loan);
    check_refusal(w, rc, 0);
    if (rc != 0)
        return;
    if (commit)
        sent(w, seq, id, less);
    w->loans[i] = w->loans[--w->loan_count];
}

/* A reliable subscriber releases the views that it holds and receives more, without a gap. */
static int read_reliable(struct world *w, unsigned r, int max) {
    const int n = max == 1 ? aether_receive(w->reliable[r].handle, w->held[r])
                           : aether_receive_batch(w->reliable[r].handle, w->held[r], max);

    assert_true(n >= 0);
    for (int i = 0; i < n; i++) {
        assert_int_equal(w->held[r][i].lost, 0);
        assert_int_equal(w->held[r][i].seq, w->expected[r]++);
    }
    w->held_count[r] = n;
    return n;
}

/* Best effort and latest, copying and in place: a view is right when it is received; later it is right or not valid. */
static int read_watcher(struct world *w, unsigned r) {
    aether_message *seen = &w->seen[r];
    aether_subscriber_stats stats;
    uint64_t *expected = &w->expected[RELIABLE + r];
    int n;

    if (seen->data != NULL && aether_publisher_next(w->publisher.handle) - seen->seq <= HISTORY &&
        !message_right(w, seen)) {
        assert_int_equal(aether_still_valid(w->watchers[r].handle, seen), 0);
        assert_true(w->watchers[r].sub.in_place);
        w->overwritten++;
    }
    *seen = (aether_message){0};
    n = aether_receive(w->watchers[r].handle, seen);
    assert_true(n == 0 || n == 1);
    if (n == 1) {
        assert_true(w->watchers[r].sub.policy == AETHER_LATEST || seen->seq == *expected);
        assert_true(seen->lost != 0 || seen->seq - *expected < UINT64_MAX / 2);
        *expected = seen->seq + (seen->lost != 0 ? seen->lost : 1);
        assert_true((int64_t)(aether_publisher_next(w->publisher.handle) - *expected) >= 0);
        w->gaps += seen->lost != 0;
    }
    assert_true(n == 0 || seen->lost != 0 ||
                (message_right(w, seen) && aether_still_valid(w->watchers[r].handle, seen)));
    aether_subscriber_get_stats(w->watchers[r].handle, &stats);
    if (w->watchers[r].sub.policy == AETHER_LATEST && n == 0) { /* what an open loan has overwritten is skipped */
        assert_true(stats.next - *expected <= aether_publisher_next(w->publisher.handle) - *expected);
        *expected = stats.next;
        assert_int_equal(aether_wait(w->watchers[r].handle, 0), 0);
    }
    assert_int_equal(stats.next, *expected);
    assert_int_equal(stats.delivered + stats.lost + stats.skipped, stats.next - stats.joined);
    if (n == 0 || seen->lost != 0)
        *seen = (aether_message){0};
    return n;
}

/* Once every view and loan is released, there is room for every size again. */
static void settle(struct world *w, unsigned char *data) {
    while (w->loan_count != 0)
        close_loan(w, w->loan_count - 1, false);
    for (unsigned r = 0; r < RELIABLE; r++) {
        while (read_reliable(w, r, VIEWS) > 0)
            check_held(w);
        assert_int_equal(w->expected[r], aether_publisher_next(w->publisher.handle));
    }
    fill_bytes(data, ++w->id, LANE);
    sent(w, aether_publisher_next(w->publisher.handle), w->id, LANE);
    assert_int_equal(aether_publish(w->publisher.handle, data, LANE), 0);
    assert_int_equal(aether_publish(w->publisher.handle, data, INLINE + 1), AETHER_FULL);
}

/* The publisher dies with its loans open, or closes. Its messages and the subscribers' views stay. */
static void replace_publisher(struct world *w, bool dies) {
    const uint64_t next = aether_publisher_next(w->publisher.handle);

    if (dies)
        publisher_die(&w->publisher);
    else
        publisher_close(&w->publisher);
    w->loan_count = 0;
    publisher_open(&w->publisher, &w->ring);
    assert_int_equal(aether_publisher_next(w->publisher.handle), next);
}

static void one_step(struct world *w, unsigned char data[4][LANE]) {
    const uint64_t r = next_random(&w->random);

    if (r % 32 < 10)
        publish_some(w, data);
    else if (r % 32 < 14)
        take_loan(w);
    else if (r % 32 < 19 && w->loan_count != 0)
        close_loan(w, (unsigned)(r >> 8) % w->loan_count, r >> 40 & 1);
    else if (r % 32 < 28)
        (void)read_reliable(w, (unsigned)(r >> 8) % RELIABLE, 1 + (int)((r >> 16) % VIEWS));
    else if (r % 32 < 31)
        (void)read_watcher(w, (unsigned)(r >> 8) % WATCHERS);
    else if (r >> 8 & 1)
        settle(w, data[0]);
    else if ((r >> 9 & 7) == 0)
        replace_publisher(w, r >> 12 & 1);
    check_held(w);
}

#define STEPS 400000

static void any_order(void **state) {
    static const aether_subscribe_options watchers[WATCHERS] = {
        {.policy = AETHER_BEST_EFFORT},
        {.policy = AETHER_BEST_EFFORT, .views = AETHER_VIEWS_IN_PLACE},
        {.policy = AETHER_LATEST},
        {.policy = AETHER_LATEST, .views = AETHER_VIEWS_IN_PLACE},
    };
    static unsigned char data[4][LANE];
    static struct world w;

    (void)state;
    for (size_t s = 0; s < STARTS; s++) {
        w = (struct world){.random = 20261 + s};
        lanes_make(&w.ring, s, CAPACITY);
        publisher_open(&w.publisher, &w.ring);
        for (uint32_t r = 0; r < RELIABLE; r++)
            subscriber_open(&w.reliable[r], &w.ring, w.ring.log_ro, r, &(aether_subscribe_options){0});
        for (uint32_t r = 0; r < WATCHERS; r++)
            subscriber_open(&w.watchers[r], &w.ring, w.ring.log_ro, 0, &watchers[r]);
        for (unsigned r = 0; r < RELIABLE + WATCHERS; r++)
            w.expected[r] = starts[s].seq;
        for (unsigned step = 0; step < STEPS / STARTS; step++)
            one_step(&w, data);
        settle(&w, data[0]);
        assert_true(w.refused[0] > 0 && w.refused[1] > 0 && w.gaps > 0 && w.overwritten > 0);
        for (unsigned r = 0; r < RELIABLE; r++)
            subscriber_close(&w.reliable[r]);
        for (unsigned r = 0; r < WATCHERS; r++)
            subscriber_close(&w.watchers[r]);
        publisher_close(&w.publisher);
        ring_free(&w.ring);
    }
}

/* ---- the next owner ---- */

/* Publishers die one after another with messages unread. Those bytes stay until they are read, and no longer. */
static void dead_owners_messages_stay(void **state) {
    static unsigned char data[LANE];

    (void)state;
    for (size_t s = 0; s < STARTS; s++) {
        aether_message message;
        struct test_publisher publisher;
        struct test_subscriber subscriber;
        struct ring ring;
        aether_loan loan;
        uint64_t id = 0;

        lanes_make(&ring, s, 16);
        publisher_open(&publisher, &ring);
        subscriber_open(&subscriber, &ring, ring.log_ro, 0, &(aether_subscribe_options){0});
        for (int round = 0; round < 20; round++) {
            for (int generation = 0; generation < 4; generation++) { /* each fills what is left of the lane, and dies */
                fill_bytes(data, id, 1000);
                assert_int_equal(aether_publish(publisher.handle, data, 1000), generation == 0 ? 0 : AETHER_FULL);
                if (generation == 0) {
                    fill_bytes(data, id + 1, 2000);
                    assert_int_equal(aether_publish(publisher.handle, data, 1000 + 1000 * (size_t)(round % 2)), 0);
                    loan_of(&publisher, 64, &loan, 5);
                }
                publisher_die(&publisher);
                publisher_open(&publisher, &ring);
            }
            assert_int_equal(aether_loan_commit(publisher.handle, &loan), -EINVAL);
            for (uint64_t i = 0; i < 2; i++) {
                assert_int_equal(aether_receive(subscriber.handle, &message), 1);
                assert_int_equal(aether_publish(publisher.handle, data, LANE), AETHER_FULL);
                assert_true(right_bytes(message.data, id + i, message.len));
            }
            assert_int_equal(aether_receive(subscriber.handle, &message), 0);
            id += 2;
            fill_bytes(data, id, LANE);
            assert_int_equal(aether_publish(publisher.handle, data, LANE), 0);
            expect(&subscriber, aether_publisher_next(publisher.handle) - 1, id++, LANE);
        }
        subscriber_close(&subscriber);
        publisher_close(&publisher);
        ring_free(&ring);
    }
}

/* ---- hostile peers ---- */

static uint64_t byte_sum; /* of every byte that was received: a wrong pointer or length crashes here */

static uint64_t hostile_word(uint64_t *random, uint64_t near_value) {
    const uint64_t r = next_random(random);

    switch (r >> 61) {
    case 0:
        return next_random(random);
    case 1:
        return UINT64_MAX;
    case 2:
        return near_value + (r >> 8 & 0xffff) - (r >> 24 & 0xffff);
    case 3:
        return (r >> 8 & 127) << 32 | (r >> 16 & 0x1fff);
    default:
        return near_value + (r & 0xff) * 64;
    }
}

static void poison(struct ring *ring, uint64_t *random, bool whole) {
    const uint64_t start = ring->geometry.start_seq + (next_random(random) & 15);

    for (size_t off = 0; whole && off < ring->geometry.lanes_off; off += 8)
        ae_store_relaxed((ae_u64 *)(void *)(ring->log_object.rw + off), next_random(random));
    for (size_t off = 0; whole && off < ring->cursors_object.bytes; off += 8)
        ae_store_relaxed((ae_u64 *)(void *)(ring->cursors_object.rw + off), next_random(random));
    for (size_t off = 0; whole && off < ring->notes_object.bytes; off += 8)
        ae_store_relaxed((ae_u64 *)(void *)(ring->notes_object.rw + off), next_random(random));
    for (uint64_t i = 0; i < ring->geometry.capacity; i++) {
        const uint64_t r = next_random(random);
        ae_u64 *tag = ring_tag(ring, start + i);
        ae_store_relaxed(tag, ae_tag((r & 7) != 0 ? start + i : hostile_word(random, start),
                                     (r & 24) != 0 ? AE_KIND_LANE : r >> 8 & 15, r >> 16 & 0xfff));
        ae_store_relaxed(tag + 1, hostile_word(random, LANE));
        ae_store_relaxed(tag + 2,
                         (r >> 32 & 7) != 0 ? (r >> 40 & 127) << 32 | (r >> 48 & 0xfff) : hostile_word(random, 0));
    }
    for (unsigned i = 0; i < 4; i++) {
        const unsigned r = next_random(random) & 63;
        ae_store_relaxed(&ring->log->publishers[r].lane_floor, hostile_word(random, 0));
        ae_store_relaxed(&ring->log->evict[r], hostile_word(random, 0));
        ae_store_relaxed(&ring->cursors->records[r].cursor, hostile_word(random, start));
    }
    ae_store_relaxed(&ring->cursors->active.active, next_random(random) & next_random(random));
    ae_store_relaxed(&ring->notes->want.want, hostile_word(random, 1));
    ae_store_relaxed(&ring->log->wake.wake, hostile_word(random, 1));
    ae_store_relaxed(&ring->log->stream.open, next_random(random) & next_random(random));
    ae_store_relaxed(&ring->log->stream.joins, hostile_word(random, 1));
    ae_store_relaxed(&ring->log->claim.position, hostile_word(random, start));
    ae_store_relaxed(&ring->log->claim.claim,
                     ae_claim_word(hostile_word(random, start), next_random(random) & 3, next_random(random) & 63));
}

static void inspect(const struct ring *ring, const struct test_subscriber *subscriber, const aether_message *message) {
    const unsigned char *data = message->data, *log = ring->log_object.ro;

    if (message->lost != 0) {
        assert_true(data == NULL && message->len == 0);
        return;
    }
    assert_true(message->len <= LANE);
    if (data >= log && data < log + ring->geometry.log_bytes)
        assert_true(data >= log + ring->geometry.slots_off && data + message->len <= log + ring->geometry.log_bytes);
    else
        assert_true(data >= subscriber->copies && data + message->len <= subscriber->copies + subscriber->copies_bytes);
    for (size_t i = 0; i < message->len; i++)
        byte_sum += data[i];
    (void)aether_still_valid(subscriber->handle, message);
}

static void hostile_read(struct ring *ring, uint64_t *random) {
    const uint64_t r = next_random(random);
    const aether_subscribe_options options = {.policy = (aether_policy)((r >> 4) % 3),
                                              .from = (aether_from)((r >> 8) % 3),
                                              .last = next_random(random) >> (r >> 16 & 63),
                                              .views = (aether_views)(r >> 24 & 1)};
    aether_subscriber_stats stats;
    aether_message messages[12];
    struct test_subscriber subscriber;

    subscriber_open(&subscriber, ring, ring->log_ro, r >> 32 & 63, &options);
    for (int call = 0; call < 12; call++) {
        const int n = call % 2 == 0 ? aether_receive(subscriber.handle, messages)
                                    : aether_receive_batch(subscriber.handle, messages, 12);
        assert_true((n >= 0 && n <= 12) || n == -EBADMSG || (n == -EOVERFLOW && ring->geometry.evict_lag != 0));
        for (int i = 0; i < n; i++)
            inspect(ring, &subscriber, &messages[i]);
        aether_subscriber_get_stats(subscriber.handle, &stats);
        assert_int_equal(stats.delivered + stats.lost + stats.aborted + stats.skipped, stats.next - stats.joined);
        assert_true(aether_wait(subscriber.handle, 0) <= 1 &&
                    aether_subscriber_stream(subscriber.handle) <= AETHER_STREAM_DIED);
        if (call % 4 == 3) /* the next call finds all words changed */
            poison(ring, random, false);
    }
    subscriber_close(&subscriber);
}

static void hostile_write(struct ring *ring, uint64_t *random) {
    static _Alignas(AE_LANE_UNIT) unsigned char buffer[AETHER_LOANS_MAX * 64];
    static unsigned char data[LANE];
    struct ae_publisher pub;
    aether_loan loans[4] = {0};

    assert_int_equal(ae_publisher_buffer_bytes(&ring->geometry), sizeof buffer);
    ae_publisher_init(&pub, &ring->geometry, next_random(random) & 63, ring->log, ring->cursors_ro, ring->notes_ro,
                      buffer, &scratch_stats);
    for (int call = 0; call < 24; call++) {
        const uint64_t r = next_random(random), next = pub.hot.next;
        const struct iovec batch[3] = {{data, r >> 8 & 127}, {data, r >> 16 & 1023}, {data, r >> 26 & 2047}};
        const size_t len = (r >> 40) % (LANE + 1);
        aether_loan *loan = &loans[r >> 56 & 3];
        int rc = 0;
        if (r % 4 == 0)
            rc = aether_publish_batch(&pub.hot, batch, 3);
        else if (r % 4 == 1)
            rc = aether_publish(&pub.hot, data, len);
        else if (loan->data == NULL && (rc = aether_loan_take(&pub.hot, len, loan)) == 0)
            memset(loan->data, 0xa5, len);
        else if (loan->data != NULL)
            rc = r % 4 == 2 ? aether_loan_commit(&pub.hot, loan) : aether_loan_discard(&pub.hot, loan);
        assert_true(rc == 0 || rc == AETHER_FULL || rc == -ENOBUFS);
        assert_true(rc == 0 || pub.hot.next == next);
        ae_store_relaxed(&ring->cursors->records[r & 63].cursor, hostile_word(random, pub.hot.next));
    }
    ae_publisher_leave(&pub);
}

#define HOSTILE_ROUNDS 6000

static void hostile_words_do_no_harm(void **state) {
    uint64_t random = 20260202;

    (void)state;
    for (size_t s = 0; s < STARTS; s++) {
        const aether_topic_config config = {.capacity = 8,
                                            .max_message = LANE,
                                            .lane_bytes = LANE,
                                            .inline_max = INLINE,
                                            .slow = s % 2 == 0 ? AETHER_SLOW_WAIT : AETHER_SLOW_EVICT,
                                            .start_seq = starts[s].seq};
        struct ring ring;
        ring_make_as(&ring, &config);
        for (uint64_t round = 0; round < HOSTILE_ROUNDS / STARTS; round++) {
            poison(&ring, &random, round % 16 == 0);
            hostile_read(&ring, &random);
            hostile_write(&ring, &random);
        }
        ring_free(&ring);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_by_every_form),  cmocka_unit_test(held_to_the_byte),
        cmocka_unit_test(batches_fill_the_lane),     cmocka_unit_test(lengths_and_tickets),
        cmocka_unit_test(sixty_four_loans),          cmocka_unit_test(full_ring_keeps_the_loan_open),
        cmocka_unit_test(who_holds_the_room),        cmocka_unit_test(a_batch_keeps_its_views),
        cmocka_unit_test(release_is_not_put_off),    cmocka_unit_test(any_order),
        cmocka_unit_test(dead_owners_messages_stay), cmocka_unit_test(hostile_words_do_no_harm),
    };

    alarm(900); /* an endless loop ends here */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
