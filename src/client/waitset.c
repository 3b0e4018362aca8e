/* SPDX-License-Identifier: Apache-2.0 */
/*
 * waitset.c - many subscribers, one sleep.
 *
 * The set's thread alone touches the subscribers. Who sleeps, the helper thread or, without one, the set's thread,
 * looks at each member's `seen`: a copy of the subscriber, brought up to date under the lock when the set is armed. So
 * the helper shares nothing with the program but what is under the lock.
 *
 * A sleep is that of wait.c for several topics at once: a note on each, one membarrier, a look at each, futex_waitv on
 * all wake words. One more futex, `control`, is the set's own: it is raised by whatever the sleeper has to know.
 */
#include "client/waitset.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/export.h"
#include "base/socket.h"
#include "client/handle.h"
#include "ring/nap.h"
#include "ring/wait.h"
#include "ring/wake.h"
#include <aether/idle.h>
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
#define NAP_DOUBLINGS_MAX 12u
#define NAP_MEMBER_NS 4000u /* a look at a member costs some 20 ns: naps leave it below 1 % of a core */
#define SLEEPERS_MAX (AE_WAKE_ENTRIES_MAX - 1)

struct member {
    struct ae_watcher watcher; /* first */
    struct aether_waitset *set;
    struct ae_subscriber_handle *handle; /* the set's thread only */
    void *context;
    /* under the lock */
    struct ae_subscriber seen;
    uint64_t noted;               /* the note of which membarrier has been called; 0: none */
    bool slept_on;                /* its wake word is one of those of this sleep */
    struct member *newer, *older; /* by when they last had something */
};

struct aether_waitset {
    pid_t owner;
    ae_u64 busy; /* a thread is in a call */

    /* read by the set's thread, which alone changes them, under the lock */
    struct member **members;
    size_t count, room;
    int fd; /* -1: no helper */

    size_t turn; /* the set's thread only: the member that is looked at first next time */

    ae_u64 control; /* a futex: raised when the sleeper has to look at the set itself */
    ae_u64 wakes;   /* calls of aether_waitset_wake() */
    ae_u64 kick;    /* without futex_waitv: the address of the wake word that is slept on instead of control, or 0 */

    pthread_mutex_t lock; /* for the rest */
    struct member *newest, *oldest;
    uint64_t wakes_taken; /* those that have been answered */
    bool armed;           /* the helper is to make fd readable, which it isn't */
    bool watching;        /* the helper sleeps, and looks at everything when it wakes */
    bool stop;
    bool barrier_due; /* a note has been left since the last membarrier */
    bool one_futex;   /* there is no futex_waitv */
    uint64_t naps;    /* since somebody had something */
    pthread_t helper;
    struct ae_wake_entry entries[AE_WAKE_ENTRIES_MAX]; /* the sleeper's */
};

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* ---- calls: by the owner's process, by one thread at a time ---- */

static bool is_owner(const struct aether_waitset *set) {
    return getpid() == set->owner;
}

static int enter(struct aether_waitset *set) {
    if (!is_owner(set))
        return ae_fail(-EPERM, "this waitset is process %d's: a forked child opens one of its own", (int)set->owner);
    if (!ae_cas(&set->busy, 0, 1))
        return ae_fail(-EBUSY, "another thread is in a call on this waitset: use it from one thread at a time, "
                               "aether_waitset_wake() ends a wait");
    return 0;
}

static int leave(struct aether_waitset *set, int rc) {
    ae_store_release(&set->busy, 0);
    return rc;
}

/* ---- members ---- */

static void unlink_member(struct aether_waitset *set, struct member *m) {
    *(m->newer != NULL ? &m->newer->older : &set->newest) = m->older;
    *(m->older != NULL ? &m->older->newer : &set->oldest) = m->newer;
}

static void link_newest(struct aether_waitset *set, struct member *m) {
    m->newer = NULL;
    m->older = set->newest;
    *(m->older != NULL ? &m->older->newer : &set->oldest) = m;
    set->newest = m;
}

