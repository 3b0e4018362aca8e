/* SPDX-License-Identifier: Apache-2.0 */
/* nap.h - short sleeps of a loop that no other process can wake. Each is longer than the one before. */
#ifndef AE_RING_NAP_H
#define AE_RING_NAP_H

#include <stdbool.h>
#include <stdint.h>

#define AE_NAP_FIRST_NS 50000u

/*
 * Returns how many nanoseconds the next nap takes after `naps` in a row: AE_NAP_FIRST_NS at first, then twice as long
 * each time, at most AETHER_IDLE_NAP_NS.
 */
uint64_t ae_nap_ns(uint64_t naps);

/* Sleeps for ns nanoseconds. False: a signal has ended the sleep early. */
bool ae_nap(uint64_t ns);

#endif
