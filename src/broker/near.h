/* SPDX-License-Identifier: Apache-2.0 */
/* near.h - which topic may be meant by the name of one that doesn't exist. */
#ifndef AE_BROKER_NEAR_H
#define AE_BROKER_NEAR_H

#include "broker/state.h"

/*
 * Returns the name of the existing topic that is nearest to `name` by ae_near_try(); NULL: none is near. A topic for
 * which only subscribers wait doesn't exist.
 */
const char *ae_topic_near(const struct ae_broker *broker, const char *name);

#endif
