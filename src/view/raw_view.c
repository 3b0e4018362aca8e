/* SPDX-License-Identifier: Apache-2.0 */
/* raw_view.c - payloads as they are. Other records are skipped. */
#include "view/view.h"

static int show_message(const struct ae_view *view, const struct ae_view_message *message) {
    if (message->len > 0)
        fwrite(message->data, 1, message->len, view->out->file);
    fputc('\n', view->out->file);
    return ae_out_result(view->out);
}

const struct ae_view_form ae_raw_form = {.part = "a message", .message = show_message};
