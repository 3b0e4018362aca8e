/* SPDX-License-Identifier: Apache-2.0 */
/*
 * claim.pml - several publishers on one topic, without the bias: they claim by compare-and-swap, die at any step, are
 * repaired, and their records go to new ones.
 *
 * Covers P1-P6, P9, D2-D4 and T1 of docs/memory-model.md. Each publisher's stores go through a store buffer, as on x86:
 * they become visible in their order, at any time, and at the latest at a compare-and-swap, a fence, or its death.
 *
 *   claim        the claim word: end of all claims, and the record that made the last one
 *   intent[r]    WORD(first sequence, count)
 *   proved[r]    highest end of a claim that r is known to have won
 *   open         bits of the records that have a publisher, or a dead one that isn't repaired
 *   tag[], pay[] the slots;  buffer[r] the store buffer
 *   next, mine   private to a publisher: the end of its own last claim, if it has one
 *   limit        private: it may claim up to here
 *   dead         bits of the records whose publisher is dead and not repaired
 *   who[]        ghost: who may write the slot: nobody, a living publisher, or a dead one, whose slots may be aborted
 *   position     ghost: the reader's next sequence
 * NP publishers of K, KO and 1 messages, in batches of 1 or NB, C slots, D deaths, and G new publishers in records of
 * repaired ones. Records are given out in order, at any time. The repairer may be killed at any step; its successor
 * starts anew. A publisher that finds the ring full waits until nothing is outstanding; then it must find room.
 * SLEEP: the reader sleeps until it is woken. JOIN: it joins in the middle. ALONE: there is none, so only claims that
 * aren't finished hold the publishers back. OBSERVER: and a best-effort reader checks its copies (with ALONE).
 *
 * Mutants, the publisher:
 *   INTENTLATE    the intent is stored after the claim
 *   INTENTEARLY   the next intent is stored before the last commit (P4 isn't a release)
 *   CLEARFIRST    the intent is taken back before the commits
 *   TAGFIRST      the tag is stored before the payload (W2 isn't a release)
 *   NOBUSY        the tag stays as it is until the commit (no W1; with OBSERVER)
 *   COMMITDOWN    the slots of a batch are committed from the last to the first
 *   NOPROVE       proved isn't written (P3)
 *   PROVELATE     ... but after the claim
 *   PROVEPLAIN    ... stored, not raised
 *   LEAVEEARLY    the bit in open is cleared before the last commit (no T1)
 *   OPENLATE      the bit in open is set after the publisher's first claim
 *   NOINTENTS     the limit doesn't heed other publishers' intents
 *   INTENTSFIRST  the intents are loaded before the claim (P1 isn't an acquire)
 *   OPENFIRST     open is loaded before the claim
 *   CURSORFIRST   the cursor is loaded before the claim (with JOIN; no J2)
 *   TAGSHORT      of an intent that isn't finished the last slot counts, not the first that isn't finished
 * The reader:
 *   CURSOREARLY   the cursor is stored before the last look (no F1)
 *   NOJ1          no fence between bit and claim (with JOIN)
 * Repair:
 *   PROVEDFIRST   proved is loaded before the claim
 *   NOPROVED      ... not at all
 *   NOTEST        the slots of an intent are aborted whether it was won or not
 *   ABORTANY      slots are aborted without a look whether they are finished
 *   ABORTDOWN     from the last to the first
 *   CLOSEFIRST    the bit in open is cleared before the slots are aborted
 *   FREEFIRST     the record is given to a new publisher before that
 *   WAKEFIRST     the readers are woken before that
 * Not mutants, see README.md:
 *   ABORTPLAIN    slots are aborted by a plain store
 *   CLEARLATE     the intent is taken back after the commits
 */
#define NOBODY 15
#define CLAIM(seq, r) ((seq) * 16 + (r))
#define SEQ(claim) ((claim) / 16)
#define LAST(claim) ((claim) % 16)
#define WORD(seq, n) ((seq) * 4 + (n))
#define FIRST(intent) ((intent) / 4)
#define COUNT(intent) ((intent) % 4)
#define BUSY(seq) (4 * (seq) + 1)
#define COMMITTED(seq) (4 * (seq) + 2)
#define ABORTED(seq) (4 * (seq) + 3)
#define PENDING(seq) (tag[(seq) % C] < COMMITTED(seq))
#define BIT(r) (1 << (r))
#define MESSAGES (r == 0 -> K : (r == 1 -> KO : 1))
#define A_DEAD_ONE 9

