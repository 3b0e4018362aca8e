/* SPDX-License-Identifier: Apache-2.0 */
/* Messages that are held: what publishers wait for, which messages can be held, and what the figures say meanwhile. */
#include "ring/figures.h"
#include "ring/payload_test.h"
#include "ring/ring_test.h"
#include "ring/wait.h"
#include <aether/wait.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define CAPACITY 16u

static const uint64_t starts[] = {0, 5, (1ull << 48) - 9, (1ull << 63) - 3, UINT64_MAX - 5};
#define STARTS (sizeof starts / sizeof starts[0])

struct fixture {
    struct ring ring;
    struct test_publisher publisher;
    struct test_subscriber subscriber;
    aether_subscriber *sub;
};

static void open_all(struct fixture *f, const aether_topic_config *config, const aether_subscribe_options *options) {
    ring_make_as(&f->ring, config);
    publisher_open(&f->publisher, &f->ring);
    subscriber_open(&f->subscriber, &f->ring, f->ring.log_ro, 3, options);
    f->sub = f->subscriber.handle;
}

static void close_all(struct fixture *f) {
    subscriber_close(&f->subscriber);
    publisher_close(&f->publisher);
    ring_free(&f->ring);
}

static void open_from(struct fixture *f, uint64_t start_seq) {
    open_all(f, &(aether_topic_config){.capacity = CAPACITY, .max_message = 64, .start_seq = start_seq},
             &(aether_subscribe_options){0});
}

/* Publishes up to max messages; returns how many found room. */
static uint64_t publish(struct fixture *f, uint64_t max) {
    unsigned char data[4096];
    uint64_t n = 0;

    while (n < max) {
        const size_t len = payload_fill(data, aether_publisher_next(f->publisher.handle), 64);
        const int rc = aether_publish(f->publisher.handle, data, len);
        assert_true(rc == 0 || rc == AETHER_FULL);
        if (rc != 0)
            break;
        n++;
    }
    return n;
}

static uint64_t fill(struct fixture *f) {
    return publish(f, UINT64_MAX);
}

static aether_message receive(struct fixture *f) {
    aether_message message;

    assert_int_equal(aether_receive(f->sub, &message), 1);
    assert_int_equal(message.lost, 0);
    return message;
}

static aether_held hold(struct fixture *f, const aether_message *message) {
    aether_held held;

    assert_int_equal(aether_hold(f->sub, message, &held), 0);
    assert_int_equal(held.message.seq, message->seq);
    assert_ptr_equal(held.message.data, message->data);
    return held;
}

static void expect_refused(struct fixture *f, const aether_message *message, int rc) {
    aether_held held = {.place = 7};

    assert_int_equal(aether_hold(f->sub, message, &held), rc);
    assert_int_equal(held.place, 0);
    aether_release(f->sub, &held); /* does nothing */
}

static uint64_t shared_cursor(const struct fixture *f) {
    return ae_load_acquire(&f->ring.cursors->records[3].cursor);
}

/* The figures of another process say what this subscriber's own do. */
static void check_figures(const struct fixture *f) {
    const ae_stats_record *record = &f->subscriber.stats;
    const uint64_t start = f->ring.geometry.start_seq, end = aether_publisher_next(f->publisher.handle);
    aether_subscriber_stats own;
    struct ae_figures figures;
    ae_account account;

    (void)ae_figures_copy(record, &account);
    const ae_u64 *cursor = ae_figures_cursor(record, &account, AE_ROLE_RELIABLE, &f->ring.cursors->records[3]);
    assert_true(ae_figures_of_subscriber(&account, ae_load_acquire(cursor), start, end, &figures));
    aether_subscriber_get_stats(f->sub, &own);
    assert_int_equal(own.delivered + own.lost + own.aborted + own.skipped, own.next - own.joined);
    assert_int_equal(figures.messages + figures.lost + figures.aborted + figures.skipped,
                     figures.next - figures.joined);
    assert_int_equal(figures.joined, own.joined);
    assert_true(own.next - figures.next <= CAPACITY / 2); /* the cursor is stored now and then, and once a batch */
}

/* ---- what publishers wait for ---- */

