/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subscribers that are opened before their topic has a shape: they have the words of the log and nothing else, wait,
 * and miss nothing that is published before they take the shape.
 */
#include "ring/ring_test.h"
#include "shm/registry_layout.h"
#include <aether/wait.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define CAPACITY 16u
#define LANE 4096u
#define RECORD 7u

/* The topic's shape word, and what the opener of the subscriber has. */
static struct {
    struct ring ring;
    ae_u64 shape;
    struct test_subscriber subscriber;
    struct test_publisher publisher;
    const ae_log *words; /* a mapping that ends with the words of the log */
    int attach_rc;       /* what the next attachments return, if it isn't 0 */
    unsigned calls;      /* of attach() */
} test;

static int attach(struct ae_subscriber *s) {
    const aether_subscribe_options options = ae_subscriber_options(s);
    const size_t need = ae_subscriber_copies_bytes(&test.ring.geometry, &options);

    test.calls++;
    if (!ae_subscriber_ready(s))
        return 0;
    if (test.attach_rc != 0)
        return test.attach_rc;
    test.subscriber.copies_bytes = (need + AE_PAGE - 1) & ~(size_t)(AE_PAGE - 1);
    if (need != 0)
        test.subscriber.copies = guarded_map(test.subscriber.copies_bytes, PROT_READ | PROT_WRITE, -1);
    ae_subscriber_take_shape(s, &test.ring.geometry, test.ring.log_ro,
                             need != 0 ? test.subscriber.copies + test.subscriber.copies_bytes - need : NULL);
    munmap((void *)(uintptr_t)test.words, AE_LOG_SLOTS_OFF); /* a later access crashes */
    return 1;
}

/* What happens to the waiting subscriber of one policy on a topic of one kind. */
struct kind {
    aether_subscribe_options options;
    bool lanes;
    uint64_t evict_lag, start_seq;
};

static const uint64_t starts[] = {0, 5, (1ull << 47) - 3, (1ull << 48) - 9, (1ull << 63) - 3, UINT64_MAX - 5};

/* All kinds, by number. False: there is none of this number. */
static bool kind_of(unsigned n, struct kind *kind) {
    static const aether_policy policies[] = {AETHER_RELIABLE, AETHER_BEST_EFFORT, AETHER_LATEST};
    static const aether_from froms[] = {AETHER_FROM_NEW, AETHER_FROM_OLDEST, AETHER_FROM_LAST};
    const unsigned count = sizeof starts / sizeof starts[0];

    if (n >= count * 3 * 3 * 2 * 2 * 2)
        return false;
    *kind = (struct kind){.start_seq = starts[n % count]};
    n /= count;
    kind->options.policy = policies[n % 3];
    kind->options.from = froms[n / 3 % 3];
    kind->options.last = kind->options.from == AETHER_FROM_LAST ? 3 : 0;
    kind->options.views = n / 9 % 2 != 0 ? AETHER_VIEWS_IN_PLACE : AETHER_VIEWS_COPY;
    kind->lanes = n / 18 % 2 != 0;
    kind->evict_lag = n / 36 % 2 != 0 ? CAPACITY : 0;
    return true;
}

/* aetherd grants the topic to a subscriber before it has a shape. */
static void subscriber_granted(const struct kind *kind) {
    const aether_topic_config config = {.capacity = CAPACITY,
                                        .max_message = kind->lanes ? LANE / 4 : 24,
                                        .inline_max = kind->lanes ? 16 : 0,
                                        .lane_bytes = kind->lanes ? LANE : 0,
                                        .slow = kind->evict_lag != 0 ? AETHER_SLOW_EVICT : AETHER_SLOW_ANY,
                                        .evict_lag = kind->evict_lag,
                                        .start_seq = kind->start_seq};
    struct test_subscriber *subscriber = &test.subscriber;
    const bool reliable = kind->options.policy == AETHER_RELIABLE;
    void *words;

    memset(&test, 0, sizeof test);
    ring_make_as(&test.ring, &config);
    words = mremap(test.ring.log_object.ro, 0, AE_LOG_SLOTS_OFF, MREMAP_MAYMOVE);
    check_setup(words != MAP_FAILED, "mremap");
    test.words = words;
    if (reliable)
        ae_topic_admit_subscriber(test.ring.log, test.ring.cursors, RECORD);
    subscriber->handle = &subscriber->sub.hot;
}

