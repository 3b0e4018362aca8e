/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/figures.h"
#include "ring/claim.h"

static bool at_or_after(uint64_t seq, uint64_t other) {
    return (int64_t)(seq - other) >= 0;
}

/* Takes `part` from *left. False: it is more than that. */
static bool take(uint64_t *left, uint64_t part) {
    if (part > *left)
        return false;
    *left -= part;
    return true;
}

bool ae_figures_of_subscriber(const ae_account *account, uint64_t position, uint64_t end, struct ae_figures *figures) {
    const uint64_t joined = account->joined, next = account->next;
    struct ae_figures f = {.joined = joined,
                           .next = at_or_after(position, next) ? position : next,
                           .bytes = account->bytes,
                           .gaps = account->gaps,
                           .aborted = account->aborted,
                           .skipped = account->skipped,
                           .evicted = account->evicted != 0};

    if (!at_or_after(next, joined) || !at_or_after(end, f.next))
        return false;
    f.messages = f.next - joined;
    for (unsigned i = 0; i < AE_LOST_REASONS; i++) {
        f.lost_by[i] = account->lost[i];
        if (!take(&f.messages, f.lost_by[i]))
            return false;
        f.lost += f.lost_by[i];
    }
    if (!take(&f.messages, f.aborted) || !take(&f.messages, f.skipped) || f.gaps > f.lost)
        return false;
    *figures = f;
    return true;
}

bool ae_figures_of_publisher(const ae_account *account, uint64_t since, uint64_t start, uint64_t end,
                             struct ae_figures *figures) {
    const uint64_t next = account->next, most = end - start;

    if (!at_or_after(next, account->joined) || !at_or_after(account->joined, start) || !at_or_after(end, next) ||
        account->messages > most || since > most - account->messages)
        return false;
    *figures = (struct ae_figures){.joined = account->joined,
                                   .next = next + since,
                                   .messages = account->messages + since,
                                   .bytes = account->bytes,
                                   .batches = account->batches};
    return true;
}

/* Is there a message in the slot of seq, or was there one? */
static bool is_committed(const ae_log *log, const ae_geometry *geometry, uint64_t seq) {
    const uint64_t tag = ae_load_acquire(ae_slot_tag(log, geometry, seq));

    return !ae_tag_pending(tag, seq) && tag != ae_tag(seq, AE_KIND_ABORTED, 0);
}

uint64_t ae_figures_since(const ae_log *log, const ae_geometry *geometry, uint32_t record, uint64_t next) {
    const uint64_t word = ae_load_acquire(&log->claim.claim);
    const struct ae_span intent = ae_claim_intent(log, record, ae_load_relaxed(&log->claim.position));
    const bool biased = ae_claim_has_bias(word) && ae_claim_record(word) == record;
    uint64_t first = at_or_after(intent.first, next) ? intent.first : next, count = first - next;

    if (!at_or_after(intent.end, next))
        return 0;
    if (!biased && !ae_claim_was_won(log, record, intent.end))
        return count;
    if (geometry == NULL)
        return intent.end - next;
    for (; first != intent.end; first++)
        count += is_committed(log, geometry, first);
    return count;
}

uint64_t ae_figures_stalled(const ae_stats_record *copy, uint64_t now_ns, uint64_t *longest) {
    const uint64_t since = copy->waits_since.v, present = since != 0 && since <= now_ns ? now_ns - since : 0;

    *longest = copy->stall_longest.v > present ? copy->stall_longest.v : present;
    return copy->stall_ns.v > UINT64_MAX - present ? UINT64_MAX : copy->stall_ns.v + present;
}
