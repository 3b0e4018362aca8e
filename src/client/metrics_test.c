/* SPDX-License-Identifier: Apache-2.0 */
/* metrics_test.c - the reader of metrics on objects that the test creates: sound, half changed, missing and hostile. */
#include "base/clock.h"
#include "base/histogram.h"
#include "client/instance_test.h"
#include "client/mappings.h"
#include "client/metrics_topic.h"
#include "shm/token.h"
#include "shm/totals.h"
#include <aether/metrics.h>
#include <ctype.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define TOPICS 4u
#define CLIENTS 4u
#define GRANTS 16u
#define TOPIC 7u /* id */
#define CLIENT 50u
#define SECOND 1000000000ull

/* A topic with two publishers and one subscriber of each policy, all of one client. Grant i is in registry record i. */
enum { PUBLISHER, OTHER_PUBLISHER, RELIABLE, BEST_EFFORT, LATEST, HANDLES };

struct fixture {
    struct test_instance on;
    struct ae_totals totals;
    ae_registry_topic *topic;
    ae_log *log;
    ae_cursors *cursors;
    ae_stats_header *stats;
    ae_stats_record *records[HANDLES];
    aether_metrics *metrics;
    aether_topic_metrics out;
};

static int setup(void **state) {
    static const struct {
        uint32_t role, record;
    } handles[HANDLES] = {{AE_ROLE_PUBLISHER, 1},
                          {AE_ROLE_PUBLISHER, 2},
                          {AE_ROLE_RELIABLE, 5},
                          {AE_ROLE_BEST_EFFORT, 0},
                          {AE_ROLE_BEST_EFFORT, 0}};
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    test_instance_create(&f->on, TOPICS, CLIENTS, GRANTS);
    assert_int_equal(ae_totals_create(&f->totals, &f->on.instance, TOPICS), 0);
    f->topic = add_topic(&f->on, 2, TOPIC, "market/eur", 1000);
    assert_int_equal(ae_totals_allocate(&f->on.instance, &f->totals, 2), 0);
    ae_totals_reset(&f->totals, 2, TOPIC);
    f->log = add_log(&f->on, f->topic);
    f->cursors = add_cursors(&f->on, f->topic);
    f->stats = add_stats(&f->on, CLIENT);
    add_client(&f->on, 1, CLIENT, "quotes", (uint32_t)getpid());
    for (uint32_t i = 0; i < HANDLES; i++) {
        add_grant(&f->on, i, TOPIC, CLIENT, handles[i].role, handles[i].record);
        f->records[i] = stats_record(&f->on, f->stats, i);
    }
    ae_store_relaxed(&f->records[LATEST]->policy, AETHER_LATEST);
    assert_int_equal(aether_metrics_open(&f->metrics, f->on.socket_path), 0);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;

    aether_metrics_close(f->metrics);
    ae_totals_close(&f->totals);
    ae_segment_unmap(f->log, f->topic->geometry.log_bytes);
    ae_segment_unmap(f->cursors, f->topic->geometry.cursors_bytes);
    ae_segment_unmap(f->stats, AE_STATS_RECORDS_OFF + GRANTS * AE_STATS_RECORD);
    test_instance_remove(&f->on);
    free(f);
    return 0;
}

/* Reads the topic, and checks what always holds. */
static const aether_topic_metrics *read_it(struct fixture *f) {
    const aether_topic_metrics *out = &f->out;

    assert_int_equal(aether_metrics_find(f->metrics, "market/eur", &f->out), 1);
    assert_true(out->accounted == out->delivered + out->lost + out->aborted + out->skipped);
    for (size_t i = 0; i < out->subscriber_count; i++) {
        const aether_subscriber_metrics *s = &out->subscribers[i];
        assert_true(s->next - s->joined == s->delivered + s->lost + s->aborted + s->skipped);
        assert_true(s->lost == s->lost_by[0] + s->lost_by[1] + s->lost_by[2] + s->lost_by[3]);
        assert_true(s->unread <= s->lag && s->lag <= out->lag && s->next + s->unread <= out->info.next_seq);
        assert_true(s->overwritten <= s->unread && s->overwritten <= out->overwritten);
    }
    return out;
}

/* Messages 1000 to 1099: publisher record 1 has published the first 60 and the last 5, record 2 the others. */
static void publish_all(struct fixture *f) {
    publish_to(f->log, 1100, 1);
    ae_store_relaxed(&f->log->publishers[2].intent, ae_intent(1094, 1));
    ae_store_relaxed(&f->log->publishers[2].proved, 1095);
    ae_store_relaxed(&f->log->publishers[1].intent, ae_intent(1096, 4));
    for (uint64_t seq = 1100 - TEST_CAPACITY; seq < 1100; seq++)
        commit(f->log, &f->topic->geometry, seq, AE_KIND_INLINE);
    store_account(f->records[PUBLISHER],
                  &(ae_account){.joined = 1000, .next = 1095, .messages = 60, .bytes = 300, .batches = 2});
    store_account(f->records[OTHER_PUBLISHER],
                  &(ae_account){.joined = 1060, .next = 1060, .messages = 0, .bytes = UINT64_MAX});
}

static void receive_all(struct fixture *f) {
    subscribe(f->cursors, 5, 1090);
    store_account(
        f->records[RELIABLE],
        &(ae_account){.joined = 1010, .next = 1080, .bytes = 500, .lost = {0, 0, 4, 0}, .gaps = 1, .aborted = 1});
    store_account(
        f->records[BEST_EFFORT],
        &(ae_account){.joined = 1000, .next = 1050, .bytes = 7, .lost = {20, 5, 0, 0}, .gaps = 3, .by_position = 1});
    ae_store_relaxed(&f->records[BEST_EFFORT]->position, 1099);
    store_account(f->records[LATEST],
                  &(ae_account){.joined = 1000, .next = 1100, .skipped = 80, .bytes = 100, .by_position = 1});
    ae_store_relaxed(&f->records[LATEST]->position, 1000); /* stored before the account */
}

/* ---- sound objects ----------------------------------------------------------------------------------------------- */

static void empty(void **state) {
    struct fixture *f = *state;
    aether_instance_metrics instance;
    aether_client_metrics client;
    uint32_t cursor = 0;

    for (uint32_t i = 0; i < HANDLES; i++)
        ae_record_free(&f->on.registry.grants[i].state);
    ae_record_free(&f->on.registry.clients[1].state);
    ae_record_free(&f->topic->state);
    assert_int_equal(aether_metrics_begin(f->metrics, &instance), 0);
    assert_int_equal(instance.elapsed_ns, 0);
    assert_int_equal(instance.publishers + instance.subscribers + instance.daemon.topics, 0);
    assert_int_equal(aether_metrics_next(f->metrics, &f->out), 0);
    assert_int_equal(aether_metrics_next(f->metrics, &f->out), 0);
    assert_int_equal(aether_metrics_find(f->metrics, "market/eur", &f->out), 0);
    assert_int_equal(aether_metrics_client(f->metrics, &cursor, &client), 0);
    assert_int_equal(aether_metrics_begin(f->metrics, NULL), 0);
    assert_int_equal(aether_metrics_begin(f->metrics, &instance), 0);
    assert_true(instance.elapsed_ns > 0 && instance.elapsed_ns < AETHER_UNKNOWN / 2);
}

static void instance_and_clients(void **state) {
    struct fixture *f = *state;
    aether_instance_metrics instance;
    aether_client_metrics client;
    uint32_t cursor = 0;

    add_client(&f->on, 0, 51, "idle", 0);
    assert_int_equal(aether_metrics_begin(f->metrics, &instance), 0);
    assert_int_equal(instance.publishers, 2);
    assert_int_equal(instance.subscribers, 3);
    assert_int_equal(instance.daemon.topics, 1);
    assert_int_equal(instance.daemon.clients, 2);
    assert_int_equal(instance.daemon.memory_bytes,
                     f->topic->geometry.log_bytes + f->topic->geometry.cursors_bytes + AE_NOTES_BYTES);
    assert_int_equal(aether_metrics_next(f->metrics, &f->out), 1);
    assert_int_equal(aether_metrics_client(f->metrics, &cursor, &client), 1);
    assert_int_equal(client.client_id, CLIENT);
    assert_string_equal(client.name, "quotes");
    assert_int_equal(client.pid, getpid());
    assert_int_equal(client.process, 'R');
    assert_int_equal(client.publishers, 2);
    assert_int_equal(client.subscribers, 3);
    assert_int_equal(client.stats_bytes, AE_STATS_RECORDS_OFF + GRANTS * AE_STATS_RECORD);
    assert_int_equal(aether_metrics_client(f->metrics, &cursor, &client), 1);
    assert_int_equal(client.client_id, 51);
    assert_int_equal(client.process, '?');
    assert_int_equal(client.stats_bytes, 0);
    assert_int_equal(aether_metrics_client(f->metrics, &cursor, &client), 0);
}

