/* SPDX-License-Identifier: Apache-2.0 */
/*
 * evict.pml - publishers evict a slow reliable subscriber; its record goes from owner to owner.
 *
 * Covers E1 to E5 of docs/memory-model.md and the eviction word of docs/layout.md. One cursor record with G owners,
 * NP publishers (today's topics have one at a time; two show that the protocol doesn't depend on that), C slots, M
 * messages a publisher, N receive calls an owner. Memory is sequentially consistent; claims are atomic.
 *
 *   word_gen, word_ev   evict[r], ONE word (generation, evicted): aetherd stores (2g, 0) when it admits owner g, and
 *                       (2g + 1, 0) when it retires one that isn't evicted; publishers exchange (n, 0) for (n, 1)
 *   active_bit, cursor  the record. The bit is set by the owner, and cleared when it leaves
 *   claim, tag[], pa[], pb[]   the ring: tag BUSY(seq) or COMMITTED(seq), two payload words
 *   cursor_gen          ghost: the generation whose cursor lies in `cursor`
 *   settled             ghost: aetherd has retired the owner and counts whether it was evicted
 * Shown: a publisher evicts nobody but the owner whose cursor it looked at, and nobody after the retirement; a reader
 * that is lapped finds that the word already says so; it never takes a torn message; delivered + lost = advanced.
 *
 * Mutants:
 *   NOGEN        the word has no generation
 *   CURFIRST     the publisher loads the cursor before the word (no E2)
 *   WORDFIRST    aetherd stores the word before the cursor (no E1, release). Needs BITSFIRST: while the publisher
 *                loads the bit after the word, J3-F3 alone keeps the old cursor from it. Needs KEEPWORD, as BITSFIRST
 *                is a mutant without it; `settled` is off
 *   DAEMONLATE   aetherd stores the word after the new owner was admitted
 *   PLAINEV      the publisher evicts with a plain store
 *   LATECAS      the publisher overwrites first and evicts then (no E3)
 *   IGNORELAG    the publisher passes over a slow cursor without evicting it
 *   NOVALID      the reader takes its copy without another look at the tag
 *   NOFENCE      the joiner loads the claim before its bit is visible (no J1)
 *   KEEPWORD     aetherd leaves the word as it is when it retires an owner (no E5)
 *   RAISEFIRST   aetherd raises the word before it clears the bit
 *   BITSFIRST    the publisher loads `active` once, before the words: with the raised word comes an old bit
 */
#define BUSY(seq) (2 * ((seq) + 1))
#define COMMITTED(seq) (2 * ((seq) + 1) + 1)
#define C 2
#define EVICT_LAG 2

byte word_gen = 0, cursor = 0, claim = 0, cursor_gen = 0;
bool word_ev = false, active_bit = false, settled = false;
byte tag[C], pa[C], pb[C];

proctype Publisher() {
    byte count = 0, c, cg, g, limit, s;
    bool a, e, won;

again:
    atomic { c = 0; cg = 0; g = 0; s = 0; a = false; e = false; won = false };
    if
    :: count == M -> goto out
    :: count < M
    fi;
    s = claim;
    if
    :: s < limit
    :: s >= limit ->
        /* ae_publisher_scan(): the scan. */
#ifdef CURFIRST
        atomic { c = cursor; cg = cursor_gen };
        atomic { g = word_gen; e = word_ev };
        a = active_bit;
#else
#ifdef BITSFIRST
        a = active_bit;
#endif
        atomic { g = word_gen; e = word_ev }; /* E2 acquire */
#ifndef BITSFIRST
        a = active_bit;
#endif
        atomic { c = cursor; cg = cursor_gen };
#endif
        if
        :: a && !e && c < s ->
            if
            :: s - c >= EVICT_LAG ->
#ifdef IGNORELAG
                goto room;
#endif
#ifdef LATECAS
                goto room;
#endif
                if
                :: goto again /* AETHER_FULL: the caller gives up for now */
                :: atomic { /* E3 acq_rel: only the owner whose cursor was looked at may be hit */
                       if
#ifdef PLAINEV
                       :: true ->
#else
#ifdef NOGEN
                       :: !word_ev ->
#else
                       :: word_gen == g && !word_ev ->
#endif
#endif
                          assert(!settled);
                          assert(word_gen == cg);
                          word_gen = g;
                          word_ev = true
                       :: else
                       fi
                   }
                fi;
                goto again /* in any case another scan: only what the word says then counts */
            :: else -> limit = c + C
            fi
        :: else ->
room:       limit = s + C
        fi
    fi;
    atomic {
        if
        :: claim == s -> claim = s + 1; won = true
        :: else
        fi
    };
    if
    :: !won -> goto again
    :: won
    fi;
    (s < C || tag[s % C] == COMMITTED(s - C)); /* another publisher still writes there: waits */
    tag[s % C] = BUSY(s);
    pa[s % C] = s + 1;
    pb[s % C] = s + 1;
    tag[s % C] = COMMITTED(s);
    count++;
#ifdef LATECAS
    atomic {
        if
        :: a && !e && c < s && s - c >= EVICT_LAG && word_gen == g && !word_ev -> word_ev = true
        :: else
        fi
    };
#endif
    goto again;
out:
    skip
}

