/* SPDX-License-Identifier: Apache-2.0 */
#include "kill.h"

#define CAPACITY world.geometry.capacity

void make_topic(unsigned topic) {
    static const uint64_t capacities[] = {8, 8, 8, 16, 16, 32};
    static const uint64_t sizes[] = {8, 16, 24, 32, 40, 56, 104};
    static const uint64_t inline_sizes[] = {16, 24, 40, 56};
    static const uint64_t large_sizes[] = {100, 200, 520, 1000, 2000};
    aether_topic_config config = {.capacity = capacities[any_of(6)], .start_seq = any_of(3) * any_of(1000)};

    if ((topic & LANES) != 0 || one_in(4)) {
        config.inline_max = inline_sizes[any_of(4)];
        config.max_message = large_sizes[any_of(5)];
        config.lane_bytes = one_in(4) ? 8192 : 4096;
    } else {
        config.max_message = sizes[any_of(7)];
    }
    if ((topic & UNBIASED) != 0)
        config.publishers = AETHER_PUBLISHERS_UNBIASED;
    if ((topic & EXCLUSIVE) != 0)
        config.publishers = AETHER_PUBLISHERS_EXCLUSIVE;
    if ((topic & EVICTS) != 0) {
        config.slow = AETHER_SLOW_EVICT;
        config.evict_lag = config.capacity / 2 + any_of(config.capacity / 2 + 1);
    }
    if ((topic & AT_48) != 0)
        config.start_seq = (1ull << (one_in(4) ? 47 : 48)) - 3 - any_of(config.capacity);
    if ((topic & AT_64) != 0)
        config.start_seq = (one_in(4) ? 1ull << 63 : 0) - 3 - any_of(config.capacity);
    world_make(&config);
}

void any_publish(struct call *call, struct speaker *speaker, bool batch) {
    const size_t count = batch ? 2 + any_of((CAPACITY < 2 * BATCH_MAX ? CAPACITY / 2 : BATCH_MAX) - 1) : 1;
    size_t lens[BATCH_MAX];

    any_lens(lens, count, has_lanes() && one_in(2));
    call_messages(call, batch ? BATCH : PUBLISH, speaker, count, lens);
    if (!batch && one_in(3))
        call_pieces(call);
}

/* ---- parts of states ---- */

static struct listener *reader(void) {
    return open_listener(AETHER_RELIABLE, AETHER_FROM_NEW);
}

/* Publishes n messages, if they fit. */
static void fill(struct speaker *speaker, uint64_t n) {
    while (n > 0) {
        const uint64_t most = n < CAPACITY / 2 ? n : CAPACITY / 2,
                       count = one_in(3) ? 1 + any_of(most < BATCH_MAX ? most : BATCH_MAX) : 1;
        if (speak(speaker, count, has_lanes() && one_in(2)) != 0)
            break;
        n -= count;
    }
}

/* Publishes n messages that everybody reads. */
static void pass(struct speaker *speaker, uint64_t n) {
    while (n-- > 0) {
        (void)speak(speaker, 1, has_lanes() && one_in(2));
        listen_all(UINT64_MAX);
    }
}

/* Any amount from none to a full ring. */
static void fill_any(struct speaker *speaker) {
    if (one_in(2))
        pass(speaker, any_of(2 * CAPACITY));
    fill(speaker, any_of(CAPACITY + 2));
}

/* Others that have published, so that there is no bias. */
static struct speaker *company(struct speaker *speaker) {
    struct speaker *other = open_speaker();

    pass(speaker, 1 + any_of(2));
    pass(other, 1 + any_of(2));
    return other;
}

static struct peer *with_publish(struct speaker *speaker, bool batch) {
    struct peer *peer = new_peer();

    any_publish(&peer->call, speaker, batch);
    return peer;
}

static uint64_t intent_of(const struct peer *peer) {
    return ae_load_acquire(&world.log->publishers[peer->call.speaker->record].intent);
}

