/* SPDX-License-Identifier: Apache-2.0 */
/*
 * others.h - the sum of the topics that aren't shown by name, as counters that never go back.
 *
 * The sum of their present counters would go back when a topic ends or is shown by name from now on, and Prometheus
 * takes that for a restart: it would count the rest of the sum once more. So the sum here has what topics have added
 * while they weren't shown by name, since the program was started. It is made from the differences of each topic's
 * counters between two passes, which takes about 1 KiB a topic.
 *
 * Its gauges aren't set: they are the caller's to add.
 */
#ifndef AE_EXPORT_OTHERS_H
#define AE_EXPORT_OTHERS_H

#include "view/metrics.h"
#include <aether/metrics.h>
#include <stdint.h>

struct ae_others;

/* Topics that were created before since_ns (CLOCK_MONOTONIC) add only what they gain later. NULL: no memory. */
struct ae_others *ae_others_open(uint64_t since_ns);
void ae_others_close(struct ae_others *others); /* NULL does nothing */

/*
 * A pass: begin, each topic once in any order, each topic that is shown by name, end. A pass that fails is left without
 * an end: the next one adds what topics have gained in both.
 */
void ae_others_begin(struct ae_others *others);
int ae_others_topic(struct ae_others *others, const aether_topic_metrics *topic); /* 0 or -ENOMEM */
void ae_others_named(struct ae_others *others, const aether_topic_info *info);    /* does nothing if it is unknown */

/* Adds the pass to the sum, which stays valid until ae_others_close(). Topics that weren't seen are forgotten. */
const struct ae_view_sum *ae_others_end(struct ae_others *others);

#endif
