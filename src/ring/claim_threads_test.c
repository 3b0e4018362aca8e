/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several publishers that open and close all the time, and subscribers, on a ring and lanes that are far too small for
 * them. All use one mapping, so that ThreadSanitizer can check claims.
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
#else
#define MESSAGES 200000u
#endif
#define PUBLISHERS 4u
#define SUBSCRIBERS 3u
#define LANE 4096u
#define COUNT_BITS 40u
#define LEN_MIN 8u
#define LEN_MAX 320u
#define BATCH 3u

struct scene {
    struct ring ring;
    uint64_t messages; /* of each publisher */
    uint64_t start;
    ae_u64 left; /* publishers that aren't done */
    uint64_t order[SUBSCRIBERS];
    pthread_barrier_t begin;
};

struct actor {
    struct scene *scene;
    uint32_t record;
    const char *error;
    uint64_t received, aborted, lost;
    pthread_t thread;
};

/* The first word of a message: the publisher, and the message's number among those of the publisher. */
static uint64_t first_word(uint64_t publisher, uint64_t count) {
    return publisher << COUNT_BITS | count;
}

static size_t message_len(uint64_t word, uint64_t max) {
    const uint64_t most = max < LEN_MAX ? max : LEN_MAX;

    return LEN_MIN + mix(word) % (most - LEN_MIN + 1);
}

static size_t message_fill(void *data, uint64_t word, uint64_t max) {
    const size_t len = message_len(word, max);

    fill_after_word(data, word, len);
    return len;
}

static int publish_some(struct ae_publisher *pub, uint64_t publisher, uint64_t *count, uint64_t messages) {
    unsigned char data[BATCH][LEN_MAX];
    struct iovec batch[BATCH];
    const uint64_t random = mix(*count ^ publisher << 50);
    size_t n = random % 4 == 0 ? BATCH : 1;
    aether_loan loan;
    int rc;

    if (n > messages - *count)
        n = messages - *count;
    for (size_t i = 0; i < n; i++)
        batch[i] =
            (struct iovec){data[i], message_fill(data[i], first_word(publisher, *count + i), pub->hot.max_message)};
    if (n > 1)
        rc = aether_publish_batch(&pub->hot, batch, n);
    else if (random % 4 == 1)
        rc = aether_publish_gather(&pub->hot, (struct iovec[]){{data[0], 8}, {data[0] + 8, batch[0].iov_len - 8}}, 2);
    else if (random % 4 == 2)
        rc = aether_publish(&pub->hot, data[0], batch[0].iov_len);
    else if ((rc = aether_loan_take(&pub->hot, batch[0].iov_len, &loan)) == 0) {
        ae_copy_in(loan.data, data[0], batch[0].iov_len);
        if ((rc = aether_loan_commit(&pub->hot, &loan)) != 0)
            (void)aether_loan_discard(&pub->hot, &loan);
    }
    if (rc == 0)
        *count += n;
    return rc;
}

static void *publish_all(void *arg) {
    struct actor *self = arg;
    struct scene *scene = self->scene;
    uint64_t count = 0;
    struct test_publisher publisher;

    pthread_barrier_wait(&scene->begin);
    while (count < scene->messages) {
        /* The higher the record, the shorter each stay, so that at times there is one publisher only. */
        const uint64_t stay = scene->messages / (1 + self->record) / 8 + 1, until = count + stay;
        publisher_open_as(&publisher, &scene->ring, self->record, scene->ring.cursors);
        while (count < scene->messages && count < until) {
            const uint64_t before = aether_publisher_next(publisher.handle), had = count;
            const int rc = publish_some(&publisher.pub, self->record, &count, scene->messages);
            if (rc == AETHER_FULL || mix(count) % 64 == 0)
                sched_yield();
            if (rc != 0 && rc != AETHER_FULL)
                self->error = "publish failed";
            if (rc == 0 && (int64_t)(aether_publisher_next(publisher.handle) - before) < (int64_t)(count - had))
                self->error = "next doesn't cover what was published";
        }
        publisher_close(&publisher);
        for (unsigned i = 0; i < 20 * self->record; i++)
            sched_yield();
    }
    (void)ae_fetch_add(&scene->left, UINT64_MAX);
    return NULL;
}

static bool message_right(const aether_message *message, uint64_t max) {
    uint64_t word;

    if (message->len < LEN_MIN)
        return false;
    memcpy(&word, message->data, sizeof word);
    return word >> COUNT_BITS < PUBLISHERS && message->len == message_len(word, max) &&
           right_after_word(message->data, word, message->len);
}