/* Has begun, and has something to commit. */
static bool has_claimed(const struct peer *peer) {
    const uint64_t end = claim_end();

    return (intent_of(peer) & AE_INTENT_COUNT_MAX) == peer->call.count &&
           ae_seq_extend(intent_of(peer) >> AE_CLAIM_SEQ_SHIFT, end) + peer->call.count == end &&
           ae_tag_pending(tag_of(end - 1), end - 1);
}

static bool has_committed_some(const struct peer *peer) {
    const uint64_t first = claim_end() - peer->call.count;

    return has_claimed(peer) && !ae_tag_pending(tag_of(first), first);
}

/* Its intent is stored, and the claim word is as it was. */
static bool has_intent_only(const struct peer *peer) {
    const uint64_t end = claim_end();

    return ae_claim_mode(ae_load_acquire(&world.log->claim.claim)) == AE_MODE_SHARED &&
           intent_of(peer) == ae_intent(end, peer->call.count);
}

static bool is_revoking(const struct peer *peer) {
    (void)peer;
    return ae_claim_mode(ae_load_acquire(&world.log->claim.claim)) == AE_MODE_REVOKING;
}

/* ---- fill ---- */

static struct speaker *empty(void) {
    (void)reader();
    return open_speaker();
}

static struct speaker *half_full(void) {
    struct speaker *me = empty();

    fill(me, CAPACITY / 2);
    return me;
}

static struct speaker *full(void) {
    struct speaker *me = empty();

    while (speak(me, 1, false) == 0)
        ;
    return me;
}

static struct speaker *wrapped(void) {
    struct speaker *me = empty();

    pass(me, CAPACITY + any_of(2 * CAPACITY));
    fill(me, any_of(CAPACITY + 1));
    return me;
}

static struct speaker *no_reader(void) {
    struct speaker *me = open_speaker();

    fill(me, any_of(3 * CAPACITY));
    return me;
}

static struct speaker *observers(void) {
    struct speaker *me = open_speaker();

    (void)open_listener(AETHER_BEST_EFFORT, AETHER_FROM_NEW);
    (void)open_listener(AETHER_LATEST, AETHER_FROM_NEW);
    fill(me, any_of(3 * CAPACITY));
    if (one_in(2))
        listen_all(any_of(CAPACITY));
    fill(me, any_of(CAPACITY));
    return me;
}

static struct speaker *two_readers(void) {
    struct speaker *me = empty();
    struct listener *slow = reader();

    fill(me, CAPACITY / 2);
    (void)listen_to(&world.listeners[0], UINT64_MAX);
    (void)listen_to(slow, any_of(CAPACITY / 2));
    fill(me, any_of(CAPACITY + 1));
    return me;
}

static struct speaker *catching_up(void) {
    struct speaker *me = open_speaker();

    fill(me, any_of(2 * CAPACITY));
    (void)open_listener(AETHER_RELIABLE, one_in(2) ? AETHER_FROM_OLDEST : AETHER_FROM_LAST);
    fill(me, any_of(CAPACITY + 1));
    (void)listen_to(&world.listeners[0], any_of(CAPACITY));
    return me;
}

/* ---- numbers ---- */

static struct speaker *at_a_boundary(void) {
    struct speaker *me = empty();

    if (one_in(2))
        (void)company(me);
    pass(me, any_of(CAPACITY));
    fill(me, any_of(CAPACITY));
    return me;
}

/* ---- bias ---- */

static struct speaker *biased_to_itself(void) {
    struct speaker *me = empty();

    pass(me, 1 + any_of(CAPACITY));
    fill_any(me);
    return me;
}

static struct speaker *biased_to_another(void) {
    struct speaker *other = biased_to_itself();
    struct speaker *me = open_speaker();

    if (one_in(3))
        close_speaker(other);
    return me;
}

