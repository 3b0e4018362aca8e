/* SPDX-License-Identifier: Apache-2.0 */
/* receive.c - everything of receiving that isn't the next whole message in a slot, which subscribe.h has inline. */
#include "ring/receive.h"
#include "base/error.h"
#include "base/export.h"
#include "ring/claim.h"
#include "ring/join.h"
#include <inttypes.h>

/* Counters are for read-outs; each has one writer and is only stored when it changes. */
static void count_lost(struct ae_subscriber *s, uint64_t lost) {
    s->lost += lost;
    s->gaps++;
    if (s->cursors != NULL) {
        ae_store_relaxed(&s->cursors->records[s->record].lost, s->lost);
        ae_store_relaxed(&s->cursors->records[s->record].gaps, s->gaps);
    }
}

static void skip_aborted(struct ae_subscriber *s) {
    s->hot.next++;
    s->aborted++;
    if (s->cursors != NULL)
        ae_store_relaxed(&s->cursors->records[s->record].aborted, s->aborted);
}

/* ---- a slot, looked at once ---- */

struct look {
    const unsigned char *slot;
    uint64_t tag, kind;
    int64_t ahead;
};

static struct look look_at(const struct ae_subscriber *s, uint64_t seq) {
    struct look look = {.slot = s->hot.slots + (seq & s->hot.mask) * s->hot.slot_size};

    look.tag = ae_load_acquire((const ae_u64 *)(const void *)look.slot); /* R1 acquire, pairs W2 (publish) */
    look.kind = ae_tag_kind(look.tag);
    look.ahead = ae_tag_ahead(look.tag, seq);
    return look;
}

/* V1 fence, pairs W1 (publish): if a byte that was read before was new, the tag is now seen to be BUSY or newer. */
static bool unchanged(const struct look *look) {
    ae_fence_acquire();
    return ae_load_relaxed((const ae_u64 *)(const void *)look->slot) == look->tag;
}

/* Where a payload lies. */
struct place {
    const unsigned char *data;
    uint64_t len;
    uint64_t lane, position; /* of a payload in a lane */
    bool in_lane;
};

/* L2 acquire, pairs L1 (lane) and E3 (scan): call after a fence that follows the last look at the bytes. */
static bool above_floor(const struct ae_subscriber *s, const struct place *place) {
    return !place->in_lane ||
           (int64_t)(place->position - ae_load_acquire(&s->log->publishers[place->lane].lane_floor)) >= 0;
}

enum find { FOUND, CHANGED, NONSENSE };

/* The payload of a slot that says INLINE or LANE. Every value is checked: what is found lies in the topic. */
static enum find find_payload(const struct ae_subscriber *s, const struct look *look, struct place *place) {
    const ae_lane_descriptor *descriptor = (const ae_lane_descriptor *)(const void *)(look->slot + AE_SLOT_HEADER);
    const uint64_t size = s->geometry.lane_bytes;

    *place = (struct place){.data = look->slot + AE_SLOT_HEADER, .len = look->tag & AE_TAG_LEN_MASK};
    if (look->kind == AE_KIND_INLINE)
        return place->len <= s->hot.inline_max ? FOUND : NONSENSE;
    if (look->kind != AE_KIND_LANE || size == 0)
        return NONSENSE;
    place->in_lane = true;
    place->position = ae_load_relaxed(&descriptor->position);
    place->lane = ae_load_relaxed(&descriptor->where);
    place->len = place->lane & UINT32_MAX;
    place->lane >>= 32;
    if (!unchanged(look))
        return CHANGED; /* half of the descriptor may be another message's */
    if (place->lane >= AE_PUBLISHERS_MAX || place->position % AE_LANE_UNIT != 0 ||
        place->len > s->geometry.max_message || (place->position & (size - 1)) + place->len > size)
        return NONSENSE;
    place->data =
        (const unsigned char *)s->log + s->geometry.lanes_off + place->lane * size + (place->position & (size - 1));
    return FOUND;
}

/* ---- losses ---- */

/*
 * The first sequence from `from` on whose bytes lie at least `margin` above the floor of their lane, or in a slot; at
 * most `limit`. What is wrong with a slot is told when it is received.
 */
static uint64_t skip_overwritten(const struct ae_subscriber *s, uint64_t from, uint64_t limit, uint64_t margin) {
    while ((int64_t)(limit - from) > 0) {
        const struct look look = look_at(s, from);
        struct place place;
        if (look.ahead != 0 || look.kind != AE_KIND_LANE || find_payload(s, &look, &place) != FOUND)
            break;
        place.position -= margin;
        if (above_floor(s, &place))
            break;
        from++;
    }
    return from;
}

