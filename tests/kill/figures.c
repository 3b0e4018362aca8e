/* SPDX-License-Identifier: Apache-2.0 */
/*
 * figures.c - what another process reads of the figures of publishers and subscribers, whatever they are doing or where
 * they were killed; and stamps.
 *
 * The owner of the figures is stopped, so they are read at the first try.
 */
#include "world.h"
#include "ring/stats.h"

static ae_stats_record records[PUBLISHERS_MAX + SUBSCRIBERS_MAX];

ae_stats_record *publisher_stats(const struct publisher *publisher) {
    return &records[publisher - world.publishers];
}

ae_stats_record *subscriber_stats(const struct subscriber *subscriber) {
    return &records[PUBLISHERS_MAX + (subscriber - world.subscribers)];
}

/* ---- publishers ---- */

static void check_stored(bool opened, int rc, const char *role, unsigned i) {
    if (rc < 0)
        wrong("the figures of %s %u %s", role, i, rc == -EAGAIN ? "can't be read" : "contradict each other");
    if (rc == 0 && opened)
        wrong("%s %u has stored no figures", role, i);
}

/*
 * Messages that are in the ring, or have been received, are counted, and no more than the call that the publisher is in
 * can have committed. Returns their number.
 */
static uint64_t count_messages(const struct publisher *publisher) {
    const unsigned i = (unsigned)(publisher - world.publishers);
    const uint64_t found = (uint64_t)__builtin_popcountll(publisher->seen);
    struct ae_figures figures, claimed;
    const int rc =
        read_publisher(publisher_stats(publisher), world.log_ro, &world.geometry, publisher->record, &figures);

    check_stored(publisher->opened, rc, "publisher", i);
    if (rc == 0)
        return 0;
    if (figures.messages < publisher->serial + found || figures.messages > publisher->serial + publisher->inflight)
        wrong("publisher %u counts %llu messages, and not %llu to %llu", i, (unsigned long long)figures.messages,
              (unsigned long long)publisher->serial + found,
              (unsigned long long)publisher->serial + publisher->inflight);
    if (figures.messages < publisher->counted)
        wrong("publisher %u counts %llu messages, and counted %llu before", i, (unsigned long long)figures.messages,
              (unsigned long long)publisher->counted);
    if (figures.bytes > publisher->bytes + publisher->inflight * LEN_MAX)
        wrong("publisher %u counts %llu bytes, and not %llu", i, (unsigned long long)figures.bytes,
              (unsigned long long)publisher->bytes);
    if (world.geometry.latency == AE_LATENCY_ALL && publisher->inflight == 0 && figures.bytes != publisher->bytes)
        wrong("publisher %u counts %llu bytes, and not %llu, though each message is stamped", i,
              (unsigned long long)figures.bytes, (unsigned long long)publisher->bytes);
    (void)read_publisher(publisher_stats(publisher), world.log_ro, NULL, publisher->record, &claimed);
    if (claimed.messages < figures.messages || claimed.messages > publisher->serial + publisher->inflight)
        wrong("publisher %u has claimed %llu, and committed %llu", i, (unsigned long long)claimed.messages,
              (unsigned long long)figures.messages);
    return figures.messages;
}

static bool has_record(enum life life) {
    return life == ALIVE || life == STOPPED || life == CLOSED || life == DEAD;
}

void keep_figures(struct publisher *publisher) {
    if (publisher->life != GRANTED)
        publisher->counted = count_messages(publisher);
}

/*
 * If aetherd is stopped in a repair, or repairs once more, others may have overwritten aborted slots meanwhile. Then
 * these count as messages.
 */
void check_sum(void) {
    uint64_t counted = 0, published = 0;

    for (unsigned i = 0; i < world.publisher_count; i++) {
        if (world.publishers[i].retiring)
            return;
        counted += world.publishers[i].counted;
    }
    for (uint64_t i = 0; i < world.top; i++)
        published += world.ledger[i].kind == PUBLISHED;
    if (counted != published)
        wrong("the publishers count %llu messages together, and %llu were published", (unsigned long long)counted,
              (unsigned long long)published);
}

/* ---- subscribers ---- */

