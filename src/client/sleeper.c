/* SPDX-License-Identifier: Apache-2.0 */
#include "client/sleeper.h"
#include "base/clock.h"
#include "base/number.h"
#include "ring/nap.h"
#include "ring/receive.h"
#include "ring/wait.h"
#include <aether/error.h>
#include <aether/idle.h>
#include <errno.h>
#include <time.h>

#define NS_PER_S 1000000000ull
#define NAP_DOUBLINGS_MAX 12u
#define NAP_COST_FACTOR 100u /* in an idle set the checks between naps take 1 % of the time */
#define NAP_MAX_NS 50000000u

/* ---- members ----------------------------------------------------------------------------------------------------- */

static void unlink_member(struct ae_sleeper *s, struct ae_sleep_member *m) {
    *(m->newer != NULL ? &m->newer->older : &s->newest) = m->older;
    *(m->older != NULL ? &m->older->newer : &s->oldest) = m->newer;
}

static void link_newest(struct ae_sleeper *s, struct ae_sleep_member *m) {
    m->newer = NULL;
    m->older = s->newest;
    *(m->older != NULL ? &m->older->newer : &s->oldest) = m;
    s->newest = m;
}

void ae_sleeper_touch(struct ae_sleeper *s, struct ae_sleep_member *m) {
    s->naps = 0;
    m->stale = true;
    m->quiet = false;
    unlink_member(s, m);
    link_newest(s, m);
}

/* ---- the sleeper ------------------------------------------------------------------------------------------------- */

void ae_sleeper_signal(struct ae_sleeper *s) {
    /* Z7 acq_rel, pairs Z8 (prepare): a sleeper that sees the raised word sees the change before it. */
    (void)ae_fetch_add(&s->control, 1);
    ae_wake_futex(&s->control);
    /* Z9 seq_cst fence, pairs Z9 (sleep_on_one): `control` is raised before `kick` is loaded. */
    ae_fence_seq_cst();
    const ae_u64 *kick = (const ae_u64 *)(uintptr_t)ae_load_acquire(&s->kick); // NOLINT(performance-no-int-to-ptr)
    if (kick != NULL)
        ae_wake_futex(kick); /* only the address is used: it may be unmapped by now */
}

static void add_entry(struct ae_sleeper *s, struct ae_sleep *sleep, const struct ae_sleep_member *m) {
    if (sleep->entries < (s->one_futex ? 2 : AE_WAKE_ENTRIES_MAX))
        s->entries[sleep->entries++] = ae_wake_entry(m->wake, m->noted);
    else
        sleep->naps = true;
}