/*
 * `next` is gone, overwritten in its slot (which is `ahead` sequences newer) or in its lane (0). Goes on half a ring
 * behind the newest message, and half a lane behind the publisher, not at the oldest that is left, which would be
 * overwritten under the reader's hands; never past the sequence from which everything is kept.
 */
static int report_gap(struct ae_subscriber *s, uint64_t ahead, aether_message *message) {
    const uint64_t next = s->hot.next, claim = ae_claim_reach(s->log, next);
    const uint64_t least = next + (ahead != 0 ? ahead : 1); /* the claim may come a moment after the slot */
    const uint64_t newest = (int64_t)(claim - least) > 0 ? claim : least;
    const bool kept = s->cursors != NULL && !s->evicted && (int64_t)(s->protected_seq - next) > 0;
    const uint64_t end = kept && (int64_t)(newest - s->protected_seq) > 0 ? s->protected_seq : newest;
    uint64_t resume = newest - s->geometry.capacity / 2, after;

    if ((int64_t)(resume - next) <= 0)
        resume = next + 1;
    if ((int64_t)(resume - end) > 0)
        resume = end;
    if (s->geometry.lane_bytes != 0) {
        after = skip_overwritten(s, resume, end, s->geometry.lane_bytes / 2);
        /* Not even the newest lies that high: messages are large. Then what is there at all. */
        resume = after != end ? after : skip_overwritten(s, resume, end, 0);
    }
    *message = (aether_message){.seq = next, .lost = resume - next};
    count_lost(s, message->lost);
    s->hot.next = resume;
    return 1;
}

/* ---- eviction ---- */

static bool is_evicted(const struct ae_subscriber *s) {
    /* E4 acquire, pairs E3 (scan): the tag that overran us was stored after the word. */
    return s->cursors != NULL && s->geometry.evict_lag != 0 && !s->evicted &&
           ae_load_acquire(&s->log->evict[s->record]) == s->evict_word;
}

static int tell_eviction(struct ae_subscriber *s) {
    ae_subscriber_leave(s);
    s->evicted = true;
    s->hot.cursor = &s->no_cursor;
    return ae_fail(
        -EOVERFLOW,
        "evicted at sequence %" PRIu64 ": more than %" PRIu64
        " behind, or holding room that was needed; goes on as best effort, open another one to be reliable again",
        s->hot.next, s->geometry.evict_lag);
}

/* ---- receive ---- */

/*
 * first: no entry before it in this call, whose view would be released, and whose number would hide the fault that is
 * told once.
 */
static int nothing_yet(struct ae_subscriber *s, bool first) {
    if (!first)
        return 0;
    /* About to wait: the publisher may need the last slot that was read. */
    if (s->hot.cursor_stored != s->hot.next)
        ae_store_cursor(&s->hot, s->hot.next);
    if (s->cursors == NULL || s->geometry.evict_lag == 0 || s->evicted)
        return 0;
    /* So that the next look comes here, too, and not only to the slot. */
    s->hot.cursor_stored = s->hot.next - 1;
    return is_evicted(s) ? tell_eviction(s) : 0;
}

static int bad_slot(const struct ae_subscriber *s, const struct look *look) {
    return ae_fail(-EBADMSG,
                   "slot of sequence %" PRIu64 " holds tag %#" PRIx64
                   " and what no publisher writes: faulty or hostile peer",
                   s->hot.next, look->tag);
}

/*
 * The payload that was found, as a view in place or copied to `copy`. False: it was overwritten meanwhile, which a
 * second look at slot and floor tells.
 */
static bool deliver(const struct ae_subscriber *s, const struct look *look, const struct place *place,
                    unsigned char *copy, aether_message *message) {
    message->data = place->data;
    message->len = place->len;
    message->lost = 0;
    if (copy == NULL) {
        /* What can't be overwritten needs no check; for what can, this one is early, and the caller asks again. */
        return !place->in_lane || !s->in_place || above_floor(s, place);
    }
    ae_copy_out(copy, place->data, place->len);
    message->data = copy;
    return unchanged(look) && above_floor(s, place);
}

/*
 * Looks at the slot of `next` and does what its tag says; `copy` is where a payload goes that may be overwritten,
 * `room` what fits there. Bounded: every turn but the last skips an aborted sequence, or found its slot overwritten
 * during the copy, which the next turn reports as a gap.
 */
