/* SPDX-License-Identifier: Apache-2.0 */
/*
 * problems.h - finds what is wrong in topics: publishers that wait, and subscribers that are stuck, stopped, lose
 * messages or have been evicted. Each culprit has one record, which says all that is wrong with it.
 */
#ifndef AE_WATCH_PROBLEMS_H
#define AE_WATCH_PROBLEMS_H

#include "view/problem.h"
#include "watch/topic.h"
#include <aether/metrics.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A publisher that has waited for less than this is no problem yet: in a topic with back pressure, publishers wait for
 * a moment again and again. If that takes much of their time, they are throttled. In a first reading that isn't known,
 * so each wait counts.
 */
#define AE_WATCH_PATIENCE_NS UINT64_C(100000000)

/*
 * Adds the problems of a topic to a list of `count` records, which is sorted, the worst first, and keeps the `max`
 * worst ones. Returns how many there are then. Publishers that wait for the same subscriber or publisher are one
 * record. So are the problems of the same kind that a program has in several topics, and all problems that a stopped
 * program has.
 *
 * Losses and throttled publishers are found from the topic's rates, so only from the second pass on. A loss stays in
 * the list for AE_WATCH_LOSS_NS after the pass that saw it. Evictions need no such rule: a subscriber stays evicted.
 * instance: as of the pass; what died within the minute before is in the list. patience_ns: publishers that have waited
 * for less aren't, if the topic's rates are known.
 */
size_t ae_watch_problems(const struct ae_watch_topic *topic, const aether_instance_metrics *instance,
                         uint64_t patience_ns, struct ae_problem *list, size_t count, size_t max);

/* Adds one record, or adds it to that of the same culprit. Returns the new count. */
size_t ae_watch_problems_add(struct ae_problem *list, size_t count, size_t max, const struct ae_problem *problem);

#endif