/* The child of this test is aetherd if it takes the lock. Returns its pid; it has the lock, and waits in a pause. */
static pid_t fork_daemon(const struct fixture *f) {
    int ends[2];
    char byte;

    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int lock;
        if (ae_instance_lock(&f->on.instance, &lock) != 0 || write(ends[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    close(ends[0]);
    return child;
}

static void expect_daemon(struct fixture *f, uint32_t pid, bool running, char process, uint64_t stopped) {
    aether_instance_metrics instance;

    f->on.registry.header->daemon_pid = pid;
    assert_int_equal(aether_metrics_begin(f->metrics, &instance), 0);
    assert_int_equal(instance.daemon.running, running);
    if (process != 'S') /* it may not have come to its pause yet */
        assert_int_equal(instance.process, process);
    else
        assert_true(instance.process == 'S' || instance.process == 'R');
    assert_int_equal(instance.stopped, stopped);
    assert_int_equal(instance.grants_max, GRANTS);
}

/* A process is aetherd if it holds the lock, whatever pid the registry has. */
static void daemon_states(void **state) {
    struct fixture *f = *state;
    const uint32_t self = (uint32_t)getpid();
    int status;

    expect_daemon(f, self, false, '?', 0);
    const pid_t child = fork_daemon(f);
    const uint32_t pid = (uint32_t)child;
    expect_daemon(f, pid, true, 'S', 0);
    kill(child, SIGSTOP);
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    expect_daemon(f, pid, true, 'T', 1);
    /* This process opens the lock file too, but only to read it. */
    const int reader = open(f->on.instance.lock_path, O_RDONLY | O_CLOEXEC);
    expect_daemon(f, self, true, '?', AETHER_UNKNOWN);
    close(reader);
    expect_daemon(f, 1, true, '?', AETHER_UNKNOWN); /* of another pid namespace, or reused */
    expect_daemon(f, 0, true, '?', AETHER_UNKNOWN);
    expect_daemon(f, UINT32_MAX, true, '?', AETHER_UNKNOWN);
    kill(child, SIGKILL);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    expect_daemon(f, pid, false, '?', 0); /* a zombie holds nothing */
    assert_int_equal(waitpid(child, &status, 0), child);
    expect_daemon(f, pid, false, '?', 0);
}

static void publishers(void **state) {
    struct fixture *f = *state;
    const aether_topic_metrics *out;

    publish_all(f);
    ae_store_relaxed(&f->records[PUBLISHER]->full, 9);
    ae_store_relaxed(&f->records[PUBLISHER]->stalls, 2);
    ae_store_relaxed(&f->records[PUBLISHER]->retries, 3);
    ae_store_relaxed(&f->records[OTHER_PUBLISHER]->retries, 4);
    ae_store_relaxed(&f->records[OTHER_PUBLISHER]->wakes, 5);
    ae_store_relaxed(&f->records[OTHER_PUBLISHER]->lane_used, 4096); /* it has no lane */
    out = read_it(f);
    assert_int_equal(out->publisher_count, 2);
    assert_int_equal(out->publishers[0].joined, 1000);
    assert_int_equal(out->publishers[0].next, 1100);
    assert_int_equal(out->publishers[0].messages, 65);
    assert_int_equal(out->publishers[0].bytes, 300);
    assert_int_equal(out->publishers[0].batches, 2);
    assert_int_equal(out->publishers[0].full, 9);
    assert_int_equal(out->publishers[0].owner.grant_id, 100);
    assert_int_equal(out->publishers[0].owner.client_id, CLIENT);
    assert_string_equal(out->publishers[0].owner.client, "quotes");
    assert_int_equal(out->publishers[0].owner.pid, getpid());
    assert_int_equal(out->publishers[0].owner.process, 'R');
    assert_int_equal(out->publishers[0].waits, AETHER_WAITS_NOT);
    assert_int_equal(out->publishers[0].waits_subscriber, -1);
    assert_true(out->publishers[0].tried_ns == AETHER_UNKNOWN);
    assert_int_equal(out->publishers[1].next, 1095);
    assert_int_equal(out->publishers[1].messages, 35);
    assert_int_equal(out->publishers[1].bytes, 3500); /* as many messages can't have more */
    assert_int_equal(out->publishers[1].lane_used, 0);
    assert_int_equal(out->published, 100);
    assert_int_equal(out->published_bytes, 3800);
    assert_int_equal(out->full, 9);
    assert_int_equal(out->info.full, 9);
    assert_int_equal(out->info.messages, 100);
    assert_int_equal(out->stalls, 2);
    assert_int_equal(out->retries, 7);
    assert_int_equal(out->wakes, 5);

    /* A claim that isn't finished doesn't count: if its publisher dies, it is aborted. */
    ae_store_release(ae_slot_tag(f->log, &f->topic->geometry, 1098), ae_tag_busy(1098));
    ae_store_release(ae_slot_tag(f->log, &f->topic->geometry, 1099), ae_tag(1099 - TEST_CAPACITY, AE_KIND_INLINE, 0));
    assert_int_equal(read_it(f)->publishers[0].messages, 63);
    commit(f->log, &f->topic->geometry, 1098, AE_KIND_ABORTED);
    commit(f->log, &f->topic->geometry, 1099, AE_KIND_ABORTED);
    assert_int_equal(read_it(f)->publishers[0].messages, 63);
    /* An intent that wasn't won doesn't count either, also if its slot has another publisher's message. */
    ae_store_relaxed(&f->log->publishers[2].intent, ae_intent(1095, 1));
    assert_int_equal(read_it(f)->publishers[1].messages, 35);
}

static void subscribers(void **state) {
    struct fixture *f = *state;
    const aether_topic_metrics *out;

    publish_all(f);
    receive_all(f);
    ae_store_relaxed(&f->records[RELIABLE]->sleeps, 8);
    ae_store_relaxed(&f->records[RELIABLE]->woken, 6);
    out = read_it(f);
    assert_int_equal(out->subscriber_count, 3);
    assert_int_equal(out->subscribers[0].policy, AETHER_RELIABLE);
    assert_int_equal(out->subscribers[0].joined, 1010);
    assert_int_equal(out->subscribers[0].next, 1090);
    assert_int_equal(out->subscribers[0].delivered, 75);
    assert_int_equal(out->subscribers[0].lost_by[AETHER_LOST_RETAINED], 4);
    assert_int_equal(out->subscribers[0].aborted, 1);
    assert_int_equal(out->subscribers[0].lag, 10);
    assert_int_equal(out->subscribers[0].state, AETHER_SUBSCRIBER_BEHIND);
    assert_int_equal(out->subscribers[0].sleeps, 8);
    assert_int_equal(out->subscribers[0].woken, 6);
    assert_true(out->subscribers[0].received_ns == AETHER_UNKNOWN);
    assert_int_equal(out->subscribers[1].policy, AETHER_BEST_EFFORT);
    assert_int_equal(out->subscribers[1].next, 1099);
    assert_int_equal(out->subscribers[1].delivered, 74);
    assert_int_equal(out->subscribers[1].lost, 25);
    assert_int_equal(out->subscribers[1].lag, 1);
    assert_int_equal(out->subscribers[2].policy, AETHER_LATEST);
    assert_int_equal(out->subscribers[2].next, 1100);
    assert_int_equal(out->subscribers[2].skipped, 80);
    assert_int_equal(out->subscribers[2].state, AETHER_SUBSCRIBER_IDLE);
    assert_int_equal(out->subscribers[2].age_ns, 0);
    assert_int_equal(out->delivered, 75 + 74 + 20);
    assert_int_equal(out->delivered_bytes, 607);
    assert_int_equal(out->lost, 29);
    assert_int_equal(out->lost_by[AETHER_LOST_LANE], 5);
    assert_int_equal(out->gaps, 4);
    assert_int_equal(out->accounted, 80 + 99 + 100);
    assert_int_equal(out->lag, 10);
    assert_int_equal(out->info.reliable, 1);
    assert_int_equal(out->info.best_effort, 2);
    assert_true(out->age_ns == AETHER_UNKNOWN); /* no message has a stamp */

    /* While it reads messages from before its join, its cursor is where it joined and says nothing. */
    store_account(f->records[RELIABLE], &(ae_account){.joined = 1010, .next = 1020, .by_position = 1});
    ae_store_relaxed(&f->records[RELIABLE]->position, 1025);
    assert_int_equal(read_it(f)->subscribers[0].next, 1025);
}

static void stamp(struct fixture *f, uint64_t seq, uint64_t ns) {
    ae_u64 *stamps = (ae_u64 *)(void *)((unsigned char *)f->log + f->topic->geometry.stamps_off);

    ae_store_relaxed(&stamps[seq & (TEST_CAPACITY - 1)], ns << AE_STAMP_NS_SHIFT);
    commit(f->log, &f->topic->geometry, seq, AE_KIND_INLINE + AE_KIND_STAMPED);
}

/* As if all that the reader remembers of a grant had been ns longer ago. */
static void backdate(struct fixture *f, int handle, uint64_t ns) {
    struct ae_seen *seen = &f->metrics->seen[handle];

    if (seen->read_ns != 0)
        seen->read_ns -= ns;
    if (seen->waits_since != 0)
        seen->waits_since -= ns;
    if (seen->moved_after != 0)
        seen->moved_after -= ns;
}

static void states(void **state) {
    struct fixture *f = *state;
    const aether_subscriber_metrics *s;
    const uint64_t now = ae_now_ns();

    publish_all(f);
    receive_all(f);
    /* The machine may have been started a minute ago. */
    stamp(f, 1089, now / 8); /* received already */
    stamp(f, 1092, now / 4);
    stamp(f, 1095, now / 2);
    ae_store_relaxed(&f->records[RELIABLE]->last_ns, now / 4);
    s = &read_it(f)->subscribers[0];
    assert_true(s->age_ns >= now - now / 4 && s->age_ns < now - now / 8);
    assert_true(s->received_ns >= now - now / 4 && s->received_ns < now - now / 8);
    assert_int_equal(s->state, AETHER_SUBSCRIBER_STUCK);
    assert_int_equal(f->out.stuck, 1);
    assert_true(f->out.age_ns == s->age_ns); /* that of the best-effort subscriber is unknown */

    ae_store_relaxed(&f->records[RELIABLE]->last_ns, now + 1000 * SECOND);
    s = &read_it(f)->subscribers[0];
    assert_true(s->received_ns == AETHER_UNKNOWN); /* the clocks differ */
    assert_int_equal(s->state, AETHER_SUBSCRIBER_STUCK);
    ae_store_relaxed(&f->records[RELIABLE]->last_ns, ae_now_ns() + SECOND / 2); /* since the reading has begun */
    s = &read_it(f)->subscribers[0];
    assert_int_equal(s->received_ns, 0);
    assert_int_equal(s->state, AETHER_SUBSCRIBER_BEHIND);
    assert_int_equal(f->out.stuck, 0);

    /* The stamp is that of another message. */
    commit(f->log, &f->topic->geometry, 1092 + TEST_CAPACITY, AE_KIND_INLINE + AE_KIND_STAMPED);
    s = &read_it(f)->subscribers[0];
    assert_true(s->age_ns >= now - now / 2 && s->age_ns < now - now / 4);

    store_account(f->records[RELIABLE],
                  &(ae_account){.joined = 1010, .next = 1080, .evicted = 1, .lost = {0, 0, 0, 7}, .by_position = 1});
    s = &read_it(f)->subscribers[0];
    assert_int_equal(s->state, AETHER_SUBSCRIBER_EVICTED);
    assert_int_equal(s->evictions, 1);
    assert_int_equal(f->out.evictions, 1);
    ae_store_relaxed(&f->records[RELIABLE]->last_ns, now / 4);
    s = &read_it(f)->subscribers[0];
    assert_int_equal(s->state, AETHER_SUBSCRIBER_EVICTED); /* it has moved since the last reading */
    backdate(f, RELIABLE, 3 * SECOND);
    s = &read_it(f)->subscribers[0];
    assert_int_equal(s->state, AETHER_SUBSCRIBER_STUCK);
    assert_int_equal(s->evictions, 1);
    assert_int_equal(f->out.stuck, 1);
    ae_store_relaxed(&f->records[RELIABLE]->position, 1100); /* nothing waits */
    s = &read_it(f)->subscribers[0];
    assert_int_equal(s->state, AETHER_SUBSCRIBER_EVICTED);
    assert_int_equal(f->out.stuck, 0);
}

/* Each policy is stuck if messages wait and none was received: behind, overrun, and evicted without knowing it. */
static void stuck_of_each_policy(void **state) {
    struct fixture *f = *state;
    const uint64_t now = ae_now_ns();

    publish_all(f);
    receive_all(f);
    f->topic->geometry.evict_lag = TEST_CAPACITY;
    ae_store_release(&f->log->evict[5], 2ull << 32 | AE_EVICT_LAG);
    for (uint64_t behind = 5; behind <= 75; behind += 70) { /* the ring has 64 slots */
        const uint64_t next = 1100 - behind;
        stamp(f, 1096, now / 2);
        ae_store_relaxed(&f->cursors->records[5].cursor, next);
        for (int i = RELIABLE; i <= LATEST; i++) {
            store_account(f->records[i], &(ae_account){.joined = 1000, .next = next, .by_position = i != RELIABLE});
            ae_store_relaxed(&f->records[i]->position, next);
            ae_store_relaxed(&f->records[i]->last_ns, now / 4);
            backdate(f, i, 3 * SECOND);
        }
        const aether_topic_metrics *out = read_it(f);
        for (size_t i = 0; i < out->subscriber_count; i++) {
            assert_int_equal(out->subscribers[i].lag, behind);
            assert_int_equal(out->subscribers[i].state, AETHER_SUBSCRIBER_STUCK);
            assert_int_equal(out->subscribers[i].evictions, i == 0);
        }
        assert_int_equal(out->stuck, 3);
    }
}

/*
 * Publishers have evicted the subscriber, which hasn't received since and so doesn't know. It is counted once,
 * always.
 */
static void evictions(void **state) {
    struct fixture *f = *state;
    ae_registry_grant *grant = &f->on.registry.grants[RELIABLE];

    publish_all(f);
    receive_all(f);
    assert_int_equal(read_it(f)->evictions, 0);
    ae_store_release(&f->log->evict[5], 2ull << 32 | AE_EVICT_LAG);
    assert_int_equal(read_it(f)->evictions, 0); /* on a topic that doesn't evict the word says nothing */
    f->topic->geometry.evict_lag = TEST_CAPACITY;
    assert_int_equal(read_it(f)->evictions, 1);
    assert_int_equal(f->out.subscribers[0].evictions, 1);
    assert_int_equal(f->out.subscribers[1].evictions + f->out.subscribers[2].evictions, 0);
    /* It notices that. */
    store_account(f->records[RELIABLE], &(ae_account){.joined = 1010, .next = 1090, .evicted = 1, .by_position = 1});
    assert_int_equal(read_it(f)->evictions, 1);
    assert_int_equal(f->out.subscribers[0].evictions, 1);
    /* It has gone, and aetherd adds it to the totals. */
    ae_totals_topic next = *ae_totals_record(&f->totals, 2);
    next.last_folded = grant->grant_id;
    next.evictions = 1;
    for (unsigned step = 0; step < AE_TOTALS_STEPS; step++) {
        assert_int_equal(aether_metrics_find(f->metrics, "market/eur", &f->out), 1);
        assert_int_equal(f->out.evictions, 1);
        ae_totals_step(&f->totals, grant, 2, &next, step);
    }
    ae_record_free(&grant->state);
    assert_int_equal(aether_metrics_find(f->metrics, "market/eur", &f->out), 1);
    assert_int_equal(f->out.evictions, 1);

    /* A grant whose client has no account yet has joined nothing: there aetherd will count nothing, either. */
    add_grant(&f->on, RELIABLE, TOPIC, CLIENT, AE_ROLE_RELIABLE, 5);
    grant->grant_id = 777;
    ae_store_relaxed(&f->records[RELIABLE]->grant_id, 777);
    ae_store_relaxed(&f->records[RELIABLE]->flips, 0);
    assert_int_equal(aether_metrics_find(f->metrics, "market/eur", &f->out), 1);
    assert_int_equal(f->out.evictions, 1);
}

/* No message that waits has a stamp: two readings show that the subscriber doesn't move. */
static void stuck_without_stamps(void **state) {
    struct fixture *f = *state;
    const aether_subscriber_metrics *s;

    publish_all(f);
    receive_all(f);
    s = &read_it(f)->subscribers[1];
    assert_int_equal(s->state, AETHER_SUBSCRIBER_BEHIND);
    backdate(f, BEST_EFFORT, 3 * SECOND);
    s = &read_it(f)->subscribers[1];
    assert_int_equal(s->state, AETHER_SUBSCRIBER_STUCK);
    assert_true(s->age_ns >= 3 * SECOND && s->age_ns != AETHER_UNKNOWN);
    /* It moves between two readings that are a second apart. */
    for (uint64_t next = 1092; next < 1096; next++) {
        backdate(f, BEST_EFFORT, SECOND);
        ae_store_relaxed(&f->records[BEST_EFFORT]->position, next);
        s = &read_it(f)->subscribers[1];
        assert_int_equal(s->state, AETHER_SUBSCRIBER_BEHIND);
        assert_true(s->age_ns == AETHER_UNKNOWN);
    }
    /* All was received in between, and messages wait again since the last reading. */
    ae_store_relaxed(&f->records[BEST_EFFORT]->position, 1100);
    assert_int_equal(read_it(f)->subscribers[1].state, AETHER_SUBSCRIBER_IDLE);
    backdate(f, BEST_EFFORT, 3 * SECOND);
    publish_to(f->log, 1101, 1);
    assert_int_equal(read_it(f)->subscribers[1].state, AETHER_SUBSCRIBER_BEHIND);
    backdate(f, BEST_EFFORT, 3 * SECOND);
    assert_int_equal(read_it(f)->subscribers[1].state, AETHER_SUBSCRIBER_STUCK);
    /* What was received lately had a stamp. */
    ae_store_relaxed(&f->records[BEST_EFFORT]->last_ns, ae_now_ns());
    assert_int_equal(read_it(f)->subscribers[1].state, AETHER_SUBSCRIBER_BEHIND);
    assert_true(f->out.subscribers[1].received_ns < SECOND);
    /* Nobody has received anything in an hour from now. */
    ae_store_relaxed(&f->records[BEST_EFFORT]->last_ns, ae_now_ns() + 3600 * SECOND);
    assert_int_equal(read_it(f)->subscribers[1].state, AETHER_SUBSCRIBER_STUCK);
    assert_true(f->out.subscribers[1].received_ns == AETHER_UNKNOWN);
    ae_store_relaxed(&f->records[BEST_EFFORT]->last_ns, 0);
    /* Another subscriber's grant is in the same record of the registry. */
    f->on.registry.grants[BEST_EFFORT].grant_id = 300;
    ae_store_relaxed(&f->records[BEST_EFFORT]->grant_id, 300);
    assert_int_equal(read_it(f)->subscribers[2].owner.grant_id, 300);
    assert_int_equal(f->out.subscribers[2].state, AETHER_SUBSCRIBER_BEHIND);
}

/* What the next receive counts as lost, because it is no longer in the ring. */
static void overwritten(void **state) {
    struct fixture *f = *state;
    const aether_topic_metrics *out;

    publish_all(f);
    receive_all(f);
    assert_int_equal(read_it(f)->overwritten, 0);
    for (int i = RELIABLE; i <= LATEST; i++) {
        store_account(f->records[i], &(ae_account){.joined = 1000, .next = 1016, .by_position = 1});
        ae_store_relaxed(&f->records[i]->position, 1016); /* the ring has 1036 to 1099 */
    }
    /* A reliable subscriber that reads what was published before its join. A latest one passes over older messages. */
    out = read_it(f);
    assert_int_equal(out->subscribers[0].lag, 84);
    assert_int_equal(out->subscribers[0].overwritten, 20);
    assert_int_equal(out->subscribers[1].overwritten, 20);
    assert_int_equal(out->subscribers[2].lag, 84);
    assert_int_equal(out->subscribers[2].overwritten, 0);
    assert_int_equal(out->overwritten, 40);
    assert_int_equal(out->lost, 0);
    ae_store_relaxed(&f->records[BEST_EFFORT]->position, 1036);
    assert_int_equal(read_it(f)->subscribers[1].overwritten, 0);
    assert_int_equal(f->out.subscribers[1].lag, 64);

    /* Publishers wait for the cursor: if it seems to be farther behind, it was loaded before they claimed. */
    store_account(f->records[RELIABLE], &(ae_account){.joined = 1000, .next = 1016});
    ae_store_relaxed(&f->cursors->records[5].cursor, 1016);
    assert_int_equal(read_it(f)->subscribers[0].overwritten, 0);
    /* Not after they have evicted it. */
    f->topic->geometry.evict_lag = TEST_CAPACITY;
    ae_store_release(&f->log->evict[5], 2ull << 32 | AE_EVICT_LAG);
    assert_int_equal(read_it(f)->subscribers[0].overwritten, 20);
    assert_int_equal(f->out.overwritten, 20);
}

static void latency(void **state) {
    struct fixture *f = *state;
    const aether_topic_metrics *out;

    publish_all(f);
    receive_all(f);
    for (int i = RELIABLE; i <= LATEST; i++) {
        ae_store_relaxed(&f->records[i]->samples, 10);
        ae_store_relaxed(&f->records[i]->missed, 1);
        ae_store_relaxed(&f->records[i]->negative, 2);
        ae_store_relaxed(&f->records[i]->overflow, 3);
        ae_store_relaxed(&f->records[i]->buckets[ae_histogram_index(1000)], 50);
    }
    ae_store_relaxed(&f->records[LATEST]->buckets[AE_HISTOGRAM_BUCKETS - 1], 1);
    out = read_it(f);
    assert_int_equal(out->latency.samples, 30);
    assert_int_equal(out->latency.missed, 3);
    assert_int_equal(out->latency.negative, 6);
    assert_int_equal(out->latency.overflow, 9);
    assert_int_equal(aether_latency_count(&out->latency), 151);
    assert_int_equal(aether_latency_count(&out->subscribers[1].latency), 50);
    assert_true(aether_latency_quantile(&out->latency, 0.5) > 1000 - 1000.0 / 32 &&
                aether_latency_quantile(&out->latency, 0.5) < 1000 + 1000.0 / 32);
    assert_true(aether_latency_quantile(&out->latency, 1) > 4e12);
}

/* Of what programs say of themselves, a reader shows what is possible, and so does aetherd when it folds it. */
static void impossible_counts(void **state) {
    struct fixture *f = *state;
    const uint64_t before = ae_now_ns();
    const aether_topic_metrics *out;

    publish_all(f);
    receive_all(f);
    for (int i = 0; i < HANDLES; i++) {
        f->on.registry.grants[i].granted_ns = before;
        memset(&f->records[i]->full, 0xff, sizeof(ae_stats_record) - offsetof(ae_stats_record, full));
    }
    /* The first subscriber's samples are possible, but not its buckets. */
    ae_store_relaxed(&f->records[RELIABLE]->samples, 3);
    ae_store_relaxed(&f->records[RELIABLE]->negative, 0);
    ae_store_relaxed(&f->records[RELIABLE]->missed, 0);
    /* The last one's are right. */
    memset(&f->records[LATEST]->samples, 0, sizeof(ae_stats_record) - offsetof(ae_stats_record, samples));
    ae_store_relaxed(&f->records[LATEST]->samples, 20);
    ae_store_relaxed(&f->records[LATEST]->buckets[100], 200);
    store_account(f->records[PUBLISHER], &(ae_account){.joined = 1000,
                                                       .next = 1095,
                                                       .messages = 60,
                                                       .stalled_since = 1,
                                                       .stall_ns = UINT64_MAX,
                                                       .batches = UINT64_MAX});
    out = read_it(f);
    const uint64_t lived = ae_now_ns() - before;
    const uint64_t counts[] = {out->full, out->stalls, out->stall_longest, out->retries, out->wakes, out->stall_ns};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        assert_true(counts[i] <= 2 * lived);
    assert_true(out->batches <= lived && out->publishers[0].stall_ns <= lived && out->sleeps <= 3 * lived / 256);
    assert_true(out->woken <= out->sleeps);
    for (size_t i = 0; i < 2; i++) {
        static const aether_latency none;
        assert_memory_equal(&out->subscribers[i].latency, &none, sizeof none);
    }
    assert_int_equal(out->latency.samples, 20);
    assert_int_equal(aether_latency_count(&out->latency), 200);
    /* What was there before the grant isn't its own. */
    assert_int_equal(out->subscribers[2].joined, 1000);
    f->on.registry.grants[LATEST].granted_seq = 1000 + TEST_CAPACITY + 1;
    assert_int_equal(read_it(f)->subscribers[2].next - f->out.subscribers[2].joined, 0);
    assert_int_equal(f->out.latency.samples, 0);
}

/* ---- which publisher waits for which program --------------------------------------------------------------------- */

static void set_waits(struct fixture *f, int handle, uint64_t what, uint64_t record, uint64_t seq) {
    ae_stats_record *r = f->records[handle];
    const uint64_t now = ae_now_ns();

    ae_store_relaxed(&r->waits_since, now - 3 * SECOND);
    ae_store_relaxed(&r->waits_last, now + 3600 * SECOND); /* as if it had just tried, however long the test takes */
    ae_store_relaxed(&r->waits_for, what);
    ae_store_relaxed(&r->waits_record, record);
    ae_store_relaxed(&r->waits_seq, seq);
}

static void waits(void **state) {
    struct fixture *f = *state;
    const uint64_t since = ae_now_ns() - 3 * SECOND;
    const aether_topic_metrics *out;

    publish_all(f);
    receive_all(f);
    set_waits(f, PUBLISHER, AE_WAITS_SUBSCRIBER, 5, 1091);
    set_waits(f, OTHER_PUBLISHER, AE_WAITS_PUBLISHER, 1, 1099);
    store_account(
        f->records[PUBLISHER],
        &(ae_account){.joined = 1000, .next = 1095, .messages = 60, .stall_ns = 5 * SECOND, .stalled_since = since});
    ae_store_relaxed(&f->records[PUBLISHER]->stall_longest, SECOND);
    ae_store_release(ae_slot_tag(f->log, &f->topic->geometry, 1099), ae_tag_busy(1099));
    out = read_it(f);
    assert_int_equal(out->publishers[0].waits, AETHER_WAITS_SUBSCRIBER);
    assert_int_equal(out->publishers[0].waits_subscriber, 0);
    assert_int_equal(out->publishers[0].waits_publisher, -1);
    assert_true(out->publishers[0].waited_ns >= 3 * SECOND && out->publishers[0].tried_ns == 0);
    assert_true(out->publishers[0].stall_ns >= 8 * SECOND && out->publishers[0].stall_longest >= 3 * SECOND);
    assert_true(out->stall_ns >= 8 * SECOND && out->stall_longest == out->publishers[0].stall_longest);
    ae_store_relaxed(&f->records[PUBLISHER]->waits_last, since + SECOND / 4); /* it has given up */
    assert_true(read_it(f)->stall_ns == 5 * SECOND + SECOND / 4 + 2 * SECOND);
    set_waits(f, PUBLISHER, AE_WAITS_SUBSCRIBER, 5, 1091);
    out = read_it(f);
    assert_int_equal(out->publishers[1].waits, AETHER_WAITS_PUBLISHER);
    assert_int_equal(out->publishers[1].waits_publisher, 0);
    assert_int_equal(out->waiting, 2);
    assert_true(out->waited_ns >= 3 * SECOND);
    assert_int_equal(out->subscribers[0].holds_up, 1);
    assert_true(out->subscribers[0].held_up_ns >= 3 * SECOND);
    assert_int_equal(out->subscribers[1].holds_up, 0);

    /* There is room, although the publishers haven't tried again. */
    ae_store_release(&f->cursors->records[5].cursor, 1091);
    commit(f->log, &f->topic->geometry, 1099, AE_KIND_INLINE);
    out = read_it(f);
    assert_int_equal(out->waiting + out->subscribers[0].holds_up + out->waited_ns, 0);
    assert_int_equal(out->publishers[0].waits, AETHER_WAITS_NOT);
    assert_int_equal(out->publishers[1].waits, AETHER_WAITS_NOT);

    /* One that holds room, but isn't in the list. */
    set_waits(f, PUBLISHER, AE_WAITS_LANE, 6, 1095);
    assert_int_equal(read_it(f)->publishers[0].waits, AETHER_WAITS_NOT);
    subscribe(f->cursors, 6, 1090);
    out = read_it(f);
    assert_int_equal(out->publishers[0].waits, AETHER_WAITS_LANE);
    assert_int_equal(out->publishers[0].waits_subscriber, -1);

    /* The subscriber has gone: nothing holds the publisher. */
    set_waits(f, PUBLISHER, AE_WAITS_LANE, 5, 1095);
    ae_store_release(&f->cursors->records[6].cursor, 1095);
    assert_int_equal(read_it(f)->publishers[0].waits_subscriber, 0);
    ae_record_free(&f->on.registry.grants[RELIABLE].state);
    assert_int_equal(read_it(f)->publishers[0].waits, AETHER_WAITS_NOT);

    set_waits(f, PUBLISHER, AE_WAITS_LOANS, 0, 0);
    assert_int_equal(read_it(f)->publishers[0].waits, AETHER_WAITS_NOT);
    ae_store_relaxed(&f->records[PUBLISHER]->loans, 1);
    assert_int_equal(read_it(f)->publishers[0].waits, AETHER_WAITS_LOANS);
    set_waits(f, PUBLISHER, AE_WAITS_CLAIM, 0, 0);
    assert_int_equal(read_it(f)->publishers[0].waits, AETHER_WAITS_CLAIM);
    ae_store_relaxed(&f->records[PUBLISHER]->waits_last, ae_now_ns() - 3 * SECOND); /* it has given up */
    assert_int_equal(read_it(f)->publishers[0].waits, AETHER_WAITS_NOT);
    set_waits(f, PUBLISHER, AE_WAITS_CLAIM + 1, 0, 0);
    assert_int_equal(read_it(f)->publishers[0].waits, AETHER_WAITS_NOT);
    set_waits(f, PUBLISHER, AE_WAITS_SUBSCRIBER, UINT64_MAX, UINT64_MAX);
    assert_int_equal(read_it(f)->publishers[0].waits, AETHER_WAITS_NOT);
}

/* A hostile publisher says that it waits for a program that can't be in its way. */
static void false_accusations(void **state) {
    struct fixture *f = *state;

    publish_all(f);
    receive_all(f);
    /* For a sequence beyond what it can want. The ring has 64 slots: a batch of all of them needs all below 1100. */
    set_waits(f, PUBLISHER, AE_WAITS_SUBSCRIBER, 5, 1101);
    assert_int_equal(read_it(f)->publishers[0].waits, AETHER_WAITS_NOT);
    set_waits(f, PUBLISHER, AE_WAITS_LANE, 5, 1101);
    assert_int_equal(read_it(f)->publishers[0].waits, AETHER_WAITS_NOT);
    set_waits(f, PUBLISHER, AE_WAITS_SUBSCRIBER, 5, 1100);
    assert_int_equal(read_it(f)->publishers[0].waits_subscriber, 0);
    /* Another subscriber is farther behind; also one whose cursor makes no sense, which publishers take for a ring. */
    subscribe(f->cursors, 6, 1080);
    assert_int_equal(read_it(f)->publishers[0].waits, AETHER_WAITS_NOT);
    ae_store_release(&f->cursors->records[6].cursor, 5);
    assert_int_equal(read_it(f)->publishers[0].waits, AETHER_WAITS_NOT);
    ae_store_release(&f->cursors->records[6].cursor, 1099);
    assert_int_equal(read_it(f)->publishers[0].waits_subscriber, 0);
    /* It has received all. */
    ae_store_release(&f->cursors->records[5].cursor, 1100);
    assert_int_equal(read_it(f)->subscribers[0].holds_up, 0);
    /* The named publisher claims something else, or nobody has claimed it yet. */
    set_waits(f, OTHER_PUBLISHER, AE_WAITS_PUBLISHER, 1, 1100);
    assert_int_equal(read_it(f)->publishers[1].waits, AETHER_WAITS_NOT);
    ae_store_release(ae_slot_tag(f->log, &f->topic->geometry, 1094), ae_tag_busy(1094));
    set_waits(f, OTHER_PUBLISHER, AE_WAITS_PUBLISHER, 1, 1094);
    assert_int_equal(read_it(f)->publishers[1].waits, AETHER_WAITS_NOT);
    set_waits(f, PUBLISHER, AE_WAITS_PUBLISHER, 2, 1094);
    assert_int_equal(read_it(f)->publishers[0].waits_publisher, 1);
}

/*
 * A subscriber says that it has received everything, just now, or that publishers don't wait for it, and yet gives no
 * slot free. What a publisher waits for counts.
 */
static void a_holder_hides(void **state) {
    struct fixture *f = *state;
    const aether_subscriber_metrics *s = f->out.subscribers;

    publish_all(f);
    receive_all(f);
    ae_store_release(&f->cursors->records[5].cursor, 1040);
    for (uint64_t by_position = 0; by_position < 2; by_position++) {
        store_account(f->records[RELIABLE],
                      &(ae_account){.joined = 1010, .next = 1100, .bytes = 500, .by_position = by_position});
        ae_store_relaxed(&f->records[RELIABLE]->position, 1100);
        ae_store_relaxed(&f->records[RELIABLE]->last_ns, ae_now_ns() + 3600 * SECOND);
        set_waits(f, PUBLISHER, AE_WAITS_SUBSCRIBER, 5, 1041);
        s = read_it(f)->subscribers;
        assert_int_equal(s->lag, 60);
        assert_true(s->age_ns >= 3 * SECOND && s->age_ns < 3600 * SECOND);
        assert_int_equal(s->state, AETHER_SUBSCRIBER_STUCK);
        assert_int_equal(f->out.stuck, 1);
        assert_int_equal(f->out.lag, 60);
    }
}

/* A hostile publisher sets the claim far ahead: a subscriber that publishers wait for is a ring behind at most. */
static void a_claim_far_ahead(void **state) {
    struct fixture *f = *state;

    publish_all(f);
    receive_all(f);
    ae_store_relaxed(&f->records[RELIABLE]->last_ns, ae_now_ns());
    publish_to(f->log, UINT64_C(1) << 40, 1);
    assert_int_equal(read_it(f)->subscribers[0].lag, TEST_CAPACITY);
    assert_int_equal(f->out.subscribers[0].state, AETHER_SUBSCRIBER_BEHIND);
}

/* If the oldest messages that wait have been overwritten, the age of those that are there isn't theirs. */
static void age_of_overwritten_messages(void **state) {
    struct fixture *f = *state;

    publish_all(f);
    receive_all(f);
    stamp(f, 1036, ae_now_ns() - SECOND / 5);
    store_account(f->records[BEST_EFFORT], &(ae_account){.joined = 1000, .next = 1036, .by_position = 1});
    ae_store_relaxed(&f->records[BEST_EFFORT]->position, 1036);
    assert_true(read_it(f)->subscribers[1].age_ns < SECOND);
    store_account(f->records[BEST_EFFORT], &(ae_account){.joined = 1000, .next = 1035, .by_position = 1});
    ae_store_relaxed(&f->records[BEST_EFFORT]->position, 1035);
    assert_true(read_it(f)->subscribers[1].age_ns == AETHER_UNKNOWN);
    backdate(f, BEST_EFFORT, 33 * SECOND);
    assert_true(read_it(f)->subscribers[1].age_ns >= 33 * SECOND && f->out.subscribers[1].age_ns != AETHER_UNKNOWN);
}

/* Closed while no aetherd runs. A program that says so but holds publishers up, or can publish, isn't believed. */
static void closed_without_aetherd(void **state) {
    struct fixture *f = *state;
    const aether_topic_metrics *out;

    publish_all(f);
    receive_all(f);
    ae_store_relaxed(&f->log->stream.open, 1u << 1 | 1u << 2);
    const aether_topic_metrics before = *read_it(f);
    for (int i = 0; i < HANDLES; i++)
        ae_store_relaxed(&f->records[i]->closed, ae_now_ns() - (uint64_t)(HANDLES - i) * (uint64_t)SECOND);
    out = read_it(f);
    assert_int_equal(out->publisher_count, 2);
    assert_int_equal(out->subscriber_count, 1);
    assert_int_equal(out->departed_count, 2);
    ae_store_relaxed(&f->log->stream.open, 0);
    ae_store_relaxed(&f->cursors->active.active, 0);
    out = read_it(f);
    assert_int_equal(out->publisher_count + out->subscriber_count, 0);
    assert_int_equal(out->departed_count, HANDLES);
    for (size_t i = 0; i < HANDLES; i++) {
        assert_int_equal(out->departed[i].owner.grant_id, 100 + HANDLES - 1 - i); /* the latest first */
        assert_int_equal(out->departed[i].died, 0);
        assert_string_equal(out->departed[i].owner.client, "quotes");
    }
    assert_int_equal(out->departed[4].messages, 65);
    assert_int_equal(out->published, before.published);
    assert_int_equal(out->delivered, before.delivered);
    assert_int_equal(out->lag + out->stuck + out->overwritten, 0);
    /* No time of day is before 1970, and nothing closes later than now. */
    ae_store_relaxed(&f->records[0]->closed, 1);
    ae_store_relaxed(&f->records[1]->closed, UINT64_MAX);
    assert_true(read_it(f)->departed[0].left_ns <= ae_realtime_ns());
    assert_int_equal(f->out.departed[0].owner.grant_id, 101);
}

/* ---- totals ------------------------------------------------------------------------------------------------------ */

/* The totals after the fold of these figures. */
static ae_totals_topic folded(const struct fixture *f, uint64_t grant_id, uint64_t published, uint64_t delivered) {
    ae_totals_topic next = *ae_totals_record(&f->totals, 2);

    next.last_folded = grant_id;
    next.published += published;
    next.delivered += delivered;
    next.accounted += delivered;
    next.publishers_died += published != 0;
    next.subscribers_died += delivered != 0;
    next.departed[next.departed_count++ % AE_DEPARTED_MAX] =
        (ae_departed){.grant_id = grant_id, .role = AE_ROLE_PUBLISHER, .messages = published, .died = 1};
    memset(next.departed[(next.departed_count - 1) % AE_DEPARTED_MAX].client, 'x', 64);
    return next;
}

/* In each step of a fold, and after it, the sum is the same: the figures are in it once. */
static void folds(void **state) {
    struct fixture *f = *state;
    static const uint64_t published[] = {65, 35}, delivered[] = {75};
    ae_totals_topic next;

    publish_all(f);
    receive_all(f);
    for (unsigned handle = PUBLISHER; handle <= RELIABLE; handle++) {
        ae_registry_grant *grant = &f->on.registry.grants[handle];
        next = handle == RELIABLE ? folded(f, grant->grant_id, 0, delivered[0])
                                  : folded(f, grant->grant_id, published[handle], 0);
        if (handle == RELIABLE) {
            next.accounted += 5;
            next.lost[AE_LOST_RETAINED] += 4;
            next.aborted += 1;
        }
        for (unsigned step = 0; step < AE_TOTALS_STEPS; step++) {
            assert_int_equal(read_it(f)->published, 100);
            assert_int_equal(f->out.accounted, 279);
            ae_totals_step(&f->totals, grant, 2, &next, step);
        }
        assert_int_equal(read_it(f)->published, 100);
        assert_int_equal(f->out.accounted, 279);
        assert_int_equal(f->out.departed_count, handle + 1);
        assert_int_equal(f->out.departed[0].owner.grant_id, grant->grant_id);
        assert_int_equal(f->out.departed[0].died, 1);
        assert_int_equal(strlen(f->out.departed[0].owner.client), 63);
        ae_record_free(&grant->state);
        assert_int_equal(read_it(f)->published, 100);
        assert_int_equal(f->out.accounted, 279);
    }
    assert_int_equal(f->out.publishers_died, 2);
    assert_int_equal(f->out.subscribers_died, 1);
    assert_int_equal(f->out.publisher_count, 0);
    assert_int_equal(f->out.subscriber_count, 2);
    for (uint64_t i = 0; i < 20; i++) {
        next = folded(f, 500 + i, 1, 0);
        ae_totals_change(&f->totals, NULL, 2, &next);
    }
    assert_int_equal(read_it(f)->published, 120);
    assert_int_equal(f->out.departed_count, AE_DEPARTED_MAX);
    for (uint64_t i = 0; i < AE_DEPARTED_MAX; i++)
        assert_int_equal(f->out.departed[i].owner.grant_id, 519 - i);
}

/* The topic has no totals yet, or another topic's, or aetherd's are of no use: figures of what is open remain. */
static void without_totals(void **state) {
    struct fixture *f = *state;
    char name[AE_OBJECT_NAME_SIZE];

    publish_all(f);
    ae_totals_reset(&f->totals, 2, TOPIC + 1);
    assert_int_equal(read_it(f)->published, 100);
    aether_metrics_close(f->metrics);
    ae_name_totals(&f->on.instance, name);
    assert_int_equal(ae_segment_remove(name), 0);
    assert_int_equal(aether_metrics_open(&f->metrics, f->on.socket_path), 0);
    assert_int_equal(read_it(f)->published, 100);
    ae_totals_close(&f->totals);
    assert_int_equal(ae_totals_create(&f->totals, &f->on.instance, TOPICS), 0);
    assert_int_equal(ae_totals_allocate(&f->on.instance, &f->totals, 2), 0);
    ae_totals_reset(&f->totals, 2, TOPIC);
    const ae_totals_topic next = folded(f, 900, 7, 0);
    ae_totals_change(&f->totals, NULL, 2, &next);
    assert_int_equal(read_it(f)->published, 107);
}

/* Odd for ever, and the journal is of another topic: the pass ends. */
static void totals_that_never_settle(void **state) {
    struct fixture *f = *state;
    ae_totals_topic next = folded(f, 900, 7, 0);

    publish_all(f);
    for (unsigned step = 0; step <= 3; step++)
        ae_totals_step(&f->totals, NULL, 2, &next, step);
    ae_store_release(&f->totals.header->journal_topic, 1);
    assert_int_equal(read_it(f)->published, 100);
}

/* What aetherd does while the reader reads: after, or instead of, each of the first `count` readings of the totals. */
static struct {
    struct fixture *fixture;
    unsigned count, done;
    bool instead;
} meanwhile;
static ae_registry_topic *removed; /* a topic that it removes before the first reading */

int __real_ae_totals_read(const struct ae_totals *totals, uint32_t t, uint64_t topic_id, ae_totals_topic *copy);
int __wrap_ae_totals_read(const struct ae_totals *totals, uint32_t t, uint64_t topic_id, ae_totals_topic *copy);

/* Folds another grant of the topic each time, at last that of the first publisher. */
int __wrap_ae_totals_read(const struct ae_totals *totals, uint32_t t, uint64_t topic_id, ae_totals_topic *copy) {
    struct fixture *f = meanwhile.fixture;

    if (removed != NULL) {
        ae_record_remove(&removed->state);
        ae_totals_reset(&f->totals, 2, 0);
        removed = NULL;
    }
    if (meanwhile.done >= meanwhile.count)
        return __real_ae_totals_read(totals, t, topic_id, copy);
    const bool last = ++meanwhile.done == meanwhile.count;
    const int rc = meanwhile.instead ? -EAGAIN : __real_ae_totals_read(totals, t, topic_id, copy);
    ae_registry_grant *grant = last ? &f->on.registry.grants[PUBLISHER] : NULL;
    const ae_totals_topic next = last ? folded(f, grant->grant_id, 65, 0) : folded(f, 500 + meanwhile.done, 1, 0);
    ae_totals_change(&f->totals, grant, 2, &next);
    if (last)
        ae_record_free(&grant->state);
    return rc;
}

/* aetherd folds grants faster than the topic can be read. Nothing is left out or counted twice. */
static void folds_in_each_try(void **state) {
    struct fixture *f = *state;
    const unsigned counts[] = {1, 2, 8, 20, 500};
    uint64_t id = f->on.registry.grants[PUBLISHER].grant_id;

    f->on.registry.grants[OTHER_PUBLISHER].grant_id = 400;
    ae_store_relaxed(&f->records[OTHER_PUBLISHER]->grant_id, 400);
    receive_all(f);
    publish_all(f);
    for (int instead = 0; instead < 2; instead++) {
        for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
            const uint64_t before = read_it(f)->published;
            assert_int_equal(f->out.publisher_count, 2);
            meanwhile.fixture = f;
            meanwhile.instead = instead != 0;
            meanwhile.done = 0;
            meanwhile.count = counts[i];
            assert_int_equal(read_it(f)->published, before + counts[i] - 1);
            assert_int_equal(f->out.accounted, 279);
            assert_int_equal(f->out.publisher_count, 1);
            assert_int_equal(f->out.publishers[0].owner.grant_id, 400);
            assert_int_equal(f->out.departed[0].owner.grant_id, id);
            assert_int_equal(meanwhile.done, counts[i]);
            add_grant(&f->on, PUBLISHER, TOPIC, CLIENT, AE_ROLE_PUBLISHER, 1);
            f->on.registry.grants[PUBLISHER].grant_id = id += 1000;
            ae_store_relaxed(&f->records[PUBLISHER]->grant_id, id);
        }
    }
    /* It folds without end. */
    meanwhile.done = 0;
    meanwhile.count = UINT32_MAX;
    assert_int_equal(aether_metrics_find(f->metrics, "market/eur", &f->out), -EAGAIN);
    assert_non_null(strstr(aether_errmsg(), "market/eur"));
    assert_int_equal(aether_metrics_begin(f->metrics, NULL), 0);
    assert_int_equal(aether_metrics_next(f->metrics, &f->out), -EAGAIN);
    assert_int_equal(aether_metrics_next(f->metrics, &f->out), 0); /* the pass goes on behind the topic */
    meanwhile.count = 0;
}

/* aetherd removes the topic while it is read. */
static void removed_meanwhile(void **state) {
    struct fixture *f = *state;

    publish_all(f);
    for (int i = 0; i < HANDLES; i++)
        ae_record_free(&f->on.registry.grants[i].state);
    const ae_totals_topic next = folded(f, 900, 7, 0);
    ae_totals_change(&f->totals, NULL, 2, &next);
    assert_int_equal(aether_metrics_begin(f->metrics, NULL), 0);
    assert_int_equal(read_it(f)->published, 7);
    meanwhile.fixture = f;
    removed = f->topic;
    assert_int_equal(aether_metrics_next(f->metrics, &f->out), 0);
    assert_int_equal(aether_metrics_find(f->metrics, "market/eur", &f->out), 0);
}

/* ---- objects that are missing, small, or another's ------------------------------------------------------------- */

static void other_records(void **state) {
    struct fixture *f = *state;
    const aether_topic_metrics *out;

    publish_all(f);
    receive_all(f);
    ae_store_relaxed(&f->records[PUBLISHER]->grant_id, 999);
    f->records[OTHER_PUBLISHER]->role = AE_ROLE_BEST_EFFORT;
    f->records[RELIABLE]->topic_id = 8;
    f->on.registry.grants[BEST_EFFORT].stats = GRANTS - 1; /* never used */
    ae_store_relaxed(&f->records[LATEST]->flips, 0);
    out = read_it(f);
    assert_int_equal(out->publisher_count, 2);
    assert_int_equal(out->subscriber_count, 3);
    assert_int_equal(out->published + out->delivered + out->accounted, 0);
    assert_int_equal(out->publishers[0].next, 1100);
    assert_int_equal(out->subscribers[0].lag, 10); /* its cursor is in the topic's objects */
    assert_int_equal(out->subscribers[1].lag, 0);
}

static void lost_objects(void **state) {
    struct fixture *f = *state;
    char name[AE_OBJECT_NAME_SIZE];

    publish_all(f);
    receive_all(f);
    ae_name_log(&f->on.instance, TOPIC, name);
    ae_segment_remove(name);
    ae_name_cursors(&f->on.instance, TOPIC, name);
    ae_segment_remove(name);
    assert_int_equal(read_it(f)->published, 0);
    assert_int_equal(f->out.publisher_count, 2);
    assert_int_equal(f->out.info.next_seq, 1000);
    ae_name_stats(&f->on.instance, CLIENT, name);
    ae_segment_remove(name);
    ae_segment_unmap(add_object(name, AE_PAGE / 2, AE_PAGE / 2), AE_PAGE / 2);
    aether_metrics_close(f->metrics);
    assert_int_equal(aether_metrics_open(&f->metrics, f->on.socket_path), 0);
    assert_int_equal(read_it(f)->subscriber_count, 3);
}

/*
 * A second client cuts or enlarges its statistics, of which the test has mapped nothing. Its own figures are missing or
 * as they were; those of the others are right, whether its object was open before or is opened now.
 */
static void resized_statistics(void **state) {
    static const uint64_t sizes[] = {0, AE_PAGE, AE_STATS_RECORDS_OFF + AE_STATS_RECORD + 8, 1ull << 46};
    struct fixture *f = *state;
    char name[AE_OBJECT_NAME_SIZE], path[sizeof name + 16];
    ae_stats_header *stats = add_stats(&f->on, CLIENT + 1);

    f->on.registry.grants[LATEST].client_id = CLIENT + 1;
    f->on.registry.grants[LATEST].stats = 1;
    ae_stats_record *record = stats_record(&f->on, stats, LATEST);
    record->role = AE_ROLE_BEST_EFFORT;
    store_account(record, &(ae_account){.joined = 1000, .next = 1100, .by_position = 1});
    ae_store_relaxed(&record->samples, 5);
    ae_segment_unmap(stats, AE_STATS_RECORDS_OFF + GRANTS * AE_STATS_RECORD);
    publish_all(f);
    receive_all(f);
    ae_name_stats(&f->on.instance, CLIENT + 1, name);
    snprintf(path, sizeof path, "/dev/shm%s", name);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        aether_metrics *before = f->metrics;
        assert_int_equal(truncate(path, AE_STATS_RECORDS_OFF + GRANTS * AE_STATS_RECORD), 0);
        assert_int_equal(aether_metrics_begin(before, NULL), 0);
        assert_int_equal(aether_metrics_next(before, &f->out), 1);
        assert_int_equal(truncate(path, (off_t)sizes[i]), 0);
        assert_int_equal(aether_metrics_open(&f->metrics, f->on.socket_path), 0);
        for (int now = 0; now < 2; now++) {
            assert_int_equal(read_it(f)->published, 100);
            assert_int_equal(f->out.subscriber_count, 3);
            assert_int_equal(f->out.subscribers[0].delivered, 75);
            assert_int_equal(f->out.subscribers[1].delivered, 74);
            assert_int_equal(aether_latency_count(&f->out.subscribers[2].latency), 0);
            if (now == 0)
                aether_metrics_close(f->metrics);
            f->metrics = before;
        }
    }
}

/* 0: no further descriptor can be opened. Returns the former limit. */
static rlim_t limit_descriptors(rlim_t limit) {
    struct rlimit now;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &now), 0);
    const rlim_t before = now.rlim_cur;
    now.rlim_cur = limit;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    return before;
}

