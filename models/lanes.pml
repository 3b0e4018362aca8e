/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lanes.pml - the lane of one publisher record, publisher after publisher: loans, commits and discards in any order,
 * checkpoints, lane_floor, and what a successor does. A successor doesn't wait for anybody: it takes the whole lane
 * for occupied until all cursors have passed its own first sequence.
 *
 * Covers the lane's edges of docs/memory-model.md (L1, L2), the positions of
 * docs/layout.md, and the rule that a view stays as it is until its reader's cursor has passed. Messages up to L
 * units, two open loans. A publisher may die, or close, at every step; its successor starts after the proof of that.
 *
 *   lane[p % L]    ghost: id of the message whose bytes lie there; ids are used once
 *   lane_floor     shared: bytes below this position may be overwritten. All that a successor learns of the old head
 *   claim, tag[]   as on an exclusive topic: committed first, then the claim. Slots aren't overrun here (torn.pml,
 *                  claim.pml)
 *   position[], length[], id[]   what the slot's descriptor says, and the message's id
 *   cursor, active_bit           of the reliable reader, if there is one
 *   head           private: position of the next allocation
 *   free           private: everything below has been released
 *   loan_*[2]      private: position, length and id of an open loan; length 0: none
 *   ck_pos[], ck_seq[], ck_count    private: checkpoints. When every cursor is at ck_seq or beyond, free is ck_pos
 *   room           ghost: the highest free of this owner: it must not go back
 * Whether a checkpoint is appended or overwrites the newest is arbitrary here; the C code goes by their distance. L
 * units, M messages, T checkpoints, D deaths. RELIABLE: a reliable reader with views. JOIN: it joins at any time.
 * OBSERVER: a best-effort reader. BIG: messages of L units.
 *
 * Mutants:
 *   QEARLY        the successor's Q is a claim that was loaded before the proof of death
 *   QNOSCAN       ... after the proof, but before the walk over the committed slots
 *   NOCHECKPOINT  the successor takes the lane for free
 *   RESETPOS      the successor starts positions again (with OBSERVER: it believes an old descriptor)
 *   FLOORLATE     the floor is stored after the bytes (no release fence)
 *   FLOORFIRST    the reader checks the floor before it copies (no acquire fence)
 *   FLOORLAZY     the floor is stored only when the lane wraps
 *   FLOORFILL     the floor is stored by the commit, not by the allocation
 *   CKNAIVE       a checkpoint is the head, although a loan is open below
 *   CKCOMMIT      no checkpoint at a discard
 *   CURSOREARLY   the reader stores its cursor while it holds the view
 *   NOALIGN       the head doesn't jump when nothing is outstanding (with BIG)
 *   NOCHECK       the reader doesn't check the floor
 */
#ifndef T
#define T 2
#endif
#define COMMITTED 1

byte lane[L], lane_floor = 0, claim = 0, cursor = 0, next_id = 0, deaths = 0;
byte tag[M + 1], position[M + 1], length[M + 1], id[M + 1];
bool active_bit = false, over = false;
#ifdef QEARLY
byte early = 0;
#endif

#define LOWEST_CURSOR (active_bit && cursor < claim -> cursor : claim)
#define MAY_DIE                                                                                                        \
    if                                                                                                                 \
    :: deaths < D -> deaths++; goto dead                                                                               \
    :: true                                                                                                            \
    fi

