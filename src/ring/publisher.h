/* SPDX-License-Identifier: Apache-2.0 */
/* publisher.h - the out-of-line half of a publisher: taking over a ring, looking at the cursors. */
#ifndef AE_RING_PUBLISHER_H
#define AE_RING_PUBLISHER_H

#include <aether/publish.h>

struct ae_publisher {
    struct aether_publisher hot; /* first: the public handle points here */
    ae_log *log;
    const ae_cursors *cursors;
    ae_geometry geometry; /* checked */
    uint32_t record;
    uint64_t full; /* as last stored in the record */
};

/*
 * Makes *p the topic's exclusive publisher. log is mapped read-write and cursors read-only, as large as geometry (checked by the caller) says.
 * The caller knows that no other publisher lives: aetherd grants the record only after proof of its death.
 * Touches at most capacity slots.
 */
void ae_publisher_init(struct ae_publisher *p, const ae_geometry *geometry, uint32_t record, ae_log *log,
                       const ae_cursors *cursors);

#endif
