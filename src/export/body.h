/* SPDX-License-Identifier: Apache-2.0 */
/*
 * body.h - the bytes of a response. Several responses and the reader share one body; the last one frees it. The
 * counting is thread-safe, and the bytes don't change.
 */
#ifndef AE_EXPORT_BODY_H
#define AE_EXPORT_BODY_H

#include <stddef.h>

struct ae_body {
    char *data;
    size_t len;
    unsigned holders;
};

/* Takes over data, from malloc(), also if it fails. The caller holds the body. NULL: no memory. */
struct ae_body *ae_body_open(char *data, size_t len);

/* Returns the body, which has one more holder. NULL does nothing. */
struct ae_body *ae_body_hold(struct ae_body *body);

/* NULL does nothing. */
void ae_body_release(struct ae_body *body);

#endif
