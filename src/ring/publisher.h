/* SPDX-License-Identifier: Apache-2.0 */
/*
 * publisher.h - the state of a publisher, private to its process, that no other header owns.
 *
 * The parts that change it: join.h (open, close), claimer.h (claims, the bias), flow.h (the limit), lane.h, loan.h.
 * One thread at a time uses a publisher.
 */
#ifndef AE_RING_PUBLISHER_H
#define AE_RING_PUBLISHER_H

#include "shm/stats_layout.h"
#include <aether/publish.h>
#include <stdbool.h>

/* At most 65 checkpoints fit in a lane, as they are at least 1/64 of it apart; and the newest, which still moves. */
#define AE_CHECKPOINTS 66u

/* When every reliable cursor is at or past seq, the lane's bytes below position are free. */
struct ae_checkpoint {
    uint64_t position, seq;
};

/* The publisher's lane; see layout.h. Only lane_floor is shared and remains after the publisher's death. */
struct ae_lane {
    unsigned char *bytes;
    /* A power of two; 0: the topic has no lanes. */
    uint64_t size;
    /* lane_floor in the publisher's record. */
    ae_u64 *floor;
    /* Position of the next block. */
    uint64_t head;
    /* Positions below it may be used again; head - free <= size. */
    uint64_t free;
    /* A queue: `count` entries, the oldest at index `first`. Positions and sequences both grow. */
    struct ae_checkpoint checkpoints[AE_CHECKPOINTS];
    unsigned first, count;
};

/* The checkpoint i places behind the oldest one; i = count: the next one to be written. */
static inline unsigned ae_checkpoint_index(const struct ae_lane *lane, unsigned i) {
    return (lane->first + i) % AE_CHECKPOINTS;
}

static inline const struct ae_checkpoint *ae_checkpoint_at(const struct ae_lane *lane, unsigned i) {
    return &lane->checkpoints[ae_checkpoint_index(lane, i)];
}

struct ae_open_loan {
    /* In the lane, if in_lane. */
    uint64_t position;
    /* Bytes that were taken. */
    uint64_t len;
    bool in_lane, open;
};

/* A queue of the loans from the oldest open one on, with those closed since. Its indices, the tickets, only grow. */
struct ae_loans {
    struct ae_open_loan entries[AETHER_LOANS_MAX];
    uint64_t first, next;
    uint64_t open_count;
    /* AETHER_LOANS_MAX blocks of `stride` bytes, for loans that fit in a slot. The publisher's opener owns them. */
    unsigned char *buffer;
    uint64_t stride;
};

/*
 * The publisher's own messages, numbered from 0. A run is a number of claims without a claim of another publisher in
 * between: message first + i of the run has sequence base + i.
 */
struct ae_run {
    uint64_t base, first;
};

/*
 * Which of its messages are stamped: one of each group, chosen at random, so that no pattern of the program's coincides
 * with the choice. A group has 2^weight messages. All are numbers of messages.
 */
struct ae_sampling {
    /* The next one that is stamped. */
    uint64_t due;
    /* Where the group in which it lies ends. */
    uint64_t group_end;
    unsigned weight;
    uint64_t random;
    /* When the last one was stamped: CLOCK_MONOTONIC. */
    uint64_t last_ns;
};

/* What holds the publisher back, as of the last scan. */
struct ae_holder {
    uint64_t what, record; /* AE_WAITS_SUBSCRIBER or AE_WAITS_PUBLISHER */
    uint64_t seq;
    /* The subscriber that is farthest behind, which holds lane bytes. */
    uint64_t last_record;
};

struct ae_publisher {
    /* First: the public handle points here. */
    struct aether_publisher hot;
    ae_log *log;
    ae_publisher_record *own;
    const ae_cursors *cursors;
    /* Bit i: page i of the cursors is populated; see ae_cursor_of(). The opener has populated the first. */
    uint32_t cursor_pages;
    /* As checked by the caller of ae_publisher_init(). */
    ae_geometry geometry;
    uint32_t record;
    /* It may take the bias: the membarrier(2) of another publisher reaches it, or there is no other publisher. */
    bool may_bias;
    /* In the statistics of its client. */
    ae_stats_record *stats;
    struct ae_run run;
    struct ae_sampling sampling;
    /* The figures of the statistics that change there. */
    uint64_t joined, flips, full, retries, wakes, stalls, stall_ns, stall_longest, waits_since;
    /* See stall.h: `notice` is called when the present stall lasts until `notice_due`, CLOCK_MONOTONIC. NULL: never. */
    void (*notice)(struct ae_publisher *p);
    /* The opener's: what it knows of the publisher. */
    const void *opener;
    uint64_t notice_after, notice_due;
    /* It may claim below this sequence without a scan. */
    uint64_t room;
    struct ae_holder holder;
    /* How many sequences a reliable subscriber may be behind: the capacity, or evict_lag. */
    uint64_t window;
    /* At the last scan every reliable subscriber had released all below this sequence. */
    uint64_t released;
    struct ae_lane lane;
    struct ae_loans loans;
};

static inline struct ae_publisher *ae_publisher_of(aether_publisher *handle) {
    return (struct ae_publisher *)(void *)handle;
}

#endif
