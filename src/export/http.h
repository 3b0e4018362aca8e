/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.h - the HTTP server of aether-metrics, in the service's loop: paths, methods, limits and headers.
 *
 * The loop's thread serves all connections and never waits for a reading of the instance, which a worker does. What a
 * client does slowly costs only its own connection, and that for a limited time.
 */
#ifndef AE_EXPORT_HTTP_H
#define AE_EXPORT_HTTP_H

#include "export/listen.h"
#include "export/reader.h"
#include "service/loop.h"

struct ae_http;

/* The listener is open, stays the caller's, and outlives the server, like the loop. 0, or -errno with a text. */
int ae_http_open(struct ae_http **http, struct ae_loop *loop, const struct ae_listen *listen,
                 const struct ae_reader_options *options);

/* Ends all connections. NULL does nothing. */
void ae_http_close(struct ae_http *http);

#endif
