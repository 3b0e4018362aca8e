/* SPDX-License-Identifier: Apache-2.0 */
/* inspect_test.c - the inspector on objects that the test creates: sound, damaged and missing objects. */
#include "client/instance_test.h"
#include "base/clock.h"
#include <aether/aether.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define TOPICS 4u
#define CLIENTS 4u
#define GRANTS 16u
#define CAPACITY TEST_CAPACITY
#define CHANGES 300u
#define MS 1000000ull

struct fixture {
    struct test_instance on;
    aether_inspector *inspector;
    unsigned seen; /* number of changes that the inspecting thread has seen */
};

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    test_instance_create(&f->on, TOPICS, CLIENTS, GRANTS);
    assert_int_equal(aether_inspect_open(&f->inspector, f->on.socket_path), 0);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;

    aether_inspect_close(f->inspector);
    test_instance_remove(&f->on);
    free(f);
    return 0;
}

/* ---- cases ------------------------------------------------------------------------------------------------------- */

static void empty(void **state) {
    struct fixture *f = *state;
    aether_daemon_info daemon;
    aether_topic_info topic;
    aether_peer_info peer;
    uint32_t cursor = 0;

    assert_int_equal(aether_inspect_daemon(f->inspector, &daemon), 0);
    assert_int_equal(daemon.running, 0);
    assert_int_equal(daemon.pid, getpid());
    assert_int_equal(daemon.topics_max, TOPICS);
    assert_int_equal(daemon.topics + daemon.clients, 0);
    assert_int_equal(daemon.memory_bytes, 0);
    assert_int_equal(aether_inspect_topic(f->inspector, &cursor, &topic), 0);
    assert_int_equal(aether_inspect_topic(f->inspector, &cursor, &topic), 0);
    assert_int_equal(aether_inspect_find(f->inspector, "a", &topic), 0);
    assert_int_equal(aether_inspect_find(f->inspector, "", &topic), 0);
    cursor = 0;
    assert_int_equal(aether_inspect_peer(f->inspector, 1, &cursor, &peer), 0);
}

static void running(void **state) {
    struct fixture *f = *state;
    aether_daemon_info daemon;
    int lock;

    assert_int_equal(ae_instance_lock(&f->on.instance, &lock), 0);
    assert_int_equal(aether_inspect_daemon(f->inspector, &daemon), 0);
    assert_int_equal(daemon.running, 1);
    close(lock);
    assert_int_equal(aether_inspect_daemon(f->inspector, &daemon), 0);
    assert_int_equal(daemon.running, 0);
}

/* A topic with a publisher, and a reliable and a best-effort subscriber. */
static void add_busy_topic(struct fixture *f) {
    ae_registry_topic *topic = add_topic(&f->on, 2, 7, "market/eur", 1000);
    ae_log *log = add_log(&f->on, topic);
    ae_cursors *cursors = add_cursors(&f->on, topic);
    ae_stats_header *stats = add_stats(&f->on, 50);
    aether_topic_info info;

    add_client(&f->on, 1, 50, "quotes", 4242);
    add_grant(&f->on, 3, 7, 50, AE_ROLE_RELIABLE, 5);
    add_grant(&f->on, 4, 7, 50, AE_ROLE_PUBLISHER, 1);
    add_grant(&f->on, 5, 7, 51, AE_ROLE_BEST_EFFORT, 0);
    add_grant(&f->on, 6, 8, 50, AE_ROLE_PUBLISHER, 0); /* of another topic */
    publish_to(log, 1100, 1);
    for (uint64_t seq = 1095; seq < 1100; seq++)
        commit(log, &topic->geometry, seq, AE_KIND_INLINE);
    ae_stats_record *publisher = stats_record(&f->on, stats, 4), *subscriber = stats_record(&f->on, stats, 3);
    ae_store_relaxed(&publisher->full, 3);
    store_account(publisher, &(ae_account){.joined = 1000, .next = 1050, .messages = 50});
    ae_store_relaxed(&log->publishers[1].intent, ae_intent(1095, 5));
    /* Granted, but not joined yet: no publisher waits for this subscriber, and it may miss what is published now. */
    assert_int_equal(aether_inspect_find(f->inspector, "market/eur", &info), 1);
    assert_int_equal(info.reliable, 0);
    subscribe(cursors, 5, 1090);
    store_account(subscriber, &(ae_account){.joined = 1010, .next = 1080, .lost = {2}, .gaps = 1, .aborted = 1});
    ae_segment_unmap(log, topic->geometry.log_bytes);
    ae_segment_unmap(cursors, topic->geometry.cursors_bytes);
}

