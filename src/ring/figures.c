/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/figures.h"
#include "base/histogram.h"
#include "ring/claim.h"

#define SLEEP_NS 256u  /* no sleep is shorter, with its system calls */
#define CLAIM_TRIES 64 /* a few are enough unless a peer is hostile */

uint64_t ae_figures_copy(const ae_stats_record *record, ae_account *account) {
    uint64_t *words = (uint64_t *)(void *)account;
    const uint64_t flips = ae_load_acquire(&record->flips); /* M2 acquire, pairs M1 (store) */
    const ae_u64 *copy = record->account[flips & 1].words;

    for (size_t i = 0; i < sizeof *account / sizeof *words; i++)
        words[i] = ae_load_relaxed(&copy[i]);
    return flips;
}

/*
 * M4 fence, pairs M3 (store): if one word that was copied is of a later account, `flips` is another now. The cursor or
 * intent was loaded with acquire (M5, pairs F1 (receive) and P4 (claim)): the accounts that the owner stored before it
 * are visible, so if they differ from the one that was copied, `flips` does, too.
 */
bool ae_figures_current(const ae_stats_record *record, uint64_t flips) {
    ae_fence_acquire();
    return ae_load_relaxed(&record->flips) == flips;
}

const ae_u64 *ae_figures_cursor(const ae_stats_record *record, const ae_account *account, uint32_t role,
                                const ae_cursor_record *shared) {
    return role == AE_ROLE_RELIABLE && account->by_position == 0 && shared != NULL ? &shared->cursor
                                                                                   : &record->position;
}

uint64_t ae_figures_start(const ae_geometry *geometry, uint64_t granted_seq, uint64_t end) {
    const uint64_t start = geometry->start_seq, before = granted_seq - start;

    /* A hostile publisher can make it any number, also one that the topic hasn't reached. */
    return before > end - start || before <= geometry->capacity ? start : granted_seq - geometry->capacity;
}

static void limit(uint64_t *value, uint64_t most) {
    if (*value > most)
        *value = most;
}

void ae_figures_limit(ae_stats_record *copy, ae_account *account, uint64_t granted_ns, uint64_t now_ns) {
    /* In another time namespace than aetherd's the clock may be behind. */
    const uint64_t granted = granted_ns <= now_ns ? granted_ns : 0, lived = now_ns - granted;
    uint64_t *const counts[] = {&copy->full.v,    &copy->stalls.v, &copy->stall_longest.v,
                                &copy->retries.v, &copy->wakes.v,  &account->batches};

    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        limit(counts[i], lived);
    limit(&copy->sleeps.v, lived / SLEEP_NS);
    limit(&copy->woken.v, copy->sleeps.v);
    if (copy->waits_since.v != 0 && copy->waits_since.v < granted)
        copy->waits_since.v = granted;
    if (account->stalled_since != 0 && account->stalled_since < granted)
        account->stalled_since = granted;
    /* The present stall isn't part of stall_ns. */
    const uint64_t since = account->stalled_since;
    limit(&account->stall_ns, since != 0 && since < now_ns ? since - granted : lived);
}

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

