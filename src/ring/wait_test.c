/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sleeping and waking, with one mapping, so that ThreadSanitizer sees it. No test asserts that anything is fast; an
 * alarm() ends what hangs.
 */
#define _GNU_SOURCE
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
#define MS 1000000ull

static const aether_subscribe_options reliable = {.policy = AETHER_RELIABLE},
                                      best_effort = {.policy = AETHER_BEST_EFFORT}, latest = {.policy = AETHER_LATEST};

static uint64_t wake_word(const struct ring *ring) {
    return ae_load_acquire(&ring->log->wake.wake);
}

static uint64_t want_word(const struct ring *ring) {
    return ae_load_acquire(&ring->cursors->want.want);
}

static void await_note(const struct ring *ring) {
    while (want_word(ring) != wake_word(ring))
        sched_yield();
}

static void publish_one(struct writer *writer) {
    const uint64_t seq = aether_publisher_next(writer->handle);

    assert_int_equal(aether_publish(writer->handle, &seq, sizeof seq), 0);
}

/* ---- one thread ---- */

static void timeouts(void **state) {
    static const uint64_t times[] = {1, 1000, MS, 20 * MS};
    const aether_subscribe_options *options[] = {&reliable, &best_effort, &latest};
    struct writer writer;
    struct reader reader;
    struct ring ring;

    (void)state;
    ring_make(&ring, 8, 8, 0);
    writer_open(&writer, &ring);
    for (int p = 0; p < 3; p++) {
        reader_open(&reader, &ring, ring.log_ro, 0, options[p]);
        assert_int_equal(aether_wait(reader.handle, 0), 0);
        for (int i = 0; i < 4; i++) {
            aether_message message;
            const uint64_t start = ae_now_ns();
            assert_int_equal(aether_wait(reader.handle, times[i]), 0);
            assert_true(ae_now_ns() - start >= times[i]);
            assert_int_equal(aether_receive_wait(reader.handle, &message, times[i]), 0);
            assert_true(ae_now_ns() - start >= 2 * times[i]);
            publish_one(&writer);
            assert_int_equal(aether_wait(reader.handle, AETHER_FOREVER), 1);
            assert_int_equal(aether_receive_wait(reader.handle, &message, AETHER_FOREVER), 1);
            assert_int_equal(message.seq, aether_publisher_next(writer.handle) - 1);
        }
        reader_close(&reader);
    }
    writer_close(&writer);
    ring_free(&ring);
}

/* Only a note with the very word of now wakes, and once; a publisher never follows one that is ahead. */
static void which_notes_wake(void **state) {
    const uint64_t words[] = {1, 2, UINT32_MAX, 1ull << 32, (1ull << 63) - 1, 1ull << 63, UINT64_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        const uint64_t word = words[i];
        const uint64_t lies[] = {
            word - 1, word + 1, word + 2, word - 1000, word + (1ull << 62), word + (1ull << 63), word - (1ull << 62)};
        struct writer writer;
        struct ring ring;

        ring_make(&ring, 8, 8, 0);
        ae_store_relaxed(&ring.log->wake.wake, word);
        ae_store_relaxed(&ring.cursors->want.want, word - 1);
        writer_open(&writer, &ring);
        for (size_t k = 0; k < sizeof lies / sizeof lies[0]; k++) {
            ae_store_relaxed(&ring.cursors->want.want, lies[k]);
            publish_one(&writer);
            publish_one(&writer);
            assert_int_equal(wake_word(&ring), word);
        }
        ae_store_relaxed(&ring.cursors->want.want, word);
        publish_one(&writer);
        assert_int_equal(wake_word(&ring), word + 1);
        publish_one(&writer);
        assert_int_equal(wake_word(&ring), word + 1);
        ae_store_relaxed(&ring.log->wake.wake, word + 5); /* others wake, too */
        ae_store_relaxed(&ring.cursors->want.want, word + 5);
        publish_one(&writer);
        assert_int_equal(wake_word(&ring), word + 6);
        writer_close(&writer);
        assert_int_equal(wake_word(&ring), word + 7);
        ring_free(&ring);
    }
}

/* Whatever stands there, a sleeper ends up with its own note, and with its timeout. */
static void notes_replace_lies(void **state) {
    const uint64_t lies[] = {0, 1, 2, 7, 8, 1ull << 31, 1ull << 32, 1ull << 62, 1ull << 63, UINT64_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct writer writer;
        struct reader reader;
        struct ring ring;

        ring_make(&ring, 8, 8, 0);
        ae_store_relaxed(&ring.log->wake.wake, 7);
        writer_open(&writer, &ring);
        reader_open(&reader, &ring, ring.log_ro, 0, &reliable);
        ae_store_relaxed(&ring.cursors->want.want, lies[i]);
        assert_true(ae_subscriber_sleep(&reader.sub, MS));
        assert_int_equal(want_word(&ring), 7);
        publish_one(&writer);
        assert_int_equal(wake_word(&ring), 8);
        assert_int_equal(aether_wait(reader.handle, AETHER_FOREVER), 1);
        reader_close(&reader);
        writer_close(&writer);
        ring_free(&ring);
    }
}