/* One owner after the other. aetherd's part is written here too: its reply orders it before the owner's. */
proctype Subscriber() {
    byte g = 0, J, delivered, lost, n, next, t, x, y;
    bool gone;

admit:
    atomic { J = 0; delivered = 0; lost = 0; n = 0; next = 0; t = 0; x = 0; y = 0; gone = false };
    if
    :: g == G -> goto out
    :: g < G -> g++
    fi;
#ifdef WORDFIRST
    atomic { word_gen = 2 * g; word_ev = false; settled = false };
#endif
    x = claim;
    atomic { cursor = x; cursor_gen = 2 * g };
#if !defined(WORDFIRST) && !defined(DAEMONLATE)
    atomic { word_gen = 2 * g; word_ev = false; settled = false }; /* E1 release: a word of this generation comes with its cursor */
#endif
    /* join_reliable() */
#ifdef NOFENCE
    J = claim;
    active_bit = true;
#else
    active_bit = true; /* J3, J1 */
    J = claim;
#endif
    next = J;
    cursor = next;
#ifdef DAEMONLATE
    atomic { word_gen = 2 * g; word_ev = false; settled = false };
#endif
    do
    :: n < N ->
        n++;
        t = tag[next % C]; /* R1 */
        if
        :: t == COMMITTED(next) ->
            x = pa[next % C];
            y = pb[next % C];
#ifndef NOVALID
            t = tag[next % C]; /* V1 */
#endif
            if
            :: t == COMMITTED(next) ->
                assert(x == next + 1 && y == next + 1);
                delivered++;
                next++;
                if
                :: cursor = next
                :: true
                fi
            :: t != COMMITTED(next) -> goto gap
            fi
        :: t > COMMITTED(next) ->
gap:
            atomic { gone = (word_gen == 2 * g && word_ev) };
            assert(gone); /* lapped: the word already says so */
            x = claim;
            x = (x > C -> x - C : 0);
            x = (x > next -> x : next + 1);
            lost = lost + (x - next);
            next = x
        :: t < COMMITTED(next) -> cursor = next
        fi;
        atomic { t = 0; x = 0; y = 0 }
    :: break
    od;
    assert(delivered + lost == next - J);
#ifndef RAISEFIRST
    active_bit = false; /* F4: leaves; or aetherd does it after proof of death */
#endif
    atomic { /* E5 acq_rel: after it no publisher evicts, so aetherd can count */
#ifndef KEEPWORD
        if
        :: !word_ev -> word_gen = 2 * g + 1
        :: else
        fi;
#endif
#ifndef WORDFIRST
        settled = true
#else
        skip
#endif
    };
    active_bit = false;
    goto admit;
out:
    skip
}

init {
    byte i;

    atomic {
        do
        :: i < NP -> run Publisher(); i++
        :: else -> break
        od;
        run Subscriber()
    }
}
