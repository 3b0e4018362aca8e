/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every message is accounted for, in every combination of: a topic that waits or evicts, the size of messages, and the
 * first sequence. Each has subscribers of all policies and all forms of publishing. Meanwhile subscribers join and
 * leave, and processes are stopped or killed at random moments. Ring and lane are so small that they wrap all the time.
 * AETHER_TEST_SEED repeats a run, AETHER_TEST_EVENTS sets how many stops and kills each combination has.
 */
#include "lib/traffic.h"

#define CAPACITY 16u
#define INLINE 56u
#define PAGE 4096u
#define LANE 16384u
#define STEP_MAX 8u /* messages that one step publishes at most */
#define SUBSCRIBERS 5u
#define STEADY 0u /* this subscriber is stopped, but not killed */
#define PROGRESS (4u * CAPACITY)

enum size { SIZE_0, SIZE_1, SIZE_INLINE, SIZE_ABOVE, SIZE_PAGE, SIZE_HALF, SIZE_LANE, SIZE_MIXED, SIZES };

static const size_t lengths[SIZE_MIXED] = {0, 1, INLINE, INLINE + 1, PAGE, LANE / 2, LANE};
static const char *const names[SIZES] = {"0 bytes", "1 byte",      "inline",         "inline + 1",
                                         "a page",  "half a lane", "the whole lane", "mixed sizes"};
#define DELAY_NS 4000000u

static struct stage {
    char topic[32];
    aether_topic_config config;
    enum size size;
    uint64_t seed;
    uint64_t stop, end; /* the publisher stops; subscribers stop at this sequence, UINT64_MAX: not yet */
    uint64_t opened, published, full;
    struct {
        uint64_t entries, next, joins, lost, skipped, evicted, overwritten;
    } subscribers[SUBSCRIBERS];
} * stage;

static uint64_t seed, events; /* of the parent; of each cell */

static size_t cell_length(uint64_t seq, size_t max) {
    const uint64_t r = mix(seq ^ 0xfeed);

    (void)max;
    if (stage->size != SIZE_MIXED)
        return lengths[stage->size];
    return r % 8 < SIZE_MIXED ? lengths[r % 8] : (size_t)(r >> 8) % (LANE + 1);
}

/* Opens are tried again while there is no daemon, and while a dead publisher is believed alive. */
static bool try_again(int rc) {
    return no_daemon(rc) || rc == -EBUSY;
}

/* ---- publishing, in every way ---- */

static unsigned char payloads[STEP_MAX][LANE + 1];

static bool fits_in_lane(const struct iovec *messages, size_t count) {
    size_t bytes = 0;

    for (size_t i = 0; i < count; i++)
        bytes += messages[i].iov_len > INLINE ? (messages[i].iov_len + 63) / 64 * 64 : 0;
    return bytes <= LANE;
}

static int publish_batch(aether_publisher *pub, uint64_t random) {
    const uint64_t seq = aether_publisher_next(pub);
    const size_t count = random % (STEP_MAX + 1);
    struct iovec messages[STEP_MAX];
    int rc;

    for (size_t i = 0; i < count; i++)
        messages[i] = (struct iovec){payloads[i], payload_fill(payloads[i], seq + i, LANE)};
    rc = aether_publish_batch(pub, messages, count);
    if (rc == -E2BIG && !fits_in_lane(messages, count))
        return aether_publish_batch(pub, messages, 1);
    return rc;
}

static int publish_gathered(aether_publisher *pub, uint64_t random) {
    const size_t len = payload_fill(payloads[0], aether_publisher_next(pub), LANE);
    struct iovec pieces[4];
    size_t off = 0;

    for (unsigned i = 0; i < 4; i++) {
        const size_t piece = i < 3 ? (random >> 8 * i) % (len - off + 1) : len - off;
        pieces[i] = (struct iovec){piece != 0 ? payloads[0] + off : NULL, piece};
        off += piece;
    }
    return aether_publish_gather(pub, pieces, 4);
}

