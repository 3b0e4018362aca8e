/* SPDX-License-Identifier: Apache-2.0 */
/*
 * detail/handle.h - the part of a publisher or subscriber handle that the inline functions use.
 *
 * It isn't part of the API: only the functions of publish.h and subscribe.h use the fields. It is part of the ABI,
 * because the inline functions are compiled into programs. The fields are private copies that were checked when the
 * handle was opened, and pointers into shared memory that are derived from such copies.
 *
 * Not included directly: use <aether/aether.h>.
 */
#ifndef AETHER_DETAIL_HANDLE_H
#define AETHER_DETAIL_HANDLE_H

#include <aether/detail/layout.h>

#ifdef __cplusplus
extern "C" {
#endif

struct aether_publisher {
    uint64_t next;        /* one more than the last sequence that this publisher claimed */
    uint64_t limit;       /* it may claim below this on the inline path; at least next */
    uint64_t word;        /* the claim word as this publisher's last claim, or its bias, left it */
    uint64_t biased;      /* 1: it has the bias; 0: it claims by compare-and-swap */
    ae_u64 *intent;       /* in the publisher's record */
    unsigned char *slots; /* first slot; the rest of the log lies at fixed distances before it */
    uint64_t mask;        /* capacity - 1 */
    uint64_t slot_size;   /* bytes */
    uint64_t inline_max;  /* bytes: longer messages go through the lane */
    uint64_t store16;     /* 1: slots are 16-byte aligned and the CPU stores 16 bytes at once */
    const ae_u64 *want;   /* the note that subscribers leave before they sleep */
    uint64_t wake;        /* the topic's wake word as last loaded */
    uint64_t max_message; /* bytes */
    uint64_t bytes;       /* payload that it has published */
    uint64_t batches;     /* calls that published several messages */
};

struct aether_subscriber {
    uint64_t next; /* sequence at which the next receive begins; all below it are released */
    /* 1: views point into the ring: nothing from next on is overwritten, or the caller checks; 0: copy and validate */
    uint64_t zero_copy;
    const unsigned char *slots; /* first slot */
    uint64_t mask;              /* capacity - 1 */
    uint64_t slot_size;         /* bytes */
    uint64_t inline_max;        /* bytes: the largest length that a tag may say */
    uint64_t cursor_mask;       /* the cursor is stored whenever next & cursor_mask is 0 */
    uint64_t cursor_stored;     /* the cursor as last stored on the slow path */
    ae_u64 *cursor;             /* in the subscriber's record; if it holds nobody back, in its statistics */
    uint64_t bytes;             /* payload that it has received */
};

#ifdef __cplusplus
}
#endif
#endif
