/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/hold.h"
#include "base/error.h"
#include "base/export.h"
#include "ring/stats.h"
#include <errno.h>
#include <inttypes.h>

static ae_u64 *shared_cursor(struct ae_subscriber *s) {
    return &s->cursors->records[s->record].cursor;
}

/* The lowest sequence that publishers mustn't overwrite: views of the last receive begin at the cursor's position. */
static uint64_t lowest(const struct ae_subscriber *s) {
    uint64_t seq = ae_load_relaxed(s->hot.cursor);

    for (uint64_t left = s->holds.used; left != 0; left &= left - 1) {
        const uint64_t held = s->holds.seqs[__builtin_ctzll(left)];
        if ((int64_t)(held - seq) < 0)
            seq = held;
    }
    return seq;
}

void ae_holds_show(struct ae_subscriber *s) {
    /* F1 release, pairs F2 (scan), as in ae_show_cursor(). */
    if (ae_holds_any(s))
        ae_store_release(shared_cursor(s), lowest(s));
}

void ae_holds_void(struct ae_subscriber *s) {
    s->holds.used = 0;
}

/* From now on only this subscriber's statistics show how far it has received. The shared cursor stays where it is. */
static void begin(struct ae_subscriber *s) {
    ae_store_relaxed(&s->stats->position, ae_load_relaxed(s->hot.cursor));
    s->hot.cursor = &s->stats->position;
    ae_stats_store_subscriber(s);
}

static void end(struct ae_subscriber *s) {
    const uint64_t position = ae_load_relaxed(s->hot.cursor);

    s->hot.cursor = shared_cursor(s);
    ae_show_cursor(&s->hot, position);
    ae_stats_store_subscriber(s);
}

/* Do publishers leave the bytes of this message alone until the next receive? */
static int check(const struct ae_subscriber *s, const aether_message *message) {
    const uintptr_t data = (uintptr_t)message->data, log = (uintptr_t)s->log;

    if (message->lost != 0)
        return ae_fail(-EINVAL, "a gap has no bytes to hold");
    if (message->data == NULL) /* a zeroed struct; a message without bytes has data, too */
        return ae_fail(-EINVAL, "the message was never received, its data is NULL: hold what a receive has returned");
    if (s->cursors == NULL || s->evicted)
        return ae_fail(-ENOTSUP, s->evicted ? "the subscriber was evicted, so publishers don't wait for it: copy the "
                                              "message, or open another subscriber"
                                            : "publishers don't wait for a best-effort or latest subscriber: copy the "
                                              "message");
    if (data < log || data >= log + s->geometry.log_bytes)
        return ae_fail(-ENOTSUP,
                       "this message is a copy in the subscriber's buffer, which the next receive uses again: "
                       "copy it (retained messages, and all on a topic that evicts unless AETHER_VIEWS_IN_PLACE "
                       "is set)");
    /* Between cursor and `next` nothing is overwritten. */
    if ((int64_t)(message->seq - ae_load_relaxed(s->hot.cursor)) < 0 || (int64_t)(s->hot.next - message->seq) <= 0 ||
        aether_still_valid(&s->hot, message) == 0)
        return ae_fail(-EINVAL,
                       "the view of sequence %" PRIu64 " isn't valid any more: hold it before the next receive",
                       message->seq);
    return 0;
}

AE_EXPORT int aether_hold(aether_subscriber *handle, const aether_message *message, aether_held *held) {
    struct ae_subscriber *s = ae_subscriber_of(handle);
    const int rc = check(s, message);
    unsigned place;

    *held = (aether_held){0};
    if (rc != 0)
        return rc;
    if (~s->holds.used == 0)
        return ae_fail(-ENOBUFS, "%u messages are held: release one first", AETHER_HOLDS_MAX);
    if (!ae_holds_any(s))
        begin(s);
    place = (unsigned)__builtin_ctzll(~s->holds.used);
    s->holds.seqs[place] = message->seq;
    s->holds.used |= 1ull << place;
    ae_holds_show(s);
    *held = (aether_held){.message = *message, .place = place + 1};
    return 0;
}

AE_EXPORT void aether_release(aether_subscriber *handle, aether_held *held) {
    struct ae_subscriber *s = ae_subscriber_of(handle);
    const uint64_t place = held->place - 1, seq = held->message.seq;

    *held = (aether_held){0};
    if (place >= AETHER_HOLDS_MAX || (s->holds.used >> place & 1) == 0 || s->holds.seqs[place] != seq)
        return; /* nothing is held, or the subscriber was evicted */
    s->holds.used &= ~(1ull << place);
    if (ae_holds_any(s))
        ae_holds_show(s);
    else
        end(s);
}
