/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bias.pml - the bias of a sole publisher: the end of its intent stands for the claim, until somebody revokes that.
 *
 * Covers P7, P8, B3-B5, D1, J1, J2, J4 and J5 of docs/memory-model.md. What has nothing to do with the bias is
 * claim.pml's, where the words are explained. Each publisher's stores go through a store buffer, as on x86; its loads
 * overtake them. membarrier waits until the buffer is empty.
 *
 *   claim        the claim word, with its mode
 *   word, biased private to a publisher: the claim word as its own last claim left it; it has the bias
 *   limit        private: it may claim up to here
 *   start        private to the reader: its first sequence, J. It gets all that is published by calls that begin
 *                after it has joined (`returned`)
 *   position     ghost: the reader's next sequence
 *   who[]        ghost: the living publisher that may write the slot, or a dead one
 * NP publishers of K, KO and 1 messages, in batches of 1 or NB, C slots, D deaths, and G new publishers in records of
 * repaired ones. A claim takes the bias or doesn't, as it likes. STOP: publisher 0 may be stopped for good at any step;
 * nobody waits for it, except for the slots that it holds. ROOM: the last one may ask for room first. JOIN: the reader
 * joins in the middle. ALONE: there is none.
 *
 * Mutants, bias and revocation:
 *   LOADFIRST     the owner loads the claim before it stores its intent (no compiler barrier)
 *   NOBARRIER     no membarrier
 *   BARRIERONCE   ... only by the publisher that has set REVOKING
 *   LOOKFIRST     the revoker loads the intent before its membarrier
 *   NOREVOKING    it ends the bias in one step
 *   NOGRANT       an owner that has lost the bias doesn't look whether its intent was granted
 *   PROVEDFIRST   ... looks at proved before the claim
 *   WITHDRAWPLAIN it takes its intent back by a plain store
 *   LEAVEBIASED   a publisher closes and leaves its bias behind
 *   CLEARLATE     the intent is taken back after the commits
 *   NOJ2          no fence in the owner's refresh (with JOIN)
 *   NOINTENTS     the limit doesn't heed other publishers' intents (with ALONE)
 * Who joins (with JOIN), or asks for room (with ROOM):
 *   JATEND        it takes the end of the intent for claimed, also if its slots aren't finished
 *   JATSTART      it never does
 *   NOJ1          no fence between bit and claim
 * Repair:
 *   NOD1          the bias of the dead one stays
 *   D1LATE        ... until after the test whether its intent was won
 *   D1PLAIN       ... is ended by a plain store
 *   D1SEQ         ... at the claim word's sequence, whatever the intent
 * Not a mutant, see README.md:
 *   NORECHECK     the joiner doesn't load the claim again after the intent (no J5)
 */
#define NOBODY 3
#define SHARED 0
#define BIASED 1
#define REVOKING 2
#define CLAIM(seq, mode, r) ((seq) * 16 + (mode) * 4 + (r))
#define SEQ(claim) ((claim) / 16)
#define MODE(claim) ((claim) / 4 % 4)
#define LAST(claim) ((claim) % 4)
#define WORD(seq, n) ((seq) * 4 + (n))
#define FIRST(intent) ((intent) / 4)
#define COUNT(intent) ((intent) % 4)
#define END(intent) (FIRST(intent) + COUNT(intent))
#define COMMITTED(seq) (4 * (seq) + 2)
#define ABORTED(seq) (4 * (seq) + 3)
#define PENDING(seq) (tag[(seq) % C] < COMMITTED(seq))
#define BIT(r) (1 << (r))
#define MESSAGES (r == 0 -> K : (r == 1 -> KO : 1))
#define A_DEAD_ONE 9
#define NO_WORD 255

/* Kinds of stores. */
#define INTENT 0
#define MARK 1
#define COMMIT 2

byte claim = CLAIM(0, SHARED, NOBODY), open = 0, dead = 0, cursor = 0, position = 0;
byte tag[C], who[C], intent[NP], proved[NP];
byte admitted = 0, running = NP, deaths = 0, reused = 0;
bool stopped = false;
chan buffer[NP] = [4] of {byte, byte};

