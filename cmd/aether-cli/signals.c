/* SPDX-License-Identifier: Apache-2.0 */
/* signals.c - catches SIGINT and SIGTERM; waits with ppoll(). */
#include "signals.h"
#include <poll.h>
#include <time.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id /* glibc 2.36 has only the field itself */
#define sigev_notify_thread_id _sigev_un._tid
#endif

volatile sig_atomic_t cli_signal;

static sigset_t wait_mask; /* the signal mask of the program's start, which waits use */

static void on_signal(int number) {
    if (cli_signal == 0)
        cli_signal = number;
}

static void stop_signals(sigset_t *set) {
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
}

void cli_init_signals(void) {
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_SETMASK, NULL, &wait_mask);
}

void cli_catch_signals(void) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART | (int)SA_RESETHAND};
    struct sigaction old;

    stop_signals(&action.sa_mask);
    /* An ignored SIGINT stays ignored, because shells start background jobs that way. */
    if (sigaction(SIGINT, NULL, &old) == 0 && old.sa_handler != SIG_IGN)
        sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static uint64_t end_ns = UINT64_MAX;

void cli_set_deadline(uint64_t deadline_ns) {
    end_ns = deadline_ns;
}

bool cli_must_end(void) {
    return cli_signal != 0 || cli_now_ns() >= end_ns;
}

static void on_tick(int number) {
    (void)number;
}

/* Neither SIGALRM nor ITIMER_REAL: an alarm that was set before exec still ends the process. */
static struct {
    timer_t timer;
    bool running;
    struct sigaction action; /* the action and the mask before */
    sigset_t mask;
} ticks;

static bool start_timer(void) {
    static const struct timespec interval = {.tv_nsec = 100000000};
    const struct itimerspec times = {.it_interval = interval, .it_value = interval};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN};

    event.sigev_notify_thread_id = gettid();
    if (timer_create(CLOCK_MONOTONIC, &event, &ticks.timer) != 0)
        return false;
    if (timer_settime(ticks.timer, 0, &times, NULL) == 0)
        return true;
    timer_delete(ticks.timer);
    return false;
}

void cli_begin_ticks(void) {
    const struct sigaction action = {.sa_handler = on_tick}; /* without SA_RESTART */
    sigset_t set;

    sigaction(SIGRTMIN, &action, &ticks.action);
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_UNBLOCK, &set, &ticks.mask);
    ticks.running = start_timer();
}

/* A last tick comes at the latest at the end of timer_delete(), when it still has its handler. */
void cli_end_ticks(void) {
    if (ticks.running)
        timer_delete(ticks.timer);
    sigprocmask(SIG_SETMASK, &ticks.mask, NULL);
    sigaction(SIGRTMIN, &ticks.action, NULL);
}

int cli_signal_status(void) {
    return 128 + (int)cli_signal;
}

static uint64_t read_clock(clockid_t clock) {
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t cli_now_ns(void) {
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t cli_realtime_ns(void) {
    return read_clock(CLOCK_REALTIME);
}

uint64_t cli_nanoseconds(double seconds) {
    return seconds < 9e9 ? (uint64_t)(seconds * 1e9) : UINT64_MAX;
}

uint64_t cli_after(uint64_t from_ns, double seconds) {
    const uint64_t ns = seconds < 0 ? UINT64_MAX : cli_nanoseconds(seconds);

    return ns < UINT64_MAX - from_ns ? from_ns + ns : UINT64_MAX;
}

/* A poll() that misses no signal: SIGINT and SIGTERM are blocked from the test of cli_signal until the kernel waits. */
static bool wait_until(struct pollfd *items, nfds_t count, uint64_t deadline_ns) {
    const uint64_t now = cli_now_ns();
    const uint64_t left = deadline_ns > now ? deadline_ns - now : 0;
    const struct timespec timeout = {(time_t)(left / 1000000000u), (long)(left % 1000000000u)};
    sigset_t set, saved;
    bool ready = false;

    stop_signals(&set);
    sigprocmask(SIG_BLOCK, &set, &saved);
    if (cli_signal == 0)
        ready = ppoll(items, count, deadline_ns != UINT64_MAX ? &timeout : NULL, &wait_mask) > 0;
    sigprocmask(SIG_SETMASK, &saved, NULL);
    return ready;
}

void cli_sleep_until(uint64_t deadline_ns) {
    while (cli_now_ns() < deadline_ns && cli_signal == 0)
        wait_until(NULL, 0, deadline_ns);
}

bool cli_wait_readable(int fd) {
    struct pollfd item = {.fd = fd, .events = POLLIN};

    while (cli_signal == 0) {
        if (wait_until(&item, 1, UINT64_MAX))
            return true;
    }
    return false;
}

void cli_wait_for(int fd, int output, uint64_t deadline_ns) {
    struct pollfd items[] = {{.fd = fd, .events = POLLIN}, {.fd = output}};

    wait_until(items, 2, deadline_ns);
}
