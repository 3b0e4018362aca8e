/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One publisher and subscribers of every policy on a ring and a lane that are far too small for them. All use one
 * mapping, so that ThreadSanitizer can check them.
 */
#include "ring/ring_test.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#ifdef AE_TSAN
#define MESSAGES 20000u
#define LARGE_MESSAGES 3000u
#else
#define MESSAGES 120000u
#define LARGE_MESSAGES 20000u
#endif
#define LANE 4096u

struct scene {
    struct ring ring;
    uint64_t messages;
    uint64_t end;     /* sequence at which the publisher stops */
    ae_u64 published; /* next sequence, relaxed: shows progress and orders nothing */
    pthread_barrier_t begin;
};

struct actor {
    struct scene *scene;
    uint32_t record;
    aether_policy policy;
    int form;
    aether_views views;
    bool evicted;                             /* received -EOVERFLOW */
    uint64_t delivered, lost, skipped, joins; /* results */
    uint64_t torn;                            /* in place: overwritten, and not valid any more */
    const char *error;
    pthread_t thread;
};

/* Through a loan. `others`: after taking and discarding two loans, whose memory is overwritten. */
static int publish_loan(aether_publisher *pub, const unsigned char *data, size_t len, bool others) {
    aether_loan loan, other;
    int rc;

    if (others && aether_loan_take(pub, len, &other) == 0) {
        if (aether_loan_take(pub, len / 2, &loan) == 0) /* there may be no room beside the first */
            (void)aether_loan_discard(pub, &loan);
        (void)aether_loan_discard(pub, &other);
    }
    if ((rc = aether_loan_take(pub, len, &loan)) != 0)
        return rc;
    if (len != 0)
        ae_copy_in(loan.data, data, len);
    if ((rc = aether_loan_commit(pub, &loan)) == AETHER_FULL)
        (void)aether_loan_discard(pub, &loan);
    return rc;
}

static void *publish_all(void *arg) {
    struct actor *self = arg;
    struct scene *scene = self->scene;
    static unsigned char data[4][LANE];
    const size_t max = scene->ring.geometry.max_message;
    struct test_publisher publisher;
    aether_publisher *pub;

    publisher_open_as(&publisher, &scene->ring, 0, scene->ring.cursors);
    pub = publisher.handle;
    pthread_barrier_wait(&scene->begin);
    while (pub->next != scene->end) {
        const uint64_t seq = pub->next;
        const bool loan = mix(seq + 7) % 4 == 0;
        size_t count = loan || 4 * max > LANE ? 1 : 1 + mix(seq) % 4;
        struct iovec messages[4];
        int rc;
        if (count > scene->end - seq)
            count = scene->end - seq;
        for (size_t i = 0; i < count; i++)
            messages[i] = (struct iovec){data[i], payload_fill(data[i], seq + i, max)};
        while ((rc = loan         ? publish_loan(pub, data[0], messages[0].iov_len, mix(seq + 9) % 4 == 0)
                     : count == 1 ? aether_publish(pub, data[0], messages[0].iov_len)
                                  : aether_publish_batch(pub, messages, count)) == AETHER_FULL) {
            if (scene->ring.geometry.evict_lag != 0)
                self->error = "full, on a topic that evicts";
            sched_yield();
        }
        if (rc != 0)
            self->error = "publish failed";
        self->delivered += count;
        ae_store_relaxed(&scene->published, pub->next);
        if (mix(seq + 11) % 64 == 0)
            sched_yield(); /* so that subscribers catch up now and then */
    }
    publisher_close(&publisher);
    return NULL;
}

/* Bytes that the publisher may overwrite meanwhile are copied as atomic.h does it, and checked afterwards. */
static void check_bytes(struct actor *self, const struct ae_subscriber *sub, const aether_message *message) {
    const size_t max = self->scene->ring.geometry.max_message;
    aether_message copy = *message;
    _Alignas(8) unsigned char bytes[LANE];

    if (!sub->in_place || (self->policy == AETHER_RELIABLE && sub->geometry.evict_lag == 0)) {
        if (!payload_right(message, max))
            self->error = "torn or wrong payload";
        return;
    }
    if (message->len != 0)
        ae_copy_out(bytes, message->data, message->len);
    copy.data = bytes;
    if (aether_still_valid(&sub->hot, message)) {
        if (!payload_right(&copy, max))
            self->error = "torn or wrong payload that was said to be valid";
    } else {
        self->torn++;
    }
}

