/* SPDX-License-Identifier: Apache-2.0 */
/*
 * adopt.h - adopts at aetherd's start what its predecessor left.
 *
 * The registry decides what exists, but it isn't trusted: a record with impossible values is dropped with its objects.
 * Then the tokens show which clients are dead. Last, the objects of this instance for which there is no record are
 * removed.
 */
#ifndef AE_BROKER_ADOPT_H
#define AE_BROKER_ADOPT_H

#include "broker/state.h"

/*
 * Works on the mapped registry, which may be new. 0, or -errno with a text if memory or descriptors ran out. Then no
 * topic was dropped for that reason, and a later start can adopt them all.
 */
int ae_adopt(struct ae_broker *broker);

#endif
