/* SPDX-License-Identifier: Apache-2.0 */
/* text_observe.h - the part of the text form that shows the records of observe.h. */
#ifndef AE_VIEW_TEXT_OBSERVE_H
#define AE_VIEW_TEXT_OBSERVE_H

#include "view/observe.h"
#include "view/view.h"

/* A topic's totals, as lines; and tables of its publishers and subscribers and of the last ones that have gone. */
void ae_text_totals(FILE *file, const aether_topic_metrics *topic);
int ae_text_peers(const struct ae_view *view, const aether_topic_metrics *topic);

/* Begins a block: clears a terminal on which it replaces the block before, or writes an empty line after that. */
void ae_text_begin(const struct ae_view *view, uint64_t index, bool watched);

/* Functions of the form, see view.h. */
int ae_text_show_latencies(const struct ae_view *view, const struct ae_view_latencies *latencies);
int ae_text_show_lag(const struct ae_view *view, const struct ae_view_lag *lag);
int ae_text_show_rates(const struct ae_view *view, const struct ae_view_rates *rates);
int ae_text_show_clients(const struct ae_view *view, const struct ae_view_clients *clients);
int ae_text_show_departed(const struct ae_view *view, const struct ae_view_departed *departed);
int ae_text_show_check(const struct ae_view *view, const struct ae_view_check *check);

/* Why a subscriber was evicted: ": held 12 MiB of lane room", ": too far behind"; "" if that isn't known. */
#define AE_TEXT_EVICTION 64
char *ae_text_eviction(char text[AE_TEXT_EVICTION], aether_evict_reason reason, uint64_t held);

#endif
