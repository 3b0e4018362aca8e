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
    call->subscriber = granted_subscriber();
    if (call->subscriber == NULL)
        call->subscriber = admit_subscriber(&options);
    call->subscriber->life = ALIVE;
    return true;
}

static bool leave_subscriber(struct call *call, struct publisher *publisher) {
    (void)publisher;
    call->verb = LEAVE_SUBSCRIBER;
    return any_subscriber(call, true);
}

/* Others may be held before, and what is received after that isn't. */
static bool hold(struct call *call, struct publisher *publisher) {
    (void)publisher;
    if (!any_subscriber(call, true))
        return false;
    if (one_in(2))
        hold_some(call->subscriber, any_of(3));
    if (one_in(3))
        (void)receive_up_to(call->subscriber, 1 + any_of(3));
    return call_hold(call, call->subscriber);
}

static bool release(struct call *call, struct publisher *publisher) {
    (void)publisher;
    if (!any_subscriber(call, true))
        return false;
    hold_some(call->subscriber, 1 + any_of(3));
    if (one_in(2))
        (void)receive_up_to(call->subscriber, any_of(4));
    return call_release(call, call->subscriber);
}

static bool go_to_sleep(struct call *call, struct publisher *publisher) {
    (void)publisher;
    call->verb = SLEEP;
    return any_subscriber(call, true);
}

/* ---- aetherd ---- */

/* Retires a publisher that is dead in this state, or else kills one for it. */
static bool retire_dead(struct call *call, struct publisher *publisher) {
    struct peer *peer;

    call->verb = RETIRE_PUBLISHER;
    call->publisher = NULL;
    call->died = true;
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

/* Retires the publisher, which has closed; its client may be dead by now. */
static bool retire_closed(struct call *call, struct publisher *publisher) {
    leave_now(publisher);
    call->verb = RETIRE_PUBLISHER;
    call->publisher = publisher;
    call->died = one_in(2);
    return true;
}

/* Admits a publisher to the record of this one, which closes, or to another record; often no other is there then. */
static bool admit_one_publisher(struct call *call, struct publisher *publisher) {
    const bool alone = world.geometry.publishers == AE_PUBLISHERS_EXCLUSIVE, again = alone || one_in(2);
    const bool empty = one_in(2);

    if (again)
        close_publisher(publisher);
    for (unsigned i = 0; i < world.publisher_count && empty; i++) {
        if (world.publishers[i].life == DEAD || world.publishers[i].life == CLOSED)
            retire_publisher(&world.publishers[i]);
        else if (world.publishers[i].life == ALIVE)
            close_publisher(&world.publishers[i]);
    }
    call->verb = ADMIT_PUBLISHER;
    call->publisher = grant_publisher(again ? publisher->record : free_record());
    if (one_in(3)) /* membarrier didn't reach the last holder of the record */
        (void)ae_fetch_or(&world.log->stream.unfenced, 1ull << call->publisher->record);
    return true;
}

/*
 * Admits a reliable subscriber, mostly to a record that had a holder: it has left, and its cursor is still there, or
 * was killed, and its bit in `active` is there, too.
 */
static bool admit_one_subscriber(struct call *call, struct publisher *publisher) {
    const aether_subscribe_options options = {.policy = AETHER_RELIABLE, .from = (aether_from)any_of(2)};

    (void)publisher;
    if (one_in(4) || !any_subscriber(call, true)) {
        call->subscriber = grant_subscriber(&options);
    } else {
        if (one_in(2))
            close_subscriber(call->subscriber);
        call->subscriber = grant_subscriber_at(call->subscriber->record, &options);
    }
    call->verb = ADMIT_SUBSCRIBER;
    return true;
}

/* Retires a reliable subscriber that was killed. */
static bool retire_one_subscriber(struct call *call, struct publisher *publisher) {
    (void)publisher;
    call->verb = RETIRE_SUBSCRIBER;
    if (!any_subscriber(call, true))
        return false;
    call->subscriber->life = DEAD;
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
    {"retire-dead", 0, retire_dead},
    {"retire-closed", 0, retire_closed},
    {"admit-publisher", 0, admit_one_publisher},
    {"admit-subscriber", 0, admit_one_subscriber},
    {"retire-subscriber", 0, retire_one_subscriber},
    {"receive", 0, receive},
    {"receive-batch", 0, receive_batch},
    {"receive-best-effort", 0, observe},
    {"hold", 0, hold},
    {"release", 0, release},
    {"sleep", 0, go_to_sleep},
    {"join-publisher", 0, join_publisher},
    {"leave-publisher", 0, leave_publisher},
    {"join-subscriber", 0, join_subscriber},
    {"leave-subscriber", 0, leave_subscriber},
};
const unsigned op_count = sizeof ops / sizeof ops[0];
