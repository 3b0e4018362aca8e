/* SPDX-License-Identifier: Apache-2.0 */
/*
 * waitset_test.c - waitsets on rings without a daemon. All cases run twice: with the kernel's futex_waitv, if it has
 * one, and without, because a seccomp filter forbids it. No case asserts a speed; an alarm() ends a test that hangs.
 */
#include "base/clock.h"
#include "client/handle_test.h"
#include "ring/wake.h"
#include "shm/registry_layout.h"
#include <aether/wait.h>
#include <aether/waitset.h>
#include <dirent.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <cmocka.h>

#define TOPICS_MAX 300u
#define MS 1000000ull

#ifdef AE_TSAN
#define MESSAGES 3000u
#else
#define MESSAGES 20000u
#endif

/* Topics with a publisher and a subscriber each. */
struct fixture {
    unsigned count;
    aether_waitset *set;
    struct ring ring[TOPICS_MAX];
    struct test_publisher pub[TOPICS_MAX];
    aether_subscriber *sub[TOPICS_MAX];
};

static void *mark(size_t i) {
    static char marks[TOPICS_MAX];

    return &marks[i];
}

static aether_policy all_reliable(unsigned i) {
    (void)i;
    return AETHER_RELIABLE;
}

static aether_policy of_each(unsigned i) {
    return (aether_policy)(i % 3);
}

static struct fixture *open_all(unsigned count, aether_policy (*policy)(unsigned)) {
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    f->count = count;
    assert_int_equal(aether_waitset_open(&f->set), 0);
    for (unsigned i = 0; i < count; i++) {
        ring_make(&f->ring[i], 8, 8, 0);
        publisher_open_as(&f->pub[i], &f->ring[i], 0, f->ring[i].cursors);
        f->sub[i] = handle_open(&f->ring[i], 0, policy(i));
        assert_int_equal(aether_waitset_add(f->set, f->sub[i], mark(i)), 0);
    }
    return f;
}

static void close_all(struct fixture *f) {
    aether_waitset_close(f->set);
    for (unsigned i = 0; i < f->count; i++) {
        if (f->sub[i] != NULL)
            handle_close(f->sub[i]);
        if (f->pub[i].handle != NULL)
            publisher_close(&f->pub[i]);
        ring_free(&f->ring[i]);
    }
    free(f);
}

static void publish_one(struct fixture *f, unsigned i) {
    const uint64_t seq = aether_publisher_next(f->pub[i].handle);

    assert_int_equal(aether_publish(f->pub[i].handle, &seq, sizeof seq), 0);
}

/* All handles of the test share one record of statistics; each has its own counts, which it stores there. */
static void assert_slept(struct fixture *f, unsigned i, uint64_t sleeps, uint64_t woken) {
    const struct ae_subscriber *s = &ae_handle_of_subscriber(f->sub[i])->ring;

    assert_int_equal(s->sleeps, sleeps);
    assert_int_equal(s->woken, woken);
}

/* The index of the subscriber that the set names, or -1. */
static int next_named(struct fixture *f, uint64_t timeout_ns) {
    aether_ready ready = {NULL, NULL};
    const int rc = aether_waitset_next(f->set, &ready, timeout_ns);

    assert_true(rc == 0 || rc == 1);
    for (unsigned i = 0; rc == 1 && i < f->count; i++) {
        if (f->sub[i] == ready.subscriber) {
            assert_ptr_equal(ready.context, mark(i));
            return (int)i;
        }
    }
    assert_int_equal(rc, 0);
    return -1;
}

static unsigned receive_all(aether_subscriber *sub) {
    aether_message message;
    unsigned n = 0;

    while (aether_receive(sub, &message) == 1)
        n++;
    return n;
}

static int is_readable(struct fixture *f, int timeout_ms) {
    struct pollfd entry = {.fd = aether_waitset_fd(f->set), .events = POLLIN};
    int n;

    assert_true(entry.fd >= 0);
    n = poll(&entry, 1, timeout_ms);
    assert_true(n == 0 || (n == 1 && entry.revents == POLLIN));
    return n;
}

static unsigned threads(void) {
    DIR *dir = opendir("/proc/self/task");
    unsigned n = 0;

    assert_non_null(dir);
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n - 2;
}

/* ---- one thread ---- */

