/* SPDX-License-Identifier: Apache-2.0 */
#include "service/loop.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/socket.h"
#include <errno.h>
#include <limits.h>
#include <string.h>

#define EVENTS_AT_ONCE 32
#define NS_PER_MS 1000000u

/* ---- sources ---- */

static void append_happened(struct ae_loop *loop, struct ae_source *source) {
    source->next = NULL;
    source->link = loop->happened_end;
    *source->link = source;
    loop->happened_end = &source->next;
}

static void unlink_happened(struct ae_source *source) {
    if (source->link == NULL)
        return;
    *source->link = source->next;
    if (source->next != NULL)
        source->next->link = source->link;
    else
        source->loop->happened_end = source->link;
    source->next = NULL;
    source->link = NULL;
    source->happened = 0;
}

/* Sets the text of a failed call. */
static int fail_epoll(int code) {
    if (code == ENOSPC)
        return ae_fail(-code,
                       "epoll: this user has its limit of watched descriptors: sysctl fs.epoll.max_user_watches");
    return ae_fail(-code, "epoll: %s", strerror(code));
}

static int control(const struct ae_loop *loop, int operation, struct ae_source *source) {
    struct epoll_event event = {.events = source->events, .data.ptr = source};

    return epoll_ctl(loop->epoll, operation, source->fd, &event) == 0 ? 0 : fail_epoll(errno);
}

int ae_source_add(struct ae_loop *loop, struct ae_source *source) {
    const int rc = control(loop, EPOLL_CTL_ADD, source);

    if (rc == 0)
        source->loop = loop;
    return rc;
}

int ae_source_modify(struct ae_source *source, uint32_t events) {
    const uint32_t before = source->events;

    source->events = events;
    const int rc = control(source->loop, EPOLL_CTL_MOD, source);
    if (rc != 0)
        source->events = before;
    return rc;
}

void ae_source_remove(struct ae_source *source) {
    if (source->loop == NULL)
        return;
    /*
     * Closing the descriptor would not be enough. While another process has a copy of it, epoll continues to report its
     * events, with the address of a source that may be freed.
     */
    (void)epoll_ctl(source->loop->epoll, EPOLL_CTL_DEL, source->fd, NULL);
    unlink_happened(source);
    source->loop = NULL;
}

/* ---- timers: a pairing heap, so that arming one needs no memory ---- */

/* Joins two heaps that aren't empty. Returns the root, which has no sibling. */
static struct ae_timer *join(struct ae_timer *a, struct ae_timer *b) {
    struct ae_timer *root = a->due_ns <= b->due_ns ? a : b, *child = root == a ? b : a;

    child->sibling = root->child;
    if (child->sibling != NULL)
        child->sibling->link = &child->sibling;
    child->link = &root->child;
    root->child = child;
    root->sibling = NULL;
    return root;
}

/* Joins siblings to one heap: first pairs, from the first to the last; then the pairs, from the last to the first. */
static struct ae_timer *join_siblings(struct ae_timer *first) {
    struct ae_timer *pairs = NULL, *root = NULL;

    while (first != NULL) {
        struct ae_timer *a = first, *b = a->sibling;
        first = b != NULL ? b->sibling : NULL;
        a->sibling = NULL;
        struct ae_timer *pair = b != NULL ? join(a, b) : a;
        pair->sibling = pairs;
        pairs = pair;
    }
    while (pairs != NULL) {
        struct ae_timer *pair = pairs;
        pairs = pair->sibling;
        pair->sibling = NULL;
        root = root != NULL ? join(root, pair) : pair;
    }
    return root;
}

static void set_root(struct ae_loop *loop, struct ae_timer *root) {
    loop->timers = root;
    if (root != NULL)
        root->link = &loop->timers;
}

void ae_timer_disarm(struct ae_timer *timer) {
    struct ae_loop *loop = timer->loop;

    if (loop == NULL)
        return;
    *timer->link = timer->sibling;
    if (timer->sibling != NULL)
        timer->sibling->link = timer->link;
    struct ae_timer *rest = join_siblings(timer->child);
    if (rest != NULL)
        set_root(loop, loop->timers != NULL ? join(loop->timers, rest) : rest);
    timer->child = timer->sibling = NULL;
    timer->link = NULL;
    timer->loop = NULL;
    loop->armed--;
}

void ae_timer_arm(struct ae_loop *loop, struct ae_timer *timer, uint64_t due_ns) {
    ae_timer_disarm(timer);
    timer->due_ns = due_ns;
    timer->loop = loop;
    timer->child = timer->sibling = NULL;
    set_root(loop, loop->timers != NULL ? join(loop->timers, timer) : timer);
    loop->armed++;
}

/* ---- the loop ---- */

int ae_loop_open(struct ae_loop *loop) {
    *loop = (struct ae_loop){.epoll = epoll_create1(EPOLL_CLOEXEC), .happened_end = &loop->happened};
    return loop->epoll >= 0 ? 0 : fail_epoll(errno);
}

void ae_loop_close(struct ae_loop *loop) {
    ae_close(&loop->epoll);
}

void ae_loop_stop(struct ae_loop *loop) {
    loop->stop = true;
}

/* Milliseconds until the earliest timer, rounded up so that it is due then; -1 without a timer. */
static int timeout_ms(const struct ae_loop *loop) {
    if (loop->timers == NULL)
        return -1;
    const uint64_t now = ae_now_ns(), due = loop->timers->due_ns;
    if (due <= now)
        return 0;
    const uint64_t ms = (due - now) / NS_PER_MS + ((due - now) % NS_PER_MS != 0);
    return ms < INT_MAX ? (int)ms : INT_MAX;
}

static void handle_happened(struct ae_loop *loop) {
    while (!loop->stop && loop->happened != NULL) {
        struct ae_source *source = loop->happened;
        const uint32_t events = source->happened & (source->events | EPOLLERR | EPOLLHUP);
        unlink_happened(source);
        if (events != 0)
            source->fn(source, events);
    }
}

/* Fires at most as many timers as are armed now. If a handler arms its timer for a past time, events come first. */
static void fire_timers(struct ae_loop *loop) {
    const uint64_t now = ae_now_ns();

    for (uint32_t left = loop->armed; left > 0 && !loop->stop && loop->timers != NULL; left--) {
        struct ae_timer *timer = loop->timers;
        if (timer->due_ns > now)
            return;
        ae_timer_disarm(timer);
        timer->fn(timer);
    }
}

int ae_loop_run(struct ae_loop *loop) {
    struct epoll_event events[EVENTS_AT_ONCE];

    while (!loop->stop) {
        const int count = epoll_wait(loop->epoll, events, EVENTS_AT_ONCE, timeout_ms(loop));
        if (count < 0 && errno != EINTR)
            return fail_epoll(errno);
        for (int i = 0; i < count; i++) {
            struct ae_source *source = events[i].data.ptr;
            if (source->link == NULL)
                append_happened(loop, source);
            source->happened |= events[i].events;
        }
        handle_happened(loop);
        fire_timers(loop);
    }
    loop->stop = false;
    return 0;
}
