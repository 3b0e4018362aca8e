/* SPDX-License-Identifier: Apache-2.0 */
/*
 * geometry.h - computes the layout of a topic's objects from its configuration, and checks a layout that comes from
 * another process. A topic's type is no part of its layout. The functions keep nothing, don't block, and may be called
 * on any thread.
 */
#ifndef AE_RING_GEOMETRY_H
#define AE_RING_GEOMETRY_H

#include <aether/detail/layout.h>
#include <aether/topic.h>

/* The statements of a configuration as values of a geometry, and back. A value that isn't stated is the default. */
static inline uint32_t ae_geometry_value(unsigned stated) {
    return stated != 0 ? stated - 1 : 0;
}

static inline unsigned ae_geometry_stated(uint32_t value) {
    return value + 1;
}

/* Sets *geometry to the layout of a new topic. Returns 0, or -EINVAL with a text that names the remedy. */
int ae_geometry_make(ae_geometry *geometry, const aether_topic_config *config);

/*
 * Returns 0 if it is exactly what ae_geometry_make() gives for its capacity, max_message, slot_size, lane_bytes,
 * publishers, evict_lag and start_seq; then every slot lies below lanes_off, and the lanes lie within log_bytes.
 * -EBADMSG with a text otherwise. Call it on a copy, not on shared memory.
 */
int ae_geometry_check(const ae_geometry *geometry);

#endif
