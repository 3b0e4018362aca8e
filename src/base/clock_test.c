/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include <pthread.h>
#include <stddef.h>
#include <time.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define THREADS 4
#define S 1000000000ull

static void *init(void *arg) {
    ae_clock_init();
    *(uint64_t *)arg = ae_ticks_from_ns(S);
    return NULL;
}

/* Runs first, so that all threads find the clock uncalibrated. */
static void threads_agree_on_the_rate(void **state) {
    pthread_t threads[THREADS];
    uint64_t rates[THREADS];

    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, init, &rates[i]), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(rates[i], rates[0]);
    assert_true(rates[0] >= 1000000);
}

static void ticks_follow_the_clock(void **state) {
    const uint64_t want = 50 * S / 1000;
    uint64_t ticks, ns;

    (void)state;
    /* A preemption between two readings can spoil one attempt, but hardly ten. */
    for (int attempt = 0; attempt < 10; attempt++) {
        const uint64_t ns0 = ae_now_ns();
        const uint64_t ticks0 = ae_ticks();
        while (ae_now_ns() - ns0 < want)
            continue;
        ticks = ae_ticks() - ticks0;
        ns = ae_now_ns() - ns0;
        if (ticks >= ae_ticks_from_ns(ns / 100 * 98) && ticks <= ae_ticks_from_ns(ns / 100 * 102))
            return;
    }
    fail_msg("%llu ticks in %llu ns", (unsigned long long)ticks, (unsigned long long)ns);
}

static void ticks_do_not_go_back(void **state) {
    uint64_t last = ae_ticks();

    (void)state;
    for (int i = 0; i < 100000; i++) {
        const uint64_t now = ae_ticks();
        assert_true(now >= last);
        last = now;
    }
}

static void conversion_never_wraps(void **state) {
    const uint64_t rate = ae_ticks_from_ns(S);

    (void)state;
    assert_int_equal(ae_ticks_from_ns(0), 0);
    assert_int_equal(ae_ticks_from_ns(10 * S), 10 * rate);
    assert_int_equal(ae_ticks_from_ns(S / 2), rate / 2);
    assert_int_equal(ae_ticks_from_ns(86400 * S), 86400 * rate);
    for (int shift = 0; shift < 63; shift++)
        assert_true(ae_ticks_from_ns(1ull << shift) <= ae_ticks_from_ns(2ull << shift));
    assert_true(ae_ticks_from_ns(UINT64_MAX) >= ae_ticks_from_ns(UINT64_MAX / 2));
}

static void clocks_are_the_kernel_s(void **state) {
    struct timespec monotonic, realtime;

    (void)state;
    clock_gettime(CLOCK_MONOTONIC, &monotonic);
    clock_gettime(CLOCK_REALTIME, &realtime);
    assert_true(ae_now_ns() >= (uint64_t)monotonic.tv_sec * S + (uint64_t)monotonic.tv_nsec);
    assert_true(ae_now_ns() / S <= (uint64_t)monotonic.tv_sec + 60);
    assert_true(ae_realtime_ns() / S + 60 >= (uint64_t)realtime.tv_sec);
    assert_true(ae_realtime_ns() / S <= (uint64_t)realtime.tv_sec + 60);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_agree_on_the_rate), cmocka_unit_test(ticks_follow_the_clock),
        cmocka_unit_test(ticks_do_not_go_back),      cmocka_unit_test(conversion_never_wraps),
        cmocka_unit_test(clocks_are_the_kernel_s),
    };

    return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