#if defined(ALONE)
#define JOINED true
#define ACTIVE false
#define UNREAD(seq) false
#elif defined(JOIN)
byte start = 0;
bool joined = false, active_bit = false, returned = false;
#define JOINED returned
#define ACTIVE active_bit
#define UNREAD(seq) (joined && position <= (seq))
#else
#define JOINED true
#define ACTIVE true
#define UNREAD(seq) (position <= (seq))
#endif

#define OVER (running == 0 && dead == 0)
#define FINISHED_BELOW(s)                                                                                              \
    ((s < 1 || !PENDING(s - 1)) && (s < 2 || !PENDING(s - 2)) && (s < 3 || !PENDING(s - 3)) &&                         \
     (s < 4 || !PENDING(s - 4)))
#define DRAINED empty(buffer[r])

proctype Buffer(byte r) {
    byte kind, v;
end:
    do
    :: atomic {
            buffer[r] ? kind, v ->
            if
            :: kind == INTENT -> intent[r] = v
            :: kind == MARK -> assert(who[v % C] == r + 1 && PENDING(v))
            :: kind == COMMIT ->
                assert(who[v % C] == r + 1 && PENDING(v));
                tag[v % C] = COMMITTED(v);
                who[v % C] = 0
            fi;
            kind = 0;
            v = 0
        }
    od
}

#define STORE(kind, v) buffer[r] ! kind, v
#define FORGET                                                                                                         \
    w = 0; n = 0; i = 0; x = 0; s = 0; hold = 0; base = 0; mask = 0; q = 0; room = false; after = false
#define CLEAR FORGET; next = 0; limit = 0; k = 0; full_at = 0; word = 0; biased = false
#ifdef STOP
#define MAY_STOP :: r == 0 && !stopped -> stopped = true; CLEAR; goto stops
#else
#define MAY_STOP
#endif
#define MAY_DIE                                                                                                        \
    if                                                                                                                 \
    :: deaths < D -> deaths++; CLEAR; goto dies                                                                        \
    MAY_STOP                                                                                                           \
    :: true                                                                                                            \
    fi

#ifdef JOIN
#define BEGIN after = returned
#define OWE(x) assert(!after || x >= start)
#else
#define BEGIN skip
#define OWE(x) skip
#endif
/* Publisher r knows that it has won first .. first + n - 1: these must be nobody else's, finished and released. */
#define WIN(first, mode)                                                                                               \
    x = first;                                                                                                         \
    OWE(x);                                                                                                            \
    do                                                                                                                 \
    :: x < first + n ->                                                                                                \
        assert(who[x % C] == 0 && PENDING(x) && (x < C || !(PENDING(x - C) || UNREAD(x - C))));                        \
        who[x % C] = r + 1;                                                                                            \
        x++                                                                                                            \
    :: else -> break                                                                                                   \
    od;                                                                                                                \
    next = x;                                                                                                          \
    biased = (mode != SHARED);                                                                                         \
    full_at = 0;                                                                                                       \
    x = 0;                                                                                                             \
    w = 0;                                                                                                             \
    MAY_DIE

#define WIN_BY_CAS(first, mode)                                                                                        \
    claim = CLAIM(first + n, mode, r);                                                                                 \
    word = claim;                                                                                                      \
    WIN(first, mode)
#define LOST biased = false; goto shared
#define SLOW                                                                                                           \
    if                                                                                                                 \
    :: !biased -> goto shared                                                                                          \
    :: biased -> s = next; goto scan                                                                                   \
    fi
#define REVOKED(word) CLAIM(SEQ(word), REVOKING, LAST(word))
#ifdef LOADFIRST
#define LOADED w
#else
#define LOADED claim
#endif
/*
 * ae_claim_end(): what is claimed for good. An intent may be taken back as long as its last slot isn't finished.
 * Where the bias began was won by compare-and-swap.
 */
#define LOOK(again)                                                                                                    \
    w = claim; /* J4 */                                                                                                \
    if                                                                                                                 \
    :: MODE(w) == SHARED -> e = SEQ(w)                                                                                 \
    :: MODE(w) != SHARED ->                                                                                            \
        q = intent[LAST(w)]; /* B3 */                                                                                  \
        e = (FINISHED(q) -> END(q) : (FIRST(q) > SEQ(w) -> FIRST(q) : SEQ(w)));                                        \
        RECHECK(again)                                                                                                 \
    fi;                                                                                                                \
    atomic { w = 0; q = 0 }