static struct speaker *revoking_left_behind(void) {
    struct speaker *other = biased_to_itself(), *revoker = open_speaker();
    struct peer *peer;
    struct speaker *me;

    listen_all(UINT64_MAX);
    peer = with_publish(revoker, one_in(3));
    if (stop_where(peer, is_revoking))
        peer_dies(peer);
    me = open_speaker();
    if (one_in(3)) { /* its owner publishes, too, and is killed there */
        peer = with_publish(other, one_in(3));
        if (stop_anywhere(peer) && one_in(2))
            peer_dies(peer);
    }
    return me;
}

static struct speaker *bias_revoked_since(void) {
    struct speaker *me = biased_to_itself(), *other = open_speaker();

    listen_all(UINT64_MAX);
    (void)speak(other, 1, false);
    return me;
}

static struct speaker *being_revoked(void) {
    struct speaker *me = biased_to_itself(), *other = open_speaker();

    listen_all(UINT64_MAX);
    (void)stop_where(with_publish(other, one_in(3)), is_revoking);
    return me;
}

static struct speaker *stopped_with_bias(void) {
    struct speaker *other = biased_to_itself();

    listen_all(UINT64_MAX);
    (void)stop_where(with_publish(other, one_in(2)), has_claimed);
    if (one_in(2))
        (void)reader();
    return open_speaker();
}

/* The owner of the bias has stored an intent, and another one revokes, before that or after it. Somebody joins. */
static struct speaker *both_stopped_revoking(void) {
    struct speaker *owner = biased_to_itself(), *revoker = open_speaker();
    const bool intent_first = one_in(2);

    listen_all(UINT64_MAX);
    if (intent_first)
        (void)stop_where(with_publish(owner, one_in(2)), has_claimed);
    if (one_in(2))
        (void)reader();
    (void)stop_where(with_publish(revoker, one_in(2)), is_revoking);
    if (!intent_first)
        (void)stop_where(with_publish(owner, one_in(2)), has_claimed);
    if (one_in(2))
        (void)reader();
    return open_speaker();
}

static bool is_active(const struct peer *peer) {
    return (ae_load_acquire(&world.cursors->active.active) >> peer->call.listener->record & 1) != 0;
}

static bool has_stored_join(const struct peer *peer) {
    return ae_load_acquire(&world.cursors->records[peer->call.listener->record].cursor) != peer->call.listener->start;
}

/* An intent of the bias's owner that may turn out to be no claim, while somebody joins. */
static struct speaker *joining_while_revoked(void) {
    const aether_subscribe_options options = {.policy = AETHER_RELIABLE};
    struct speaker *owner = biased_to_itself(), *other = open_speaker(), *me = open_speaker();
    struct peer *revoker, *joiner;

    listen_all(UINT64_MAX);
    revoker = with_publish(other, one_in(2));
    (void)stop_where(revoker, is_revoking);
    (void)stop_where(with_publish(owner, true), has_claimed);
    joiner = new_peer();
    joiner->call.verb = JOIN_SUBSCRIBER;
    joiner->call.listener = admit_listener(&options);
    if (!stop_where(joiner, is_active) || !peer_stopped(revoker))
        return me;
    joiner->call.listener->start = ae_load_acquire(&world.cursors->records[joiner->call.listener->record].cursor);
    peer_goes_on(revoker);
    stop_before(joiner, has_stored_join);
    for (uint64_t n = any_of(2 * CAPACITY); n > 0; n--) {
        (void)speak(me, 1, false);
        listen_all(UINT64_MAX);
    }
    return me;
}

/* ---- others are stopped ---- */

static struct speaker *stopped_with_claim(void) {
    struct speaker *me = empty(), *other = company(me);

    fill_any(me);
    if (one_in(2))
        listen_all(any_of(CAPACITY));
    (void)stop_where(with_publish(other, false), has_claimed);
    if (one_in(2))
        (void)speak(me, 1, false);
    return me;
}

