/* SPDX-License-Identifier: Apache-2.0 */
/*
 * waitset.c - many subscribers, one sleep.
 *
 * The sleeper is the helper thread or, if there is none, the set's thread. Only the set's thread uses the subscribers
 * themselves. The sleeper checks each member's `seen`, a copy of the subscriber that is brought up to date under the
 * lock. So the helper shares nothing with the program that isn't under the lock.
 *
 * A sleep takes the steps of ring/wait.h for all members at once: it leaves a note on each topic, calls membarrier
 * once, checks each member once more, and calls futex_waitv on the wake words of the members that were active last.
 * Another futex, `control`, belongs to the set. It is raised after each change that the sleeper must see.
 *
 * A member is quiet as long as its topic's wake word has the value that its note states. Then nothing has been
 * published since the note was left, or the publisher is about to raise the word. For a quiet member only the wake word
 * is checked. Every 250 ms all notes are left again and every member is checked fully, because a hostile subscriber can
 * overwrite a note, and a publisher can die before it raises the word.
 */
#include "client/waitset.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/export.h"
#include "base/number.h"
#include "base/socket.h"
#include "client/handle.h"
#include "ring/nap.h"
#include "ring/receive.h"
#include "ring/stats.h"
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
#define NAP_COST_FACTOR 100u /* in an idle set the checks between naps take 1 % of the time */
#define NAP_MAX_NS 50000000u

struct member {
    struct ae_watcher watcher; /* first */
    struct aether_waitset *set;
    struct ae_subscriber_handle *handle; /* only for the set's thread; NULL: closed, in a forked child */
    void *context;
    bool slept; /* only for the set's thread: its wait is counted as a sleep */

    /* Under the lock. */
    const ae_u64 *wake;           /* the topic's wake word */
    uint64_t noted;               /* its value in the last note */
    struct member *newer, *older; /* in the order in which members last had something */
    struct member *next_noted;    /* in the list of members that got a note for this sleep */
    bool quiet;                   /* see above */
    bool stale;                   /* `seen` may be behind the subscriber; stale members are newer than all others */
    struct ae_subscriber seen;
};

struct aether_waitset {
    pid_t owner;
    ae_u64 busy; /* a thread is in a call */

    /* The set's thread changes these, under the lock. */
    struct member **members;
    size_t count, room;
    int fd; /* -1: no helper */

    size_t turn; /* only for the set's thread: the member that is checked first next time */

    ae_u64 control; /* a futex: raised when the sleeper has to check the set itself */
    ae_u64 wakes;   /* number of calls of aether_waitset_wake() */
    ae_u64 kick;    /* without futex_waitv: the address of the wake word on which the sleeper sleeps, or 0 */

    pthread_mutex_t lock; /* for the members below */
    struct member *newest, *oldest;
    uint64_t wakes_taken; /* the value of `wakes` that was answered last; only the set's thread changes it */
    bool armed;           /* fd isn't readable, and the helper has to make it readable */
    bool watching;        /* the helper sleeps, and checks everything when it wakes */
    bool stop;
    bool barrier_due;    /* a note has been left since the last membarrier */
    bool one_futex;      /* there is no futex_waitv */
    uint64_t notes_ns;   /* when all notes were last left again */
    uint64_t checked_ns; /* when all members were last checked fully */
    uint64_t naps;       /* number of naps since a member had something */
    uint64_t cost_ns;    /* the CPU time of the checks before the last nap */
    pthread_t helper;
    struct ae_wake_entry entries[AE_WAKE_ENTRIES_MAX]; /* for the sleeper */
};

/* ---- calls: only in the process that opened the set, by one thread at a time ---- */

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

/* ---- members: the caller holds the lock ---- */

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

/*
 * The member has something. Moves it to the front, so that a publish on its topic wakes the sleeper. The program is
 * about to receive from it, so `seen` becomes stale.
 */
static void touch(struct aether_waitset *set, struct member *m) {
    set->naps = 0;
    m->stale = true;
    m->quiet = false;
    unlink_member(set, m);
    link_newest(set, m);
}

/* Z4 acquire, pairs Z3 (wake): after the raised word the message before it is visible. */
static bool is_quiet(const struct member *m) {
    return m->quiet && ae_load_acquire(m->wake) == m->noted;
}

/* ---- the sleeper: the caller holds the lock ---- */