static void publishers_wait_for_what_is_held(void **state) {
    (void)state;
    for (size_t i = 0; i < STARTS; i++) {
        for (uint64_t at = 0; at < CAPACITY; at++) {
            struct fixture f;
            aether_held held = {0};
            aether_message message;

            open_from(&f, starts[i]);
            assert_int_equal(fill(&f), CAPACITY);
            for (uint64_t n = 0; n < CAPACITY; n++) {
                message = receive(&f);
                assert_int_equal(message.seq, starts[i] + n);
                if (n == at)
                    held = hold(&f, &message);
                check_figures(&f);
            }
            assert_int_equal(aether_receive(f.sub, &message), 0); /* releases all that isn't held */
            assert_int_equal(shared_cursor(&f), starts[i] + at);
            assert_int_equal(fill(&f), at);
            assert_true(payload_right(&held.message, 64));
            for (uint64_t n = 0; n < at; n++) /* receiving goes on meanwhile */
                assert_int_equal(receive(&f).seq, starts[i] + CAPACITY + n);
            check_figures(&f);
            assert_int_equal(fill(&f), 0);
            assert_true(payload_right(&held.message, 64));
            aether_release(f.sub, &held);
            assert_int_equal(held.place, 0);
            aether_release(f.sub, &held);
            check_figures(&f);
            assert_int_equal(aether_receive(f.sub, &message), 0);
            assert_int_equal(fill(&f), CAPACITY);
            check_figures(&f);
            close_all(&f);
        }
    }
}

/* Held and released in any order, up to all places; after each step the shared cursor is the lowest that is held. */
static void in_any_order(void **state) {
    uint64_t random = 1;

    (void)state;
    for (size_t i = 0; i < STARTS; i++) {
        struct fixture f;
        aether_held held[AETHER_HOLDS_MAX] = {0};
        aether_message message = {0};
        unsigned count = 0;

        open_all(&f, &(aether_topic_config){.capacity = 128, .max_message = 64, .start_seq = starts[i]},
                 &(aether_subscribe_options){0});
        for (unsigned step = 0; step < 4000; step++) {
            const uint64_t r = mix(random++);
            const unsigned place = (unsigned)(r >> 32) % AETHER_HOLDS_MAX;
            const bool fresh =
                r % 2 == 0 &&
                (publish(&f, 1) == 1 || aether_subscriber_next(f.sub) != aether_publisher_next(f.publisher.handle)) &&
                aether_receive(f.sub, &message) == 1;
            if (fresh && held[place].place == 0) {
                held[place] = hold(&f, &message);
                count++;
            } else if (held[place].place != 0) {
                assert_true(payload_right(&held[place].message, 64));
                aether_release(f.sub, &held[place]);
                count--;
            }
            uint64_t lowest = aether_subscriber_next(f.sub);
            for (unsigned k = 0; k < AETHER_HOLDS_MAX; k++) {
                if (held[k].place != 0 && (int64_t)(held[k].message.seq - lowest) < 0)
                    lowest = held[k].message.seq;
            }
            assert_true((int64_t)(lowest - shared_cursor(&f)) >= 0);
            assert_true(count == 0 || lowest - shared_cursor(&f) <= 16); /* the cursor is stored every 16 messages */
        }
        for (unsigned k = 0; k < AETHER_HOLDS_MAX; k++)
            aether_release(f.sub, &held[k]);
        while (aether_receive(f.sub, &message) == 1)
            ;
        assert_int_equal(shared_cursor(&f), aether_subscriber_next(f.sub));
        assert_int_equal(fill(&f), 128);
        close_all(&f);
    }
}

static void not_more_than_there_are_places(void **state) {
    struct fixture f;
    aether_held held[AETHER_HOLDS_MAX];
    aether_message message;

    (void)state;
    open_from(&f, 0);
    assert_int_equal(publish(&f, 1), 1);
    message = receive(&f);
    for (unsigned i = 0; i < AETHER_HOLDS_MAX; i++) /* the same message */
        held[i] = hold(&f, &message);
    expect_refused(&f, &message, -ENOBUFS);
    aether_release(f.sub, &held[40]);
    held[40] = hold(&f, &message);
    expect_refused(&f, &message, -ENOBUFS);
    for (unsigned i = 0; i < AETHER_HOLDS_MAX; i++) {
        assert_int_equal(shared_cursor(&f), 0);
        aether_release(f.sub, &held[i]);
    }
    assert_int_equal(aether_receive(f.sub, &message), 0);
    assert_int_equal(shared_cursor(&f), 1);
    close_all(&f);
}