/* Where no descriptor is left, nothing is taken for an object that isn't there. */
static void without_descriptors(void **state) {
    struct fixture *f = *state;
    aether_client_metrics client;
    uint32_t cursor = 0;

    publish_all(f);
    receive_all(f);
    const ae_totals_topic next = folded(f, 900, 7, 0);
    ae_totals_change(&f->totals, NULL, 2, &next);
    const rlim_t before = limit_descriptors(0);
    assert_int_equal(aether_metrics_begin(f->metrics, NULL), -EMFILE); /* the totals */
    assert_int_equal(aether_metrics_find(f->metrics, "market/eur", &f->out), -EMFILE);
    assert_int_equal(aether_metrics_client(f->metrics, &cursor, &client), -EMFILE);
    limit_descriptors(before);
    assert_int_equal(aether_metrics_begin(f->metrics, NULL), 0);
    limit_descriptors(0);
    assert_int_equal(aether_metrics_next(f->metrics, &f->out), -EMFILE); /* the log */
    assert_non_null(strstr(aether_errmsg(), "log"));
    assert_int_equal(aether_metrics_next(f->metrics, &f->out), 0);
    assert_int_equal(aether_metrics_find(f->metrics, "market/eur", &f->out), -EMFILE);
    limit_descriptors(before);
    assert_int_equal(aether_metrics_begin(f->metrics, NULL), 0);
    assert_int_equal(aether_metrics_next(f->metrics, &f->out), 1);
    assert_int_equal(f->out.published, 107);
    /* What is open already is enough. */
    limit_descriptors(0);
    assert_int_equal(read_it(f)->published, 107);
    assert_int_equal(f->out.delivered, 75 + 74 + 20);
    /* Only the statistics can't be opened. */
    ae_mappings_clear(&f->metrics->clients);
    limit_descriptors(0);
    assert_int_equal(aether_metrics_find(f->metrics, "market/eur", &f->out), -EMFILE);
    assert_non_null(strstr(aether_errmsg(), "stats"));
    limit_descriptors(before);
    assert_int_equal(read_it(f)->published, 107);
}