static void names_members_with_messages(void **state) {
    struct fixture *f = open_all(6, of_each);
    const unsigned before = threads();

    (void)state;
    assert_int_equal(next_named(f, 0), -1);
    for (unsigned round = 0; round < 50; round++) {
        const unsigned i = round * 5 % 6;
        const uint64_t timeout = round % 2 == 0 ? 0 : AETHER_FOREVER;
        publish_one(f, i);
        publish_one(f, i);
        assert_int_equal(next_named(f, timeout), i);
        assert_int_equal(next_named(f, timeout), i); /* again, because it still has messages */
        assert_int_equal(receive_all(f->sub[i]), of_each(i) == AETHER_LATEST ? 1 : 2);
        assert_int_equal(next_named(f, round % 2 * 10000), -1);
    }
    assert_int_equal(threads(), before);
    close_all(f);
}

/* A wait of a member is one sleep, however often the set wakes meanwhile. It ends when the set names the member. */
static void sleeps_are_counted(void **state) {
    struct fixture *f = open_all(3, of_each);

    (void)state;
    assert_int_equal(next_named(f, 0), -1); /* doesn't sleep */
    for (unsigned i = 0; i < 3; i++)
        assert_slept(f, i, 0, 0);
    for (int turn = 0; turn < 2; turn++) {
        assert_int_equal(next_named(f, MS), -1);
        for (unsigned i = 0; i < 3; i++)
            assert_slept(f, i, 1, 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        publish_one(f, i);
        assert_int_equal(next_named(f, AETHER_FOREVER), (int)i);
        assert_slept(f, i, 1, 1);
        assert_int_equal(next_named(f, AETHER_FOREVER), (int)i); /* it hasn't received */
        assert_int_equal(receive_all(f->sub[i]), 1);
        assert_slept(f, i, 1, 1);
    }
    assert_int_equal(next_named(f, 0), -1);
    assert_slept(f, 0, 1, 1);
    assert_int_equal(next_named(f, MS), -1);
    assert_slept(f, 0, 2, 1);

    /* The helper sleeps in the program's stead. */
    assert_true(aether_waitset_fd(f->set) >= 0);
    publish_one(f, 1);
    assert_int_equal(next_named(f, AETHER_FOREVER), 1);
    assert_slept(f, 1, 2, 2);
    assert_int_equal(receive_all(f->sub[1]), 1);
    assert_int_equal(next_named(f, 0), -1);
    assert_slept(f, 1, 3, 2);
    assert_int_equal(next_named(f, MS), -1);
    for (unsigned i = 0; i < 3; i++)
        assert_slept(f, i, i == 1 ? 3 : 2, i == 1 ? 2 : 1);
    close_all(f);
}

static void an_empty_set(void **state) {
    struct fixture *f = open_all(0, all_reliable);
    const uint64_t start = ae_now_ns();

    (void)state;
    assert_int_equal(next_named(f, 0), -1);
    assert_int_equal(next_named(f, 3 * MS), -1);
    assert_true(ae_now_ns() - start >= 3 * MS);
    assert_int_equal(is_readable(f, 0), 0);
    assert_int_equal(next_named(f, 3 * MS), -1);
    close_all(f);
    aether_waitset_close(NULL);
}

static void takes_turns(void **state) {
    struct fixture *f = open_all(5, of_each);

    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        publish_one(f, i);
        publish_one(f, i);
    }
    for (unsigned round = 0; round < 20; round++)
        assert_int_equal(next_named(f, 0), round % 5);
    /* Adding and removing members doesn't change the turns of the others. */
    assert_int_equal(next_named(f, 0), 0);
    assert_int_equal(aether_waitset_remove(f->set, f->sub[0]), 0);
    assert_int_equal(next_named(f, 0), 1);
    assert_int_equal(aether_waitset_remove(f->set, f->sub[3]), 0);
    assert_int_equal(next_named(f, 0), 2);
    assert_int_equal(next_named(f, 0), 4);
    assert_int_equal(aether_waitset_add(f->set, f->sub[3], mark(3)), 0);
    assert_int_equal(next_named(f, 0), 3);
    assert_int_equal(next_named(f, 0), 1);
    /* A member without messages is skipped. */
    receive_all(f->sub[2]);
    assert_int_equal(next_named(f, 0), 4);
    close_all(f);
}