/* Kinds of stores. */
#define INTENT 0
#define MARK 1
#define PAYLOAD 2
#define COMMIT 3

byte claim = CLAIM(0, NOBODY), open = 0, dead = 0, cursor = 0, position = 0;
byte tag[C], pay[C], who[C], intent[NP], proved[NP];
byte admitted = 0, running = NP, deaths = 0, reused = 0;
#ifdef SLEEP
bool asleep = false;
#define WAKE asleep = false
#else
#define WAKE skip
#endif

#if defined(ALONE)
#define JOINED true
#define ACTIVE false
#define UNREAD(seq) false
#elif defined(JOIN)
bool joined = false, active_bit = false;
#define JOINED joined
#define ACTIVE active_bit
#define UNREAD(seq) (joined && position <= (seq))
#else
#define JOINED true
#define ACTIVE true
#define UNREAD(seq) (position <= (seq))
#endif

#define OVER (running == 0 && dead == 0)
#define FINISHED (who[0] == 0 && who[1] == 0 && who[C - 2] == 0 && who[C - 1] == 0)
#define QUIET (FINISHED && JOINED && (!ACTIVE || cursor >= SEQ(claim)))

#ifdef NOBUSY
#define SET_BUSY(v) skip
#else
#define SET_BUSY(v) tag[(v) % C] = BUSY(v)
#endif
/* A store of publisher r becomes visible. */
#define APPEAR(kind, v)                                                                                                \
    if                                                                                                                 \
    :: kind == INTENT -> intent[r] = v                                                                                 \
    :: kind == MARK -> assert(who[(v) % C] == r + 1 && PENDING(v)); SET_BUSY(v)                                        \
    :: kind == PAYLOAD -> pay[(v) % C] = (v) + 1                                                                       \
    :: kind == COMMIT ->                                                                                               \
        assert(who[(v) % C] == r + 1 && PENDING(v));                                                                   \
        tag[(v) % C] = COMMITTED(v);                                                                                   \
        who[(v) % C] = 0;                                                                                              \
        WAKE                                                                                                           \
    fi

chan buffer[NP] = [4] of {byte, byte};
#define STORE(kind, v) buffer[r] ! kind, v
#define DRAINED empty(buffer[r])

proctype Buffer(byte r) {
    byte kind, v;
end:
    do
    :: atomic {
            buffer[r] ? kind, v ->
            APPEAR(kind, v);
            kind = 0;
            v = 0
        }
    od
}

#define FORGET                                                                                                         \
    w = 0; n = 0; i = 0; x = 0; hold = 0; base = 0; mask = 0; q = 0
#define CLEAR FORGET; next = 0; limit = 0; k = 0; full_at = 0; mine = false
#define MAY_DIE                                                                                                        \
    if                                                                                                                 \
    :: deaths < D -> deaths++; CLEAR; goto dies                                                                        \
    :: true                                                                                                            \
    fi

/* P5. What is won must be finished and released. */
#define CLAIM_OR(lost, expected, s)                                                                                    \
    atomic {                                                                                                           \
        DRAINED ->                                                                                                     \
        if                                                                                                             \
        :: claim == expected ->                                                                                        \
            x = s;                                                                                                     \
            do                                                                                                         \
            :: x < s + n ->                                                                                            \
                assert(who[x % C] == 0 && (x < C || !(PENDING(x - C) || UNREAD(x - C))));                              \
                who[x % C] = r + 1;                                                                                    \
                x++                                                                                                    \
            :: else -> break                                                                                           \
            od;                                                                                                        \
            next = s + n;                                                                                              \
            claim = CLAIM(next, r);                                                                                    \
            mine = true;                                                                                               \
            full_at = 0;                                                                                               \
            x = 0;                                                                                                     \
            MAY_DIE                                                                                                    \
        :: else -> lost                                                                                                \
        fi                                                                                                             \
    }

