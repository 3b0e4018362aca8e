/* SPDX-License-Identifier: Apache-2.0 */
/* ring/idle.h - the part of the idle strategies that can be tried without a clock. */
#ifndef AE_RING_IDLE_H
#define AE_RING_IDLE_H

#include <aether/idle.h>

/*
 * How long the loop is to pause now, in clock ticks. It has taken all there was: run messages since the last call. now:
 * clock ticks, as are the state's budget and window.
 */
uint64_t ae_idle_pause(aether_idle_state *idle, uint64_t now, uint64_t run);

#endif
