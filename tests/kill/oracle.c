/* SPDX-License-Identifier: Apache-2.0 */
#include "kill.h"

#define EVENTS_MAX (SPEAKERS_MAX + LISTENERS_MAX + PEERS_MAX)

static long long at(uint64_t seq) {
    return (long long)(seq - world.geometry.start_seq);
}

/* ---- what lies in the ring ---- */

static bool unfinished_call_covers(uint64_t seq) {
    for (unsigned i = 0; i < world.speaker_count; i++) {
        const struct speaker *s = &world.speakers[i];
        const uint64_t intent = ae_load_acquire(&world.log->publishers[s->record].intent);
        const uint64_t first = ae_seq_extend(intent >> AE_CLAIM_SEQ_SHIFT, seq);
        if ((s->fate == STOPPED || s->fate == DEAD) && seq - first < (intent & AE_INTENT_COUNT_MAX))
            return true;
    }
    return false;
}

static void look_at_lane_message(uint64_t seq, const unsigned char *slot) {
    const ae_lane_descriptor *d = (const ae_lane_descriptor *)(const void *)(slot + AE_SLOT_HEADER);
    const uint64_t lane = d->where.v >> 32, size = world.geometry.lane_bytes, off = d->position.v & (size - 1);
    const uint64_t len = d->where.v & UINT32_MAX;

    if (lane >= RECORDS || d->position.v % AE_LANE_UNIT != 0 || off + len > size)
        wrong("sequence start %+lld has a bad descriptor", at(seq));
    if ((int64_t)(d->position.v - ae_load_acquire(&world.log->publishers[lane].lane_floor)) < 0)
        return; /* released, and used again */
    note_heard(seq, (const unsigned char *)world.log + world.geometry.lanes_off + lane * size + off, len);
}

/*
 * Every sequence of the last ring below the claim's end is committed or aborted, or belongs to a call of somebody who
 * is stopped, or dead and not noticed yet. What had been committed is still there.
 */
static void look_at_ring(void) {
    const uint64_t end = claim_end(), all = end - world.geometry.start_seq;

    for (uint64_t left = all < world.geometry.capacity ? all : world.geometry.capacity; left > 0; left--) {
        const uint64_t seq = end - left, tag = tag_of(seq);
        const unsigned char *slot = (const unsigned char *)ae_slot_tag(world.log, &world.geometry, seq);
        if (ae_tag_pending(tag, seq)) {
            if (!unfinished_call_covers(seq))
                wrong("sequence start %+lld is neither committed nor aborted, and nobody is at it", at(seq));
            if (entry_of(seq)->kind != UNKNOWN)
                wrong("sequence start %+lld was there, and isn't any more", at(seq));
        } else if (ae_tag_ahead(tag, seq) != 0) {
            wrong("the slot of sequence start %+lld holds tag %#llx", at(seq), (unsigned long long)tag);
        } else if (ae_tag_kind(tag) == AE_KIND_ABORTED) {
            note_aborted(seq);
        } else if (ae_tag_kind(tag) == AE_KIND_INLINE) {
            note_heard(seq, slot + AE_SLOT_HEADER, tag & AE_TAG_LEN_MASK);
        } else {
            look_at_lane_message(seq, slot);
        }
    }
}

/* ---- life goes on ---- */

static unsigned living(struct speaker **list) {
    unsigned count = 0;

    for (unsigned i = 0; i < world.speaker_count; i++) {
        if (world.speakers[i].fate == ALIVE)
            list[count++] = &world.speakers[i];
    }
    return count;
}

/* Those who can publish and receive for a while. */
static void go_on(void) {
    struct speaker *list[SPEAKERS_MAX];
    const unsigned count = living(list);
    uint64_t turns = one_in(6) ? any_of(2 * world.geometry.capacity) : any_of(4);

    for (; turns > 0; turns--) {
        if (count != 0) {
            struct speaker *speaker = list[any_of(count)];
            const uint64_t half = world.geometry.capacity / 2;
            (void)speak(speaker, one_in(4) ? 1 + any_of(half < BATCH_MAX ? half : BATCH_MAX) : 1,
                        has_lanes() && one_in(3));
        }
        if (!one_in(3))
            listen_all(one_in(2) ? UINT64_MAX : any_of(3));
    }
}

void meanwhile(void) {
    for (unsigned i = 1; i < world.peer_count; i++) {
        if (peer_stopped(world.peers[i]) && one_in(2))
            peer_goes_on(world.peers[i]);
    }
    look_at_ring();
    if (one_in(3))
        (void)open_listener(AETHER_RELIABLE, AETHER_FROM_NEW);
    go_on();
}

