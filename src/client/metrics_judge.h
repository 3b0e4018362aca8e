/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics_judge.h - what follows from the figures of a topic: which publisher waits for which program, how far
 * subscribers are behind, and which of them are stuck.
 *
 * A program that states nonsense can't make another one a culprit: what it states is compared with the topic's words.
 */
#ifndef AE_CLIENT_METRICS_JUDGE_H
#define AE_CLIENT_METRICS_JUDGE_H

#include "client/metrics_reading.h"

/*
 * Fills in what the publisher waits for, which has just been read. The indices of programs are record numbers until
 * ae_judge() replaces them.
 */
void ae_judge_waits(const struct ae_reading *r, const ae_stats_record *copy, aether_publisher_metrics *p);

/*
 * Fills in the figures that follow from those of all publishers and subscribers. r->now, the lists and out->info are
 * complete: the topic's end was loaded after all cursors.
 */
void ae_judge(const struct ae_reading *r);

#endif