#define FINISHED(q) (COUNT(q) == 0 || !PENDING(END(q) - 1))
#if defined(JATSTART)
#undef FINISHED
#define FINISHED(q) false
#elif defined(JATEND)
#undef FINISHED
#define FINISHED(q) true
#endif
#ifdef NORECHECK
#define RECHECK(again) skip
#else
#define RECHECK(again) /* J5 */                                                                                        \
    if                                                                                                                 \
    :: claim == w                                                                                                      \
    :: claim != w -> goto again                                                                                        \
    fi
#endif

#define SKIP_RECORDS                                                                                                   \
    do                                                                                                                 \
    :: i < NP && (mask & BIT(i)) == 0 -> i++                                                                           \
    :: else -> break                                                                                                   \
    od
#define NEXT_RECORD q = 0; x = 0; i++; SKIP_RECORDS
#define LOWER_TO(x) hold = (x < hold -> x : hold)
#define HOLD                                                                                                           \
    do                                                                                                                 \
    :: atomic {                                                                                                        \
            i < NP && q == 0 ->                                                                                        \
            q = intent[i];                                                                                             \
            x = END(q) - 1;                                                                                            \
            if                                                                                                         \
            :: COUNT(q) == 0 || FIRST(q) >= hold || hold > x + C -> NEXT_RECORD                                        \
            :: else                                                                                                    \
            fi                                                                                                         \
        }                                                                                                              \
    :: atomic {                                                                                                        \
            i < NP && q != 0 ->                                                                                        \
            if                                                                                                         \
            :: x == END(q) - 1 && !PENDING(x) -> NEXT_RECORD                                                           \
            :: x == END(q) - 1 && PENDING(x) ->                                                                        \
                if                                                                                                     \
                :: COUNT(q) == 1 -> LOWER_TO(x); NEXT_RECORD                                                           \
                :: else -> x = FIRST(q)                                                                                \
                fi                                                                                                     \
            :: x < END(q) - 1 ->                                                                                       \
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
    byte next, limit, k, n, w, i, x, s, e, hold, base, mask, q, full_at, word;
    bool biased, room, after;

    atomic {
        admitted >= r ->
        admitted = (admitted > r -> admitted : r + 1);
        open = open | BIT(r)
    };
opens:
    /* ae_publisher_init() */
    LOOK(opens);
    atomic { next = e; limit = next; word = NO_WORD; e = 0 };

more:
    atomic {
        FORGET;
        if
        :: k == MESSAGES -> goto leave
        :: else
        fi;
        BEGIN;
        if
        :: n = 1
        :: NB > 1 -> n = NB
        fi;
#ifdef ROOM
        if
        :: !biased && r == NP - 1 -> goto ask
        :: true
        fi
    };
begin:
    atomic {
#endif
        /* ae_claim_next() */
        if
        :: limit < next + n -> SLOW
        :: else
        fi;
#ifdef LOADFIRST
        w = claim
    };
    atomic {
#endif
        STORE(INTENT, WORD(next, n)); /* P4 */
        MAY_DIE
    };
    if
    :: atomic { biased && LOADED == word -> WIN(next, BIASED); goto write } /* P7 */
    :: atomic { biased && LOADED != word -> goto again_biased }
    :: atomic { !biased && DRAINED && claim == word -> WIN_BY_CAS(next, SHARED); goto write } /* P5 */
    :: atomic { !biased && DRAINED && claim != word -> goto shared }
    fi;

#ifdef ROOM
ask:
    /* ae_claim_room() */
    LOOK(ask);
    atomic {
        s = e;
        e = 0;
        if
        :: limit < s + n -> room = true; goto scan
        :: else -> s = 0; goto begin
        fi
    };
#endif

again_biased:
    /* claim_biased() */
    atomic { STORE(INTENT, WORD(next, n)); MAY_DIE };
    if
    :: atomic { LOADED == word -> WIN(next, BIASED); goto write }
    :: LOADED != word
    fi;
    /* lose_bias() */
#ifdef WITHDRAWPLAIN
    DRAINED;
    if
    :: claim == REVOKED(word) -> atomic { claim = CLAIM(next, SHARED, r); LOST }
    :: claim != REVOKED(word)
    fi;
#else
    atomic {
        DRAINED ->
        if
        :: claim == REVOKED(word) -> claim = CLAIM(next, SHARED, r); LOST /* B4 */
        :: else
        fi
    };
#endif
#ifdef NOGRANT
    atomic { LOST };
#endif
#ifdef PROVEDFIRST
    if
    :: atomic { proved[r] >= next + n -> word = CLAIM(next + n, SHARED, r); WIN(next, SHARED); goto write }
    :: proved[r] < next + n
    fi;
#endif
    if
    :: atomic { claim == CLAIM(next + n, SHARED, r) -> word = claim; WIN(next, SHARED); goto write }
    :: claim != CLAIM(next + n, SHARED, r)
    fi;
    atomic {
        if
#ifndef PROVEDFIRST
        :: proved[r] >= next + n -> word = CLAIM(next + n, SHARED, r); WIN(next, SHARED); goto write
#endif
        :: else -> LOST
        fi
    };

shared:
    /* claim_shared() */
    atomic {
        w = claim; /* P1 */
        s = SEQ(w);
        if
        :: MODE(w) != SHARED -> s = 0; goto revoke
        :: MODE(w) == SHARED && s + n <= limit -> goto claims
        :: else
        fi
    };

scan:
    /* ae_publisher_scan() */
#ifndef NOJ2
    DRAINED;
#endif
    atomic {
        hold = s;
        mask = open & ~BIT(r);
        i = 0;
        SKIP_RECORDS
    };
#ifndef NOINTENTS
    HOLD;
#endif
    atomic {
        base = (ACTIVE -> cursor : 100);
        LOWER_TO(base);
        limit = (hold + C > next -> hold + C : next);
        i = 0; mask = 0; hold = 0; base = 0;
        if
        :: s + n <= limit ->
            if
#ifdef ROOM
            :: room -> room = false; s = 0; goto begin
#endif
            :: biased -> s = 0; goto again_biased
            :: else -> goto claims
            fi
        :: else
        fi;
        /* AETHER_FULL. Some time later the caller tries again. */
        assert(full_at != s + 1);
        full_at = s + 1;
        s = 0
    };
    if
    :: atomic { stopped -> goto leave } /* it may hold its slots for ever */
    :: atomic { JOINED && FINISHED_BELOW(full_at - 1) && (!ACTIVE || cursor >= full_at - 1) -> goto more }
    fi;

revoke:
    assert(LAST(w) != r);
#ifndef NOREVOKING
    if
    :: MODE(w) == REVOKING -> mask = 1
    :: atomic {
            MODE(w) == BIASED && DRAINED ->
            if
            :: claim == w -> w = REVOKED(w); claim = w; MAY_DIE
            :: else -> w = 0; goto shared
            fi
       }
    fi;
#endif
#ifdef LOOKFIRST
    q = intent[LAST(w)];
#endif
#ifndef NOBARRIER
    /* P8 */
#ifdef BARRIERONCE
    (mask == 1 || empty(buffer[LAST(w)]));
#else
    empty(buffer[LAST(w)]);
#endif
#endif
#ifndef LOOKFIRST
    atomic { q = intent[LAST(w)]; MAY_DIE }; /* B3 */
#endif
    atomic {
        DRAINED ->
        if
        :: claim == w -> claim = CLAIM(END(q), SHARED, LAST(w)) /* B5 */
        :: else
        fi;
        w = 0; q = 0; mask = 0;
        MAY_DIE
    };
    goto shared;

claims:
#define OTHER (LAST(w) != NOBODY && LAST(w) != r)
    if
    :: atomic { OTHER && proved[LAST(w)] < s && DRAINED -> proved[LAST(w)] = s; MAY_DIE } /* P3 */
    :: !OTHER || proved[LAST(w)] >= s
    fi;
    atomic { STORE(INTENT, WORD(s, n)); MAY_DIE }; /* P4 */
    atomic {
        DRAINED -> /* P5 */
        if
        :: claim == w -> WIN_BY_CAS(s, SHARED)
        :: claim == w -> WIN_BY_CAS(s, BIASED)
        :: claim != w -> s = 0; w = 0; goto shared
        :: claim != w -> goto more /* after too many tries AETHER_FULL, and then anew */
        fi
    };

write:
    do
    :: atomic { x = next - n + i; STORE(MARK, x); MAY_DIE }; /* ae_write_slot() */
       atomic {
            STORE(COMMIT, x);
            i++;
            MAY_DIE;
            if
            :: i == n -> k++;
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
    /* ae_claim_leave(): if the first fails, the second is tried. */
#ifndef LEAVEBIASED
    atomic {
        DRAINED ->
        if
        :: biased && claim == word -> claim = CLAIM(next, SHARED, r); biased = false
        :: else
        fi
    };
    atomic {
        DRAINED ->
        if
        :: biased && claim == REVOKED(word) -> claim = CLAIM(next, SHARED, r)
        :: else
        fi
    };
#endif
    atomic { DRAINED -> open = open & ~BIT(r); running--; goto out }; /* T1 */
stops:
    atomic { running--; goto out };
dies:
    atomic {
        DRAINED ->
        dead = dead | BIT(r);
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

#define RESTART d = 0; w = 0; n = 0; i = 0; s = 0; won = false; goto again
#define MAY_BE_KILLED                                                                                                  \
    if                                                                                                                 \
    :: RESTART                                                                                                         \
    :: true                                                                                                            \
    fi
#ifdef D1SEQ
#define D1_END(w) SEQ(w)
#else
#define D1_END(w) END(intent[d])
#endif
/* end_bias() */
#define D1                                                                                                             \
    do                                                                                                                 \
    :: w = claim;                                                                                                      \
       atomic {                                                                                                        \
            if                                                                                                         \
            :: MODE(w) == SHARED || LAST(w) != d -> w = 0; break                                                       \
            :: else -> END_BIAS                                                                                        \
            fi                                                                                                         \
       }                                                                                                               \
    od
#ifdef D1PLAIN
#define END_BIAS claim = CLAIM(D1_END(w), SHARED, d)
#else
#define END_BIAS                                                                                                       \
    if                                                                                                                 \
    :: claim == w -> claim = CLAIM(D1_END(w), SHARED, d); MAY_BE_KILLED                                                \
    :: else                                                                                                            \
    fi
#endif

proctype Repairer() {
    byte d, w, n, i, s;
    bool won;

again:
    atomic {
        if
        :: (dead & BIT(0)) != 0 -> d = 0
        :: (dead & BIT(1)) != 0 -> d = 1
        :: NP > 2 && (dead & BIT(2)) != 0 -> d = 2
        :: OVER -> goto out
        fi;
        s = FIRST(intent[d]); /* stays as it is: the publisher is dead */
        n = COUNT(intent[d])
    };
#if !defined(NOD1) && !defined(D1LATE)
    D1;
#endif
    won = claim == CLAIM(s + n, SHARED, d); /* D2 */
    won = won || proved[d] >= s + n;
#ifdef D1LATE
    D1;
#endif
    do
    :: atomic {
            won && i < n -> /* D3 */
            if
            :: PENDING(s + i) ->
                assert(who[(s + i) % C] == A_DEAD_ONE || who[(s + i) % C] == 0);
                tag[(s + i) % C] = ABORTED(s + i);
                who[(s + i) % C] = 0
            :: else
            fi;
            i++;
            MAY_BE_KILLED
       }
    :: !won || i == n -> break
    od;
    atomic { open = open & ~BIT(d); MAY_BE_KILLED }; /* D4 */
    atomic {
        dead = dead & ~BIT(d);
        if
        :: reused < G -> reused++; running++; run Publisher(d)
        :: true
        fi;
        RESTART
    };
out:
    assert(MODE(claim) == SHARED || stopped)
}

proctype Reader() {
#ifdef ALONE
    OVER;
    assert(stopped || FINISHED_BELOW(SEQ(claim)))
#else
#ifdef JOIN
    byte w, q, e;

again_cursor:
    LOOK(again_cursor);
    cursor = e;
#ifndef NOJ1
    active_bit = true; /* J3, J1 */
#endif
again:
    LOOK(again);
#ifdef NOJ1
    active_bit = true;
#endif
    atomic { start = e; position = e; joined = true; e = 0 }; /* J */
    cursor = start;
    returned = true;
#endif
    do
    :: atomic {
            !PENDING(position) ->
            assert(tag[position % C] <= ABORTED(position));
            position++;
            cursor = position
       }
    :: OVER && (stopped || position >= SEQ(claim)) -> break
    od
#endif
}

init {
    byte i;

    atomic {
        do
        :: i < NP -> run Buffer(i); run Publisher(i); i++
        :: else -> break
        od;
        run Repairer();
        run Reader();
        i = 0
    }
}
