/* SPDX-License-Identifier: Apache-2.0 */
/*
 * subscriber.h - the out-of-line half of a subscriber: joining, leaving, and everything that isn't the next whole
 * message.
 */
#ifndef AE_RING_SUBSCRIBER_H
#define AE_RING_SUBSCRIBER_H

#include <aether/subscribe.h>
#include <stdbool.h>

struct ae_subscriber {
    struct aether_subscriber hot; /* first: the public handle points here */
    const ae_log *log;
    ae_cursors *cursors;  /* NULL: best effort, latest */
    ae_geometry geometry; /* checked */
    uint32_t record;
    aether_policy policy;
    bool in_place;          /* views that may be overwritten point into shared memory */
    bool evicted;           /* and told */
    uint64_t evict_word;    /* what the record's word is once publishers have evicted this subscriber */
    uint64_t protected_seq; /* reliable: from here on nothing is overwritten unread; others: never reached */
    uint64_t lanes_ready;   /* bit r: lane r is populated in this mapping */
    uint64_t joined, lost, gaps, aborted, skipped;
    unsigned char
        *copies; /* where views that may be overwritten are copied to; NULL: in place, or nothing may be overwritten */
    size_t copies_size;
    uint64_t ends_told; /* wait: publishers admitted when the end of the stream was last told */
    uint64_t spin_ns;   /* wait: how long spinning pays, learned */
    uint64_t naps;      /* wait: naps since there was something */
    ae_u64 no_cursor;   /* stands in for the record's cursor while this subscriber holds nobody back */
};

/*
 * Bytes for copies that ae_subscriber_init() wants, 0 for none: 64 KiB, thousands of small messages, or one of the
 * largest. 8-byte aligned.
 */
size_t ae_subscriber_copies_bytes(const ae_geometry *geometry, const aether_subscribe_options *options);

/*
 * Joins. cursors is NULL for best effort and latest. copies is owned by the caller. options and geometry are checked by
 * the caller; record is below AE_SUBSCRIBERS_MAX and granted by aetherd. Lanes that are in use are populated.
 */
void ae_subscriber_init(struct ae_subscriber *s, const ae_geometry *geometry, uint32_t record, const ae_log *log,
                        ae_cursors *cursors, const aether_subscribe_options *options, unsigned char *copies);

/* Leaves: publishers stop waiting for it. */
void ae_subscriber_leave(struct ae_subscriber *s);

/* Is there something to receive: a message, a gap, an eviction to be told of? Changes nothing. */
bool ae_subscriber_ready(const struct ae_subscriber *s);

/* ---- wait.c ---- */

/*
 * Sleeps until there is something to receive, the stream ends, or max_ns is over; wakes now and then for nothing.
 * False: a signal came.
 */
bool ae_subscriber_sleep(struct ae_subscriber *s, uint64_t max_ns);

/* Is the stream at an end that hasn't been told yet? */
bool ae_subscriber_at_new_end(const struct ae_subscriber *s);

/* The caller has been told that there is something: an end isn't new any more. */
void ae_subscriber_told(struct ae_subscriber *s);

static inline struct ae_subscriber *ae_subscriber_of(aether_subscriber *handle) {
    return (struct ae_subscriber *)(void *)handle;
}

static inline const struct ae_subscriber *ae_subscriber_of_const(const aether_subscriber *handle) {
    return (const struct ae_subscriber *)(const void *)handle;
}

#endif
