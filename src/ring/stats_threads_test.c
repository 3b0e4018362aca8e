/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread reads the figures of publishers and subscribers that are busy. At any moment they are right and add up, and
 * they never go back. All use one mapping, so that ThreadSanitizer can check it.
 */
#include "ring/ring_test.h"
#include "ring/figures_test.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#ifdef AE_TSAN
#define MESSAGES 10000u
#else
#define MESSAGES 150000u
#endif
#define PUBLISHERS 2u
#define SUBSCRIBERS 3u
#define ACTORS (PUBLISHERS + SUBSCRIBERS)
#define LANE 8192u
#define LEN_MAX 300u
#define BATCH 4u

struct actor {
    struct scene *scene;
    uint32_t record;
    struct test_publisher publisher;
    struct test_subscriber subscriber;
    /* Messages that it had published, or received, when its last call returned; and will have at most in this one. */
    ae_u64 done, begun;
    ae_u64 lost; /* as `done` */
    const char *error;
    pthread_t thread;
};

struct scene {
    struct ring ring;
    struct actor actors[ACTORS];
    ae_u64 publishing; /* publishers that aren't done */
    ae_u64 working;    /* and subscribers */
    pthread_barrier_t begin;
    uint64_t reads, failed; /* results of the reader */
};

static int publish_some(struct ae_publisher *pub, uint64_t random, size_t count) {
    static const unsigned char data[BATCH * LEN_MAX];
    const size_t len = random % 7 == 0 ? pub->hot.max_message : random % (pub->hot.inline_max + 1);
    struct iovec messages[BATCH];
    aether_loan loan;
    int rc;

    for (size_t i = 0; i < BATCH; i++)
        messages[i] = (struct iovec){.iov_base = (void *)(uintptr_t)data, .iov_len = len};
    if (count > 1)
        return random % 2 == 0 ? aether_publish_batch(&pub->hot, messages, count)
                               : aether_publish_array(&pub->hot, data, len, count);
    switch (random % 5) {
    case 0:
        return aether_publish(&pub->hot, data, len);
    case 1:
        return aether_publish_gather(&pub->hot, messages, 1);
    case 2:
        if ((rc = aether_loan_take(&pub->hot, len, &loan)) != 0)
            return rc;
        if ((rc = aether_loan_commit(&pub->hot, &loan)) != 0)
            (void)aether_loan_discard(&pub->hot, &loan);
        return rc;
    default:
        return aether_publish(&pub->hot, data, 8);
    }
}

static void *publish_all(void *arg) {
    struct actor *self = arg;
    uint64_t done = 0, random = self->record;

    pthread_barrier_wait(&self->scene->begin);
    while (done < MESSAGES) {
        const uint64_t choice = next_random(&random);
        const size_t count = choice % 8 == 0 ? 1 + choice / 8 % BATCH : 1;
        ae_store_release(&self->begun, done + count);
        const int rc = publish_some(&self->publisher.pub, choice / 64, count);
        if (rc == 0)
            done += count;
        else if (rc == AETHER_FULL)
            sched_yield();
        else
            self->error = "publish failed";
        ae_store_release(&self->done, done);
        if (choice % 1024 < 16) /* so that at times the other one is alone */
            sched_yield();
    }
    (void)ae_fetch_add(&self->scene->publishing, UINT64_MAX);
    (void)ae_fetch_add(&self->scene->working, UINT64_MAX);
    return NULL;
}

static int count_handled(void *context, const aether_message *message) {
    uint64_t *counts = context;

    counts[message->lost != 0 ? 1 : 0] += message->lost != 0 ? message->lost : 1;
    return 0;
}

static void *receive_all(void *arg) {
    struct actor *self = arg;
    aether_subscriber *sub = self->subscriber.handle;
    uint64_t counts[2] = {0}, random = 77 + self->record;
    aether_message messages[BATCH];
    int n = 0;

    pthread_barrier_wait(&self->scene->begin);
    for (bool last = false; !last || n != 0;) {
        last = ae_load_acquire(&self->scene->publishing) == 0;
        ae_store_release(&self->begun, counts[0] + BATCH);
        const uint64_t form = next_random(&random) % 3;
        if (form == 0)
            n = aether_receive(sub, messages);
        else if (form == 1)
            n = aether_receive_batch(sub, messages, BATCH);
        else
            n = aether_poll(sub, count_handled, counts, BATCH);
        for (int i = 0; form != 2 && i < n; i++)
            (void)count_handled(counts, &messages[i]);
        if (n < 0)
            self->error = "receive failed";
        ae_store_release(&self->lost, counts[1]);
        ae_store_release(&self->done, counts[0]);
        if (n == 0)
            sched_yield();
    }
    (void)ae_fetch_add(&self->scene->working, UINT64_MAX);
    return NULL;
}

/* Reads the figures of an actor, and compares them with what they were before. */
static void read_one(struct scene *scene, struct actor *actor, bool publishes, struct ae_figures *before) {
    const ae_log *log = scene->ring.log;
    const uint64_t done = ae_load_acquire(&actor->done), lost = ae_load_acquire(&actor->lost);
    struct ae_figures now;
    int rc;

    if (publishes)
        rc = read_publisher(&actor->publisher.stats, log, &scene->ring.geometry, actor->record, &now);
    else
        rc = read_subscriber(&actor->subscriber.stats, actor->record == 0 ? &scene->ring.cursors->records[0] : NULL,
                             &now);
    scene->reads++;
    if (rc == -EAGAIN) {
        scene->failed++;
        return;
    }
    if (rc != 1)
        actor->error = "its figures contradict each other";
    else if (now.messages > ae_load_acquire(&actor->begun))
        actor->error = "its figures are ahead of it";
    else if (publishes ? now.messages < done : now.lost < lost)
        actor->error = "its figures are behind it";
    else if (now.messages < before->messages || now.next < before->next || now.bytes < before->bytes)
        actor->error = "its figures have gone back";
    else
        *before = now;
}

