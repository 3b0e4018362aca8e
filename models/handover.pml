/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handover.pml - an exclusive topic: publishers one after another, each may die at any step, and what a successor
 * takes over.
 *
 * Covers C1, S1, S2 of docs/memory-model.md, the refresh, succession (docs/layout.md), and what is promised about the
 * death of a publisher (docs/guarantees.md): nothing committed is lost, no sequence is used twice, no unread message
 * is destroyed.
 *
 *   claim     the claim word. Stored after the commit, any time later, at the latest in a refresh
 *   tag[]     0, BUSY(seq) or COMMITTED(seq), of C slots;  p1[], p2[]  two payload words, seq + 1
 *   cursor    the reliable reader's; active_bit: its bit
 *   next, limit   private to the publisher
 *   commits[] ghost: how often a sequence was committed
 *   J         ghost: where the reader joined
 * A successor starts only after proof of death, which is the order in which the processes run. D deaths, M sequences,
 * batches of NB. JOIN: the reader joins in the middle. OBSERVER: a best-effort reader that checks its copies.
 *
 * Mutants:
 *   CLAIMFIRST   the claim is stored before the commit
 *   NOREFRESH    the limit comes from the private next; the refresh doesn't store the claim
 *   SCANSHORT    the successor walks over at most C - 1 slots
 *   NOSCAN       it starts at the claim
 *   NOBUSY       the tag stays as it is until the commit (with OBSERVER)
 * Not a mutant:
 *   NOSTORE      the successor doesn't store the claim after its walk: still clean, see README.md
 */
#define COMMITTED(seq) (2 * ((seq) + 1) + 1)
#define BUSY(seq) (2 * ((seq) + 1))

byte claim = 0, cursor = 0, J = 0, deaths = 0;
byte tag[C], p1[C], p2[C], commits[M + 2];
bool active_bit = true, over = false;
#ifdef JOIN
bool joined = false;
#else
bool joined = true;
#endif

#define MAY_DIE                                                                                                        \
    if                                                                                                                 \
    :: deaths < D -> deaths++; goto dead                                                                               \
    :: true                                                                                                            \
    fi
#ifdef SCANSHORT
#define SCAN (C - 1)
#else
#define SCAN C
#endif

proctype Publisher() {
    byte next, limit, i, n, base;

open:
    /* ae_publisher_init() */
    atomic { limit = 0; n = 0; base = 0; i = 0 };
    next = claim; /* S1 */
#ifndef NOSCAN
    do
    :: i < SCAN && tag[next % C] == COMMITTED(next) -> next++; i++; MAY_DIE /* S2 */
    :: else -> break
    od;
#endif
#ifndef NOSTORE
    claim = next; /* C1 */
#endif
    limit = next;
    MAY_DIE;

again:
    atomic { i = 0; n = 0; base = 0 };
    if
    :: next >= M -> goto close
    :: next < M
    fi;
    if
    :: n = 1
    :: NB > 1 && next + NB <= M -> n = NB
    fi;
    if
    :: next + n <= limit
    :: next + n > limit ->
        /* aether_detail_refresh(): claim, fence J2, scan */
#ifdef NOREFRESH
        base = next;
#else
#ifndef CLAIMFIRST
        claim = next;
#endif
        MAY_DIE;
        base = claim;
#endif
        atomic {
            if
            :: active_bit && cursor < base -> base = cursor
            :: else
            fi
        };
        limit = base + C;
        if
        :: next + n <= limit
        :: next + n > limit ->
            (!active_bit || cursor + C >= next + n); /* AETHER_FULL: the caller tries again */
            goto again
        fi
    fi;
#ifdef CLAIMFIRST
    claim = next + n;
    MAY_DIE;
#endif
    do
    :: i < n ->
        /* ae_write_slot(): nothing that the reliable reader hasn't released is destroyed. */
        assert(!joined || (cursor < J -> J : cursor) + C > next + i);
#ifndef NOBUSY
        tag[(next + i) % C] = BUSY(next + i);
        MAY_DIE;
#endif
        p1[(next + i) % C] = next + i + 1;
        MAY_DIE;
        p2[(next + i) % C] = next + i + 1;
        MAY_DIE;
        atomic {
            tag[(next + i) % C] = COMMITTED(next + i);
            commits[next + i]++;
            assert(commits[next + i] == 1)
        };
        MAY_DIE;
        i++
    :: i == n -> break
    od;
    next = next + n;
#ifndef CLAIMFIRST
    if
    :: claim = next
    :: true
    fi;
#endif
    goto again;

close:
    claim = next;
    over = true;
    goto out;
dead:
    goto open; /* the proof of death lies in between; the same process plays the successor */
out:
    skip
}

proctype Reader() {
    byte c = 0;

#ifdef JOIN
    c = claim;
    atomic { cursor = c; active_bit = true };
    atomic { c = claim; joined = true; J = c };
    cursor = c;
#endif
end:
    do
    :: tag[c % C] == COMMITTED(c) ->
        assert(p1[c % C] == c + 1 && p2[c % C] == c + 1);
        assert(tag[c % C] == COMMITTED(c));
        c++;
        if
        :: cursor = c
        :: true
        fi
    :: tag[c % C] != COMMITTED(c) ->
        assert(tag[c % C] <= COMMITTED(c)); /* no gap */
        cursor = c
    :: c >= M -> cursor = c; break
    od
}

#ifdef OBSERVER
proctype Observer() {
    byte s, x, y;

    do
    :: s < M -> s++
    :: s > 0 -> s--
    :: over -> break
    :: tag[s % C] == COMMITTED(s) ->
        x = p1[s % C];
        y = p2[s % C];
        if
        :: tag[s % C] == COMMITTED(s) -> assert(x == s + 1 && y == s + 1)
        :: else
        fi;
        x = 0; y = 0
    od
}
#endif

/* What a switch to another kind of topic, or a tool, may rely on once the last publisher has closed. */
proctype After() {
    over;
    assert((claim == M || commits[claim] == 0) && (claim == 0 || commits[claim - 1] == 1))
}

init {
    atomic {
#ifdef JOIN
        active_bit = false;
#endif
        run Publisher();
        run Reader();
#ifdef OBSERVER
        run Observer();
#endif
        run After()
    }
}
