/* SPDX-License-Identifier: Apache-2.0 */
/* events.c - signals as flags, and ppoll(). */
#include "events.h"
#include "signals.h"
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGTSTP, SIGCONT};
#define SIGNALS (sizeof numbers / sizeof numbers[0])

static struct sigaction before[SIGNALS];
static sigset_t mask_before;
static volatile sig_atomic_t ended, resized, stopped, resumed;

static void on_signal(int number) {
    if (number == SIGWINCH)
        resized = 1;
    else if (number == SIGTSTP)
        stopped = 1;
    else if (number == SIGCONT)
        resumed = 1;
    else if (ended == 0)
        ended = number;
}

static void catch_signal(int number, struct sigaction *old) {
    struct sigaction action = {.sa_handler = on_signal};

    sigemptyset(&action.sa_mask);
    sigaction(number, NULL, old);
    const bool may_be_ignored = number == SIGINT || number == SIGHUP || number == SIGTSTP;
    if (!(may_be_ignored && old->sa_handler == SIG_IGN))
        sigaction(number, &action, NULL);
}

void top_events_begin(void) {
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < SIGNALS; i++)
        sigaddset(&set, numbers[i]);
    sigprocmask(SIG_BLOCK, &set, &mask_before);
    for (size_t i = 0; i < SIGNALS; i++)
        catch_signal(numbers[i], &before[i]);
}

void top_events_end(void) {
    for (size_t i = 0; i < SIGNALS; i++)
        sigaction(numbers[i], &before[i], NULL);
    sigprocmask(SIG_SETMASK, &mask_before, NULL);
}

/* The event of a flag, which is taken back. */
static bool take(enum top_event *event) {
    if (ended != 0) {
        *event = TOP_EVENT_END;
    } else if (stopped != 0) {
        stopped = 0;
        *event = TOP_EVENT_STOP;
    } else if (resumed != 0) {
        resumed = 0;
        *event = TOP_EVENT_RESUMED;
    } else if (resized != 0) {
        resized = 0;
        *event = TOP_EVENT_RESIZED;
    } else {
        return false;
    }
    return true;
}

enum top_event top_events_wait(int fd, uint64_t deadline_ns) {
    struct pollfd item = {.fd = fd, .events = POLLIN};
    enum top_event event;

    for (;;) {
        const uint64_t now = cli_now_ns(), left = now < deadline_ns ? deadline_ns - now : 0;
        const struct timespec timeout = {(time_t)(left / 1000000000u), (long)(left % 1000000000u)};
        /* Also if the deadline has passed, so that keys and signals come through however long passes take. */
        const int count = ppoll(&item, 1, &timeout, &mask_before);
        if (take(&event))
            return event;
        if (count > 0 && (item.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0) {
            ended = SIGHUP;
            return TOP_EVENT_END;
        }
        if (count > 0)
            return TOP_EVENT_KEY;
        if (left == 0)
            return TOP_EVENT_TIME;
    }
}

void top_events_stop(void) {
    struct sigaction action = {.sa_handler = SIG_DFL}, old;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTSTP);
    sigaction(SIGTSTP, &action, &old);
    raise(SIGTSTP);
    sigprocmask(SIG_UNBLOCK, &set, NULL); /* here it stops */
    sigprocmask(SIG_BLOCK, &set, NULL);
    sigaction(SIGTSTP, &old, NULL);
    resumed = 0;
}

int top_events_status(void) {
    return 128 + (int)ended;
}