static void figures_of_a_topic(void **state) {
    struct fixture *f = *state;
    const ae_geometry *geometry = &f->on.registry.topics[2].geometry;
    aether_topic_info info;
    uint32_t cursor = 0;

    add_busy_topic(f);
    assert_int_equal(aether_inspect_topic(f->inspector, &cursor, &info), 1);
    assert_int_equal(info.id, 7);
    assert_string_equal(info.name, "market/eur");
    assert_int_equal(info.created_ns, 1007);
    assert_int_equal(info.start_seq, 1000);
    assert_int_equal(info.next_seq, 1100);
    assert_int_equal(info.messages, 100);
    assert_int_equal(info.capacity, CAPACITY);
    assert_int_equal(info.slot_size, 112);
    assert_int_equal(info.max_message, 100);
    assert_int_equal(info.memory_bytes, geometry->log_bytes + geometry->cursors_bytes + AE_NOTES_BYTES);
    assert_int_equal(info.publishers, 1);
    assert_int_equal(info.reliable, 1);
    assert_int_equal(info.best_effort, 1);
    assert_int_equal(info.full, 3);
    assert_int_equal(info.max_lag, 10);
    assert_int_equal(aether_inspect_topic(f->inspector, &cursor, &info), 0);
    assert_int_equal(aether_inspect_find(f->inspector, "market/eur", &info), 1);
    assert_int_equal(aether_inspect_find(f->inspector, "market", &info), 0);
}

static void figures_of_peers(void **state) {
    struct fixture *f = *state;
    aether_peer_info peer;
    uint32_t cursor = 0;

    add_busy_topic(f);
    assert_int_equal(aether_inspect_peer(f->inspector, 7, &cursor, &peer), 1);
    assert_int_equal(peer.role, AETHER_ROLE_RELIABLE);
    assert_int_equal(peer.pid, 4242);
    assert_int_equal(peer.client_id, 50);
    assert_string_equal(peer.client, "quotes");
    assert_int_equal(peer.joined, 1010);
    assert_int_equal(peer.next, 1090);
    assert_int_equal(peer.lag, 10);
    assert_int_equal(peer.lost, 2);
    assert_int_equal(peer.aborted, 1);
    assert_int_equal(aether_inspect_peer(f->inspector, 7, &cursor, &peer), 1);
    assert_int_equal(peer.role, AETHER_ROLE_PUBLISHER);
    assert_int_equal(peer.next, 1100);
    assert_int_equal(peer.full, 3);
    assert_int_equal(aether_inspect_peer(f->inspector, 7, &cursor, &peer), 1);
    assert_int_equal(peer.role, AETHER_ROLE_BEST_EFFORT);
    assert_int_equal(peer.pid, 0); /* there is no client 51 */
    assert_string_equal(peer.client, "");
    assert_int_equal(aether_inspect_peer(f->inspector, 7, &cursor, &peer), 0);
}

