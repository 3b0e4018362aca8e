/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hold.h - messages that a program keeps beyond the next receive.
 *
 * As long as a subscriber holds something, its cursor in the statistics goes on as always, and the shared cursor, for
 * which publishers wait, stays at or below the lowest sequence held. So the inline functions needn't know: they store
 * to where hot.cursor points, as while retained messages are read.
 *
 * The subscriber owns its holds. One thread at a time uses them. Nothing here blocks.
 */
#ifndef AE_RING_HOLD_H
#define AE_RING_HOLD_H

#include "ring/subscriber.h"

/* Does the subscriber hold something? */
static inline bool ae_holds_any(const struct ae_subscriber *s) {
    return s->holds.used != 0;
}

/*
 * Call it when the cursor was stored: if something is held, raises the shared cursor as far as that allows. Without
 * holds it does nothing.
 */
void ae_holds_show(struct ae_subscriber *s);

/* The subscriber was evicted: publishers don't wait any more for what it holds. */
void ae_holds_void(struct ae_subscriber *s);

#endif