/* Takes up to three loans, discards some, and commits the others in another order than they were taken in. */
static int publish_loans(aether_publisher *pub, uint64_t random) {
    const unsigned wanted = 1 + (unsigned)(random % 3);
    const uint64_t seq = aether_publisher_next(pub);
    const size_t max = aether_publisher_max_message(pub);
    aether_loan loans[3];
    unsigned count = 0;
    int rc = 0;

    for (; count < wanted; count++) {
        const size_t len = payload_len(seq + wanted - 1 - count, max), more = random >> 32 & 64;
        rc = aether_loan_take(pub, len + more <= max ? len + more : len, &loans[count]);
        if (rc != 0)
            break;
        memset(loans[count].data, 0xee, loans[count].len);
    }
    if (count == 0)
        return rc;
    REQUIRE(rc == 0 || rc == AETHER_FULL || rc == -ENOBUFS);
    for (unsigned i = count; i-- > 0;) {
        const uint64_t next = aether_publisher_next(pub);
        if ((random >> (40 + i) & 7) == 0 || loans[i].len < payload_len(next, max)) {
            REQUIRE(aether_loan_discard(pub, &loans[i]) == 0);
            continue;
        }
        loans[i].len = payload_fill(loans[i].data, next, max);
        while ((rc = aether_loan_commit(pub, &loans[i])) == AETHER_FULL && !get(&stage->stop)) {
            add(&stage->full, 1);
            sched_yield();
        }
        REQUIRE(rc >= 0 && (rc == AETHER_FULL) == (loans[i].data != NULL));
        if (rc == AETHER_FULL)
            REQUIRE(aether_loan_discard(pub, &loans[i]) == 0);
    }
    return 0;
}

/* A message that is too large is refused, and nothing else happens. */
static void publish_too_large(aether_publisher *pub) {
    const uint64_t next = aether_publisher_next(pub);
    const size_t len = aether_publisher_max_message(pub) + 1;
    const struct iovec message = {payloads[0], len};
    aether_loan loan;

    REQUIRE(len <= sizeof payloads[0]);
    REQUIRE(aether_publish(pub, payloads[0], len) == -EMSGSIZE);
    REQUIRE(aether_publish_wait(pub, payloads[0], len, 0) == -EMSGSIZE);
    REQUIRE(aether_publish_batch(pub, &message, 1) == -EMSGSIZE);
    REQUIRE(aether_publish_gather(pub, &message, 1) == -EMSGSIZE);
    REQUIRE(aether_loan_take(pub, len, &loan) == -EMSGSIZE);
    REQUIRE(aether_publisher_next(pub) == next);
}

static int publish_step(aether_publisher *pub, uint64_t random) {
    const uint64_t seq = aether_publisher_next(pub);

    switch (random % 6) {
    case 0:
        return aether_publish(pub, payloads[0], payload_fill(payloads[0], seq, LANE));
    case 1:
        return aether_publish_wait(pub, payloads[0], payload_fill(payloads[0], seq, LANE), 1000000);
    case 2:
        return publish_batch(pub, random >> 8);
    case 3:
        return publish_gathered(pub, random >> 8);
    case 4:
        return publish_loans(pub, random >> 8);
    default:
        if (random >> 8 & 15)
            return aether_publish(pub, payloads[0], payload_fill(payloads[0], seq, LANE));
        publish_too_large(pub);
        return 0;
    }
}

static void publish_until_stopped(unsigned me) {
    aether_client *client = connect_patiently("publisher");
    uint64_t random = stage->seed + me, first;
    aether_publisher *pub = NULL;
    int rc;

    AWAIT(!try_again(rc = aether_publisher_open(client, stage->topic, &stage->config, &pub)));
    REQUIRE(rc == 0);
    /* It begins behind all that was published or received; `published` may be one step behind that. */
    first = aether_publisher_next(pub);
    REQUIRE(first - get(&stage->published) <= STEP_MAX);
    for (unsigned i = 0; i < SUBSCRIBERS; i++)
        REQUIRE(get(&stage->subscribers[i].joins) == 0 || (int64_t)(first - get(&stage->subscribers[i].next)) >= 0);
    set(&stage->published, first);
    add(&stage->opened, 1);
    while (!get(&stage->stop)) {
        rc = publish_step(pub, next_random(&random));
        REQUIRE(rc >= 0);
        set(&stage->published, aether_publisher_next(pub));
        if (rc == AETHER_FULL) {
            add(&stage->full, 1);
            REQUIRE(aether_publisher_wait(pub, payload_len(aether_publisher_next(pub), LANE), 1000000) >= 0);
        }
    }
    aether_publisher_close(pub);
    aether_disconnect(client);
}

/* ---- subscriber ---- */

/*
 * 0 and 1 are reliable, 2 and 3 best effort, 4 latest. 1 and 3 have views in place. STEADY is there from the first
 * message on, the others leave and join again.
 */