static void *read_all(void *arg) {
    struct scene *scene = arg;
    struct ae_figures before[ACTORS] = {{0}};

    pthread_barrier_wait(&scene->begin);
    while (ae_load_acquire(&scene->working) != 0) {
        for (unsigned i = 0; i < ACTORS; i++)
            read_one(scene, &scene->actors[i], i < PUBLISHERS, &before[i]);
        sched_yield();
    }
    return NULL;
}

static void open_actor(struct scene *scene, unsigned i) {
    static const aether_subscribe_options options[SUBSCRIBERS] = {
        {.policy = AETHER_RELIABLE}, {.policy = AETHER_BEST_EFFORT}, {.policy = AETHER_LATEST}};
    struct actor *actor = &scene->actors[i];

    actor->scene = scene;
    actor->record = i < PUBLISHERS ? i : i - PUBLISHERS;
    if (i < PUBLISHERS)
        publisher_open_as(&actor->publisher, &scene->ring, actor->record, scene->ring.cursors);
    else
        subscriber_open(&actor->subscriber, &scene->ring, scene->ring.log, actor->record, &options[actor->record]);
}

/* All have ended, and the subscribers have received all that there is. */
static void check_end(struct scene *scene, unsigned i) {
    struct actor *actor = &scene->actors[i];
    struct ae_figures figures = {0};

    if (i < PUBLISHERS) {
        publisher_close(&actor->publisher);
        assert_int_equal(
            read_publisher(&actor->publisher.stats, scene->ring.log, &scene->ring.geometry, actor->record, &figures),
            1);
    } else {
        subscriber_close(&actor->subscriber);
        assert_int_equal(read_subscriber(&actor->subscriber.stats,
                                         actor->record == 0 ? &scene->ring.cursors->records[0] : NULL, &figures),
                         1);
        assert_int_equal(figures.next - figures.joined,
                         ae_load_relaxed(&scene->actors[0].done) + ae_load_relaxed(&scene->actors[1].done));
        assert_int_equal(figures.lost, ae_load_relaxed(&actor->lost));
    }
    assert_int_equal(figures.messages, ae_load_relaxed(&actor->done));
}

static void run(const aether_topic_config *config) {
    struct scene *scene = calloc(1, sizeof *scene);
    pthread_t reader;

    check_setup(scene != NULL, "memory");
    ring_make_as(&scene->ring, config);
    ae_store_relaxed(&scene->publishing, PUBLISHERS);
    ae_store_relaxed(&scene->working, ACTORS);
    pthread_barrier_init(&scene->begin, NULL, ACTORS + 1);
    for (unsigned i = 0; i < ACTORS; i++)
        open_actor(scene, i);
    assert_int_equal(pthread_create(&reader, NULL, read_all, scene), 0);
    for (unsigned i = 0; i < ACTORS; i++)
        assert_int_equal(pthread_create(&scene->actors[i].thread, NULL, i < PUBLISHERS ? publish_all : receive_all,
                                        &scene->actors[i]),
                         0);
    for (unsigned i = 0; i < ACTORS; i++)
        assert_int_equal(pthread_join(scene->actors[i].thread, NULL), 0);
    assert_int_equal(pthread_join(reader, NULL), 0);
    for (unsigned i = 0; i < ACTORS; i++) {
        if (scene->actors[i].error != NULL)
            fail_msg("%s %u: %s", i < PUBLISHERS ? "publisher" : "subscriber", scene->actors[i].record,
                     scene->actors[i].error);
    }
    assert_true(scene->failed < scene->reads);
    for (unsigned i = 0; i < ACTORS; i++)
        check_end(scene, i);
    pthread_barrier_destroy(&scene->begin);
    ring_free(&scene->ring);
    free(scene);
}

static void shared(void **state) {
    (void)state;
    run(&(aether_topic_config){.capacity = 16, .max_message = 24, .latency = AETHER_LATENCY_OFF});
    run(&(aether_topic_config){.capacity = 1024, .max_message = 40});
}

static void unbiased(void **state) {
    (void)state;
    run(&(aether_topic_config){
        .capacity = 64, .max_message = 24, .publishers = AETHER_PUBLISHERS_UNBIASED, .start_seq = (1ull << 48) - 999});
}

static void all_stamped(void **state) {
    (void)state;
    run(&(aether_topic_config){.capacity = 64, .max_message = 24, .latency = AETHER_LATENCY_ALL});
}

static void lanes(void **state) {
    (void)state;
    run(&(aether_topic_config){.capacity = 64, .max_message = LEN_MAX, .inline_max = 40, .lane_bytes = LANE});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shared),
        cmocka_unit_test(unbiased),
        cmocka_unit_test(all_stamped),
        cmocka_unit_test(lanes),
    };

    alarm(900); /* ends the test if a thread waits for ever */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