static int receive_one(struct ae_subscriber *s, aether_message *message, unsigned char *copy, size_t room, bool first) {
    for (uint64_t turn = 0; turn <= s->geometry.capacity; turn++) {
        const uint64_t next = s->hot.next;
        const struct look look = look_at(s, next);
        struct place place;

        if (ae_tag_pending(look.tag, next))
            return nothing_yet(s, first);
        if (look.ahead > 0)
            return is_evicted(s) ? (first ? tell_eviction(s) : 0) : report_gap(s, (uint64_t)look.ahead, message);
        if (look.kind == AE_KIND_ABORTED) {
            skip_aborted(s);
            continue;
        }
        const enum find found = find_payload(s, &look, &place);
        if (found == CHANGED)
            continue;
        if (found == NONSENSE || (place.in_lane && !ae_subscriber_populate_lane(s, place.lane)))
            return bad_slot(s, &look);
        if (!s->hot.zero_copy && place.len > room)
            return 0; /* a batch: it has room next time */
        message->seq = next;
        if (!deliver(s, &look, &place, s->hot.zero_copy ? NULL : copy, message)) {
            if (look_at(s, next).tag != look.tag)
                continue;
            return is_evicted(s) ? (first ? tell_eviction(s) : 0) : report_gap(s, 0, message);
        }
        s->hot.next = next + 1;
        return 1;
    }
    return 0;
}

/* Retained messages are read as copies until the reader reaches the part that is kept for it. */
static void catch_up(struct ae_subscriber *s) {
    if (s->cursors == NULL || s->evicted || s->hot.cursor != &s->no_cursor ||
        (int64_t)(s->hot.next - s->protected_seq) < 0)
        return;
    s->hot.cursor = &s->cursors->records[s->record].cursor;
    s->hot.zero_copy = s->in_place || s->geometry.evict_lag == 0;
    ae_store_cursor(&s->hot, s->hot.next);
}

/*
 * Copies release what they were made of at once, but the cursor's line is left alone most of the time. Not with lanes:
 * what is released late there may be all the room that the publisher has.
 */
static void release_copied(struct ae_subscriber *s) {
    if (!s->hot.zero_copy && ((s->hot.next & s->hot.cursor_mask) == 0 || s->geometry.lane_bytes != 0))
        ae_store_cursor(&s->hot, s->hot.next);
}

/*
 * The newest message that isn't older than `next`, or `next` itself if that is aborted and nothing newer is there.
 * Claimed sequences that nobody has committed yet are passed over. False: there is none.
 */
static bool find_newest(const struct ae_subscriber *s, uint64_t *seq, struct look *look) {
    const uint64_t next = s->hot.next;
    uint64_t left = ae_claim_reach(s->log, next) - next;

    if ((int64_t)left <= 0)
        return false;
    *seq = next + left;
    if (left > s->geometry.capacity) /* older ones aren't in the ring */
        left = s->geometry.capacity;
    for (; left > 0; left--) {
        *look = look_at(s, --*seq);
        if (!ae_tag_pending(look->tag, *seq) && (look->kind != AE_KIND_ABORTED || *seq == next))
            return true;
    }
    return false;
}

/*
 * Takes the newest committed message, if it is `next` or newer. What lies between is skipped. The newest may be
 * overwritten while it is looked at, but then there is a newer one: a few turns, and at the latest the next call gets
 * it.
 */
static int receive_latest(struct ae_subscriber *s, aether_message *message) {
    for (int turn = 0; turn < 8; turn++) {
        uint64_t seq;
        struct place place;
        struct look look;

        if (!find_newest(s, &seq, &look))
            return 0;
        if (look.ahead > 0)
            continue;
        if (look.kind == AE_KIND_ABORTED) {
            skip_aborted(s);
            continue;
        }
        const enum find found = find_payload(s, &look, &place);
        if (found == CHANGED)
            continue;
        if (found == NONSENSE || (place.in_lane && !ae_subscriber_populate_lane(s, place.lane)))
            return bad_slot(s, &look);
        message->seq = seq;
        if (!deliver(s, &look, &place, s->copies, message)) {
            if (look_at(s, seq).tag == look.tag) { /* gone from its lane, and nothing newer yet: it won't come back */
                s->skipped += seq + 1 - s->hot.next;
                s->hot.next = seq + 1;
            }
            continue;
        }
        s->skipped += seq - s->hot.next;
        s->hot.next = seq + 1;
        return 1;
    }
    return 0;
}

