/* SPDX-License-Identifier: Apache-2.0 */
#include "kill.h"

static bool one(struct call *call, struct speaker *speaker, bool large) {
    const size_t len = large ? large_len() : small_len();

    call_messages(call, PUBLISH, speaker, 1, &len);
    return true;
}

static bool publish_small(struct call *call, struct speaker *speaker) {
    return one(call, speaker, false);
}

static bool publish_large(struct call *call, struct speaker *speaker) {
    return one(call, speaker, true);
}

static bool burst(struct call *call, struct speaker *speaker) {
    (void)one(call, speaker, has_lanes() && one_in(4));
    call->verb = BURST;
    return true;
}

static bool batch(struct call *call, struct speaker *speaker, bool large) {
    const uint64_t half = world.geometry.capacity / 2, most = half < BATCH_MAX ? half : BATCH_MAX;
    const size_t count = 2 + any_of(most - 1);
    size_t lens[BATCH_MAX];

    any_lens(lens, count, large);
    call_messages(call, BATCH, speaker, count, lens);
    return true;
}

static bool batch_small(struct call *call, struct speaker *speaker) {
    return batch(call, speaker, false);
}

static bool batch_large(struct call *call, struct speaker *speaker) {
    return batch(call, speaker, true);
}

static bool gather_small(struct call *call, struct speaker *speaker) {
    (void)one(call, speaker, false);
    call_pieces(call);
    return true;
}

static bool gather_large(struct call *call, struct speaker *speaker) {
    (void)one(call, speaker, true);
    call_pieces(call);
    return true;
}

static bool take(struct call *call, struct speaker *speaker) {
    (void)one(call, speaker, has_lanes() && !one_in(3));
    call->verb = LOAN_TAKE;
    return true;
}

/* With a loan that is taken already, and filled. */
static bool commit(struct call *call, struct speaker *speaker) {
    (void)one(call, speaker, has_lanes() && !one_in(3));
    call->verb = LOAN_COMMIT;
    if (aether_loan_take(&speaker->pub.hot, call->lens[0], &call->loan) != 0)
        return false;
    memcpy(call->loan.data, call->data[0], call->lens[0]);
    call->iov[0].iov_base = call->loan.data;
    return true;
}

static bool discard(struct call *call, struct speaker *speaker) {
    const bool taken = commit(call, speaker);

    call->verb = LOAN_DISCARD;
    return taken;
}

static bool refresh(struct call *call, struct speaker *speaker) {
    call->verb = REFRESH;
    call->speaker = speaker;
    call->evict_below = claim_end() + 1 + any_of(2) - speaker->pub.window;
    return true;
}

static bool revoke(struct call *call, struct speaker *speaker) {
    const uint64_t word = ae_load_acquire(&world.log->claim.claim);

    if (ae_claim_mode(word) == AE_MODE_SHARED || ae_claim_record(word) == speaker->record)
        return false;
    any_publish(call, speaker, one_in(3));
    return true;
}

/* Its own record again, or another one. */
static bool join_publisher(struct call *call, struct speaker *speaker) {
    uint32_t record = speaker->record;

    if (world.geometry.publishers == AE_PUBLISHERS_EXCLUSIVE || one_in(2))
        close_speaker(speaker);
    else
        record = free_record();
    call->verb = JOIN_PUBLISHER;
    call->speaker = admit_speaker(record);
    return true;
}

static bool leave_publisher(struct call *call, struct speaker *speaker) {
    call->verb = LEAVE_PUBLISHER;
    call->speaker = speaker;
    return true;
}

static bool any_listener(struct call *call, bool reliable) {
    unsigned count = 0;

    for (unsigned i = 0; i < world.listener_count; i++) {
        struct listener *l = &world.listeners[i];
        if (l->fate == ALIVE && l->since != 0 && (l->options.policy == AETHER_RELIABLE) == reliable &&
            any_of(++count) == 0)
            call->listener = l;
    }
    return count != 0;
}

static bool receive(struct call *call, struct speaker *speaker) {
    (void)speaker;
    call->verb = RECEIVE;
    call->count = 1;
    return any_listener(call, true);
}

static bool receive_batch(struct call *call, struct speaker *speaker) {
    (void)speaker;
    call->verb = RECEIVE_BATCH;
    call->count = 1 + any_of(6);
    return any_listener(call, true);
}

static bool observe(struct call *call, struct speaker *speaker) {
    (void)speaker;
    call->verb = one_in(2) ? RECEIVE : RECEIVE_BATCH;
    call->count = 1 + any_of(6);
    if (!any_listener(call, false))
        call->listener = open_listener(one_in(3) ? AETHER_LATEST : AETHER_BEST_EFFORT, AETHER_FROM_OLDEST);
    return true;
}

static bool join_subscriber(struct call *call, struct speaker *speaker) {
    const aether_subscribe_options options = {
        .policy = one_in(4) ? AETHER_BEST_EFFORT : AETHER_RELIABLE,
        .from = (aether_from)any_of(3),
        .last = any_of(world.geometry.capacity + 2),
    };

    (void)speaker;
    call->verb = JOIN_SUBSCRIBER;
    call->listener = admit_listener(&options);
    return true;
}

static bool leave_subscriber(struct call *call, struct speaker *speaker) {
    (void)speaker;
    call->verb = LEAVE_SUBSCRIBER;
    return any_listener(call, true);
}

static bool go_to_sleep(struct call *call, struct speaker *speaker) {
    (void)speaker;
    call->verb = SLEEP;
    return any_listener(call, true);
}

/* Of one that is dead already, or dies for it. */
static bool repair_dead(struct call *call, struct speaker *speaker) {
    struct peer *peer;

    call->verb = REPAIR;
    call->speaker = NULL;
    for (unsigned i = 0; i < world.speaker_count; i++) {
        if (world.speakers[i].fate == DEAD)
            call->speaker = &world.speakers[i];
    }
    if (call->speaker != NULL)
        return true;
    if (world.peer_count == PEERS_MAX)
        return false;
    peer = new_peer();
    any_publish(&peer->call, speaker, one_in(2));
    if (!stop_anywhere(peer))
        return false;
    peer_dies(peer);
    call->speaker = speaker;
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