/* A killed aetherd's totals were removed; the next one has made new ones beside the same registry. */
static void other_totals(void **state) {
    struct fixture *f = *state;
    char name[AE_OBJECT_NAME_SIZE];

    publish_all(f);
    ae_totals_topic next = folded(f, 900, 7, 0);
    ae_totals_change(&f->totals, NULL, 2, &next);
    assert_int_equal(read_it(f)->published, 107);
    ae_name_totals(&f->on.instance, name);
    assert_int_equal(ae_segment_remove(name), 0);
    assert_int_equal(read_it(f)->published, 107); /* there are no others yet */
    ae_totals_close(&f->totals);
    assert_int_equal(ae_totals_create(&f->totals, &f->on.instance, TOPICS), 0);
    assert_int_equal(ae_totals_allocate(&f->on.instance, &f->totals, 2), 0);
    ae_totals_reset(&f->totals, 2, TOPIC);
    next = folded(f, 901, 3, 0);
    ae_totals_change(&f->totals, NULL, 2, &next);
    assert_int_equal(read_it(f)->published, 103);
    assert_int_equal(f->out.departed[0].owner.grant_id, 901);
}

/* The registry is another one: the pass shows that, and what was mapped of the old one isn't used. */
static void another_registry(void **state) {
    struct fixture *f = *state;
    struct ae_registry old = f->on.registry;
    aether_instance_metrics instance;
    char name[AE_OBJECT_NAME_SIZE];

    publish_all(f);
    assert_int_equal(aether_metrics_begin(f->metrics, &instance), 0);
    assert_int_equal(aether_metrics_next(f->metrics, &f->out), 1);
    ae_name_registry(&f->on.instance, name);
    assert_int_equal(ae_segment_remove(name), 0);
    assert_int_equal(aether_metrics_begin(f->metrics, &instance), 0); /* there is none */
    assert_int_equal(instance.daemon.topics, 1);
    assert_int_equal(ae_registry_create(&f->on.registry, &f->on.instance, TOPICS * 2, CLIENTS, GRANTS), 0);
    assert_int_equal(aether_metrics_begin(f->metrics, &instance), 0);
    assert_int_equal(instance.daemon.topics, 0);
    assert_int_equal(instance.daemon.topics_max, TOPICS * 2);
    assert_int_equal(aether_metrics_next(f->metrics, &f->out), 0);
    ae_name_log(&f->on.instance, TOPIC, name);
    ae_segment_remove(name);
    ae_registry_topic *topic = add_topic(&f->on, TOPICS, TOPIC, "other", 5);
    ae_log *log = add_log(&f->on, topic);
    publish_to(log, 25, 0);
    assert_int_equal(aether_metrics_find(f->metrics, "other", &f->out), 1);
    assert_int_equal(f->out.info.messages, 20);
    ae_segment_unmap(log, topic->geometry.log_bytes);
    f->topic = topic; /* of the same size as the old one */
    ae_registry_close(&old);
}

