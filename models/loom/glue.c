/* SPDX-License-Identifier: Apache-2.0 */
/*
 * glue.c - the C half of the harness: a topic's objects and the handles of its publishers and subscribers, all in one
 * piece of memory, and what the kernel does for the ring. Everything that publishes, receives, joins, leaves, admits,
 * retires or repairs is the production code.
 *
 * A process that dies: the accessor before whose store it dies returns to the call of this file that was made for it.
 */
#include "base/clock.h"
#include "base/error.h"
#include "ring/claim.h"
#include "ring/claimer.h"
#include "ring/figures_test.h"
#include "ring/join.h"
#include "ring/topic.h"
#include "ring/wake.h"
#include "shm/segment.h"

#define HANDLES 3u
#define SLOTS_BYTES 256u
#define STAMPS_BYTES 64u
#define LANES_BYTES (AE_PUBLISHERS_MAX * 256u)
#define COPY_BYTES 64u
#define DIED (-1000)
/* Of a record of statistics, with so many buckets: the clock below gives no latency that needs more. */
#define LATENCIES 16u
#define RECORD_BYTES (offsetof(ae_stats_record, buckets) + LATENCIES * sizeof(ae_u64))

/* What is shared comes first. */
struct arena {
    ae_log log;
    unsigned char slots_and_lanes[SLOTS_BYTES + STAMPS_BYTES + LANES_BYTES];
    ae_cursors cursors;
    ae_notes notes;
    _Alignas(AE_BLOCK) ae_u64 shape;                                     /* the topic's shape word in the registry */
    _Alignas(AE_BLOCK) unsigned char records[2 * HANDLES][RECORD_BYTES]; /* of publishers, of subscribers */
    struct ae_publisher publishers[HANDLES];
    struct ae_subscriber subscribers[HANDLES];
    unsigned char loans[HANDLES][AETHER_LOANS_MAX * 64];
    unsigned char copies[HANDLES][COPY_BYTES];
    uint64_t clock[5]; /* of each thread of the model */
};

struct config {
    uint64_t capacity, slot_size, max_message, lane_bytes, evict_lag, start_seq, stamps;
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
    UNFENCED,
    STAMP,
    SHAPE,
    RECORD,
    FIGURE
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

/*
 * While a message is published, this thread's clock is as much below LATENCIES as the message's number. Otherwise it is
 * LATENCIES. So the bucket of a sample is the number of the message whose stamp was taken.
 */
uint64_t ae_now_ns(void) {
    return arena.clock[loom_ops.thread()];
}

static ae_stats_record *record_of(uint32_t handle) {
    return (ae_stats_record *)(void *)arena.records[handle];
}

/* ---- the topic ---- */

/* Smaller than any that aetherd would make; the ring code takes what it is given. */
static void reset(const struct config *config) {
    memset(&arena, 0, sizeof arena);
    for (unsigned i = 0; i < 5; i++)
        arena.clock[i] = LATENCIES;
    geometry = (ae_geometry){
        .log_bytes = offsetof(struct arena, cursors),
        .cursors_bytes = sizeof(ae_cursors),
        .slots_off = AE_LOG_SLOTS_OFF,
        .stamps_off = config->stamps != 0 ? AE_LOG_SLOTS_OFF + SLOTS_BYTES : 0,
        .lanes_off = AE_LOG_SLOTS_OFF + SLOTS_BYTES + STAMPS_BYTES,
        .lane_bytes = config->lane_bytes,
        .capacity = config->capacity,
        .start_seq = config->start_seq,
        .evict_lag = config->evict_lag,
        .slot_size = (uint32_t)config->slot_size,
        .max_message = (uint32_t)config->max_message,
        .publishers = AE_PUBLISHERS_UNBIASED,
        .latency = config->stamps != 0 ? AE_LATENCY_ALL : AE_LATENCY_OFF,
    };
    if (config->capacity * config->slot_size > SLOTS_BYTES || config->lane_bytes * AE_PUBLISHERS_MAX > LANES_BYTES ||
        config->max_message > COPY_BYTES || config->capacity * sizeof(ae_u64) > STAMPS_BYTES)
        loom_ops.impossible("the topic is too large for the harness");
    ae_topic_format(&arena.log, &arena.cursors, &arena.notes, &geometry, 1);
}

/* The words of a record of statistics that go with each other; the others are read by tools alone. */
static void *figure(ae_stats_record *record, uint64_t j) {
    ae_account *account = (ae_account *)(void *)record->account[j % 2].words;

    switch (j / 2) {
    case 0:
        return &account->next;
    case 1:
        return &account->messages;
    case 2:
        return &account->aborted;
    default:
        return &record->flips;
    }
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
        return &arena.notes.want.want;
    case UNFENCED:
        return &arena.log.stream.unfenced;
    case STAMP:
        return (unsigned char *)&arena.log + geometry.stamps_off + i % geometry.capacity * sizeof(ae_u64);
    case SHAPE:
        return &arena.shape;
    case RECORD: /* of handle i, subscribers after publishers: word j */
        return arena.records[i] + j * sizeof(ae_u64);
    case FIGURE:
        return figure(record_of((uint32_t)i), j);
    }
    return NULL;
}

