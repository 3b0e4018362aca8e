/* SPDX-License-Identifier: Apache-2.0 */
/*
 * observe.h - what a running instance is doing, for a view: figures of metrics.h, and what a program derives from them.
 */
#ifndef AE_VIEW_OBSERVE_H
#define AE_VIEW_OBSERVE_H

#include "view/problem.h"
#include <aether/metrics.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A record that a program shows again and again. */
struct ae_view_repeat {
    uint64_t index; /* number of records that were shown before */
    bool watched;   /* on a terminal each record replaces the record before */
};

/* The latencies of one topic. */
struct ae_view_latencies {
    struct ae_view_repeat repeat;
    const aether_topic_info *info;
    double seconds; /* in which they were measured; 0: since each subscriber was opened, and the topic was created */
    const aether_latency *together;               /* of all subscribers, with those that have gone */
    const aether_subscriber_metrics *subscribers; /* their `latency` is of these seconds */
    size_t count;
    bool histogram;   /* show the buckets of `together`, too */
    unsigned columns; /* width of the output */
};

/* A subscriber of a topic. */
struct ae_view_lagging {
    const char *topic;
    const aether_subscriber_metrics *subscriber;
};

struct ae_view_lag {
    const struct ae_view_lagging *rows; /* in the order in which they are shown */
    size_t count;
    const struct ae_problem *problems; /* the worst first */
    size_t problem_count;
};

/* What was published and delivered in a second. */
struct ae_view_rate {
    bool known; /* false: there was no earlier reading */
    double messages, bytes;
};

struct ae_view_topic_rates {
    const aether_topic_metrics *figures;
    struct ae_view_rate published, delivered;
    const struct ae_view_rate *publishers; /* index as figures->publishers */
};

struct ae_view_rates {
    struct ae_view_repeat repeat;
    double seconds; /* for which they were measured */
    const struct ae_view_topic_rates *topics;
    size_t count;
};

struct ae_view_clients {
    const aether_client_metrics *list;
    size_t count;
};

/* Publishers and subscribers that have closed or died, in the order in which they are shown. */
struct ae_view_gone {
    char topic[256];
    aether_departed_metrics figures;
};

struct ae_view_departed {
    const struct ae_view_gone *rows;
    size_t count;
};

/* The states of monitoring plugins; they are also the exit codes. */
enum ae_view_health { AE_HEALTH_OK = 0, AE_HEALTH_WARNING = 1, AE_HEALTH_CRITICAL = 2, AE_HEALTH_UNKNOWN = 3 };

/* A figure and its limits. */
struct ae_view_limit {
    const char *name; /* in lower case with underscores */
    const char *unit; /* "s" or "": what monitoring systems know */
    double value, warning, critical;
    bool known; /* false: there is no value */
    bool floor; /* values below the limits are bad; otherwise values above them */
    bool has_warning, has_critical;
};

struct ae_view_check {
    enum ae_view_health health;
    const char *text;                  /* what is bad, or if nothing is, what was checked; one line, escaped */
    const struct ae_problem *problems; /* those that the text names, and those that it leaves out for brevity */
    size_t problem_count;
    const struct ae_view_limit *limits;
    size_t count;
};

#endif