bool ae_figures_of_subscriber(const ae_account *account, uint64_t position, uint64_t start, uint64_t end,
                              struct ae_figures *figures) {
    const uint64_t joined = account->joined, next = account->next;
    struct ae_figures f = {.joined = joined,
                           .next = position - start > next - start && position - start <= end - start ? position : next,
                           .bytes = account->bytes,
                           .gaps = account->gaps,
                           .aborted = account->aborted,
                           .skipped = account->skipped,
                           .evicted = account->evicted != 0};

    if (joined - start > next - start || next - start > end - start)
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

    if (account->joined - start > next - start || next - start > most || since > end - next ||
        account->messages > most - since)
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

/*
 * Counts the committed sequences of a won intent from `first` on: they are committed in order, and aborted from
 * behind.
 */
static uint64_t count_committed(const ae_log *log, const ae_geometry *geometry, uint64_t first, uint64_t end) {
    uint64_t low = first, high = end;

    if (geometry == NULL || first == end || is_committed(log, geometry, end - 1))
        return end - first;
    while (low != high) { /* they may lie on both sides of 2^64 */
        const uint64_t middle = low + (high - low) / 2;
        if (is_committed(log, geometry, middle))
            low = middle + 1;
        else
            high = middle;
    }
    return low - first;
}

/*
 * As ae_figures_since(). *sure: it is right although the bias may have ended meanwhile.
 *
 * D2 acquire, pairs P3 (prove), for a publisher that may be claiming: the claim word is loaded before `proved`, and
 * both before the intent. If they say that the intent was won, it was. If they don't, they are older than its claim, or
 * it was lost; then everything that the publisher had claimed before lies below the intent. In the other order the
 * publisher could replace the claim that the intent made by its next one in between: then nothing would say that it was
 * won, and the number would go back.
 */
static uint64_t count_since(const ae_log *log, const ae_geometry *geometry, uint32_t record, uint64_t next,
                            bool *sure) {
    const uint64_t word = ae_load_acquire(&log->claim.claim);
    const uint64_t proved = ae_load_acquire(&log->publishers[record].proved);
    const struct ae_span intent = ae_claim_intent(log, record, next);
    const bool biased = ae_claim_has_bias(word) && ae_claim_record(word) == record;
    const bool won = word == ae_claim_word(intent.end, AE_MODE_SHARED, record) || at_or_after(proved, intent.end);
    const uint64_t first = at_or_after(intent.first, next) ? intent.first : next;
    uint64_t count = first - next;

    *sure = true;
    if (!at_or_after(intent.end, next))
        return 0;
    if (biased || won)
        count += count_committed(log, geometry, first, intent.end);
    /* A publisher whose bias ends may take its last intent back; then the slots are those of another publisher. */
    *sure = !biased || ae_load_acquire(&log->claim.claim) == word;
    return count;
}

uint64_t ae_figures_left(uint64_t closed, uint64_t now, uint64_t realtime) {
    const uint64_t ago = closed < now ? now - closed : 0;

    return realtime > ago ? realtime - ago : 0;
}

uint64_t ae_figures_since(const ae_log *log, const ae_geometry *geometry, uint32_t record, uint64_t next) {
    uint64_t count = 0;
    bool sure = false;

    for (int turn = 0; turn < CLAIM_TRIES && !sure; turn++)
        count = count_since(log, geometry, record, next, &sure);
    return count;
}

uint64_t ae_figures_stalled(const ae_account *account, uint64_t waits_last, uint64_t now_ns, uint64_t *present) {
    const uint64_t since = account->stalled_since, end = ae_stall_end(waits_last, now_ns);

    *present = since != 0 && since <= end ? end - since : 0;
    return account->stall_ns > UINT64_MAX - *present ? UINT64_MAX : account->stall_ns + *present;
}

bool ae_figures_is_evicted(const ae_log *log, const ae_geometry *geometry, uint32_t record) {
    return log != NULL && geometry->evict_lag != 0 && ae_evicted(ae_load_acquire(&log->evict[record])) != 0;
}

uint64_t ae_figures_bytes(const struct ae_figures *figures, const ae_geometry *geometry) {
    uint64_t most;

    if (__builtin_mul_overflow(figures->messages, geometry->max_message, &most))
        return figures->bytes;
    return figures->bytes < most ? figures->bytes : most;
}

bool ae_figures_measured(const ae_stats_record *copy, const uint64_t *buckets, uint64_t claimed) {
    const uint64_t most = ae_figures_measured_max(claimed);

    /* A hostile publisher can set the claim back, behind where the subscriber joined. */
    return (int64_t)claimed >= 0 && copy->samples.v <= most && copy->negative.v <= most && copy->missed.v <= most &&
           ae_saturating_add(ae_histogram_count(buckets), copy->overflow.v) <= most;
}