proctype Publisher() {
    byte head, free, next, room, c, e, i, j, p, x;
    byte loan_pos[2], loan_len[2], loan_id[2], ck_pos[T], ck_seq[T], ck_count;

open:
    /* ae_publisher_init(): the walk over the committed slots, then the lane. */
    atomic {
        next = claim;
#ifdef QNOSCAN
        c = next;
#endif
        do
        :: next < M && tag[next] == COMMITTED -> next++
        :: else -> break
        od;
        claim = next;
#ifndef QNOSCAN
        c = next;
#endif
#ifdef QEARLY
        c = early;
#endif
#ifdef RESETPOS
        lane_floor = 0;
#endif
        head = lane_floor + L;
        free = lane_floor;
        ck_pos[0] = head;
        ck_seq[0] = c;
        ck_count = 1;
#ifdef NOCHECKPOINT
        free = head;
        ck_count = 0;
#endif
        room = free
    };

again:
    atomic { c = 0; e = 0; i = 0; j = 0; p = 0; x = 0 };
    MAY_DIE;
    if
    :: (loan_len[0] == 0 || loan_len[1] == 0) && next_id < M -> /* aether_loan_take() */
        if
        :: x = 1
        :: x = 2
#ifdef BIG
        :: x = L
#endif
        fi;
place:
        atomic {
            p = head;
            if
            :: p % L + x > L ->
                p = p + L - p % L;
#ifndef NOALIGN
                if
                :: free == head -> head = p; free = p
                :: else
                fi
#endif
            :: else
            fi;
            e = p + x
        };
        if
        :: e - L <= free
        :: e - L > free -> /* the fenced refresh */
            atomic {
                c = LOWEST_CURSOR;
                i = 0;
                j = 0;
                do
                :: i < ck_count ->
                    if
                    :: ck_seq[i] <= c -> free = ck_pos[i]; j = i + 1
                    :: else
                    fi;
                    i++
                :: i == ck_count -> break
                od;
                i = 0;
                do
                :: i + j < ck_count -> ck_pos[i] = ck_pos[i + j]; ck_seq[i] = ck_seq[i + j]; i++
                :: else -> break
                od;
                do /* entries that aren't in use are 0: fewer states */
                :: i < ck_count -> ck_pos[i] = 0; ck_seq[i] = 0; i++
                :: else -> break
                od;
                ck_count = ck_count - j;
                i = 0;
                assert(free >= room && free <= head);
                room = free
            };
            if
            :: j > 0 -> j = 0; goto place
            :: j == 0 && (loan_len[0] > 0 || loan_len[1] > 0) -> goto give /* -ENOBUFS, or AETHER_FULL */
            :: j == 0 && loan_len[0] == 0 && loan_len[1] == 0 ->
                (c != LOWEST_CURSOR); /* AETHER_FULL: the caller tries again. Stuck here for good: a deadlock */
                goto place
            fi
        fi;
#ifdef FLOORLAZY
        if
        :: p % L == 0 -> lane_floor = p - L
        :: else
        fi;
#endif
#if !defined(FLOORLATE) && !defined(FLOORLAZY) && !defined(FLOORFILL)
        lane_floor = e - L; /* release fence, pairs the reader's check */
#endif
        MAY_DIE;
        atomic {
            head = e;
            next_id++;
            i = (loan_len[0] == 0 -> 0 : 1);
            loan_pos[i] = p;
            loan_len[i] = x;
            loan_id[i] = next_id
        };
        j = 0;
        do /* the caller fills it */
        :: j < x -> lane[(p + j) % L] = loan_id[i]; MAY_DIE; j++
        :: j == x -> break
        od;
#ifdef FLOORLATE
        lane_floor = e - L;
#endif
        goto again
    :: loan_len[0] > 0 || loan_len[1] > 0 ->
give:
        if
        :: loan_len[0] > 0 -> i = 0
        :: loan_len[1] > 0 -> i = 1
        fi;
        if
        :: /* aether_loan_commit() */
            atomic { position[next] = loan_pos[i]; length[next] = loan_len[i]; id[next] = loan_id[i] };
#ifdef FLOORFILL
            lane_floor = loan_pos[i] + loan_len[i] - L;
#endif
            tag[next] = COMMITTED;
            next++;
            MAY_DIE;
            claim = next
        :: /* aether_loan_discard() */
            x = 255
        fi;
        atomic {
            loan_len[i] = 0;
            loan_pos[i] = 0;
            loan_id[i] = 0;
#ifdef CKCOMMIT
            if
            :: x == 255 -> goto again
            :: else
            fi;
#endif
            p = head;
#ifndef CKNAIVE
            if
            :: loan_len[0] > 0 && loan_pos[0] < p -> p = loan_pos[0]
            :: else
            fi;
            if
            :: loan_len[1] > 0 && loan_pos[1] < p -> p = loan_pos[1]
            :: else
            fi;
#endif
            if
            :: ck_count > 0 && ck_pos[ck_count - 1] == p -> skip /* nothing new below */
            :: ck_count > 0 -> ck_pos[ck_count - 1] = p; ck_seq[ck_count - 1] = next
            :: ck_count < T -> ck_pos[ck_count] = p; ck_seq[ck_count] = next; ck_count++
            fi
        };
        goto again
    :: next_id >= M && loan_len[0] == 0 && loan_len[1] == 0 -> over = true; goto out
    fi;

dead:
    /* The proof of death lies in between. The same process plays the successor, which knows nothing of this one. */

    atomic {
        c = 0; e = 0; j = 0; p = 0; x = 0;
        loan_len[0] = 0; loan_pos[0] = 0; loan_id[0] = 0;
        loan_len[1] = 0; loan_pos[1] = 0; loan_id[1] = 0;
        i = 0;
        do
        :: i < T -> ck_pos[i] = 0; ck_seq[i] = 0; i++
        :: else -> break
        od;
        i = 0;
        goto open
    };
out:
    skip
}

#ifdef QEARLY
active proctype Daemon() {
    early = claim
}
#endif

#ifdef RELIABLE
active proctype Reliable() {
    byte c = 0, j;

#ifdef JOIN
    c = claim;
    atomic { cursor = c; active_bit = true }; /* J3, J1 */
    c = claim;
    cursor = c;
#endif
end:
    do
    :: tag[c] == COMMITTED ->
#ifdef CURSOREARLY
        cursor = c + 1;
#endif
        j = 0;
        do
        :: j < length[c] -> assert(lane[(position[c] + j) % L] == id[c]); j++
        :: j == length[c] -> break
        od;
        j = 0;
        assert(lane[position[c] % L] == id[c]); /* the view is still held */
        c++;
        if
        :: cursor = c
        :: tag[c] == COMMITTED /* a batch of views: the cursor follows later */
        fi
    od
}
#endif

#ifdef OBSERVER
active proctype Observer() {
    byte s, j, x, f;
    bool whole;

    do
    :: s < M && tag[s] == COMMITTED ->
        whole = true;
        j = 0;
#ifdef FLOORFIRST
        f = lane_floor;
#endif
        do
        :: j < length[s] -> x = lane[(position[s] + j) % L]; whole = whole && x == id[s]; j++
        :: j == length[s] -> break
        od;
#ifndef FLOORFIRST
        f = lane_floor; /* after an acquire fence */
#endif
#ifdef NOCHECK
        f = 0;
#endif
        if
        :: position[s] >= f -> assert(whole)
        :: else
        fi;
        atomic { s = 0; j = 0; x = 0; f = 0; whole = false }
    :: s < M && s < claim -> s++
    :: over -> break
    od
}
#endif

init {
    atomic {
#if defined(RELIABLE) && !defined(JOIN)
        active_bit = true;
#endif
        run Publisher()
    }
}