/* True: it waits. */
static bool subscriber_joins(const struct kind *kind) {
    struct test_subscriber *subscriber = &test.subscriber;
    const bool reliable = kind->options.policy == AETHER_RELIABLE;

    return ae_subscriber_init_waiting(&subscriber->sub, kind->start_seq, reliable ? RECORD : 0, test.words,
                                      reliable ? test.ring.cursors : NULL, test.ring.notes, &kind->options,
                                      &subscriber->stats, &test.shape, attach);
}

static void subscriber_open_waiting(const struct kind *kind) {
    subscriber_granted(kind);
    assert_true(subscriber_joins(kind));
}

/* The topic's first publisher comes, but the shape word doesn't say so yet. */
static void publisher_comes(void) {
    publisher_open_as(&test.publisher, &test.ring, 0, test.ring.cursors_ro);
}

static void fix_shape(void) {
    ae_store_release(&test.shape, AE_SHAPE_CHANGE | AE_SHAPE_FIXED);
}

static void end_test(bool attached) {
    subscriber_close(&test.subscriber);
    if (!attached)
        munmap((void *)(uintptr_t)test.words, AE_LOG_SLOTS_OFF);
    ring_free(&test.ring);
}

static int publish_next(void) {
    static unsigned char data[LANE];
    const size_t max = aether_publisher_max_message(test.publisher.handle);

    return aether_publish(test.publisher.handle, data,
                          payload_fill(data, aether_publisher_next(test.publisher.handle), max));
}

/* Publishes up to `most` messages; returns how many there was room for. */
static unsigned publish_some(unsigned most) {
    unsigned n = 0;

    while (n < most && publish_next() == 0)
        n++;
    return n;
}

static int count_entry(void *context, const aether_message *message) {
    uint64_t *count = context;

    assert_true(message->lost != 0 || payload_right(message, test.ring.geometry.max_message));
    *count += message->lost != 0 ? message->lost : 1;
    return 0;
}

static void expect_nothing(const struct kind *kind) {
    aether_subscriber *sub = test.subscriber.handle;
    aether_message messages[4];
    uint64_t count = 0;

    for (int turn = 0; turn < 2; turn++) {
        assert_int_equal(aether_receive(sub, messages), 0);
        assert_int_equal(aether_receive_batch(sub, messages, 4), 0);
        assert_int_equal(aether_poll(sub, count_entry, &count, 4), 0);
        assert_int_equal(aether_receive_wait(sub, messages, 1000), 0);
        assert_int_equal(aether_wait(sub, 0), 0);
    }
    assert_true(ae_subscriber_waits(&test.subscriber.sub));
    assert_int_equal(aether_subscriber_next(sub), kind->start_seq);
}

/* Receives all there is, by poll, batch or one by one. Returns by how many sequences it has advanced. */
static uint64_t receive_all(unsigned form) {
    aether_subscriber *sub = test.subscriber.handle;
    const uint64_t before = aether_subscriber_next(sub);
    aether_message messages[5];
    uint64_t count = 0;
    int n;

    do {
        if (form % 3 == 0)
            n = aether_poll(sub, count_entry, &count, 5);
        else
            n = form % 3 == 1 ? aether_receive(sub, messages) : aether_receive_batch(sub, messages, 5);
        for (int i = 0; i < n && form % 3 != 0; i++)
            count_entry(&count, &messages[i]);
    } while (n > 0);
    assert_int_equal(n, 0);
    return aether_subscriber_next(sub) - before;
}

