/* SPDX-License-Identifier: Apache-2.0 */
/* receive.c - receiving, except for the next message in a slot, read in place, which is inline in subscribe.h. */
#include "ring/receive.h"
#include "base/error.h"
#include "base/export.h"
#include "base/text.h"
#include "ring/claim.h"
#include "ring/hold.h"
#include "ring/join.h"
#include "ring/stats.h"
#include <inttypes.h>
#include <stdio.h>

#define LATEST_TRIES 8

static void count_lost(struct ae_subscriber *s, uint64_t lost, unsigned reason) {
    s->lost += lost;
    s->lost_by[reason] += lost;
    s->gaps++;
}

static void skip_aborted(struct ae_subscriber *s) {
    s->hot.next++;
    s->aborted++;
    ae_stats_store_subscriber(s);
}

/* ---- a slot and its payload ---- */

/* A slot, as its tag was when it was loaded. */
struct slot {
    const unsigned char *bytes;
    uint64_t tag, kind;
    /* The slot has a stamp. kind is that without it. */
    bool stamped;
    /* The tag's sequence minus the sequence that was asked for. */
    int64_t ahead;
};

AE_ALWAYS_INLINE struct slot load_slot(const struct ae_subscriber *s, uint64_t seq) {
    struct slot slot = {.bytes = s->hot.slots + (seq & s->hot.mask) * s->hot.slot_size};

    slot.tag = ae_load_acquire((const ae_u64 *)(const void *)slot.bytes); /* R1 acquire, pairs W2 (publish) */
    slot.kind = ae_tag_kind(slot.tag);
    slot.stamped = (slot.kind & AE_KIND_STAMPED) != 0 && slot.kind != AE_KIND_STAMPED;
    if (slot.stamped)
        slot.kind -= AE_KIND_STAMPED;
    slot.ahead = ae_tag_ahead(slot.tag, seq);
    return slot;
}

/* V1 fence, pairs W1 (publish): if a byte that was read before was new, this load finds BUSY or a newer tag. */
static bool unchanged(const struct slot *slot) {
    ae_fence_acquire();
    return ae_load_relaxed((const ae_u64 *)(const void *)slot->bytes) == slot->tag;
}

/* Where a payload lies. */
struct place {
    const unsigned char *data;
    uint64_t len;
    /* If in_lane. */
    uint64_t lane, position;
    bool in_lane;
};

/*
 * Is the payload in a slot, or in a part of the lane that isn't used again yet? L2 acquire, pairs L1 (lane) and E3
 * (scan): call it after an acquire fence that follows the last load of the payload's bytes.
 */
static bool above_floor(const struct ae_subscriber *s, const struct place *place) {
    return !place->in_lane ||
           (int64_t)(place->position - ae_load_acquire(&s->log->publishers[place->lane].lane_floor)) >= 0;
}

enum payload {
    PAYLOAD_FOUND,
    /* A publisher is overwriting the slot. */
    PAYLOAD_CHANGED,
    /* The slot holds what no publisher writes. */
    PAYLOAD_INVALID,
};

/* Finds the payload of a message. Checks every value from shared memory, so the place lies within the topic. */
static enum payload find_payload(const struct ae_subscriber *s, const struct slot *slot, struct place *place) {
    const ae_lane_descriptor *descriptor = (const ae_lane_descriptor *)(const void *)(slot->bytes + AE_SLOT_HEADER);
    const uint64_t size = s->geometry.lane_bytes;

    *place = (struct place){.data = slot->bytes + AE_SLOT_HEADER, .len = slot->tag & AE_TAG_LEN_MASK};
    if (slot->kind == AE_KIND_INLINE)
        return place->len <= s->hot.inline_max ? PAYLOAD_FOUND : PAYLOAD_INVALID;
    if (slot->kind != AE_KIND_LANE || size == 0)
        return PAYLOAD_INVALID;
    place->in_lane = true;
    place->position = ae_load_relaxed(&descriptor->position);
    place->lane = ae_load_relaxed(&descriptor->where);
    place->len = place->lane & UINT32_MAX;
    place->lane >>= 32;
    if (!unchanged(slot))
        return PAYLOAD_CHANGED; /* lane and position may belong to different messages */
    if (place->lane >= AE_PUBLISHERS_MAX || place->position % AE_LANE_UNIT != 0 ||
        place->len > s->geometry.max_message || (place->position & (size - 1)) + place->len > size)
        return PAYLOAD_INVALID;
    place->data =
        (const unsigned char *)s->log + s->geometry.lanes_off + place->lane * size + (place->position & (size - 1));
    return PAYLOAD_FOUND;
}

