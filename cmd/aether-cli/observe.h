/* SPDX-License-Identifier: Apache-2.0 */
/* observe.h - reads the metrics of the instance at cli_socket(), for the commands that show them. */
#ifndef AETHER_CLI_OBSERVE_H
#define AETHER_CLI_OBSERVE_H

#include "args.h"
#include "view/view.h"
#include "watch/watch.h"
#include <aether/aether.h>
#include <aether/metrics.h>

/* Opens a reader; the caller closes it. CLI_OK, or reports the error and returns its status; *metrics is then NULL. */
int metrics_open(aether_metrics **metrics);

/* Fills in a topic's metrics, which are valid until the next call with this reader. CLI_OK, or reports the error. */
int metrics_topic(aether_metrics *metrics, const char *name, aether_topic_metrics *topic);

/* Repeated passes over all topics. */
struct observer {
    const struct ae_watch_pass *pass;     /* the last one */
    const struct ae_watch_topic **topics; /* of the last pass, by name: those that were asked for */
    size_t count;
    aether_metrics *metrics;
    struct ae_watch *watch;
};

/* CLI_OK, or reports the error. Call observer_close() in both cases. */
int observer_open(struct observer *observer);
void observer_close(struct observer *observer);

/*
 * Makes a pass. names: the topics that the caller asks for; empty: all. CLI_OK; or reports the error, also if a topic
 * isn't there.
 */
int observer_pass(struct observer *observer, const struct args_list *names);

/*
 * The view for what was read of an instance. If no aetherd runs, it says on stderr whose leavings will be shown; JSON
 * objects say so themselves.
 */
struct ae_view note_daemon(struct ae_view view, const aether_daemon_info *daemon);

/* The number of a topic's subscribers that publishers have evicted. */
uint32_t evicted_count(const aether_topic_metrics *topic);

#endif
