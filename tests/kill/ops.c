/* SPDX-License-Identifier: Apache-2.0 */
#include "kill.h"

static bool one(struct call *call, struct publisher *publisher, bool large) {
    const size_t len = large ? large_len() : small_len();

    call_messages(call, PUBLISH, publisher, 1, &len);
    return true;
}

static bool publish_small(struct call *call, struct publisher *publisher) {
    return one(call, publisher, false);
}

static bool publish_large(struct call *call, struct publisher *publisher) {
    return one(call, publisher, true);
}

static bool burst(struct call *call, struct publisher *publisher) {
    (void)one(call, publisher, has_lanes() && one_in(4));
    call->verb = BURST;
    return true;
}

static bool batch(struct call *call, struct publisher *publisher, bool large) {
    const uint64_t half = world.geometry.capacity / 2, most = half < BATCH_MAX ? half : BATCH_MAX;
    const size_t count = 2 + any_of(most - 1);
    size_t lens[BATCH_MAX];

    any_lens(lens, count, large);
    call_messages(call, BATCH, publisher, count, lens);
    return true;
}

static bool batch_small(struct call *call, struct publisher *publisher) {
    return batch(call, publisher, false);
}

static bool batch_large(struct call *call, struct publisher *publisher) {
    return batch(call, publisher, true);
}

static bool gather_small(struct call *call, struct publisher *publisher) {
    (void)one(call, publisher, false);
    call_pieces(call);
    return true;
}

static bool gather_large(struct call *call, struct publisher *publisher) {
    (void)one(call, publisher, true);
    call_pieces(call);
    return true;
}

static bool take(struct call *call, struct publisher *publisher) {
    (void)one(call, publisher, has_lanes() && !one_in(3));
    call->verb = LOAN_TAKE;
    return true;
}

/* Commits a loan that is taken and filled here. */
static bool commit(struct call *call, struct publisher *publisher) {
    (void)one(call, publisher, has_lanes() && !one_in(3));
    call->verb = LOAN_COMMIT;
    if (aether_loan_take(&publisher->pub.hot, call->lens[0], &call->loan) != 0)
        return false;
    memcpy(call->loan.data, call->data[0], call->lens[0]);
    call->iov[0].iov_base = call->loan.data;
    return true;
}

static bool discard(struct call *call, struct publisher *publisher) {
    const bool taken = commit(call, publisher);

    call->verb = LOAN_DISCARD;
    return taken;
}

static bool refresh(struct call *call, struct publisher *publisher) {
    call->verb = REFRESH;
    call->publisher = publisher;
    call->evict_below = claim_end() + 1 + any_of(2) - publisher->pub.window;
    return true;
}

static bool revoke(struct call *call, struct publisher *publisher) {
    const uint64_t word = ae_load_acquire(&world.log->claim.claim);

    if (ae_claim_mode(word) == AE_MODE_SHARED || ae_claim_record(word) == publisher->record)
        return false;
    any_publish(call, publisher, one_in(3));
    return true;
}

/* The publisher closes and joins with the same record, or another publisher joins. */
static bool join_publisher(struct call *call, struct publisher *publisher) {
    uint32_t record = publisher->record;

    if (world.geometry.publishers == AE_PUBLISHERS_EXCLUSIVE || one_in(2))
        close_publisher(publisher);
    else
        record = free_record();
    call->verb = JOIN_PUBLISHER;
    call->publisher = admit_publisher(record);
    return true;
}

static bool leave_publisher(struct call *call, struct publisher *publisher) {
    call->verb = LEAVE_PUBLISHER;
    call->publisher = publisher;
    return true;
}

static bool any_subscriber(struct call *call, bool reliable) {
    unsigned count = 0;

    for (unsigned i = 0; i < world.subscriber_count; i++) {
        struct subscriber *l = &world.subscribers[i];
        if (l->life == ALIVE && l->since != 0 && (l->options.policy == AETHER_RELIABLE) == reliable &&
            any_of(++count) == 0)
            call->subscriber = l;
    }
    return count != 0;
}

static bool receive(struct call *call, struct publisher *publisher) {
    (void)publisher;
    call->verb = RECEIVE;
    call->count = 1;
    return any_subscriber(call, true);
}

static bool receive_batch(struct call *call, struct publisher *publisher) {
    (void)publisher;
    call->verb = RECEIVE_BATCH;
    call->count = 1 + any_of(6);
    return any_subscriber(call, true);
}

static bool observe(struct call *call, struct publisher *publisher) {
    (void)publisher;
    call->verb = one_in(2) ? RECEIVE : RECEIVE_BATCH;
    call->count = 1 + any_of(6);
    if (!any_subscriber(call, false))
        call->subscriber = open_subscriber(one_in(3) ? AETHER_LATEST : AETHER_BEST_EFFORT, AETHER_FROM_OLDEST);
    return true;
}

static bool join_subscriber(struct call *call, struct publisher *publisher) {
    const aether_subscribe_options options = {
        .policy = one_in(4) ? AETHER_BEST_EFFORT : AETHER_RELIABLE,
        .from = (aether_from)any_of(3),
        .last = any_of(world.geometry.capacity + 2),
    };

    (void)publisher;
    call->verb = JOIN_SUBSCRIBER;
    call->subscriber = admit_subscriber(&options);
    return true;
}

static bool leave_subscriber(struct call *call, struct publisher *publisher) {
    (void)publisher;
    call->verb = LEAVE_SUBSCRIBER;
    return any_subscriber(call, true);
}

static bool go_to_sleep(struct call *call, struct publisher *publisher) {
    (void)publisher;
    call->verb = SLEEP;
    return any_subscriber(call, true);
}

/* Repairs a publisher that is dead in this state, or else kills one for it. */
static bool repair_dead(struct call *call, struct publisher *publisher) {
    struct peer *peer;

    call->verb = REPAIR;
    call->publisher = NULL;
    for (unsigned i = 0; i < world.publisher_count; i++) {
        if (world.publishers[i].life == DEAD)
            call->publisher = &world.publishers[i];
    }
    if (call->publisher != NULL)
        return true;
    if (world.peer_count == PEERS_MAX)
        return false;
    peer = new_peer();
    any_publish(&peer->call, publisher, one_in(2));
    if (!stop_anywhere(peer))
        return false;
    peer_dies(peer);
    call->publisher = publisher;
    return true;
}

const struct op ops[] = {
    {"publish", 0, publish_small},
    {"publish-large", LANES, publish_large},
    {"burst", 0, burst},
    {"batch", 0, batch_small},
    {"batch-large", LANES, batch_large},
    {"gather", 0, gather_small},
    {"gather-large", LANES, gather_large},
    {"loan-take", 0, take},
    {"loan-commit", 0, commit},
    {"loan-discard", 0, discard},
    {"refresh", 0, refresh},
    {"revoke", 0, revoke},
    {"repair", 0, repair_dead},
    {"receive", 0, receive},
    {"receive-batch", 0, receive_batch},
    {"receive-best-effort", 0, observe},
    {"sleep", 0, go_to_sleep},
    {"join-publisher", 0, join_publisher},
    {"leave-publisher", 0, leave_publisher},
    {"join-subscriber", 0, join_subscriber},
    {"leave-subscriber", 0, leave_subscriber},
};
const unsigned op_count = sizeof ops / sizeof ops[0];
