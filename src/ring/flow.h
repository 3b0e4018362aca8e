/* SPDX-License-Identifier: Apache-2.0 */
/* flow.h - back pressure: up to which sequence a publisher may claim without overwriting what is still needed. */
#ifndef AE_RING_FLOW_H
#define AE_RING_FLOW_H

#include "ring/publisher.h"

/*
 * Scans all cursors, and the unfinished claims of other publishers, for a claim at seq. Sets the publisher's limit and
 * `released`. seq is ae_claim_seq() or was loaded from the claim word. On a topic that evicts, first evicts the active
 * subscribers whose cursor is below evict_below, or below the first unfinished sequence if that is lower; reason:
 * AE_EVICT_*, why. Bounded: 64 cursors, once more for each eviction; 64 intents.
 */
void ae_publisher_scan(struct ae_publisher *p, uint64_t seq, uint64_t evict_below, uint64_t reason);

/*
 * Where the cursor of record r lies. The cursors after the first page are allocated when aetherd first grants a record
 * there, so a hostile process can make this publisher read a hole of the file: the page is populated before its first
 * load. NULL: there is no memory for it; then the cursor counts as a whole ring behind.
 */
const ae_u64 *ae_cursor_of(struct ae_publisher *p, unsigned r);

/* How many bytes of the publisher's lane a subscriber holds that has released everything below seq. */
uint64_t ae_lane_held(const struct ae_publisher *p, uint64_t seq);

#endif