/* It has something: it belongs to those that a publish wakes. */
static void touch(struct aether_waitset *set, struct member *m) {
    set->naps = 0;
    if (set->newest != m) {
        unlink_member(set, m);
        link_newest(set, m);
    }
}

/* The state that the sleeper looks at is the subscriber's. */
static void refresh(struct member *m) {
    const struct ae_subscriber *s = &m->handle->ring;

    m->seen.hot.next = s->hot.next;
    m->seen.evicted = s->evicted;
    m->seen.ends_told = s->ends_told;
}

static void forget(struct ae_watcher *watcher);

/* ---- the sleeper: calls with the lock held ---- */

/* The set's thread, or a signal handler, has done what the sleeper must see. */
static void signal_sleeper(struct aether_waitset *set) {
    /* Z7 acq_rel, pairs Z8 (sleep_once): whoever finds the raised word finds what it was raised for. */
    (void)ae_fetch_add(&set->control, 1);
    ae_wake_futex(&set->control);
    const ae_u64 *kick = (const ae_u64 *)(uintptr_t)ae_load_acquire(&set->kick); // NOLINT(performance-no-int-to-ptr)
    if (kick != NULL)
        ae_wake_futex(kick); /* an address only: it may be unmapped by now, which does no harm */
}

static bool wake_pending(const struct aether_waitset *set) {
    return ae_load_acquire(&set->wakes) != set->wakes_taken;
}

static struct member *look_at_all(const struct aether_waitset *set) {
    for (size_t i = 0; i < set->count; i++) {
        if (ae_subscriber_has_news(&set->members[i]->seen))
            return set->members[i];
    }
    return NULL;
}

static uint64_t nap_ns(struct aether_waitset *set) {
    const uint64_t most = set->count * NAP_MEMBER_NS;
    const uint64_t doublings = least(set->naps++, NAP_DOUBLINGS_MAX);

    return least((uint64_t)AE_NAP_FIRST_NS << doublings, most > AETHER_IDLE_NAP_NS ? most : AETHER_IDLE_NAP_NS);
}

/*
 * Leaves notes for the members that were active last, as many as can be slept on; without futex_waitv that is one.
 * Returns the number of entries.
 */
static unsigned leave_notes(struct aether_waitset *set) {
    const unsigned most = set->one_futex ? 2 : AE_WAKE_ENTRIES_MAX;
    unsigned n = 1;

    for (struct member *m = set->newest; m != NULL; m = m->older) {
        uint64_t word;
        m->slept_on = n < most && m->seen.cursors != NULL && ae_subscriber_leave_note(&m->seen, &word);
        if (!m->slept_on)
            continue;
        set->entries[n++] = ae_wake_entry(&m->seen.log->wake.wake, word);
        /*
         * A note that stood since the membarrier of an earlier sleep needs no other: a publisher that loaded `want`
         * before it has drained its stores, one that loaded it afterwards raises the word.
         */
        set->barrier_due |= m->noted != word;
        m->noted = word;
    }
    return n;
}

/* Z6, for all that are slept on. */
static bool somebody_unfenced(const struct aether_waitset *set) {
    for (const struct member *m = set->newest; m != NULL; m = m->older) {
        if (m->slept_on && ae_subscriber_unfenced(&m->seen))
            return true;
    }
    return false;
}

/* Sleeps on the entries without the lock. False: a signal came. */
static bool sleep_on(struct aether_waitset *set, unsigned entries, uint64_t ns) {
    int rc;

    if (set->one_futex) {
        const struct ae_wake_entry *last = &set->entries[entries - 1];
        ae_store_release(&set->kick, last->address);
        pthread_mutex_unlock(&set->lock);
        rc = ae_wake_sleep((const ae_u64 *)(uintptr_t)last->address, last->value,
                           ns); // NOLINT(performance-no-int-to-ptr)
        pthread_mutex_lock(&set->lock);
        ae_store_release(&set->kick, 0);
        return rc;
    }
    pthread_mutex_unlock(&set->lock);
    rc = ae_wake_sleep_any(set->entries, entries, ns);
    pthread_mutex_lock(&set->lock);
    set->one_futex = rc == -ENOSYS;
    return rc != 0;
}