/* A batch's messages stay valid until the next call, also below those that are held. */
static void of_a_batch(void **state) {
    struct fixture f;
    aether_message messages[8];
    aether_held held[3];

    (void)state;
    open_from(&f, 0);
    assert_int_equal(fill(&f), CAPACITY);
    assert_int_equal(aether_receive_batch(f.sub, messages, 8), 8);
    held[0] = hold(&f, &messages[5]);
    held[1] = hold(&f, &messages[2]);
    aether_release(f.sub, &held[1]);
    assert_int_equal(shared_cursor(&f), 0);
    aether_release(f.sub, &held[0]);
    assert_int_equal(shared_cursor(&f), 0);
    assert_int_equal(fill(&f), 0);
    held[0] = hold(&f, &messages[5]);
    held[1] = hold(&f, &messages[2]);
    assert_int_equal(aether_receive_batch(f.sub, messages, 8), 8);
    held[2] = hold(&f, &messages[7]);
    assert_int_equal(shared_cursor(&f), 2);
    assert_int_equal(fill(&f), 2);
    aether_release(f.sub, &held[1]);
    assert_int_equal(fill(&f), 3);
    for (int i = 0; i < 8; i++)
        assert_true(payload_right(&messages[i], 64));
    aether_release(f.sub, &held[0]);
    assert_int_equal(fill(&f), 3); /* up to the batch */
    aether_release(f.sub, &held[2]);
    assert_int_equal(aether_receive_batch(f.sub, messages, 8), 8);
    check_figures(&f);
    close_all(&f);
}

struct collector {
    struct fixture *f;
    aether_held held[8];
    unsigned count;
};

/* Holds every third message, and releases the one before. */
static int collect(void *context, const aether_message *message) {
    struct collector *c = context;

    if (message->seq % 3 == 0) {
        if (c->count != 0)
            aether_release(c->f->sub, &c->held[c->count - 1]);
        c->held[c->count++] = hold(c->f, message);
    }
    return 0;
}

static void in_a_handler(void **state) {
    struct fixture f;
    struct collector c = {.f = &f};

    (void)state;
    open_from(&f, 0);
    for (unsigned round = 0; round < 100; round++) {
        const uint64_t published = fill(&f);
        c.count = 0;
        assert_int_equal(aether_poll(f.sub, collect, &c, CAPACITY), published);
        check_figures(&f);
        assert_true(c.count > 1);
        const aether_held *last = &c.held[c.count - 1];
        assert_true(payload_right(&last->message, 64));
        assert_int_equal(aether_poll(f.sub, collect, &c, CAPACITY), 0);
        assert_int_equal(shared_cursor(&f), last->message.seq);
        const uint64_t room = last->message.seq + CAPACITY - aether_publisher_next(f.publisher.handle);
        assert_int_equal(fill(&f), room);
        assert_int_equal(fill(&f), 0);
        assert_true(payload_right(&last->message, 64));
        c.held[0] = *last;
        c.count = 1;
        aether_release(f.sub, &c.held[0]);
        c.count = 0;
        assert_int_equal(aether_poll(f.sub, collect, &c, CAPACITY), room);
        for (unsigned i = 0; i < c.count; i++)
            aether_release(f.sub, &c.held[i]);
    }
    close_all(&f);
}

/* A message in a lane keeps its bytes, and the room in the lane comes back with the release. */
static void in_a_lane(void **state) {
    static unsigned char data[4096];
    struct fixture f;
    aether_message message;
    aether_held held;
    unsigned n;

    (void)state;
    open_all(&f, &(aether_topic_config){.capacity = 64, .max_message = 4096, .inline_max = 56, .lane_bytes = 16384},
             &(aether_subscribe_options){0});
    for (unsigned round = 0; round < 20; round++) {
        memset(data, (int)round, sizeof data);
        assert_int_equal(aether_publish(f.publisher.handle, data, 4096), 0);
        message = receive(&f);
        held = hold(&f, &message);
        assert_int_equal(aether_receive(f.sub, &message), 0);
        memset(data, 255, sizeof data);
        for (n = 0; aether_publish(f.publisher.handle, data, 4096) == 0; n++)
            assert_int_equal(receive(&f).len, 4096);
        assert_true(n > 0 && n < 4);
        for (size_t i = 0; i < 4096; i++)
            assert_int_equal(((const unsigned char *)held.message.data)[i], (int)round);
        assert_int_equal(aether_still_valid(f.sub, &held.message), 1);
        aether_release(f.sub, &held);
        assert_int_equal(aether_receive(f.sub, &message), 0);
        check_figures(&f);
    }
    close_all(&f);
}

/* A subscriber that waits releases all but what it holds. */
static void while_it_waits(void **state) {
    struct fixture f;
    aether_message message;
    aether_held held;

    (void)state;
    open_all(&f, &(aether_topic_config){.capacity = 128, .max_message = 64}, &(aether_subscribe_options){0});
    assert_int_equal(publish(&f, 3), 3);
    for (int i = 0; i < 3; i++)
        message = receive(&f);
    held = hold(&f, &message);
    assert_int_equal(aether_wait(f.sub, 1000), 0);
    assert_int_equal(shared_cursor(&f), 2);
    aether_release(f.sub, &held);
    assert_int_equal(shared_cursor(&f), 3);
    close_all(&f);
}

/* ---- what can't be held ---- */