static void check_entry(struct actor *self, const struct ae_subscriber *sub, const aether_message *message,
                        uint64_t *expected) {
    if (self->policy == AETHER_LATEST && (int64_t)(message->seq - *expected) > 0)
        *expected = message->seq;
    if (message->seq != *expected)
        self->error = "out of order";
    if (message->lost != 0) {
        /* Before -EOVERFLOW a reliable subscriber may lose only messages that were retained from before its join. */
        if (self->policy == AETHER_RELIABLE && !self->evicted &&
            (int64_t)(message->seq + message->lost - sub->protected_seq) > 0)
            self->error = "a reliable subscriber lost a message";
        if (self->policy == AETHER_LATEST)
            self->error = "a gap of latest";
        self->lost += message->lost;
        *expected += message->lost;
        return;
    }
    check_bytes(self, sub, message);
    self->delivered++;
    ++*expected;
}

struct polled {
    struct actor *self;
    const struct ae_subscriber *sub;
    uint64_t *expected;
};

static int check_polled(void *context, const aether_message *message) {
    const struct polled *polled = context;

    check_entry(polled->self, polled->sub, message, polled->expected);
    return 0;
}

/* Reads until `end`, or for `budget` entries. */
static void receive_until(struct actor *self, struct test_subscriber *subscriber, uint64_t end, uint64_t budget) {
    uint64_t expected = aether_subscriber_next(subscriber->handle);
    aether_subscriber_stats stats;
    struct polled polled = {self, &subscriber->sub, &expected};

    self->delivered = self->lost = 0;
    self->evicted = false;
    while (expected != end && budget-- > 0 && self->error == NULL) {
        aether_message messages[6];
        int n;
        if (self->form == 2) {
            n = aether_poll(subscriber->handle, check_polled, &polled, 6);
        } else {
            n = self->form == 0 ? aether_receive(subscriber->handle, messages)
                                : aether_receive_batch(subscriber->handle, messages, 6);
            for (int i = 0; i < n; i++)
                check_entry(self, &subscriber->sub, &messages[i], &expected);
        }
        if (n == -EOVERFLOW && self->scene->ring.geometry.evict_lag != 0 && !self->evicted)
            self->evicted = true;
        else if (n < 0)
            self->error = "receive failed";
        if (self->policy == AETHER_LATEST) /* may skip what it finds overwritten */
            expected = aether_subscriber_next(subscriber->handle);
        if (n == 0)
            sched_yield();
    }
    aether_subscriber_get_stats(subscriber->handle, &stats);
    self->skipped = stats.skipped;
    if (stats.delivered != self->delivered || stats.lost != self->lost || stats.aborted != 0 ||
        (stats.skipped != 0 && self->policy != AETHER_LATEST) || stats.evicted != self->evicted ||
        stats.next - stats.joined != self->delivered + self->lost + self->skipped)
        self->error = "delivered + lost is not what it advanced";
}

static void *receive_all(void *arg) {
    struct actor *self = arg;
    const aether_subscribe_options options = {.policy = self->policy, .views = self->views};
    struct test_subscriber subscriber;

    subscriber_open(&subscriber, &self->scene->ring, self->scene->ring.log, self->record, &options);
    self->joins = 1;
    pthread_barrier_wait(&self->scene->begin);
    receive_until(self, &subscriber, self->scene->end, UINT64_MAX);
    subscriber_close(&subscriber);
    return NULL;
}

/* Joins with any policy and start, receives a little, leaves, and joins again. */
static void *join_and_leave(void *arg) {
    struct actor *self = arg;
    struct scene *scene = self->scene;
    uint64_t random = 42 + self->record;

    pthread_barrier_wait(&scene->begin);
    while (ae_load_relaxed(&scene->published) != scene->end && self->error == NULL) {
        const uint64_t r = next_random(&random);
        const aether_subscribe_options options = {.policy = (aether_policy)((r >> 40) % 3),
                                                  .from = (aether_from)((r >> 1) % 3),
                                                  .last = (r >> 1) % 3 == 2 ? r >> 8 & 31 : 0,
                                                  .views = (aether_views)(r >> 48 & 1)};
        struct test_subscriber subscriber;
        self->policy = options.policy;
        self->form = (int)((r >> 16) % 3);
        subscriber_open(&subscriber, &scene->ring, scene->ring.log, self->record, &options);
        receive_until(self, &subscriber, scene->end, r >> 24 & 127);
        subscriber_close(&subscriber);
        self->joins++;
    }
    return NULL;
}