#define LOAD_CLAIM w = claim
#define LOAD_CURSOR base = (ACTIVE -> cursor : 100)
#define LOAD_OPEN mask = open & ~BIT(r); i = 0
#define SKIP_RECORDS                                                                                                   \
    do                                                                                                                 \
    :: i < NP && (mask & BIT(i)) == 0 -> i++                                                                           \
    :: else -> break                                                                                                   \
    od
#define NEXT_RECORD q = 0; x = 0; i++; SKIP_RECORDS
#define LOWER_TO(x) hold = (x < hold -> x : hold)
#ifdef INTENTSFIRST
#define NEAR(x) true
#else
#define NEAR(x) (hold <= x + C)
#endif
#ifdef TAGSHORT
#define FROM(q, x) x
#else
#define FROM(q, x) FIRST(q)
#endif
/* pending_below(): slots are finished in order, so the last one of an intent tells of all. */
#define HOLD                                                                                                           \
    do                                                                                                                 \
    :: atomic {                                                                                                        \
            i < NP && q == 0 ->                                                                                        \
            q = intent[i]; /* P6 */                                                                                    \
            x = FIRST(q) + COUNT(q) - 1;                                                                               \
            if                                                                                                         \
            :: COUNT(q) == 0 || FIRST(q) >= hold || !NEAR(x) -> NEXT_RECORD                                            \
            :: else                                                                                                    \
            fi                                                                                                         \
        }                                                                                                              \
    :: atomic {                                                                                                        \
            i < NP && q != 0 ->                                                                                        \
            if                                                                                                         \
            :: x == FIRST(q) + COUNT(q) - 1 && !PENDING(x) -> NEXT_RECORD                                              \
            :: x == FIRST(q) + COUNT(q) - 1 && PENDING(x) ->                                                           \
                if                                                                                                     \
                :: x == FROM(q, x) -> LOWER_TO(x); NEXT_RECORD                                                         \
                :: else -> x = FIRST(q)                                                                                \
                fi                                                                                                     \
            :: x < FIRST(q) + COUNT(q) - 1 ->                                                                          \
                if                                                                                                     \
                :: !PENDING(x) -> x++                                                                                  \
                :: else                                                                                                \
                fi;                                                                                                    \
                LOWER_TO(x);                                                                                           \
                NEXT_RECORD                                                                                            \
            fi                                                                                                         \
        }                                                                                                              \
    :: i == NP -> break                                                                                                \
    od

