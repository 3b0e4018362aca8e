/* SPDX-License-Identifier: Apache-2.0 */
/* match.h - which topics a filter or a pattern admits. */
#ifndef AE_WATCH_MATCH_H
#define AE_WATCH_MATCH_H

#include <stdbool.h>

/*
 * Does the filter admit the name? NULL and "" admit all. A filter with * or ? must match the whole name: * stands for
 * any bytes, also none and also '/'; ? for one character. Any other filter must be part of the name. ASCII letters
 * match in both cases. Takes at most time proportional to the product of both lengths.
 */
bool ae_watch_match(const char *filter, const char *name);

/*
 * Patterns of whole names, by the levels that '/' separates: '+' stands for any one level, and '#', as the last level,
 * for any number of levels, also none: "a/#" admits "a". No topic's name has either character, so each name is also a
 * pattern that admits only itself. Bytes must be equal, also the case of letters.
 */
bool ae_watch_is_pattern(const char *text);

/* False: '+' or '#' is only a part of a level, or '#' isn't the last one. */
bool ae_watch_pattern_valid(const char *pattern);

/* Does a valid pattern admit the name? */
bool ae_watch_match_levels(const char *pattern, const char *name);

#endif