static struct speaker *stopped_anywhere(void) {
    struct speaker *me = empty(), *other = company(me);

    fill_any(me);
    if (one_in(2))
        listen_all(any_of(CAPACITY));
    (void)stop_anywhere(with_publish(other, one_in(3)));
    return me;
}

static struct speaker *stopped_in_batch(void) {
    struct speaker *me = empty(), *other = company(me);

    listen_all(UINT64_MAX);
    (void)stop_where(with_publish(other, true), has_committed_some);
    fill(me, any_of(CAPACITY));
    return me;
}

static struct speaker *lost_intent(void) {
    struct speaker *me = empty(), *other = company(me);

    listen_all(UINT64_MAX);
    (void)stop_where(with_publish(other, one_in(3)), has_intent_only);
    (void)speak(me, 1 + any_of(3), false);
    if (one_in(2))
        pass(me, any_of(CAPACITY));
    return me;
}

static struct speaker *two_stopped(void) {
    struct speaker *me = empty(), *a = company(me), *b = open_speaker();

    listen_all(UINT64_MAX);
    (void)stop_anywhere(with_publish(a, one_in(3)));
    (void)stop_anywhere(with_publish(b, one_in(3)));
    (void)speak(me, 1, false);
    return me;
}

static struct speaker *reader_joining(void) {
    const aether_subscribe_options options = {.policy = AETHER_RELIABLE, .from = (aether_from)any_of(2)};
    struct speaker *me = empty();
    struct peer *peer = new_peer();

    if (one_in(2))
        (void)company(me);
    fill_any(me);
    peer->call.verb = JOIN_SUBSCRIBER;
    peer->call.listener = admit_listener(&options);
    (void)stop_anywhere(peer);
    if (one_in(2))
        fill(me, any_of(CAPACITY));
    return me;
}

static struct speaker *publisher_joining(void) {
    struct speaker *me = empty();
    struct peer *peer = new_peer();

    fill_any(me);
    peer->call.verb = JOIN_PUBLISHER;
    peer->call.speaker = admit_speaker(free_record());
    (void)stop_anywhere(peer);
    return me;
}

static struct speaker *publisher_leaving(void) {
    struct speaker *other = biased_to_itself(), *me = open_speaker();
    struct peer *peer = new_peer();

    if (one_in(2))
        (void)speak(me, 1, false);
    peer->call.verb = LEAVE_PUBLISHER;
    peer->call.speaker = other;
    (void)stop_anywhere(peer);
    return me;
}

static struct speaker *reader_stopped(void) {
    struct speaker *me = half_full();
    struct listener *other = reader();
    struct peer *peer = new_peer();

    fill(me, any_of(CAPACITY));
    peer->call.verb = one_in(2) ? RECEIVE : RECEIVE_BATCH;
    peer->call.listener = other;
    peer->call.count = 3;
    (void)stop_anywhere(peer);
    return me;
}

/* ---- the dead ---- */

static struct speaker *dead_anywhere(void) {
    struct speaker *me = empty(), *other = company(me);
    struct peer *peer;

    fill_any(me);
    if (one_in(2))
        listen_all(any_of(CAPACITY));
    peer = with_publish(other, one_in(3));
    if (stop_anywhere(peer))
        peer_dies(peer);
    return me;
}

static struct speaker *dead_with_claim(void) {
    struct speaker *me = empty(), *other = company(me);
    struct peer *peer;

    listen_all(UINT64_MAX);
    peer = with_publish(other, one_in(3));
    if (stop_where(peer, has_claimed))
        peer_dies(peer);
    fill(me, any_of(CAPACITY));
    return me;
}

static struct speaker *dead_with_bias(void) {
    struct speaker *other = biased_to_itself();
    struct peer *peer;

    listen_all(UINT64_MAX);
    peer = with_publish(other, one_in(2));
    if (stop_anywhere(peer))
        peer_dies(peer);
    return open_speaker();
}

