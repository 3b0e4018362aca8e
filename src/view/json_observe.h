/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_observe.h - what an instance is doing, as JSON: one form of each thing for all programs, and the part of the
 * JSON form that shows the records of observe.h. aether-cli(1) lists the keys.
 */
#ifndef AE_VIEW_JSON_OBSERVE_H
#define AE_VIEW_JSON_OBSERVE_H

#include "view/json.h"
#include "view/observe.h"
#include "view/problem.h"
#include "view/view.h"

/* Adds the topic's name, configuration and counts. */
void ae_json_topic_info(struct ae_json *object, const aether_topic_info *info);

/* Adds who has stated what about the topic. */
void ae_json_topic_shape(struct ae_json *object, const aether_topic_info *info);

/* Adds the topic's metrics, and arrays of its publishers and subscribers and of the last ones that have gone. */
void ae_json_topic_figures(struct ae_json *object, const aether_topic_metrics *topic);

/* socket_path: of aetherd, any bytes. */
struct ae_json ae_json_instance(const char *socket_path, const aether_instance_metrics *instance);
struct ae_json ae_json_client(const aether_client_metrics *client);

/* ae_json_line() of a record of what an instance is doing: if no aetherd runs, it says so. */
int ae_json_row(struct ae_json object, const struct ae_view *view);

/* An array, in the same order. */
struct ae_json ae_json_problems(const struct ae_problem *problems, size_t count);

/* Functions of the form, see view.h. */
int ae_json_show_latencies(const struct ae_view *view, const struct ae_view_latencies *latencies);
int ae_json_show_lag(const struct ae_view *view, const struct ae_view_lag *lag);
int ae_json_show_rates(const struct ae_view *view, const struct ae_view_rates *rates);
int ae_json_show_clients(const struct ae_view *view, const struct ae_view_clients *clients);
int ae_json_show_departed(const struct ae_view *view, const struct ae_view_departed *departed);
int ae_json_show_check(const struct ae_view *view, const struct ae_view_check *check);

#endif
