/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon.c - aetherd in the world: it admits and retires publishers and subscribers by ring/topic.h. As one process it
 * does one of these at a time; its successor finishes what a killed one has begun.
 */
#include "ring/topic.h"
#include "world.h"

bool is_daemons(const struct call *call) {
    return call->verb == ADMIT_PUBLISHER || call->verb == RETIRE_PUBLISHER || call->verb == ADMIT_SUBSCRIBER ||
           call->verb == RETIRE_SUBSCRIBER;
}

bool daemon_stopped(void) {
    for (unsigned i = 0; i < world.peer_count; i++) {
        if (peer_stopped(world.peers[i]) && is_daemons(&world.peers[i]->call))
            return true;
    }
    return false;
}

static bool is_free(enum life life) {
    return life == ABSENT || life == RETIRED;
}

static uint64_t bit_of(const struct publisher *publisher) {
    return 1ull << publisher->record;
}

static bool is_active(const struct subscriber *subscriber) {
    return (ae_load_acquire(&world.cursors->active.active) >> subscriber->record & 1) != 0;
}

/* ---- grants ---- */

uint32_t free_record(void) {
    for (uint32_t r = 0; r < RECORDS; r++) {
        bool taken = false;
        for (unsigned i = 0; i < world.publisher_count; i++)
            taken |= world.publishers[i].record == r && !is_free(world.publishers[i].life);
        if (!taken)
            return r;
    }
    wrong("no publisher record is left");
}

struct publisher *grant_publisher(uint32_t record) {
    struct publisher *publisher = &world.publishers[world.publisher_count];

    if (world.publisher_count == PUBLISHERS_MAX)
        wrong("too many publishers for this world");
    world.publisher_count++;
    *publisher = (struct publisher){.record = record, .life = GRANTED};
    memset((unsigned char *)publisher_stats(publisher) + FIGURES_OFF, 0, FIGURES_BYTES);
    return publisher;
}

struct subscriber *grant_subscriber(const aether_subscribe_options *options) {
    uint32_t r = 0;

    while (r < world.subscriber_count && !is_free(world.subscribers[r].life))
        r++;
    if (r == SUBSCRIBERS_MAX)
        wrong("too many subscribers for this world");
    if (r == world.subscriber_count)
        world.subscriber_count++;
    return grant_subscriber_at(r, options);
}

struct subscriber *grant_subscriber_at(uint32_t record, const aether_subscribe_options *options) {
    struct subscriber *subscriber = &world.subscribers[record];

    *subscriber = (struct subscriber){.record = record, .life = GRANTED, .options = *options};
    memset((unsigned char *)subscriber_stats(subscriber) + FIGURES_OFF, 0, FIGURES_BYTES);
    return subscriber;
}

struct subscriber *grant_waiting(const aether_subscribe_options *options) {
    struct subscriber *subscriber = grant_subscriber(options);

    subscriber->waits = true;
    return subscriber;
}

/* ---- the steps, or broken copies of them ---- */

static void admit_publisher_badly(uint32_t record) {
    const uint64_t bit = 1ull << record;
    ae_log *log = world.log;

    if (world.broken != BROKEN_KEEP_UNFENCED)
        (void)ae_fetch_and(&log->stream.unfenced, ~bit);
    const uint64_t others = ae_fetch_or(&log->stream.open, bit);
    (void)ae_fetch_add(&log->stream.joins, 1);
    if (world.broken != BROKEN_KEEP_DIED && (others == 0 || world.broken == BROKEN_RESET_DIED))
        (void)ae_fetch_and(&log->stream.died, 0);
}

/*
 * The bit of the last holder stays. If it is cleared, the order of cursor and eviction word makes no difference here: a
 * publisher that loads the new word finds the bit clear after that, and doesn't load the cursor.
 */
static void admit_subscriber_badly(uint32_t record) {
    ae_cursor_record *own = &world.cursors->records[record];
    const uint64_t claim = ae_claim_reach(world.log, ae_load_relaxed(&world.log->claim.position));

    ae_store_relaxed(&own->cursor, claim);
    (void)ae_exchange(&world.log->evict[record], ae_evict_next(ae_load_relaxed(&world.log->evict[record])));
}