static void publisher_waits(void **state) {
    struct writer writer;
    struct reader reader;
    struct ring ring;
    aether_loan loan;
    unsigned char data[4096] = {0};
    uint64_t start;

    (void)state;
    ring_make_as(&ring,
                 &(aether_topic_config){.capacity = 8, .max_message = 4096, .inline_max = 56, .lane_bytes = 4096});
    writer_open(&writer, &ring);
    reader_open(&reader, &ring, ring.log_ro, 0, &reliable);
    assert_int_equal(aether_publisher_wait(writer.handle, 4097, 0), -EMSGSIZE);
    assert_int_equal(aether_publish_wait(writer.handle, data, 4097, AETHER_FOREVER), -EMSGSIZE);
    assert_int_equal(aether_publisher_wait(writer.handle, 4096, 0), 0);
    assert_int_equal(aether_loan_take(writer.handle, 4096, &loan), 0);
    assert_int_equal(aether_publish_wait(writer.handle, data, 57, AETHER_FOREVER), -ENOBUFS);
    assert_int_equal(aether_publisher_wait(writer.handle, 56, AETHER_FOREVER), 0);
    assert_int_equal(aether_loan_commit(writer.handle, &loan), 0);
    for (uint64_t time = 1; time < 40 * MS; time *= 100) { /* the lane is full */
        start = ae_now_ns();
        assert_int_equal(aether_publisher_wait(writer.handle, 57, time), AETHER_FULL);
        assert_int_equal(aether_publish_wait(writer.handle, data, 57, time), AETHER_FULL);
        assert_true(ae_now_ns() - start >= 2 * time);
    }
    for (int i = 0; i < 7; i++)
        assert_int_equal(aether_publish_wait(writer.handle, data, 8, AETHER_FOREVER), 0);
    assert_int_equal(aether_publisher_wait(writer.handle, 0, MS), AETHER_FULL); /* the ring is full */
    reader_close(&reader);
    assert_int_equal(aether_publisher_wait(writer.handle, 4096, AETHER_FOREVER), 0);
    assert_int_equal(aether_publish(writer.handle, data, 4096), 0);
    writer_close(&writer);
    ring_free(&ring);
}

/* ---- two threads ---- */