/* Wakes the sleeper after a change that it must see. The caller needn't hold the lock. */
static void signal_sleeper(struct aether_waitset *set) {
    /* Z7 acq_rel, pairs Z8 (sleep_once): a sleeper that sees the raised word sees the change before it. */
    (void)ae_fetch_add(&set->control, 1);
    ae_wake_futex(&set->control);
    /* Z9 seq_cst fence, pairs Z9 (sleep_on): `control` is raised before `kick` is loaded. */
    ae_fence_seq_cst();
    const ae_u64 *kick = (const ae_u64 *)(uintptr_t)ae_load_acquire(&set->kick); // NOLINT(performance-no-int-to-ptr)
    if (kick != NULL)
        ae_wake_futex(kick); /* only the address is used: it may be unmapped by now */
}

static bool wake_pending(const struct aether_waitset *set) {
    return ae_load_acquire(&set->wakes) != set->wakes_taken;
}

/* The preparation of a sleep. */
struct sleep {
    struct member *found; /* a member that has something, so that there is no sleep */
    struct member *noted; /* the members that got a note for this sleep */
    unsigned entries;
    bool shortly; /* a publisher may not see a note: sleep only shortly */
    bool naps;    /* a publish on the topic of some member wakes no sleeper: sleep in naps */
};

static void add_entry(struct aether_waitset *set, struct sleep *sleep, const struct member *m) {
    if (sleep->entries < (set->one_futex ? 2 : AE_WAKE_ENTRIES_MAX))
        set->entries[sleep->entries++] = ae_wake_entry(m->wake, m->noted);
    else
        sleep->naps = true;
}

/* Checks all members, the most recently active first, and leaves notes for those that have nothing. */
static void check_and_leave_notes(struct aether_waitset *set, struct sleep *sleep, bool fully) {
    for (struct member *m = set->newest; m != NULL; m = m->older) {
        if (!fully && is_quiet(m)) {
            add_entry(set, sleep, m);
            continue;
        }
        m->quiet = false;
        if (ae_subscriber_has_news(&m->seen)) {
            sleep->found = m;
            return;
        }
        if (!ae_subscriber_leave_note(&m->seen, &m->noted)) {
            sleep->naps = true;
            continue;
        }
        m->next_noted = sleep->noted;
        sleep->noted = m;
        set->barrier_due = true;
        add_entry(set, sleep, m);
    }
}

/* The second half of the handshake: checks the members with a new note again. Those that have nothing are quiet now. */
static void check_noted(struct aether_waitset *set, struct sleep *sleep) {
    /* Z2, once for all members: the notes are stored; every publisher's core drains its stores; the tags are loaded. */
    if (set->barrier_due)
        set->barrier_due = !ae_wake_barrier();
    for (struct member *m = sleep->noted; m != NULL; m = m->next_noted) {
        const bool unfenced = set->barrier_due || ae_subscriber_unfenced(&m->seen); /* Z6: before the check */
        if (ae_subscriber_has_news(&m->seen)) {
            sleep->found = m;
            return;
        }
        m->quiet = !unfenced;
        sleep->shortly |= unfenced;
    }
}

static struct sleep prepare_sleep(struct aether_waitset *set) {
    const uint64_t now = ae_now_ns();
    const bool fully = now - set->notes_ns >= AE_WAKE_SLEEP_NS;
    struct sleep sleep = {.entries = 1};

    check_and_leave_notes(set, &sleep, fully);
    if (sleep.found == NULL)
        check_noted(set, &sleep);
    if (sleep.found == NULL && fully)
        set->notes_ns = set->checked_ns = now;
    return sleep;
}

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