/* Where no descriptor is left, nothing is taken for an object that isn't there. A client may cut its statistics. */
static void unreadable_objects(void **state) {
    struct fixture *f = *state;
    ae_registry_topic *topic = add_topic(&f->on, 2, 7, "market/eur", 1000);
    ae_log *log = add_log(&f->on, topic);
    ae_cursors *cursors = add_cursors(&f->on, topic);
    ae_stats_header *stats = add_stats(&f->on, 50);
    char name[AE_OBJECT_NAME_SIZE], path[sizeof name + 16];
    struct rlimit limit, none;
    aether_topic_info info;
    aether_peer_info peer;
    uint32_t cursor = 0;

    add_grant(&f->on, 3, 7, 50, AE_ROLE_RELIABLE, 5);
    add_grant(&f->on, 4, 7, 50, AE_ROLE_PUBLISHER, 1);
    publish_to(log, 1100, 1);
    subscribe(cursors, 5, 1090);
    store_account(stats_record(&f->on, stats, 3), &(ae_account){.joined = 1010, .next = 1080, .lost = {2}, .gaps = 1});
    store_account(stats_record(&f->on, stats, 4), &(ae_account){.joined = 1000, .next = 1000});
    ae_store_relaxed(&stats_record(&f->on, stats, 4)->full, 3);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_int_equal(aether_inspect_topic(f->inspector, &cursor, &info), -EMFILE);
    assert_int_equal(aether_inspect_topic(f->inspector, &cursor, &info), 0); /* the list goes on */
    assert_int_equal(aether_inspect_changed(f->inspector, 0), 1);            /* but it isn't complete */
    assert_int_equal(aether_inspect_find(f->inspector, "market/eur", &info), -EMFILE);
    cursor = 0;
    assert_int_equal(aether_inspect_peer(f->inspector, 7, &cursor, &peer), -EMFILE);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);

    cursor = 0;
    assert_int_equal(aether_inspect_find(f->inspector, "market/eur", &info), 1);
    assert_int_equal(info.full, 3);
    assert_int_equal(aether_inspect_peer(f->inspector, 7, &cursor, &peer), 1);
    assert_int_equal(peer.lost, 2);
    ae_name_stats(&f->on.instance, 50, name);
    snprintf(path, sizeof path, "/dev/shm%s", name);
    assert_int_equal(truncate(path, 0), 0); /* while it is open */
    assert_int_equal(aether_inspect_find(f->inspector, "market/eur", &info), 1);
    assert_int_equal(info.full, 0);
    assert_int_equal(info.messages, 100);
    cursor = 0;
    assert_int_equal(aether_inspect_peer(f->inspector, 7, &cursor, &peer), 1);
    assert_int_equal(peer.lag, 10);
    assert_int_equal(peer.lost, 0);
    ae_segment_unmap(log, topic->geometry.log_bytes);
    ae_segment_unmap(cursors, topic->geometry.cursors_bytes);
}

/*
 * Allocated lanes count as memory. Publishers don't wait for an evicted subscriber. The type and the stream's joins.
 */
static void lanes_and_eviction(void **state) {
    struct fixture *f = *state;
    const aether_topic_config config = {.max_message = 1 << 20,
                                        .inline_max = 24,
                                        .capacity = CAPACITY,
                                        .lane_bytes = 2 << 20,
                                        .slow = AETHER_SLOW_EVICT,
                                        .evict_lag = 40};
    ae_registry_topic *topic = add_configured(&f->on, 0, 1, "large", &config);
    const ae_geometry *geometry = &topic->geometry;
    ae_log *log = add_log(&f->on, topic);
    ae_cursors *cursors = add_cursors(&f->on, topic);
    char name[AE_OBJECT_NAME_SIZE];
    aether_daemon_info daemon;
    aether_topic_info info;
    aether_peer_info peer;
    uint32_t cursor = 0;

    ae_registry_set_type(topic, "quote", 2, 32, "maker", 42);
    add_grant(&f->on, 0, 1, 1, AE_ROLE_RELIABLE, 0);
    add_grant(&f->on, 1, 1, 1, AE_ROLE_RELIABLE, 1);
    publish_to(log, 100, 0);
    subscribe(cursors, 0, 70);
    subscribe(cursors, 1, 95);
    ae_store_relaxed(&log->stream.joins, 3);
    assert_int_equal(aether_inspect_find(f->inspector, "large", &info), 1);
    assert_int_equal(info.max_message, 1 << 20);
    assert_int_equal(info.inline_max, 24);
    assert_int_equal(info.lane_bytes, 2 << 20);
    assert_int_equal(info.evict_lag, 40);
    assert_string_equal(info.type_name, "quote");
    assert_int_equal(info.type_version, 2);
    assert_int_equal(info.type_size, 32);
    assert_int_equal(info.joins, 3);
    assert_int_equal(info.max_lag, 30);
    assert_int_equal(info.memory_bytes, geometry->lanes_off + geometry->cursors_bytes + AE_NOTES_BYTES);

    ae_name_log(&f->on.instance, 1, name);
    const int fd = ae_segment_open(name, true, getuid(), geometry->log_bytes, NULL);
    assert_int_equal(ae_segment_allocate(fd, geometry->lanes_off, geometry->lane_bytes, name), 0);
    close(fd);
    ae_store_relaxed(&log->evict[0], 5ull << 32 | 9 << 2 | AE_EVICT_LANE);
    ae_store_relaxed(&log->evict[1], 6ull << 32);
    assert_int_equal(aether_inspect_find(f->inspector, "large", &info), 1);
    assert_int_equal(info.memory_bytes,
                     geometry->lanes_off + geometry->lane_bytes + geometry->cursors_bytes + AE_NOTES_BYTES);
    assert_int_equal(info.max_lag, 5);
    assert_int_equal(aether_inspect_daemon(f->inspector, &daemon), 0);
    assert_int_equal(daemon.memory_bytes, info.memory_bytes);
    assert_int_equal(aether_inspect_peer(f->inspector, 1, &cursor, &peer), 1);
    assert_int_equal(peer.evicted, 1);
    assert_int_equal(aether_inspect_peer(f->inspector, 1, &cursor, &peer), 1);
    assert_int_equal(peer.evicted, 0);
    ae_segment_unmap(log, geometry->log_bytes);
    ae_segment_unmap(cursors, geometry->cursors_bytes);
}

