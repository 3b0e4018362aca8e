/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sleeper.h - one sleep for many subscribers.
 *
 * The sleeper is the helper thread of a waitset or, if there is none, the set's thread. Only the set's thread uses the
 * subscribers themselves. The sleeper checks each member's `seen`, a copy of the subscriber that is brought up to date
 * under the lock. So the helper shares nothing with the program that isn't under the lock.
 *
 * A sleep takes the steps of ring/wait.h for all members at once: it leaves a note on each topic, calls membarrier
 * once, checks each member once more, and calls futex_waitv on the wake words of the members that were active last.
 * Another futex, `control`, belongs to the sleeper. It is raised after each change that the sleeper must see.
 *
 * A member is quiet as long as its topic's wake word has the value that its note states. Then nothing has been
 * published since the note was left, or the publisher is about to raise the word. For a quiet member only the wake word
 * is checked. Every 250 ms all notes are left again and every member is checked fully, because a hostile subscriber can
 * overwrite a note, and a publisher can die before it raises the word.
 *
 * The caller holds the lock, but for ae_sleeper_signal(), ae_sleeper_wake(), ae_sleeper_wake_pending() and
 * ae_sleeper_take_wake().
 */
#ifndef AE_CLIENT_SLEEPER_H
#define AE_CLIENT_SLEEPER_H

#include "ring/subscriber.h"
#include "ring/wake.h"
#include <pthread.h>
#include <stdbool.h>

/* A subscriber, as the sleeper sees it. */
struct ae_sleep_member {
    const ae_u64 *wake;                    /* the topic's wake word */
    uint64_t noted;                        /* its value in the last note */
    struct ae_sleep_member *newer, *older; /* in the order in which members last had something */
    struct ae_sleep_member *next_noted;    /* in the list of members that got a note for this sleep */
    bool quiet;                            /* see above */
    bool stale; /* `seen` may be behind the subscriber; stale members are newer than all others */
    struct ae_subscriber seen;
};

/* Zero-initialise; the lock is the owner's to initialise and destroy. */
struct ae_sleeper {
    ae_u64 control; /* a futex: raised when the sleeper has to check the set itself */
    ae_u64 wakes;   /* number of calls of ae_sleeper_wake() */
    ae_u64 kick;    /* without futex_waitv: the address of the wake word on which the sleeper sleeps, or 0 */

    pthread_mutex_t lock; /* for the members below, and for more of the owner's */
    struct ae_sleep_member *newest, *oldest;
    uint64_t wakes_taken; /* the value of `wakes` that was answered last; only the set's thread changes it */
    bool barrier_due;     /* a note has been left since the last membarrier */
    bool one_futex;       /* there is no futex_waitv */
    uint64_t notes_ns;    /* when all notes were last left again */
    uint64_t checked_ns;  /* when all members were last checked fully */
    uint64_t naps;        /* number of naps since a member had something */
    uint64_t cost_ns;     /* the CPU time of the checks before the last nap */
    struct ae_wake_entry entries[AE_WAKE_ENTRIES_MAX];
};

/* A sleep that was prepared. */
struct ae_sleep {
    struct ae_sleep_member *found; /* a member that has something, so that there is no sleep */
    struct ae_sleep_member *noted; /* the members that got a note for this sleep */
    uint64_t control, ns;
    unsigned entries;
    bool shortly; /* a publisher may not see a note: sleep only shortly */
    bool naps;    /* a publish on the topic of some member wakes no sleeper: sleep in naps */
};

/*
 * Checks all members and leaves notes. True: no member has anything; ae_sleeper_sleep() comes next. False: no sleep,
 * because of sleep->found, or, if that is NULL, of ae_sleeper_wake().
 */
bool ae_sleeper_prepare(struct ae_sleeper *s, uint64_t max_ns, struct ae_sleep *sleep);

/*
 * Sleeps until a member may have something, ae_sleeper_signal() was called, or the time is over. Releases the lock
 * meanwhile. False: a signal ended the sleep.
 */
bool ae_sleeper_sleep(struct ae_sleeper *s, const struct ae_sleep *sleep);

/* Sleeps until ae_sleeper_signal() is called, whatever members have. Releases the lock meanwhile. */
void ae_sleeper_rest(struct ae_sleeper *s);

/* Wakes the sleeper after a change that it must see. */
void ae_sleeper_signal(struct ae_sleeper *s);

/* Any thread and any signal handler: counts a wake, and wakes the sleeper. */
void ae_sleeper_wake(struct ae_sleeper *s);

/* Has ae_sleeper_wake() been called since it was last taken? */
static inline bool ae_sleeper_wake_pending(const struct ae_sleeper *s) {
    /* Z8: after `control`. */
    return ae_load_acquire(&s->wakes) != s->wakes_taken;
}

/* Only the set's thread: takes all wakes up to now. False: there are none. */
bool ae_sleeper_take_wake(struct ae_sleeper *s);

/* Makes the subscriber a member. Its log stays mapped until ae_sleeper_leave() or ae_sleeper_replace(). */
void ae_sleeper_enter(struct ae_sleeper *s, struct ae_sleep_member *m, const struct ae_subscriber *subscriber);

/* The subscriber has another mapping from now on. After the lock is released, no thread reads the former one. */
void ae_sleeper_replace(struct ae_sleeper *s, struct ae_sleep_member *m, const struct ae_subscriber *subscriber);

void ae_sleeper_leave(struct ae_sleeper *s, struct ae_sleep_member *m);

/*
 * The member has something. Moves it to the front, so that a publish on its topic wakes the sleeper. The program is
 * about to receive from it, so `seen` becomes stale.
 */
void ae_sleeper_touch(struct ae_sleeper *s, struct ae_sleep_member *m);

/* Z4 acquire, pairs Z3 (wake): after the raised word the message before it is visible. */
static inline bool ae_sleep_member_quiet(const struct ae_sleep_member *m) {
    return m->quiet && ae_load_acquire(m->wake) == m->noted;
}

#endif
