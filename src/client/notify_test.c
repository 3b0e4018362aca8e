/* SPDX-License-Identifier: Apache-2.0 */
/*
 * notify_test.c - a notifier's fd becomes readable when, after it was armed, there is something to receive.
 */
#include "client/handle_test.h"
#include <aether/wait.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <cmocka.h>

#define MESSAGES 20000u

struct fixture {
    struct ring ring;
    struct test_publisher publisher;
    aether_subscriber *sub;
    aether_notifier *notifier;
};

static void open_all(struct fixture *f, aether_policy policy, bool publisher) {
    ring_make(&f->ring, 8, 8, 0);
    if (publisher)
        publisher_open_as(&f->publisher, &f->ring, 0, f->ring.cursors);
    f->sub = handle_open(&f->ring, 0, policy);
    assert_int_equal(aether_notifier_open(f->sub, &f->notifier), 0);
}

static void close_all(struct fixture *f) {
    aether_notifier_close(f->notifier);
    handle_close(f->sub);
    ring_free(&f->ring);
}

static int is_readable(const struct fixture *f, int timeout_ms) {
    struct pollfd fd = {.fd = aether_notifier_fd(f->notifier), .events = POLLIN};
    const int n = poll(&fd, 1, timeout_ms);

    assert_true(n == 0 || (n == 1 && fd.revents == POLLIN));
    return n;
}

static void publish_one(struct fixture *f) {
    const uint64_t seq = aether_publisher_next(f->publisher.handle);

    assert_int_equal(aether_publish(f->publisher.handle, &seq, sizeof seq), 0);
}

static uint64_t receive_all(struct fixture *f) {
    aether_message message;
    uint64_t n = 0;

    while (aether_receive(f->sub, &message) == 1)
        n++;
    return n;
}

static void readable_when_there_is_a_message(void **state) {
    (void)state;
    for (int policy = AETHER_RELIABLE; policy <= AETHER_LATEST; policy++) {
        struct fixture f;

        open_all(&f, (aether_policy)policy, true);
        assert_int_equal(is_readable(&f, 0), 0);
        publish_one(&f);
        aether_notifier_arm(f.notifier); /* the message is there already */
        assert_int_equal(is_readable(&f, 0), 1);
        aether_notifier_arm(f.notifier); /* nothing was received */
        assert_int_equal(is_readable(&f, 0), 1);
        assert_int_equal(receive_all(&f), 1);
        assert_int_equal(is_readable(&f, 0), 1); /* it stays readable until it is armed again */
        for (int i = 0; i < 300; i++) {
            aether_notifier_arm(f.notifier);
            if (i % 3 == 0) /* arming it twice is allowed */
                aether_notifier_arm(f.notifier);
            assert_int_equal(is_readable(&f, i % 50 == 0 ? 2 : 0), 0);
            publish_one(&f);
            assert_int_equal(is_readable(&f, -1), 1);
            if (i % 2 == 0)
                publish_one(&f); /* the fd is readable already */
            assert_int_equal(receive_all(&f), policy == AETHER_LATEST ? 1 : 1 + (i % 2 == 0));
        }
        publisher_close(&f.publisher);
        close_all(&f);
    }
}

/* A notifier is armed when it is opened: earlier and later messages make it readable. */
static void fires_without_being_armed(void **state) {
    (void)state;
    for (int policy = AETHER_RELIABLE; policy <= AETHER_LATEST; policy++) {
        for (int before = 0; before < 2; before++) {
            struct fixture f;

            ring_make(&f.ring, 8, 8, 0);
            publisher_open_as(&f.publisher, &f.ring, 0, f.ring.cursors);
            f.sub = handle_open(&f.ring, 0, (aether_policy)policy);
            if (before)
                publish_one(&f);
            assert_int_equal(aether_notifier_open(f.sub, &f.notifier), 0);
            if (!before)
                publish_one(&f);
            assert_int_equal(is_readable(&f, 10000), 1);
            publisher_close(&f.publisher);
            close_all(&f);
        }
    }
}