/* ---- recovery, and the end of stops, in any order ---- */

struct event {
    struct speaker *speaker;   /* to be repaired */
    struct listener *listener; /* to be taken out */
    struct peer *peer;         /* goes on, or dies after all */
};

static unsigned find_events(struct event *events) {
    unsigned count = 0;

    for (unsigned i = 0; i < world.speaker_count; i++) {
        if (world.speakers[i].fate == DEAD)
            events[count++] = (struct event){.speaker = &world.speakers[i]};
    }
    for (unsigned i = 0; i < world.listener_count; i++) {
        if (world.listeners[i].fate == DEAD)
            events[count++] = (struct event){.listener = &world.listeners[i]};
    }
    for (unsigned i = 0; i < world.peer_count; i++) {
        if (peer_stopped(world.peers[i]))
            events[count++] = (struct event){.peer = world.peers[i]};
    }
    return count;
}

/* aetherd, or the repairs of one that died, do one publisher at a time. */
static bool repair_stands(const struct peer *peer, const struct event *event) {
    return peer_stopped(peer) && peer->call.verb == REPAIR && event->speaker != NULL;
}

static void come_to_pass(const struct event *event) {
    if (event->speaker != NULL) {
        bury_speaker(event->speaker);
        if (one_in(3) && world.speaker_count < SPEAKERS_MAX - 2)
            (void)open_speaker_at(event->speaker->record);
    } else if (event->listener != NULL) {
        bury_listener(event->listener);
    } else if (one_in(4)) {
        peer_dies(event->peer);
    } else {
        peer_goes_on(event->peer);
    }
}

static void all_comes_to_pass(void) {
    struct event events[EVENTS_MAX];
    unsigned count;

    while ((count = find_events(events)) > 0) {
        const struct event *event = &events[any_of(count)];
        bool waits = false;
        for (unsigned i = 0; i < world.peer_count; i++)
            waits |= repair_stands(world.peers[i], event);
        if (waits)
            continue;
        come_to_pass(event);
        look_at_ring();
        if (count > 1)
            go_on();
    }
}

/* ---- and then everybody is there ---- */

/* Nobody is behind, dead or stopped, so there is room. */
static void must_speak(struct speaker *speaker, size_t count, bool large) {
    int rc = speak(speaker, count, large);

    if (rc == AETHER_FULL) { /* they may be behind */
        listen_all(UINT64_MAX);
        rc = speak(speaker, count, large);
    }
    if (rc != 0 && rc != -ENOBUFS)
        wrong("publisher %u can't publish %zu messages, with everything read: %d", (unsigned)(speaker - world.speakers),
              count, rc);
}

static bool somebody_reads_all(void) {
    for (unsigned i = 0; i < world.listener_count; i++) {
        if (world.listeners[i].fate == ALIVE && world.listeners[i].options.policy == AETHER_RELIABLE)
            return true;
    }
    return false;
}

static bool record_taken(uint32_t record) {
    for (unsigned i = 0; i < world.speaker_count; i++) {
        if (world.speakers[i].record == record && world.speakers[i].fate == ALIVE)
            return true;
    }
    return false;
}

/* Successors on the records of the dead. */
static void reuse_records(void) {
    struct speaker *list[SPEAKERS_MAX];
    const unsigned speakers = world.speaker_count;

    if (world.geometry.publishers == AE_PUBLISHERS_EXCLUSIVE) {
        if (living(list) == 0)
            (void)open_speaker();
        return;
    }
    for (unsigned i = 0; i < speakers && world.speaker_count < SPEAKERS_MAX; i++) {
        if (world.speakers[i].fate == BURIED && !record_taken(world.speakers[i].record))
            (void)open_speaker_at(world.speakers[i].record);
    }
    if (living(list) == 0)
        (void)open_speaker();
}

static void everybody_publishes(void) {
    struct speaker *list[SPEAKERS_MAX];
    const unsigned count = living(list);
    const uint64_t half = world.geometry.capacity / 2;
    uint64_t done = 0;

    for (unsigned i = 0; i < count; i++) {
        must_speak(list[i], 1, false);
        if (has_lanes())
            must_speak(list[i], 1, true);
    }
    while (done < world.geometry.capacity) {
        const size_t n = one_in(4) ? 1 + any_of(half < BATCH_MAX ? half : BATCH_MAX) : 1;
        must_speak(list[any_of(count)], n, has_lanes() && one_in(4));
        done += n;
        if (one_in(2))
            listen_all(UINT64_MAX);
    }
    listen_all(UINT64_MAX);
}