static uint64_t intent_end_of(uint64_t intent, uint64_t near_seq) {
    return ae_seq_extend(intent >> AE_CLAIM_SEQ_SHIFT, near_seq) + (intent & AE_INTENT_COUNT_MAX);
}

/* A copy of ae_claim_repair() without the part that the broken world leaves out. */
static void repair_badly(uint32_t record) {
    const uint64_t near_seq = ae_load_relaxed(&world.log->claim.position);
    const uint64_t intent = ae_load_acquire(&world.log->publishers[record].intent);
    const uint64_t end = intent_end_of(intent, near_seq), word = ae_load_acquire(&world.log->claim.claim);
    bool won;

    if (world.broken == BROKEN_NO_ABORT || world.broken == BROKEN_KEEP_OPEN) {
        (void)ae_cas(&world.log->claim.claim, word,
                     ae_claim_record(word) == record ? ae_claim_word(end, AE_MODE_SHARED, record) : word);
        return;
    }
    if (world.broken != BROKEN_NO_RESOLVE && ae_claim_record(word) == record && ae_claim_mode(word) != AE_MODE_SHARED)
        (void)ae_cas(&world.log->claim.claim, word, ae_claim_word(end, AE_MODE_SHARED, record));
    won = ae_load_acquire(&world.log->claim.claim) == ae_claim_word(end, AE_MODE_SHARED, record);
    if (world.broken != BROKEN_NO_PROVED)
        won |= (int64_t)(ae_load_acquire(&world.log->publishers[record].proved) - end) >= 0;
    won |= world.broken == BROKEN_ALWAYS_WON;
    for (uint64_t seq = end - (intent & AE_INTENT_COUNT_MAX); won && seq != end; seq++) {
        if (ae_tag_pending(tag_of(seq), seq) || world.broken == BROKEN_BLIND_ABORT)
            ae_store_release(ae_slot_tag(world.log, &world.geometry, seq), ae_tag(seq, AE_KIND_ABORTED, 0));
    }
    for (uint64_t seq = claim_end(), left = world.geometry.capacity; world.broken == BROKEN_ABORT_ALL && left > 0;
         left--) {
        if (--seq - world.geometry.start_seq < LEDGER_MAX && ae_tag_pending(tag_of(seq), seq))
            ae_store_release(ae_slot_tag(world.log, &world.geometry, seq), ae_tag(seq, AE_KIND_ABORTED, 0));
    }
}

static void retire_dead_badly(uint32_t record, uint64_t death) {
    const uint64_t bit = 1ull << record;
    ae_log *log = world.log;
    const bool open = (ae_load_acquire(&log->stream.open) & bit) != 0;

    if (world.broken == BROKEN_LATE_DIED)
        (void)ae_claim_repair(log, &world.geometry, record);
    else
        repair_badly(record);
    if (open && world.broken != BROKEN_LATE_DIED)
        ae_store_relaxed(&log->stream.died, death);
    if (world.broken != BROKEN_KEEP_OPEN)
        (void)ae_topic_retire_publisher(log, &world.geometry, record, 0);
    if (open && world.broken == BROKEN_LATE_DIED)
        ae_store_relaxed(&log->stream.died, death);
}

void perform_daemons(const struct call *call) {
    const uint32_t publisher = call->publisher != NULL ? call->publisher->record : 0;
    const uint32_t subscriber = call->subscriber != NULL ? call->subscriber->record : 0;
    const enum broken broken = world.broken;

    switch (call->verb) {
    case ADMIT_PUBLISHER:
        /* G9 release: the shape, which here never was another one, comes with the topic's first publisher. */
        ae_store_release(&world.shape, AE_SHAPE_FIXED);
        if (broken == BROKEN_KEEP_UNFENCED || broken == BROKEN_KEEP_DIED || broken == BROKEN_RESET_DIED)
            admit_publisher_badly(publisher);
        else
            ae_topic_admit_publisher(world.log, publisher);
        break;
    case RETIRE_PUBLISHER:
        if (call->died && broken >= BROKEN_NO_ABORT && broken <= BROKEN_LATE_DIED)
            retire_dead_badly(publisher, call->death);
        else
            (void)ae_topic_retire_publisher(world.log, &world.geometry, publisher, call->died ? call->death : 0);
        break;
    case ADMIT_SUBSCRIBER:
        if (broken == BROKEN_KEEP_BIT)
            admit_subscriber_badly(subscriber);
        else
            ae_topic_admit_subscriber(world.log, world.cursors, subscriber);
        break;
    case RETIRE_SUBSCRIBER:
        if (broken != BROKEN_KEEP_CURSOR)
            ae_topic_retire_subscriber(world.log, world.cursors, subscriber);
        break;
    default:
        break;
    }
}