static void not_where_publishers_dont_wait(void **state) {
    static const aether_subscribe_options options[] = {
        {.policy = AETHER_BEST_EFFORT},
        {.policy = AETHER_BEST_EFFORT, .views = AETHER_VIEWS_IN_PLACE},
        {.policy = AETHER_LATEST},
        {.policy = AETHER_RELIABLE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        const bool evicts = options[i].policy == AETHER_RELIABLE;
        struct fixture f;
        open_all(&f,
                 &(aether_topic_config){
                     .capacity = CAPACITY, .max_message = 64, .slow = evicts ? AETHER_SLOW_EVICT : AETHER_SLOW_WAIT},
                 &options[i]);
        assert_int_equal(publish(&f, 1), 1);
        const aether_message message = receive(&f);
        expect_refused(&f, &message, -ENOTSUP);
        close_all(&f);
    }
}

static void not_before_the_join(void **state) {
    struct fixture f;
    struct test_subscriber late;
    aether_message message;
    aether_held held;

    (void)state;
    open_from(&f, 0);
    assert_int_equal(publish(&f, 3), 3);
    subscriber_open(&late, &f.ring, f.ring.log_ro, 4, &(aether_subscribe_options){.from = AETHER_FROM_OLDEST});
    assert_int_equal(publish(&f, 1), 1);
    for (uint64_t seq = 0; seq < 4; seq++) {
        assert_int_equal(aether_receive(late.handle, &message), 1);
        assert_int_equal(aether_hold(late.handle, &message, &held), seq < 3 ? -ENOTSUP : 0);
    }
    aether_release(late.handle, &held);
    subscriber_close(&late);
    close_all(&f);
}

static void not_when_it_is_too_late(void **state) {
    struct fixture f;
    aether_message first, message;

    (void)state;
    open_from(&f, 0);
    assert_int_equal(publish(&f, 4), 4);
    first = receive(&f);
    for (int i = 0; i < 3; i++)
        (void)receive(&f);
    expect_refused(&f, &first, -EINVAL);
    message = first;
    message.seq = 100;
    expect_refused(&f, &message, -EINVAL);
    message.seq = 3;
    expect_refused(&f, &message, -EINVAL); /* another slot's bytes */
    message = (aether_message){.seq = 3, .lost = 1};
    expect_refused(&f, &message, -EINVAL);
    message = (aether_message){.seq = 3, .data = "", .len = 1};
    expect_refused(&f, &message, -ENOTSUP);
    message = (aether_message){0};
    expect_refused(&f, &message, -EINVAL);
    assert_non_null(strstr(aether_errmsg(), "never received"));
    aether_release(f.subscriber.handle, &(aether_held){0});
    close_all(&f);
}

static void an_eviction_ends_it(void **state) {
    struct fixture f;
    aether_message message;
    aether_held held;
    int rc;

    (void)state;
    open_all(&f, &(aether_topic_config){.capacity = CAPACITY, .max_message = 64, .slow = AETHER_SLOW_EVICT},
             &(aether_subscribe_options){.views = AETHER_VIEWS_IN_PLACE});
    assert_int_equal(publish(&f, 1), 1);
    message = receive(&f);
    held = hold(&f, &message);
    for (unsigned i = 0; i < 4 * CAPACITY; i++) { /* it receives all, and is evicted for what it holds */
        assert_int_equal(publish(&f, 1), 1);
        rc = aether_receive(f.sub, &message);
        if (rc != 1)
            break;
        check_figures(&f);
    }
    if (rc == 0)
        rc = aether_receive(f.sub, &message);
    while (rc == 1)
        rc = aether_receive(f.sub, &message);
    assert_int_equal(rc, -EOVERFLOW);
    assert_int_equal(publish(&f, CAPACITY), CAPACITY);
    assert_int_equal(aether_still_valid(f.sub, &held.message), 0);
    const uint64_t cursor = shared_cursor(&f);
    aether_release(f.sub, &held);
    assert_int_equal(shared_cursor(&f), cursor);
    while ((rc = aether_receive(f.sub, &message)) == 1 && message.lost != 0)
        ;
    assert_int_equal(rc, 1);
    expect_refused(&f, &message, -ENOTSUP);
    check_figures(&f);
    close_all(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(publishers_wait_for_what_is_held),
        cmocka_unit_test(in_any_order),
        cmocka_unit_test(not_more_than_there_are_places),
        cmocka_unit_test(of_a_batch),
        cmocka_unit_test(in_a_handler),
        cmocka_unit_test(in_a_lane),
        cmocka_unit_test(while_it_waits),
        cmocka_unit_test(not_where_publishers_dont_wait),
        cmocka_unit_test(not_before_the_join),
        cmocka_unit_test(not_when_it_is_too_late),
        cmocka_unit_test(an_eviction_ends_it),
    };

    alarm(900);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
