/* SPDX-License-Identifier: Apache-2.0 */
#include "kill.h"

#define EVENTS_MAX (PUBLISHERS_MAX + SUBSCRIBERS_MAX + PEERS_MAX)

static long long at(uint64_t seq) {
    return (long long)(seq - world.geometry.start_seq);
}

/* ---- the slots ---- */

static bool unfinished_call_covers(uint64_t seq) {
    for (unsigned i = 0; i < world.publisher_count; i++) {
        const struct publisher *s = &world.publishers[i];
        const uint64_t intent = ae_load_acquire(&world.log->publishers[s->record].intent);
        const uint64_t first = ae_seq_extend(intent >> AE_CLAIM_SEQ_SHIFT, seq);
        if ((s->life == STOPPED || s->life == DEAD) && seq - first < (intent & AE_INTENT_COUNT_MAX))
            return true;
    }
    return false;
}

static void check_lane_message(uint64_t seq, const unsigned char *slot) {
    const ae_lane_descriptor *d = (const ae_lane_descriptor *)(const void *)(slot + AE_SLOT_HEADER);
    const uint64_t lane = d->where.v >> 32, size = world.geometry.lane_bytes, off = d->position.v & (size - 1);
    const uint64_t len = d->where.v & UINT32_MAX;

    if (lane >= RECORDS || d->position.v % AE_LANE_UNIT != 0 || off + len > size)
        wrong("sequence start %+lld has a bad descriptor", at(seq));
    if ((int64_t)(d->position.v - ae_load_acquire(&world.log->publishers[lane].lane_floor)) < 0)
        return; /* its bytes are released, and used again */
    note_message(seq, (const unsigned char *)world.log + world.geometry.lanes_off + lane * size + off, len);
}

/*
 * Every sequence of the last ring below the claim's end is committed or aborted, or belongs to a call in which its
 * publisher is stopped or dead and not retired. What had been committed is still there.
 */
static void check_ring(void) {
    const uint64_t end = claim_end(), all = end - world.geometry.start_seq;

    for (uint64_t left = all < world.geometry.capacity ? all : world.geometry.capacity; left > 0; left--) {
        const uint64_t seq = end - left, tag = tag_of(seq);
        const unsigned char *slot = (const unsigned char *)ae_slot_tag(world.log, &world.geometry, seq);
        if (ae_tag_pending(tag, seq)) {
            if (!unfinished_call_covers(seq))
                wrong("sequence start %+lld is neither committed nor aborted, and no call will end that", at(seq));
            if (entry_of(seq)->kind != UNKNOWN)
                wrong("sequence start %+lld was committed or aborted, and is pending now", at(seq));
            check_slot_stamp(seq + (uint64_t)ae_tag_ahead(tag, seq), tag);
            continue;
        }
        if (ae_tag_ahead(tag, seq) != 0)
            wrong("the slot of sequence start %+lld holds tag %#llx", at(seq), (unsigned long long)tag);
        if (ae_tag_kind(tag) == AE_KIND_ABORTED)
            note_aborted(seq);
        else if ((ae_tag_kind(tag) & ~AE_KIND_STAMPED) == AE_KIND_INLINE)
            note_message(seq, slot + AE_SLOT_HEADER, tag & AE_TAG_LEN_MASK);
        else
            check_lane_message(seq, slot);
        check_slot_stamp(seq, tag);
    }
    check_held();
    check_figures();
}

/* ---- the others work ---- */

static unsigned living_publishers(struct publisher **list) {
    unsigned count = 0;

    for (unsigned i = 0; i < world.publisher_count; i++) {
        if (world.publishers[i].life == ALIVE)
            list[count++] = &world.publishers[i];
    }
    return count;
}

/* Publishers and subscribers that are alive publish and receive for a while. */
static void others_work(void) {
    struct publisher *list[PUBLISHERS_MAX];
    const unsigned count = living_publishers(list);
    uint64_t turns = one_in(6) ? any_of(2 * world.geometry.capacity) : any_of(4);

    for (; turns > 0; turns--) {
        if (count != 0) {
            struct publisher *publisher = list[any_of(count)];
            const uint64_t half = world.geometry.capacity / 2;
            (void)publish_now(publisher, one_in(4) ? 1 + any_of(half < BATCH_MAX ? half : BATCH_MAX) : 1,
                              has_lanes() && one_in(3));
        }
        if (!one_in(3))
            all_receive(one_in(2) ? UINT64_MAX : any_of(3));
    }
}

void meanwhile(void) {
    for (unsigned i = 1; i < world.peer_count; i++) {
        if (peer_stopped(world.peers[i]) && one_in(2))
            peer_goes_on(world.peers[i]);
    }
    check_ring();
    if (one_in(3) && !daemon_stopped())
        (void)open_subscriber(AETHER_RELIABLE, AETHER_FROM_NEW);
    others_work();
}

/* ---- recovery from deaths, and the end of stops, in any order ---- */

