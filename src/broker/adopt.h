/* SPDX-License-Identifier: Apache-2.0 */
/*
 * adopt.h - what aetherd does at its start with what its predecessor left.
 *
 * The registry is authoritative but not trusted: a record that makes no sense is dropped with its objects. Then the
 * tokens show which clients are dead. Last every object of this instance goes that no record accounts for.
 */
#ifndef AE_BROKER_ADOPT_H
#define AE_BROKER_ADOPT_H

#include "broker/state.h"

/*
 * Works on the registry that is mapped, which may be a new one. 0, or -errno with a text: out of memory or descriptors.
 * Then no topic was dropped for that reason, and a later start can adopt them all.
 */
int ae_adopt(struct ae_broker *broker);

#endif