/* The claim word has only 48 bits of the sequence. */
static void wrap(void **state) {
    struct fixture *f = *state;
    const uint64_t start = (1ull << 48) - 3;
    ae_registry_topic *topic = add_topic(&f->on, 0, 1, "t", start);
    ae_log *log = add_log(&f->on, topic);
    aether_topic_info info;

    publish_to(log, start + 10, 0);
    ae_store_relaxed(&log->claim.position, start + 1); /* stored before the 48 bits wrapped round */
    assert_int_equal(aether_inspect_find(f->inspector, "t", &info), 1);
    assert_true(info.next_seq == start + 10);
    assert_int_equal(info.messages, 10);
    ae_segment_unmap(log, topic->geometry.log_bytes);
}

/* Whatever peers write into a log and a cursors object, the figures stay in range. */
static void hostile_words(void **state) {
    struct fixture *f = *state;
    ae_registry_topic *topic = add_topic(&f->on, 0, 1, "t", 100);
    ae_log *log = add_log(&f->on, topic);
    ae_cursors *cursors = add_cursors(&f->on, topic);
    static const uint64_t words[] = {0,         1, 99, 100, 101, 1ull << 47, 1ull << 48, 1ull << 63, UINT64_MAX - 1,
                                     UINT64_MAX};
    const size_t count = sizeof words / sizeof words[0];
    ae_stats_header *stats = add_stats(&f->on, 1);
    ae_stats_record *subscriber, *publisher;
    aether_topic_info info;
    aether_peer_info peer;

    add_grant(&f->on, 0, 1, 1, AE_ROLE_RELIABLE, 63);
    add_grant(&f->on, 1, 1, 1, AE_ROLE_PUBLISHER, 63);
    subscriber = stats_record(&f->on, stats, 0);
    publisher = stats_record(&f->on, stats, 1);
    ae_store_relaxed(&subscriber->flips, 2);
    ae_store_relaxed(&publisher->flips, 2);
    for (size_t i = 0; i < count * count * count; i++) {
        const uint64_t a = words[i % count], b = words[i / count % count], c = words[i / count / count];
        uint32_t cursor = 0;
        ae_store_relaxed(&log->claim.claim, a);
        ae_store_relaxed(&log->claim.position, b);
        ae_store_relaxed(&cursors->active.active, a ^ b);
        ae_store_relaxed(&cursors->records[63].cursor, c);
        ae_store_relaxed(&log->publishers[63].intent, c);
        for (unsigned word = 0; word < sizeof(ae_account) / sizeof(uint64_t); word++) {
            ae_store_relaxed(&publisher->account[0].words[word], words[(i + word) % count]);
            ae_store_relaxed(&subscriber->account[0].words[word], words[(i * 7 + word * 3) % count]);
        }
        ae_store_relaxed(&subscriber->position, a);
        ae_store_relaxed(&log->evict[63], c);
        assert_int_equal(aether_inspect_find(f->inspector, "t", &info), 1);
        assert_true(info.next_seq >= 100 && info.messages == info.next_seq - 100);
        assert_true(info.max_lag <= CAPACITY);
        while (aether_inspect_peer(f->inspector, 1, &cursor, &peer) == 1) {
            assert_true(peer.joined <= info.next_seq && peer.next <= info.next_seq);
            assert_true(peer.lag <= CAPACITY && peer.lost <= info.next_seq);
            assert_int_equal(peer.evicted, 0); /* this topic doesn't evict */
        }
    }
    ae_segment_unmap(log, topic->geometry.log_bytes);
    ae_segment_unmap(cursors, topic->geometry.cursors_bytes);
}

