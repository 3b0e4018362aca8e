/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sleeping and waking, with one mapping, so that ThreadSanitizer sees it. No test asserts that anything is fast; an
 * alarm() ends what hangs.
 */
#include "base/clock.h"
#include "ring/ring_test.h"
#include "ring/wake.h"
#include <aether/idle.h>
#include <aether/wait.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <cmocka.h>

#ifdef AE_TSAN
#define CYCLES 10000u
#else
#define CYCLES 100000u
#endif
#define LIES 50u /* each may cost a sleep of 250 ms */
#define MS 1000000ull

static const aether_subscribe_options reliable = {.policy = AETHER_RELIABLE},
                                      best_effort = {.policy = AETHER_BEST_EFFORT}, latest = {.policy = AETHER_LATEST};
static const aether_subscribe_options *const policies[] = {&reliable, &best_effort, &latest};

static uint64_t wake_word(const struct ring *ring) {
    return ae_load_acquire(&ring->log->wake.wake);
}

static uint64_t want_word(const struct ring *ring) {
    return ae_load_acquire(&ring->notes->want.want);
}

static void await_note(const struct ring *ring) {
    while (want_word(ring) != wake_word(ring))
        sched_yield();
}

static void publish_one(struct test_publisher *publisher) {
    const uint64_t seq = aether_publisher_next(publisher->handle);

    assert_int_equal(aether_publish(publisher->handle, &seq, sizeof seq), 0);
}

/* ---- one thread ---- */

static void timeouts(void **state) {
    static const uint64_t times[] = {1, 1000, MS, 20 * MS};
    struct test_publisher publisher;
    struct test_subscriber subscriber;
    struct ring ring;

    (void)state;
    ring_make(&ring, 8, 8, 0);
    publisher_open(&publisher, &ring);
    for (int p = 0; p < 3; p++) {
        subscriber_open(&subscriber, &ring, ring.log_ro, 0, policies[p]);
        assert_int_equal(aether_wait(subscriber.handle, 0), 0);
        for (int i = 0; i < 4; i++) {
            aether_message message;
            const uint64_t start = ae_now_ns();
            assert_int_equal(aether_wait(subscriber.handle, times[i]), 0);
            assert_true(ae_now_ns() - start >= times[i]);
            assert_int_equal(aether_receive_wait(subscriber.handle, &message, times[i]), 0);
            assert_true(ae_now_ns() - start >= 2 * times[i]);
            publish_one(&publisher);
            assert_int_equal(aether_wait(subscriber.handle, AETHER_FOREVER), 1);
            assert_int_equal(aether_receive_wait(subscriber.handle, &message, AETHER_FOREVER), 1);
            assert_int_equal(message.seq, aether_publisher_next(publisher.handle) - 1);
        }
        subscriber_close(&subscriber);
    }
    publisher_close(&publisher);
    ring_free(&ring);
}

/* A publisher wakes subscribers if `want` equals `wake`, and once. A `want` that is ahead or behind has no effect. */
static void which_notes_wake(void **state) {
    const uint64_t words[] = {1, 2, UINT32_MAX, 1ull << 32, (1ull << 63) - 1, 1ull << 63, UINT64_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        const uint64_t word = words[i];
        const uint64_t lies[] = {
            word - 1, word + 1, word + 2, word - 1000, word + (1ull << 62), word + (1ull << 63), word - (1ull << 62)};
        struct test_publisher publisher;
        struct ring ring;

        ring_make(&ring, 8, 8, 0);
        ae_store_relaxed(&ring.log->wake.wake, word);
        ae_store_relaxed(&ring.notes->want.want, word - 1);
        publisher_open(&publisher, &ring);
        for (size_t k = 0; k < sizeof lies / sizeof lies[0]; k++) {
            ae_store_relaxed(&ring.notes->want.want, lies[k]);
            publish_one(&publisher);
            publish_one(&publisher);
            assert_int_equal(wake_word(&ring), word);
        }
        ae_store_relaxed(&ring.notes->want.want, word);
        publish_one(&publisher);
        assert_int_equal(wake_word(&ring), word + 1);
        publish_one(&publisher);
        assert_int_equal(wake_word(&ring), word + 1);
        ae_store_relaxed(&ring.log->wake.wake, word + 5); /* others have woken subscribers meanwhile */
        ae_store_relaxed(&ring.notes->want.want, word + 5);
        publish_one(&publisher);
        assert_int_equal(wake_word(&ring), word + 6);
        publisher_close(&publisher);
        assert_int_equal(wake_word(&ring), word + 7);
        ring_free(&ring);
    }
}