AE_EXPORT int aether_detail_receive(aether_subscriber *handle, aether_message *message) {
    struct ae_subscriber *s = ae_subscriber_of(handle);
    int rc;

    if (s->policy == AETHER_LATEST)
        return receive_latest(s, message);
    catch_up(s);
    if (s->hot.zero_copy && s->geometry.lane_bytes != 0 && s->hot.cursor_stored != s->hot.next)
        ae_store_cursor(&s->hot, s->hot.next); /* as for copies below */
    rc = receive_one(s, message, s->copies, s->copies_size, true);
    release_copied(s);
    return rc;
}

AE_EXPORT int aether_detail_receive_batch(aether_subscriber *handle, aether_message *messages, int max) {
    struct ae_subscriber *s = ae_subscriber_of(handle);
    size_t used = 0;
    int n = 0;

    if (s->policy == AETHER_LATEST)
        return max > 0 ? receive_latest(s, messages) : 0;
    catch_up(s);
    while (n < max) {
        const int rc = receive_one(s, &messages[n], s->copies + used, s->copies_size - used, n == 0);
        if (rc <= 0) {
            if (n == 0)
                return rc;
            break;
        }
        if (!s->hot.zero_copy && messages[n].lost == 0)
            used += (messages[n].len + 7) & ~(size_t)7;
        n++;
        if (s->hot.cursor == &s->no_cursor && s->hot.next == s->protected_seq && s->cursors != NULL && !s->evicted)
            break; /* the rest is kept for it, by the next call */
    }
    if (!s->hot.zero_copy)
        ae_store_cursor(&s->hot, s->hot.next);
    return n;
}

AE_EXPORT int aether_still_valid(const aether_subscriber *handle, const aether_message *message) {
    const struct ae_subscriber *s = ae_subscriber_of_const(handle);
    const struct look look = look_at(s, message->seq);
    const uintptr_t data = (uintptr_t)message->data, log = (uintptr_t)s->log;
    struct place place;

    if (message->lost != 0 || data < log || data >= log + s->geometry.log_bytes)
        return 1; /* no view into shared memory */
    /* The caller's loads of the bytes come before those of tag and floor: the fence in unchanged() is V1's and L2's. */
    return look.ahead == 0 && (look.kind == AE_KIND_INLINE || look.kind == AE_KIND_LANE) &&
           find_payload(s, &look, &place) == FOUND && place.data == message->data && unchanged(&look) &&
           above_floor(s, &place);
}

bool ae_subscriber_ready(const struct ae_subscriber *s) {
    struct look look;
    uint64_t seq;

    if (s->policy == AETHER_LATEST)
        return find_newest(s, &seq, &look);
    return !ae_tag_pending(look_at(s, s->hot.next).tag, s->hot.next) || is_evicted(s);
}

/*
 * T2 acquire, pairs T1 (leave) and aetherd's clearing after a death: all that was committed is seen by the look at the
 * slot, which comes after. The words are read twice, the second time in the other order: if nothing has changed, no
 * publisher came or went between, and `died` belongs to the same end as `open`.
 */
AE_EXPORT aether_stream aether_subscriber_stream(const aether_subscriber *handle) {
    const struct ae_subscriber *s = ae_subscriber_of_const(handle);
    const ae_stream_block *stream = &s->log->stream;
    const uint64_t joins = ae_load_acquire(&stream->joins), died = ae_load_acquire(&stream->died);

    if (ae_load_acquire(&stream->open) != 0)
        return AETHER_STREAM_OPEN;
    if (joins == 0)
        return AETHER_STREAM_NONE;
    if (ae_subscriber_ready(s) || ae_load_acquire(&stream->died) != died || ae_load_acquire(&stream->joins) != joins ||
        ae_load_acquire(&stream->open) != 0)
        return AETHER_STREAM_OPEN;
    return died != 0 ? AETHER_STREAM_DIED : AETHER_STREAM_CLOSED;
}

AE_EXPORT void aether_subscriber_get_stats(const aether_subscriber *handle, aether_subscriber_stats *stats) {
    const struct ae_subscriber *s = ae_subscriber_of_const(handle);

    *stats = (aether_subscriber_stats){
        .joined = s->joined,
        .next = s->hot.next,
        .delivered = s->hot.next - s->joined - s->lost - s->aborted - s->skipped,
        .lost = s->lost,
        .gaps = s->gaps,
        .aborted = s->aborted,
        .skipped = s->skipped,
        .evicted = s->evicted,
    };
}
