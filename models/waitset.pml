/* SPDX-License-Identifier: Apache-2.0 */
/*
 * waitset.pml - one helper thread sleeps on several topics, for a program that only acts when a descriptor is readable.
 *
 * Covers what waitset.c adds to wait.pml: Z2 for several topics with one membarrier, members that stay quiet from one
 * sleep to the next, and the handshake between the helper and the set's thread (Z7, Z8, the lock, the descriptor). Two
 * topics with a publisher each, which has a store buffer; M messages a publisher.
 *
 *   committed[t]      messages that are visible;  buffered[t]: committed, still in the store buffer of t's publisher
 *   wake[t], want[t]  the topic's words; wake begins with 1
 *   next[t], seen[t]  received by the set's thread; the same, as far as the helper knows
 *   noted[t], quiet[t]  the helper's note, and that nothing is newer than it
 *   lock              held by a thread; what is under it changes only so
 *   asleep, idle      the helper is in futex_waitv, with control and the topics in on[t]; or waits on control alone
 *   excuses           ghost: how often the helper may come to the end of a bounded sleep although there is a message,
 *                     which takes the death of a publisher between commit and wake
 * Sleeps have no end here unless nothing else can happen (`timeout`). Then the helper must have an excuse.
 * DEATH: publisher 0 may die at any step. LATER: topic 1 becomes a member only after the set was armed. OTHER: aetherd
 * raises the wake word of topic 0 once.
 *
 * Mutants:
 *   NOBARRIER     the helper does without membarrier
 *   BARRIERFIRST  membarrier comes between the first note and the second
 *   LOOKFIRST     the helper looks only before it leaves notes
 *   QUIETEARLY    a member is quiet from its note on, whatever the look afterwards finds
 *   CONTROLLATE   the helper loads control when it has released the lock
 *   NOSIGNAL      arming doesn't raise control
 *   WATCHIDLE     the helper says that it watches also while it waits to be armed
 *   CLEARLATE     the descriptor is made unreadable after the lock was released
 *   ADDQUIETLY    adding a member doesn't raise control (with LATER)
 */
#define NT 2

byte committed[NT], wake[NT], want[NT], next[NT], seen[NT], noted[NT];
byte control = 0, excuses = 0, running = NT;
bool buffered[NT], quiet[NT], fresh[NT], on[NT], member[NT];
bool lock = false, armed = false, watching = false, readable = false, stop = false, asleep = false, idle = false;

#define LOCK                                                                                                           \
    atomic {                                                                                                           \
        !lock -> lock = true                                                                                           \
    }
#define UNLOCK lock = false
#define DRAIN(t)                                                                                                       \
    if                                                                                                                 \
    :: buffered[t] -> committed[t]++; buffered[t] = false                                                              \
    :: else                                                                                                            \
    fi
#define FUTEX_WAKE(t)                                                                                                  \
    atomic {                                                                                                           \
        if                                                                                                             \
        :: on[t] -> asleep = false                                                                                     \
        :: else                                                                                                        \
        fi                                                                                                             \
    }
#define SIGNAL                                                                                                         \
    control++;                                                                                                         \
    atomic {                                                                                                           \
        asleep = false;                                                                                                \
        idle = false                                                                                                   \
    }
#ifdef DEATH
#define MAY_DIE(t)                                                                                                     \
    if                                                                                                                 \
    :: t == 0 -> atomic { excuses++; goto out }                                                                        \
    :: true                                                                                                            \
    fi
#else
#define MAY_DIE(t) skip
#endif

proctype Publisher(byte t) {
    byte i = 0, copy = 1, v, w;

    do
    :: i < M ->
        buffered[t] = true; /* W2: the commit is in the store buffer */
        if
        :: atomic { DRAIN(t) }
        :: true
        fi;
        MAY_DIE(t);
        v = want[t]; /* Z1 */
        if
        :: v >= copy ->
            w = wake[t];
            if
            :: v == w ->
                atomic { DRAIN(t); wake[t]++; copy = w + 1 }; /* a locked instruction */
                MAY_DIE(t);
                FUTEX_WAKE(t)
            :: v < w -> copy = w
            :: v > w -> skip
            fi
        :: else
        fi;
        atomic { DRAIN(t); v = 0; w = 0; i++ }
    :: i == M -> break
    od;
out:
    atomic { DRAIN(t); running-- }
}

