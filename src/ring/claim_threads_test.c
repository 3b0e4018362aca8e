/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several publishers that come and go, and readers, on a ring and lanes that are far too small for them, in one
 * mapping: the test of claims that ThreadSanitizer runs.
 */
#define _GNU_SOURCE
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
#define WRITERS 4u
#define READERS 3u
#define LANE 4096u
#define WORDS_MAX 40u
#define BATCH 3u

struct scene {
    struct ring ring;
    uint64_t messages; /* of each writer */
    uint64_t start;
    ae_u64 left; /* writers that still publish */
    uint64_t order[READERS];
    pthread_barrier_t begin;
};

struct actor {
    struct scene *scene;
    uint32_t record;
    const char *fault;
    uint64_t received, aborted, lost;
    pthread_t thread;
};

/* Author, count, and words that follow from both. */
static size_t message_fill(uint64_t *words, uint64_t author, uint64_t count, uint64_t max) {
    const uint64_t least = 2, most = max / 8 < WORDS_MAX ? max / 8 : WORDS_MAX;
    const uint64_t len = least + mix(author << 32 ^ count) % (most - least + 1);

    words[0] = author;
    words[1] = count;
    for (uint64_t i = 2; i < len; i++)
        words[i] = mix(author + count * i);
    return len * 8;
}

static int publish_some(struct ae_publisher *pub, uint64_t author, uint64_t *count, uint64_t messages) {
    uint64_t words[BATCH][WORDS_MAX];
    struct iovec batch[BATCH];
    const uint64_t random = mix(*count ^ author << 50);
    size_t n = random % 4 == 0 ? BATCH : 1;
    aether_loan loan;
    int rc;

    if (n > messages - *count)
        n = messages - *count;
    for (size_t i = 0; i < n; i++)
        batch[i] = (struct iovec){words[i], message_fill(words[i], author, *count + i, pub->hot.max_message)};
    if (n > 1)
        rc = aether_publish_batch(&pub->hot, batch, n);
    else if (random % 4 == 1)
        rc = aether_publish_gather(&pub->hot, (struct iovec[]){{words[0], 8}, {words[0] + 1, batch[0].iov_len - 8}}, 2);
    else if (random % 4 == 2)
        rc = aether_publish(&pub->hot, words[0], batch[0].iov_len);
    else if ((rc = aether_loan_take(&pub->hot, batch[0].iov_len, &loan)) == 0) {
        ae_copy_in(loan.data, (const unsigned char *)words[0], batch[0].iov_len);
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
    struct writer writer;

    pthread_barrier_wait(&scene->begin);
    while (count < scene->messages) {
        /* One after the other comes later and stays for less, so that there are times with one publisher. */
        const uint64_t stay = scene->messages / (1 + self->record) / 8 + 1, until = count + stay;
        writer_open_as(&writer, &scene->ring, self->record, scene->ring.cursors);
        while (count < scene->messages && count < until) {
            const uint64_t before = aether_publisher_next(writer.handle), had = count;
            const int rc = publish_some(&writer.pub, self->record, &count, scene->messages);
            if (rc == AETHER_FULL || mix(count) % 64 == 0)
                sched_yield();
            if (rc != 0 && rc != AETHER_FULL)
                self->fault = "publish failed";
            if (rc == 0 && (int64_t)(aether_publisher_next(writer.handle) - before) < (int64_t)(count - had))
                self->fault = "next doesn't cover what was published";
        }
        writer_close(&writer);
        for (unsigned i = 0; i < 20 * self->record; i++)
            sched_yield();
    }
    (void)ae_fetch_add(&scene->left, UINT64_MAX);
    return NULL;
}

static bool message_right(const aether_message *message, uint64_t max) {
    const uint64_t *words = message->data;
    uint64_t right[WORDS_MAX];

    return message->len >= 16 && words[0] < WRITERS && message->len == message_fill(right, words[0], words[1], max) &&
           memcmp(words, right, message->len) == 0;
}

static void *receive_all(void *arg) {
    struct actor *self = arg;
    struct scene *scene = self->scene;
    const bool reliable = self->record < READERS - 1;
    const aether_subscribe_options options = {.policy = reliable ? AETHER_RELIABLE : AETHER_BEST_EFFORT};
    uint64_t counts[WRITERS] = {0}, order = 0;
    aether_subscriber_stats stats;
    struct reader reader;
    aether_message m[4];
    int n = 0;

    reader_open(&reader, &scene->ring, scene->ring.log, self->record, &options);
    pthread_barrier_wait(&scene->begin);
    for (bool last = false; !last || n != 0;) {
        last = ae_load_acquire(&scene->left) == 0;
        n = self->record % 2 == 0 ? aether_receive_batch(reader.handle, m, 4) : aether_receive(reader.handle, m);
        for (int i = 0; i < n; i++) {
            self->lost += m[i].lost;
            if (m[i].lost != 0)
                continue;
            if (!message_right(&m[i], scene->ring.geometry.max_message)) {
                self->fault = "torn or wrong message";
                break;
            }
            const uint64_t *words = m[i].data;
            if (reliable ? words[1] != counts[words[0]] : words[1] < counts[words[0]])
                self->fault = "a publisher's messages are out of its order";
            counts[words[0]] = words[1] + 1;
            order = mix(order ^ mix(m[i].seq) ^ words[0] << 32 ^ words[1]);
            self->received++;
        }
        if (n == 0)
            sched_yield();
        else if (n < 0 || self->fault != NULL)
            break;
    }
    if (n < 0)
        self->fault = "receive failed";
    aether_subscriber_get_stats(reader.handle, &stats);
    if (stats.delivered != self->received || stats.lost != self->lost ||
        stats.next - stats.joined != stats.delivered + stats.lost + stats.aborted)
        self->fault = "accounts don't add up";
    self->aborted = stats.aborted;
    scene->order[self->record] = order;
    reader_close(&reader);
    return NULL;
}

static void run(const aether_topic_config *config) {
    struct scene scene = {.messages = MESSAGES};
    struct actor actors[WRITERS + READERS];

    ring_make_as(&scene.ring, config);
    ae_store_relaxed(&scene.left, WRITERS);
    pthread_barrier_init(&scene.begin, NULL, WRITERS + READERS);
    for (unsigned i = 0; i < WRITERS + READERS; i++) {
        actors[i] = (struct actor){.scene = &scene, .record = i < WRITERS ? i : i - WRITERS};
        assert_int_equal(pthread_create(&actors[i].thread, NULL, i < WRITERS ? publish_all : receive_all, &actors[i]),
                         0);
    }
    for (unsigned i = 0; i < WRITERS + READERS; i++) {
        assert_int_equal(pthread_join(actors[i].thread, NULL), 0);
        if (actors[i].fault != NULL)
            fail_msg("%s %u: %s", i < WRITERS ? "writer" : "reader", actors[i].record, actors[i].fault);
    }
    for (unsigned i = WRITERS; i < WRITERS + READERS - 1; i++) {
        assert_int_equal(actors[i].received, WRITERS * scene.messages);
        assert_int_equal(actors[i].aborted + actors[i].lost, 0);
        assert_true(scene.order[i - WRITERS] == scene.order[0]);
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

    alarm(240); /* somebody who waits for good ends here */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
