/* SPDX-License-Identifier: Apache-2.0 */
/* out.c - a stream that keeps its first error. */
#include "view/out.h"
#include <errno.h>
#include <unistd.h>

void ae_out_init(struct ae_out *out, FILE *file) {
    *out = (struct ae_out){.file = file, .terminal = isatty(fileno(file)) == 1};
}

bool ae_out_failed(struct ae_out *out) {
    if (out->error == 0 && ferror(out->file))
        out->error = errno != 0 ? errno : EIO;
    return out->error != 0;
}

bool ae_out_flush(struct ae_out *out) {
    if (!ae_out_failed(out) && fflush(out->file) != 0)
        out->error = errno != 0 ? errno : EIO;
    return out->error == 0;
}

int ae_out_result(struct ae_out *out) {
    return ae_out_failed(out) ? -out->error : 0;
}
