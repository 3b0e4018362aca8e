/* SPDX-License-Identifier: Apache-2.0 */
/* flow.h - back pressure: how far a publisher may go before it would overwrite what somebody still needs. */
#ifndef AE_RING_FLOW_H
#define AE_RING_FLOW_H

#include "ring/publisher.h"

/*
 * Reads all cursors, and what other publishers have begun, for a claim at seq, and sets the publisher's limit and
 * `released`. seq was loaded from the claim word, or is that of the bias. On a topic that evicts, active subscribers
 * whose cursor is below evict_below are evicted first. Bounded: 64 records, and once more for each subscriber that is
 * evicted; 64 publishers.
 */
void ae_publisher_scan(struct ae_publisher *p, uint64_t seq, uint64_t evict_below);

#endif
