/* SPDX-License-Identifier: Apache-2.0 */
/*
 * out.h - a stream that results are written to, and whether writing to it has failed.
 *
 * The stream may be stdout, a file, or memory (open_memstream). It belongs to the caller and must outlive the struct.
 * After the first error, which is kept, output may be lost: a loop should end when ae_out_failed() returns true. Not
 * thread-safe.
 */
#ifndef AE_VIEW_OUT_H
#define AE_VIEW_OUT_H

#include <stdbool.h>
#include <stdio.h>

struct ae_out {
    FILE *file;
    bool terminal; /* file is a terminal */
    int error;     /* errno of the first write that failed; 0: no write has failed */
};

void ae_out_init(struct ae_out *out, FILE *file);
bool ae_out_failed(struct ae_out *out);
bool ae_out_flush(struct ae_out *out); /* false: the stream has failed, now or before */

/* 0, or the negative errno of the first write that failed. */
int ae_out_result(struct ae_out *out);

#endif
