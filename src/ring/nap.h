/* SPDX-License-Identifier: Apache-2.0 */
/* nap.h - short sleeps of a loop that nobody can wake, each longer than the one before. */
#ifndef AE_RING_NAP_H
#define AE_RING_NAP_H

#include <stdbool.h>
#include <stdint.h>

#define AE_NAP_FIRST_NS 50000u

/* Nanoseconds of the next nap after `naps` in a row: from AE_NAP_FIRST_NS, doubled each time, to AETHER_IDLE_NAP_NS. */
uint64_t ae_nap_ns(uint64_t naps);

/* Sleeps. False: a signal cut it short. */
bool ae_nap(uint64_t ns);

#endif