/* Checks all members, the most recently active first, and leaves notes for those that have nothing. */
static void check_and_leave_notes(struct ae_sleeper *s, struct ae_sleep *sleep, bool fully) {
    for (struct ae_sleep_member *m = s->newest; m != NULL; m = m->older) {
        if (!fully && ae_sleep_member_quiet(m)) {
            add_entry(s, sleep, m);
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
        s->barrier_due = true;
        add_entry(s, sleep, m);
    }
}

/* The second half of the handshake: checks the members with a new note again. Those that have nothing are quiet now. */
static void check_noted(struct ae_sleeper *s, struct ae_sleep *sleep) {
    /* Z2, once for all members: the notes are stored; every publisher's core drains its stores; the tags are loaded. */
    if (s->barrier_due)
        s->barrier_due = !ae_wake_barrier();
    for (struct ae_sleep_member *m = sleep->noted; m != NULL; m = m->next_noted) {
        const bool unfenced = s->barrier_due || ae_subscriber_unfenced(&m->seen); /* Z6: before the check */
        if (ae_subscriber_has_news(&m->seen)) {
            sleep->found = m;
            return;
        }
        m->quiet = !unfenced;
        sleep->shortly |= unfenced;
    }
}

static struct ae_sleep check_all(struct ae_sleeper *s) {
    const uint64_t now = ae_now_ns();
    const bool fully = now - s->notes_ns >= AE_WAKE_SLEEP_NS;
    struct ae_sleep sleep = {.entries = 1};

    check_and_leave_notes(s, &sleep, fully);
    if (sleep.found == NULL)
        check_noted(s, &sleep);
    if (sleep.found == NULL && fully)
        s->notes_ns = s->checked_ns = now;
    return sleep;
}

static uint64_t thread_cpu_ns(void) {
    struct timespec t;

    return clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0 ? (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec : 0;
}

/*
 * The length of the next nap. Naps double while no member has anything, until the checks take 1 % of the time.
 * cpu_before: the sleeper's CPU time before the checks. In the set's thread the program uses CPU time between them.
 */
static uint64_t nap_ns(struct ae_sleeper *s, uint64_t cpu_before) {
    const uint64_t cpu = thread_cpu_ns();
    uint64_t longest;

    s->cost_ns = cpu - cpu_before;
    longest = ae_least(ae_most(s->cost_ns * NAP_COST_FACTOR, AETHER_IDLE_NAP_NS), NAP_MAX_NS);
    return ae_least(ae_most(s->cost_ns, AE_NAP_FIRST_NS) << ae_least(s->naps++, NAP_DOUBLINGS_MAX), longest);
}

/*
 * Without futex_waitv: sleeps on the last entry alone. ae_sleeper_signal() wakes that word, too. If it does so after
 * the check of `control` and before the kernel waits, this sleep ends with its time, after 250 ms at most.
 */
static bool sleep_on_one(struct ae_sleeper *s, uint64_t control, const struct ae_wake_entry *entry, uint64_t ns) {
    const ae_u64 *word = (const ae_u64 *)(uintptr_t)entry->address; // NOLINT(performance-no-int-to-ptr)
    bool undisturbed = true;

    ae_store_release(&s->kick, entry->address);
    /*
     * Z9 seq_cst fence, pairs Z9 (signal): `kick` is stored before `control` is loaded. Either this load sees the
     * raised word, or ae_sleeper_signal() sees which word to wake.
     */
    ae_fence_seq_cst();
    pthread_mutex_unlock(&s->lock);
    if (ae_load_acquire(&s->control) == control)
        undisturbed = ae_wake_sleep(word, entry->value, ns);
    pthread_mutex_lock(&s->lock);
    ae_store_release(&s->kick, 0);
    return undisturbed;
}

bool ae_sleeper_prepare(struct ae_sleeper *s, uint64_t max_ns, struct ae_sleep *sleep) {
    /* Z8 acquire, pairs Z7 (signal): loaded before `wakes`. All other changes are under the lock. */
    const uint64_t control = ae_load_acquire(&s->control);

    *sleep = (struct ae_sleep){0};
    if (ae_sleeper_wake_pending(s))
        return false;
    const uint64_t cpu_before = thread_cpu_ns();
    s->entries[0] = ae_wake_entry(&s->control, control);
    *sleep = check_all(s);
    if (sleep->found != NULL)
        return false;
    sleep->control = control;
    sleep->ns = ae_least(max_ns, AE_WAKE_SLEEP_NS);
    if (sleep->naps)
        sleep->ns = ae_least(sleep->ns, nap_ns(s, cpu_before));
    if (sleep->shortly)
        sleep->ns = ae_least(sleep->ns, AE_WAKE_UNFENCED_SLEEP_NS);
    return true;
}

bool ae_sleeper_sleep(struct ae_sleeper *s, const struct ae_sleep *sleep) {
    int rc;

    if (s->one_futex)
        return sleep_on_one(s, sleep->control, &s->entries[sleep->entries - 1], sleep->ns);
    pthread_mutex_unlock(&s->lock);
    rc = ae_wake_sleep_any(s->entries, sleep->entries, sleep->ns);
    pthread_mutex_lock(&s->lock);
    s->one_futex = rc == -ENOSYS;
    return rc != 0;
}

void ae_sleeper_rest(struct ae_sleeper *s) {
    /* Z8 acquire, pairs Z7 (signal). What it was raised for is under the lock. */
    const uint64_t control = ae_load_acquire(&s->control);

    pthread_mutex_unlock(&s->lock);
    (void)ae_wake_sleep(&s->control, control, AETHER_FOREVER);
    pthread_mutex_lock(&s->lock);
}

/* ---- the set's and other threads --------------------------------------------------------------------------------- */

void ae_sleeper_wake(struct ae_sleeper *s) {
    /* Z11 acq_rel, pairs Z11 (take): what the caller did before is seen by the thread that takes the wake. */
    (void)ae_fetch_add(&s->wakes, 1);
    ae_sleeper_signal(s);
}

bool ae_sleeper_take_wake(struct ae_sleeper *s) {
    if (!ae_sleeper_wake_pending(s))
        return false;
    pthread_mutex_lock(&s->lock);
    s->wakes_taken = ae_load_acquire(&s->wakes); /* Z11 acquire, pairs Z11 (wake) */
    pthread_mutex_unlock(&s->lock);
    return true;
}

void ae_sleeper_enter(struct ae_sleeper *s, struct ae_sleep_member *m, const struct ae_subscriber *subscriber) {
    *m = (struct ae_sleep_member){.wake = &subscriber->log->wake.wake, .seen = *subscriber};
    link_newest(s, m);
    ae_sleeper_touch(s, m);
    ae_sleeper_signal(s);
}

void ae_sleeper_replace(struct ae_sleeper *s, struct ae_sleep_member *m, const struct ae_subscriber *subscriber) {
    m->seen = *subscriber;
    m->wake = &subscriber->log->wake.wake;
    ae_sleeper_touch(s, m);
    ae_sleeper_signal(s);
}

void ae_sleeper_leave(struct ae_sleeper *s, struct ae_sleep_member *m) {
    unlink_member(s, m);
    ae_sleeper_signal(s);
}
