/* SPDX-License-Identifier: Apache-2.0 */
/*
 * subscription.h - the topics that sub reads, on one waitset.
 *
 * Owns the set and the subscribers; the client is the caller's, and is disconnected after subscription_close().
 */
#ifndef AETHER_CLI_SUBSCRIPTION_H
#define AETHER_CLI_SUBSCRIPTION_H

#include <aether/aether.h>
#include <stdbool.h>
#include <stddef.h>

struct sub_topic {
    aether_subscriber *subscriber;
    const char *name;
    bool asked; /* named on the command line, not found by a pattern */
};

struct subscription {
    aether_client *client;
    aether_waitset *set; /* ready.context is the struct sub_topic */
    aether_topic_config config;
    aether_subscribe_options options;
    struct sub_topic **topics;
    size_t count;
};

/* client, config and options are filled in. CLI_OK, or reports the error. Call subscription_close() in both cases. */
int subscription_open(struct subscription *subscription);
void subscription_close(struct subscription *subscription);

/*
 * Opens a subscriber of the topic; the name is copied. asked: as above. late: the topic came after the command, so it
 * is read from its oldest message on, whatever the options say. Returns 0; 1: out of memory, which was reported; or as
 * aether_subscriber_open() and aether_waitset_add(), with aether_errmsg().
 */
int subscription_add(struct subscription *subscription, const char *name, bool asked, bool late);

/* The sums of the counters of all topics; next and joined aren't filled in. */
void subscription_stats(const struct subscription *subscription, aether_subscriber_stats *stats);

/*
 * How the streams ended, if all did, and there is one: DIED if any publisher died, else CLOSED. NONE: they haven't, or
 * there is none.
 */
aether_stream subscription_ended(const struct subscription *subscription);

#endif