/* ---- losses ---- */

/*
 * Returns the first sequence from `from` on whose bytes lie in a slot, or in a lane at least `margin` above its floor;
 * at most `limit`. Stops at a slot that holds no valid message, too: its receive reports the error.
 */
static uint64_t skip_overwritten(const struct ae_subscriber *s, uint64_t from, uint64_t limit, uint64_t margin) {
    while ((int64_t)(limit - from) > 0) {
        const struct slot slot = load_slot(s, from);
        struct place place;
        if (slot.ahead != 0 || slot.kind != AE_KIND_LANE || find_payload(s, &slot, &place) != PAYLOAD_FOUND)
            break;
        place.position -= margin;
        if (above_floor(s, &place))
            break;
        from++;
    }
    return from;
}

static unsigned reason_of(const struct ae_subscriber *s, uint64_t ahead) {
    if (s->evicted)
        return AE_LOST_EVICTED;
    if ((int64_t)(s->protected_seq - s->hot.next) > 0)
        return AE_LOST_RETAINED;
    return ahead != 0 ? AE_LOST_RING : AE_LOST_LANE;
}

/*
 * Reports a gap: the message of `next` was overwritten in its slot (ahead > 0: by how many sequences the slot is newer)
 * or in its lane (ahead 0). The subscriber continues half a ring behind the newest message and half a lane behind the
 * publisher. It doesn't continue at the oldest message, which would be overwritten next. A reliable subscriber doesn't
 * skip past protected_seq.
 */
static int report_gap(struct ae_subscriber *s, uint64_t ahead, aether_message *message) {
    const uint64_t next = s->hot.next, claim = ae_claim_reach(s->log, next);
    const uint64_t least = next + (ahead != 0 ? ahead : 1); /* the claim that was loaded may be older than the slot */
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
        /* If even the newest message lies lower, messages are large: continue at the first that isn't overwritten. */
        resume = after != end ? after : skip_overwritten(s, resume, end, 0);
    }
    *message = (aether_message){.seq = next, .lost = resume - next};
    count_lost(s, message->lost, reason_of(s, ahead));
    s->hot.next = resume;
    ae_stats_store_subscriber(s);
    return 1;
}

/* ---- eviction ---- */

static bool is_evicted(const struct ae_subscriber *s) {
    if (s->cursors == NULL || s->geometry.evict_lag == 0 || s->evicted)
        return false;
    /* E4 acquire, pairs E3 (scan): the tag or floor that overran this subscriber was stored after the word. */
    const uint64_t word = ae_load_acquire(&s->log->evict[s->record]);
    return ae_evicted(word) != 0 && ae_evict_generation(word) == s->evict_generation;
}

static int report_eviction(struct ae_subscriber *s) {
    /* As is_evicted() has found it: until the record is given out again, only a hostile process changes it. */
    const uint64_t word = ae_load_relaxed(&s->log->evict[s->record]), units = ae_evict_units(word);
    char why[64], number[AE_TEXT_COUNT_BYTES];

    if (ae_evicted(word) == AE_EVICT_LANE)
        (void)snprintf(why, sizeof why, "held %s of lane room", ae_text_size(number, units * AE_LANE_UNIT));
    else
        (void)snprintf(why, sizeof why, "was %s messages behind", ae_text_count(number, units));
    ae_subscriber_leave(s);
    ae_holds_void(s);
    s->evicted = true;
    s->hot.cursor = &s->stats->position;
    ae_stats_store_subscriber(s);
    return ae_fail(-EOVERFLOW,
                   "evicted at sequence %" PRIu64 ": %s; goes on as best effort, open another one to be reliable again",
                   s->hot.next, why);
}

/* ---- receive ---- */

/* Releases all that was received, apart from what is held. */
static void release_received(struct ae_subscriber *s) {
    ae_store_cursor(&s->hot, s->hot.next);
    ae_holds_show(s);
}

void ae_subscriber_release(struct ae_subscriber *s) {
    if (s->hot.cursor_stored != s->hot.next)
        release_received(s);
    if (s->stored != s->hot.next)
        ae_stats_store_subscriber(s);
}

