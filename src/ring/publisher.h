/* SPDX-License-Identifier: Apache-2.0 */
/*
 * publisher.h - the state of a publisher, private to its process, that no other header owns.
 *
 * The parts that change it: join.h (open, close), claimer.h (claims, the bias), flow.h (the limit), lane.h, loan.h.
 * One thread at a time uses a publisher.
 */
#ifndef AE_RING_PUBLISHER_H
#define AE_RING_PUBLISHER_H

#include <aether/publish.h>
#include <stdbool.h>

/* Checkpoints are 1/64 of the lane apart: 64 fit, one more may be begun, and one is the newest, which still moves. */
#define AE_CHECKPOINTS 66u

/* When every reliable cursor is at or past seq, the lane's bytes below position are free. */
struct ae_checkpoint {
    uint64_t position, seq;
};

/* The publisher's lane; see layout.h. All of this is private: only lane_floor outlives the publisher. */
struct ae_lane {
    unsigned char *bytes;
    /* A power of two; 0: the topic has no lanes. */
    uint64_t size;
    /* In the publisher's record. */
    ae_u64 *floor;
    /* The next position. */
    uint64_t head;
    /* Positions below it are free to be used again; head - free <= size. */
    uint64_t free;
    /* A queue; positions and sequences both grow. */
    struct ae_checkpoint checkpoints[AE_CHECKPOINTS];
    unsigned first, count;
};

struct ae_open_loan {
    /* Of a loan in the lane. */
    uint64_t position;
    /* Bytes that were granted. */
    uint64_t len;
    bool in_lane, open;
};

/* Loans that aren't closed yet, and closed ones behind an open one: a queue whose indices only grow. */
struct ae_loans {
    struct ae_open_loan entries[AETHER_LOANS_MAX];
    uint64_t first, next;
    /* AETHER_LOANS_MAX blocks of `stride` bytes, for loans that fit in a slot; owned by whoever opened the publisher. */
    unsigned char *buffer;
    uint64_t stride;
};

struct ae_publisher {
    /* First: the public handle points here. */
    struct aether_publisher hot;
    ae_log *log;
    ae_publisher_record *own;
    const ae_cursors *cursors;
    /* Checked. */
    ae_geometry geometry;
    uint32_t record;
    /* Another publisher that needs to end this one's bias can do so. */
    bool may_bias;
    /* Times that there was no room, as last stored in the record. */
    uint64_t full;
    /* How many sequences a reliable subscriber may be behind: the capacity, or evict_lag. */
    uint64_t window;
    /* As of the last scan, every reliable subscriber has released all below this sequence. */
    uint64_t released;
    struct ae_lane lane;
    struct ae_loans loans;
};

static inline struct ae_publisher *ae_publisher_of(aether_publisher *handle) {
    return (struct ae_publisher *)(void *)handle;
}

#endif
