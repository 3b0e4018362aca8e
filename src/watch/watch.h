/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch.h - repeated passes over an instance's metrics: rates, the topics that matter most, and their recent past.
 *
 *     ae_watch_open(&watch, ae_watch_metrics_source(metrics));
 *     for (;;) {
 *         ae_watch_pass(watch, &(struct ae_watch_options){.topics = 20, .order = AE_WATCH_BY_RATE}, &pass);
 *         use pass->selected[0 .. pass->selected_count - 1], pass->other, pass->problems ...
 *         sleep;
 *     }
 *
 * A watch remembers the counters of each topic from the pass before (some 200 bytes a topic). Of at most
 * options.topics topics it hands out a full copy; all other topics that the filter admits are summed. For topics that
 * were selected within the last options.history passes, and for those in which publishers have no room or subscribers
 * have lost messages a short time ago, it also keeps samples and a histogram (some 7 KiB a topic).
 *
 * One thread at a time uses a watch. Nothing in it blocks, but for what the source does.
 */
#ifndef AE_WATCH_WATCH_H
#define AE_WATCH_WATCH_H

#include "view/problem.h"
#include "watch/rates.h"
#include "watch/source.h"
#include "watch/topic.h"
#include <aether/metrics.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ae_watch;

/* Largest first, but by name: a to z. Equal topics are ordered by name. */
enum ae_watch_order {
    AE_WATCH_BY_RATE = 0, /* messages published a second, then delivered, then published in total */
    AE_WATCH_BY_LAG = 1,
    AE_WATCH_BY_AGE = 2,  /* of the oldest unread message; unknown counts as less than 0 */
    AE_WATCH_BY_LOSS = 3, /* messages lost a second, then in total */
    AE_WATCH_BY_P99 = 4,  /* of the latencies since the pass before; of all in the first pass */
    AE_WATCH_BY_NAME = 5
};

extern const char *const ae_watch_order_names[]; /* "rate", "lag", ...; index: enum ae_watch_order; ends with NULL */

/* May change from pass to pass. The strings are used during the call only. */
struct ae_watch_options {
    size_t topics; /* how many topics are selected at most */
    enum ae_watch_order order;
    bool reverse;
    bool keep;          /* a topic that was selected stays selected while it exists, whatever the order says */
    const char *filter; /* as ae_watch_match(); topics that don't match are in no sum but pass.total; NULL: all */
    const char *pinned; /* name of a topic that is copied in any case, to pass.pinned; NULL: none */
    uint64_t client_id; /* a client whose publishers and subscribers are copied to pass.parts; 0: none */
    size_t history;     /* samples of a topic that are kept, at most AE_WATCH_HISTORY_MAX; 0: none */
};
#define AE_WATCH_HISTORY_MAX 3600

/* A publisher or subscriber of the client that options.client_id names. */
struct ae_watch_part {
    char topic[256];
    aether_role role;
    struct ae_watch_rates rates;          /* known from the second pass on that asks for the client */
    aether_publisher_metrics publisher;   /* if role is AETHER_ROLE_PUBLISHER */
    aether_subscriber_metrics subscriber; /* else */
};

#define AE_WATCH_PROBLEMS_MAX 16
#define AE_WATCH_PARTS_MAX 256

/* All pointers are valid until the next pass, or ae_watch_close(). */
struct ae_watch_pass {
    uint64_t index;                         /* passes before this one */
    aether_instance_metrics instance;       /* elapsed_ns is of the reader, which others may have used meanwhile */
    size_t topics;                          /* there are */
    size_t matching;                        /* that the filter admits */
    const struct ae_watch_topic **selected; /* in the order that was asked for */
    size_t selected_count;
    struct ae_watch_topic other;         /* sum of the matching topics that aren't selected */
    struct ae_watch_topic total;         /* sum of all topics */
    const struct ae_watch_topic *pinned; /* NULL: not asked for, or not there; it may also be among the selected */

    struct ae_problem
        problems[AE_WATCH_PROBLEMS_MAX]; /* the worst first; of topics that the filter admits, or the client is in */
    size_t problem_count;

    bool has_client; /* the client that was asked for is there: */
    aether_client_metrics client;
    const struct ae_watch_part *parts; /* the first AE_WATCH_PARTS_MAX, by topic */
    size_t part_count;
    size_t parts_left_out;
};

/* Returns 0. Errors: -ENOMEM. */
int ae_watch_open(struct ae_watch **watch, struct ae_watch_source source);
void ae_watch_close(struct ae_watch *watch); /* NULL does nothing. The source's reader stays open */

/*
 * Makes a pass. A topic's rates are known from its second pass on, and at once if it was created since the pass before.
 * Topics are told apart by id and time of creation, so one that was removed and created anew begins anew.
 * Returns 0. Errors: -ENOMEM, and those of the source; *pass is NULL then, and the watch may be used again.
 */
int ae_watch_pass(struct ae_watch *watch, const struct ae_watch_options *options, const struct ae_watch_pass **pass);

#endif
