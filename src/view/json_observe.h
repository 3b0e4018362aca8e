/* SPDX-License-Identifier: Apache-2.0 */
/* json_observe.h - the part of the JSON form that shows the records of observe.h. */
#ifndef AE_VIEW_JSON_OBSERVE_H
#define AE_VIEW_JSON_OBSERVE_H

#include "view/json.h"
#include "view/observe.h"
#include "view/view.h"

/* Adds the topic's metrics, and arrays of its publishers and subscribers and of the last ones that have gone. */
void ae_json_topic_figures(struct ae_json *object, const aether_topic_metrics *topic);

/* Functions of the form, see view.h. */
int ae_json_show_latencies(const struct ae_view *view, const struct ae_view_latencies *latencies);
int ae_json_show_lag(const struct ae_view *view, const struct ae_view_lag *lag);
int ae_json_show_rates(const struct ae_view *view, const struct ae_view_rates *rates);
int ae_json_show_clients(const struct ae_view *view, const struct ae_view_clients *clients);
int ae_json_show_check(const struct ae_view *view, const struct ae_view_check *check);

#endif
