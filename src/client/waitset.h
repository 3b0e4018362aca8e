/* SPDX-License-Identifier: Apache-2.0 */
/* waitset.h - what a notifier needs of a waitset beside <aether/waitset.h>. */
#ifndef AE_CLIENT_WAITSET_H
#define AE_CLIENT_WAITSET_H

#include <aether/waitset.h>

/*
 * Ends of streams that made the descriptor readable count as told: the next aether_waitset_next() doesn't name a
 * subscriber for them. Called by the set's thread.
 */
void ae_waitset_ends_told(aether_waitset *set);

#endif
