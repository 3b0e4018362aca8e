/* SPDX-License-Identifier: Apache-2.0 */
/*
 * waitset.c - the set of subscribers, and the helper thread that makes its descriptor readable. How they sleep is in
 * sleeper.h.
 */
#include "client/waitset.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/export.h"
#include "base/socket.h"
#include "client/handle.h"
#include "client/sleeper.h"
#include "ring/receive.h"
#include "ring/stats.h"
#include "ring/wait.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define STACK_BYTES 65536u
#define NS_PER_S 1000000000ull

struct member {
    struct ae_watcher watcher; /* first */
    struct aether_waitset *set;
    struct ae_subscriber_handle *handle; /* only for the set's thread; NULL: closed, in a forked child */
    void *context;
    bool slept; /* only for the set's thread: its wait is counted as a sleep */
    struct ae_sleep_member sleep;
};

struct aether_waitset {
    pid_t owner;
    ae_u64 busy; /* a thread is in a call */

    /* The set's thread changes these, under the sleeper's lock. */
    struct member **members;
    size_t count, room;
    int fd; /* -1: no helper */

    size_t turn; /* only for the set's thread: the member that is checked first next time */

    struct ae_sleeper sleeper;

    /* Under the sleeper's lock. */
    bool armed;    /* fd isn't readable, and the helper has to make it readable */
    bool watching; /* the helper sleeps, and checks everything when it wakes */
    bool stop;
    pthread_t helper;
};

static struct member *member_of(struct ae_sleep_member *m) {
    return (struct member *)(void *)((char *)m - offsetof(struct member, sleep));
}

static void lock(struct aether_waitset *set) {
    pthread_mutex_lock(&set->sleeper.lock);
}

static void unlock(struct aether_waitset *set) {
    pthread_mutex_unlock(&set->sleeper.lock);
}

/* ---- calls: only in the process that opened the set, by one thread at a time ---- */

static bool is_owner(const struct aether_waitset *set) {
    return getpid() == set->owner;
}

static int enter(struct aether_waitset *set) {
    if (!is_owner(set))
        return ae_fail(-EPERM, "this waitset is process %d's: a forked child opens one of its own", (int)set->owner);
    /* Z10 acq_rel, pairs Z10 (leave): the set as the last call left it, also in another thread. */
    if (!ae_cas(&set->busy, 0, 1))
        return ae_fail(-EBUSY, "another thread is in a call on this waitset: use it from one thread at a time, "
                               "aether_waitset_wake() ends a wait");
    return 0;
}

static int leave(struct aether_waitset *set, int rc) {
    /* Z10 release, pairs Z10 (enter). */
    ae_store_release(&set->busy, 0);
    return rc;
}

/* ---- the helper ---- */

static void make_readable(struct aether_waitset *set) {
    set->armed = false;
    /* Fails only if the counter would overflow: then the fd is readable already. */
    (void)eventfd_write(set->fd, 1);
}

static void make_unreadable(const struct aether_waitset *set) {
    eventfd_t count;

    (void)eventfd_read(set->fd, &count); /* fails if the fd isn't readable, and then there is nothing to do */
}

/* Makes the fd readable. The end of a stream, if that is why, counts as reported: see ae_waitset_ends_reported(). */
static void fire(struct aether_waitset *set, struct ae_sleep_member *found) {
    if (found != NULL) {
        ae_subscriber_mark_reported(&found->seen);
        ae_sleeper_touch(&set->sleeper, found);
    }
    make_readable(set);
}

static void *help(void *context) {
    struct aether_waitset *set = context;
    struct ae_sleep sleep;

    lock(set);
    while (!set->stop) {
        if (!set->armed) {
            ae_sleeper_rest(&set->sleeper);
            continue;
        }
        set->watching = true;
        if (ae_sleeper_prepare(&set->sleeper, AETHER_FOREVER, &sleep)) /* arm() has counted the sleeps */
            (void)ae_sleeper_sleep(&set->sleeper, &sleep);
        set->watching = false;
        if (set->armed && (sleep.found != NULL || ae_sleeper_wake_pending(&set->sleeper)))
            fire(set, sleep.found);
    }
    unlock(set);
    return NULL;
}