static void open_errors(void **state) {
    struct fixture *f = *state;
    aether_metrics *metrics;
    char path[128];

    snprintf(path, sizeof path, "%s/other.sock", f->on.directory);
    assert_int_equal(aether_metrics_open(&metrics, path), -ENOENT);
    assert_null(metrics);
    assert_non_null(strstr(aether_errmsg(), path));
    f->on.registry.header->layout_major++;
    assert_int_equal(aether_metrics_open(&metrics, f->on.socket_path), -EPROTO);
    assert_non_null(strstr(aether_errmsg(), f->on.socket_path));
    f->on.registry.header->layout_major--;
    aether_metrics_close(NULL);
}

/* ---- hostile values ---------------------------------------------------------------------------------------------- */

static uint64_t next_random(uint64_t *state) {
    *state = *state * 6364136223846793005ull + 1442695040888963407ull;
    return *state >> 3 ^ *state << 29;
}

/* Any word, but often one near what makes sense. */
static uint64_t draw(uint64_t *state) {
    const uint64_t value = next_random(state);

    switch (next_random(state) % 8) {
    case 0:
        return 0;
    case 1:
        return UINT64_MAX - value % 3;
    case 2:
        return 1000 + value % 200;
    case 3:
        return (1000 + value % 200) << 16 | (value >> 32 & 0xffff);
    case 4:
        return ae_now_ns() - SECOND + value % (2 * SECOND);
    case 5:
        return value % 70;
    default:
        return value;
    }
}

