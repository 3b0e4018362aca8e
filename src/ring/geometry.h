/* SPDX-License-Identifier: Apache-2.0 */
/*
 * geometry.h - from a topic's configuration to the layout of its objects, and the check of a layout that somebody else
 * made. A topic's type is no part of its layout.
 */
#ifndef AE_RING_GEOMETRY_H
#define AE_RING_GEOMETRY_H

#include <aether/detail/layout.h>
#include <aether/topic.h>

/* Fills *geometry with a layout for a new topic. 0, or -EINVAL with a text that says what is right. */
int ae_geometry_make(ae_geometry *geometry, const aether_topic_config *config);

/*
 * 0 if it is exactly what ae_geometry_make() gives for its capacity, max_message, slot_size, lane_bytes, publishers,
 * evict_lag and start_seq; -EBADMSG with a text otherwise. Call it on a copy, not on shared memory. After it, slots_off
 * + (seq & (capacity - 1)) * slot_size lies below lanes_off for every seq, and the lanes lie within log_bytes.
 */
int ae_geometry_check(const ae_geometry *geometry);

/*
 * 0 if every value that config sets is the topic's own; -EEXIST with a text that names both otherwise; -EINVAL for an
 * unknown preset, choice of publishers or slow policy.
 */
int ae_geometry_match(const ae_geometry *geometry, const aether_topic_config *config, const char *topic);

#endif
