/* SPDX-License-Identifier: Apache-2.0 */
/* publisher.h - the out-of-line half of a publisher: joining, claiming, looking at the cursors, its lane. */
#ifndef AE_RING_PUBLISHER_H
#define AE_RING_PUBLISHER_H

#include <aether/publish.h>
#include <stdbool.h>

/* One more than fit apart by 1/64 of a lane, and one. */
#define AE_CHECKPOINTS 66u

/* When every reliable cursor is at or past seq, the lane's bytes below position are free. */
struct ae_checkpoint {
    uint64_t position, seq;
};

struct ae_open_loan {
    uint64_t position; /* of a loan in the lane */
    uint64_t len;      /* granted */
    bool in_lane, open;
};

/* The publisher's lane; see layout.h. All of this is private: what survives its owner is lane_floor alone. */
struct ae_lane {
    unsigned char *bytes;
    uint64_t size; /* a power of two; 0: the topic has no lanes */
    ae_u64 *floor; /* in the publisher's record */
    uint64_t head; /* next position */
    uint64_t free; /* positions below it are free to be used again; head - free <= size */
    struct ae_checkpoint checkpoints[AE_CHECKPOINTS]; /* a queue, both columns growing */
    unsigned first, count;
};

/* Loans that aren't closed yet, and closed ones behind an open one: a queue with indices that grow for ever. */
struct ae_loans {
    struct ae_open_loan entries[AETHER_LOANS_MAX];
    uint64_t first, next;
    unsigned char *buffer; /* AETHER_LOANS_MAX times AE_LOAN_STRIDE, for loans that fit in a slot */
    uint64_t stride;
};

struct ae_publisher {
    struct aether_publisher hot; /* first: the public handle points here */
    ae_log *log;
    ae_publisher_record *own;
    const ae_cursors *cursors;
    ae_geometry geometry; /* checked */
    uint32_t record;
    bool may_bias;   /* whoever would end the bias could do so */
    uint64_t full;   /* as last stored in the record */
    uint64_t window; /* how far behind a reliable subscriber may be: the capacity, or evict_lag */
    uint64_t
        released; /* sequence below which every reliable subscriber has released everything; known by the last scan */
    struct ae_lane lane;
    struct ae_loans loans;
};

/* Bytes of the buffer that ae_publisher_init() wants, a multiple of 64. */
size_t ae_publisher_buffer_bytes(const ae_geometry *geometry);

/*
 * Makes *p the publisher that holds the record. log is mapped read-write and cursors read-only, as large as geometry
 * (checked by the caller) says; the record's lane is allocated. The record's former holder has left, or is dead and
 * repaired: aetherd grants it only then. buffer: 64-byte aligned, owned by the caller. Registers the process for
 * membarrier.
 */
void ae_publisher_init(struct ae_publisher *p, const ae_geometry *geometry, uint32_t record, ae_log *log,
                       const ae_cursors *cursors, unsigned char *buffer);

/* Leaves: subscribers see the end of the stream. */
void ae_publisher_leave(struct ae_publisher *p);

/*
 * Looks at the cursors and at what other publishers have begun, for a claim at seq, and sets limit and released. seq
 * was loaded from the claim word, or is that of the bias. On a topic that evicts, active subscribers whose cursor is
 * below evict_below are evicted first. Bounded: 64 records, and once more for each that is evicted; 64 publishers.
 */
void ae_publisher_scan(struct ae_publisher *p, uint64_t seq, uint64_t evict_below);

/* ---- claim.c ---- */

/* The sequence at which a claim would begin now. */
uint64_t ae_claim_seq(const struct ae_publisher *p);

/* Is there room for count more slots now? 0 or AETHER_FULL. Reserves nothing. */
int ae_claim_room(struct ae_publisher *p, uint64_t count);

/* Gives up the bias, if it has it. */
void ae_claim_leave(struct ae_publisher *p);

/* ---- lane.c ---- */

void ae_lane_init(struct ae_publisher *p, uint32_t record, unsigned char *buffer);

/*
 * 0: a message of len bytes, above inline_max, has room in the lane now; AETHER_FULL; -ENOBUFS with a text. Reserves
 * nothing.
 */
int ae_lane_room(struct ae_publisher *p, uint64_t len);

/* Messages above inline_max, and what is too large: as aether_publish(). */
int ae_publish_large(struct ae_publisher *p, const void *data, size_t len);

static inline struct ae_publisher *ae_publisher_of(aether_publisher *handle) {
    return (struct ae_publisher *)(void *)handle;
}

#endif