proctype Publisher(byte r) {
    byte next, limit, k, n, w, i, x, hold, base, mask, q, full_at;
    bool mine;

    atomic {
        admitted >= r ->
        admitted = (admitted > r -> admitted : r + 1);
#ifndef OPENLATE
        open = open | BIT(r);
#endif
        next = SEQ(claim); /* ae_publisher_init() */
        limit = next
    };

more:
    atomic {
        FORGET;
        if
        :: k == MESSAGES -> goto leave
        :: else
        fi;
        if
        :: n = 1
        :: NB > 1 -> n = NB
        fi;
        /* ae_claim_next() */
        if
        :: limit < next + n -> goto slow
        :: else
        fi;
#ifndef INTENTLATE
        STORE(INTENT, WORD(next, n)); /* P4 */
        MAY_DIE
#endif
    };
    CLAIM_OR(goto slow, (mine -> CLAIM(next, r) : 0), next);
    goto write;

slow:
    /* claim_shared() */
#ifdef INTENTSFIRST
    atomic { hold = 100; LOAD_OPEN; SKIP_RECORDS };
    HOLD;
    atomic { i = 0; mask = 0 };
#endif
#ifdef OPENFIRST
    LOAD_OPEN;
#endif
#ifdef CURSORFIRST
    LOAD_CURSOR;
#endif
    atomic {
        LOAD_CLAIM; /* P1 */
        if
        :: SEQ(w) + n <= limit -> goto claims
        :: else
        fi
    };
    /* ae_publisher_scan() */
    DRAINED; /* J2 */
#ifdef INTENTSFIRST
    LOWER_TO(SEQ(w));
#else
    atomic {
        hold = SEQ(w);
#ifndef OPENFIRST
        LOAD_OPEN; /* P9 */
#endif
        SKIP_RECORDS
    };
#ifndef NOINTENTS
    HOLD;
#endif
#endif
    atomic {
#ifndef CURSORFIRST
        LOAD_CURSOR; /* F2, F3 */
#endif
        LOWER_TO(base);
        limit = (hold + C > next -> hold + C : next);
        i = 0; mask = 0; hold = 0; base = 0;
        if
        :: SEQ(w) + n <= limit -> goto claims
        :: else
        fi;
        /* AETHER_FULL. Some time later the caller tries again. */
        assert(full_at != SEQ(w) + 1);
        FORGET
    };
    atomic { QUIET -> full_at = SEQ(claim) + 1; goto more };

claims:
#ifndef NOPROVE
#define OTHER (LAST(w) != NOBODY && LAST(w) != r)
    if
#ifdef PROVEPLAIN
    :: atomic { OTHER -> proved[LAST(w)] = SEQ(w); MAY_DIE }
    :: !OTHER
#elif !defined(PROVELATE)
    :: atomic { OTHER && proved[LAST(w)] < SEQ(w) && DRAINED -> proved[LAST(w)] = SEQ(w); MAY_DIE } /* P3 */
    :: !OTHER || proved[LAST(w)] >= SEQ(w)
#else
    :: true
#endif
    fi;
#endif
#ifndef INTENTLATE
    atomic { STORE(INTENT, WORD(SEQ(w), n)); MAY_DIE }; /* P4 */
#endif
    CLAIM_OR(if :: goto slow :: goto more fi, w, SEQ(w)); /* after too many tries AETHER_FULL, and then anew */
#ifdef PROVELATE
    atomic {
        if
        :: OTHER && proved[LAST(w)] < SEQ(w) -> proved[LAST(w)] = SEQ(w)
        :: else
        fi
    };
#endif

write:
#ifdef INTENTLATE
    atomic { STORE(INTENT, WORD(next - n, n)); MAY_DIE };
#endif
#ifdef CLEARFIRST
    STORE(INTENT, 0);
#endif
#ifdef OPENLATE
    open = open | BIT(r);
#endif
    do
    :: atomic { /* ae_write_slot() */
#ifdef COMMITDOWN
            x = next - 1 - i;
#else
            x = next - n + i;
#endif
#ifdef TAGFIRST
            STORE(COMMIT, x)
        };
        atomic {
#else
            STORE(MARK, x);
#ifndef OBSERVER
            STORE(PAYLOAD, x); /* one step: nobody looks at it before the commit */
#endif
            MAY_DIE
        };
#ifdef OBSERVER
        atomic { STORE(PAYLOAD, x); MAY_DIE }; /* W1 */
#endif
#ifdef INTENTEARLY
        if
        :: i == n - 1 && k + 1 < MESSAGES -> STORE(INTENT, WORD(next, 1))
        :: else
        fi;
#endif
#ifdef LEAVEEARLY
        if
        :: i == n - 1 && k + 1 == MESSAGES -> open = open & ~BIT(r)
        :: else
        fi;
#endif
        atomic {
            STORE(COMMIT, x); /* W2 */
#endif
#ifdef TAGFIRST
            STORE(PAYLOAD, x);
#endif
            i++;
            MAY_DIE;
            if
            :: i == n ->
                k++;
#ifdef CLEARLATE
                STORE(INTENT, 0);
#endif
                FORGET;
                goto more
            :: else
            fi
       }
    od;

leave:
    atomic { DRAINED -> open = open & ~BIT(r); running--; goto out }; /* T1 */
dies:
    atomic {
        DRAINED ->
        dead = dead | BIT(r);
#ifdef OPENLATE
        open = open | BIT(r);
#endif
        running--;
        x = 0;
        do
        :: x < C && who[x] == r + 1 -> who[x] = A_DEAD_ONE; x++
        :: x < C && who[x] != r + 1 -> x++
        :: else -> break
        od
    };
out:
    atomic { CLEAR }
}

#define RESTART d = 0; s = 0; n = 0; i = 0; t = 0; won = false; goto again
#define MAY_BE_KILLED                                                                                                  \
    if                                                                                                                 \
    :: RESTART                                                                                                         \
    :: true                                                                                                            \
    fi
