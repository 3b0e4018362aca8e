/* SPDX-License-Identifier: Apache-2.0 */
/*
 * glue.c - the C half of the harness: a topic's objects and the handles of its publishers and subscribers, all in one
 * piece of memory, and what the kernel does for the ring. Everything that publishes, receives, joins, leaves, admits,
 * retires or repairs is the production code.
 *
 * A process that dies: the accessor before whose store it dies returns to the call of this file that was made for it.
 */
#include "base/error.h"
#include "ring/claim.h"
#include "ring/join.h"
#include "ring/topic.h"
#include "ring/wake.h"
#include "shm/segment.h"

#define HANDLES 3u
#define SLOTS_BYTES 256u
#define LANES_BYTES (AE_PUBLISHERS_MAX * 256u)
#define COPY_BYTES 64u
#define DIED (-1000)

/* What is shared comes first. */
struct arena {
    ae_log log;
    unsigned char slots_and_lanes[SLOTS_BYTES + LANES_BYTES];
    ae_cursors cursors;
    struct ae_publisher publishers[HANDLES];
    struct ae_subscriber subscribers[HANDLES];
    unsigned char loans[HANDLES][AETHER_LOANS_MAX * 64];
    unsigned char copies[HANDLES][COPY_BYTES];
};

struct config {
    uint64_t capacity, slot_size, max_message, lane_bytes, evict_lag, start_seq;
};

/* Words by name; i: record or sequence, j: word of a payload. */
enum word {
    CLAIM,
    POSITION,
    WAKE,
    OPEN,
    DIED_BITS,
    JOINS,
    EVICT,
    INTENT,
    FLOOR,
    PROVED,
    TAG,
    SLOT,
    LANE,
    ACTIVE,
    CURSOR,
    WANT,
    UNFENCED
};

struct stats {
    uint64_t joined, next, delivered, lost, aborted, skipped, evicted;
};

struct loom_ops loom_ops;
static _Alignas(AE_PAGE) struct arena arena;
static ae_geometry geometry;
static void *death[5][5]; /* of each thread of the model, a __builtin_setjmp buffer */

void loom_die(void) {
    __builtin_longjmp(death[loom_ops.thread()], 1);
}

/* ---- what the ring needs of the rest ---- */

int ae_fail(int code, const char *format, ...) {
    (void)format;
    return code;
}

int ae_segment_populate(void *base, uint64_t offset, uint64_t bytes, bool writable) {
    (void)base, (void)offset, (void)bytes, (void)writable;
    return 0;
}

/* `want` is constant in every model. */
void aether_detail_wake(aether_publisher *publisher) {
    (void)publisher;
    loom_ops.impossible("a sleeper");
}

void ae_wake_all(ae_u64 *word) {
    (void)ae_fetch_add(word, 1);
}

bool ae_wake_register(void) {
    return true;
}

/* loom has no membarrier; without the bias nobody calls it. */
bool ae_wake_barrier(void) {
    loom_ops.impossible("membarrier");
    return false;
}

/* ---- the topic ---- */

/* Smaller than any that aetherd would make; the ring code takes what it is given. */
static void reset(const struct config *config) {
    memset(&arena, 0, sizeof arena);
    geometry = (ae_geometry){
        .log_bytes = offsetof(struct arena, cursors),
        .cursors_bytes = sizeof(ae_cursors),
        .slots_off = AE_LOG_SLOTS_OFF,
        .lanes_off = AE_LOG_SLOTS_OFF + SLOTS_BYTES,
        .lane_bytes = config->lane_bytes,
        .capacity = config->capacity,
        .start_seq = config->start_seq,
        .evict_lag = config->evict_lag,
        .slot_size = (uint32_t)config->slot_size,
        .max_message = (uint32_t)config->max_message,
        .publishers = AE_PUBLISHERS_UNBIASED,
    };
    if (config->capacity * config->slot_size > SLOTS_BYTES || config->lane_bytes * AE_PUBLISHERS_MAX > LANES_BYTES ||
        config->max_message > COPY_BYTES)
        loom_ops.impossible("the topic is too large for the harness");
    ae_topic_format(&arena.log, &arena.cursors, &geometry, 1);
}

static void *word(int kind, uint64_t i, uint64_t j) {
    switch ((enum word)kind) {
    case CLAIM:
        return &arena.log.claim.claim;
    case POSITION:
        return &arena.log.claim.position;
    case WAKE:
        return &arena.log.wake.wake;
    case OPEN:
        return &arena.log.stream.open;
    case DIED_BITS:
        return &arena.log.stream.died;
    case JOINS:
        return &arena.log.stream.joins;
    case EVICT:
        return &arena.log.evict[i];
    case INTENT:
        return &arena.log.publishers[i].intent;
    case FLOOR:
        return &arena.log.publishers[i].lane_floor;
    case PROVED:
        return &arena.log.publishers[i].proved;
    case TAG:
        return ae_slot_tag(&arena.log, &geometry, i);
    case SLOT:
        return ae_slot_tag(&arena.log, &geometry, i) + 1 + j;
    case LANE:
        return (unsigned char *)&arena.log + geometry.lanes_off + i * geometry.lane_bytes + j * 8;
    case ACTIVE:
        return &arena.cursors.active.active;
    case CURSOR:
        return &arena.cursors.records[i].cursor;
    case WANT:
        return &arena.cursors.want.want;
    case UNFENCED:
        return &arena.log.stream.unfenced;
    }
    return NULL;
}

/* Words that nobody reads but tools, of a publisher's record and of a subscriber's. */
static void *publisher_counters(uint64_t record) {
    return &arena.log.publishers[record].joined;
}

