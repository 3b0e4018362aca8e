/* SPDX-License-Identifier: Apache-2.0 */
/* out_test.h - a stream in memory for the unit tests beside it; what was written is in `text` after a flush. */
#ifndef AE_VIEW_OUT_TEST_H
#define AE_VIEW_OUT_TEST_H

#include "view/out.h"
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

static char *text;
static size_t size;
static struct ae_out out;

/* cmocka's setup and teardown. */
static inline int open_out(void **state) {
    FILE *file = open_memstream(&text, &size);

    (void)state;
    if (file == NULL)
        return -1;
    ae_out_init(&out, file);
    return setenv("TZ", "UTC", 1);
}

static inline int close_out(void **state) {
    (void)state;
    fclose(out.file);
    free(text);
    return 0;
}

/* From here on `out` writes, without a buffer, to a disk that is full. Returns the stream for leave_full_disk(). */
static inline FILE *enter_full_disk(void) {
    FILE *memory = out.file, *file = fopen("/dev/full", "w");

    if (file == NULL)
        abort();
    setvbuf(file, NULL, _IONBF, 0);
    ae_out_init(&out, file);
    return memory;
}

static inline void leave_full_disk(FILE *memory) {
    fclose(out.file);
    ae_out_init(&out, memory);
}

#endif
