/* SPDX-License-Identifier: Apache-2.0 */
/* target.h - what a request asks for: "/path?query", or with "http://HOST" before it. No state, no errors but these. */
#ifndef AE_EXPORT_TARGET_H
#define AE_EXPORT_TARGET_H

#include <stdbool.h>
#include <stddef.h>

#define AE_TARGET_MAX 2000 /* bytes: a topic's name of 255 bytes, each as %HH, and a query with other arguments */

struct ae_target {
    bool too_long;                /* the rest is empty */
    bool absolute;                /* it names a host, which counts instead of the header Host */
    char host[AE_TARGET_MAX + 1]; /* with its port; "" if not absolute */
    /*
     * %HH of letters, digits and "-._~" is decoded, because it means the same (RFC 3986, 6.2.2.2). All other %HH stay
     * as they are. So a path is a string, and equal strings are all that is equal: %00, %2F, "//" and ".." match no
     * path.
     */
    char path[AE_TARGET_MAX + 1];
    char query[AE_TARGET_MAX + 1]; /* behind the "?", as it came */
};

/* Reads the text as it came, without the method and the version. */
void ae_target_parse(struct ae_target *target, const char *text);

/*
 * Decodes the first argument of this name of the query. 1: value and *len are set, with a zero behind the value; 0:
 * there is none; -1: its value is longer than `size` - 1. Without "=" the value is "". A "%" without two
 * digits counts as itself, and "+" as a blank, as in forms.
 */
int ae_target_argument(const struct ae_target *target, const char *name, char *value, size_t size, size_t *len);

#endif
