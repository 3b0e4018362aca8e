/* SPDX-License-Identifier: Apache-2.0 */
/*
 * subscriber.h - the state of a subscriber, private to its process, that no other header owns.
 *
 * The parts that change it: join.h (open, close), receive.h, hold.h, wait.h. One thread at a time uses a subscriber.
 */
#ifndef AE_RING_SUBSCRIBER_H
#define AE_RING_SUBSCRIBER_H

#include "shm/registry_layout.h"
#include "shm/stats_layout.h"
#include <aether/subscribe.h>
#include <stdbool.h>

struct ae_subscriber {
    /* First: the public handle points here. */
    struct aether_subscriber hot;
    const ae_log *log;
    /* NULL for best effort and latest, which can't hold publishers up. */
    ae_cursors *cursors;
    ae_notes *notes;
    /* As checked by the caller of ae_subscriber_init(). Of a topic without a shape: zero but for start_seq. */
    ae_geometry geometry;
    uint32_t record;
    aether_policy policy;
    /* The program asked for AETHER_VIEWS_IN_PLACE, and calls aether_still_valid(). */
    bool in_place;
    /* It was evicted, and a receive has reported that. */
    bool evicted;
    /* The generation of the record's eviction word while this subscriber holds the record. */
    uint64_t evict_generation;
    /* The sequence at which it joined. From there on no publisher overwrites what a reliable subscriber hasn't read. */
    uint64_t protected_seq;
    /*
     * The stream block when it joined: `joins`, `died`, and whether a publisher was open. A subscriber from before the
     * topic's first publisher has zeros. See aether_subscriber_stream().
     */
    uint64_t joins_before, died_before;
    bool open_before;
    /* hold.c: bit i of `used`: seqs[i] is held. */
    struct {
        uint64_t used;
        uint64_t seqs[AETHER_HOLDS_MAX];
    } holds;
    /* Bit r: lane r is populated in this mapping. */
    uint64_t lanes_ready;
    /* See aether_subscriber_stats. */
    uint64_t joined, lost, gaps, aborted, skipped;
    uint64_t lost_by[AE_LOST_REASONS];
    /*
     * In the statistics of its client. stats->position is the cursor where publishers needn't see it: (1) for best
     * effort and latest; (2) while messages from before the join are read; (3) while messages are held; (4) after an
     * eviction.
     */
    ae_stats_record *stats;
    /*
     * While the topic has no shape: the topic's shape word, and a function that takes the shape when that word says
     * FIXED. It calls ae_subscriber_take_shape() and returns 1; 0: there is no shape yet; or a negative errno code with
     * a text, and then the subscriber still waits. The opener sets it. With a shape both are NULL.
     */
    const ae_u64 *shape;
    int (*attach)(struct ae_subscriber *s);
    /* How often the figures were stored, and `next` when they were. */
    uint64_t flips, stored;
    uint64_t sleeps, woken;
    /* Messages in its histogram, with the overflow. */
    uint64_t measured;
    /* Where messages that may be overwritten are copied to; owned by its opener. NULL: no message is copied. */
    unsigned char *copies;
    size_t copies_size;
    /* wait.c: the end of the stream that was last reported, named by how many publishers had joined before it. */
    uint64_t reported_end;
    /* wait.c: how long to spin before sleeping; adapts to how long messages took lately. */
    uint64_t spin_ns;
};

/* Does the subscriber wait for its topic's shape? Then only the words of the log are mapped. */
static inline bool ae_subscriber_waits(const struct ae_subscriber *s) {
    return s->shape != NULL;
}

/* Has the topic of a subscriber that waits a shape? G10 acquire, pairs G9: with the shape comes the geometry. */
static inline bool ae_subscriber_sees_shape(const struct ae_subscriber *s) {
    return ae_shape_of(ae_load_acquire(s->shape)) == AE_SHAPE_FIXED;
}

static inline struct ae_subscriber *ae_subscriber_of(aether_subscriber *handle) {
    return (struct ae_subscriber *)(void *)handle;
}

static inline const struct ae_subscriber *ae_subscriber_of_const(const aether_subscriber *handle) {
    return (const struct ae_subscriber *)(const void *)handle;
}

#endif