/* A subscriber that always has messages is named at most once between two others. */
static void a_busy_subscriber_starves_no_other(void **state) {
    struct fixture *f = open_all(3, all_reliable);
    aether_message message;
    unsigned named[3] = {0};

    (void)state;
    publish_one(f, 0);
    for (unsigned round = 0; round < 300; round++) {
        if (round % 10 == 0)
            publish_one(f, 1 + round / 10 % 2);
        const int i = next_named(f, AETHER_FOREVER);
        assert_true(i >= 0);
        named[i]++;
        if (i == 0)
            publish_one(f, 0);
        assert_int_equal(aether_receive(f->sub[i], &message), 1);
        if (round % 10 == 1)
            assert_int_equal(named[1] + named[2], round / 10 + 1);
    }
    close_all(f);
}

static void ends_are_named_once(void **state) {
    struct fixture *f = open_all(2, of_each);

    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        publish_one(f, 1);
        publisher_close(&f->pub[1]);
        if (round % 2 == 0)
            assert_int_equal(is_readable(f, -1), 1); /* this doesn't count as naming it */
        assert_int_equal(next_named(f, AETHER_FOREVER), 1);
        assert_int_equal(receive_all(f->sub[1]), 1);
        assert_int_equal(aether_subscriber_stream(f->sub[1]), AETHER_STREAM_CLOSED);
        assert_int_equal(next_named(f, AETHER_FOREVER), 1);
        assert_int_equal(next_named(f, round % 2 * MS), -1);
        if (round % 2 == 0)
            assert_int_equal(is_readable(f, round == 0 ? 5 : 0), 0);
        publisher_open_as(&f->pub[1], &f->ring[1], 0, f->ring[1].cursors);
        assert_int_equal(next_named(f, 0), -1);
    }
    close_all(f);
}

/* An evicted subscriber is named once, because its next receive returns the error. */
static void evictions_are_named(void **state) {
    const aether_topic_config config = {.capacity = 8, .max_message = 8, .slow = AETHER_SLOW_EVICT, .evict_lag = 8};
    struct fixture *f = open_all(1, all_reliable);
    struct test_publisher pub;
    struct ring ring;
    aether_subscriber *sub;
    aether_message message;
    aether_ready ready;
    int rc, evictions = 0;

    (void)state;
    ring_make_as(&ring, &config);
    publisher_open_as(&pub, &ring, 0, ring.cursors);
    sub = handle_open(&ring, 0, AETHER_RELIABLE);
    assert_int_equal(aether_waitset_add(f->set, sub, NULL), 0);
    for (uint64_t i = 0; i < 30; i++)
        assert_int_equal(aether_publish(pub.handle, &i, sizeof i), 0);
    while (aether_waitset_next(f->set, &ready, 0) == 1) {
        assert_ptr_equal(ready.subscriber, sub);
        rc = aether_receive(sub, &message);
        assert_true(rc == 1 || rc == -EOVERFLOW);
        evictions += rc == -EOVERFLOW;
    }
    assert_int_equal(evictions, 1);
    assert_int_equal(aether_subscriber_next(sub), 30);
    handle_close(sub);
    publisher_close(&pub);
    ring_free(&ring);
    close_all(f);
}

static void what_is_refused(void **state) {
    struct fixture *f = open_all(2, of_each), *g = open_all(0, of_each);
    aether_notifier *notifier = NULL;
    struct rlimit before, none;

    (void)state;
    assert_int_equal(aether_waitset_add(f->set, f->sub[0], NULL), -EEXIST);
    assert_int_equal(aether_waitset_add(g->set, f->sub[0], NULL), -EBUSY);
    assert_int_equal(aether_notifier_open(f->sub[0], &notifier), -EBUSY);
    assert_null(notifier);
    assert_int_equal(aether_waitset_remove(g->set, f->sub[0]), -ENOENT);
    assert_int_equal(aether_waitset_remove(f->set, f->sub[0]), 0);
    assert_int_equal(aether_waitset_remove(f->set, f->sub[0]), -ENOENT);
    assert_int_equal(aether_waitset_add(g->set, f->sub[0], NULL), 0);
    assert_int_equal(aether_waitset_add(f->set, f->sub[0], NULL), -EBUSY);
    assert_int_equal(aether_waitset_remove(g->set, f->sub[0]), 0);
    assert_int_equal(aether_notifier_open(f->sub[0], &notifier), 0);
    assert_int_equal(aether_waitset_add(f->set, f->sub[0], NULL), -EBUSY);
    aether_notifier_close(notifier);
    assert_int_equal(aether_waitset_add(f->set, f->sub[0], mark(0)), 0);

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_int_equal(aether_waitset_fd(f->set), -EMFILE);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_true(aether_waitset_fd(f->set) >= 0);
    close_all(f);
    close_all(g);
}

/* ---- the descriptor ---- */