static struct speaker *two_dead(void) {
    struct speaker *me = empty(), *a = company(me), *b = open_speaker();
    struct peer *first, *second;

    listen_all(UINT64_MAX);
    first = with_publish(a, one_in(3));
    if (stop_anywhere(first))
        peer_dies(first);
    second = with_publish(b, one_in(3));
    if (stop_anywhere(second))
        peer_dies(second);
    fill(me, any_of(3));
    return me;
}

/* aetherd was killed while it repaired. */
static struct speaker *half_repaired(void) {
    struct speaker *me = dead_anywhere(), *dead = &world.speakers[1];
    struct peer *peer;

    if (dead->fate != DEAD)
        return me;
    peer = new_peer();
    peer->call.verb = REPAIR;
    peer->call.speaker = dead;
    if (stop_anywhere(peer))
        peer_dies(peer);
    if (one_in(2))
        pass(me, any_of(2 * CAPACITY));
    return me;
}

static struct speaker *dead_reader(void) {
    const aether_subscribe_options options = {.policy = AETHER_RELIABLE};
    struct speaker *me = half_full();
    struct peer *peer = new_peer();

    if (one_in(2)) {
        peer->call.verb = JOIN_SUBSCRIBER;
        peer->call.listener = admit_listener(&options);
    } else {
        peer->call.verb = RECEIVE;
        peer->call.count = 1;
        peer->call.listener = reader();
        fill(me, any_of(CAPACITY));
    }
    if (stop_anywhere(peer))
        peer_dies(peer);
    fill(me, any_of(CAPACITY));
    return me;
}

static struct speaker *record_reused(void) {
    struct speaker *me = biased_to_itself(), *other = open_speaker();
    const uint32_t record = me->record;
    struct peer *peer;

    if (one_in(2))
        listen_all(UINT64_MAX);
    if (one_in(2))
        close_speaker(me);
    else {
        peer = with_publish(me, one_in(3));
        if (stop_anywhere(peer))
            peer_dies(peer);
        if (me->fate == DEAD)
            bury_speaker(me);
        else
            close_speaker(me);
    }
    if (one_in(2))
        fill(other, any_of(CAPACITY));
    if (one_in(2))
        close_speaker(other);
    return open_speaker_at(record);
}

/* ---- lanes ---- */

static struct speaker *lane_outstanding(void) {
    struct speaker *me = empty();

    if (one_in(3))
        (void)company(me);
    for (uint64_t n = any_of(CAPACITY + 1); n > 0; n--)
        (void)speak(me, 1, true);
    if (one_in(2))
        listen_all(any_of(CAPACITY));
    return me;
}

static struct speaker *lane_wrapped(void) {
    struct speaker *me = empty();

    for (uint64_t n = 0; n < 5 + any_of(20); n++) {
        (void)speak(me, 1 + any_of(2), true);
        listen_all(one_in(4) ? any_of(3) : UINT64_MAX);
    }
    return me;
}

static void open_loans(struct speaker *speaker) {
    while (speaker->loan_count < 3 && !one_in(4)) {
        const size_t len = one_in(2) ? large_len() : small_len();
        if (aether_loan_take(&speaker->pub.hot, len, &speaker->loans[speaker->loan_count]) != 0)
            break;
        speaker->loan_count++;
        fill(speaker, any_of(3));
    }
}

static struct speaker *loans_open(void) {
    struct speaker *me = empty(), *other = one_in(2) ? company(me) : NULL;

    if (other != NULL)
        open_loans(other);
    open_loans(me);
    return me;
}

static struct speaker *lane_publish_stopped(void) {
    struct speaker *me = lane_wrapped(), *other = company(me);
    const size_t len = large_len();
    struct peer *peer = new_peer();

    call_messages(&peer->call, PUBLISH, other, 1, &len);
    if (stop_anywhere(peer) && one_in(3))
        peer_dies(peer);
    return me;
}

