/* SPDX-License-Identifier: Apache-2.0 */
/* room.c - how a publisher waits for room: it spins, yields, then naps. */
#include "base/clock.h"
#include "base/export.h"
#include "base/number.h"
#include "ring/claimer.h"
#include "ring/lane.h"
#include "ring/nap.h"
#include "ring/stats.h"
#include <aether/wait.h>
#include <sched.h>

#define SPIN_NS 20000u
#define YIELD_NS 20000u
#define NAP_STEP_NS 50000u
/* A publisher that has waited so long is held up by a program that is stopped or stuck. It naps for longer then. */
#define LONG_NS 1000000000u
#define LONG_NAP_NS 10000000u

static uint64_t nap_after(uint64_t waited) {
    return waited < LONG_NS ? ae_nap_ns((waited - SPIN_NS - YIELD_NS) / NAP_STEP_NS) : LONG_NAP_NS;
}

/* Returns 0: there is room for a message of len bytes. AETHER_FULL: there isn't. -ENOBUFS: loans hold it. */
static int check_room(struct ae_publisher *p, size_t len) {
    uint64_t position;
    int rc;

    if (ae_claim_room(p, 1) != 0)
        return AETHER_FULL;
    ae_stats_slot(p);
    if (len > p->hot.inline_max) {
        if ((rc = ae_lane_find(p, ae_lane_units(len), &position)) != 0)
            return rc;
        ae_stats_lane_room(p);
    }
    return 0;
}

AE_EXPORT int aether_publisher_wait(aether_publisher *handle, size_t len, uint64_t timeout_ns) {
    struct ae_publisher *p = ae_publisher_of(handle);
    uint64_t start;
    int rc;

    if (len > handle->max_message)
        return ae_lane_too_large(p, len);
    if ((rc = check_room(p, len)) != AETHER_FULL || timeout_ns == 0)
        return rc;
    start = ae_now_ns();
    for (; rc == AETHER_FULL; rc = check_room(p, len)) { /* a signal only ends a nap early */
        const uint64_t waited = ae_now_ns() - start;
        if (waited >= timeout_ns)
            return AETHER_FULL;
        if (waited < SPIN_NS)
            ae_pause();
        else if (waited < SPIN_NS + YIELD_NS)
            (void)sched_yield();
        else
            (void)ae_nap(ae_least(timeout_ns - waited, nap_after(waited)));
    }
    return rc;
}

AE_EXPORT int aether_publish_wait(aether_publisher *handle, const void *data, size_t len, uint64_t timeout_ns) {
    int rc = aether_publish(handle, data, len);
    uint64_t start;

    if (rc != AETHER_FULL)
        return rc;
    start = ae_now_ns();
    do { /* again if another publisher takes the room first */
        const uint64_t waited = ae_now_ns() - start;
        rc = aether_publisher_wait(handle, len, waited < timeout_ns ? timeout_ns - waited : 0);
        if (rc == 0)
            rc = aether_publish(handle, data, len);
    } while (rc == AETHER_FULL && ae_now_ns() - start < timeout_ns);
    return rc;
}