/* Plays the scene to its end. The actors at 1 and 2 are reliable. */
static struct actor *play(struct scene *scene, const aether_topic_config *config, uint64_t messages) {
    static struct actor actors[9];
    const struct actor cast[] = {
        {.scene = scene}, /* the publisher */
        {.scene = scene, .record = 0, .policy = AETHER_RELIABLE, .form = 0},
        {.scene = scene, .record = 1, .policy = AETHER_RELIABLE, .form = 1, .views = AETHER_VIEWS_IN_PLACE},
        {.scene = scene, .policy = AETHER_BEST_EFFORT, .form = 2},
        {.scene = scene, .policy = AETHER_BEST_EFFORT, .form = 1},
        {.scene = scene, .policy = AETHER_BEST_EFFORT, .form = 0, .views = AETHER_VIEWS_IN_PLACE},
        {.scene = scene, .policy = AETHER_LATEST, .form = 0},
        {.scene = scene, .policy = AETHER_LATEST, .form = 1, .views = AETHER_VIEWS_IN_PLACE},
        {.scene = scene, .record = 63},
    };
    const size_t count = sizeof cast / sizeof cast[0];

    memcpy(actors, cast, sizeof cast);
    ring_make_as(&scene->ring, config);
    scene->messages = messages;
    scene->end = config->start_seq + messages;
    ae_store_relaxed(&scene->published, config->start_seq);
    pthread_barrier_init(&scene->begin, NULL, (unsigned)count);
    for (size_t i = 0; i < count; i++) {
        void *(*const act)(void *) = i == 0 ? publish_all : i == count - 1 ? join_and_leave : receive_all;
        assert_int_equal(pthread_create(&actors[i].thread, NULL, act, &actors[i]), 0);
    }
    for (size_t i = 0; i < count; i++)
        pthread_join(actors[i].thread, NULL);
    for (size_t i = 0; i < count; i++) {
        if (actors[i].error != NULL)
            fail_msg("actor %zu: %s", i, actors[i].error);
        assert_true(i == 0 || actors[i].joins > 0);
        if (i > 0 && i < count - 1)
            assert_int_equal(actors[i].delivered + actors[i].lost + actors[i].skipped, messages);
    }
    assert_int_equal(ae_load_relaxed(&scene->ring.cursors->active.active), 0);
    pthread_barrier_destroy(&scene->begin);
    ring_free(&scene->ring);
    return actors;
}

static void run_as(const aether_topic_config *config, uint64_t messages) {
    static struct scene scene;
    const struct actor *actors = play(&scene, config, messages);

    if (config->slow == AETHER_SLOW_EVICT)
        return;
    assert_int_equal(actors[1].delivered, messages);
    assert_int_equal(actors[2].delivered, messages);
}

static void run(uint64_t capacity, uint64_t max_message, uint64_t start_seq) {
    run_as(&(aether_topic_config){.capacity = capacity, .max_message = max_message, .start_seq = start_seq}, MESSAGES);
}

static void smallest_ring(void **state) {
    (void)state;
    run(8, 120, 0);
}

static void odd_slots_across_48_bits(void **state) {
    (void)state;
    run(16, 301, (1ull << 48) - MESSAGES / 2);
}

static void larger_ring_across_64_bits(void **state) {
    (void)state;
    run(64, 45, UINT64_MAX - MESSAGES / 2);
}

/* Messages of 8 bytes, which have a store of their own on some processors, between messages of other lengths. */
static void eight_bytes(void **state) {
    (void)state;
    run(8, 8, 0);
    run(8, 24, (1ull << 48) - MESSAGES / 2);
}

/* Messages that are half inline, or a quarter, half and all of the lane. */
static void lanes(void **state) {
    static const uint64_t sizes[] = {120, LANE / 4, LANE / 2, LANE};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        run_as(&(aether_topic_config){.capacity = 16,
                                      .max_message = sizes[i],
                                      .inline_max = 56,
                                      .lane_bytes = LANE,
                                      .start_seq = (1ull << 48) - LARGE_MESSAGES / 2},
               LARGE_MESSAGES);
}

static void evicting(void **state) {
    (void)state;
    for (uint64_t lag = 8; lag <= 16; lag += 8) {
        run_as(&(aether_topic_config){.capacity = 16,
                                      .max_message = LANE / 4,
                                      .inline_max = 56,
                                      .lane_bytes = LANE,
                                      .slow = AETHER_SLOW_EVICT,
                                      .evict_lag = lag,
                                      .start_seq = UINT64_MAX - LARGE_MESSAGES / 2},
               LARGE_MESSAGES);
        run_as(&(aether_topic_config){.capacity = 16, .max_message = 40, .slow = AETHER_SLOW_EVICT, .evict_lag = lag},
               MESSAGES);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(smallest_ring),
        cmocka_unit_test(eight_bytes),
        cmocka_unit_test(odd_slots_across_48_bits),
        cmocka_unit_test(larger_ring_across_64_bits),
        cmocka_unit_test(lanes),
        cmocka_unit_test(evicting),
    };

    alarm(900); /* ends the test if a thread waits for ever */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
