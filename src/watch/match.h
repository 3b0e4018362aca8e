/* SPDX-License-Identifier: Apache-2.0 */
/* match.h - which topics a filter admits. */
#ifndef AE_WATCH_MATCH_H
#define AE_WATCH_MATCH_H

#include <stdbool.h>

/*
 * Does the filter admit the name? NULL and "" admit all. A filter with * or ? must match the whole name: * stands for
 * any bytes, also none and also '/'; ? for one character. Any other filter must be part of the name. ASCII letters
 * match in both cases. Takes at most time proportional to the product of both lengths.
 */
bool ae_watch_match(const char *filter, const char *name);

#endif