struct event {
    struct publisher *publisher;   /* is repaired and retired */
    struct subscriber *subscriber; /* is retired */
    struct peer *peer;             /* goes on, or is killed after all */
};

static unsigned find_events(struct event *events) {
    unsigned count = 0;

    for (unsigned i = 0; i < world.publisher_count; i++) {
        if (world.publishers[i].life == DEAD || world.publishers[i].life == CLOSED)
            events[count++] = (struct event){.publisher = &world.publishers[i]};
    }
    for (unsigned i = 0; i < world.subscriber_count; i++) {
        if (world.subscribers[i].life == DEAD || world.subscribers[i].life == CLOSED)
            events[count++] = (struct event){.subscriber = &world.subscribers[i]};
    }
    for (unsigned i = 0; i < world.peer_count; i++) {
        if (peer_stopped(world.peers[i]))
            events[count++] = (struct event){.peer = world.peers[i]};
    }
    return count;
}

static void event_happens(const struct event *event) {
    if (event->publisher != NULL) {
        retire_publisher(event->publisher);
        if (one_in(3) && world.publisher_count < PUBLISHERS_MAX - 2)
            (void)open_publisher_at(event->publisher->record);
    } else if (event->subscriber != NULL) {
        retire_subscriber(event->subscriber);
    } else if (one_in(4)) {
        peer_dies(event->peer);
    } else {
        peer_goes_on(event->peer);
    }
}

static void all_events_happen(void) {
    struct event events[EVENTS_MAX];
    unsigned count;

    while ((count = find_events(events)) > 0) {
        const struct event *event = &events[any_of(count)];
        if (event->peer == NULL && daemon_stopped())
            continue; /* until aetherd goes on, or is killed */
        event_happens(event);
        check_ring();
        if (count > 1)
            others_work();
    }
}

/* ---- then every publisher publishes ---- */

/* No publisher or subscriber is dead or stopped; once all have received everything there is room. */
static void must_publish(struct publisher *publisher, size_t count, bool large) {
    int rc = publish_now(publisher, count, large);

    if (rc == AETHER_FULL) { /* subscribers may be behind */
        all_receive(UINT64_MAX);
        rc = publish_now(publisher, count, large);
    }
    if (rc != 0 && rc != -ENOBUFS)
        wrong("publisher %u can't publish %zu messages, though everything is received: %d",
              (unsigned)(publisher - world.publishers), count, rc);
}

static bool any_reliable(void) {
    for (unsigned i = 0; i < world.subscriber_count; i++) {
        if (world.subscribers[i].life == ALIVE && world.subscribers[i].options.policy == AETHER_RELIABLE)
            return true;
    }
    return false;
}

static bool record_taken(uint32_t record) {
    for (unsigned i = 0; i < world.publisher_count; i++) {
        if (world.publishers[i].record == record && world.publishers[i].life == ALIVE)
            return true;
    }
    return false;
}

/* Opens publishers on the records of retired ones. */
static void reuse_records(void) {
    struct publisher *list[PUBLISHERS_MAX];
    const unsigned publishers = world.publisher_count;

    if (world.geometry.publishers == AE_PUBLISHERS_EXCLUSIVE) {
        if (living_publishers(list) == 0)
            (void)open_publisher();
        return;
    }
    for (unsigned i = 0; i < publishers && world.publisher_count < PUBLISHERS_MAX; i++) {
        if (world.publishers[i].life == RETIRED && !record_taken(world.publishers[i].record))
            (void)open_publisher_at(world.publishers[i].record);
    }
    if (living_publishers(list) == 0)
        (void)open_publisher();
}

static void everybody_publishes(void) {
    struct publisher *list[PUBLISHERS_MAX];
    const unsigned count = living_publishers(list);
    const uint64_t half = world.geometry.capacity / 2;
    uint64_t done = 0;

    for (unsigned i = 0; i < count; i++) {
        must_publish(list[i], 1, false);
        if (has_lanes())
            must_publish(list[i], 1, true);
    }
    while (done < world.geometry.capacity) {
        const size_t n = one_in(4) ? 1 + any_of(half < BATCH_MAX ? half : BATCH_MAX) : 1;
        must_publish(list[any_of(count)], n, has_lanes() && one_in(4));
        done += n;
        if (one_in(2))
            all_receive(UINT64_MAX);
    }
    all_receive(UINT64_MAX);
}

/* ---- the accounts ---- */

static void check_subscriber(const struct subscriber *subscriber, uint64_t end) {
    aether_subscriber_stats stats;

    aether_subscriber_get_stats(&subscriber->sub.hot, &stats);
    if (stats.next != end)
        wrong("subscriber %u is at start %+lld, the end is start %+lld", subscriber->record, at(stats.next), at(end));
    if (stats.joined != subscriber->start || stats.delivered != subscriber->delivered ||
        stats.lost != subscriber->lost ||
        stats.delivered + stats.lost + stats.aborted + stats.skipped != stats.next - stats.joined)
        wrong("subscriber %u counts %llu delivered, %llu lost, %llu aborted, %llu skipped of %llu", subscriber->record,
              (unsigned long long)stats.delivered, (unsigned long long)stats.lost, (unsigned long long)stats.aborted,
              (unsigned long long)stats.skipped, (unsigned long long)(stats.next - stats.joined));
}