static void scramble(void *base, size_t bytes, uint64_t *random, unsigned one_in) {
    ae_u64 *words = base;

    for (size_t i = 0; i < bytes / sizeof *words; i++) {
        if (next_random(random) % one_in == 0)
            ae_store_relaxed(&words[i], draw(random));
    }
}

static void check_in_range(const aether_topic_metrics *out) {
    for (size_t i = 0; i < out->publisher_count; i++) {
        const aether_publisher_metrics *p = &out->publishers[i];
        assert_true(p->waits_subscriber < (int32_t)out->subscriber_count && p->waits_subscriber >= -1);
        assert_true(p->waits_publisher < (int32_t)out->publisher_count && p->waits_publisher >= -1);
        assert_true(p->waits <= AETHER_WAITS_CLAIM && p->lane_used <= p->lane_bytes);
        assert_true(p->joined <= p->next && p->next - 1000 <= INT64_MAX);
    }
    for (size_t i = 0; i < out->subscriber_count; i++) {
        const aether_subscriber_metrics *s = &out->subscribers[i];
        const double quantile = aether_latency_quantile(&s->latency, 0.99);
        assert_true(s->state <= AETHER_SUBSCRIBER_EVICTED && s->policy <= AETHER_LATEST && s->evictions <= 1);
        assert_true(s->holds_up <= out->publisher_count && s->lag <= INT64_MAX);
        assert_true(quantile >= -1 && quantile < 5e12);
    }
    assert_true(memchr(out->info.name, '\0', sizeof out->info.name) != NULL);
}