struct partner {
    struct ring *ring, *back;
    const aether_subscribe_options *options;
    struct reader reader;
    struct writer writer;
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

/* Waits once, for ever, with nothing there when it begins. */
static void *wait_once(void *arg) {
    struct partner *self = arg;

    reader_open(&self->reader, self->ring, self->ring->log, 0, self->options);
    pthread_barrier_wait(&self->ready);
    self->rc = aether_wait(self->reader.handle, AETHER_FOREVER);
    self->end = (int)aether_subscriber_stream(self->reader.handle);
    reader_close(&self->reader);
    ae_store_release(&self->done, 1);
    return NULL;
}

static void lost_notes_are_bounded(void **state) {
    struct partner partner;
    struct writer writer;
    struct ring ring;

    (void)state;
    for (int i = 0; i < 3; i++) {
        ring_make(&ring, 8, 8, 0);
        writer_open_as(&writer, &ring, 0, ring.cursors);
        start_partner(&partner, &ring, NULL, &reliable, wait_once);
        await_note(&ring);
        ae_store_relaxed(&ring.cursors->want.want, 0); /* nobody will be woken */
        publish_one(&writer);
        end_partner(&partner);
        assert_int_equal(partner.rc, 1);
        writer_close(&writer);
        ring_free(&ring);
    }
}

static void ends_wake(void **state) {
    struct partner partner;
    struct writer writer;
    struct ring ring;

    (void)state;
    for (int i = 0; i < 40; i++) {
        ring_make(&ring, 8, 8, 0);
        writer_open_as(&writer, &ring, 0, ring.cursors);
        start_partner(&partner, &ring, NULL, &reliable, wait_once);
        if (i % 4 != 0)
            await_note(&ring);
        if (i % 2 == 0) {
            writer_close(&writer);
        } else {
            writer_die(&writer);
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
    const aether_subscribe_options *options[] = {&reliable, &best_effort};
    struct sigaction before;

    (void)state;
    sigaction(SIGUSR1, &action, &before);
    for (int i = 0; i < 2; i++) {
        struct partner partner;
        struct writer writer;
        struct ring ring;

        ring_make(&ring, 8, 8, 0);
        writer_open_as(&writer, &ring, 0, ring.cursors);
        start_partner(&partner, &ring, NULL, options[i], wait_once);
        while (ae_load_acquire(&partner.done) == 0) { /* one that comes before it sleeps is not seen */
            pthread_kill(partner.thread, SIGUSR1);
            sched_yield();
        }
        end_partner(&partner);
        assert_int_equal(partner.rc, 0);
        writer_close(&writer);
        ring_free(&ring);
    }
    sigaction(SIGUSR1, &before, NULL);
}

/* Sends back whatever comes, sleeping in the futex before each. */
static void *echo(void *arg) {
    struct partner *self = arg;
    aether_message message;

    reader_open(&self->reader, self->ring, self->ring->log, 0, &reliable);
    writer_open_as(&self->writer, self->back, 0, self->back->cursors);
    pthread_barrier_wait(&self->ready);
    for (uint64_t i = 0; i < CYCLES; i++) {
        int rc;
        while ((rc = aether_receive(self->reader.handle, &message)) == 0)
            (void)ae_subscriber_sleep(&self->reader.sub, AETHER_FOREVER);
        if (rc != 1 || message.seq != i || aether_publish(self->writer.handle, message.data, message.len) != 0) {
            self->rc = -1;
            break;
        }
    }
    writer_close(&self->writer);
    reader_close(&self->reader);
    return NULL;
}

static void every_message_wakes(void **state) {
    struct ring there, back;
    struct partner partner;
    struct writer writer;
    struct reader reader;

    (void)state;
    ring_make(&there, 8, 8, 0);
    ring_make(&back, 8, 8, 0);
    writer_open_as(&writer, &there, 0, there.cursors);
    reader_open(&reader, &back, back.log, 1, &reliable);
    start_partner(&partner, &there, &back, &reliable, echo);
    for (uint64_t i = 0; i < CYCLES; i++) {
        aether_message message;
        int rc;
        publish_one(&writer);
        while ((rc = aether_receive(reader.handle, &message)) == 0)
            (void)aether_wait(reader.handle, AETHER_FOREVER);
        assert_true(rc == 1 && message.seq == i && message.len == 8 && memcmp(message.data, &i, 8) == 0);
    }
    end_partner(&partner);
    assert_int_equal(partner.rc, 0);
    assert_true(wake_word(&there) > 1); /* it did sleep */
    reader_close(&reader);
    writer_close(&writer);
    ring_free(&there);
    ring_free(&back);
}

/* ADAPTIVE with a subscriber to watch ends up on the futex and not in a nap. */
static void *idle_until_message(void *arg) {
    struct partner *self = arg;
    aether_idle_state idle;
    aether_message message;

    reader_open(&self->reader, self->ring, self->ring->log, 0, &reliable);
    aether_idle_init(&idle, AETHER_IDLE_ADAPTIVE, 0);
    aether_idle_watch(&idle, self->reader.handle);
    pthread_barrier_wait(&self->ready);
    for (uint64_t i = 0; i < 100; i++) {
        while ((self->rc = aether_receive(self->reader.handle, &message)) == 0)
            aether_idle(&idle, 0);
        aether_idle(&idle, 1);
    }
    reader_close(&self->reader);
    return NULL;
}

static void idle_watches(void **state) {
    struct partner partner;
    struct writer writer;
    struct ring ring;

    (void)state;
    ring_make(&ring, 8, 8, 0);
    writer_open_as(&writer, &ring, 0, ring.cursors);
    start_partner(&partner, &ring, NULL, &reliable, idle_until_message);
    for (int i = 0; i < 100; i++) {
        await_note(&ring);
        publish_one(&writer);
    }
    end_partner(&partner);
    assert_int_equal(partner.rc, 1);
    assert_true(wake_word(&ring) >= 101); /* each found its note */
    writer_close(&writer);
    ring_free(&ring);
}

/* Makes room, one message at a time. */
static void *make_room(void *arg) {
    struct partner *self = arg;
    aether_message message;

    reader_open(&self->reader, self->ring, self->ring->log, 0, &reliable);
    pthread_barrier_wait(&self->ready);
    while (self->rc >= 0 && aether_subscriber_next(self->reader.handle) != 1000)
        self->rc = aether_receive_wait(self->reader.handle, &message, AETHER_FOREVER);
    reader_close(&self->reader);
    return NULL;
}

static void waiting_publisher_goes_on(void **state) {
    struct partner partner;
    struct writer writer;
    struct ring ring;

    (void)state;
    ring_make(&ring, 8, 8, 0);
    writer_open_as(&writer, &ring, 0, ring.cursors);
    start_partner(&partner, &ring, NULL, &reliable, make_room);
    for (uint64_t i = 0; i < 1000; i++)
        assert_int_equal(aether_publish_wait(writer.handle, &i, sizeof i, AETHER_FOREVER), 0);
    end_partner(&partner);
    assert_int_equal(partner.rc, 1);
    writer_close(&writer);
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
        cmocka_unit_test(idle_watches),
        cmocka_unit_test(waiting_publisher_goes_on),
    };

    alarm(120); /* an endless wait ends here */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