static void the_descriptor_says_whether_there_is_something(void **state) {
    struct fixture *f = open_all(6, of_each);
    const unsigned before = threads();

    (void)state;
    publish_one(f, 4); /* before the descriptor exists */
    assert_int_equal(is_readable(f, -1), 1);
    assert_int_equal(threads(), before + 1);
    assert_int_equal(next_named(f, 0), 4);
    receive_all(f->sub[4]);
    assert_int_equal(is_readable(f, 0), 1); /* it stays readable until the set has named all */
    assert_int_equal(next_named(f, 0), -1);
    assert_int_equal(is_readable(f, 0), 0);
    for (unsigned round = 0; round < 300; round++) {
        const unsigned i = round * 5 % 6;
        publish_one(f, i);
        if (round % 3 != 0)
            assert_int_equal(is_readable(f, -1), 1);
        assert_int_equal(next_named(f, 0), i); /* also if the helper hasn't noticed it yet */
        assert_int_equal(is_readable(f, 0), 1);
        if (round % 2 == 0)
            publish_one(f, i);
        receive_all(f->sub[i]);
        assert_int_equal(next_named(f, 0), -1);
        assert_int_equal(is_readable(f, round % 50 == 0 ? 2 : 0), 0);
        if (round % 7 == 0)
            assert_int_equal(next_named(f, 0), -1); /* a second call that names none */
    }
    assert_int_equal(threads(), before + 1);
    close_all(f);
    assert_int_equal(threads(), before);
}

/* After a receive from a subscriber that wasn't named, the set may wake once for nothing, but it misses nothing. */
static void received_otherwise(void **state) {
    struct fixture *f = open_all(3, of_each);

    (void)state;
    for (unsigned round = 0; round < 60; round++) {
        assert_int_equal(is_readable(f, 0), 0);
        publish_one(f, round % 3);
        if (round % 2 == 0)
            assert_int_equal(is_readable(f, -1), 1);
        assert_int_equal(receive_all(f->sub[round % 3]), 1);
        if (is_readable(f, 0))
            assert_int_equal(next_named(f, 0), -1);
        publish_one(f, round % 3);
        assert_int_equal(is_readable(f, -1), 1);
        receive_all(f->sub[round % 3]);
        while (next_named(f, 0) >= 0)
            ;
    }
    close_all(f);
}

/* A blocking call works also after the set got a descriptor. */
static void blocks_with_a_descriptor(void **state) {
    struct fixture *f = open_all(4, of_each);

    (void)state;
    assert_int_equal(is_readable(f, 0), 0);
    for (unsigned round = 0; round < 100; round++) {
        const unsigned i = round % 4;
        assert_int_equal(next_named(f, round % 8 == 0 ? MS : 0), -1);
        publish_one(f, i);
        assert_int_equal(next_named(f, AETHER_FOREVER), i);
        receive_all(f->sub[i]);
    }
    close_all(f);
}

static void members_come_and_go(void **state) {
    struct fixture *f = open_all(4, of_each);

    (void)state;
    assert_int_equal(is_readable(f, 0), 0);
    for (unsigned round = 0; round < 100; round++) {
        const unsigned i = round % 4;
        assert_int_equal(aether_waitset_remove(f->set, f->sub[i]), 0);
        publish_one(f, i); /* to a subscriber that isn't in the set */
        assert_int_equal(next_named(f, 0), -1);
        assert_int_equal(is_readable(f, round % 20 == 0 ? 2 : 0), 0);
        assert_int_equal(aether_waitset_add(f->set, f->sub[i], mark(i)), 0);
        assert_int_equal(is_readable(f, -1), 1); /* it had a message when it was added */
        assert_int_equal(next_named(f, 0), i);
        receive_all(f->sub[i]);
        assert_int_equal(next_named(f, 0), -1);
    }
    close_all(f);
}

/* Set and members can be closed in any order and state: while the helper sleeps, while the fd is readable, ... */
static void closes_in_every_order(void **state) {
    (void)state;
    for (unsigned round = 0; round < 48; round++) {
        struct fixture *f = open_all(5, round % 16 < 8 ? of_each : all_reliable);
        if (round % 2 == 0)
            assert_int_equal(is_readable(f, 0), 0);
        while (round % 16 == 14 &&
               ae_load_acquire(&f->ring[4].notes->want.want) != ae_load_acquire(&f->ring[4].log->wake.wake))
            sched_yield(); /* the helper sleeps, or is about to */
        if (round % 4 == 0)
            publish_one(f, 3);
        for (unsigned i = 0; i < 5 && round % 3 != 0; i += 2) {
            handle_close(f->sub[i]);
            f->sub[i] = NULL;
        }
        if (round % 3 == 2) {
            publish_one(f, 1);
            const int i = next_named(f, AETHER_FOREVER);
            assert_true(i == 1 || i == 3);
            handle_close(f->sub[i]); /* the subscriber that was named just now */
            f->sub[i] = NULL;
        }
        close_all(f);
    }
}