static void nothing_is_missed(void **state) {
    struct kind kind;

    (void)state;
    for (unsigned n = 0; kind_of(n, &kind); n++) {
        const bool keeps = kind.options.policy == AETHER_RELIABLE && kind.evict_lag == 0;
        aether_subscriber_stats stats;

        subscriber_open_waiting(&kind);
        expect_nothing(&kind);
        assert_int_equal(aether_subscriber_stream(test.subscriber.handle), AETHER_STREAM_NONE);
        publisher_comes();
        /* As many as fit: on most topics fewer than the ring has, and each has to be received. */
        const unsigned published = publish_some(keeps ? 3 * CAPACITY : 3);
        assert_in_range(published, 1, CAPACITY);
        if (keeps)
            assert_int_equal(publish_next(), AETHER_FULL);
        expect_nothing(&kind);
        fix_shape();
        assert_int_equal(aether_subscriber_stream(test.subscriber.handle), AETHER_STREAM_OPEN);
        assert_int_equal(receive_all(n), published);
        assert_false(ae_subscriber_waits(&test.subscriber.sub));
        aether_subscriber_get_stats(test.subscriber.handle, &stats);
        assert_int_equal(stats.joined, kind.start_seq);
        assert_int_equal(stats.lost, 0);
        assert_int_equal(stats.delivered + stats.skipped, published);
        assert_int_equal(publish_some(2), 2);
        assert_int_equal(receive_all(n + 1), 2);
        publisher_close(&test.publisher);
        assert_int_equal(aether_subscriber_stream(test.subscriber.handle), AETHER_STREAM_CLOSED);
        end_test(true);
    }
}

/* A wait takes the shape, and ends only if there is something besides. */
static void waits_take_the_shape(void **state) {
    struct kind kind;
    aether_message message;

    (void)state;
    for (unsigned n = 0; kind_of(n, &kind); n += 7) {
        subscriber_open_waiting(&kind);
        publisher_comes();
        fix_shape();
        assert_int_equal(aether_wait(test.subscriber.handle, n % 2 != 0 ? 1000 : 0), 0);
        assert_false(ae_subscriber_waits(&test.subscriber.sub));
        assert_int_equal(publish_next(), 0);
        assert_int_equal(aether_wait(test.subscriber.handle, AETHER_FOREVER), 1);
        assert_int_equal(aether_receive(test.subscriber.handle, &message), 1);
        assert_int_equal(message.seq, kind.start_seq);
        publisher_close(&test.publisher);
        end_test(true);

        subscriber_open_waiting(&kind);
        publisher_comes();
        assert_int_equal(publish_next(), 0);
        fix_shape();
        assert_int_equal(aether_receive_wait(test.subscriber.handle, &message, AETHER_FOREVER), 1);
        assert_int_equal(message.seq, kind.start_seq);
        publisher_close(&test.publisher);
        end_test(true);
    }
}

/* The publisher has come, published and closed before the subscriber takes the shape. */
static void end_comes_after_all_messages(void **state) {
    struct kind kind;

    (void)state;
    for (unsigned n = 0; kind_of(n, &kind); n += 5) {
        subscriber_open_waiting(&kind);
        publisher_comes();
        const unsigned published = publish_some(4);
        fix_shape();
        publisher_close(&test.publisher);
        assert_int_equal(aether_subscriber_stream(test.subscriber.handle), AETHER_STREAM_OPEN);
        assert_int_equal(aether_wait(test.subscriber.handle, 0), 1);
        assert_int_equal(aether_subscriber_stream(test.subscriber.handle), AETHER_STREAM_OPEN);
        assert_int_equal(receive_all(n), published);
        assert_int_equal(aether_subscriber_stream(test.subscriber.handle), AETHER_STREAM_CLOSED);
        end_test(true);
    }
}

/* The publisher closes or dies, and has published nothing. That is seen also before the shape is taken. */
static void end_without_a_message(void **state) {
    struct kind kind;
    aether_message message;

    (void)state;
    for (unsigned n = 0; kind_of(n, &kind); n += 5) {
        const aether_stream end = n % 2 != 0 ? AETHER_STREAM_CLOSED : AETHER_STREAM_DIED;
        aether_subscriber *sub;
        subscriber_open_waiting(&kind);
        sub = test.subscriber.handle;
        publisher_comes();
        fix_shape();
        assert_int_equal(aether_subscriber_stream(sub), AETHER_STREAM_OPEN);
        if (end == AETHER_STREAM_CLOSED)
            publisher_close(&test.publisher);
        else
            publisher_die(&test.publisher);
        assert_int_equal(aether_subscriber_stream(sub), end);
        assert_int_equal(aether_wait(sub, AETHER_FOREVER), 1); /* takes the shape, and reports the end once */
        assert_false(ae_subscriber_waits(&test.subscriber.sub));
        assert_int_equal(aether_subscriber_stream(sub), end);
        assert_int_equal(aether_receive(sub, &message), 0);
        assert_int_equal(aether_wait(sub, 0), 0);
        end_test(true);
    }
}

