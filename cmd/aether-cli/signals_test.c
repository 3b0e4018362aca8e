/* SPDX-License-Identifier: Apache-2.0 */
/* signals_test.c - ticks leave nothing behind, also where their timer can't be made or started. */
#include "signals.h"
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

static int timers; /* that there are */
static enum { WORKS, CREATE_FAILS, SET_FAILS } timer_state;

/* NOLINTBEGIN(*reserved-identifier): the linker's names */
int __real_timer_create(clockid_t clock, struct sigevent *event, timer_t *timer);
int __real_timer_settime(timer_t timer, int flags, const struct itimerspec *times, struct itimerspec *before);
int __real_timer_delete(timer_t timer);
int __wrap_timer_create(clockid_t clock, struct sigevent *event, timer_t *timer);
int __wrap_timer_settime(timer_t timer, int flags, const struct itimerspec *times, struct itimerspec *before);
int __wrap_timer_delete(timer_t timer);

int __wrap_timer_create(clockid_t clock, struct sigevent *event, timer_t *timer) {
    if (timer_state == CREATE_FAILS) {
        errno = EAGAIN;
        return -1;
    }
    const int rc = __real_timer_create(clock, event, timer);
    timers += rc == 0;
    return rc;
}

int __wrap_timer_settime(timer_t timer, int flags, const struct itimerspec *times, struct itimerspec *before) {
    if (timer_state == SET_FAILS) {
        errno = EINVAL;
        return -1;
    }
    return __real_timer_settime(timer, flags, times, before);
}

int __wrap_timer_delete(timer_t timer) {
    timers--;
    return __real_timer_delete(timer);
}
/* NOLINTEND(*reserved-identifier) */

static void ticks_leave_nothing(void **state) {
    struct sigaction action;
    sigset_t before, after;

    (void)state;
    sigprocmask(SIG_SETMASK, NULL, &before);
    for (timer_state = WORKS; timer_state <= SET_FAILS; timer_state++) {
        cli_begin_ticks();
        assert_int_equal(timers, timer_state == WORKS);
        cli_end_ticks();
        assert_int_equal(timers, 0);
        assert_int_equal(sigaction(SIGRTMIN, NULL, &action), 0);
        assert_true(action.sa_handler == SIG_DFL);
        sigprocmask(SIG_SETMASK, NULL, &after);
        assert_int_equal(sigismember(&after, SIGRTMIN), sigismember(&before, SIGRTMIN));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(ticks_leave_nothing)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