/* ---- another thread, a signal, another process ---- */

static uint64_t stop; /* words that threads share */

static void *wake_often(void *arg) {
    struct fixture *f = arg;

    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
        aether_waitset_wake(f->set);
        sched_yield();
    }
    return NULL;
}

static void another_thread_wakes(void **state) {
    (void)state;
    for (unsigned with_fd = 0; with_fd < 2; with_fd++) {
        struct fixture *f = open_all(3, of_each);
        pthread_t thread;

        if (with_fd)
            assert_int_equal(is_readable(f, 0), 0);
        aether_waitset_wake(f->set);
        aether_waitset_wake(f->set);
        if (with_fd)
            assert_int_equal(is_readable(f, -1), 1);
        publish_one(f, 0);
        assert_int_equal(next_named(f, AETHER_FOREVER), -1); /* before any name: a busy set must return, too */
        assert_int_equal(next_named(f, AETHER_FOREVER), 0);
        receive_all(f->sub[0]);
        assert_int_equal(next_named(f, 0), -1);
        if (with_fd)
            assert_int_equal(is_readable(f, 0), 0);
        __atomic_store_n(&stop, 0, __ATOMIC_RELEASE);
        assert_int_equal(pthread_create(&thread, NULL, wake_often, f), 0);
        for (unsigned i = 0; i < 300; i++)
            assert_int_equal(next_named(f, AETHER_FOREVER), -1);
        __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
        pthread_join(thread, NULL);
        close_all(f);
    }
}

static struct {
    struct fixture *f;
    pthread_t thread;
    bool wakes; /* the handler calls aether_waitset_wake() */
} signalled;

static void on_signal(int number) {
    (void)number;
    if (signalled.wakes)
        aether_waitset_wake(signalled.f->set);
}

static void *signal_often(void *arg) {
    (void)arg;
    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
        pthread_kill(signalled.thread, SIGUSR1);
        sched_yield();
    }
    return NULL;
}

/* A signal ends a wait, and its handler may call aether_waitset_wake(). */
static void a_signal_ends_a_wait(void **state) {
    const struct sigaction action = {.sa_handler = on_signal};
    struct sigaction before;

    (void)state;
    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    for (unsigned way = 0; way < 4; way++) {
        pthread_t thread;

        signalled.f = open_all(3, of_each);
        signalled.thread = pthread_self();
        signalled.wakes = way % 2 != 0;
        if (way / 2 != 0)
            assert_int_equal(is_readable(signalled.f, 0), 0);
        __atomic_store_n(&stop, 0, __ATOMIC_RELEASE);
        assert_int_equal(pthread_create(&thread, NULL, signal_often, NULL), 0);
        for (unsigned i = 0; i < 100; i++)
            assert_int_equal(next_named(signalled.f, AETHER_FOREVER), -1);
        __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
        pthread_join(thread, NULL);
        close_all(signalled.f);
    }
    assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
}

static void *wait_for_anything(void *arg) {
    struct fixture *f = arg;
    aether_ready ready;

    while (aether_waitset_next(f->set, &ready, AETHER_FOREVER) == -EBUSY)
        sched_yield(); /* refused, because the other thread is in a call */
    return NULL;
}

static void two_threads_are_refused(void **state) {
    struct fixture *f = open_all(1, all_reliable);
    pthread_t thread;
    int rc;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, wait_for_anything, f), 0);
    while ((rc = aether_waitset_remove(f->set, f->sub[0])) == 0) {
        /* The other thread isn't in its call yet. */
        assert_true((rc = aether_waitset_add(f->set, f->sub[0], mark(0))) == 0 || rc == -EBUSY);
        if (rc != 0)
            break;
        sched_yield();
    }
    assert_int_equal(rc, -EBUSY);
    assert_non_null(strstr(aether_errmsg(), "another thread"));
    aether_waitset_wake(f->set);
    pthread_join(thread, NULL);
    close_all(f);
}

