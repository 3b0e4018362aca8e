/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One publisher and readers of both policies on a ring that is far too small for them, in one mapping: the test that
 * ThreadSanitizer runs.
 */
#define _GNU_SOURCE
#include "ring/ring_test.h"
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#ifdef AE_TSAN
#define MESSAGES 20000u
#else
#define MESSAGES 120000u
#endif

struct scene {
    struct ring ring;
    uint64_t end;     /* sequence at which the publisher stops */
    ae_u64 published; /* next sequence, relaxed: an eye on progress and nothing else */
    pthread_barrier_t begin;
};

struct actor {
    struct scene *scene;
    uint32_t record;
    aether_policy policy;
    int form;
    uint64_t delivered, lost, joins; /* results */
    const char *fault;
    pthread_t thread;
};

static void *publish_all(void *arg) {
    struct actor *self = arg;
    struct scene *scene = self->scene;
    static unsigned char data[4][AE_INLINE_MAX];
    const size_t max = scene->ring.geometry.max_message;
    struct ae_publisher pub;

    ae_publisher_init(&pub, &scene->ring.geometry, self->record, scene->ring.log, scene->ring.cursors,
                      NULL);
    pthread_barrier_wait(&scene->begin);
    while (pub.hot.next != scene->end) {
        const uint64_t seq = pub.hot.next;
        size_t count = 1 + mix(seq) % 4;
        struct iovec messages[4];
        int rc;
        if (count > scene->end - seq)
            count = scene->end - seq;
        for (size_t i = 0; i < count; i++)
            messages[i] = (struct iovec){data[i], payload_fill(data[i], seq + i, max)};
        while ((rc = count == 1 ? aether_publish(&pub.hot, data[0], messages[0].iov_len)
                                : aether_publish_batch(&pub.hot, messages, count)) == AETHER_FULL)
            sched_yield();
        if (rc != 0)
            self->fault = "publish failed";
        self->delivered += count;
        ae_store_relaxed(&scene->published, pub.hot.next);
    }
    return NULL;
}

static void check_entry(struct actor *self, const struct ae_subscriber *sub, const aether_message *message,
                        uint64_t *expected) {
    if (message->seq != *expected)
        self->fault = "out of order";
    if (message->lost != 0) {
        /* A reliable reader may lose what the ring held from before its join, and nothing else. */
        if (self->policy == AETHER_RELIABLE && (int64_t)(message->seq + message->lost - sub->protected_seq) > 0)
            self->fault = "a reliable reader lost a message";
        self->lost += message->lost;
        *expected += message->lost;
        return;
    }
    if (!payload_right(message, self->scene->ring.geometry.max_message))
        self->fault = "torn or wrong payload";
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
static void read_until(struct actor *self, struct reader *reader, uint64_t end, uint64_t budget) {
    uint64_t expected = aether_subscriber_next(reader->handle);
    aether_subscriber_stats stats;
    struct polled polled = {self, &reader->sub, &expected};

    self->delivered = self->lost = 0;
    while (expected != end && budget-- > 0 && self->fault == NULL) {
        aether_message messages[6];
        int n;
        if (self->form == 2) {
            n = aether_poll(reader->handle, check_polled, &polled, 6);
        } else {
            n = self->form == 0 ? aether_receive(reader->handle, messages)
                                : aether_receive_batch(reader->handle, messages, 6);
            for (int i = 0; i < n; i++)
                check_entry(self, &reader->sub, &messages[i], &expected);
        }
        if (n < 0)
            self->fault = "receive failed";
        if (n == 0)
            sched_yield();
    }
    aether_subscriber_get_stats(reader->handle, &stats);
    if (stats.delivered != self->delivered || stats.lost != self->lost || stats.aborted != 0 ||
        stats.next - stats.joined != self->delivered + self->lost)
        self->fault = "delivered + lost is not what it advanced";
}

static void *read_all(void *arg) {
    struct actor *self = arg;
    const aether_subscribe_options options = {.policy = self->policy};
    struct reader reader;

    reader_open(&reader, &self->scene->ring, self->scene->ring.log, self->record, &options);
    self->joins = 1;
    pthread_barrier_wait(&self->scene->begin);
    read_until(self, &reader, self->scene->end, UINT64_MAX);
    reader_close(&reader);
    return NULL;
}

/* Joins from every start with either policy, reads a little, leaves, and again. */
static void *join_and_leave(void *arg) {
    struct actor *self = arg;
    struct scene *scene = self->scene;
    uint64_t random = 42 + self->record;

    pthread_barrier_wait(&scene->begin);
    while (ae_load_relaxed(&scene->published) != scene->end && self->fault == NULL) {
        const uint64_t r = next_random(&random);
        const aether_subscribe_options options = {.policy = (aether_policy)(r & 1),
                                                  .from = (aether_from)((r >> 1) % 3),
                                                  .last = (r >> 1) % 3 == 2 ? r >> 8 & 31 : 0};
        struct reader reader;
        self->policy = options.policy;
        self->form = (int)((r >> 16) % 3);
        reader_open(&reader, &scene->ring, scene->ring.log, self->record, &options);
        read_until(self, &reader, scene->end, r >> 24 & 127);
        reader_close(&reader);
        self->joins++;
    }
    return NULL;
}

static void run(uint64_t capacity, uint64_t max_message, uint64_t start_seq) {
    static struct scene scene;
    struct actor actors[] = {
        {.scene = &scene, .record = 2}, /* the publisher */
        {.scene = &scene, .record = 0, .policy = AETHER_RELIABLE, .form = 0},
        {.scene = &scene, .record = 1, .policy = AETHER_RELIABLE, .form = 1},
        {.scene = &scene, .policy = AETHER_BEST_EFFORT, .form = 2},
        {.scene = &scene, .policy = AETHER_BEST_EFFORT, .form = 1},
        {.scene = &scene, .record = 63},
    };
    const size_t count = sizeof actors / sizeof actors[0];

    ring_make(&scene.ring, capacity, max_message, start_seq);
    scene.end = start_seq + MESSAGES;
    ae_store_relaxed(&scene.published, start_seq);
    pthread_barrier_init(&scene.begin, NULL, (unsigned)count);
    for (size_t i = 0; i < count; i++) {
        void *(*const play)(void *) = i == 0 ? publish_all : i == count - 1 ? join_and_leave : read_all;
        assert_int_equal(pthread_create(&actors[i].thread, NULL, play, &actors[i]), 0);
    }
    for (size_t i = 0; i < count; i++)
        pthread_join(actors[i].thread, NULL);
    for (size_t i = 0; i < count; i++) {
        if (actors[i].fault != NULL)
            fail_msg("actor %zu: %s", i, actors[i].fault);
        assert_true(i == 0 || actors[i].joins > 0);
    }
    assert_int_equal(actors[1].delivered, MESSAGES);
    assert_int_equal(actors[2].delivered, MESSAGES);
    for (size_t i = 3; i < count - 1; i++)
        assert_int_equal(actors[i].delivered + actors[i].lost, MESSAGES);
    assert_int_equal(ae_load_relaxed(&scene.ring.cursors->active.active), 0);
    pthread_barrier_destroy(&scene.begin);
    ring_free(&scene.ring);
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(smallest_ring),
        cmocka_unit_test(eight_bytes),
        cmocka_unit_test(odd_slots_across_48_bits),
        cmocka_unit_test(larger_ring_across_64_bits),
    };

    alarm(240); /* a reader that waits for good ends here */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