#define LOOK_AT_CLAIM won = won || claim == CLAIM(s + n, d)
#define LOOK_AT_PROVED won = won || proved[d] >= s + n
#define CLOSE open = open & ~BIT(d) /* D4 */
#define FREE                                                                                                           \
    if                                                                                                                 \
    :: reused < G -> reused++; running++; run Publisher(d)                                                             \
    :: true                                                                                                            \
    fi
#ifdef ABORTDOWN
#define SLOT (s + n - 1 - i)
#else
#define SLOT (s + i)
#endif

proctype Repairer() {
    byte d, s, n, i, t;
    bool won;

again:
    atomic {
        if
        :: (dead & BIT(0)) != 0 -> d = 0
        :: (dead & BIT(1)) != 0 -> d = 1
        :: NP > 2 && (dead & BIT(2)) != 0 -> d = 2
        :: OVER -> goto out
        fi;
#ifdef FREEFIRST
        FREE;
#endif
#ifdef CLOSEFIRST
        CLOSE;
#endif
#ifdef WAKEFIRST
        WAKE;
#endif
        s = FIRST(intent[d]); /* stays as it is: the publisher is dead */
        n = COUNT(intent[d])
    };
    /* D2 */
#ifdef NOTEST
    won = true;
#else
#ifdef PROVEDFIRST
    LOOK_AT_PROVED;
    LOOK_AT_CLAIM;
#else
    LOOK_AT_CLAIM;
#ifndef NOPROVED
    LOOK_AT_PROVED;
#endif
#endif
#endif
    do
    :: won && i < n ->
        t = tag[SLOT % C]; /* D3 */
        atomic {
            if
#ifdef ABORTANY
            :: tag[SLOT % C] == t ->
#elif defined(ABORTPLAIN)
            :: t < COMMITTED(SLOT) ->
#else
            :: t < COMMITTED(SLOT) && tag[SLOT % C] == t ->
#endif
                assert(who[SLOT % C] == A_DEAD_ONE && PENDING(SLOT));
                tag[SLOT % C] = ABORTED(SLOT);
                who[SLOT % C] = 0
            :: else
            fi;
            i++;
            t = 0;
            MAY_BE_KILLED
        }
    :: else -> break
    od;
#ifndef CLOSEFIRST
    atomic { CLOSE; MAY_BE_KILLED };
#endif
#ifndef WAKEFIRST
    atomic { WAKE; MAY_BE_KILLED };
#endif
    atomic {
        dead = dead & ~BIT(d);
#ifndef FREEFIRST
        FREE;
#endif
        RESTART
    };
out:
    skip
}

#ifdef ALONE
proctype Reader() {
    byte s = 0, t, v;

    do
#ifdef OBSERVER
    :: s + 1 < SEQ(claim) -> s++
    :: s > 0 -> s--
    :: atomic { tag[s % C] == COMMITTED(s) -> t = tag[s % C] };
       v = pay[s % C];
       atomic {
           assert(tag[s % C] != t || v == s + 1); /* V1 */
           t = 0;
           v = 0
       }
#endif
    :: OVER -> break
    od;
    assert(FINISHED)
}
#else
/* The last look at a message. */
#define TAKE                                                                                                           \
    atomic {                                                                                                           \
        assert(tag[position % C] <= ABORTED(position));                                                                \
        assert(tag[position % C] == ABORTED(position) || pay[position % C] == position + 1); /* R1 */                  \
        position++                                                                                                     \
    }

proctype Reader() {
#ifdef JOIN
    cursor = SEQ(claim);
#ifndef NOJ1
    active_bit = true; /* J3, J1 */
#endif
    atomic { position = SEQ(claim); joined = true }; /* J */
#ifdef NOJ1
    active_bit = true;
#endif
    cursor = position;
#endif
    do
#ifdef CURSOREARLY
    :: !PENDING(position) -> cursor = position + 1; TAKE
#else
    :: atomic { !PENDING(position) -> TAKE; cursor = position } /* F1 */
#endif
#ifdef SLEEP
    :: atomic { PENDING(position) && !OVER -> asleep = true };
       (!asleep || OVER)
#endif
    :: OVER && position == SEQ(claim) -> break
    od
}
#endif

init {
    byte i;

    atomic {
        do
        :: i < NP ->
            run Buffer(i);
            run Publisher(i);
            i++
        :: else -> break
        od;
        run Repairer();
        run Reader();
        i = 0
    }
}
