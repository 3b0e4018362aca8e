/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stall.h - what a publisher without room waits for, as far as its own mappings say.
 *
 * Used by the thread that uses the publisher. Wait-free; can't fail.
 */
#ifndef AE_RING_STALL_H
#define AE_RING_STALL_H

#include "ring/publisher.h"

/*
 * Fills in what the publisher has waited for since its last call found no room: all of *stall but the program, the
 * topic and the daemon, which are zeroed. *record: of a subscriber (SUBSCRIBER, LANE), of another publisher
 * (PUBLISHER), or its own. False: the last call had room, or is so long ago that nobody knows; *stall is zeroed.
 */
bool ae_stall_read(struct ae_publisher *p, aether_stall *stall, uint32_t *record);

/*
 * Reads again what may have changed in *stall, which ae_stall_read() has filled in, and says whether whoever has held
 * `record` since granted_ns (CLOCK_MONOTONIC), and holds it still, is what the publisher waits for. A record passes
 * from one holder to the next one, so the caller looks up the holder before this call, and makes sure afterwards that
 * it is the same. False: another holder may have left the record since the publisher found no room, or nothing is in
 * the way any more.
 */
bool ae_stall_due_to(struct ae_publisher *p, aether_stall *stall, uint32_t record, uint64_t granted_ns);

/*
 * Notices are due from now on: ae_stats_no_room() calls `notice` when a stall has lasted for after_ns, twice that time,
 * four times, and so on. It is called in the middle of a call that finds no room. It may read the publisher, but must
 * not publish, take or close with it.
 */
void ae_stall_watch(struct ae_publisher *p, void (*notice)(struct ae_publisher *p), uint64_t after_ns);

#endif