#ifndef AE_TSAN /* which doesn't support a fork of a process with several threads */
static void a_forked_child_may_only_close(void **state) {
    struct fixture *f = open_all(2, of_each);
    aether_ready ready;
    int status;
    pid_t child;

    (void)state;
    assert_int_equal(is_readable(f, 0), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const bool refused =
            aether_waitset_next(f->set, &ready, AETHER_FOREVER) == -EPERM && aether_waitset_fd(f->set) == -EPERM &&
            aether_waitset_add(f->set, f->sub[0], NULL) == -EPERM &&
            aether_waitset_remove(f->set, f->sub[0]) == -EPERM && strstr(aether_errmsg(), "forked child") != NULL;
        handle_close(f->sub[1]);
        aether_waitset_close(f->set);
        _exit(refused ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    for (unsigned i = 0; i < 2; i++) {
        publish_one(f, i);
        assert_int_equal(is_readable(f, -1), 1);
        assert_int_equal(next_named(f, 0), i);
        receive_all(f->sub[i]);
        assert_int_equal(next_named(f, 0), -1);
    }
    close_all(f);
}
#endif

/* ---- nothing is missed ---- */

/* A hostile subscriber overwrites a note, so that no publish wakes the sleeper. Every kind of sleep is bounded. */
static void an_overwritten_note_only_delays(void **state) {
    (void)state;
    for (unsigned way = 0; way < 3; way++) {
        struct fixture *f = open_all(2, all_reliable);
        int named;

        if (way == 0)
            assert_int_equal(is_readable(f, 0), 0);
        else
            assert_int_equal(next_named(f, MS), -1); /* leaves a note */
        while (ae_load_acquire(&f->ring[1].notes->want.want) != ae_load_acquire(&f->ring[1].log->wake.wake))
            sched_yield();
        ae_store_release(&f->ring[1].notes->want.want, 0);
        publish_one(f, 1);
        if (way == 0)
            assert_int_equal(is_readable(f, -1), 1);
        while ((named = next_named(f, way == 1 ? AETHER_FOREVER : 0)) < 0)
            sched_yield();
        assert_int_equal(named, 1);
        close_all(f);
    }
}

struct flood {
    struct fixture *f;
    unsigned first, step; /* this thread publishes on topics first, first + step, ... */
};

static void *publish_everywhere(void *arg) {
    const struct flood *flood = arg;
    struct fixture *f = flood->f;
    uint64_t random = flood->first;

    for (uint64_t n = 0; n < MESSAGES; n++) {
        const unsigned i = flood->first + (unsigned)(next_random(&random) %
                                                     ((f->count - flood->first + flood->step - 1) / flood->step)) *
                                              flood->step;
        const uint64_t seq = aether_publisher_next(f->pub[i].handle);
        while (aether_publish(f->pub[i].handle, &seq, sizeof seq) == AETHER_FULL)
            sched_yield();
        if (n % 4 == 0)
            sched_yield();
    }
    return NULL;
}

/* Two threads publish on all topics. This thread receives only from subscribers that the set names. */
static void receive_flood(unsigned count, bool with_fd) {
    struct fixture *f = open_all(count, all_reliable);
    struct flood floods[2] = {{f, 0, 2}, {f, 1, 2}};
    pthread_t pubs[2];
    uint64_t n = 0;

    if (with_fd)
        assert_int_equal(is_readable(f, 0), 0);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&pubs[i], NULL, publish_everywhere, &floods[i]), 0);
    while (n < 2 * MESSAGES) {
        if (with_fd)
            assert_int_equal(is_readable(f, -1), 1);
        for (int i; (i = next_named(f, with_fd ? 0 : AETHER_FOREVER)) >= 0;) {
            n += receive_all(f->sub[i]);
            if (n == 2 * MESSAGES)
                break;
        }
    }
    for (unsigned i = 0; i < 2; i++)
        pthread_join(pubs[i], NULL);
    assert_int_equal(next_named(f, 0), -1);
    close_all(f);
}

static void nothing_is_missed(void **state) {
    (void)state;
    receive_flood(3, false);
    receive_flood(3, true);
}

/* More topics than a sleep can have futexes. */
static void nothing_is_missed_of_many(void **state) {
    (void)state;
    receive_flood(TOPICS_MAX, false);
    receive_flood(TOPICS_MAX, true);
}

/* A publish on a topic at the end of the queue is found by a nap, and the topic moves to the front. */
/* ---- subscribers that wait for their topic's shape ---- */

