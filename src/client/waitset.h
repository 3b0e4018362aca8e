/* SPDX-License-Identifier: Apache-2.0 */
/* waitset.h - what a notifier needs from a waitset in addition to <aether/waitset.h>. */
#ifndef AE_CLIENT_WAITSET_H
#define AE_CLIENT_WAITSET_H

#include <aether/waitset.h>

/*
 * Ends of streams for which the descriptor was made readable count as reported: the next aether_waitset_next() doesn't
 * name a subscriber because of them. Only the set's thread calls this.
 */
void ae_waitset_ends_reported(aether_waitset *set);

#endif
