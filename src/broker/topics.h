/* SPDX-License-Identifier: Apache-2.0 */
/*
 * topics.h - the topics: one record of the registry a topic, its two objects, and the type that its messages have.
 *
 * A record is committed after its objects are complete, and freed after they are removed. A pointer to a record stays
 * valid while the broker runs; what it points to is the topic's until that is removed.
 */
#ifndef AE_BROKER_TOPICS_H
#define AE_BROKER_TOPICS_H

#include "broker/state.h"
#include "protocol/message.h"

/*
 * Finds the topic, or creates it. A topic that exists has to match all that the request states: geometry and type. The
 * type isn't taken yet. 0, or -errno with a text: -EINVAL, -EEXIST, -ENOSPC, -EUSERS, and those of ae_objects_create().
 */
int ae_topics_provide(struct ae_broker *broker, const struct ae_topic_request *request, ae_registry_topic **topic);

/* Gives a topic without a type the one that the request states, if any; ae_topics_provide() has checked it. */
void ae_topics_take_type(const struct ae_broker *broker, ae_registry_topic *topic,
                         const struct ae_topic_request *request);

/* Removes a topic that no living client has open. 0, or -errno with a text: -EINVAL, -ENOENT, -EBUSY. */
int ae_topics_remove(struct ae_broker *broker, const char *name);

/* Removes all such topics, and returns how many are left. */
uint32_t ae_topics_remove_unused(struct ae_broker *broker);

#endif
