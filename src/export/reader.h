/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reader.h - reads the instance when it is asked, and makes the bodies of the answers.
 *
 * Calls within the interval share one pass, and the bodies that were made from it: no number of requests costs more
 * than one pass an interval. An instance that isn't there, or goes and comes back, is no error of the calls: the bodies
 * say so.
 *
 * One thread uses a reader. The calls read shared memory and take up to some 100 ms for 10,000 topics; they don't
 * block.
 */
#ifndef AE_EXPORT_READER_H
#define AE_EXPORT_READER_H

#include "base/socket.h"
#include "export/body.h"
#include <stdbool.h>
#include <stdint.h>

struct ae_reader;

struct ae_reader_options {
    char socket_path[AE_SOCKET_PATH_MAX + 2]; /* of aetherd; "": the default one */
    uint32_t topics;                          /* that are shown by name */
    bool clients;                             /* metrics of publishers, subscribers and clients, too */
    uint32_t interval_ms;
};

/* The options are copied. 0, or -ENOMEM. */
int ae_reader_open(struct ae_reader **reader, const struct ae_reader_options *options);
void ae_reader_close(struct ae_reader *reader); /* NULL does nothing */

/* Can an instance be read? 0, or a negative code with a text that says why not. */
int ae_reader_ready(struct ae_reader *reader);

/* The caller holds the body. NULL: no memory. */
struct ae_body *ae_reader_metrics(struct ae_reader *reader, bool openmetrics);

/* All topics that are shown by name; or, if topic isn't NULL, this one with all buckets. */
struct ae_body *ae_reader_topics(struct ae_reader *reader, const char *topic);

#endif