static void ends_are_reported_once(void **state) {
    struct fixture f;

    (void)state;
    open_all(&f, AETHER_RELIABLE, false);
    aether_notifier_arm(f.notifier); /* no publisher has come yet, so the stream hasn't ended */
    assert_int_equal(is_readable(&f, 2), 0);
    for (int i = 0; i < 20; i++) {
        publisher_open_as(&f.publisher, &f.ring, 0, f.ring.cursors);
        aether_notifier_arm(f.notifier);
        assert_int_equal(is_readable(&f, 0), 0);
        publisher_close(&f.publisher);
        assert_int_equal(is_readable(&f, -1), 1);
        assert_int_equal(receive_all(&f), 0);
        assert_int_equal(aether_subscriber_stream(f.sub), AETHER_STREAM_CLOSED);
        aether_notifier_arm(f.notifier);
        assert_int_equal(is_readable(&f, i == 0 ? 5 : 0), 0);
    }
    close_all(&f);
}

/* Closes a notifier that is armed, asleep, readable, or was never armed. */
static void closes_in_every_state(void **state) {
    (void)state;
    for (int i = 0; i < 40; i++) {
        struct fixture f;

        open_all(&f, i % 8 == 7 ? AETHER_BEST_EFFORT : AETHER_RELIABLE, true);
        if (i % 4 != 0)
            aether_notifier_arm(f.notifier);
        if (i % 4 == 2)
            publish_one(&f);
        while (i % 8 == 3 && ae_load_acquire(&f.ring.notes->want.want) != ae_load_acquire(&f.ring.log->wake.wake))
            sched_yield(); /* until the helper thread sleeps, or is about to */
        publisher_close(&f.publisher);
        close_all(&f);
    }
    aether_notifier_close(NULL);
}

static void *publish_all(void *arg) {
    struct fixture *f = arg;

    for (uint64_t i = 0; i < MESSAGES; i++) {
        while (aether_publish(f->publisher.handle, &i, sizeof i) == AETHER_FULL)
            sched_yield();
    }
    publisher_close(&f->publisher);
    return NULL;
}

/* An event loop that receives only after poll() has returned gets every message and the end of the stream. */
static void a_loop_misses_nothing(void **state) {
    struct fixture f;
    pthread_t thread;
    uint64_t n = 0;

    (void)state;
    open_all(&f, AETHER_RELIABLE, true);
    assert_int_equal(pthread_create(&thread, NULL, publish_all, &f), 0);
    while (aether_subscriber_stream(f.sub) != AETHER_STREAM_CLOSED) {
        aether_notifier_arm(f.notifier);
        assert_int_equal(is_readable(&f, -1), 1);
        n += receive_all(&f);
    }
    assert_int_equal(n, MESSAGES);
    pthread_join(thread, NULL);
    close_all(&f);
}

static void no_descriptor_is_an_error(void **state) {
    struct rlimit before, none;
    aether_notifier *notifier = NULL;
    struct fixture f;

    (void)state;
    open_all(&f, AETHER_RELIABLE, false);
    assert_int_equal(aether_notifier_open(f.sub, &notifier), -EBUSY); /* the subscriber has a notifier already */
    aether_notifier_close(f.notifier);
    f.notifier = NULL;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_int_equal(aether_notifier_open(f.sub, &notifier), -EMFILE);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_null(notifier);
    close_all(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fires_without_being_armed), cmocka_unit_test(readable_when_there_is_a_message),
        cmocka_unit_test(ends_are_reported_once),    cmocka_unit_test(closes_in_every_state),
        cmocka_unit_test(a_loop_misses_nothing),     cmocka_unit_test(no_descriptor_is_an_error),
    };

    alarm(900); /* ends a test that hangs */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