/* Records with impossible values are skipped; the others are listed. */
static void hostile_records(void **state) {
    struct fixture *f = *state;
    aether_daemon_info daemon;
    aether_topic_info info;
    aether_peer_info peer;
    uint32_t cursor = 0;

    add_topic(&f->on, 0, 1, "huge", 0)->geometry.log_bytes = UINT64_MAX;
    add_topic(&f->on, 1, 2, "odd", 0)->geometry.slot_size = 7;
    memset(add_topic(&f->on, 2, 3, "x", 0)->name, '/', 256);
    memset(add_topic(&f->on, 3, 4, "good", 0)->type_name, '\x1b', 64);
    add_grant(&f->on, 0, 4, 1, 77, 0);
    add_grant(&f->on, 1, 4, 1, AE_ROLE_PUBLISHER, 64);
    add_grant(&f->on, 2, 4, 1, AE_ROLE_RELIABLE, UINT32_MAX);
    add_grant(&f->on, 3, 4, 1, AE_ROLE_BEST_EFFORT, 9);
    add_grant(&f->on, 4, 4, 1, AE_ROLE_BEST_EFFORT, 0);

    assert_int_equal(aether_inspect_topic(f->inspector, &cursor, &info), 1);
    assert_string_equal(info.name, "good");
    assert_int_equal(strspn(info.type_name, "?"), 63);
    assert_int_equal(info.publishers + info.reliable, 0);
    assert_int_equal(info.best_effort, 1);
    assert_int_equal(aether_inspect_topic(f->inspector, &cursor, &info), 0);
    assert_int_equal(aether_inspect_daemon(f->inspector, &daemon), 0);
    assert_int_equal(daemon.topics, 1);
    cursor = 0;
    assert_int_equal(aether_inspect_peer(f->inspector, 4, &cursor, &peer), 1);
    assert_int_equal(aether_inspect_peer(f->inspector, 4, &cursor, &peer), 0);
    cursor = UINT32_MAX;
    assert_int_equal(aether_inspect_peer(f->inspector, 4, &cursor, &peer), 0);
    assert_int_equal(aether_inspect_topic(f->inspector, &cursor, &info), 0);
}

/* Objects that are missing or have another size are not mapped; figures from the registry remain. */
static void lost_objects(void **state) {
    struct fixture *f = *state;
    ae_registry_topic *topic = add_topic(&f->on, 0, 1, "t", 5);
    char name[AE_OBJECT_NAME_SIZE];
    aether_topic_info info;
    aether_peer_info peer;
    uint32_t cursor = 0;

    add_grant(&f->on, 0, 1, 1, AE_ROLE_RELIABLE, 0);
    ae_name_log(&f->on.instance, 1, name);
    ae_segment_unmap(add_object(name, AE_PAGE, AE_PAGE), AE_PAGE);
    assert_int_equal(aether_inspect_find(f->inspector, "t", &info), 1);
    assert_int_equal(info.messages, 0);
    assert_int_equal(info.next_seq, 5);
    assert_int_equal(info.reliable, 1);
    assert_int_equal(info.memory_bytes, topic->geometry.log_bytes + topic->geometry.cursors_bytes + AE_NOTES_BYTES);
    assert_int_equal(aether_inspect_peer(f->inspector, 1, &cursor, &peer), 1);
    assert_int_equal(peer.next, 5);
}

/* ---- which topics come and go ---- */