static void *receive_all(void *arg) {
    struct actor *self = arg;
    struct scene *scene = self->scene;
    const bool reliable = self->record < SUBSCRIBERS - 1;
    const aether_subscribe_options options = {.policy = reliable ? AETHER_RELIABLE : AETHER_BEST_EFFORT};
    uint64_t counts[PUBLISHERS] = {0}, order = 0, word, publisher, count;
    aether_subscriber_stats stats;
    struct test_subscriber subscriber;
    aether_message m[4];
    int n = 0;

    subscriber_open(&subscriber, &scene->ring, scene->ring.log, self->record, &options);
    pthread_barrier_wait(&scene->begin);
    for (bool last = false; !last || n != 0;) {
        last = ae_load_acquire(&scene->left) == 0;
        n = self->record % 2 == 0 ? aether_receive_batch(subscriber.handle, m, 4)
                                  : aether_receive(subscriber.handle, m);
        for (int i = 0; i < n; i++) {
            self->lost += m[i].lost;
            if (m[i].lost != 0)
                continue;
            if (!message_right(&m[i], scene->ring.geometry.max_message)) {
                self->error = "torn or wrong message";
                break;
            }
            memcpy(&word, m[i].data, sizeof word);
            publisher = word >> COUNT_BITS;
            count = word & ((1ull << COUNT_BITS) - 1);
            if (reliable ? count != counts[publisher] : count < counts[publisher])
                self->error = "a publisher's messages are out of its order";
            counts[publisher] = count + 1;
            order = mix(order ^ mix(m[i].seq) ^ word);
            self->received++;
        }
        if (n == 0)
            sched_yield();
        else if (n < 0 || self->error != NULL)
            break;
    }
    if (n < 0)
        self->error = "receive failed";
    aether_subscriber_get_stats(subscriber.handle, &stats);
    if (stats.delivered != self->received || stats.lost != self->lost ||
        stats.next - stats.joined != stats.delivered + stats.lost + stats.aborted)
        self->error = "accounts don't add up";
    self->aborted = stats.aborted;
    scene->order[self->record] = order;
    subscriber_close(&subscriber);
    return NULL;
}

static void run(const aether_topic_config *config) {
    struct scene scene = {.messages = MESSAGES};
    struct actor actors[PUBLISHERS + SUBSCRIBERS];

    ring_make_as(&scene.ring, config);
    ae_store_relaxed(&scene.left, PUBLISHERS);
    pthread_barrier_init(&scene.begin, NULL, PUBLISHERS + SUBSCRIBERS);
    for (unsigned i = 0; i < PUBLISHERS + SUBSCRIBERS; i++) {
        actors[i] = (struct actor){.scene = &scene, .record = i < PUBLISHERS ? i : i - PUBLISHERS};
        assert_int_equal(
            pthread_create(&actors[i].thread, NULL, i < PUBLISHERS ? publish_all : receive_all, &actors[i]), 0);
    }
    for (unsigned i = 0; i < PUBLISHERS + SUBSCRIBERS; i++) {
        assert_int_equal(pthread_join(actors[i].thread, NULL), 0);
        if (actors[i].error != NULL)
            fail_msg("%s %u: %s", i < PUBLISHERS ? "publisher" : "subscriber", actors[i].record, actors[i].error);
    }
    for (unsigned i = PUBLISHERS; i < PUBLISHERS + SUBSCRIBERS - 1; i++) {
        assert_int_equal(actors[i].received, PUBLISHERS * scene.messages);
        assert_int_equal(actors[i].aborted + actors[i].lost, 0);
        assert_true(scene.order[i - PUBLISHERS] == scene.order[0]);
    }
    pthread_barrier_destroy(&scene.begin);
    ring_free(&scene.ring);
}

static void shared(void **state) {
    (void)state;
    run(&(aether_topic_config){.capacity = 8, .max_message = 24});
    run(&(aether_topic_config){.capacity = 64, .max_message = 200, .start_seq = (1ull << 48) - MESSAGES});
}

static void unbiased(void **state) {
    (void)state;
    run(&(aether_topic_config){.capacity = 16,
                               .max_message = 40,
                               .publishers = AETHER_PUBLISHERS_UNBIASED,
                               .start_seq = UINT64_MAX - MESSAGES});
}

static void lanes(void **state) {
    (void)state;
    run(&(aether_topic_config){.capacity = 16, .max_message = 320, .inline_max = 56, .lane_bytes = LANE});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shared),
        cmocka_unit_test(unbiased),
        cmocka_unit_test(lanes),
    };

    alarm(900); /* ends the test if a thread waits for ever */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