static void *subscriber_counters(uint64_t record) {
    return &arena.cursors.records[record].joined;
}

/* ---- publishers, and aetherd ---- */

static void publisher_open(uint32_t p, uint32_t record) {
    ae_topic_admit_publisher(&arena.log, record);
    ae_publisher_init(&arena.publishers[p], &geometry, record, &arena.log, &arena.cursors, arena.loans[p]);
}

static void publisher_leave(uint32_t p) {
    ae_publisher_leave(&arena.publishers[p]);
}

static int publish(uint32_t p, const uint64_t *data, uint64_t bytes) {
    if (__builtin_setjmp(death[loom_ops.thread()]) != 0)
        return DIED;
    return aether_publish(&arena.publishers[p].hot, data, bytes);
}

/* count messages of one word each. */
static int publish_batch(uint32_t p, const uint64_t *data, uint64_t count) {
    struct iovec messages[4];

    for (uint64_t i = 0; i < count && i < 4; i++)
        messages[i] = (struct iovec){.iov_base = (void *)(uintptr_t)&data[i], .iov_len = sizeof data[i]};
    if (__builtin_setjmp(death[loom_ops.thread()]) != 0)
        return DIED;
    return aether_publish_batch(&arena.publishers[p].hot, messages, count);
}

static uint64_t publisher_next(uint32_t p) {
    return aether_publisher_next(&arena.publishers[p].hot);
}

/* aetherd after proof of death. The number of aborted sequences, or DIED. */
static int64_t repair(uint32_t record) {
    if (__builtin_setjmp(death[loom_ops.thread()]) != 0)
        return DIED;
    return (int64_t)ae_topic_retire_publisher(&arena.log, &geometry, record, true);
}

static uint64_t claim_end(void) {
    return ae_claim_end(&arena.log, &geometry, ae_load_relaxed(&arena.log.claim.position));
}

/* ---- subscribers ---- */

static void subscriber_open(uint32_t s, uint32_t record, int policy, int from, int views) {
    const aether_subscribe_options options = {
        .policy = (aether_policy)policy, .from = (aether_from)from, .views = (aether_views)views};

    ae_subscriber_init(&arena.subscribers[s], &geometry, record, &arena.log,
                       policy == AETHER_RELIABLE ? &arena.cursors : NULL, &options, arena.copies[s]);
    arena.subscribers[s].copies_size = COPY_BYTES;
    arena.subscribers[s].hot.cursor_mask = 0; /* rings this small would never store it */
}

static void subscriber_admit(uint32_t record) {
    ae_topic_admit_subscriber(&arena.log, &arena.cursors, record);
}

static void subscriber_leave(uint32_t s) {
    ae_subscriber_leave(&arena.subscribers[s]);
}

static int receive(uint32_t s, aether_message *message) {
    return aether_receive(&arena.subscribers[s].hot, message);
}

static int still_valid(uint32_t s, const aether_message *message) {
    return aether_still_valid(&arena.subscribers[s].hot, message);
}

static int stream(uint32_t s) {
    return (int)aether_subscriber_stream(&arena.subscribers[s].hot);
}

static void get_stats(uint32_t s, struct stats *stats) {
    aether_subscriber_stats all;

    aether_subscriber_get_stats(&arena.subscribers[s].hot, &all);
    *stats = (struct stats){.joined = all.joined,
                            .next = all.next,
                            .delivered = all.delivered,
                            .lost = all.lost,
                            .aborted = all.aborted,
                            .skipped = all.skipped,
                            .evicted = all.evicted};
}

/* ---- the door ---- */

struct glue {
    unsigned char *arena;
    uint64_t bytes, shared_bytes;
    void (*reset)(const struct config *config);
    void *(*word)(int kind, uint64_t i, uint64_t j);
    void *(*publisher_counters)(uint64_t record);
    void *(*subscriber_counters)(uint64_t record);
    void (*publisher_open)(uint32_t p, uint32_t record);
    void (*publisher_leave)(uint32_t p);
    int (*publish)(uint32_t p, const uint64_t *data, uint64_t bytes);
    int (*publish_batch)(uint32_t p, const uint64_t *data, uint64_t count);
    uint64_t (*publisher_next)(uint32_t p);
    int64_t (*repair)(uint32_t record);
    uint64_t (*claim_end)(void);
    void (*subscriber_admit)(uint32_t record);
    void (*subscriber_open)(uint32_t s, uint32_t record, int policy, int from, int views);
    void (*subscriber_leave)(uint32_t s);
    int (*receive)(uint32_t s, aether_message *message);
    int (*still_valid)(uint32_t s, const aether_message *message);
    int (*stream)(uint32_t s);
    void (*get_stats)(uint32_t s, struct stats *stats);
};

const struct glue *loom_bind(const struct loom_ops *ops);

const struct glue *loom_bind(const struct loom_ops *ops) {
    static const struct glue glue = {
        .arena = (unsigned char *)&arena,
        .bytes = sizeof arena,
        .shared_bytes = offsetof(struct arena, publishers),
        .reset = reset,
        .word = word,
        .publisher_counters = publisher_counters,
        .subscriber_counters = subscriber_counters,
        .publisher_open = publisher_open,
        .publisher_leave = publisher_leave,
        .publish = publish,
        .publish_batch = publish_batch,
        .publisher_next = publisher_next,
        .repair = repair,
        .claim_end = claim_end,
        .subscriber_admit = subscriber_admit,
        .subscriber_open = subscriber_open,
        .subscriber_leave = subscriber_leave,
        .receive = receive,
        .still_valid = still_valid,
        .stream = stream,
        .get_stats = get_stats,
    };

    loom_ops = *ops;
    return &glue;
}