static uint64_t thread_cpu_ns(void) {
    struct timespec t;

    return clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0 ? (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec : 0;
}

/*
 * The length of the next nap. Naps double while no member has anything, until the checks take 1 % of the time.
 * cpu_before: the sleeper's CPU time before the checks. In the set's thread the program uses CPU time between them.
 */
static uint64_t nap_ns(struct aether_waitset *set, uint64_t cpu_before) {
    const uint64_t cpu = thread_cpu_ns();
    uint64_t longest;

    set->cost_ns = cpu - cpu_before;
    longest = ae_least(ae_most(set->cost_ns * NAP_COST_FACTOR, AETHER_IDLE_NAP_NS), NAP_MAX_NS);
    return ae_least(ae_most(set->cost_ns, AE_NAP_FIRST_NS) << ae_least(set->naps++, NAP_DOUBLINGS_MAX), longest);
}

/*
 * Without futex_waitv: sleeps on the last entry alone. signal_sleeper() wakes that word, too. If it does so after the
 * check of `control` and before the kernel waits, this sleep ends with its time, after 250 ms at most.
 */
static bool sleep_on_one(struct aether_waitset *set, uint64_t control, const struct ae_wake_entry *entry, uint64_t ns) {
    const ae_u64 *word = (const ae_u64 *)(uintptr_t)entry->address; // NOLINT(performance-no-int-to-ptr)
    bool undisturbed = true;

    ae_store_release(&set->kick, entry->address);
    /*
     * Z9 seq_cst fence, pairs Z9 (signal_sleeper): `kick` is stored before `control` is loaded. Either this load sees
     * the raised word, or signal_sleeper() sees which word to wake.
     */
    ae_fence_seq_cst();
    pthread_mutex_unlock(&set->lock);
    if (ae_load_acquire(&set->control) == control)
        undisturbed = ae_wake_sleep(word, entry->value, ns);
    pthread_mutex_lock(&set->lock);
    ae_store_release(&set->kick, 0);
    return undisturbed;
}

/* Sleeps on the entries and releases the lock meanwhile. False: a signal ended the sleep. */
static bool sleep_on(struct aether_waitset *set, uint64_t control, unsigned entries, uint64_t ns) {
    int rc;

    if (set->one_futex)
        return sleep_on_one(set, control, &set->entries[entries - 1], ns);
    pthread_mutex_unlock(&set->lock);
    rc = ae_wake_sleep_any(set->entries, entries, ns);
    pthread_mutex_lock(&set->lock);
    set->one_futex = rc == -ENOSYS;
    return rc != 0;
}

/*
 * Sleeps until a member may have something, signal_sleeper() was called, or max_ns is over. *found: a member that has
 * something, and then there was no sleep; or NULL. False: a signal ended the sleep.
 */
static bool sleep_once(struct aether_waitset *set, uint64_t max_ns, struct member **found) {
    /* Z8 acquire, pairs Z7 (signal_sleeper): loaded before `wakes`. All other changes are under the lock. */
    const uint64_t control = ae_load_acquire(&set->control);
    uint64_t ns = ae_least(max_ns, AE_WAKE_SLEEP_NS);

    *found = NULL;
    if (wake_pending(set))
        return true;
    const uint64_t cpu_before = thread_cpu_ns();
    set->entries[0] = ae_wake_entry(&set->control, control);
    const struct sleep sleep = prepare_sleep(set);
    *found = sleep.found;
    if (sleep.found != NULL)
        return true;
    if (sleep.naps)
        ns = ae_least(ns, nap_ns(set, cpu_before));
    if (sleep.shortly)
        ns = ae_least(ns, AE_WAKE_UNFENCED_SLEEP_NS);
    if (set->fd < 0) /* then this is the set's thread; else arm() counts */
        count_sleeps(set);
    return sleep_on(set, control, sleep.entries, ns);
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
static void fire(struct aether_waitset *set, struct member *found) {
    if (found != NULL) {
        ae_subscriber_mark_reported(&found->seen);
        touch(set, found);
    }
    make_readable(set);
}

static void sleep_until_armed(struct aether_waitset *set) {
    const uint64_t control = ae_load_acquire(&set->control);

    pthread_mutex_unlock(&set->lock);
    (void)ae_wake_sleep(&set->control, control, AETHER_FOREVER);
    pthread_mutex_lock(&set->lock);
}

static void *help(void *context) {
    struct aether_waitset *set = context;
    struct member *found;

    pthread_mutex_lock(&set->lock);
    while (!set->stop) {
        if (!set->armed) {
            sleep_until_armed(set);
            continue;
        }
        set->watching = true;
        (void)sleep_once(set, AETHER_FOREVER, &found);
        set->watching = false;
        if (set->armed && (found != NULL || wake_pending(set)))
            fire(set, found);
    }
    pthread_mutex_unlock(&set->lock);
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
    pthread_mutex_lock(&set->lock);
    set->stop = true;
    signal_sleeper(set);
    pthread_mutex_unlock(&set->lock);
    pthread_join(set->helper, NULL);
}

/* ---- the set's thread ---- */

/*
 * Called before a wait, with the lock held. For each stale member it stores the cursor, because publishers may need the
 * room of messages that the program has received, and brings `seen` up to date. If the program has received from a
 * member that isn't stale, the sleeper may find messages that are received already: it wakes for nothing, once.
 */
static void prepare_to_wait(struct aether_waitset *set) {
    for (struct member *m = set->newest; m != NULL && m->stale; m = m->older) {
        struct ae_subscriber *s = &m->handle->ring;
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

static struct member *find_news(struct aether_waitset *set, bool fully) {
    for (size_t i = 0; i < set->count; i++) {
        if (set->turn >= set->count)
            set->turn = 0;
        struct member *m = set->members[set->turn++];
        if ((fully || !is_quiet(m)) && ae_subscriber_has_news(&m->handle->ring))
            return m;
    }
    return NULL;
}

/* Names the next member that has something. Others may have something, too: the fd stays readable until none has. */
static bool find_ready(struct aether_waitset *set, aether_ready *ready) {
    const uint64_t now = ae_now_ns();
    struct member *m;

    pthread_mutex_lock(&set->lock);
    const bool fully = now - set->checked_ns >= AE_WAKE_SLEEP_NS;
    m = find_news(set, fully);
    if (m != NULL) {
        ae_subscriber_mark_reported(&m->handle->ring);
        if (m->slept)
            ae_stats_woken(&m->handle->ring);
        m->slept = false;
        touch(set, m);
        if (set->armed)
            make_readable(set);
        *ready = (aether_ready){.subscriber = &m->handle->ring.hot, .context = m->context};
    } else if (fully) {
        set->checked_ns = now;
    }
    pthread_mutex_unlock(&set->lock);
    return m != NULL;
}

static bool take_wake(struct aether_waitset *set) {
    if (!wake_pending(set))
        return false;
    pthread_mutex_lock(&set->lock);
    set->wakes_taken = ae_load_acquire(&set->wakes);
    pthread_mutex_unlock(&set->lock);
    return true;
}

/* Sleeps in this thread. False: a signal ended the sleep. */
static bool sleep_here(struct aether_waitset *set, uint64_t ns, bool *found_one) {
    struct member *found;
    bool undisturbed;

    pthread_mutex_lock(&set->lock);
    prepare_to_wait(set);
    undisturbed = sleep_once(set, ns, &found);
    if (found != NULL)
        touch(set, found);
    pthread_mutex_unlock(&set->lock);
    *found_one = found != NULL;
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
        if (take_wake(set))
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
    if (take_wake(set))
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

/*
 * The subscriber has taken its topic's shape: the sleeper checks it in its new mapping from now on. After the lock is
 * released, no thread reads the former mapping; a sleep on it goes on until signal_sleeper() ends it.
 */
static void attached(struct ae_watcher *watcher) {
    struct member *m = (struct member *)(void *)watcher;
    struct aether_waitset *set = m->set;

    pthread_mutex_lock(&set->lock);
    m->seen = m->handle->ring;
    m->wake = &m->handle->ring.log->wake.wake;
    touch(set, m);
    signal_sleeper(set);
    pthread_mutex_unlock(&set->lock);
}

static int make_room(struct aether_waitset *set) {
    const size_t room = set->room != 0 ? set->room * 2 : 8;
    struct member **members;

    if (set->count < set->room)
        return 0;
    members = malloc(room * sizeof(struct member *));
    if (members == NULL)
        return ae_fail(-ENOMEM, "out of memory for one more subscriber of a waitset");
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
    m->wake = &handle->ring.log->wake.wake;
    m->seen = handle->ring;
    handle->watcher = &m->watcher;
    pthread_mutex_lock(&set->lock);
    set->members[set->count++] = m;
    link_newest(set, m);
    touch(set, m);
    signal_sleeper(set);
    pthread_mutex_unlock(&set->lock);
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
    pthread_mutex_lock(&set->lock);
    if (!set->armed) {
        for (struct member *m = set->newest; m != NULL && m->stale; m = m->older) {
            uint64_t *known = &m->handle->ring.reported_end;
            if ((int64_t)(m->seen.reported_end - *known) > 0)
                *known = m->seen.reported_end;
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