/* The helper blocks all signals, so that the program's own threads handle them. */
static int start_helper(struct aether_waitset *set) {
    pthread_attr_t attributes;
    sigset_t all, before;
    int rc;

    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&set->helper, &attributes, help, set);
    if (rc == EINVAL) /* the program's thread-local variables don't fit in this stack, on which they lie */
        rc = pthread_create(&set->helper, NULL, help, set);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return -rc;
}

static void stop_helper(struct aether_waitset *set) {
    lock(set);
    set->stop = true;
    ae_sleeper_signal(&set->sleeper);
    unlock(set);
    pthread_join(set->helper, NULL);
}

/* ---- the set's thread ---- */

/*
 * Counts a sleep for each member that waits since now. Only the set's thread writes the members' statistics, also if
 * the helper sleeps. A member's wait counts once, and not whenever the set wakes for another member or leaves its notes
 * again.
 */
static void count_sleeps(struct aether_waitset *set) {
    for (size_t i = 0; i < set->count; i++) {
        struct member *m = set->members[i];
        if (!m->slept)
            ae_stats_slept(&m->handle->ring);
        m->slept = true;
    }
}

/*
 * Called before a wait, with the lock held. For each stale member it stores the cursor, because publishers may need the
 * room of messages that the program has received, and brings `seen` up to date. If the program has received from a
 * member that isn't stale, the sleeper may find messages that are received already: it wakes for nothing, once.
 */
static void prepare_to_wait(struct aether_waitset *set) {
    for (struct ae_sleep_member *m = set->sleeper.newest; m != NULL && m->stale; m = m->older) {
        struct ae_subscriber *s = &member_of(m)->handle->ring;
        ae_subscriber_release(s);
        m->seen.hot.next = s->hot.next;
        m->seen.evicted = s->evicted;
        m->seen.reported_end = s->reported_end;
        m->stale = false;
    }
}

/* No member has anything: makes the fd unreadable until one does. */
static void arm(struct aether_waitset *set) {
    if (set->fd < 0)
        return;
    count_sleeps(set);
    lock(set);
    if (!set->armed) {
        prepare_to_wait(set);
        make_unreadable(set);
        set->armed = true;
        if (!set->watching)
            ae_sleeper_signal(&set->sleeper);
    }
    unlock(set);
}

static struct member *find_news(struct aether_waitset *set, bool fully) {
    for (size_t i = 0; i < set->count; i++) {
        if (set->turn >= set->count)
            set->turn = 0;
        struct member *m = set->members[set->turn++];
        if ((fully || !ae_sleep_member_quiet(&m->sleep)) && ae_subscriber_has_news(&m->handle->ring))
            return m;
    }
    return NULL;
}

/* Names the next member that has something. Others may have something, too: the fd stays readable until none has. */
static bool find_ready(struct aether_waitset *set, aether_ready *ready) {
    const uint64_t now = ae_now_ns();
    struct member *m;

    lock(set);
    const bool fully = now - set->sleeper.checked_ns >= AE_WAKE_SLEEP_NS;
    m = find_news(set, fully);
    if (m != NULL) {
        ae_subscriber_mark_reported(&m->handle->ring);
        if (m->slept)
            ae_stats_woken(&m->handle->ring);
        m->slept = false;
        ae_sleeper_touch(&set->sleeper, &m->sleep);
        if (set->armed)
            make_readable(set);
        *ready = (aether_ready){.subscriber = &m->handle->ring.hot, .context = m->context};
    } else if (fully) {
        set->sleeper.checked_ns = now;
    }
    unlock(set);
    return m != NULL;
}

/* Sleeps in this thread. False: a signal ended the sleep. */
static bool sleep_here(struct aether_waitset *set, uint64_t ns, bool *found_one) {
    struct ae_sleep sleep;
    bool undisturbed = true;

    lock(set);
    prepare_to_wait(set);
    if (ae_sleeper_prepare(&set->sleeper, ns, &sleep)) {
        count_sleeps(set);
        undisturbed = ae_sleeper_sleep(&set->sleeper, &sleep);
    }
    if (sleep.found != NULL)
        ae_sleeper_touch(&set->sleeper, sleep.found);
    unlock(set);
    *found_one = sleep.found != NULL;
    return undisturbed;
}