enum slept { SLEPT, FOUND, DISTURBED };

/*
 * Sleeps until a member may have something, the set's thread or aether_waitset_wake() wants something, or max_ns is
 * over. FOUND: a member has something, it hasn't slept. DISTURBED: a signal came.
 */
static enum slept sleep_once(struct aether_waitset *set, uint64_t max_ns) {
    uint64_t ns = least(max_ns, AE_WAKE_SLEEP_NS);
    /* Z8 acquire, pairs Z7 (signal_sleeper): before the look at `wakes`. All else changes under the lock. */
    const uint64_t control = ae_load_acquire(&set->control);
    unsigned entries;

    if (wake_pending(set))
        return SLEPT;
    set->entries[0] = ae_wake_entry(&set->control, control);
    entries = leave_notes(set);
    if (entries <= set->count)
        ns = least(ns, nap_ns(set)); /* a publish on a topic of the others wakes nobody */
    /* Z2, once for all: the notes; every publisher's core drains its stores; the tags. */
    if (set->barrier_due)
        set->barrier_due = !ae_wake_barrier();
    if (set->barrier_due || somebody_unfenced(set))
        ns = least(ns, AE_WAKE_UNFENCED_SLEEP_NS);
    if (look_at_all(set) != NULL)
        return FOUND;
    return sleep_on(set, entries, ns) ? SLEPT : DISTURBED;
}

/* ---- the helper ---- */

static void make_readable(struct aether_waitset *set) {
    set->armed = false;
    /* Fails only if the counter would overflow: then it is readable already. */
    (void)eventfd_write(set->fd, 1);
}

static void make_unreadable(const struct aether_waitset *set) {
    eventfd_t count;

    (void)eventfd_read(set->fd, &count); /* -EAGAIN: it isn't readable, which is what is wanted */
}

/* The fd becomes readable if there is a reason. An end of a stream that is one counts as told: see arm(). */
static bool fire(struct aether_waitset *set) {
    struct member *m = look_at_all(set);

    if (m == NULL && !wake_pending(set))
        return false;
    if (m != NULL) {
        ae_subscriber_told(&m->seen);
        touch(set, m);
    }
    make_readable(set);
    return true;
}

static void *help(void *context) {
    struct aether_waitset *set = context;

    pthread_mutex_lock(&set->lock);
    while (!set->stop) {
        if (!set->armed) {
            const uint64_t control = ae_load_acquire(&set->control);
            pthread_mutex_unlock(&set->lock);
            (void)ae_wake_sleep(&set->control, control, AETHER_FOREVER);
            pthread_mutex_lock(&set->lock);
        } else if (!fire(set)) {
            set->watching = true;
            (void)sleep_once(set, UINT64_MAX);
            set->watching = false;
        }
    }
    pthread_mutex_unlock(&set->lock);
    return NULL;
}

/* Signals belong to the program's own threads. */
static int start_helper(struct aether_waitset *set) {
    pthread_attr_t attributes;
    sigset_t all, before;
    int rc;

    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&set->helper, &attributes, help, set);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return -rc;
}

/* ---- the set's thread ---- */

/* About to wait: publishers may need what was read, and the sleeper must know what was. */
static void prepare_to_wait(struct aether_waitset *set) {
    for (size_t i = 0; i < set->count; i++) {
        struct aether_subscriber *hot = &set->members[i]->handle->ring.hot;
        if (hot->cursor_stored != hot->next)
            ae_store_cursor(hot, hot->next);
        refresh(set->members[i]);
    }
}

/* Nothing was found: the fd is unreadable until there is something. */
static void arm(struct aether_waitset *set) {
    if (set->fd < 0)
        return;
    pthread_mutex_lock(&set->lock);
    if (!set->armed) {
        prepare_to_wait(set);
        make_unreadable(set);
        set->armed = true;
        if (!set->watching)
            signal_sleeper(set);
    }
    pthread_mutex_unlock(&set->lock);
}

/* A member has something, and so may others: the fd is readable until none has. */
static void note_ready(struct aether_waitset *set, struct member *m) {
    pthread_mutex_lock(&set->lock);
    touch(set, m);
    if (set->armed)
        make_readable(set);
    pthread_mutex_unlock(&set->lock);
}

