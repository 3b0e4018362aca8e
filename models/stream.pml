/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream.pml - the end of the stream: what a subscriber concludes from `open`, `died` and `joins`, and that it wakes
 * for it.
 *
 * Covers ae_stream_block of docs/layout.md: publishers of one record one after another, each closes or dies at any
 * step, also before it has published anything; aetherd admits them, proves their death, is itself killed at any step,
 * and its successor adopts what it finds. Memory is sequentially consistent; a publisher's last commit and the
 * clearing of its bit are two steps.
 *
 *   committed         messages that are committed (they are never overrun here)
 *   open, died, joins the words of the stream block, for one record
 *   wake              the wake word; asleep: the subscriber is in FUTEX_WAIT
 *   grant             the record in aetherd's registry: LIVE or not; alive: the publisher's token is locked
 *   ends, last_died   ghost: how often `open` was cleared, and whether the last time it was after a death
 * Shown: CLOSED and DIED are reported only after all that was committed when `open` was clear has been received; DIED
 * is never reported as CLOSED or the other way round; the last end is always reported, without the end of a bounded
 * sleep unless a publisher or aetherd died before it could wake.
 * G publishers, M messages each, K deaths of aetherd.
 *
 * Mutants:
 *   TAGONCE       the subscriber doesn't look at the tag again after it has seen `open` clear
 *   CLOSEFIRST    the publisher clears its bit before its last commit
 *   NOWAKE        the publisher doesn't wake after it has cleared its bit
 *   OPENFIRST     aetherd clears `open` before it sets `died`
 *   DIEDFIRST     aetherd clears `died` before it sets `open` (then a death looks like a close in between)
 *   JOINSFIRST    aetherd raises `joins` before it sets `open` (then nobody yet looks like a close in between)
 *   LOOKONCE      the subscriber doesn't look at the words a second time (`died`, `joins`, then `open`)
 *   NOADOPT       the adopting aetherd doesn't look after grants whose publisher is dead
 *   GRANTLAST     aetherd sets `open` before the grant is LIVE, and the adopting one goes by the grants alone
 */
byte committed = 0, joins = 0, wake = 1, ends = 0, excuses = 0, admitted = 0;
bool open = false, died = false, grant = false, alive = false, last_died = false, over = false, asleep = false;

#define WAKE                                                                                                           \
    atomic {                                                                                                           \
        wake++;                                                                                                        \
        asleep = false                                                                                                 \
    }
#define ENDED(how)                                                                                                     \
    atomic {                                                                                                           \
        open = false;                                                                                                  \
        ends = ends + (joins > 0 -> 1 : 0); /* else nobody has been there yet */                                       \
        last_died = how                                                                                                \
    }
#define MAY_DIE                                                                                                        \
    if                                                                                                                 \
    :: goto dead                                                                                                       \
    :: true                                                                                                            \
    fi

proctype Publisher() {
    byte i = 0;

    do
    :: i < M ->
        MAY_DIE;
#ifdef CLOSEFIRST
        if
        :: i == M - 1 -> ENDED(false)
        :: else
        fi;
#endif
        atomic {
            committed++;
            assert(open) /* who sees the bit clear has seen every commit */
        };
        if
        :: WAKE
        :: goto dead
        fi;
        i++
    :: i == M -> break
    :: break
    od;
    MAY_DIE;
#ifdef CLOSEFIRST
    if
    :: open -> ENDED(false)
    :: else
    fi;
#else
    ENDED(false); /* fetch_and, acq_rel, after its last commit */
#endif
#ifndef NOWAKE
    MAY_DIE;
    WAKE;
#endif
    alive = false;
    goto out;
dead:
    atomic { alive = false; excuses++ };
out:
    skip
}

#define MAY_CRASH                                                                                                      \
    if                                                                                                                 \
    :: crashes < K -> crashes++; goto adopt                                                                            \
    :: true                                                                                                            \
    fi

proctype Daemon() {
    byte crashes = 0;

admit:
    /* The record is free. */
    if
    :: admitted == G -> goto out
    :: admitted < G -> admitted++
    fi;
    MAY_CRASH;
#ifndef GRANTLAST
    grant = true;
    MAY_CRASH;
#endif
#ifdef DIEDFIRST
    died = false;
    MAY_CRASH;
#endif
#ifdef JOINSFIRST
    joins++;
    MAY_CRASH;
#endif
    open = true;
#ifndef JOINSFIRST
    MAY_CRASH;
    joins++;
#endif
#ifndef DIEDFIRST
    MAY_CRASH;
    died = false;
#endif
#ifdef GRANTLAST
    MAY_CRASH;
    grant = true;
#endif
    MAY_CRASH;
    atomic { alive = true; run Publisher() }; /* the reply */

serve:
    if
    :: !alive
    :: crashes < K -> crashes++; goto adopt
    fi;
reap:
    /* Proof of death, or the publisher's own word; a client without a reply gives the grant back in the same way. */

    if
    :: open ->
#ifdef OPENFIRST
        ENDED(true);
        MAY_CRASH;
        died = true;
#else
        died = true;
        MAY_CRASH;
        ENDED(true);
#endif
        MAY_CRASH;
        WAKE
    :: else
    fi;
    MAY_CRASH;
    grant = false;
    goto admit;

adopt:
    excuses++; /* whatever it had still to wake sleeps to the end of its bounded sleep */
#ifdef NOADOPT
    if
    :: grant && alive -> goto serve
    :: else -> grant = false; goto admit
    fi;
#endif
    if
    :: grant && alive -> goto serve
    :: grant && !alive -> goto reap
    :: !grant -> goto admit
    fi;

out:
    over = true
}

proctype Subscriber() {
    byte next = 0, reported = 0, w, k, e, j1, j2;
    bool o1, o2, d1, d2, how, how2;

    do
    :: next < committed -> next++
    :: next == committed ->
        w = wake; /* before all looks: a wake after this keeps FUTEX_WAIT from sleeping */
        /* aether_subscriber_stream(): the words, the tag, the words again. */
        j1 = joins;
        d1 = died;
        atomic { o1 = open; k = committed; e = ends; how = last_died };
        if
        :: o1 || j1 == 0 -> goto sleep
        :: else
        fi;
#ifndef TAGONCE
        if
        :: next < committed -> goto again
        :: next == committed
        fi;
#endif
        how2 = how;
#ifndef LOOKONCE
        d2 = died;
        j2 = joins;
        atomic { o2 = open; how2 = last_died };
        if
        :: o2 != o1 || d2 != d1 || j2 != j1 -> goto again /* something goes on: OPEN for now */
        :: else
        fi;
#endif
        assert(next >= k);
        assert(e > 0 && (d1 == how || d1 == how2)); /* right at the first or at the second look */
        reported = e;
sleep:
        if
        :: next < committed -> goto again
        :: over && reported == ends && next == committed -> break
        :: else
        fi;
        atomic { /* FUTEX_WAIT(wake, w) */
            if
            :: wake == w && !(over && reported == ends) -> asleep = true
            :: else
            fi
        };
        if
        :: !asleep
        :: atomic {
               timeout -> /* the end of a bounded sleep */
               if
               :: asleep && (next < committed || reported < ends) -> assert(excuses > 0); excuses--
               :: asleep && over -> assert(!open) /* the stream never ends */
               :: else
               fi;
               asleep = false
           }
        fi;
again:
        atomic {
            w = 0; k = 0; e = 0; j1 = 0; j2 = 0; o1 = false; o2 = false; d1 = false; d2 = false; how = false;
            how2 = false
        }
    od
}

init {
    atomic { run Daemon(); run Subscriber() }
}