/*
 * Whatever programs write into what they may write, a pass ends, and every figure is in its range. Also the identity of
 * the records, which aetherd writes, is random now and then.
 */
static void hostile(void **state) {
    struct fixture *f = *state;
    const size_t slots = f->topic->geometry.lanes_off - sizeof f->log->header;
    uint64_t random = 42;

    publish_all(f);
    receive_all(f);
    for (unsigned round = 0; round < 3000; round++) {
        const unsigned one_in = 1u + round % 50;
        scramble(&f->log->claim, slots, &random, one_in * 8);
        scramble(&f->cursors->active, sizeof *f->cursors - sizeof f->cursors->header, &random, one_in);
        for (int i = 0; i < HANDLES; i++)
            scramble(&f->records[i]->position, sizeof(ae_stats_record) - AE_BLOCK, &random, one_in);
        if (round % 100 == 99)
            scramble(f->records[round % HANDLES], AE_BLOCK, &random, 1);
        if (round % 7 == 0) { /* accounts that make sense, beside all that */
            store_account(f->records[RELIABLE], &(ae_account){.joined = 1000, .next = 1000 + round % 100});
            store_account(f->records[PUBLISHER], &(ae_account){.joined = 1000, .next = 1000, .messages = 0});
        }
        check_in_range(read_it(f));
    }
}

