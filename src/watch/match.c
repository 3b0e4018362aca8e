/* SPDX-License-Identifier: Apache-2.0 */
/* match.c - substrings, globs and patterns of levels, without recursion. */
#include "watch/match.h"
#include <stddef.h>
#include <string.h>

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool contains(const char *name, const char *part) {
    do {
        size_t i = 0;
        while (part[i] != '\0' && lower(name[i]) == lower(part[i]))
            i++;
        if (part[i] == '\0')
            return true;
    } while (*name++ != '\0');
    return false;
}

/* The character after the one at p: its first byte and all bytes that continue a UTF-8 sequence. */
static const char *after_character(const char *p) {
    do
        p++;
    while (((unsigned char)*p & 0xc0) == 0x80);
    return p;
}

/*
 * If the text doesn't match what follows the last star, the star takes one byte more. Earlier stars needn't be tried
 * again: whatever they could take, the last one can take as well.
 */
static bool glob(const char *pattern, const char *name) {
    const char *star = NULL, *from = NULL;

    while (*name != '\0') {
        if (*pattern == '*') {
            star = ++pattern;
            from = name;
        } else if (*pattern == '?') {
            pattern++;
            name = after_character(name);
        } else if (lower(*pattern) == lower(*name)) {
            pattern++;
            name++;
        } else if (star != NULL) {
            pattern = star;
            name = ++from;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

bool ae_watch_match(const char *filter, const char *name) {
    if (filter == NULL || filter[0] == '\0')
        return true;
    return strpbrk(filter, "*?") != NULL ? glob(filter, name) : contains(name, filter);
}

bool ae_watch_is_pattern(const char *text) {
    return strpbrk(text, "+#") != NULL;
}

bool ae_watch_pattern_valid(const char *pattern) {
    for (;;) {
        const size_t len = strcspn(pattern, "/");
        const size_t plain = strcspn(pattern, "+#/");
        if (plain != len && (len != 1 || (*pattern == '#' && pattern[1] != '\0')))
            return false;
        if (pattern[len] == '\0')
            return true;
        pattern += len + 1;
    }
}

bool ae_watch_match_levels(const char *pattern, const char *name) {
    for (;;) {
        if (strcmp(pattern, "#") == 0)
            return true;
        const size_t len = strcspn(pattern, "/"), level = strcspn(name, "/");
        if ((len != 1 || *pattern != '+') && (len != level || memcmp(pattern, name, len) != 0))
            return false;
        pattern += len;
        name += level;
        if (*name == '\0')
            return *pattern == '\0' || strcmp(pattern, "/#") == 0;
        if (*pattern == '\0')
            return false;
        pattern++;
        name++;
    }
}