/*
 * Of a call in which a publisher was killed, a first part of the messages is committed and the rest is aborted, or
 * nothing was claimed. An aborted sequence doesn't show its call. So some choice of such calls must have as many
 * messages as there are aborted sequences and committed messages of such calls.
 */
static void check_aborted(void) {
    uint64_t sizes[PUBLISHERS_MAX], must = 0, may = 1; /* bit n of may: n sequences may have been claimed */
    unsigned count = 0;

    for (unsigned i = 0; i < world.publisher_count; i++) {
        const struct publisher *s = &world.publishers[i];
        if (s->life != RETIRED || s->inflight == 0)
            continue;
        if ((s->seen & (s->seen + 1)) != 0)
            wrong("of the last batch of publisher %u a later message is committed and an earlier one isn't", i);
        must += (uint64_t)__builtin_popcountll(s->seen);
        if (s->seen != 0)
            may <<= s->inflight;
        else
            sizes[count++] = s->inflight;
    }
    for (unsigned i = 0; i < count; i++)
        may |= may << sizes[i];
    if (world.aborted + must > 63 || (may >> (world.aborted + must) & 1) == 0)
        wrong("%llu sequences are aborted and %llu committed of calls that were killed: no set of such calls has so "
              "many messages",
              (unsigned long long)world.aborted, (unsigned long long)must);
}

static void check_accounts(void) {
    const uint64_t end = claim_end();

    for (uint64_t seq = world.geometry.start_seq; seq != end; seq++) {
        if (entry_of(seq)->kind == UNKNOWN)
            wrong("sequence start %+lld is neither known to hold a message nor to be aborted", at(seq));
    }
    if (world.top > end - world.geometry.start_seq)
        wrong("a sequence past the claim's end, start %+lld, was in use", at(end));
    for (unsigned i = 0; i < world.subscriber_count; i++) {
        if (world.subscribers[i].life == ALIVE)
            check_subscriber(&world.subscribers[i], end);
    }
    check_aborted();
    check_sum();
}

/* A death counts for a subscriber that it came after, and for one that has begun at retained messages. */
static bool may_find(const struct subscriber *l, aether_stream stream) {
    const bool retained = l->start != l->sub.protected_seq;

    if (stream == AETHER_STREAM_DIED)
        return world.died != 0 && (retained || l->died[0] != world.died || l->died[1] != world.died);
    return stream == AETHER_STREAM_CLOSED &&
           (world.died == 0 || (!retained && (l->died[0] == world.died || l->died[1] == world.died)));
}

static void check_end_of_stream(void) {
    struct publisher *list[PUBLISHERS_MAX];
    const unsigned count = living_publishers(list);

    for (unsigned i = 0; i < count; i++)
        close_publisher(list[i]);
    if (ae_load_acquire(&world.log->stream.open) != 0 || ae_load_acquire(&world.log->stream.died) != world.died)
        wrong("all publishers have left, but open is %#llx and died %llu, not %llu",
              (unsigned long long)ae_load_acquire(&world.log->stream.open),
              (unsigned long long)ae_load_acquire(&world.log->stream.died), (unsigned long long)world.died);
    for (unsigned i = 0; i < world.subscriber_count; i++) {
        const struct subscriber *l = &world.subscribers[i];
        aether_stream stream;
        if (l->life != ALIVE)
            continue;
        stream = aether_subscriber_stream(&l->sub.hot);
        if (!may_find(l, stream))
            wrong("subscriber %u finds the stream in state %u", i, stream);
    }
}

/* Those that wait for the topic's shape, and whose join hasn't begun, join now. */
static void join_those_granted(void) {
    struct subscriber *subscriber;

    while ((subscriber = granted_subscriber()) != NULL) {
        subscriber->life = ALIVE;
        join_subscriber_now(subscriber);
    }
}

void oracle(bool kill) {
    if (kill && peer_stopped(world.peers[0]))
        peer_dies(world.peers[0]);
    check_ring();
    join_those_granted();
    if (one_in(2) && !daemon_stopped())
        (void)open_subscriber(AETHER_RELIABLE, one_in(2) ? AETHER_FROM_NEW : AETHER_FROM_OLDEST);
    if (one_in(2))
        others_work();
    all_events_happen();
    release_all();
    if (!any_reliable())
        (void)open_subscriber(AETHER_RELIABLE, AETHER_FROM_NEW);
    all_receive(UINT64_MAX);
    check_ring();
    reuse_records();
    everybody_publishes();
    check_ring();
    check_accounts();
    if (one_in(4))
        check_end_of_stream();
}