/* Whatever `want` held, a subscriber that sleeps stores its own value there, and its timeout ends the sleep. */
static void notes_replace_lies(void **state) {
    const uint64_t lies[] = {0, 1, 2, 7, 8, 1ull << 31, 1ull << 32, 1ull << 62, 1ull << 63, UINT64_MAX};
    const size_t count = sizeof lies / sizeof lies[0];

    (void)state;
    for (size_t i = 0; i < 3 * count; i++) {
        struct test_publisher publisher;
        struct test_subscriber subscriber;
        struct ring ring;

        ring_make(&ring, 8, 8, 0);
        ae_store_relaxed(&ring.log->wake.wake, 7);
        publisher_open(&publisher, &ring);
        subscriber_open(&subscriber, &ring, ring.log_ro, 0, policies[i % 3]);
        ae_store_relaxed(&ring.notes->want.want, lies[i / 3]);
        assert_true(ae_subscriber_sleep(&subscriber.sub, MS));
        assert_int_equal(want_word(&ring), 7);
        publish_one(&publisher);
        assert_int_equal(wake_word(&ring), 8);
        assert_int_equal(aether_wait(subscriber.handle, AETHER_FOREVER), 1);
        subscriber_close(&subscriber);
        publisher_close(&publisher);
        ring_free(&ring);
    }
}

static void publisher_waits(void **state) {
    struct test_publisher publisher;
    struct test_subscriber subscriber;
    struct ring ring;
    aether_loan loan;
    unsigned char data[4096] = {0};
    uint64_t start;

    (void)state;
    ring_make_as(&ring,
                 &(aether_topic_config){.capacity = 8, .max_message = 4096, .inline_max = 56, .lane_bytes = 4096});
    publisher_open(&publisher, &ring);
    subscriber_open(&subscriber, &ring, ring.log_ro, 0, &reliable);
    assert_int_equal(aether_publisher_wait(publisher.handle, 4097, 0), -EMSGSIZE);
    assert_int_equal(aether_publish_wait(publisher.handle, data, 4097, AETHER_FOREVER), -EMSGSIZE);
    assert_int_equal(aether_publisher_wait(publisher.handle, 4096, 0), 0);
    assert_int_equal(aether_loan_take(publisher.handle, 4096, &loan), 0);
    assert_int_equal(aether_publish_wait(publisher.handle, data, 57, AETHER_FOREVER), -ENOBUFS);
    assert_int_equal(aether_publisher_wait(publisher.handle, 56, AETHER_FOREVER), 0);
    assert_int_equal(aether_loan_commit(publisher.handle, &loan), 0);
    for (uint64_t time = 1; time < 40 * MS; time *= 100) { /* the lane is full */
        start = ae_now_ns();
        assert_int_equal(aether_publisher_wait(publisher.handle, 57, time), AETHER_FULL);
        assert_int_equal(aether_publish_wait(publisher.handle, data, 57, time), AETHER_FULL);
        assert_true(ae_now_ns() - start >= 2 * time);
    }
    for (int i = 0; i < 7; i++)
        assert_int_equal(aether_publish_wait(publisher.handle, data, 8, AETHER_FOREVER), 0);
    assert_int_equal(aether_publisher_wait(publisher.handle, 0, MS), AETHER_FULL); /* the ring is full */
    subscriber_close(&subscriber);
    assert_int_equal(aether_publisher_wait(publisher.handle, 4096, AETHER_FOREVER), 0);
    assert_int_equal(aether_publish(publisher.handle, data, 4096), 0);
    publisher_close(&publisher);
    ring_free(&ring);
}

