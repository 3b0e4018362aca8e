/* SPDX-License-Identifier: Apache-2.0 */
/*
 * subscriber.h - the state of a subscriber, private to its process, that no other header owns.
 *
 * The parts that change it: join.h (open, close), receive.h, wait.h. One thread at a time uses a subscriber.
 */
#ifndef AE_RING_SUBSCRIBER_H
#define AE_RING_SUBSCRIBER_H

#include <aether/subscribe.h>
#include <stdbool.h>

struct ae_subscriber {
    /* First: the public handle points here. */
    struct aether_subscriber hot;
    const ae_log *log;
    /* NULL: best effort, latest. */
    ae_cursors *cursors;
    /* Checked. */
    ae_geometry geometry;
    uint32_t record;
    aether_policy policy;
    /* Views point into shared memory though they may be overwritten: the caller asks aether_still_valid(). */
    bool in_place;
    /* It was evicted, and a receive has reported that. */
    bool evicted;
    /* The value of the record's eviction word once a publisher has evicted this subscriber. */
    uint64_t evict_word;
    /* Reliable: from this sequence on nothing is overwritten unread. Others never reach it. */
    uint64_t protected_seq;
    /* Bit r: lane r is populated in this mapping. */
    uint64_t lanes_ready;
    uint64_t joined, lost, gaps, aborted, skipped;
    /* Where views that may be overwritten are copied to. NULL: views are in place, or nothing may be overwritten. */
    unsigned char *copies;
    size_t copies_size;
    /* wait.c: publishers that had been admitted when the end of the stream was last reported. */
    uint64_t ends_told;
    /* wait.c: nanoseconds of spinning that have paid off lately. */
    uint64_t spin_ns;
    /* wait.c: naps since there was last something to receive. */
    uint64_t naps;
    /* Stands in for the record's cursor while this subscriber holds no publisher back. */
    ae_u64 no_cursor;
};

static inline struct ae_subscriber *ae_subscriber_of(aether_subscriber *handle) {
    return (struct ae_subscriber *)(void *)handle;
}

static inline const struct ae_subscriber *ae_subscriber_of_const(const aether_subscriber *handle) {
    return (const struct ae_subscriber *)(const void *)handle;
}

#endif