proctype Helper() {
    byte c, t;
    bool found;

    LOCK;
    do
    :: stop -> break
    :: !stop && !armed ->
        c = control;
#ifdef WATCHIDLE
        watching = true;
#endif
        UNLOCK;
        atomic { /* FUTEX_WAIT(control, c) */
            if
            :: control == c -> idle = true
            :: else
            fi
        };
        !idle;
        LOCK
    :: !stop && armed ->
        watching = true;
        found = false;
        c = control; /* Z8 */
        t = 0;
        do /* check_and_leave_notes() */
        :: t < NT && !found && (!member[t] || (quiet[t] && wake[t] == noted[t])) -> t++
        :: t < NT && !found && member[t] && !(quiet[t] && wake[t] == noted[t]) ->
            quiet[t] = false;
            if
            :: seen[t] < committed[t] -> found = true
            :: else ->
                noted[t] = wake[t];
                want[t] = noted[t];
                fresh[t] = true;
#ifdef QUIETEARLY
                quiet[t] = true;
#endif
                t++
            fi;
#ifdef BARRIERFIRST
            if
            :: t == 1 -> atomic { DRAIN(0); DRAIN(1) }
            :: else
            fi
#endif
        :: found || t == NT -> break
        od;
#ifndef NOBARRIER
#ifndef BARRIERFIRST
        atomic { DRAIN(0); DRAIN(1) }; /* Z2 */
#endif
#endif
        t = 0;
        do /* check_noted() */
        :: t < NT && !(fresh[t] && !found) -> t++
        :: t < NT && fresh[t] && !found ->
            if
#ifndef LOOKFIRST
            :: seen[t] < committed[t] -> found = true
            :: else ->
#else
            :: true ->
#endif
                quiet[t] = true; t++
            fi
        :: t == NT -> break
        od;
        atomic { fresh[0] = false; fresh[1] = false; t = 0 };
        if
        :: !found ->
            atomic { on[0] = member[0]; on[1] = member[1] };
            UNLOCK;
#ifdef CONTROLLATE
            c = control;
#endif
            atomic { /* futex_waitv */
                if
                :: control == c && (!on[0] || wake[0] == noted[0]) && (!on[1] || wake[1] == noted[1]) -> asleep = true
                :: else
                fi
            };
            if
            :: !asleep
            :: atomic {
                   timeout -> /* nothing else can happen: the end of the bounded sleep */
                   if
                   :: asleep && armed && (next[0] < committed[0] || (member[1] && next[1] < committed[1])) ->
                       assert(excuses > 0);
                       excuses--
                   :: else
                   fi;
                   asleep = false;
                   quiet[0] = false; /* and then everything is looked at closely */
                   quiet[1] = false
               }
            fi;
            atomic { on[0] = false; on[1] = false };
            LOCK
        :: else
        fi;
        watching = false;
        if
        :: armed && found -> armed = false; readable = true
        :: else
        fi;
        c = 0
    od;
    UNLOCK
}

/* The set's thread: it does nothing unless the descriptor is readable. */
proctype Loop() {
    byte t;
    bool found;
#ifdef LATER
    bool added = false;
#endif

    readable = true; /* so that it arms */
    do
    :: readable ->
        do /* aether_waitset_next(set, &ready, 0) until it returns 0 */
        :: found = false;
            LOCK;
            t = 0;
            do
            :: t < NT && (!member[t] || (quiet[t] && wake[t] == noted[t]) || next[t] == committed[t]) -> t++
            :: t < NT && member[t] && !(quiet[t] && wake[t] == noted[t]) && next[t] < committed[t] ->
                found = true;
                quiet[t] = false;
                next[t]++
            :: t == NT -> break
            od;
            UNLOCK;
            if
            :: !found -> break
            :: found
            fi
        od;
        LOCK; /* arm() */
        seen[0] = next[0];
        seen[1] = next[1];
#ifndef CLEARLATE
        readable = false;
#endif
        armed = true;
        if
        :: !watching ->
#ifndef NOSIGNAL
            SIGNAL
#else
            skip
#endif
        :: watching
        fi;
        UNLOCK;
#ifdef CLEARLATE
        readable = false;
#endif
        t = 0
#ifdef LATER
    :: !added ->
        LOCK;
        member[1] = true;
        added = true;
#ifndef ADDQUIETLY
        SIGNAL;
#endif
        UNLOCK
#endif
    :: !readable && running == 0 && next[0] == committed[0] && next[1] == committed[1] -> break
    od;
    LOCK;
    stop = true;
    SIGNAL;
    UNLOCK
}

#ifdef OTHER
proctype Daemon() {
    wake[0]++;
    FUTEX_WAKE(0)
}
#endif

init {
    atomic {
        wake[0] = 1;
        wake[1] = 1;
        member[0] = true;
#ifndef LATER
        member[1] = true;
#endif
        run Publisher(0);
        run Publisher(1);
        run Helper();
        run Loop();
#ifdef OTHER
        run Daemon();
#endif
    }
}
