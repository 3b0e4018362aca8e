/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lanes.h - how full a topic's lanes are, and how much of them each subscriber holds, from the descriptors in the ring.
 *
 * Nothing in the topic's objects is trusted. At most AE_LANES_SLOTS slots are read. The functions keep nothing; nothing
 * blocks.
 */
#ifndef AE_CLIENT_LANES_H
#define AE_CLIENT_LANES_H

#include <aether/detail/layout.h>
#include <stdbool.h>

#define AE_LANES_SLOTS 65536u

struct ae_lanes {
    bool whole;                        /* all that is held was read: else `used` isn't known */
    uint64_t held[AE_SUBSCRIBERS_MAX]; /* bytes of payload between the cursor of a record and the topic's end */
    uint64_t used[AE_PUBLISHERS_MAX];  /* bytes between the first one that is held in the record's lane and its end */
};

/* subscribers: bit r: the subscriber of cursor record r holds what it hasn't released. end: the topic's. */
void ae_lanes_read(const ae_geometry *geometry, const ae_log *log, const ae_cursors *cursors, uint64_t subscribers,
                   uint64_t end, struct ae_lanes *lanes);

/* How many messages of the largest size fit into the lane of a publisher record that holds `used` bytes. */
uint64_t ae_lanes_fits(const ae_geometry *geometry, const ae_log *log, uint32_t record, uint64_t used);

#endif
