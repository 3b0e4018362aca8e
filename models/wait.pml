/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wait.pml - subscribers sleep on a futex, publishers wake them, without a fence on the publishers' side.
 *
 * Covers Z1 and Z2 of docs/memory-model.md: the publisher's commit and then its plain load of `want`, against the
 * sleeper's store of `want`, membarrier, and its last look at the tag. NP publishers, each with a store buffer that
 * holds its commit for any time; two sleepers; M messages a publisher.
 *
 *   committed        messages that are visible;  buffered[p]: committed by p, still in its store buffer
 *   wake, want       the topic's words; wake begins with 1
 *   unfenced         bits of publishers that membarrier doesn't reach
 *   asleep[s]        s is in FUTEX_WAIT
 *   copy             private to a publisher: the wake word as last seen
 *   excuses          ghost: how often a sleeper may come to the end of a bounded sleep although there is a message,
 *                    which takes the death of a publisher between commit and wake, or a lie in `want`
 * Sleeps have no end here unless nothing else can happen (`timeout`). Then the sleeper must have an excuse, or have
 * slept short because of `unfenced`: whatever else lets a message lie is a lost wake, and an assertion fails.
 * DEATH: publisher 0 may die at any step. LIAR: somebody stores any value in `want`. UNREACHED: publisher 0 can't be
 * reached
 * by membarrier and says so when it opens.
 * OTHER: aetherd raises the wake word once (as after a death). PACED: a message comes only when both have received
 * the last one.
 *
 * Mutants:
 *   NOMEMBARRIER    the sleeper does without
 *   TAGFIRST        the sleeper looks at the tag before it stores `want`, and not after it
 *   PLAINWANT       `want` is stored plainly, not exchanged
 *   MAXWANT         want = max(want, w): a value ahead stays (with LIAR and PACED)
 *   WANTFIRST       the publisher loads `want` before its commit (no compiler barrier)
 *   EQUALCOPY       it compares `want` for equality with its copy, which may be old
 *   NOFLAG          an unreached publisher doesn't say so (with UNREACHED)
 *   FLAGFIRST       the sleeper loads `unfenced` before it stores `want` (with UNREACHED)
 *   FLAGPLAIN       the publisher's flag waits in its store buffer while it goes on (with UNREACHED)
 */
#define NS 2

byte committed = 0, wake = 1, want = 0, excuses = 0, running = 0;
byte received[NS];
bool buffered[NP], asleep[NS], unfenced = false, registered[NP];
#ifdef FLAGPLAIN
bool flag_buffered = false;
#endif

#define DRAIN(p)                                                                                                       \
    atomic {                                                                                                           \
        if                                                                                                             \
        :: buffered[p] -> committed++; buffered[p] = false                                                             \
        :: else                                                                                                        \
        fi                                                                                                             \
    }
#define FUTEX_WAKE_ALL                                                                                                 \
    atomic {                                                                                                           \
        asleep[0] = false;                                                                                             \
        asleep[1] = false                                                                                              \
    }
#ifdef DEATH
#define MAY_DIE(p)                                                                                                     \
    if                                                                                                                 \
    :: p == 0 -> atomic { excuses = NS; goto out }                                                                     \
    :: true                                                                                                            \
    fi
#else
#define MAY_DIE(p) skip
#endif