static void check_subscriber(struct subscriber *subscriber) {
    const struct ae_subscriber *sub = &subscriber->sub;
    const unsigned i = subscriber->record;
    struct ae_figures figures;
    const int rc =
        read_subscriber(subscriber_stats(subscriber),
                        subscriber->options.policy == AETHER_RELIABLE ? &world.cursors_ro->records[i] : NULL, &figures);
    uint64_t since;

    check_stored(subscriber->since != 0, rc, "subscriber", i);
    if (rc == 0)
        return;
    since = sub->hot.next - figures.next;
    if ((int64_t)since < 0)
        wrong("subscriber %u is %lld sequences behind its figures", i, -(long long)since);
    if (subscriber->reached != 0 &&
        (figures.messages < subscriber->counted || (int64_t)(figures.next - subscriber->reached) < 0))
        wrong("the figures of subscriber %u have gone back: %llu delivered, %llu before", i,
              (unsigned long long)figures.messages, (unsigned long long)subscriber->counted);
    subscriber->counted = figures.messages;
    subscriber->reached = figures.next;
    if (subscriber->since == 0)
        return;
    if (figures.messages > subscriber->delivered + subscriber->inflight || figures.lost < subscriber->lost)
        wrong("subscriber %u counts %llu delivered and %llu lost, and not %llu and %llu", i,
              (unsigned long long)figures.messages, (unsigned long long)figures.lost,
              (unsigned long long)subscriber->delivered, (unsigned long long)subscriber->lost);
    /* What it has received since it stored its figures, it has received one by one. */
    if (subscriber->inflight == 0 &&
        (figures.messages + since != subscriber->delivered || figures.lost != subscriber->lost))
        wrong("subscriber %u counts %llu delivered, %llu more since, and %llu lost; and not %llu and %llu", i,
              (unsigned long long)figures.messages, (unsigned long long)since, (unsigned long long)figures.lost,
              (unsigned long long)subscriber->delivered, (unsigned long long)subscriber->lost);
}

void check_figures(void) {
    for (unsigned i = 0; i < world.publisher_count; i++) {
        if (has_record(world.publishers[i].life))
            world.publishers[i].counted = count_messages(&world.publishers[i]);
    }
    for (unsigned i = 0; i < world.subscriber_count; i++) {
        if (has_record(world.subscribers[i].life))
            check_subscriber(&world.subscribers[i]);
    }
}

/* ---- stamps ---- */

/* The stamp is of a moment in the call that has published the message. */
static void check_stamp(uint64_t seq, uint64_t stamp) {
    const struct entry *entry = entry_of(seq);
    const uint64_t ns = stamp >> AE_STAMP_NS_SHIFT;

    if (entry->kind == PUBLISHED && (ns < entry->began_ns || ns > entry->ended_ns || ns > world.clock_ns))
        wrong("sequence start %+lld has the stamp %#llx of another message: it was published from %#llx to %#llx",
              (long long)(seq - world.geometry.start_seq), (unsigned long long)ns, (unsigned long long)entry->began_ns,
              (unsigned long long)entry->ended_ns);
}

void check_slot_stamp(uint64_t seq, uint64_t tag) {
    const ae_geometry *g = &world.geometry;
    const ae_u64 *stamps = (const ae_u64 *)(const void *)((const unsigned char *)world.log + g->stamps_off);
    const uint64_t kind = ae_tag_kind(tag), plain = kind & ~AE_KIND_STAMPED;

    if (tag == 0 || (plain != AE_KIND_INLINE && plain != AE_KIND_LANE) || seq - g->start_seq >= LEDGER_MAX)
        return;
    if (kind == plain ? g->latency == AE_LATENCY_ALL : g->latency == AE_LATENCY_OFF)
        wrong("sequence start %+lld %s a stamp", (long long)(seq - g->start_seq), kind == plain ? "hasn't" : "has");
    if (kind != plain)
        check_stamp(seq, ae_load_relaxed(&stamps[seq & (g->capacity - 1)]));
}

void check_stamps(struct subscriber *subscriber) {
    for (unsigned i = 0; i < subscriber->stamp_count; i++)
        check_stamp(subscriber->stamps[i].seq, subscriber->stamps[i].stamp);
    subscriber->stamp_count = 0;
    if (world.geometry.latency == AE_LATENCY_ALL &&
        ae_load_relaxed(&subscriber_stats(subscriber)->samples) != subscriber->delivered)
        wrong("subscriber %u has received %llu stamped messages, and not %llu", subscriber->record,
              (unsigned long long)ae_load_relaxed(&subscriber_stats(subscriber)->samples),
              (unsigned long long)subscriber->delivered);
    if (ae_load_relaxed(&subscriber_stats(subscriber)->negative) != 0)
        wrong("subscriber %u has received a message before it was published", subscriber->record);
}
