/* SPDX-License-Identifier: Apache-2.0 */
/*
 * torn.pml - a reader that may be overrun copies a message while publishers overwrite its slot, and checks its copy.
 *
 * Covers W1, V1, W2 and R1 of docs/memory-model.md, for a payload of two words in a ring of one slot. The publisher
 * may die at any store; its successor uses the first sequence again that wasn't committed. Memory is sequentially
 * consistent; what a missing fence would allow is written out as another order of the accesses.
 *
 *   tag     2 * seq BUSY, 2 * seq + 1 committed; 0: a fresh slot
 *   a, b    the payload: seq + 16 * generation of the publisher
 *   e       the sequence that the reader wants
 *
 * Mutants:
 *   NOBUSY    the tag stays as it is until the commit
 *   NOW1      no release fence: the first payload word is visible before BUSY
 *   NOV1      no acquire fence: the second look at the tag happens before the last word is copied
 *   NOW2      the tag is no release: it is visible before the last payload word
 *   NOCHECK   no second look
 */
#define BUSY(seq) (2 * (seq))
#define COMMITTED(seq) (2 * (seq) + 1)

byte tag = 0, a = 0, b = 0, deaths = 0;

#define MAY_DIE                                                                                                        \
    if                                                                                                                 \
    :: deaths < D -> deaths++; goto dead                                                                               \
    :: true                                                                                                            \
    fi

proctype Publisher(byte generation) {
    byte seq = 1, value;

    /* The walk over the committed slots. */
    do
    :: tag >= COMMITTED(seq) -> seq++
    :: else -> break
    od;
    do
    :: seq > M -> goto out
    :: else ->
        value = seq + 16 * generation;
#ifdef NOW1
        a = value;
#endif
#ifndef NOBUSY
        tag = BUSY(seq); /* W1 */
#endif
        MAY_DIE;
        a = value;
        MAY_DIE;
#ifdef NOW2
        tag = COMMITTED(seq);
#endif
        b = value;
        MAY_DIE;
        tag = COMMITTED(seq); /* W2 */
        seq++
    od;
dead:
    run Publisher(generation + 1);
out:
    skip
}

proctype Reader() {
    byte e = 1, x, y, n = 0, t;

    do
    :: n < 2 * M ->
        if
        :: tag == COMMITTED(e) -> /* R1 */
            x = a;
#ifdef NOV1
            t = tag;
            y = b;
#else
            y = b;
            t = tag; /* V1 */
#endif
#ifdef NOCHECK
            t = COMMITTED(e);
#endif
            if
            :: t == COMMITTED(e) -> assert(x == y && x % 16 == e)
            :: else
            fi
        :: else
        fi;
        x = 0; y = 0; t = 0;
        if
        :: e < M -> e++
        :: e = 1
        fi;
        n++
    :: else -> break
    od
}

init {
    atomic { run Publisher(0); run Reader() }
}