/* Mapped for one subscriber until it takes the shape: the sleeper must not access them any more then. */
struct waiting {
    const ae_log *words;
    ae_u64 *shape; /* a page with the shape word */
};

static struct {
    struct fixture *f;
    struct waiting topics[TOPICS_MAX];
} before;

static const ae_log *map_words(const struct ring *ring) {
#ifdef AE_TSAN
    return ring->log; /* it sees races only within one mapping */
#else
    void *words = mremap(ring->log_object.rw, 0, AE_LOG_SLOTS_OFF, MREMAP_MAYMOVE);

    check_setup(words != MAP_FAILED, "mremap");
    return words;
#endif
}

/* The index of the topic is kept where the index of the cursor record would be. */
static int take_shape(struct ae_subscriber *s) {
    struct ae_subscriber_handle *handle = ae_handle_of_subscriber(&s->hot);
    const struct ring *ring = &before.f->ring[handle->grant.record];
    const struct waiting *waiting = &before.topics[handle->grant.record];

    if (!ae_subscriber_ready(s))
        return 0;
    ae_subscriber_take_shape(s, &ring->geometry, ring->log, handle->grant.buffer);
    handle->watcher->attached(handle->watcher);
    munmap(waiting->shape, AE_PAGE);
#ifndef AE_TSAN
    munmap((void *)(uintptr_t)waiting->words, AE_LOG_SLOTS_OFF);
#endif
    return 1;
}

static void open_waiting(struct fixture *f, unsigned i) {
    const aether_subscribe_options options = {.policy = of_each(i)};
    const bool reliable = options.policy == AETHER_RELIABLE;
    struct ae_subscriber_handle *handle = calloc(1, sizeof *handle);
    struct waiting *waiting = &before.topics[i];
    struct ring *ring = &f->ring[i];

    check_setup(handle != NULL, "handle");
    ring_make(ring, 8, 8, 0);
    handle->grant.record = i;
    handle->grant.buffer = malloc(ae_subscriber_copies_bytes(&ring->geometry, &options) + 1);
    waiting->words = map_words(ring);
    waiting->shape = mmap(NULL, AE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check_setup(handle->grant.buffer != NULL && waiting->shape != MAP_FAILED, "memory");
    if (reliable)
        ae_topic_admit_subscriber(ring->log, ring->cursors, 0);
    assert_true(ae_subscriber_init_waiting(&handle->ring, 0, 0, waiting->words, reliable ? ring->cursors : NULL,
                                           ring->notes, &options, &scratch_stats, waiting->shape, take_shape));
    f->sub[i] = &handle->ring.hot;
    assert_int_equal(aether_waitset_add(f->set, f->sub[i], mark(i)), 0);
}

#define FIRST_MESSAGES 3u

/* One topic after the other gets its first publisher. */
static void *publishers_come(void *arg) {
    struct fixture *f = arg;

    for (unsigned i = 0; i < f->count; i++) {
        publisher_open_as(&f->pub[i], &f->ring[i], 0, f->ring[i].cursors);
        ae_store_release(before.topics[i].shape, AE_SHAPE_CHANGE | AE_SHAPE_FIXED);
        ae_wake_all(&f->ring[i].log->wake.wake);
        for (unsigned n = 0; n < FIRST_MESSAGES; n++) {
            (void)sched_yield();
            publish_one(f, i);
        }
    }
    return NULL;
}

static void wait_for_publishers(unsigned count, bool with_fd) {
    struct fixture *f = calloc(1, sizeof *f);
    unsigned left = count;
    pthread_t thread;

    assert_non_null(f);
    before.f = f;
    f->count = count;
    assert_int_equal(aether_waitset_open(&f->set), 0);
    for (unsigned i = 0; i < count; i++)
        open_waiting(f, i);
    if (with_fd)
        assert_true(aether_waitset_fd(f->set) >= 0);
    assert_int_equal(next_named(f, 1), -1);
    assert_int_equal(pthread_create(&thread, NULL, publishers_come, f), 0);
    while (left > 0) {
        const int i = next_named(f, AETHER_FOREVER);
        assert_true(i >= 0);
        const uint64_t next = aether_subscriber_next(f->sub[i]);
        (void)receive_all(f->sub[i]);
        left -= next != FIRST_MESSAGES && aether_subscriber_next(f->sub[i]) == FIRST_MESSAGES;
    }
    pthread_join(thread, NULL);
    close_all(f);
}

static void members_wait_for_publishers(void **state) {
    (void)state;
    wait_for_publishers(3, false);
    wait_for_publishers(3, true);
    wait_for_publishers(TOPICS_MAX, false);
    wait_for_publishers(TOPICS_MAX, true);
}

static void many_take_turns(void **state) {
    struct fixture *f = open_all(TOPICS_MAX, all_reliable);

    (void)state;
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < TOPICS_MAX; i += 7) {
            publish_one(f, i);
            assert_int_equal(next_named(f, AETHER_FOREVER), i);
            receive_all(f->sub[i]);
            assert_int_equal(next_named(f, 0), -1);
        }
        assert_int_equal(is_readable(f, 0), 0);
    }
    close_all(f);
}