static bool find_ready(struct aether_waitset *set, aether_ready *ready) {
    for (size_t i = 0; i < set->count; i++) {
        if (set->turn >= set->count)
            set->turn = 0;
        struct member *m = set->members[set->turn++];
        if (!ae_subscriber_has_news(&m->handle->ring))
            continue;
        ae_subscriber_told(&m->handle->ring);
        note_ready(set, m);
        *ready = (aether_ready){.subscriber = &m->handle->ring.hot, .context = m->context};
        return true;
    }
    return false;
}

static bool take_wake(struct aether_waitset *set) {
    bool pending;

    if (!wake_pending(set)) /* only this thread changes wakes_taken */
        return false;
    pthread_mutex_lock(&set->lock);
    pending = wake_pending(set);
    set->wakes_taken = ae_load_acquire(&set->wakes);
    pthread_mutex_unlock(&set->lock);
    return pending;
}

/* False: a signal came. */
static bool sleep_here(struct aether_waitset *set, uint64_t ns) {
    enum slept slept;

    pthread_mutex_lock(&set->lock);
    prepare_to_wait(set);
    slept = sleep_once(set, ns);
    pthread_mutex_unlock(&set->lock);
    return slept != DISTURBED;
}

/* Sleeps while the helper looks. False: a signal came. */
static bool sleep_on_fd(struct aether_waitset *set, uint64_t ns) {
    struct pollfd entry = {.fd = set->fd, .events = POLLIN};
    const struct timespec span = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};

    arm(set);
    return ppoll(&entry, 1, ns < AETHER_FOREVER ? &span : NULL, NULL) >= 0 || errno != EINTR;
}

static int wait_for_ready(struct aether_waitset *set, aether_ready *ready, uint64_t timeout_ns) {
    const uint64_t start = ae_now_ns();
    uint64_t waited = 0;

    do {
        const uint64_t left = timeout_ns == AETHER_FOREVER ? AETHER_FOREVER : timeout_ns - waited;
        const bool undisturbed = set->fd < 0 ? sleep_here(set, left) : sleep_on_fd(set, left);
        if (take_wake(set))
            break;
        if (find_ready(set, ready))
            return 1;
        if (!undisturbed)
            break;
        waited = ae_now_ns() - start;
    } while (waited < timeout_ns);
    arm(set);
    return 0;
}

/* ---- the interface ---- */

AE_EXPORT int aether_waitset_next(aether_waitset *set, aether_ready *ready, uint64_t timeout_ns) {
    int rc = enter(set);

    if (rc != 0)
        return rc;
    if (take_wake(set) || (timeout_ns == 0 && !find_ready(set, ready)))
        arm(set);
    else if (timeout_ns == 0 || find_ready(set, ready))
        rc = 1;
    else
        rc = wait_for_ready(set, ready, timeout_ns);
    return leave(set, rc);
}

AE_EXPORT void aether_waitset_wake(aether_waitset *set) {
    const int saved = errno; /* it may interrupt anything */

    (void)ae_fetch_add(&set->wakes, 1);
    signal_sleeper(set);
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
    pthread_mutex_lock(&set->lock);
    rc = start_helper(set);
    if (rc == 0) {
        set->fd = fd;
        prepare_to_wait(set);
        set->armed = true;
    }
    pthread_mutex_unlock(&set->lock);
    if (rc != 0) {
        ae_close(&fd);
        return leave(set, ae_fail(rc, "thread of a waitset: %s", strerror(-rc)));
    }
    return leave(set, fd);
}

static int make_room(struct aether_waitset *set) {
    const size_t room = set->room != 0 ? set->room * 2 : 8;
    struct member **members;

    if (set->count < set->room)
        return 0;
    members = malloc(room * sizeof(struct member *));
    if (members == NULL)
        return ae_fail(-ENOMEM, "out of memory for a waitset of %zu subscribers", set->count + 1);
    pthread_mutex_lock(&set->lock);
    if (set->count != 0)
        memcpy(members, set->members, set->count * sizeof(struct member *));
    free(set->members);
    set->members = members;
    set->room = room;
    pthread_mutex_unlock(&set->lock);
    return 0;
}