/*
 * The slot of `next` isn't finished: returns 0, or -EOVERFLOW once after an eviction. first: this call has no entry
 * before it. Otherwise this call must neither release the views of these entries nor return -EOVERFLOW in place of
 * their number; the next call does.
 */
static int nothing_yet(struct ae_subscriber *s, bool first) {
    if (!first)
        return 0;
    ae_subscriber_release(s);
    if (s->cursors == NULL || s->geometry.evict_lag == 0 || s->evicted)
        return 0;
    /* Makes the next aether_receive() come here, too, instead of returning 0 after it has read the slot. */
    s->hot.cursor_stored = s->hot.next - 1;
    return is_evicted(s) ? report_eviction(s) : 0;
}

static int bad_slot(uint64_t seq, const struct slot *slot) {
    return ae_fail(-EBADMSG,
                   "slot of sequence %" PRIu64 " holds tag %#" PRIx64
                   " and what no publisher writes: faulty or hostile peer",
                   seq, slot->tag);
}

/*
 * Fills in *message with the payload that was found: in place if `copy` is NULL, else copied there. False: the payload
 * was overwritten meanwhile, as slot and lane floor show when they are loaded again.
 */
static bool deliver(const struct ae_subscriber *s, const struct slot *slot, const struct place *place,
                    unsigned char *copy, aether_message *message) {
    message->data = place->data;
    message->len = place->len;
    message->lost = 0;
    if (copy == NULL) {
        /* Only a view in place may be overwritten. The program calls aether_still_valid() after it has read it. */
        return !place->in_lane || !s->in_place || above_floor(s, place);
    }
    ae_copy_out(copy, place->data, place->len);
    message->data = copy;
    return unchanged(slot) && above_floor(s, place);
}

/* What take() returns, beside 1 (a message was received) and a negative errno code. */
enum {
    /* The sequence was aborted and is skipped, or its slot was overwritten meanwhile: load a slot again. */
    TAKE_AGAIN = 2,
    /* The message was overwritten in its lane. */
    TAKE_LOST,
    /* `copy` has less room than the message needs. */
    TAKE_NO_ROOM,
};

/*
 * Receives the message that lies `skipped` sequences after `next` and whose slot was loaded, and counts those before it
 * as skipped. Delivers it in place if `copy` is NULL, else copied there, if it isn't longer than `room`. Inline, so
 * that a call with skipped 0 executes no more than it needs.
 */
AE_ALWAYS_INLINE int take(struct ae_subscriber *s, uint64_t skipped, const struct slot *slot, unsigned char *copy,
                          size_t room, aether_message *message) {
    const uint64_t seq = s->hot.next + skipped;
    struct place place;

    if (slot->kind == AE_KIND_ABORTED) {
        skip_aborted(s);
        return TAKE_AGAIN;
    }
    const enum payload found = find_payload(s, slot, &place);
    if (found == PAYLOAD_CHANGED)
        return TAKE_AGAIN;
    if (found == PAYLOAD_INVALID || (place.in_lane && !ae_subscriber_populate_lane(s, place.lane)))
        return bad_slot(seq, slot);
    if (copy != NULL && place.len > room)
        return TAKE_NO_ROOM;
    message->seq = seq;
    const uint64_t stamp = slot->stamped ? ae_stamp_load(s, seq) : 0;
    if (!deliver(s, slot, &place, copy, message))
        return load_slot(s, seq).tag == slot->tag ? TAKE_LOST : TAKE_AGAIN;
    s->skipped += skipped;
    s->hot.next = seq + 1;
    s->hot.bytes += message->len;
    if (slot->stamped)
        ae_stats_received(s, stamp, unchanged(slot));
    return 1;
}

/*
 * Receives the entry at `next`, if there is one. A payload that may be overwritten is copied to `copy`, with `room`
 * bytes. first: as for nothing_yet(). Bounded: each turn but the last skips an aborted sequence, or finds that the slot
 * was overwritten meanwhile, which the next turn reports as a gap.
 */