static struct test_subscriber join(aether_client *client, unsigned me, uint64_t random) {
    static const aether_policy policies[SUBSCRIBERS] = {AETHER_RELIABLE, AETHER_RELIABLE, AETHER_BEST_EFFORT,
                                                        AETHER_BEST_EFFORT, AETHER_LATEST};
    const aether_from from = me == STEADY ? AETHER_FROM_NEW : (aether_from)(random % 3);
    const aether_subscribe_options options = {.policy = policies[me],
                                              .from = from,
                                              .last = from == AETHER_FROM_LAST ? random >> 8 & 31 : 0,
                                              .views = me % 2 != 0 ? AETHER_VIEWS_IN_PLACE : AETHER_VIEWS_COPY};
    const bool reliable = policies[me] == AETHER_RELIABLE, evicts = stage->config.slow == AETHER_SLOW_EVICT;
    struct test_subscriber subscriber = {.max_message = LANE,
                                         .gaps_allowed = !reliable,
                                         .aborts_allowed = true,
                                         .latest = policies[me] == AETHER_LATEST,
                                         .in_place = me % 2 != 0 && (!reliable || evicts),
                                         .evictable = reliable && evicts};
    int rc;

    AWAIT(!try_again(rc = aether_subscriber_open(client, stage->topic, &options, &stage->config, &subscriber.sub)));
    REQUIRE(rc == 0);
    subscriber.expected = aether_subscriber_next(subscriber.sub);
    /* It joined before this load, and `published` is at most one step behind. */
    subscriber.kept_from = from == AETHER_FROM_NEW ? subscriber.expected : get(&stage->published) + STEP_MAX;
    add(&stage->subscribers[me].joins, 1);
    return subscriber;
}

/* One subscription, up to the end of the test, which returns true, or for a while. */
static bool receive_for_a_while(aether_client *client, unsigned me, uint64_t *random) {
    struct test_subscriber subscriber = join(client, me, next_random(random));
    uint64_t left = me == STEADY ? UINT64_MAX : next_random(random) % 500;
    bool end;

    for (; (end = subscriber.expected == get(&stage->end)) == false && left > 0; left--) {
        const uint64_t r = next_random(random);
        if (receive_some(&subscriber, (unsigned)(r & 3)) > 0) {
            set(&stage->subscribers[me].next, subscriber.expected);
            add(&stage->subscribers[me].entries, 1);
        } else if ((r & 12) != 0) {
            (void)aether_wait(subscriber.sub, 2000000);
        }
        if (subscriber.evicted && (r >> 8 & 1)) /* it opens again, to be reliable again */
            break;
    }
    check_conserved(&subscriber);
    add(&stage->subscribers[me].lost, subscriber.lost);
    add(&stage->subscribers[me].skipped, subscriber.skipped);
    add(&stage->subscribers[me].evicted, subscriber.evicted);
    add(&stage->subscribers[me].overwritten, subscriber.overwritten);
    aether_subscriber_close(subscriber.sub);
    return end;
}

static void receive_until_end(unsigned me) {
    aether_client *client = connect_patiently("subscriber");
    uint64_t random = stage->seed + 100 + me + get(&stage->subscribers[me].joins);

    while (!receive_for_a_while(client, me, &random))
        ;
    aether_disconnect(client);
}

/* ---- what happens to them ---- */

static pid_t publisher, subscribers[SUBSCRIBERS];

/* Nothing hangs: the publisher advances by a few rings, and each subscriber receives. */
static void await_progress(void) {
    const uint64_t published = get(&stage->published);
    uint64_t entries[SUBSCRIBERS];

    for (unsigned i = 0; i < SUBSCRIBERS; i++)
        entries[i] = get(&stage->subscribers[i].entries);
    AWAIT_PROGRESS(get(&stage->published), get(&stage->published) - published >= PROGRESS);
    for (unsigned i = 0; i < SUBSCRIBERS; i++)
        AWAIT_PROGRESS(steps_of(subscribers[i]), get(&stage->subscribers[i].entries) != entries[i]);
}

static void replace_publisher(void) {
    const uint64_t opened = get(&stage->opened);

    publisher = spawn(publish_until_stopped, 1 + (unsigned)opened);
    AWAIT_PROGRESS(steps_of(publisher), get(&stage->opened) == opened + 1);
}

static unsigned any_subscriber(void) {
    return (unsigned)(next_random(&seed) % SUBSCRIBERS);
}

static unsigned any_mortal(void) {
    return 1 + (unsigned)(next_random(&seed) % (SUBSCRIBERS - 1));
}

static void stop_subscriber(unsigned me) {
    const uint64_t full = get(&stage->full), published = get(&stage->published);

    freeze_child(subscribers[me]);
    if (stage->config.slow == AETHER_SLOW_EVICT)
        AWAIT_PROGRESS(get(&stage->published), get(&stage->published) - published >= PROGRESS);
    else if (me == STEADY)
        AWAIT_PROGRESS(get(&stage->published) + get(&stage->full), get(&stage->full) > full + 2);
    random_delay(&seed, DELAY_NS);
    thaw_child(subscribers[me]);
}