static void errors_leave_it_waiting(void **state) {
    struct kind kind;
    aether_message messages[4];
    uint64_t count = 0;

    (void)state;
    for (unsigned n = 0; kind_of(n, &kind); n += 11) {
        aether_subscriber *sub;
        subscriber_open_waiting(&kind);
        sub = test.subscriber.handle;
        publisher_comes();
        const unsigned published = publish_some(4);
        test.attach_rc = -ENOMEM;
        expect_nothing(&kind); /* there is no shape yet */
        fix_shape();
        for (int turn = 0; turn < 2; turn++) {
            assert_int_equal(aether_receive(sub, messages), -ENOMEM);
            assert_int_equal(aether_receive_batch(sub, messages, 4), -ENOMEM);
            assert_int_equal(aether_poll(sub, count_entry, &count, 4), -ENOMEM);
            assert_int_equal(aether_wait(sub, AETHER_FOREVER), 1);
            assert_int_equal(aether_receive_wait(sub, messages, AETHER_FOREVER), -ENOMEM);
            assert_int_equal(aether_subscriber_stream(sub), AETHER_STREAM_OPEN);
        }
        test.attach_rc = 0;
        assert_int_equal(aether_wait(sub, AETHER_FOREVER), 1);
        test.calls = 0;
        assert_int_equal(receive_all(n), published);
        assert_int_equal(test.calls, 0);
        publisher_close(&test.publisher);
        end_test(true);
    }
}

/* On a topic that evicts, publishers may evict a subscriber before it takes the shape. Until then it loses nothing. */
static void may_be_evicted(void **state) {
    struct kind kind;
    aether_message message;

    (void)state;
    for (unsigned n = 0; kind_of(n, &kind); n++) {
        if (kind.options.policy != AETHER_RELIABLE || kind.evict_lag == 0)
            continue;
        subscriber_open_waiting(&kind);
        publisher_comes();
        assert_int_equal(publish_some(3 * CAPACITY), 3 * CAPACITY);
        fix_shape();
        assert_int_equal(aether_wait(test.subscriber.handle, AETHER_FOREVER), 1);
        assert_int_equal(aether_receive(test.subscriber.handle, &message), -EOVERFLOW);
        assert_int_equal(aether_receive(test.subscriber.handle, &message), 1);
        assert_int_equal(message.seq, kind.start_seq);
        assert_in_range(message.lost, 1, 3 * CAPACITY);
        assert_int_equal(receive_all(n) + message.lost, 3 * CAPACITY);
        publisher_close(&test.publisher);
        end_test(true);
    }
}

static void may_leave_without_a_shape(void **state) {
    struct kind kind;

    (void)state;
    for (unsigned n = 0; kind_of(n, &kind); n += 3) {
        subscriber_open_waiting(&kind);
        end_test(false);
        if (n % 2 != 0)
            continue;
        subscriber_open_waiting(&kind);
        publisher_comes();
        (void)publish_some(2);
        ae_subscriber_leave(&test.subscriber.sub);
        assert_int_equal(ae_load_relaxed(&test.ring.cursors->active.active), 0);
        assert_int_equal(publish_some(2 * CAPACITY), 2 * CAPACITY);
        publisher_close(&test.publisher);
        end_test(false);
    }
}

/* Does a publisher wait for the subscriber? */
static bool is_counted(void) {
    return ae_load_relaxed(&test.ring.cursors->active.active) != 0;
}

/* The client never learns of its grant: publishers publish as if it weren't there. */
static void a_lost_grant_holds_nobody_up(void **state) {
    struct kind kind;

    (void)state;
    for (unsigned n = 0; kind_of(n, &kind); n += 3) {
        subscriber_granted(&kind);
        assert_false(is_counted());
        publisher_comes();
        fix_shape();
        assert_int_equal(publish_some(3 * CAPACITY), 3 * CAPACITY);
        publisher_close(&test.publisher);
        munmap((void *)(uintptr_t)test.words, AE_LOG_SLOTS_OFF);
        ring_free(&test.ring);
    }
}