static unsigned list(struct fixture *f) {
    aether_topic_info info;
    uint32_t cursor = 0;
    unsigned n = 0;

    while (aether_inspect_topic(f->inspector, &cursor, &info) == 1)
        n++;
    return n;
}

static void changes(void **state) {
    struct fixture *f = *state;
    aether_topic_info info;
    uint32_t cursor = 0;
    const uint64_t start = ae_now_ns();

    assert_int_equal(aether_inspect_changed(f->inspector, AETHER_FOREVER), 1); /* there was no list yet */
    assert_int_equal(list(f), 0);
    assert_int_equal(aether_inspect_changed(f->inspector, 0), 0);
    assert_int_equal(aether_inspect_changed(f->inspector, 5 * MS), 0);
    assert_true(ae_now_ns() - start >= 5 * MS);
    add_topic(&f->on, 0, 1, "a", 0);
    add_topic(&f->on, 1, 2, "b", 0);
    ae_registry_changed(&f->on.registry);
    for (int i = 0; i < 3; i++) /* as long as they aren't listed */
        assert_int_equal(aether_inspect_changed(f->inspector, AETHER_FOREVER), 1);
    assert_int_equal(aether_inspect_topic(f->inspector, &cursor, &info), 1);
    assert_int_equal(aether_inspect_changed(f->inspector, 0), 1); /* an incomplete list isn't enough */
    assert_int_equal(aether_inspect_find(f->inspector, "b", &info), 1);
    assert_int_equal(aether_inspect_changed(f->inspector, 0), 1);
    assert_int_equal(list(f), 2);
    assert_int_equal(aether_inspect_changed(f->inspector, 0), 0);

    /* A topic goes while a list is read: the next list is another. */
    cursor = 0;
    assert_int_equal(aether_inspect_topic(f->inspector, &cursor, &info), 1);
    ae_record_remove(&f->on.registry.topics[0].state);
    ae_registry_changed(&f->on.registry);
    while (aether_inspect_topic(f->inspector, &cursor, &info) == 1)
        ;
    assert_int_equal(aether_inspect_changed(f->inspector, 0), 1);
    assert_int_equal(list(f), 1);
    assert_int_equal(aether_inspect_changed(f->inspector, 0), 0);
}

static void *change_often(void *arg) {
    struct fixture *f = arg;

    for (unsigned i = 0; i < CHANGES; i++) {
        while (__atomic_load_n(&f->seen, __ATOMIC_ACQUIRE) != i)
            sched_yield();
        if (i % 2 == 0)
            add_topic(&f->on, i / 2 % TOPICS, i + 1, "t", 0);
        else
            ae_record_free(&f->on.registry.topics[i / 2 % TOPICS].state);
        ae_registry_changed(&f->on.registry);
    }
    return NULL;
}

/* A thread that sleeps until a change sees every change. */
static void changes_wake(void **state) {
    struct fixture *f = *state;
    pthread_t thread;

    assert_int_equal(list(f), 0);
    assert_int_equal(pthread_create(&thread, NULL, change_often, f), 0);
    for (unsigned i = 0; i < CHANGES; i++) {
        assert_int_equal(aether_inspect_changed(f->inspector, AETHER_FOREVER), 1);
        assert_int_equal(list(f), (i + 1) % 2);
        assert_int_equal(aether_inspect_changed(f->inspector, 0), 0);
        __atomic_store_n(&f->seen, i + 1, __ATOMIC_RELEASE);
    }
    pthread_join(thread, NULL);
}

/* The registry is removed and another is created: a thread that sleeps until a change maps the new registry. */
static void another_registry(void **state) {
    struct fixture *f = *state;
    char name[AE_OBJECT_NAME_SIZE];
    struct ae_registry old = f->on.registry;

    add_topic(&f->on, 0, 1, "a", 0);
    assert_int_equal(list(f), 1);
    ae_name_registry(&f->on.instance, name);
    assert_int_equal(ae_segment_remove(name), 0);
    assert_int_equal(aether_inspect_changed(f->inspector, 0), 0); /* there is no new registry yet */
    assert_int_equal(list(f), 1);
    assert_int_equal(ae_registry_create(&f->on.registry, &f->on.instance, TOPICS * 2, CLIENTS, GRANTS), 0);
    assert_int_equal(list(f), 1);
    assert_int_equal(aether_inspect_changed(f->inspector, AETHER_FOREVER), 1);
    assert_int_equal(list(f), 0);
    assert_int_equal(aether_inspect_changed(f->inspector, 0), 0);
    add_topic(&f->on, TOPICS, 1, "a", 0);
    ae_registry_changed(&f->on.registry);
    assert_int_equal(aether_inspect_changed(f->inspector, 0), 1);
    assert_int_equal(list(f), 1);
    ae_registry_close(&old);
}