/* ---- two threads ---- */

struct partner {
    struct ring *ring, *back;
    const aether_subscribe_options *options;
    struct test_subscriber subscriber;
    struct test_publisher publisher;
    pthread_barrier_t ready;
    ae_u64 done;
    int rc, end;
    pthread_t thread;
};

static void start_partner(struct partner *partner, struct ring *ring, struct ring *back,
                          const aether_subscribe_options *options, void *(*play)(void *)) {
    *partner = (struct partner){.ring = ring, .back = back, .options = options};
    pthread_barrier_init(&partner->ready, NULL, 2);
    assert_int_equal(pthread_create(&partner->thread, NULL, play, partner), 0);
    pthread_barrier_wait(&partner->ready);
}

static void end_partner(struct partner *partner) {
    pthread_join(partner->thread, NULL);
    pthread_barrier_destroy(&partner->ready);
}

/* Waits once, without a timeout. Nothing is published when it begins. */
static void *wait_once(void *arg) {
    struct partner *self = arg;

    subscriber_open(&self->subscriber, self->ring, self->ring->log, 0, self->options);
    pthread_barrier_wait(&self->ready);
    self->rc = aether_wait(self->subscriber.handle, AETHER_FOREVER);
    self->end = (int)aether_subscriber_stream(self->subscriber.handle);
    subscriber_close(&self->subscriber);
    ae_store_release(&self->done, 1);
    return NULL;
}

static void lost_notes_are_bounded(void **state) {
    struct partner partner;
    struct test_publisher publisher;
    struct ring ring;

    (void)state;
    for (int i = 0; i < 3; i++) {
        ring_make(&ring, 8, 8, 0);
        publisher_open_as(&publisher, &ring, 0, ring.cursors);
        start_partner(&partner, &ring, NULL, policies[i], wait_once);
        await_note(&ring);
        ae_store_relaxed(&ring.notes->want.want, 0); /* no publisher will wake it */
        publish_one(&publisher);
        end_partner(&partner);
        assert_int_equal(partner.rc, 1);
        publisher_close(&publisher);
        ring_free(&ring);
    }
}

static void ends_wake(void **state) {
    struct partner partner;
    struct test_publisher publisher;
    struct ring ring;

    (void)state;
    for (int i = 0; i < 60; i++) {
        ring_make(&ring, 8, 8, 0);
        publisher_open_as(&publisher, &ring, 0, ring.cursors);
        start_partner(&partner, &ring, NULL, policies[i % 3], wait_once);
        if (i % 4 != 0)
            await_note(&ring);
        if (i % 2 == 0) {
            publisher_close(&publisher);
        } else {
            publisher_die(&publisher);
            ae_wake_all(&ring.log->wake.wake); /* aetherd */
        }
        end_partner(&partner);
        assert_int_equal(partner.rc, 1);
        assert_int_equal(partner.end, i % 2 == 0 ? AETHER_STREAM_CLOSED : AETHER_STREAM_DIED);
        ring_free(&ring);
    }
}

static void do_nothing(int number) {
    (void)number;
}

static void signals_end_a_wait(void **state) {
    const struct sigaction action = {.sa_handler = do_nothing};
    struct sigaction before;

    (void)state;
    sigaction(SIGUSR1, &action, &before);
    for (int i = 0; i < 3; i++) {
        struct partner partner;
        struct test_publisher publisher;
        struct ring ring;

        ring_make(&ring, 8, 8, 0);
        publisher_open_as(&publisher, &ring, 0, ring.cursors);
        start_partner(&partner, &ring, NULL, policies[i], wait_once);
        while (ae_load_acquire(&partner.done) == 0) { /* a signal before the sleep has no effect */
            pthread_kill(partner.thread, SIGUSR1);
            sched_yield();
        }
        end_partner(&partner);
        assert_int_equal(partner.rc, 0);
        publisher_close(&publisher);
        ring_free(&ring);
    }
    sigaction(SIGUSR1, &before, NULL);
}