/* Sleeps until the helper makes the fd readable. False: a signal ended the sleep. */
static bool sleep_on_fd(struct aether_waitset *set, uint64_t ns, bool *found_one) {
    struct pollfd entry = {.fd = set->fd, .events = POLLIN};
    const struct timespec span = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
    int rc;

    arm(set);
    rc = ppoll(&entry, 1, ns < AETHER_FOREVER ? &span : NULL, NULL);
    *found_one = rc > 0;
    return rc >= 0 || errno != EINTR;
}

static int wait_for_ready(struct aether_waitset *set, aether_ready *ready, uint64_t timeout_ns) {
    const uint64_t start = ae_now_ns();
    uint64_t waited = 0;
    bool found, over;

    do {
        const uint64_t left = timeout_ns == AETHER_FOREVER ? AETHER_FOREVER : timeout_ns - waited;
        const bool undisturbed = set->fd < 0 ? sleep_here(set, left, &found) : sleep_on_fd(set, left, &found);
        waited = ae_now_ns() - start;
        over = !undisturbed || waited >= timeout_ns;
        if (ae_sleeper_take_wake(&set->sleeper))
            break;
        if ((found || over) && find_ready(set, ready))
            return 1;
    } while (!over);
    arm(set);
    return 0;
}

/* ---- the interface ---- */

AE_EXPORT int aether_waitset_next(aether_waitset *set, aether_ready *ready, uint64_t timeout_ns) {
    int rc = enter(set);

    if (rc != 0)
        return rc;
    if (ae_sleeper_take_wake(&set->sleeper))
        arm(set);
    else if (find_ready(set, ready))
        rc = 1;
    else if (timeout_ns != 0)
        rc = wait_for_ready(set, ready, timeout_ns);
    else
        arm(set);
    return leave(set, rc);
}

AE_EXPORT void aether_waitset_wake(aether_waitset *set) {
    const int saved = errno; /* a signal handler may call this */

    ae_sleeper_wake(&set->sleeper);
    errno = saved;
}

AE_EXPORT int aether_waitset_fd(aether_waitset *set) {
    int rc = enter(set), fd;

    if (rc != 0)
        return rc;
    if (set->fd >= 0)
        return leave(set, set->fd);
    fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return leave(set, ae_fail(-errno, "eventfd: %s", strerror(errno)));
    lock(set);
    rc = start_helper(set);
    if (rc == 0) {
        set->fd = fd;
        prepare_to_wait(set);
        set->armed = true;
    }
    unlock(set);
    if (rc != 0) {
        ae_close(&fd);
        return leave(set,
                     ae_fail(rc, "thread of a waitset: %s%s", strerror(-rc), rc == -EAGAIN ? ": raise ulimit -u" : ""));
    }
    return leave(set, fd);
}

/* The subscriber is closed or removed. After the lock is released, no thread accesses the member any more. */
static void forget(struct ae_watcher *watcher) {
    struct member *m = (struct member *)(void *)watcher;
    struct aether_waitset *set = m->set;
    size_t i = 0;

    m->handle->watcher = NULL;
    if (!is_owner(set)) { /* a forked child can't take the lock: a thread that it doesn't have may hold it */
        m->handle = NULL;
        return;
    }
    while (set->members[i] != m)
        i++;
    lock(set);
    set->count--;
    memmove(&set->members[i], &set->members[i + 1], (set->count - i) * sizeof(struct member *));
    ae_sleeper_leave(&set->sleeper, &m->sleep);
    unlock(set);
    if (i < set->turn)
        set->turn--;
    free(m);
}

/*
 * The subscriber has taken its topic's shape: the sleeper checks it in its new mapping from now on. After the lock is
 * released, no thread reads the former mapping; a sleep on it goes on until ae_sleeper_signal() ends it.
 */