/* A list that began in the old registry isn't a list of the new one, though both have the same generation. */
static void another_registry_within_a_list(void **state) {
    struct fixture *f = *state;
    char name[AE_OBJECT_NAME_SIZE];
    struct ae_registry old = f->on.registry;
    aether_topic_info info;
    uint32_t cursor = 0;

    add_topic(&f->on, 0, 1, "a", 0);
    add_topic(&f->on, 1, 2, "b", 0);
    assert_int_equal(aether_inspect_topic(f->inspector, &cursor, &info), 1);
    ae_name_registry(&f->on.instance, name);
    assert_int_equal(ae_segment_remove(name), 0);
    assert_int_equal(ae_registry_create(&f->on.registry, &f->on.instance, TOPICS, CLIENTS, GRANTS), 0);
    add_topic(&f->on, 0, 1, "c", 0);
    add_topic(&f->on, 1, 2, "d", 0);
    assert_int_equal(aether_inspect_changed(f->inspector, 0), 1);
    while (aether_inspect_topic(f->inspector, &cursor, &info) == 1)
        ;
    assert_int_equal(aether_inspect_changed(f->inspector, 0), 1); /* "c" was in no list */
    assert_int_equal(list(f), 2);
    assert_int_equal(aether_inspect_changed(f->inspector, 0), 0);
    ae_registry_close(&old);
}

static void change_errors(void **state) {
    struct fixture *f = *state;
    char name[AE_OBJECT_NAME_SIZE];
    struct ae_registry old = f->on.registry;

    assert_int_equal(aether_inspect_changed(f->inspector, 0), 1);
    assert_int_equal(list(f), 0);
    ae_name_registry(&f->on.instance, name);
    assert_int_equal(ae_segment_remove(name), 0);
    assert_int_equal(ae_registry_create(&f->on.registry, &f->on.instance, TOPICS, CLIENTS, GRANTS), 0);
    f->on.registry.header->layout_major++;
    assert_int_equal(aether_inspect_changed(f->inspector, 0), -EPROTO);
    f->on.registry.header->layout_major--;
    f->on.registry.header->magic = 0; /* as if it weren't finished */
    assert_int_equal(aether_inspect_changed(f->inspector, 0), 0);
    f->on.registry.header->magic = AE_REGISTRY_MAGIC;
    assert_int_equal(aether_inspect_changed(f->inspector, 0), 1);
    ae_registry_close(&old);
}

static void open_errors(void **state) {
    struct fixture *f = *state;
    aether_inspector *inspector;
    char path[128];

    snprintf(path, sizeof path, "%s/other.sock", f->on.directory);
    assert_int_equal(aether_inspect_open(&inspector, path), -ENOENT);
    assert_null(inspector);
    assert_non_null(strstr(aether_errmsg(), path));
    assert_non_null(strstr(aether_errmsg(), ": start aetherd, or use the path of another socket"));
    assert_int_equal(aether_inspect_open(&inspector, "/no/such/directory/s"), -ENOENT);
    f->on.registry.header->layout_major++;
    assert_int_equal(aether_inspect_open(&inspector, f->on.socket_path), -EPROTO);
    f->on.registry.header->layout_major--;
    f->on.registry.header->grants_max = UINT32_MAX;
    assert_int_equal(aether_inspect_open(&inspector, f->on.socket_path), -EBADMSG);
    aether_inspect_close(NULL);
}

