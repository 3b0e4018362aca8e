/* SPDX-License-Identifier: Apache-2.0 */
/*
 * refuse.h - how a request for a topic is refused: the text says what is in the way, which clients use the topic, and
 * what to do. The functions only set the text and return -errno. They change nothing and don't block.
 */
#ifndef AE_BROKER_REFUSE_H
#define AE_BROKER_REFUSE_H

#include "broker/shape.h"
#include "broker/state.h"

/* -ENOENT: there is no topic of this name. topic: NULL, or the one of this name, for which only subscribers wait. */
int ae_refuse_missing(const struct ae_broker *broker, const char *name, const ae_registry_topic *topic);

/* -EEXIST: these values of a FIXED topic, AE_STATED_*, aren't what the client that asks states. */
int ae_refuse_difference(const struct ae_broker *broker, const ae_registry_topic *topic,
                         const struct ae_statement *asks, uint32_t differs);

/* -EBUSY: a topic that has users can't be removed. */
int ae_refuse_removal(const struct ae_broker *broker, const ae_registry_topic *topic);

#endif
