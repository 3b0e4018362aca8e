/* SPDX-License-Identifier: Apache-2.0 */
/* near.h - which topic may be meant by the name of one that doesn't exist. */
#ifndef AE_BROKER_NEAR_H
#define AE_BROKER_NEAR_H

#include "broker/state.h"

/*
 * Returns the name of an existing topic that differs from `name` by one or two edits, which are less than half of it, or
 * only in upper and lower case; NULL: there is none. A topic for which only subscribers wait doesn't exist.
 */
const char *ae_topic_near(const struct ae_broker *broker, const char *name);

/*
 * The number of edits from a to b, or more than `most` if it is greater: insert, remove or change a byte, or swap two
 * neighbours. Upper and lower case are equal. Takes time in proportion to the length for a small `most`.
 */
unsigned ae_edits(const char *a, const char *b, unsigned most);

#endif