proctype Publisher(byte p) {
    byte i = 0, copy, v, w;

#ifdef UNREACHED
    if
    :: p == 0 ->
#ifdef FLAGPLAIN
        flag_buffered = true
#else
#ifndef NOFLAG
        unfenced = true /* fetch_or: a full barrier */
#else
        skip
#endif
#endif
    :: else -> registered[p] = true
    fi;
#else
    registered[p] = true;
#endif
    copy = wake;
    do
    :: i < M ->
#ifdef PACED
        (received[0] == committed && received[1] == committed);
#endif
#ifdef WANTFIRST
        v = want;
#endif
        buffered[p] = true; /* W2: the commit is in the store buffer */
        if
        :: DRAIN(p)
        :: true
        fi;
        MAY_DIE(p);
#ifndef WANTFIRST
        v = want; /* Z1 */
#endif
        if
#ifdef EQUALCOPY
        :: v == copy ->
#else
        :: v >= copy ->
#endif
            /* aether_detail_wake() */
            w = wake;
            if
            :: v == w ->
                atomic { DRAIN(p); wake++; copy = w + 1 }; /* a locked instruction */
                MAY_DIE(p);
                FUTEX_WAKE_ALL
            :: v < w -> copy = w /* whoever wanted that was woken by another publisher */
            :: v > w -> skip     /* a lie */
            fi
        :: else
        fi;
        DRAIN(p); /* sooner or later; the next message doesn't find it buffered */
#ifdef FLAGPLAIN
        if
        :: flag_buffered -> unfenced = true; flag_buffered = false
        :: else
        fi;
#endif
        v = 0;
        w = 0;
        i++
    :: i == M -> break
    od;
out:
    atomic { DRAIN(p); running-- }
}

proctype Sleeper(byte s) {
    byte next = 0, w, v, q;
    bool shortly;

    do
    :: atomic {
            next < committed -> next++;
#ifdef PACED
            received[s] = next
#endif
        }
    :: next == committed && running == 0 -> break
    :: next == committed && running > 0 ->
        /* aether_wait(): about to sleep */
#ifdef TAGFIRST
        if
        :: next < committed -> goto again
        :: next == committed
        fi;
#endif
#ifdef FLAGFIRST
        shortly = unfenced;
#endif
reread:
        w = wake;
#ifdef PLAINWANT
        want = w;
#else
        v = want;
        if
        :: v > w ->
            q = w;
            w = wake; /* ahead: the wake word has gone on since, or somebody lies */
#ifdef MAXWANT
            goto noted;
#endif
            if
            :: w != q -> goto reread
            :: w == q
            fi
        :: v <= w
        fi;
        atomic {
            if
            :: want == v -> want = w
            :: else -> goto reread
            fi
        };
#ifdef MAXWANT
noted:
#endif
#endif
#ifndef NOMEMBARRIER
        atomic { /* Z2 */
            q = 0;
            do
            :: q < NP && registered[q] -> DRAIN(q); q++
            :: q < NP && !registered[q] -> q++
            :: q == NP -> break
            od;
            q = 0
        };
#endif
#ifndef FLAGFIRST
        shortly = unfenced;
#endif
#ifndef TAGFIRST
        if
        :: next < committed -> goto again
        :: next == committed
        fi;
#endif
        atomic { /* FUTEX_WAIT(wake, w) */
            if
            :: wake == w && running > 0 -> asleep[s] = true
            :: else
            fi
        };
        if
        :: !asleep[s]
        :: atomic {
               timeout -> /* nothing else can happen: the end of the bounded sleep */
               if
               :: asleep[s] && next < committed && !shortly -> assert(excuses > 0); excuses--
               :: else
               fi;
               asleep[s] = false
           }
        fi;
again:
        atomic { v = 0; w = 0; q = 0; shortly = false }
    od
}

#ifdef LIAR
proctype Liar() {
    if
    :: atomic { want = 0; excuses = excuses + NS }
    :: atomic { want = 2; excuses = excuses + NS }
    :: atomic { want = 100; excuses = excuses + NS }
    fi
}
#endif

#ifdef OTHER
proctype Daemon() {
    wake++;
    FUTEX_WAKE_ALL
}
#endif

init {
    byte i;

    atomic {
        running = NP;
        do
        :: i < NP -> run Publisher(i); i++
        :: else -> break
        od;
        run Sleeper(0);
        run Sleeper(1);
#ifdef LIAR
        run Liar();
#endif
#ifdef OTHER
        run Daemon();
#endif
        i = 0
    }
}