/* ---- what must hold after a step, and after a part of it ---- */

void begin_daemons(struct call *call) {
    call->death = ++world.deaths;
    call->open_before = ae_load_acquire(&world.log->stream.open);
    call->joins_before = ae_load_acquire(&world.log->stream.joins);
    call->claim_before = claim_end();
    call->claimed_before = ae_claim_end(world.log, &world.geometry, ae_load_relaxed(&world.log->claim.position));
    if (call->subscriber != NULL)
        call->evict_before = ae_load_acquire(&world.log->evict[call->subscriber->record]);
}

/*
 * An admission clears `died` if no other publisher is open. Others may leave while it is stopped, and if it is killed
 * `died` may be cleared or not; but never while another publisher is open.
 */
static void check_died(const struct call *call, bool done) {
    const uint64_t died = ae_load_acquire(&world.log->stream.died);
    const uint64_t others = ae_load_acquire(&world.log->stream.open) & ~bit_of(call->publisher);

    if (died == 0 && others == 0)
        world.died = 0; /* a new stream begins */
    if (died != world.died || (done && call->open_before == 0 && died != 0))
        wrong("record %u was admitted while open was %#llx: died is %llu, and was %llu", call->publisher->record,
              (unsigned long long)call->open_before, (unsigned long long)died, (unsigned long long)world.died);
}

static void publisher_admitted(const struct call *call) {
    const struct publisher *publisher = call->publisher;
    const ae_stream_block *stream = &world.log->stream;

    check_died(call, true);
    if ((ae_load_acquire(&stream->open) & bit_of(publisher)) == 0)
        wrong("record %u was admitted, and isn't open", publisher->record);
    if ((ae_load_acquire(&stream->unfenced) & bit_of(publisher)) != 0)
        wrong("record %u was admitted with its last holder's bit in `unfenced`", publisher->record);
    if (ae_load_acquire(&stream->joins) != call->joins_before + 1)
        wrong("record %u was admitted, and `joins` went from %llu to %llu", publisher->record,
              (unsigned long long)call->joins_before, (unsigned long long)ae_load_acquire(&stream->joins));
}

static void subscriber_admitted(const struct call *call) {
    const uint32_t record = call->subscriber->record;
    const uint64_t cursor = ae_load_acquire(&world.cursors->records[record].cursor);

    if (is_active(call->subscriber))
        wrong("subscriber %u was admitted, and its bit says that publishers wait for it before it has joined", record);
    if (ae_load_acquire(&world.log->evict[record]) != ae_evict_next(call->evict_before))
        wrong("subscriber %u was admitted: its eviction word went from %#llx to %#llx", record,
              (unsigned long long)call->evict_before, (unsigned long long)ae_load_acquire(&world.log->evict[record]));
    /* An intent that was counted before may have been taken back since: the claim may also have gone back. */
    if ((int64_t)(cursor - call->claimed_before) < 0 ||
        ((int64_t)(claim_end() - cursor) < 0 && (int64_t)(call->claim_before - cursor) < 0))
        wrong("subscriber %u was admitted with its cursor at %#llx, the claim went from %#llx to %#llx", record,
              (unsigned long long)cursor, (unsigned long long)call->claim_before, (unsigned long long)claim_end());
}

