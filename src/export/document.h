/* SPDX-License-Identifier: Apache-2.0 */
/* document.h - what /api/topics.json shows, as one JSON object. aether-metrics(8) lists the keys. */
#ifndef AE_EXPORT_DOCUMENT_H
#define AE_EXPORT_DOCUMENT_H

#include "view/out.h"
#include "view/problem.h"
#include <aether/metrics.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What it points to is used during the call only. */
struct ae_document {
    uint64_t time_ns;        /* CLOCK_MONOTONIC of the pass */
    const char *error;       /* why there is no instance; NULL: there is one */
    const char *socket_path; /* of aetherd */
    const aether_instance_metrics *instance;
    const aether_topic_metrics *const *topics;
    size_t topic_count, topics_left_out;
    bool buckets;                      /* with all buckets of the topics' latencies */
    const aether_topic_metrics *other; /* sum of the topics that are left out; NULL: there are none */
    const struct ae_problem *problems; /* the worst first */
    size_t problem_count;
    const aether_client_metrics *clients;
    size_t client_count, clients_left_out;
};

/* Returns 0, -ENOMEM, or the stream's error. */
int ae_document_write(const struct ae_document *document, struct ae_out *out);

#endif