/* ---- kinds of topics ---- */

static struct speaker *slow_readers(void) {
    struct speaker *me = empty();

    (void)reader();
    if (one_in(2))
        (void)company(me);
    fill(me, CAPACITY / 2 + any_of(2 * CAPACITY));
    (void)listen_to(&world.listeners[0], any_of(CAPACITY));
    fill(me, any_of(CAPACITY / 2));
    return me;
}

static struct speaker *never_biased(void) {
    struct speaker *me = biased_to_itself();

    if (one_in(2))
        (void)company(me);
    return me;
}

static struct speaker *exclusive(void) {
    struct speaker *me = biased_to_itself();

    if (one_in(2)) {
        close_speaker(me);
        me = open_speaker();
        fill(me, any_of(3));
    }
    return me;
}

static struct speaker *somebody_sleeps(void) {
    struct speaker *me = biased_to_itself();

    if (one_in(2))
        (void)company(me);
    ae_store_release(&world.cursors->want.want, ae_load_acquire(&world.log->wake.wake));
    return me;
}

const struct state states[] = {
    {"fill", "empty", 0, empty},
    {"fill", "half-full", 0, half_full},
    {"fill", "full", 0, full},
    {"fill", "wrapped", 0, wrapped},
    {"fill", "no-reader", 0, no_reader},
    {"fill", "observers", 0, observers},
    {"fill", "two-readers", 0, two_readers},
    {"fill", "catching-up", 0, catching_up},
    {"numbers", "at-48-bits", AT_48, at_a_boundary},
    {"numbers", "at-64-bits", AT_64, at_a_boundary},
    {"bias", "biased-to-itself", 0, biased_to_itself},
    {"bias", "biased-to-another", 0, biased_to_another},
    {"bias", "revoking-left-behind", 0, revoking_left_behind},
    {"bias", "revoked-since", 0, bias_revoked_since},
    {"bias", "being-revoked", 0, being_revoked},
    {"bias", "stopped-with-bias", 0, stopped_with_bias},
    {"bias", "both-stopped-revoking", 0, both_stopped_revoking},
    {"bias", "joining-while-revoked", 0, joining_while_revoked},
    {"stopped", "stopped-with-claim", 0, stopped_with_claim},
    {"stopped", "stopped-anywhere", 0, stopped_anywhere},
    {"stopped", "stopped-in-batch", 0, stopped_in_batch},
    {"stopped", "lost-intent", 0, lost_intent},
    {"stopped", "two-stopped", 0, two_stopped},
    {"stopped", "reader-joining", 0, reader_joining},
    {"stopped", "publisher-joining", 0, publisher_joining},
    {"stopped", "publisher-leaving", 0, publisher_leaving},
    {"stopped", "reader-stopped", 0, reader_stopped},
    {"dead", "dead-anywhere", 0, dead_anywhere},
    {"dead", "dead-with-claim", 0, dead_with_claim},
    {"dead", "dead-with-bias", 0, dead_with_bias},
    {"dead", "two-dead", 0, two_dead},
    {"dead", "half-repaired", 0, half_repaired},
    {"dead", "dead-reader", 0, dead_reader},
    {"dead", "record-reused", 0, record_reused},
    {"lanes", "lane-outstanding", LANES, lane_outstanding},
    {"lanes", "lane-wrapped", LANES, lane_wrapped},
    {"lanes", "loans-open", LANES, loans_open},
    {"lanes", "lane-publish-stopped", LANES, lane_publish_stopped},
    {"kinds", "evicts", EVICTS, slow_readers},
    {"kinds", "evicts-with-lanes", EVICTS | LANES, slow_readers},
    {"kinds", "unbiased", UNBIASED, never_biased},
    {"kinds", "exclusive", EXCLUSIVE, exclusive},
    {"kinds", "somebody-sleeps", 0, somebody_sleeps},
};
const unsigned state_count = sizeof states / sizeof states[0];
