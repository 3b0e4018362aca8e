/* SPDX-License-Identifier: Apache-2.0 */
/* subscriber.h - the out-of-line half of a subscriber: joining, leaving, and everything that isn't the next whole message. */
#ifndef AE_RING_SUBSCRIBER_H
#define AE_RING_SUBSCRIBER_H

#include <aether/subscribe.h>

struct ae_subscriber {
    struct aether_subscriber hot; /* first: the public handle points here */
    const ae_log *log;
    ae_cursors *cursors;  /* NULL: best effort */
    ae_geometry geometry; /* checked */
    uint32_t record;
    uint64_t protected_seq; /* reliable: from here on nothing is overwritten unread; best effort: never reached */
    uint64_t joined, lost, gaps, aborted;
    unsigned char *copies; /* room for copy_count payloads, where views may not point into the ring */
    size_t copy_count;
    ae_u64 no_cursor; /* stands in for the record's cursor of a best-effort subscriber */
};

/* Room for the copies: 16 messages of the largest size, or thousands of small ones. */
#define AE_COPY_BUFFER_BYTES 65536u

/*
 * Joins. cursors is NULL for best effort. copies: AE_COPY_BUFFER_BYTES bytes, 8-byte aligned, owned by the caller. options and geometry
 * are checked by the caller; record is below AE_SUBSCRIBERS_MAX and granted by aetherd.
 */
void ae_subscriber_init(struct ae_subscriber *s, const ae_geometry *geometry, uint32_t record, const ae_log *log,
                        ae_cursors *cursors, const aether_subscribe_options *options, unsigned char *copies);

/* Leaves: publishers stop waiting for it. */
void ae_subscriber_leave(struct ae_subscriber *s);

#endif