static int receive_one(struct ae_subscriber *s, aether_message *message, unsigned char *copy, size_t room, bool first) {
    for (uint64_t turn = 0; turn <= s->geometry.capacity; turn++) {
        const uint64_t next = s->hot.next;
        const struct slot slot = load_slot(s, next);

        if (ae_tag_pending(slot.tag, next))
            return nothing_yet(s, first);
        const int rc = slot.ahead > 0 ? TAKE_LOST : take(s, 0, &slot, s->hot.zero_copy ? NULL : copy, room, message);
        if (rc == TAKE_LOST)
            return is_evicted(s) ? (first ? report_eviction(s) : 0) : report_gap(s, (uint64_t)slot.ahead, message);
        if (rc == TAKE_NO_ROOM)
            return 0; /* only in a batch; the next call has all of the buffer */
        if (rc != TAKE_AGAIN)
            return rc;
    }
    return 0;
}

/* At protected_seq a reliable subscriber has read the retained messages: from here on its cursor counts. */
static void finish_catch_up(struct ae_subscriber *s) {
    if (s->cursors == NULL || s->evicted || s->hot.cursor != &s->stats->position || ae_holds_any(s) ||
        (int64_t)(s->hot.next - s->protected_seq) < 0)
        return;
    s->hot.cursor = &s->cursors->records[s->record].cursor;
    s->hot.zero_copy = s->in_place || s->geometry.evict_lag == 0;
    ae_store_cursor(&s->hot, s->hot.next);
    ae_stats_store_subscriber(s); /* says where the cursor is now */
}

/*
 * A copied message can be released at once. But the cursor is stored only now and then, to spare its cache line. With
 * lanes it is stored each time: one message may hold all the room that a publisher has.
 */
static void release_copied(struct ae_subscriber *s) {
    if (!s->hot.zero_copy && ((s->hot.next & s->hot.cursor_mask) == 0 || s->geometry.lane_bytes != 0))
        ae_store_cursor(&s->hot, s->hot.next);
}

/*
 * Finds the newest message that isn't older than `next`; if there is none and `next` is aborted, `next`. Passes over
 * sequences that are claimed and not committed yet. False: there is neither.
 */
static bool find_newest(const struct ae_subscriber *s, uint64_t *seq, struct slot *slot) {
    const uint64_t next = s->hot.next;
    uint64_t left = ae_claim_reach(s->log, next) - next;

    if ((int64_t)left <= 0)
        return false;
    *seq = next + left;
    if (left > s->geometry.capacity) /* the ring holds no older ones */
        left = s->geometry.capacity;
    for (; left > 0; left--) {
        *slot = load_slot(s, --*seq);
        if (!ae_tag_pending(slot->tag, *seq) && (slot->kind != AE_KIND_ABORTED || *seq == next))
            return true;
    }
    return false;
}

/*
 * Receives the newest committed message, if it isn't older than `next`, and counts those before it as skipped. If it is
 * overwritten meanwhile, there is a newer one, and it tries again. Bounded: after LATEST_TRIES turns it returns 0.
 */
static int receive_latest(struct ae_subscriber *s, aether_message *message) {
    for (int turn = 0; turn < LATEST_TRIES; turn++) {
        uint64_t seq;
        struct slot slot;

        if (!find_newest(s, &seq, &slot))
            return 0;
        if (slot.ahead > 0)
            continue;
        const int rc = take(s, seq - s->hot.next, &slot, s->copies, s->copies_size, message);
        if (rc == TAKE_LOST) { /* and no newer message is committed yet: skip it */
            s->skipped += seq + 1 - s->hot.next;
            s->hot.next = seq + 1;
            ae_stats_store_subscriber(s);
        } else if (rc != TAKE_AGAIN) {
            if (s->stored != s->hot.next)
                ae_stats_store_subscriber(s);
            return rc;
        }
    }
    return 0;
}

AE_EXPORT int aether_detail_receive(aether_subscriber *handle, aether_message *message) {
    struct ae_subscriber *s = ae_subscriber_of(handle);
    int rc;

    if (AE_UNLIKELY(ae_subscriber_waits(s)) && (rc = s->attach(s)) <= 0)
        return rc;
    if (s->policy == AETHER_LATEST)
        return receive_latest(s, message);
    finish_catch_up(s);
    if (s->hot.zero_copy && s->geometry.lane_bytes != 0 && s->hot.cursor_stored != s->hot.next)
        release_received(s); /* for the reason given at release_copied() */
    rc = receive_one(s, message, s->copies, s->copies_size, true);
    release_copied(s);
    return rc;
}

