/* SPDX-License-Identifier: Apache-2.0 */
/* output.c - stdout, and the choice of the form in which records are shown. */
#include "output.h"
#include "error.h"
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define BUFFER_BYTES 65536

static struct ae_out out;

void out_init(void) {
    static char buffer[BUFFER_BYTES];

    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    ae_out_init(&out, stdout);
}

bool out_failed(void) {
    return ae_out_failed(&out);
}

bool out_flush(void) {
    return ae_out_flush(&out);
}

bool out_utf8(void) {
    setlocale(LC_CTYPE, ""); /* only this category, so that numbers keep their dots */
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

unsigned out_columns(void) {
    struct winsize size;

    return ioctl(fileno(stdout), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

int out_status(void) {
    if (ae_out_flush(&out) || out.error == EPIPE)
        return CLI_OK;
    return cli_error(CLI_FAILURE, "can't write the output: %s%s", strerror(out.error),
                     out.error == ENOSPC ? ": free some room there" : "");
}

struct ae_view out_view(const struct out_options *options) {
    const struct ae_view_form *form = options->json ? &ae_json_form : options->raw ? &ae_raw_form : &ae_text_form;

    return (struct ae_view){.form = form, .out = &out, .remarks = stderr};
}

int out_check(const struct ae_view *view, int rc) {
    return rc == -ENOMEM ? cli_error(CLI_FAILURE, "out of memory: %s is left out", view->form->part) : CLI_OK;
}