/* Topics for which subscribers wait: nobody has opened a publisher. They are listed apart from all others. */
static void waiting(void **state) {
    struct fixture *f = *state;
    ae_registry_topic *open = add_topic(&f->on, 0, 1, "open", 7), *made = add_topic(&f->on, 1, 2, "made", 5);
    aether_waiting_info info;
    aether_topic_info topic;
    aether_daemon_info daemon;
    uint32_t cursor = 0;

    add_topic(&f->on, 2, 3, "fixed", 0);
    add_client(&f->on, 0, 8, "camera", 77);
    ae_registry_set_shape(open, AE_SHAPE_OPEN);
    ae_registry_set_shape(made, AE_SHAPE_MADE);
    assert_int_equal(aether_inspect_waiting(f->inspector, &cursor, &info),
                     0); /* without a subscriber: on its way out */
    add_grant(&f->on, 0, 1, 8, AE_ROLE_RELIABLE, 0);
    add_grant(&f->on, 1, 1, 9, AE_ROLE_BEST_EFFORT, 0);
    f->on.registry.grants[0].wish =
        (ae_wish){.max_message = 100, .capacity = 8, .type_name = "frame", .type_version = 2};
    f->on.registry.grants[1].wish =
        (ae_wish){.max_message = 50, .capacity = 64, .publishers = AETHER_PUBLISHERS_EXCLUSIVE};
    add_grant(&f->on, 2, 2, 9, AE_ROLE_RELIABLE, 0);
    cursor = 0;
    assert_int_equal(aether_inspect_waiting(f->inspector, &cursor, &info), 1);
    assert_string_equal(info.name, "open");
    assert_int_equal(info.id, 1);
    assert_int_equal(info.subscribers, 2);
    assert_string_equal(info.client, "camera");
    assert_int_equal(info.pid, 77);
    assert_int_equal(info.asked.max_message, 100);
    assert_int_equal(info.asked.capacity, 64);
    assert_int_equal(info.asked.publishers, AETHER_PUBLISHERS_EXCLUSIVE);
    assert_int_equal(info.asked.slow, AETHER_SLOW_ANY);
    assert_string_equal(info.asked.type_name, "frame");
    assert_int_equal(info.asked.type_version, 2);
    assert_int_equal(aether_inspect_waiting(f->inspector, &cursor, &info), 0);
    assert_int_equal(aether_inspect_find(f->inspector, "open", &topic), 0);
    assert_int_equal(aether_inspect_daemon(f->inspector, &daemon), 0);
    assert_int_equal(daemon.topics, 2);
    assert_int_equal(daemon.topics_waiting, 1);

    /* One that was created has a geometry, but its slots may still go: its log isn't mapped. */
    ae_log *log = add_log(&f->on, made);
    publish_to(log, 9, 0);
    assert_int_equal(aether_inspect_find(f->inspector, "made", &topic), 1);
    assert_int_equal(topic.next_seq, 5);
    ae_registry_set_shape(made, AE_SHAPE_FIXED);
    assert_int_equal(aether_inspect_find(f->inspector, "made", &topic), 1);
    assert_int_equal(topic.next_seq, 9);
    ae_segment_unmap(log, made->geometry.lanes_off);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(empty, setup, teardown),
        cmocka_unit_test_setup_teardown(waiting, setup, teardown),
        cmocka_unit_test_setup_teardown(running, setup, teardown),
        cmocka_unit_test_setup_teardown(figures_of_a_topic, setup, teardown),
        cmocka_unit_test_setup_teardown(figures_of_peers, setup, teardown),
        cmocka_unit_test_setup_teardown(unreadable_objects, setup, teardown),
        cmocka_unit_test_setup_teardown(lanes_and_eviction, setup, teardown),
        cmocka_unit_test_setup_teardown(wrap, setup, teardown),
        cmocka_unit_test_setup_teardown(hostile_words, setup, teardown),
        cmocka_unit_test_setup_teardown(hostile_records, setup, teardown),
        cmocka_unit_test_setup_teardown(lost_objects, setup, teardown),
        cmocka_unit_test_setup_teardown(changes, setup, teardown),
        cmocka_unit_test_setup_teardown(changes_wake, setup, teardown),
        cmocka_unit_test_setup_teardown(another_registry, setup, teardown),
        cmocka_unit_test_setup_teardown(another_registry_within_a_list, setup, teardown),
        cmocka_unit_test_setup_teardown(change_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(open_errors, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