/* Receives what the inline path can: entries from messages[n] on. Returns the number of entries, with the first n. */
static int receive_plain(struct ae_subscriber *s, aether_message *messages, int n, int max) {
    while (n < max && ae_read_slot(&s->hot, ae_slot_at(&s->hot, s->hot.next), s->hot.next, &messages[n]) == 1) {
        s->hot.bytes += messages[n++].len;
        s->hot.next++;
    }
    return n;
}

AE_EXPORT int aether_detail_receive_batch(aether_subscriber *handle, aether_message *messages, int n, int max) {
    struct ae_subscriber *s = ae_subscriber_of(handle);
    size_t used = 0;

    if (AE_UNLIKELY(ae_subscriber_waits(s))) {
        const int rc = s->attach(s);
        if (rc <= 0)
            return rc;
    }
    if (s->policy == AETHER_LATEST)
        return max > 0 ? receive_latest(s, messages) : 0;
    if (n == 0)
        finish_catch_up(s);
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
        if (s->hot.cursor == &s->stats->position && s->hot.next == s->protected_seq && s->cursors != NULL &&
            !s->evicted)
            break; /* the retained messages end here; the next call reads on without copies if it can */
        if (s->hot.zero_copy)
            n = receive_plain(s, messages, n, max);
    }
    if (!s->hot.zero_copy)
        ae_store_cursor(&s->hot, s->hot.next);
    return n;
}

AE_EXPORT int aether_still_valid(const aether_subscriber *handle, const aether_message *message) {
    const struct ae_subscriber *s = ae_subscriber_of_const(handle);
    const struct slot slot = load_slot(s, message->seq);
    const uintptr_t data = (uintptr_t)message->data, log = (uintptr_t)s->log;
    struct place place;

    if (message->lost != 0 || data < log || data >= log + s->geometry.log_bytes)
        return 1; /* no view into shared memory */
    /* The fence in unchanged() is that of V1 and L2: the program loaded the bytes before tag and floor are loaded. */
    return slot.ahead == 0 && (slot.kind == AE_KIND_INLINE || slot.kind == AE_KIND_LANE) &&
           find_payload(s, &slot, &place) == PAYLOAD_FOUND && place.data == message->data && unchanged(&slot) &&
           above_floor(s, &place);
}

bool ae_subscriber_ready(const struct ae_subscriber *s) {
    struct slot slot;
    uint64_t seq;

    if (ae_subscriber_waits(s))
        return ae_subscriber_sees_shape(s);
    if (s->policy == AETHER_LATEST)
        return find_newest(s, &seq, &slot);
    return !ae_tag_pending(load_slot(s, s->hot.next).tag, s->hot.next) || is_evicted(s);
}

/* It has asked for messages from before its join, and there were some. */
static bool had_retained(const struct ae_subscriber *s) {
    return s->joined != s->protected_seq;
}

/* Is there something that it hasn't received? A subscriber that waits has no slots, but sees what is claimed. */
static bool has_unread(const struct ae_subscriber *s) {
    return ae_subscriber_waits(s) ? ae_claim_reach(s->log, s->hot.next) != s->hot.next : ae_subscriber_ready(s);
}

/*
 * T2 acquire, pairs T1 (leave; retire after a death): `open` is loaded before the next slot. So if it is 0, the load
 * of the slot sees all that was committed. The words are loaded twice, the second time in the other order. If none has
 * changed, no publisher joined or left in between, and `died` belongs to the same end as `open`.
 */
AE_EXPORT aether_stream aether_subscriber_stream(const aether_subscriber *handle) {
    const struct ae_subscriber *s = ae_subscriber_of_const(handle);
    const ae_stream_block *stream = &s->log->stream;
    const uint64_t joins = ae_load_acquire(&stream->joins), died = ae_load_acquire(&stream->died);

    if (ae_load_acquire(&stream->open) != 0)
        return AETHER_STREAM_OPEN;
    if (!s->open_before && joins == s->joins_before && !had_retained(s))
        return AETHER_STREAM_NONE;
    if (has_unread(s) || ae_load_acquire(&stream->died) != died || ae_load_acquire(&stream->joins) != joins ||
        ae_load_acquire(&stream->open) != 0)
        return AETHER_STREAM_OPEN;
    return died != 0 && (died != s->died_before || had_retained(s)) ? AETHER_STREAM_DIED : AETHER_STREAM_CLOSED;
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
