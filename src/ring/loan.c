/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/loan.h"
#include "base/error.h"
#include "base/export.h"
#include "ring/claimer.h"
#include "ring/commit.h"
#include "ring/lane.h"
#include "ring/stats.h"
#include <inttypes.h>

static uint64_t loan_stride(const ae_geometry *geometry) {
    return ae_lane_units(ae_inline_max(geometry));
}

size_t ae_publisher_buffer_bytes(const ae_geometry *geometry) {
    return AETHER_LOANS_MAX * loan_stride(geometry);
}

void ae_loan_init(struct ae_publisher *p, unsigned char *buffer) {
    p->loans.buffer = buffer;
    p->loans.stride = loan_stride(&p->geometry);
}

AE_EXPORT int aether_loan_take(aether_publisher *handle, size_t len, aether_loan *loan) {
    struct ae_publisher *p = ae_publisher_of(handle);
    struct ae_loans *loans = &p->loans;
    struct ae_open_loan *entry = &loans->entries[loans->next % AETHER_LOANS_MAX];
    uint64_t position = 0;
    int rc;

    if (len > handle->max_message)
        return ae_lane_too_large(p, len);
    if (loans->next - loans->first == AETHER_LOANS_MAX)
        return ae_fail(-ENOBUFS, "%u loans are taken since the oldest open one: commit or discard that",
                       AETHER_LOANS_MAX);
    if (len <= handle->inline_max) {
        loan->data = loans->buffer + loans->next % AETHER_LOANS_MAX * loans->stride;
    } else {
        if ((rc = ae_lane_find(p, ae_lane_units(len), &position)) != 0)
            return rc;
        loan->data = ae_lane_take(p, position, ae_lane_units(len));
    }
    *entry = (struct ae_open_loan){.position = position, .len = len, .in_lane = len > handle->inline_max, .open = true};
    loans->open_count++;
    if (entry->in_lane)
        ae_stats_lane_room(p);
    ae_stats_store_loans(p);
    loan->len = len;
    loan->ticket = loans->next++;
    return 0;
}

static unsigned char *loan_data(const struct ae_publisher *p, const struct ae_open_loan *entry, uint64_t ticket) {
    return entry->in_lane ? p->lane.bytes + (entry->position & (p->lane.size - 1))
                          : p->loans.buffer + ticket % AETHER_LOANS_MAX * p->loans.stride;
}

/* Returns NULL if it isn't an open loan of p. Another publisher's loan may have the same ticket, but not the memory. */
static struct ae_open_loan *find_loan(struct ae_publisher *p, const aether_loan *loan) {
    struct ae_open_loan *entry = &p->loans.entries[loan->ticket % AETHER_LOANS_MAX];

    return loan->ticket - p->loans.first < p->loans.next - p->loans.first && entry->open &&
                   loan->data == loan_data(p, entry, loan->ticket)
               ? entry
               : NULL;
}

static int no_such_loan(void) {
    return ae_fail(-EINVAL,
                   "not an open loan of this publisher: it was committed or discarded, or belongs to another one");
}

static void close_loan(struct ae_publisher *p, struct ae_open_loan *entry, aether_loan *loan) {
    struct ae_loans *loans = &p->loans;

    entry->open = false;
    loans->open_count--;
    while (loans->first != loans->next && !loans->entries[loans->first % AETHER_LOANS_MAX].open)
        loans->first++;
    if (entry->in_lane)
        ae_lane_checkpoint(p);
    ae_stats_store_loans(p);
    *loan = (aether_loan){0};
}

AE_EXPORT int aether_loan_commit(aether_publisher *handle, aether_loan *loan) {
    struct ae_publisher *p = ae_publisher_of(handle);
    struct ae_open_loan *entry = find_loan(p, loan);
    int rc;

    if (entry == NULL)
        return no_such_loan();
    if (loan->len > entry->len)
        return ae_fail(-EINVAL, "loan of %" PRIu64 " bytes is committed with %zu: a length can only be lowered",
                       entry->len, loan->len);
    if ((rc = ae_claim_next(p, 1)) != 0)
        return rc;
    if (entry->in_lane)
        ae_lane_commit(p, handle->next - 1, entry->position, loan->len);
    else
        ae_commit_message(p, handle->next - 1, loan->data, loan->len);
    ae_wake_sleepers(handle);
    close_loan(p, entry, loan);
    return 0;
}

AE_EXPORT int aether_loan_discard(aether_publisher *handle, aether_loan *loan) {
    struct ae_publisher *p = ae_publisher_of(handle);
    struct ae_open_loan *entry = find_loan(p, loan);

    if (entry == NULL)
        return no_such_loan();
    close_loan(p, entry, loan);
    return 0;
}
