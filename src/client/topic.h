/* SPDX-License-Identifier: Apache-2.0 */
/* topic.h - fills a request with a topic's name and configuration from the public structs. */
#ifndef AE_CLIENT_TOPIC_H
#define AE_CLIENT_TOPIC_H

#include "protocol/message.h"
#include <aether/topic.h>

/*
 * Fills *wanted, which the caller has zeroed. topic and config may be NULL. -EINVAL: the name is missing or too long,
 * or the type is incomplete or too long. aetherd checks the rest.
 */
int ae_topic_fill(struct ae_topic_request *wanted, const char *topic, const aether_topic_config *config);

#endif