/* ---- a wait that times out ---- */

#define TIMEOUTS 300u

static struct {
    uint64_t count;                  /* messages published */
    uint64_t done_ns[TIMEOUTS * 20]; /* when each had been published */
} timed;

static void *publish_now_and_then(void *arg) {
    struct fixture *f = arg;
    uint64_t random = 1;

    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
        const struct timespec pause = {.tv_nsec = (long)(next_random(&random) % (4 * MS))};
        const uint64_t n = timed.count;

        nanosleep(&pause, NULL);
        if (n < sizeof timed.done_ns / sizeof timed.done_ns[0] && aether_publish(f->pub[0].handle, &n, sizeof n) == 0) {
            timed.done_ns[n] = ae_now_ns();
            __atomic_store_n(&timed.count, n + 1, __ATOMIC_RELEASE);
        }
    }
    return NULL;
}

static aether_policy best_effort(unsigned i) {
    (void)i;
    return AETHER_BEST_EFFORT;
}

/* 0 means that there was nothing at the end of the wait. */
static void a_timeout_is_no_excuse(void **state) {
    struct fixture *f = open_all(1, best_effort);
    uint64_t received = 0, timeouts = 0;
    pthread_t thread;

    (void)state;
    timed.count = 0;
    __atomic_store_n(&stop, 0, __ATOMIC_RELEASE);
    assert_int_equal(pthread_create(&thread, NULL, publish_now_and_then, f), 0);
    while (timeouts < TIMEOUTS) {
        const uint64_t deadline = ae_now_ns() + 2 * MS;
        if (next_named(f, 2 * MS) == 0) {
            receive_all(f->sub[0]);
            received = aether_subscriber_next(f->sub[0]);
            continue;
        }
        timeouts++;
        if (__atomic_load_n(&timed.count, __ATOMIC_ACQUIRE) > received)
            assert_true(timed.done_ns[received] >= deadline);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    close_all(f);
}

/* ---- without futex_waitv ---- */

static void forbid_futex_waitv(void) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 449, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};
    const ae_u64 word = {0};
    const struct ae_wake_entry entry = ae_wake_entry(&word, 0);

    check_setup(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
    check_setup(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0, "seccomp");
    check_setup(ae_wake_sleep_any(&entry, 1, 1) == -ENOSYS, "futex_waitv is still there");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_members_with_messages),
        cmocka_unit_test(sleeps_are_counted),
        cmocka_unit_test(an_empty_set),
        cmocka_unit_test(takes_turns),
        cmocka_unit_test(a_busy_subscriber_starves_no_other),
        cmocka_unit_test(ends_are_named_once),
        cmocka_unit_test(evictions_are_named),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(the_descriptor_says_whether_there_is_something),
        cmocka_unit_test(received_otherwise),
        cmocka_unit_test(blocks_with_a_descriptor),
        cmocka_unit_test(members_come_and_go),
        cmocka_unit_test(closes_in_every_order),
        cmocka_unit_test(another_thread_wakes),
        cmocka_unit_test(a_signal_ends_a_wait),
        cmocka_unit_test(two_threads_are_refused),
#ifndef AE_TSAN
        cmocka_unit_test(a_forked_child_may_only_close),
#endif
        cmocka_unit_test(an_overwritten_note_only_delays),
        cmocka_unit_test(nothing_is_missed),
        cmocka_unit_test(nothing_is_missed_of_many),
        cmocka_unit_test(members_wait_for_publishers),
        cmocka_unit_test(many_take_turns),
        cmocka_unit_test(a_timeout_is_no_excuse),
    };
    int failed;

    alarm(900); /* ends a test that hangs */
    failed = cmocka_run_group_tests_name("with the kernel's futexes", tests, NULL, NULL);
    forbid_futex_waitv();
    alarm(900);
    return failed + cmocka_run_group_tests_name("without futex_waitv", tests, NULL, NULL);
}