/* What aetherd writes may be damaged, too. */
static void damaged_totals(void **state) {
    struct fixture *f = *state;
    ae_totals_topic *record = (ae_totals_topic *)(uintptr_t)ae_totals_record(&f->totals, 2);
    uint64_t random = 7;

    publish_all(f);
    receive_all(f);
    for (unsigned round = 0; round < 300; round++) {
        scramble(record, sizeof *record, &random, 1 + round % 20);
        scramble(&f->totals.header->journal_topic, AE_TOTALS_RECORDS_OFF - offsetof(ae_totals_header, journal_topic),
                 &random, 1 + round % 20);
        record->topic_id = TOPIC;
        assert_int_equal(aether_metrics_find(f->metrics, "market/eur", &f->out), 1);
        check_in_range(&f->out);
        assert_true(f->out.departed_count <= AE_DEPARTED_MAX);
    }
}

/* ---- parts ------------------------------------------------------------------------------------------------------- */

/*
 * The state of a process is found behind a name that looks like one. A process that isn't there, or is younger than the
 * client, isn't the client's: then its token says whether that lives.
 */
static void process_states(void **state) {
    struct fixture *f = *state;
    ae_registry_client *client = &f->on.registry.clients[1];
    char name[AE_OBJECT_NAME_SIZE];
    int status, token;
    const pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        prctl(PR_SET_NAME, ") R (x) S");
        raise(SIGSTOP);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    client->pid = (uint32_t)child;
    client->created_mono_ns = ae_now_ns();
    assert_int_equal(read_it(f)->publishers[0].owner.process, 'T');
    client->created_mono_ns -= UINT64_C(3600000000000);
    assert_int_equal(read_it(f)->publishers[0].owner.process, 'X');
    ae_name_token(&f->on.instance, CLIENT, name);
    assert_true((token = ae_token_create(name)) >= 0);
    assert_int_equal(read_it(f)->publishers[0].owner.process, '?');
    client->created_mono_ns += UINT64_C(3600000000000);
    kill(child, SIGKILL);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    assert_int_equal(read_it(f)->publishers[0].owner.process, 'Z');
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(read_it(f)->publishers[0].owner.process, '?');
    ae_close(&token);
    assert_int_equal(read_it(f)->publishers[0].owner.process, 'X');
    assert_int_equal(ae_segment_remove(name), 0);
}

static struct ae_mapping take(struct ae_mappings *mappings, struct fixture *f, uint64_t id) {
    struct ae_object_source source = {.instance = f->on.instance, .control = {.sock = -1}};
    struct ae_mapping mapping;

    assert_int_equal(ae_mappings_take(mappings, &source, AE_LOOK_STATS, id, ae_record_file_bytes(GRANTS), 0, &mapping),
                     0);
    assert_null(mapping.base);
    return mapping;
}

static uint64_t client_of(const struct ae_mapping *mapping) {
    ae_stats_header header;

    assert_int_equal(pread(mapping->fd, &header, sizeof header, 0), sizeof header);
    return header.client_id;
}

static void bounded_descriptors(void **state) {
    struct fixture *f = *state;
    struct ae_mappings mappings;
    struct ae_mapping mapping;
    char name[AE_OBJECT_NAME_SIZE];
    int first;

    for (uint64_t id = 60; id < 70; id++)
        ae_segment_unmap(add_stats(&f->on, id), AE_STATS_RECORDS_OFF + GRANTS * AE_STATS_RECORD);
    assert_int_equal(ae_mappings_init(&mappings, 4), 0);
    ae_mappings_begin(&mappings);
    for (uint64_t id = 60; id < 70; id++) {
        mapping = take(&mappings, f, id);
        assert_int_equal(client_of(&mapping), id);
        assert_int_equal(mapping.kept, id < 64);
        ae_mappings_drop(&mapping);
        assert_int_equal(mapping.fd, -1);
    }
    assert_int_equal(take(&mappings, f, 99).fd, -1);
    mapping = take(&mappings, f, 61);
    first = mapping.fd;
    ae_name_stats(&f->on.instance, 61, name);
    ae_segment_remove(name);
    assert_int_equal(take(&mappings, f, 61).fd, first);
    ae_mappings_begin(&mappings); /* 60 to 63 were used */
    assert_int_equal(take(&mappings, f, 61).fd, first);
    mapping = take(&mappings, f, 69);
    assert_false(mapping.kept);
    ae_mappings_drop(&mapping);
    ae_mappings_begin(&mappings); /* only 61 was used */
    assert_int_equal(mappings.count, 1);
    assert_true(take(&mappings, f, 69).kept);
    ae_mappings_begin(&mappings);
    assert_int_equal(take(&mappings, f, 61).fd, -1);
    ae_mappings_clear(&mappings);
    assert_int_equal(mappings.count, 0);
    ae_mappings_close(&mappings);
}

static size_t size_of(aether_scope scope) {
    static const size_t sizes[] = {sizeof(aether_instance_metrics), sizeof(aether_topic_metrics),
                                   sizeof(aether_publisher_metrics), sizeof(aether_subscriber_metrics),
                                   sizeof(aether_client_metrics)};

    assert_true(scope < sizeof sizes / sizeof sizes[0]);
    return sizes[scope];
}

static void check_row(const aether_metric *m) {
    const size_t len = strlen(m->name), help = strlen(m->help);

    assert_true(len > 0 && len < 30 && help > 5 && m->help[help - 1] == '.' && !islower((unsigned char)m->help[0]));
    for (size_t i = 0; i < len; i++)
        assert_true(islower((unsigned char)m->name[i]) || (m->name[i] == '_' && i > 0 && i < len - 1));
    assert_null(strstr(m->name, "_total"));
    assert_null(strstr(m->name, "bytes"));
    assert_null(strstr(m->name, "_ns"));
    assert_int_equal(m->label != NULL, m->label_value != NULL);
    if (m->kind == AETHER_HISTOGRAM)
        assert_int_equal(m->size, sizeof(aether_latency));
    else
        assert_true(m->size == 4 || m->size == 8);
    assert_true(m->offset % m->size == 0 || m->kind == AETHER_HISTOGRAM);
    assert_true(m->offset + m->size <= size_of(m->scope));
}

/* Ordered; the rows of one name and unit follow one another, are of one kind, and have the same label. */
static void table(void **state) {
    size_t count;
    const aether_metric *metrics = aether_metrics_table(&count);

    (void)state;
    assert_true(count > 50);
    for (size_t i = 0; i < count; i++)
        check_row(&metrics[i]);
    for (size_t i = 1; i < count; i++) {
        const aether_metric *a = &metrics[i - 1], *b = &metrics[i];
        const int order = strcmp(a->name, b->name);
        assert_true(a->scope < b->scope || (a->scope == b->scope && order <= 0));
        if (a->scope != b->scope || order != 0)
            continue;
        if (a->unit != b->unit) {
            assert_true(a->unit < b->unit);
            continue;
        }
        assert_true(a->kind == b->kind && a->label != NULL && b->label != NULL);
        assert_string_equal(a->label, b->label);
        assert_string_equal(a->help, b->help);
        assert_true(strcmp(a->label_value, b->label_value) < 0);
    }
}

static void values(void **state) {
    aether_topic_metrics topic = {.published = 5, .info.publishers = 7, .lost_by = {1, 2, 3, 4}};
    size_t count;
    const aether_metric *metrics = aether_metrics_table(&count);
    unsigned seen = 0;

    (void)state;
    for (size_t i = 0; i < count; i++) {
        const aether_metric *m = &metrics[i];
        if (m->scope != AETHER_SCOPE_TOPIC || m->kind == AETHER_HISTOGRAM)
            continue;
        if (strcmp(m->name, "published") == 0 && m->unit == AETHER_UNIT_MESSAGES) {
            assert_int_equal(aether_metric_value(m, &topic), 5);
            seen++;
        } else if (strcmp(m->name, "publishers") == 0) {
            assert_int_equal(aether_metric_value(m, &topic), 7);
            seen++;
        } else if (strcmp(m->name, "lost") == 0) {
            for (aether_lost reason = AETHER_LOST_RING; reason <= AETHER_LOST_EVICTED; reason++) {
                if (strcmp(aether_lost_name(reason), m->label_value) == 0)
                    assert_int_equal(aether_metric_value(m, &topic), reason + 1);
            }
            seen++;
        }
    }
    assert_int_equal(seen, 2 + AETHER_LOST_REASONS);
}

static void words(void **state) {
    (void)state;
    assert_string_equal(aether_state_name(AETHER_SUBSCRIBER_STUCK), "stuck");
    assert_string_equal(aether_waits_name(AETHER_WAITS_SUBSCRIBER), "subscriber");
    assert_string_equal(aether_lost_name(AETHER_LOST_RING), "ring");
    assert_string_equal(aether_state_name((aether_subscriber_state)9), "?");
    assert_string_equal(aether_waits_name((aether_waits)9), "?");
    assert_string_equal(aether_lost_name((aether_lost)9), "?");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(empty),
        TEST(instance_and_clients),
        TEST(daemon_states),
        TEST(publishers),
        TEST(subscribers),
        TEST(states),
        TEST(evictions),
        TEST(stuck_without_stamps),
        TEST(false_accusations),
        TEST(a_holder_hides),
        TEST(a_claim_far_ahead),
        TEST(age_of_overwritten_messages),
        TEST(closed_without_aetherd),
        TEST(overwritten),
        TEST(stuck_of_each_policy),
        TEST(latency),
        TEST(impossible_counts),
        TEST(waits),
        TEST(folds),
        TEST(without_totals),
        TEST(totals_that_never_settle),
        TEST(folds_in_each_try),
        TEST(removed_meanwhile),
        TEST(other_records),
        TEST(lost_objects),
        TEST(resized_statistics),
        TEST(without_descriptors),
        TEST(other_totals),
        TEST(another_registry),
        TEST(open_errors),
        TEST(hostile),
        TEST(damaged_totals),
        TEST(process_states),
        TEST(bounded_descriptors),
        cmocka_unit_test(table),
        cmocka_unit_test(values),
        cmocka_unit_test(words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