static void kill_daemon(unsigned also) {
    const unsigned subscriber = any_mortal();

    daemon_kill();
    if (also == 1)
        kill_child(publisher);
    if (also == 2)
        kill_child(subscribers[subscriber]);
    random_delay(&seed, DELAY_NS);
    daemon_start();
    if (also == 1)
        replace_publisher();
    if (also == 2)
        subscribers[subscriber] = spawn(receive_until_end, subscriber);
}

static void event(unsigned number) {
    unsigned subscriber;

    random_delay(&seed, DELAY_NS);
    switch (number % 8) {
    case 0:
    case 4:
        kill_child(publisher);
        replace_publisher();
        break;
    case 1:
        subscriber = any_mortal();
        kill_child(subscribers[subscriber]);
        subscribers[subscriber] = spawn(receive_until_end, subscriber);
        break;
    case 2:
        stop_subscriber(STEADY);
        break;
    case 3:
        stop_subscriber(any_subscriber());
        break;
    case 5:
        freeze_child(publisher);
        random_delay(&seed, DELAY_NS);
        thaw_child(publisher);
        break;
    case 6:
        freeze_child(publisher);
        kill_child(publisher);
        replace_publisher();
        break;
    default:
        kill_daemon((unsigned)(next_random(&seed) % 3));
        break;
    }
    await_progress();
}

static void set_stage(unsigned cell) {
    memset(stage, 0, sizeof *stage);
    snprintf(stage->topic, sizeof stage->topic, "matrix/%u", cell);
    stage->size = (enum size)(cell / 4);
    stage->seed = next_random(&seed);
    stage->end = UINT64_MAX;
    stage->config = (aether_topic_config){.max_message = stage->size <= SIZE_1 ? 8 : LANE,
                                          .inline_max = stage->size <= SIZE_1 ? 8 : INLINE,
                                          .lane_bytes = stage->size <= SIZE_1 ? 0 : LANE,
                                          .capacity = CAPACITY,
                                          .slow = cell % 2 ? AETHER_SLOW_EVICT : AETHER_SLOW_WAIT,
                                          .start_seq = cell / 2 % 2 ? (1ull << 48) - 3 : 0};
    stage->published = stage->config.start_seq;
}

static void run(unsigned cell) {
    const unsigned first = (unsigned)(next_random(&seed) % 8);
    uint64_t lost = 0, skipped = 0, evicted = 0, overwritten = 0, joins = 0;

    set_stage(cell);
    for (unsigned i = 0; i < SUBSCRIBERS; i++)
        subscribers[i] = spawn(receive_until_end, i);
    AWAIT_PROGRESS(steps_of(subscribers[STEADY]), get(&stage->subscribers[STEADY].joins) == 1);
    replace_publisher();
    await_progress();
    for (unsigned i = 0; i < events; i++)
        event(first + i);
    set(&stage->stop, 1);
    join_child(publisher);
    set(&stage->end, get(&stage->published));
    for (unsigned i = 0; i < SUBSCRIBERS; i++) {
        join_child(subscribers[i]);
        lost += stage->subscribers[i].lost;
        skipped += stage->subscribers[i].skipped;
        evicted += stage->subscribers[i].evicted;
        overwritten += stage->subscribers[i].overwritten;
        joins += stage->subscribers[i].joins;
    }
    REQUIRE(stage->config.slow == AETHER_SLOW_EVICT || (evicted == 0 && stage->subscribers[STEADY].lost == 0));
    REQUIRE(stage->config.slow == AETHER_SLOW_WAIT || evicted > 0);
    ok("%s, %s, from %llu: %llu messages, %llu joins; %llu lost, %llu skipped, %llu evicted, %llu overwritten in place",
       names[stage->size], stage->config.slow == AETHER_SLOW_EVICT ? "evict" : "wait",
       (unsigned long long)stage->config.start_seq, (unsigned long long)(stage->published - stage->config.start_seq),
       (unsigned long long)joins, (unsigned long long)lost, (unsigned long long)skipped, (unsigned long long)evicted,
       (unsigned long long)overwritten);
}

int main(void) {
    payload_len = cell_length;
    stage = share(sizeof *stage);
    test.logs = true;
    test_begin(4 * SIZES);
    seed = setting("AETHER_TEST_SEED", 1);
    events = setting("AETHER_TEST_EVENTS", SANITIZED ? 15 : 60);
    for (unsigned cell = 0; cell < 4 * SIZES; cell++)
        run(cell);
    return 0;
}
