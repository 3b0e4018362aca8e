/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats_test.h - the clock and the publishers of the tests of figures and stamps. Their programs are linked so that
 * ae_now_ns() is the clock here, and each includes this once.
 */
#ifndef AE_RING_STATS_TEST_H
#define AE_RING_STATS_TEST_H

#include "ring/ring_test.h"

#define LANE 4096u
#define US 1000u
#define MS 1000000u

/* ---- the clock ---- */

static uint64_t now; /* ns */

uint64_t __wrap_ae_now_ns(void);
uint64_t __wrap_ae_now_ns(void) {
    return now;
}

static inline int start_clock(void **state) {
    (void)state;
    now = 1ull << 50;
    return 0;
}

static inline uint64_t word(const ae_u64 *word) {
    return ae_load_relaxed(word);
}

/* ---- forms of publishing ---- */

enum form { PUBLISH, BURST, BATCH, ARRAY, GATHER, LOAN, FORMS };

static inline int publish_burst(aether_publisher *pub, const unsigned char *data, size_t len) {
    aether_burst burst = aether_burst_begin(pub, len);

    return aether_burst_publish(&burst, data);
}

static inline int publish_loan(aether_publisher *pub, const unsigned char *data, size_t len) {
    aether_loan loan;
    int rc = aether_loan_take(pub, len, &loan);

    if (rc != 0)
        return rc;
    memcpy(loan.data, data, len);
    if ((rc = aether_loan_commit(pub, &loan)) != 0)
        (void)aether_loan_discard(pub, &loan);
    return rc;
}

/* Publishes count messages of len bytes, one call each if the form has no more a call. Returns the result. */
static inline int publish_as(aether_publisher *pub, enum form form, size_t len, size_t count) {
    static unsigned char data[LANE * 8];
    struct iovec each[64];
    int rc = 0;

    for (size_t i = 0; i < count && i < 64; i++)
        each[i] = (struct iovec){.iov_base = data + i * len, .iov_len = len};
    if (form == BATCH)
        return aether_publish_batch(pub, each, count);
    if (form == ARRAY)
        return aether_publish_array(pub, data, len, count);
    for (size_t i = 0; i < count && rc == 0; i++) {
        const struct iovec pieces[] = {{.iov_base = data, .iov_len = len / 3},
                                       {.iov_base = data + len / 3, .iov_len = len - len / 3}};
        switch (form) {
        case PUBLISH:
            rc = len == 8 ? aether_publish(pub, data, 8) : aether_publish(pub, data, len);
            break;
        case BURST:
            rc = publish_burst(pub, data, len);
            break;
        case GATHER:
            rc = aether_publish_gather(pub, pieces, 2);
            break;
        default:
            rc = publish_loan(pub, data, len);
        }
    }
    return rc;
}

#endif
