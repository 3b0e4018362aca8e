/* SPDX-License-Identifier: Apache-2.0 */
/*
 * join.pml - a reliable subscriber joins, reads and leaves while the publisher goes on with a limit that it computed
 * before.
 *
 * Covers F1-F4, J1-J3 and C1 of docs/memory-model.md. A slot is only a number here: writing message `next` destroys
 * message next - C. The stores of both sides go through explicit store buffers, as on x86: a store becomes visible at
 * any time after it was executed, in the order of its process, and at the latest at a fence. So J1 and J2 are needed
 * here as they are there.
 *
 *   claim      the claim word, stored by the publisher after each commit, if it likes, and in each refresh
 *   active_bit the subscriber's bit
 *   cursor     its cursor. It begins with AHEAD, which a faulty owner of the record left there: it holds nobody back
 *   next, limit            private to the publisher
 *   buf_claim, buf_full    store buffer of the publisher
 *   buf_cursor, buf_bit    store buffer of the subscriber: the cursor and, after it, the bit
 *   position   ghost: the message that the subscriber looks at. While `joined`, nothing from here on may be destroyed
 *
 * Mutants:
 *   NOJ1           no fence between the subscriber's bit and its load of the claim
 *   NOJ2           no fence between the publisher's claim and its scan of the cursors
 *   NOCLAIM        the refresh doesn't store the claim; the limit comes from the private next
 *   CURSOREARLY    the cursor is stored before the last look at the message (no F1)
 *   LEAVEEARLY     the bit is cleared before the last look (no F4)
 * Not a mutant:
 *   BITFIRST       the bit becomes visible before the cursor (no J3): still clean, see README.md
 */
#define C 2
#define AHEAD 100

byte claim = 0, cursor = AHEAD, buf_claim = 0, buf_cursor = 0, position = 0;
bool active_bit = false, buf_full = false, buf_bit = false, buf_has_cursor = false, joined = false;

#define DRAIN_PUBLISHER                                                                                                \
    atomic {                                                                                                           \
        if                                                                                                             \
        :: buf_full -> claim = buf_claim; buf_full = false                                                             \
        :: else                                                                                                        \
        fi                                                                                                             \
    }
#define DRAIN_CURSOR                                                                                                   \
    atomic {                                                                                                           \
        if                                                                                                             \
        :: buf_has_cursor -> cursor = buf_cursor; buf_has_cursor = false                                               \
        :: else                                                                                                        \
        fi                                                                                                             \
    }
#define DRAIN_BIT                                                                                                      \
    atomic {                                                                                                           \
        if                                                                                                             \
        :: buf_bit -> active_bit = true; buf_bit = false                                                               \
        :: else                                                                                                        \
        fi                                                                                                             \
    }
#ifdef BITFIRST
#define DRAIN_SUBSCRIBER DRAIN_BIT; DRAIN_CURSOR
#else
#define DRAIN_SUBSCRIBER DRAIN_CURSOR; DRAIN_BIT
#endif

active proctype Publisher() {
    byte next = 0, limit = 0, lag;

    do
    :: next == M -> break
    :: next < M ->
        if
        :: next == limit ->
            /* ae_publisher_scan() */
#ifndef NOCLAIM
            DRAIN_PUBLISHER;
            atomic { buf_claim = next; buf_full = true };
#endif
#ifndef NOJ2
            DRAIN_PUBLISHER; /* J2 */
#endif
            lag = 0;
            if
            :: active_bit -> /* F3 */
                lag = (cursor < next -> next - cursor : 0); /* F2 */
                lag = (lag < C -> lag : C)
            :: !active_bit
            fi;
            limit = next + C - lag
        :: next < limit ->
            /* ae_write_slot(): visible after all stores before it, and before the claim of the next publish. */
            atomic {
                if
                :: buf_full -> claim = buf_claim; buf_full = false
                :: else
                fi;
                assert(!joined || next < C || position > next - C)
            };
            next++;
            if
            :: DRAIN_PUBLISHER; atomic { buf_claim = next; buf_full = true } /* the claim word */
            :: true                                                          /* or not yet */
            fi;
            if
            :: DRAIN_PUBLISHER
            :: true
            fi
        fi
    od;
end:
    false /* FULL may stay FULL once the subscriber has stopped reading */
}

active proctype Subscriber() {
    byte c;

    c = claim;
    atomic { buf_cursor = c; buf_has_cursor = true };
    if
    :: DRAIN_SUBSCRIBER
    :: true
    fi;
    buf_bit = true; /* J3 */
    if
    :: DRAIN_SUBSCRIBER
    :: true
    fi;
#ifndef NOJ1
    DRAIN_SUBSCRIBER; /* J1 */
#endif
    atomic { c = claim; position = c; joined = true }; /* J */
    DRAIN_SUBSCRIBER;
    cursor = c;
    do
    :: c < claim ->
#ifdef CURSOREARLY
        cursor = c + 1;
#endif
        c++;
        position = c; /* the last look at the message */
        if
        :: cursor = c /* F1 */
        :: true       /* or later: once a batch */
        fi
    :: cursor = c;
       break
    od;
#ifdef LEAVEEARLY
    active_bit = false;
#endif
    joined = false; /* the last look at the ring */
    active_bit = false  /* F4 */
}