/* ---- publishers, and aetherd ---- */

static void publisher_open(uint32_t p, uint32_t record) {
    ae_topic_admit_publisher(&arena.log, record);
    memset(arena.records[p], 0, RECORD_BYTES);
    ae_publisher_init(&arena.publishers[p], &geometry, record, &arena.log, &arena.cursors, &arena.notes, arena.loans[p],
                      record_of(p));
}

static void publisher_leave(uint32_t p) {
    ae_publisher_leave(&arena.publishers[p]);
}

static int publish(uint32_t p, const uint64_t *data, uint64_t bytes) {
    uint64_t *clock = &arena.clock[loom_ops.thread()];
    int rc;

    if (__builtin_setjmp(death[loom_ops.thread()]) != 0)
        return DIED;
    *clock = LATENCIES - data[0] % LATENCIES;
    rc = aether_publish(&arena.publishers[p].hot, data, bytes);
    *clock = LATENCIES;
    return rc;
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

/* Claims count sequences and commits none of them. */
static int claim(uint32_t p, uint64_t count) {
    return ae_claim_slow(&arena.publishers[p], count);
}

static uint64_t publisher_next(uint32_t p) {
    return aether_publisher_next(&arena.publishers[p].hot);
}

/* aetherd after proof of death. The number of aborted sequences, or DIED. */
static int64_t repair(uint32_t record) {
    if (__builtin_setjmp(death[loom_ops.thread()]) != 0)
        return DIED;
    return (int64_t)ae_topic_retire_publisher(&arena.log, &geometry, record, 1 + (uint64_t)record);
}

static uint64_t claim_end(void) {
    return ae_claim_end(&arena.log, &geometry, ae_load_relaxed(&arena.log.claim.position));
}

/* ---- subscribers ---- */

static void subscriber_open(uint32_t s, uint32_t record, int policy, int from, int views) {
    const aether_subscribe_options options = {
        .policy = (aether_policy)policy, .from = (aether_from)from, .views = (aether_views)views};

    ae_subscriber_init(&arena.subscribers[s], &geometry, record, &arena.log,
                       policy == AETHER_RELIABLE ? &arena.cursors : NULL, &arena.notes, &options, arena.copies[s],
                       record_of(HANDLES + s));
    arena.subscribers[s].copies_size = COPY_BYTES;
    arena.subscribers[s].hot.cursor_mask = 0; /* rings this small would never store it */
}

static void subscriber_admit(uint32_t record) {
    ae_topic_admit_subscriber(&arena.log, &arena.cursors, record);
}

static int take_shape(struct ae_subscriber *s) {
    if (!ae_subscriber_sees_shape(s))
        return 0;
    ae_subscriber_take_shape(s, &geometry, &arena.log, arena.copies[s - arena.subscribers]);
    s->hot.cursor_mask = 0;
    return 1;
}

/* The record was granted while the topic had no shape. */
static void subscriber_open_waiting(uint32_t s, uint32_t record) {
    const aether_subscribe_options options = {.policy = AETHER_RELIABLE};

    if (!ae_subscriber_init_waiting(&arena.subscribers[s], geometry.start_seq, record, &arena.log, &arena.cursors,
                                    &arena.notes, &options, record_of(HANDLES + s), &arena.shape, take_shape))
        subscriber_open(s, record, AETHER_RELIABLE, AETHER_FROM_NEW, AETHER_VIEWS_COPY);
}

/* aetherd, before it admits the topic's first publisher. */
static void fix_shape(void) {
    ae_store_release(&arena.shape, AE_SHAPE_FIXED); /* G9 */
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

/* ---- figures, as another process reads them ---- */

struct figures {
    uint64_t next, messages, lost, aborted, skipped;
};

/* The result is that of read_publisher() or read_subscriber(). */
static int figures(uint32_t handle, uint32_t record, struct figures *figures) {
    struct ae_figures all = {0};
    int rc;

    if (handle < HANDLES)
        rc = read_publisher(record_of(handle), &arena.log, &geometry, record, &all);
    else
        rc = read_subscriber(record_of(handle), &arena.cursors.records[record], &all);
    *figures = (struct figures){
        .next = all.next, .messages = all.messages, .lost = all.lost, .aborted = all.aborted, .skipped = all.skipped};
    return rc;
}

/* How often the subscriber has taken the stamp of message n for that of the message that it received; 0: no stamp. */
static uint64_t samples(uint32_t s, uint64_t n) {
    const ae_stats_record *record = record_of(HANDLES + s);

    return ae_load_relaxed(n != 0 ? &record->buckets[n] : &record->missed);
}

/* ---- the door ---- */

struct glue {
    unsigned char *arena;
    uint64_t bytes, shared_bytes;
    void (*reset)(const struct config *config);
    void *(*word)(int kind, uint64_t i, uint64_t j);
    void (*publisher_open)(uint32_t p, uint32_t record);
    void (*publisher_leave)(uint32_t p);
    int (*publish)(uint32_t p, const uint64_t *data, uint64_t bytes);
    int (*publish_batch)(uint32_t p, const uint64_t *data, uint64_t count);
    int (*claim)(uint32_t p, uint64_t count);
    uint64_t (*publisher_next)(uint32_t p);
    int64_t (*repair)(uint32_t record);
    uint64_t (*claim_end)(void);
    void (*subscriber_admit)(uint32_t record);
    void (*subscriber_open_waiting)(uint32_t s, uint32_t record);
    void (*fix_shape)(void);
    void (*subscriber_open)(uint32_t s, uint32_t record, int policy, int from, int views);
    void (*subscriber_leave)(uint32_t s);
    int (*receive)(uint32_t s, aether_message *message);
    int (*still_valid)(uint32_t s, const aether_message *message);
    int (*stream)(uint32_t s);
    void (*get_stats)(uint32_t s, struct stats *stats);
    uint64_t record_bytes;
    int (*figures)(uint32_t handle, uint32_t record, struct figures *figures);
    uint64_t (*samples)(uint32_t s, uint64_t n);
};

const struct glue *loom_bind(const struct loom_ops *ops);

const struct glue *loom_bind(const struct loom_ops *ops) {
    static const struct glue glue = {
        .arena = (unsigned char *)&arena,
        .bytes = sizeof arena,
        .shared_bytes = offsetof(struct arena, publishers),
        .reset = reset,
        .word = word,
        .publisher_open = publisher_open,
        .publisher_leave = publisher_leave,
        .publish = publish,
        .publish_batch = publish_batch,
        .claim = claim,
        .publisher_next = publisher_next,
        .repair = repair,
        .claim_end = claim_end,
        .subscriber_admit = subscriber_admit,
        .subscriber_open_waiting = subscriber_open_waiting,
        .fix_shape = fix_shape,
        .subscriber_open = subscriber_open,
        .subscriber_leave = subscriber_leave,
        .receive = receive,
        .still_valid = still_valid,
        .stream = stream,
        .get_stats = get_stats,
        .record_bytes = RECORD_BYTES,
        .figures = figures,
        .samples = samples,
    };

    loom_ops = *ops;
    return &glue;
}