/* Publishes each message that it receives, and sleeps in the futex before each. */
static void *echo(void *arg) {
    struct partner *self = arg;
    aether_message message;

    subscriber_open(&self->subscriber, self->ring, self->ring->log, 0, self->options);
    publisher_open_as(&self->publisher, self->back, 0, self->back->cursors);
    pthread_barrier_wait(&self->ready);
    for (uint64_t i = 0; i < CYCLES; i++) {
        int rc;
        while ((rc = aether_receive(self->subscriber.handle, &message)) == 0)
            (void)ae_subscriber_sleep(&self->subscriber.sub, AETHER_FOREVER);
        if (rc != 1 || message.seq != i || aether_publish(self->publisher.handle, message.data, message.len) != 0) {
            self->rc = -1;
            break;
        }
    }
    publisher_close(&self->publisher);
    subscriber_close(&self->subscriber);
    return NULL;
}

static void play_ping_pong(const aether_subscribe_options *options) {
    struct ring there, back;
    struct partner partner;
    struct test_publisher publisher;
    struct test_subscriber subscriber;

    ring_make(&there, 8, 8, 0);
    ring_make(&back, 8, 8, 0);
    publisher_open_as(&publisher, &there, 0, there.cursors);
    subscriber_open(&subscriber, &back, back.log, 1, options);
    start_partner(&partner, &there, &back, options, echo);
    for (uint64_t i = 0; i < CYCLES; i++) {
        aether_message message;
        int rc;
        publish_one(&publisher);
        while ((rc = aether_receive(subscriber.handle, &message)) == 0)
            (void)aether_wait(subscriber.handle, AETHER_FOREVER);
        assert_true(rc == 1 && message.seq == i && message.len == 8 && memcmp(message.data, &i, 8) == 0);
    }
    end_partner(&partner);
    assert_int_equal(partner.rc, 0);
    assert_true(wake_word(&there) > 1); /* it has slept */
    subscriber_close(&subscriber);
    publisher_close(&publisher);
    ring_free(&there);
    ring_free(&back);
}

static void every_message_wakes(void **state) {
    (void)state;
    for (int p = 0; p < 3; p++)
        play_ping_pong(policies[p]);
}

/* A subscriber of any policy may write to the notes. Publishers go on at once, and sleepers check every 250 ms. */
static void *scribble(void *arg) {
    struct partner *self = arg;
    ae_u64 *want = &self->ring->notes->want.want;
    uint64_t random = 1;

    pthread_barrier_wait(&self->ready);
    while (ae_load_acquire(&self->done) == 0) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        ae_store_relaxed(want, (random >> 62) == 0 ? random
                                                   : ae_load_relaxed(&self->ring->log->wake.wake) + (random >> 62) - 2);
        if ((random >> 40 & 63) == 0)
            sched_yield();
    }
    return NULL;
}

/* Receives LIES messages. */
static void *receive_despite_lies(void *arg) {
    struct partner *self = arg;
    aether_message message;
    uint64_t n = 0;

    subscriber_open(&self->subscriber, self->ring, self->ring->log, 0, self->options);
    pthread_barrier_wait(&self->ready);
    while (n < LIES && (self->rc = aether_receive_wait(self->subscriber.handle, &message, AETHER_FOREVER)) == 1) {
        n = message.seq + 1;
        ae_store_release(&self->done, n);
    }
    subscriber_close(&self->subscriber);
    return NULL;
}

