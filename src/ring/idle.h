/* SPDX-License-Identifier: Apache-2.0 */
/* ring/idle.h - the part of the idle strategies that needs no clock, so that a test can drive it. */
#ifndef AE_RING_IDLE_H
#define AE_RING_IDLE_H

#include <aether/idle.h>

/*
 * Returns how long the loop should pause now, in clock ticks; 0: not at all. Call it when the loop has received all
 * there was: run messages since the last call. now: clock ticks, as are the state's budget and window.
 */
uint64_t ae_idle_pause(aether_idle_state *idle, uint64_t now, uint64_t run);

#endif
