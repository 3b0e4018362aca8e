/* SPDX-License-Identifier: Apache-2.0 */
/*
 * topics.h - the topics. Each has a record of the registry, two objects, and possibly a type.
 *
 * A record is committed after its objects are complete, and freed after they are removed. A pointer to a record stays
 * valid while the broker runs; it points to the same topic until that is removed.
 */
#ifndef AE_BROKER_TOPICS_H
#define AE_BROKER_TOPICS_H

#include "broker/state.h"
#include "protocol/message.h"

/*
 * Finds the topic, or creates it for this client, but not if `existing`. An existing topic must match the geometry and
 * the type that the request states. The type isn't stored yet. 0, or -errno with a text: -EINVAL, -EEXIST, -ENOENT,
 * -ENOSPC, -EUSERS, and the errors of ae_objects_create().
 */
int ae_topics_provide(struct ae_broker *broker, uint32_t client, bool existing, const struct ae_topic_request *request,
                      ae_registry_topic **topic);

/*
 * Stores the type that the client's request states, if it states one and the topic has none. ae_topics_provide() has
 * checked the type.
 */
void ae_topics_take_type(const struct ae_broker *broker, uint32_t client, ae_registry_topic *topic,
                         const struct ae_topic_request *request);

/* Removes a topic that no living client has open. 0, or -errno with a text: -EINVAL, -ENOENT, -EBUSY. */
int ae_topics_remove(struct ae_broker *broker, const char *name);

/* Removes all topics that no living client has open. Returns how many are left. */
uint32_t ae_topics_remove_unused(struct ae_broker *broker);

#endif