static void publisher_retired(const struct call *call) {
    struct publisher *publisher = call->publisher;

    if (call->died && !publisher->left)
        world.died = call->death;
    keep_figures(publisher);
    publisher->life = publisher->life == DEAD ? RETIRED : ABSENT;
}

static void subscriber_retired(struct subscriber *subscriber) {
    subscriber->life = subscriber->life == DEAD ? RETIRED : ABSENT;
}

void end_daemons(struct call *call) {
    switch (call->verb) {
    case ADMIT_PUBLISHER:
        publisher_admitted(call);
        call->publisher->life = ALIVE;
        join_publisher_now(call->publisher);
        break;
    case RETIRE_PUBLISHER:
        publisher_retired(call);
        break;
    case ADMIT_SUBSCRIBER:
        subscriber_admitted(call);
        call->subscriber->life = ALIVE;
        join_subscriber_now(call->subscriber);
        break;
    case RETIRE_SUBSCRIBER:
        subscriber_retired(call->subscriber);
        break;
    default:
        break;
    }
}

void daemon_dies(struct call *call) {
    const uint64_t open = ae_load_acquire(&world.log->stream.open), died = ae_load_acquire(&world.log->stream.died);
    struct publisher *publisher = call->publisher;
    struct subscriber *subscriber = call->subscriber;

    if (call->verb == ADMIT_PUBLISHER) { /* the grant is recorded, and no client has it */
        check_died(call, false);
        publisher->left = (open & bit_of(publisher)) == 0;
        publisher->life = CLOSED;
    }
    if (call->verb == RETIRE_PUBLISHER && call->died && !publisher->left && died == call->death) {
        world.died = call->death;
        publisher->left = (open & bit_of(publisher)) == 0; /* but for what wakes subscribers it is retired */
    }
    /*
     * No grant is recorded yet, so the record is free. If the last holder still held publishers back, its own grant is
     * still there, and is retired first.
     */
    if (call->verb == ADMIT_SUBSCRIBER)
        subscriber->life =
            is_active(subscriber) && ae_evicted(ae_load_acquire(&world.log->evict[subscriber->record])) == 0 ? DEAD
                                                                                                             : ABSENT;
}

/* ---- whole steps ---- */

static struct call *whole(enum verb verb, struct publisher *publisher, struct subscriber *subscriber) {
    static struct call call;

    call.verb = verb;
    call.publisher = publisher;
    call.subscriber = subscriber;
    call.died = false;
    begin_daemons(&call);
    return &call;
}

struct publisher *admit_publisher(uint32_t record) {
    struct publisher *publisher = grant_publisher(record);
    struct call *call = whole(ADMIT_PUBLISHER, publisher, NULL);

    perform_daemons(call);
    publisher_admitted(call);
    publisher->life = ALIVE;
    return publisher;
}

static struct subscriber *admit_now(struct subscriber *subscriber) {
    if (subscriber->options.policy == AETHER_RELIABLE) {
        struct call *call = whole(ADMIT_SUBSCRIBER, NULL, subscriber);
        perform_daemons(call);
        subscriber_admitted(call);
    }
    subscriber->life = ALIVE;
    return subscriber;
}

struct subscriber *admit_subscriber(const aether_subscribe_options *options) {
    return admit_now(grant_subscriber(options));
}

struct subscriber *admit_waiting(const aether_subscribe_options *options) {
    return admit_now(grant_waiting(options));
}

void retire_publisher(struct publisher *publisher) {
    struct call *call = whole(RETIRE_PUBLISHER, publisher, NULL);

    /* The client of a publisher that has closed, or never got its grant, may be dead by now. */
    call->died = publisher->life == DEAD || one_in(3);
    TRACE("aetherd retires publisher %u, record %u, %s", (unsigned)(publisher - world.publishers), publisher->record,
          call->died ? "dead" : "closed");
    perform_daemons(call);
    publisher_retired(call);
}

void retire_subscriber(struct subscriber *subscriber) {
    TRACE("aetherd retires subscriber %u", subscriber->record);
    if (subscriber->options.policy == AETHER_RELIABLE)
        perform_daemons(whole(RETIRE_SUBSCRIBER, NULL, subscriber));
    subscriber_retired(subscriber);
}