/* A publisher comes between grant and join, and publishes. The subscriber joins as on any topic that has a shape. */
static void a_late_join_takes_the_shape(void **state) {
    struct kind kind;

    (void)state;
    for (unsigned n = 0; kind_of(n, &kind); n++) {
        const bool latest = kind.options.policy == AETHER_LATEST;
        struct test_subscriber *subscriber = &test.subscriber;
        aether_subscriber_stats stats;

        subscriber_granted(&kind);
        publisher_comes();
        fix_shape();
        assert_int_equal(publish_some(2 * CAPACITY + 5), 2 * CAPACITY + 5);
        assert_false(subscriber_joins(&kind));
        assert_false(is_counted());
        munmap((void *)(uintptr_t)test.words, AE_LOG_SLOTS_OFF); /* a later access crashes */
        const size_t need = ae_subscriber_copies_bytes(&test.ring.geometry, &kind.options);
        subscriber->copies_bytes = (need + AE_PAGE - 1) & ~(size_t)(AE_PAGE - 1);
        if (need != 0)
            subscriber->copies = guarded_map(subscriber->copies_bytes, PROT_READ | PROT_WRITE, -1);
        ae_subscriber_init(&subscriber->sub, &test.ring.geometry, kind.options.policy == AETHER_RELIABLE ? RECORD : 0,
                           test.ring.log_ro, kind.options.policy == AETHER_RELIABLE ? test.ring.cursors : NULL,
                           test.ring.notes, &kind.options,
                           need != 0 ? subscriber->copies + subscriber->copies_bytes - need : NULL, &subscriber->stats);
        assert_int_equal(is_counted(), kind.options.policy == AETHER_RELIABLE);
        assert_int_equal(publish_next(), 0);
        const uint64_t from_new = 1;
        const uint64_t retained = kind.options.from == AETHER_FROM_OLDEST ? CAPACITY
                                  : kind.options.from == AETHER_FROM_LAST ? kind.options.last
                                                                          : 0;
        aether_subscriber_get_stats(subscriber->handle, &stats);
        assert_int_equal(kind.start_seq + 2 * CAPACITY + 5 - stats.joined,
                         latest ? kind.options.from != AETHER_FROM_NEW : retained);
        assert_true(receive_all(n) >= from_new);
        assert_int_equal(aether_subscriber_next(subscriber->handle), kind.start_seq + 2 * CAPACITY + 6);
        publisher_close(&test.publisher);
        end_test(true);
    }
}

/* Publishers that are stopped between the subscriber's two looks at the shape: it has entered, and takes the shape. */
static void a_shape_may_come_during_the_join(void **state) {
    struct kind kind;

    (void)state;
    for (unsigned n = 0; kind_of(n, &kind); n += 7) {
        subscriber_open_waiting(&kind);
        assert_int_equal(is_counted(), kind.options.policy == AETHER_RELIABLE);
        if (kind.options.policy == AETHER_RELIABLE)
            assert_int_equal(ae_load_relaxed(&test.ring.cursors->records[RECORD].cursor), kind.start_seq);
        publisher_comes();
        fix_shape();
        /* As the second look finds it. It leaves if the log can't be mapped. */
        ae_subscriber_leave(&test.subscriber.sub);
        assert_false(is_counted());
        assert_int_equal(publish_some(3 * CAPACITY), 3 * CAPACITY);
        publisher_close(&test.publisher);
        end_test(false);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lost_grant_holds_nobody_up),
        cmocka_unit_test(a_late_join_takes_the_shape),
        cmocka_unit_test(a_shape_may_come_during_the_join),
        cmocka_unit_test(nothing_is_missed),
        cmocka_unit_test(waits_take_the_shape),
        cmocka_unit_test(end_comes_after_all_messages),
        cmocka_unit_test(end_without_a_message),
        cmocka_unit_test(errors_leave_it_waiting),
        cmocka_unit_test(may_be_evicted),
        cmocka_unit_test(may_leave_without_a_shape),
    };

    alarm(900); /* an endless wait ends here */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
