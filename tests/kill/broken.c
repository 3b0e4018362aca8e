/* SPDX-License-Identifier: Apache-2.0 */
/*
 * broken.c - stands between parts of the ring: the program is linked with --wrap for each function that is called
 * __wrap_NAME here; __real_NAME is the ring's.
 *
 * So the world has a clock of its own, and what depends on time happens again when a scenario is run again. It sees the
 * stamps that subscribers take. And figures and stamps can be stored in an order that is wrong, to prove that the
 * oracle notices it. The code here runs on fibers, too, so it must not call wrong().
 */
#include "ring/commit.h"
#include "ring/lane.h"
#include "ring/stats.h"
#include "world.h"

/* ---- the clock ---- */

uint64_t __wrap_ae_now_ns(void);

/* The time passes in one instruction: while a fiber is stopped in here, others read the clock. */
uint64_t __wrap_ae_now_ns(void) {
    const uint64_t ns = 1 + (world.pace > 1 ? mix(world.clock_ns) % (2 * world.pace) : 0);

    return __atomic_add_fetch(&world.clock_ns, ns, __ATOMIC_RELAXED);
}

/* ---- what subscribers take for the stamp of a message ---- */

void __real_ae_stats_received(struct ae_subscriber *s, uint64_t stamp, bool valid);
void __wrap_ae_stats_received(struct ae_subscriber *s, uint64_t stamp, bool valid);

void __wrap_ae_stats_received(struct ae_subscriber *s, uint64_t stamp, bool valid) {
    struct subscriber *subscriber = (struct subscriber *)(void *)s; /* its first member */

    if (valid && subscriber->stamp_count < STAMPS_MAX)
        subscriber->stamps[subscriber->stamp_count++] = (struct stamped){.seq = s->hot.next - 1, .stamp = stamp};
    __real_ae_stats_received(s, stamp, valid);
}

/* ---- figures ---- */

void __real_ae_stats_store_subscriber(struct ae_subscriber *s);
void __wrap_ae_stats_store_subscriber(struct ae_subscriber *s);
void __real_ae_stats_begin_run(struct ae_publisher *p, uint64_t seq);
void __wrap_ae_stats_begin_run(struct ae_publisher *p, uint64_t seq);
void __real_ae_stats_set_limit(struct ae_publisher *p);
void __wrap_ae_stats_set_limit(struct ae_publisher *p);

static void store_in_place(ae_stats_record *record, const uint64_t *words, size_t n) {
    ae_u64 *copy = record->account[ae_load_relaxed(&record->flips) & 1].words;

    for (size_t i = 0; i < n; i++)
        ae_store_relaxed(&copy[i], words[i]);
}

void __wrap_ae_stats_store_subscriber(struct ae_subscriber *s) {
    if (world.broken != BROKEN_ONE_COPY || s->flips == 0) {
        __real_ae_stats_store_subscriber(s);
        return;
    }
    const ae_account account = {
        .joined = s->joined,
        .next = s->hot.next,
        .bytes = s->hot.bytes,
        .lost = {s->lost_by[0], s->lost_by[1], s->lost_by[2], s->lost_by[3]},
        .gaps = s->gaps,
        .aborted = s->aborted,
        .skipped = s->skipped,
        .evicted = s->evicted,
        .by_position = s->hot.cursor == &s->stats->position,
    };
    s->stored = s->hot.next;
    store_in_place(s->stats, (const uint64_t *)(const void *)&account, sizeof account / sizeof(uint64_t));
}

/* Figures in place: in the order of the words. Late: by what is called when the claim is won. */
void __wrap_ae_stats_begin_run(struct ae_publisher *p, uint64_t seq) {
    const uint64_t run = p->hot.next - p->run.base;

    if ((world.broken != BROKEN_ONE_COPY && world.broken != BROKEN_LATE_FIGURES) ||
        (seq == p->hot.next && (int64_t)(seq - p->run.base) >= 0)) {
        __real_ae_stats_begin_run(p, seq);
        return;
    }
    p->run.first += (int64_t)run > 0 ? run : 0;
    p->run.base = seq;
    const uint64_t words[] = {p->joined, seq, p->hot.bytes, p->run.first};
    if (world.broken == BROKEN_ONE_COPY)
        store_in_place(p->stats, words, 4);
}