static void a_liar_only_delays(void **state) {
    (void)state;
    for (int p = 0; p < 3; p++) {
        struct partner receiver, liar;
        struct test_publisher publisher;
        struct ring ring;

        ring_make(&ring, 8, 8, 0);
        publisher_open_as(&publisher, &ring, 0, ring.cursors);
        start_partner(&receiver, &ring, NULL, policies[p], receive_despite_lies);
        start_partner(&liar, &ring, NULL, NULL, scribble);
        for (uint64_t i = 0; i < LIES; i++) {
            publish_one(&publisher); /* never finds the ring full */
            while (ae_load_acquire(&receiver.done) <= i)
                sched_yield();
        }
        end_partner(&receiver);
        assert_int_equal(receiver.rc, 1);
        ae_store_release(&liar.done, 1);
        end_partner(&liar);
        publisher_close(&publisher);
        ring_free(&ring);
    }
}

/* ADAPTIVE with a subscriber to watch ends up on the futex and not in a nap. */
static void *idle_until_message(void *arg) {
    struct partner *self = arg;
    aether_idle_state idle;
    aether_message message;

    subscriber_open(&self->subscriber, self->ring, self->ring->log, 0, self->options);
    aether_idle_init(&idle, AETHER_IDLE_ADAPTIVE, 0);
    aether_idle_watch(&idle, self->subscriber.handle);
    pthread_barrier_wait(&self->ready);
    for (uint64_t i = 0; i < 100; i++) {
        while ((self->rc = aether_receive(self->subscriber.handle, &message)) == 0)
            aether_idle(&idle, 0);
        aether_idle(&idle, 1);
    }
    subscriber_close(&self->subscriber);
    return NULL;
}

static void idle_watches(void **state) {
    struct partner partner;
    struct test_publisher publisher;
    struct ring ring;

    (void)state;
    for (int p = 0; p < 3; p++) {
        ring_make(&ring, 8, 8, 0);
        publisher_open_as(&publisher, &ring, 0, ring.cursors);
        start_partner(&partner, &ring, NULL, policies[p], idle_until_message);
        for (int i = 0; i < 100; i++) {
            await_note(&ring);
            publish_one(&publisher);
        }
        end_partner(&partner);
        assert_int_equal(partner.rc, 1);
        assert_true(wake_word(&ring) >= 101); /* each publish has seen `want` */
        publisher_close(&publisher);
        ring_free(&ring);
    }
}

/* Makes room, one message at a time. */
static void *make_room(void *arg) {
    struct partner *self = arg;
    aether_message message;

    subscriber_open(&self->subscriber, self->ring, self->ring->log, 0, &reliable);
    pthread_barrier_wait(&self->ready);
    while (self->rc >= 0 && aether_subscriber_next(self->subscriber.handle) != 1000)
        self->rc = aether_receive_wait(self->subscriber.handle, &message, AETHER_FOREVER);
    subscriber_close(&self->subscriber);
    return NULL;
}

static void waiting_publisher_goes_on(void **state) {
    struct partner partner;
    struct test_publisher publisher;
    struct ring ring;

    (void)state;
    ring_make(&ring, 8, 8, 0);
    publisher_open_as(&publisher, &ring, 0, ring.cursors);
    start_partner(&partner, &ring, NULL, &reliable, make_room);
    for (uint64_t i = 0; i < 1000; i++)
        assert_int_equal(aether_publish_wait(publisher.handle, &i, sizeof i, AETHER_FOREVER), 0);
    end_partner(&partner);
    assert_int_equal(partner.rc, 1);
    publisher_close(&publisher);
    ring_free(&ring);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timeouts),
        cmocka_unit_test(which_notes_wake),
        cmocka_unit_test(notes_replace_lies),
        cmocka_unit_test(publisher_waits),
        cmocka_unit_test(lost_notes_are_bounded),
        cmocka_unit_test(ends_wake),
        cmocka_unit_test(signals_end_a_wait),
        cmocka_unit_test(every_message_wakes),
        cmocka_unit_test(a_liar_only_delays),
        cmocka_unit_test(idle_watches),
        cmocka_unit_test(waiting_publisher_goes_on),
    };

    alarm(900); /* an endless wait ends here */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
