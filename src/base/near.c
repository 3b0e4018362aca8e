/* SPDX-License-Identifier: Apache-2.0 */
#include "base/near.h"
#include <ctype.h>
#include <string.h>

static int lower(char c) {
    return tolower((unsigned char)c);
}

static unsigned least(unsigned a, unsigned b) {
    return a < b ? a : b;
}

unsigned ae_edits(const char *a, const char *b, unsigned most) {
    unsigned best;

    while (*a != '\0' && lower(*a) == lower(*b)) {
        a++;
        b++;
    }
    if (*a == '\0' && *b == '\0')
        return 0;
    if (most == 0)
        return 1;
    best = most;
    if (*a != '\0')
        best = least(best, ae_edits(a + 1, b, most - 1));
    if (*b != '\0')
        best = least(best, ae_edits(a, b + 1, most - 1));
    if (*a != '\0' && *b != '\0') {
        best = least(best, ae_edits(a + 1, b + 1, most - 1));
        if (lower(a[0]) == lower(b[1]) && lower(a[1]) == lower(b[0]))
            best = least(best, ae_edits(a + 2, b + 2, most - 1));
    }
    return best + 1;
}

bool ae_near_try(struct ae_near *near, const char *candidate) {
    const size_t word_len = strlen(near->word), len = strlen(candidate);
    const unsigned edits = ae_edits(near->word, candidate, AE_NEAR_EDITS);

    if (edits >= near->best || 2 * edits >= (len > word_len ? len : word_len))
        return false;
    near->best = edits;
    return true;
}
