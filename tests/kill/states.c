/* SPDX-License-Identifier: Apache-2.0 */
#include "kill.h"

#define CAPACITY world.geometry.capacity

void make_topic(unsigned topic) {
    static const uint64_t capacities[] = {8, 8, 8, 16, 16, 32};
    static const uint64_t sizes[] = {8, 16, 24, 32, 40, 56, 104};
    static const uint64_t inline_sizes[] = {16, 24, 40, 56};
    static const uint64_t large_sizes[] = {100, 200, 520, 1000, 2000};
    aether_topic_config config = {
        .capacity = capacities[any_of(6)],
        .start_seq = any_of(3) * any_of(1000),
        .latency = (aether_latency_mode)any_of(4),
    };

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

void any_publish(struct call *call, struct publisher *publisher, bool batch) {
    const size_t count = batch ? 2 + any_of((CAPACITY < 2 * BATCH_MAX ? CAPACITY / 2 : BATCH_MAX) - 1) : 1;
    size_t lens[BATCH_MAX];

    any_lens(lens, count, has_lanes() && one_in(2));
    call_messages(call, batch ? BATCH : PUBLISH, publisher, count, lens);
    if (!batch && one_in(3))
        call_pieces(call);
}

/* ---- parts of states ---- */

static struct subscriber *reliable_subscriber(void) {
    return open_subscriber(AETHER_RELIABLE, AETHER_FROM_NEW);
}

/* Publishes n messages, if they fit. */
static void fill(struct publisher *publisher, uint64_t n) {
    while (n > 0) {
        const uint64_t most = n < CAPACITY / 2 ? n : CAPACITY / 2,
                       count = one_in(3) ? 1 + any_of(most < BATCH_MAX ? most : BATCH_MAX) : 1;
        if (publish_now(publisher, count, has_lanes() && one_in(2)) != 0)
            break;
        n -= count;
    }
}

/* Publishes n messages; every subscriber receives each. */
static void pass(struct publisher *publisher, uint64_t n) {
    while (n-- > 0) {
        (void)publish_now(publisher, 1, has_lanes() && one_in(2));
        all_receive(UINT64_MAX);
    }
}

/* Publishes any number of messages, up to a full ring. */
static void fill_any(struct publisher *publisher) {
    if (one_in(2))
        pass(publisher, any_of(2 * CAPACITY));
    fill(publisher, any_of(CAPACITY + 2));
}

/* Opens a second publisher; both publish, so that there is no bias. */
static struct publisher *second_publisher(struct publisher *publisher) {
    struct publisher *other = open_publisher();

    pass(publisher, 1 + any_of(2));
    pass(other, 1 + any_of(2));
    return other;
}

static struct peer *with_publish(struct publisher *publisher, bool batch) {
    struct peer *peer = new_peer();

    any_publish(&peer->call, publisher, batch);
    return peer;
}

static uint64_t intent_of(const struct peer *peer) {
    return ae_load_acquire(&world.log->publishers[peer->call.publisher->record].intent);
}

/* The peer has claimed, and has a slot to commit. */
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

/* The peer's intent is stored, and it has not claimed yet. */
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

static struct publisher *empty(void) {
    (void)reliable_subscriber();
    return open_publisher();
}

static struct publisher *half_full(void) {
    struct publisher *me = empty();

    fill(me, CAPACITY / 2);
    return me;
}

static struct publisher *full(void) {
    struct publisher *me = empty();

    while (publish_now(me, 1, false) == 0)
        ;
    return me;
}

static struct publisher *wrapped(void) {
    struct publisher *me = empty();

    pass(me, CAPACITY + any_of(2 * CAPACITY));
    fill(me, any_of(CAPACITY + 1));
    return me;
}

static struct publisher *no_subscriber(void) {
    struct publisher *me = open_publisher();

    fill(me, any_of(3 * CAPACITY));
    return me;
}

static struct publisher *observers(void) {
    struct publisher *me = open_publisher();

    (void)open_subscriber(AETHER_BEST_EFFORT, AETHER_FROM_NEW);
    (void)open_subscriber(AETHER_LATEST, AETHER_FROM_NEW);
    fill(me, any_of(3 * CAPACITY));
    if (one_in(2))
        all_receive(any_of(CAPACITY));
    fill(me, any_of(CAPACITY));
    return me;
}

static struct publisher *two_subscribers(void) {
    struct publisher *me = empty();
    struct subscriber *slow = reliable_subscriber();

    fill(me, CAPACITY / 2);
    (void)receive_up_to(&world.subscribers[0], UINT64_MAX);
    (void)receive_up_to(slow, any_of(CAPACITY / 2));
    fill(me, any_of(CAPACITY + 1));
    return me;
}

static struct publisher *catching_up(void) {
    struct publisher *me = open_publisher();

    fill(me, any_of(2 * CAPACITY));
    (void)open_subscriber(AETHER_RELIABLE, one_in(2) ? AETHER_FROM_OLDEST : AETHER_FROM_LAST);
    fill(me, any_of(CAPACITY + 1));
    (void)receive_up_to(&world.subscribers[0], any_of(CAPACITY));
    return me;
}

/* A subscriber holds messages, and has received others since; on a topic that evicts it reads in place. */
static struct publisher *holds(void) {
    const aether_subscribe_options options = {.policy = AETHER_RELIABLE, .views = AETHER_VIEWS_IN_PLACE};
    struct subscriber *subscriber = admit_subscriber(&options);
    struct publisher *me = open_publisher();

    join_subscriber_now(subscriber);
    if (one_in(2))
        (void)second_publisher(me);
    for (uint64_t turns = 1 + any_of(3); turns > 0; turns--) {
        fill(me, 1 + any_of(CAPACITY));
        hold_some(subscriber, 1 + any_of(2));
        (void)receive_up_to(subscriber, any_of(3));
    }
    if (one_in(2))
        fill(me, any_of(CAPACITY + 1));
    return me;
}

/* ---- numbers ---- */

static struct publisher *at_a_boundary(void) {
    struct publisher *me = empty();

    if (one_in(2))
        (void)second_publisher(me);
    pass(me, any_of(CAPACITY));
    fill(me, any_of(CAPACITY));
    return me;
}

/* ---- bias ---- */

static struct publisher *biased_to_itself(void) {
    struct publisher *me = empty();

    pass(me, 1 + any_of(CAPACITY));
    fill_any(me);
    return me;
}

static struct publisher *biased_to_another(void) {
    struct publisher *other = biased_to_itself();
    struct publisher *me = open_publisher();

    if (one_in(3))
        close_publisher(other);
    return me;
}

static struct publisher *revoking_left_behind(void) {
    struct publisher *other = biased_to_itself(), *revoker = open_publisher();
    struct peer *peer;
    struct publisher *me;

    all_receive(UINT64_MAX);
    peer = with_publish(revoker, one_in(3));
    if (stop_where(peer, is_revoking))
        peer_dies(peer);
    me = open_publisher();
    if (one_in(3)) { /* the owner of the bias publishes, too, and may be killed in that */
        peer = with_publish(other, one_in(3));
        if (stop_anywhere(peer) && one_in(2))
            peer_dies(peer);
    }
    return me;
}

static struct publisher *bias_revoked_since(void) {
    struct publisher *me = biased_to_itself(), *other = open_publisher();

    all_receive(UINT64_MAX);
    (void)publish_now(other, 1, false);
    return me;
}

static struct publisher *being_revoked(void) {
    struct publisher *me = biased_to_itself(), *other = open_publisher();

    all_receive(UINT64_MAX);
    (void)stop_where(with_publish(other, one_in(3)), is_revoking);
    return me;
}

static struct publisher *stopped_with_bias(void) {
    struct publisher *other = biased_to_itself();

    all_receive(UINT64_MAX);
    (void)stop_where(with_publish(other, one_in(2)), has_claimed);
    if (one_in(2))
        (void)reliable_subscriber();
    return open_publisher();
}

/* The owner of the bias has stored an intent; another publisher revokes, before that or after it. Subscribers join. */
static struct publisher *both_stopped_revoking(void) {
    struct publisher *owner = biased_to_itself(), *revoker = open_publisher();
    const bool intent_first = one_in(2);

    all_receive(UINT64_MAX);
    if (intent_first)
        (void)stop_where(with_publish(owner, one_in(2)), has_claimed);
    if (one_in(2))
        (void)reliable_subscriber();
    (void)stop_where(with_publish(revoker, one_in(2)), is_revoking);
    if (!intent_first)
        (void)stop_where(with_publish(owner, one_in(2)), has_claimed);
    if (one_in(2))
        (void)reliable_subscriber();
    return open_publisher();
}

static bool is_active(const struct peer *peer) {
    return (ae_load_acquire(&world.cursors->active.active) >> peer->call.subscriber->record & 1) != 0;
}

static bool has_stored_join(const struct peer *peer) {
    return ae_load_acquire(&world.cursors->records[peer->call.subscriber->record].cursor) !=
           peer->call.subscriber->start;
}

/* A subscriber joins while the owner of the bias has an intent stored that may not become a claim. */
static struct publisher *joining_while_revoked(void) {
    const aether_subscribe_options options = {.policy = AETHER_RELIABLE};
    struct publisher *owner = biased_to_itself(), *other = open_publisher(), *me = open_publisher();
    struct peer *revoker, *joiner;

    all_receive(UINT64_MAX);
    revoker = with_publish(other, one_in(2));
    (void)stop_where(revoker, is_revoking);
    (void)stop_where(with_publish(owner, true), has_claimed);
    joiner = new_peer();
    joiner->call.verb = JOIN_SUBSCRIBER;
    joiner->call.subscriber = admit_subscriber(&options);
    if (!stop_where(joiner, is_active) || !peer_stopped(revoker))
        return me;
    joiner->call.subscriber->start = ae_load_acquire(&world.cursors->records[joiner->call.subscriber->record].cursor);
    peer_goes_on(revoker);
    stop_before(joiner, has_stored_join);
    for (uint64_t n = any_of(2 * CAPACITY); n > 0; n--) {
        (void)publish_now(me, 1, false);
        all_receive(UINT64_MAX);
    }
    return me;
}

/* ---- others are stopped in a call ---- */

static struct publisher *stopped_with_claim(void) {
    struct publisher *me = empty(), *other = second_publisher(me);

    fill_any(me);
    if (one_in(2))
        all_receive(any_of(CAPACITY));
    (void)stop_where(with_publish(other, false), has_claimed);
    if (one_in(2))
        (void)publish_now(me, 1, false);
    return me;
}

static struct publisher *stopped_anywhere(void) {
    struct publisher *me = empty(), *other = second_publisher(me);

    fill_any(me);
    if (one_in(2))
        all_receive(any_of(CAPACITY));
    (void)stop_anywhere(with_publish(other, one_in(3)));
    return me;
}

static struct publisher *stopped_in_batch(void) {
    struct publisher *me = empty(), *other = second_publisher(me);

    all_receive(UINT64_MAX);
    (void)stop_where(with_publish(other, true), has_committed_some);
    fill(me, any_of(CAPACITY));
    return me;
}

static struct publisher *lost_intent(void) {
    struct publisher *me = empty(), *other = second_publisher(me);

    all_receive(UINT64_MAX);
    (void)stop_where(with_publish(other, one_in(3)), has_intent_only);
    (void)publish_now(me, 1 + any_of(3), false);
    if (one_in(2))
        pass(me, any_of(CAPACITY));
    return me;
}

static struct publisher *two_stopped(void) {
    struct publisher *me = empty(), *a = second_publisher(me), *b = open_publisher();

    all_receive(UINT64_MAX);
    (void)stop_anywhere(with_publish(a, one_in(3)));
    (void)stop_anywhere(with_publish(b, one_in(3)));
    (void)publish_now(me, 1, false);
    return me;
}

static struct publisher *subscriber_joining(void) {
    const aether_subscribe_options options = {.policy = AETHER_RELIABLE, .from = (aether_from)any_of(2)};
    struct publisher *me = empty();
    struct peer *peer = new_peer();

    if (one_in(2))
        (void)second_publisher(me);
    fill_any(me);
    peer->call.verb = JOIN_SUBSCRIBER;
    peer->call.subscriber = admit_subscriber(&options);
    (void)stop_anywhere(peer);
    if (one_in(2))
        fill(me, any_of(CAPACITY));
    return me;
}

static struct publisher *publisher_joining(void) {
    struct publisher *me = empty();
    struct peer *peer = new_peer();

    fill_any(me);
    peer->call.verb = JOIN_PUBLISHER;
    peer->call.publisher = admit_publisher(free_record());
    (void)stop_anywhere(peer);
    return me;
}

static struct publisher *publisher_leaving(void) {
    struct publisher *other = biased_to_itself(), *me = open_publisher();
    struct peer *peer = new_peer();

    if (one_in(2))
        (void)publish_now(me, 1, false);
    peer->call.verb = LEAVE_PUBLISHER;
    peer->call.publisher = other;
    (void)stop_anywhere(peer);
    return me;
}

static struct publisher *subscriber_stopped(void) {
    struct publisher *me = half_full();
    struct subscriber *other = reliable_subscriber();
    struct peer *peer = new_peer();

    fill(me, any_of(CAPACITY));
    peer->call.verb = one_in(2) ? RECEIVE : RECEIVE_BATCH;
    peer->call.subscriber = other;
    peer->call.count = 3;
    (void)stop_anywhere(peer);
    return me;
}

/* ---- others are dead ---- */

static struct publisher *dead_anywhere(void) {
    struct publisher *me = empty(), *other = second_publisher(me);
    struct peer *peer;

    fill_any(me);
    if (one_in(2))
        all_receive(any_of(CAPACITY));
    peer = with_publish(other, one_in(3));
    if (stop_anywhere(peer))
        peer_dies(peer);
    return me;
}

static struct publisher *dead_with_claim(void) {
    struct publisher *me = empty(), *other = second_publisher(me);
    struct peer *peer;

    all_receive(UINT64_MAX);
    peer = with_publish(other, one_in(3));
    if (stop_where(peer, has_claimed))
        peer_dies(peer);
    fill(me, any_of(CAPACITY));
    return me;
}

static struct publisher *dead_with_bias(void) {
    struct publisher *other = biased_to_itself();
    struct peer *peer;

    all_receive(UINT64_MAX);
    peer = with_publish(other, one_in(2));
    if (stop_anywhere(peer))
        peer_dies(peer);
    return open_publisher();
}

static struct publisher *two_dead(void) {
    struct publisher *me = empty(), *a = second_publisher(me), *b = open_publisher();
    struct peer *first, *second;

    all_receive(UINT64_MAX);
    first = with_publish(a, one_in(3));
    if (stop_anywhere(first))
        peer_dies(first);
    second = with_publish(b, one_in(3));
    if (stop_anywhere(second))
        peer_dies(second);
    fill(me, any_of(3));
    return me;
}

/* aetherd was killed in a repair. */
static struct publisher *half_repaired(void) {
    struct publisher *me = dead_anywhere(), *dead = &world.publishers[1];
    struct peer *peer;

    if (dead->life != DEAD)
        return me;
    peer = new_peer();
    peer->call.verb = RETIRE_PUBLISHER;
    peer->call.publisher = dead;
    peer->call.died = true;
    if (stop_anywhere(peer))
        peer_dies(peer);
    if (one_in(2))
        pass(me, any_of(2 * CAPACITY));
    return me;
}

/* aetherd was killed while it admitted a publisher, or a subscriber. */
static struct publisher *half_admitted(void) {
    const aether_subscribe_options options = {.policy = AETHER_RELIABLE};
    struct publisher *me = empty();
    struct peer *peer = new_peer();

    if (one_in(2))
        (void)second_publisher(me);
    fill_any(me);
    if (one_in(2)) {
        peer->call.verb = ADMIT_PUBLISHER;
        peer->call.publisher = grant_publisher(free_record());
    } else {
        peer->call.verb = ADMIT_SUBSCRIBER;
        peer->call.subscriber = grant_subscriber(&options);
    }
    if (stop_anywhere(peer))
        peer_dies(peer);
    return me;
}

static struct publisher *dead_subscriber(void) {
    const aether_subscribe_options options = {.policy = AETHER_RELIABLE};
    struct publisher *me = half_full();
    struct peer *peer = new_peer();

    if (one_in(2)) {
        peer->call.verb = JOIN_SUBSCRIBER;
        peer->call.subscriber = admit_subscriber(&options);
    } else {
        peer->call.verb = RECEIVE;
        peer->call.count = 1;
        peer->call.subscriber = reliable_subscriber();
        fill(me, any_of(CAPACITY));
    }
    if (stop_anywhere(peer))
        peer_dies(peer);
    fill(me, any_of(CAPACITY));
    return me;
}

static struct publisher *record_reused(void) {
    struct publisher *me = biased_to_itself(), *other = open_publisher();
    const uint32_t record = me->record;
    struct peer *peer;

    if (one_in(2))
        all_receive(UINT64_MAX);
    if (one_in(2))
        close_publisher(me);
    else {
        peer = with_publish(me, one_in(3));
        if (stop_anywhere(peer))
            peer_dies(peer);
        if (me->life == DEAD)
            retire_publisher(me);
        else
            close_publisher(me);
    }
    if (one_in(2))
        fill(other, any_of(CAPACITY));
    if (one_in(2))
        close_publisher(other);
    return open_publisher_at(record);
}

/* ---- lanes ---- */

static struct publisher *lane_outstanding(void) {
    struct publisher *me = empty();

    if (one_in(3))
        (void)second_publisher(me);
    for (uint64_t n = any_of(CAPACITY + 1); n > 0; n--)
        (void)publish_now(me, 1, true);
    if (one_in(2))
        all_receive(any_of(CAPACITY));
    return me;
}

static struct publisher *lane_wrapped(void) {
    struct publisher *me = empty();

    for (uint64_t n = 0; n < 5 + any_of(20); n++) {
        (void)publish_now(me, 1 + any_of(2), true);
        all_receive(one_in(4) ? any_of(3) : UINT64_MAX);
    }
    return me;
}

static void open_loans(struct publisher *publisher) {
    while (publisher->loan_count < 3 && !one_in(4)) {
        const size_t len = one_in(2) ? large_len() : small_len();
        if (aether_loan_take(&publisher->pub.hot, len, &publisher->loans[publisher->loan_count]) != 0)
            break;
        publisher->loan_count++;
        fill(publisher, any_of(3));
    }
}

static struct publisher *loans_open(void) {
    struct publisher *me = empty(), *other = one_in(2) ? second_publisher(me) : NULL;

    if (other != NULL)
        open_loans(other);
    open_loans(me);
    return me;
}

static struct publisher *lane_publish_stopped(void) {
    struct publisher *me = lane_wrapped(), *other = second_publisher(me);
    const size_t len = large_len();
    struct peer *peer = new_peer();

    call_messages(&peer->call, PUBLISH, other, 1, &len);
    if (stop_anywhere(peer) && one_in(3))
        peer_dies(peer);
    return me;
}

/* ---- kinds of topics ---- */

static struct publisher *slow_subscribers(void) {
    struct publisher *me = empty();

    (void)reliable_subscriber();
    if (one_in(2))
        (void)second_publisher(me);
    fill(me, CAPACITY / 2 + any_of(2 * CAPACITY));
    (void)receive_up_to(&world.subscribers[0], any_of(CAPACITY));
    fill(me, any_of(CAPACITY / 2));
    return me;
}

/* Another publisher is stopped where it evicts, or somewhere else in its publish. */
static struct publisher *stopped_evicting(void) {
    struct publisher *me = slow_subscribers(), *other = open_publisher();

    fill(me, any_of(CAPACITY));
    (void)stop_anywhere(with_publish(other, one_in(3)));
    return me;
}

static struct publisher *never_biased(void) {
    struct publisher *me = biased_to_itself();

    if (one_in(2))
        (void)second_publisher(me);
    return me;
}

static struct publisher *exclusive(void) {
    struct publisher *me = biased_to_itself();

    if (one_in(2)) {
        close_publisher(me);
        me = open_publisher();
        fill(me, any_of(3));
    }
    return me;
}

static struct publisher *subscriber_sleeps(void) {
    struct publisher *me = biased_to_itself();

    if (one_in(2))
        (void)second_publisher(me);
    ae_store_release(&world.notes->want.want, ae_load_acquire(&world.log->wake.wake));
    return me;
}

/* ---- subscribers that came before the first publisher ---- */

/* One has joined, is stopped in its join, or has its grant and hasn't begun to join. */
static void wait_for_publisher(const aether_subscribe_options *options) {
    struct subscriber *subscriber = admit_waiting(options);
    struct peer *peer;

    if (one_in(3) && world.peer_count < PEERS_MAX - 1) {
        peer = new_peer();
        peer->call.verb = JOIN_SUBSCRIBER;
        peer->call.subscriber = subscriber;
        (void)stop_anywhere(peer);
    } else if (one_in(3)) {
        subscriber->life = GRANTED; /* see join_those_granted() */
    } else {
        join_subscriber_now(subscriber);
    }
}

/* The publisher is there, and may have published. The subscribers haven't received anything, or one is about to. */
static struct publisher *waiting(void) {
    const uint64_t n = 1 + any_of(3);
    struct publisher *me;

    for (uint64_t i = 0; i < n; i++) {
        const aether_subscribe_options options = {
            .policy = i == 0 || one_in(2) ? AETHER_RELIABLE : (aether_policy)any_of(3),
            .from = (aether_from)any_of(3),
        };
        wait_for_publisher(&options);
    }
    me = open_publisher();
    if (one_in(3))
        (void)open_publisher();
    if (!one_in(3))
        fill(me, any_of(CAPACITY + 2));
    if (world.subscribers[0].life == ALIVE && one_in(3) && world.peer_count < PEERS_MAX) {
        struct peer *peer = new_peer();
        peer->call.verb = one_in(2) ? RECEIVE : RECEIVE_BATCH;
        peer->call.subscriber = &world.subscribers[0];
        peer->call.count = 3;
        (void)stop_anywhere(peer);
    }
    return me;
}

const struct state states[] = {
    {"fill", "empty", 0, empty},
    {"fill", "half-full", 0, half_full},
    {"fill", "full", 0, full},
    {"fill", "wrapped", 0, wrapped},
    {"fill", "no-subscriber", 0, no_subscriber},
    {"fill", "observers", 0, observers},
    {"fill", "two-subscribers", 0, two_subscribers},
    {"fill", "catching-up", 0, catching_up},
    {"fill", "holds", 0, holds},
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
    {"stopped", "subscriber-joining", 0, subscriber_joining},
    {"stopped", "publisher-joining", 0, publisher_joining},
    {"stopped", "publisher-leaving", 0, publisher_leaving},
    {"stopped", "subscriber-stopped", 0, subscriber_stopped},
    {"dead", "dead-anywhere", 0, dead_anywhere},
    {"dead", "dead-with-claim", 0, dead_with_claim},
    {"dead", "dead-with-bias", 0, dead_with_bias},
    {"dead", "two-dead", 0, two_dead},
    {"dead", "half-repaired", 0, half_repaired},
    {"dead", "half-admitted", 0, half_admitted},
    {"dead", "dead-subscriber", 0, dead_subscriber},
    {"dead", "record-reused", 0, record_reused},
    {"lanes", "lane-outstanding", LANES, lane_outstanding},
    {"lanes", "lane-wrapped", LANES, lane_wrapped},
    {"lanes", "loans-open", LANES, loans_open},
    {"lanes", "lane-held", LANES, holds},
    {"lanes", "lane-publish-stopped", LANES, lane_publish_stopped},
    {"kinds", "evicts", EVICTS, slow_subscribers},
    {"kinds", "evicts-with-lanes", EVICTS | LANES, slow_subscribers},
    {"kinds", "evicts-what-is-held", EVICTS, holds},
    {"kinds", "stopped-evicting", EVICTS, stopped_evicting},
    {"kinds", "unbiased", UNBIASED, never_biased},
    {"kinds", "exclusive", EXCLUSIVE, exclusive},
    {"kinds", "subscriber-sleeps", 0, subscriber_sleeps},
    {"waiting", "waiting", 0, waiting},
    {"waiting", "waiting-with-lanes", LANES, waiting},
    {"waiting", "waiting-where-evicted", EVICTS, waiting},
    {"waiting", "waiting-at-64-bits", AT_64, waiting},
};
const unsigned state_count = sizeof states / sizeof states[0];
