/* SPDX-License-Identifier: Apache-2.0 */
/*
 * page.h - the files of the web page, which the build embeds into the program (tools/embed.py).
 *
 * All of it is constant: any thread may use it at any time, and nothing blocks or fails.
 */
#ifndef AE_EXPORT_PAGE_H
#define AE_EXPORT_PAGE_H

#include <stddef.h>

struct ae_page_file {
    const char *path;         /* of the request: "/", "/page.css" */
    const char *content_type; /* "text/css; charset=utf-8" */
    const unsigned char *data;
    size_t size; /* bytes */
};

/* The Content-Security-Policy of the page: nothing from elsewhere, and no script or style in the page itself. */
#define AE_PAGE_POLICY                                                                                                 \
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "              \
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/* The generated table. */
extern const struct ae_page_file ae_page_files[];
extern const size_t ae_page_file_count;

/* The file of a request's path, which is given without its query; NULL: there is none. */
const struct ae_page_file *ae_page_find(const char *path);

#endif