void __wrap_ae_stats_set_limit(struct ae_publisher *p) {
    if (world.broken == BROKEN_LATE_FIGURES)
        ae_stats_store_publisher(p);
    __real_ae_stats_set_limit(p);
}

/* ---- stamps ---- */

void __real_ae_commit_message(struct ae_publisher *p, uint64_t seq, const void *data, size_t len);
void __wrap_ae_commit_message(struct ae_publisher *p, uint64_t seq, const void *data, size_t len);
void __real_ae_commit_pieces(struct ae_publisher *p, uint64_t seq, const struct iovec *pieces, size_t count,
                             uint64_t len);
void __wrap_ae_commit_pieces(struct ae_publisher *p, uint64_t seq, const struct iovec *pieces, size_t count,
                             uint64_t len);
void __real_ae_lane_commit(struct ae_publisher *p, uint64_t seq, uint64_t position, uint64_t len);
void __wrap_ae_lane_commit(struct ae_publisher *p, uint64_t seq, uint64_t position, uint64_t len);

static bool stamps_badly(const struct ae_publisher *p, uint64_t seq) {
    return (world.broken == BROKEN_LATE_STAMP || world.broken == BROKEN_EARLY_STAMP) && ae_stamp_due(p, seq);
}

/* Commits a message that is to be stamped: with pieces in its slot, or else in the lane at position. */
static void commit_badly(struct ae_publisher *p, uint64_t seq, const struct iovec *pieces, size_t count,
                         uint64_t position, uint64_t len) {
    unsigned char *slot = p->hot.slots + (seq & p->hot.mask) * p->hot.slot_size;
    const ae_lane_descriptor lane = {.position = {position}, .where = {(uint64_t)p->record << 32 | len}};
    const struct iovec descriptor = {.iov_base = (void *)(uintptr_t)&lane, .iov_len = sizeof lane};
    ae_u64 *tag = (ae_u64 *)(void *)slot;

    p->hot.bytes += len;
    if (world.broken == BROKEN_EARLY_STAMP)
        (void)ae_stamp(p, seq);
    ae_store_relaxed(tag, ae_tag_busy(seq));
    ae_fence_release();
    ae_copy_pieces(slot + AE_SLOT_HEADER, pieces != NULL ? pieces : &descriptor, pieces != NULL ? count : 1);
    ae_store_release(tag, ae_tag(seq, (pieces != NULL ? AE_KIND_INLINE : AE_KIND_LANE) + AE_KIND_STAMPED,
                                 pieces != NULL ? len : sizeof lane));
    if (world.broken == BROKEN_LATE_STAMP)
        (void)ae_stamp(p, seq);
}

void __wrap_ae_commit_message(struct ae_publisher *p, uint64_t seq, const void *data, size_t len) {
    const struct iovec piece = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};

    if (stamps_badly(p, seq))
        commit_badly(p, seq, &piece, 1, 0, len);
    else
        __real_ae_commit_message(p, seq, data, len);
}

void __wrap_ae_commit_pieces(struct ae_publisher *p, uint64_t seq, const struct iovec *pieces, size_t count,
                             uint64_t len) {
    if (stamps_badly(p, seq))
        commit_badly(p, seq, pieces, count, 0, len);
    else
        __real_ae_commit_pieces(p, seq, pieces, count, len);
}

void __wrap_ae_lane_commit(struct ae_publisher *p, uint64_t seq, uint64_t position, uint64_t len) {
    if (stamps_badly(p, seq))
        commit_badly(p, seq, NULL, 0, position, len);
    else
        __real_ae_lane_commit(p, seq, position, len);
}