static void attached(struct ae_watcher *watcher) {
    struct member *m = (struct member *)(void *)watcher;
    struct aether_waitset *set = m->set;

    lock(set);
    ae_sleeper_replace(&set->sleeper, &m->sleep, &m->handle->ring);
    unlock(set);
}

static int make_room(struct aether_waitset *set) {
    const size_t room = set->room != 0 ? set->room * 2 : 8;
    struct member **members;

    if (set->count < set->room)
        return 0;
    members = malloc(room * sizeof(struct member *));
    if (members == NULL)
        return ae_fail(-ENOMEM, "out of memory for one more subscriber of a waitset");
    lock(set);
    if (set->count != 0)
        memcpy(members, set->members, set->count * sizeof(struct member *));
    free(set->members);
    set->members = members;
    set->room = room;
    unlock(set);
    return 0;
}

static int add(struct aether_waitset *set, struct ae_subscriber_handle *handle, void *context) {
    struct member *m;
    int rc;

    if (handle->watcher != NULL)
        return ((struct member *)(void *)handle->watcher)->set == set
                   ? ae_fail(-EEXIST, "the subscriber is in this waitset already")
                   : ae_fail(-EBUSY, "the subscriber is in another waitset or has a notifier: remove it from that, or "
                                     "close the notifier, first");
    if ((rc = make_room(set)) != 0)
        return rc;
    if ((m = calloc(1, sizeof *m)) == NULL)
        return ae_fail(-ENOMEM, "out of memory for a member of a waitset");
    m->watcher.forget = forget;
    m->watcher.attached = attached;
    m->set = set;
    m->handle = handle;
    m->context = context;
    handle->watcher = &m->watcher;
    lock(set);
    set->members[set->count++] = m;
    ae_sleeper_enter(&set->sleeper, &m->sleep, &handle->ring);
    unlock(set);
    return 0;
}

AE_EXPORT int aether_waitset_add(aether_waitset *set, aether_subscriber *subscriber, void *context) {
    const int rc = enter(set);

    return rc != 0 ? rc : leave(set, add(set, ae_handle_of_subscriber(subscriber), context));
}

AE_EXPORT int aether_waitset_remove(aether_waitset *set, aether_subscriber *subscriber) {
    struct ae_watcher *watcher;
    const int rc = enter(set);

    if (rc != 0)
        return rc;
    watcher = ae_handle_of_subscriber(subscriber)->watcher;
    if (watcher == NULL || ((struct member *)(void *)watcher)->set != set)
        return leave(set, ae_fail(-ENOENT, "the subscriber isn't in this waitset"));
    forget(watcher);
    return leave(set, 0);
}

void ae_waitset_ends_reported(aether_waitset *set) {
    lock(set);
    if (!set->armed) {
        for (struct ae_sleep_member *m = set->sleeper.newest; m != NULL && m->stale; m = m->older) {
            uint64_t *known = &member_of(m)->handle->ring.reported_end;
            if ((int64_t)(m->seen.reported_end - *known) > 0)
                *known = m->seen.reported_end;
        }
    }
    unlock(set);
}

AE_EXPORT int aether_waitset_open(aether_waitset **out) {
    struct aether_waitset *set = calloc(1, sizeof *set);

    if (set == NULL)
        return ae_fail(-ENOMEM, "out of memory for a waitset");
    set->owner = getpid();
    set->fd = -1;
    pthread_mutex_init(&set->sleeper.lock, NULL);
    *out = set;
    return 0;
}

AE_EXPORT void aether_waitset_close(aether_waitset *set) {
    if (set == NULL)
        return;
    if (is_owner(set)) {
        if (set->fd >= 0)
            stop_helper(set);
        pthread_mutex_destroy(&set->sleeper.lock);
    }
    for (size_t i = 0; i < set->count; i++) {
        if (set->members[i]->handle != NULL)
            set->members[i]->handle->watcher = NULL;
        free(set->members[i]);
    }
    free(set->members);
    ae_close(&set->fd);
    free(set);
}