static int add(struct aether_waitset *set, struct ae_subscriber_handle *handle, void *context) {
    struct member *m;
    int rc;

    if (handle->watcher != NULL)
        return ((struct member *)(void *)handle->watcher)->set == set
                   ? ae_fail(-EEXIST, "the subscriber is in this waitset already")
                   : ae_fail(-EBUSY, "the subscriber is in another waitset, or has a notifier: remove it there first");
    if ((rc = make_room(set)) != 0)
        return rc;
    if ((m = calloc(1, sizeof *m)) == NULL)
        return ae_fail(-ENOMEM, "out of memory for a member of a waitset");
    *m = (struct member){
        .watcher.forget = forget, .set = set, .handle = handle, .context = context, .seen = handle->ring};
    handle->watcher = &m->watcher;
    pthread_mutex_lock(&set->lock);
    set->members[set->count++] = m;
    link_newest(set, m);
    set->naps = 0;
    signal_sleeper(set);
    pthread_mutex_unlock(&set->lock);
    return 0;
}

/* The subscriber is closed, or removed. Once the lock is free nobody looks at it any more. */
static void forget(struct ae_watcher *watcher) {
    struct member *m = (struct member *)(void *)watcher;
    struct aether_waitset *set = m->set;
    size_t i = 0;

    m->handle->watcher = NULL;
    if (!is_owner(set)) { /* in a forked child: the lock may be held by a thread that isn't there */
        m->handle = NULL;
        return;
    }
    while (set->members[i] != m)
        i++;
    pthread_mutex_lock(&set->lock);
    set->count--;
    memmove(&set->members[i], &set->members[i + 1], (set->count - i) * sizeof(struct member *));
    unlink_member(set, m);
    signal_sleeper(set);
    pthread_mutex_unlock(&set->lock);
    if (i < set->turn)
        set->turn--;
    free(m);
}

AE_EXPORT int aether_waitset_add(aether_waitset *set, aether_subscriber *subscriber, void *context) {
    const int rc = enter(set);

    return rc != 0 ? rc : leave(set, add(set, ae_handle_of_subscriber(subscriber), context));
}

AE_EXPORT int aether_waitset_remove(aether_waitset *set, aether_subscriber *subscriber) {
    struct ae_watcher *watcher = ae_handle_of_subscriber(subscriber)->watcher;
    const int rc = enter(set);

    if (rc != 0)
        return rc;
    if (watcher == NULL || ((struct member *)(void *)watcher)->set != set)
        return leave(set, ae_fail(-ENOENT, "the subscriber isn't in this waitset"));
    forget(watcher);
    return leave(set, 0);
}

void ae_waitset_ends_told(aether_waitset *set) {
    pthread_mutex_lock(&set->lock);
    if (!set->armed) {
        for (size_t i = 0; i < set->count; i++) {
            const uint64_t told = set->members[i]->seen.ends_told;
            uint64_t *known = &set->members[i]->handle->ring.ends_told;
            if ((int64_t)(told - *known) > 0)
                *known = told;
        }
    }
    pthread_mutex_unlock(&set->lock);
}

AE_EXPORT int aether_waitset_open(aether_waitset **out) {
    struct aether_waitset *set = calloc(1, sizeof *set);

    if (set == NULL)
        return ae_fail(-ENOMEM, "out of memory for a waitset");
    set->owner = getpid();
    set->fd = -1;
    pthread_mutex_init(&set->lock, NULL);
    *out = set;
    return 0;
}

static void stop_helper(struct aether_waitset *set) {
    pthread_mutex_lock(&set->lock);
    set->stop = true;
    signal_sleeper(set);
    pthread_mutex_unlock(&set->lock);
    pthread_join(set->helper, NULL);
}

AE_EXPORT void aether_waitset_close(aether_waitset *set) {
    if (set == NULL)
        return;
    if (is_owner(set)) {
        if (set->fd >= 0)
            stop_helper(set);
        pthread_mutex_destroy(&set->lock);
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
