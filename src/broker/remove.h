/* SPDX-License-Identifier: Apache-2.0 */
/*
 * remove.h - the end of a topic: its record of the registry, its totals and its objects. Topics and clients are
 * identified by the index of their record.
 */
#ifndef AE_BROKER_REMOVE_H
#define AE_BROKER_REMOVE_H

#include "broker/state.h"

/* The number of grants of the topic in any role. */
uint32_t ae_topic_users(const struct ae_broker *broker, uint32_t topic);

/* Removes all of a topic that has no grants but its record, which is REMOVING then. */
void ae_topic_take_down(struct ae_broker *broker, uint32_t topic);

/* Removes a topic that has no grants. */
void ae_topic_remove(struct ae_broker *broker, uint32_t topic);

/*
 * Removes the topic if it is OPEN and has no grants: only its subscribers needed it. Call it after a grant was freed,
 * and after a request failed that may have created the topic.
 */
void ae_topic_remove_if_left(struct ae_broker *broker, uint32_t topic);

#endif
