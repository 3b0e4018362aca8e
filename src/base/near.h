/* SPDX-License-Identifier: Apache-2.0 */
/*
 * near.h - which of several words may be meant by one that was mistyped: "did you mean ...?". No errors; nothing is
 * allocated.
 */
#ifndef AE_BASE_NEAR_H
#define AE_BASE_NEAR_H

#include <stdbool.h>

/* The word, and how near the nearest candidate so far is. The word is the caller's. */
struct ae_near {
    const char *word;
    unsigned best; /* edits; more than AE_NEAR_EDITS: no candidate is near */
};

#define AE_NEAR_EDITS 2u

static inline struct ae_near ae_near(const char *word) {
    return (struct ae_near){.word = word, .best = AE_NEAR_EDITS + 1};
}

/*
 * Is the candidate nearer than those before? A candidate is near if one or two edits, which are less than half of the
 * longer of both, turn the word into it, or only the case differs. The word itself is its own candidate: with 0 edits.
 */
bool ae_near_try(struct ae_near *near, const char *candidate);

/*
 * The number of edits from a to b, or more than `most` if it is greater: insert, remove or change a byte, or swap two
 * neighbours. Upper and lower case are equal. Takes time in proportion to the length for a small `most`.
 */
unsigned ae_edits(const char *a, const char *b, unsigned most);

#endif