/* ---- the accounts ---- */

static void check_listener(const struct listener *listener, uint64_t end) {
    aether_subscriber_stats stats;

    aether_subscriber_get_stats(&listener->sub.hot, &stats);
    if (stats.next != end)
        wrong("subscriber %u is at start %+lld, the end is start %+lld", listener->record, at(stats.next), at(end));
    if (stats.joined != listener->start || stats.delivered != listener->delivered || stats.lost != listener->lost ||
        stats.delivered + stats.lost + stats.aborted + stats.skipped != stats.next - stats.joined)
        wrong("subscriber %u counts %llu delivered, %llu lost, %llu aborted, %llu skipped of %llu", listener->record,
              (unsigned long long)stats.delivered, (unsigned long long)stats.lost, (unsigned long long)stats.aborted,
              (unsigned long long)stats.skipped, (unsigned long long)(stats.next - stats.joined));
}

/*
 * Of a call in which a publisher was killed, the first messages are there and the rest is aborted, or nothing is there
 * and nothing was claimed. It is only known of how many sequences in all, so some choice of calls has to make it up.
 */
static void check_aborted(void) {
    uint64_t sizes[SPEAKERS_MAX], must = 0, may = 1; /* bit n of may: n sequences were claimed, as far as is known */
    unsigned count = 0;

    for (unsigned i = 0; i < world.speaker_count; i++) {
        const struct speaker *s = &world.speakers[i];
        if (s->fate != BURIED || s->inflight == 0)
            continue;
        if ((s->seen & (s->seen + 1)) != 0)
            wrong("of the last batch of publisher %u later messages are there and earlier ones aren't", i);
        must += (uint64_t)__builtin_popcountll(s->seen);
        if (s->seen != 0)
            may <<= s->inflight;
        else
            sizes[count++] = s->inflight;
    }
    for (unsigned i = 0; i < count; i++)
        may |= may << sizes[i];
    if (world.aborted + must > 63 || (may >> (world.aborted + must) & 1) == 0)
        wrong("%llu sequences are aborted and %llu committed of calls that were killed, which doesn't add up",
              (unsigned long long)world.aborted, (unsigned long long)must);
}

static void check_accounts(void) {
    const uint64_t end = claim_end();

    for (uint64_t seq = world.geometry.start_seq; seq != end; seq++) {
        if (entry_of(seq)->kind == UNKNOWN)
            wrong("sequence start %+lld holds nothing that anybody knows of", at(seq));
    }
    if (world.top > end - world.geometry.start_seq)
        wrong("a sequence past the claim's end, start %+lld, was in use", at(end));
    for (unsigned i = 0; i < world.listener_count; i++) {
        if (world.listeners[i].fate == ALIVE)
            check_listener(&world.listeners[i], end);
    }
    check_aborted();
}

static void check_end_of_stream(void) {
    struct speaker *list[SPEAKERS_MAX];
    const unsigned count = living(list);

    for (unsigned i = 0; i < count; i++)
        close_speaker(list[i]);
    if (ae_load_acquire(&world.log->stream.open) != 0 || ae_load_acquire(&world.log->stream.died) != world.died)
        wrong("nobody publishes any more, but open is %#llx and died %#llx, not %#x",
              (unsigned long long)ae_load_acquire(&world.log->stream.open),
              (unsigned long long)ae_load_acquire(&world.log->stream.died), world.died);
    for (unsigned i = 0; i < world.listener_count; i++) {
        const struct listener *l = &world.listeners[i];
        aether_stream stream;
        if (l->fate != ALIVE)
            continue;
        stream = aether_subscriber_stream(&l->sub.hot);
        if (stream != (world.died != 0 ? AETHER_STREAM_DIED : AETHER_STREAM_CLOSED))
            wrong("subscriber %u finds the stream in state %u", i, stream);
    }
}

void oracle(bool kill) {
    if (kill && peer_stopped(world.peers[0]))
        peer_dies(world.peers[0]);
    look_at_ring();
    if (one_in(2))
        (void)open_listener(AETHER_RELIABLE, one_in(2) ? AETHER_FROM_NEW : AETHER_FROM_OLDEST);
    if (one_in(2))
        go_on();
    all_comes_to_pass();
    if (!somebody_reads_all())
        (void)open_listener(AETHER_RELIABLE, AETHER_FROM_NEW);
    listen_all(UINT64_MAX);
    look_at_ring();
    reuse_records();
    everybody_publishes();
    look_at_ring();
    check_accounts();
    if (one_in(4))
        check_end_of_stream();
}
