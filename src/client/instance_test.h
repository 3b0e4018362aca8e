/* SPDX-License-Identifier: Apache-2.0 */
/* instance_test.h - an instance's objects, made by a test. */
#ifndef AE_CLIENT_INSTANCE_TEST_H
#define AE_CLIENT_INSTANCE_TEST_H

#include "base/clock.h"
#include "ring/claim.h"
#include "ring/geometry.h"
#include "shm/names.h"
#include "shm/registry.h"
#include "shm/segment.h"
#include "shm/stats_layout.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define TEST_CAPACITY 64u /* slots of a topic of add_topic() */
#define TEST_IDS 100u     /* ids of topics and clients are below this */

struct test_instance {
    char directory[32];
    char socket_path[64];
    struct ae_instance instance;
    struct ae_registry registry;
};

static inline void test_instance_create(struct test_instance *t, uint32_t topics, uint32_t clients, uint32_t grants) {
    snprintf(t->directory, sizeof t->directory, "/tmp/instance-XXXXXX");
    assert_non_null(mkdtemp(t->directory));
    snprintf(t->socket_path, sizeof t->socket_path, "%s/aetherd.sock", t->directory);
    assert_int_equal(ae_instance_init(&t->instance, t->socket_path, getuid()), 0);
    assert_int_equal(ae_registry_create(&t->registry, &t->instance, topics, clients, grants), 0);
}

static inline void test_instance_remove(struct test_instance *t) {
    char name[AE_OBJECT_NAME_SIZE];

    ae_registry_close(&t->registry);
    ae_name_registry(&t->instance, name);
    ae_segment_remove(name);
    ae_name_totals(&t->instance, name);
    ae_segment_remove(name);
    for (uint64_t id = 1; id < TEST_IDS; id++) {
        ae_name_log(&t->instance, id, name);
        ae_segment_remove(name);
        ae_name_cursors(&t->instance, id, name);
        ae_segment_remove(name);
        ae_name_stats(&t->instance, id, name);
        ae_segment_remove(name);
    }
    unlink(t->instance.lock_path);
    rmdir(t->directory);
}

/* Makes record i of the registry a live topic without objects. */
static inline ae_registry_topic *add_configured(struct test_instance *t, uint32_t i, uint64_t id, const char *name,
                                                const aether_topic_config *config) {
    ae_registry_topic *topic = &t->registry.topics[i];

    ae_record_begin(&topic->state);
    topic->topic_id = id;
    topic->created_ns = 1000 + id;
    topic->created_mono_ns = 2000 + id;
    assert_int_equal(ae_geometry_make(&topic->geometry, config), 0);
    topic->name_len = (uint32_t)strlen(name);
    memcpy(topic->name, name, strlen(name) + 1);
    ae_registry_set_shape(topic, AE_SHAPE_FIXED);
    ae_record_commit(&topic->state);
    return topic;
}

static inline ae_registry_topic *add_topic(struct test_instance *t, uint32_t i, uint64_t id, const char *name,
                                           uint64_t start_seq) {
    const aether_topic_config config = {.max_message = 100, .capacity = TEST_CAPACITY, .start_seq = start_seq};

    return add_configured(t, i, id, name, &config);
}

static inline void add_grant(struct test_instance *t, uint32_t i, uint64_t topic_id, uint64_t client_id, uint32_t role,
                             uint32_t record) {
    ae_registry_grant *grant = &t->registry.grants[i];

    ae_record_begin(&grant->state);
    grant->grant_id = 100 + i;
    grant->topic_id = topic_id;
    grant->client_id = client_id;
    grant->role = role;
    grant->record = record;
    grant->stats = i;
    grant->folded = 0;
    ae_record_commit(&grant->state);
}

static inline void add_client(struct test_instance *t, uint32_t i, uint64_t id, const char *name, uint32_t pid) {
    ae_registry_client *client = &t->registry.clients[i];

    ae_record_begin(&client->state);
    client->client_id = id;
    client->pid = pid;
    client->created_ns = ae_realtime_ns();
    client->created_mono_ns = ae_now_ns();
    memcpy(client->name, name, strlen(name) + 1);
    ae_record_commit(&client->state);
}

/* Creates an object and maps it. */
static inline void *add_object(const char *name, uint64_t bytes, uint64_t allocated) {
    void *base = NULL;
    const int fd = ae_segment_create(name, bytes, allocated);

    assert_true(fd >= 0);
    assert_int_equal(ae_segment_map(fd, bytes, true, false, &base), 0);
    close(fd);
    return base;
}

static inline ae_log *add_log(struct test_instance *t, const ae_registry_topic *topic) {
    char name[AE_OBJECT_NAME_SIZE];

    ae_name_log(&t->instance, topic->topic_id, name);
    return add_object(name, topic->geometry.log_bytes, topic->geometry.lanes_off);
}

static inline ae_cursors *add_cursors(struct test_instance *t, const ae_registry_topic *topic) {
    char name[AE_OBJECT_NAME_SIZE];

    ae_name_cursors(&t->instance, topic->topic_id, name);
    return add_object(name, topic->geometry.cursors_bytes, topic->geometry.cursors_bytes);
}

/* All below next is claimed, last by the publisher of this record. */
static inline void publish_to(ae_log *log, uint64_t next, uint64_t record) {
    ae_store_relaxed(&log->claim.position, next);
    ae_store_release(&log->claim.claim, ae_claim_word(next, AE_MODE_SHARED, record));
}

/* The slot of seq holds an empty message. kind: AE_KIND_* */
static inline void commit(ae_log *log, const ae_geometry *geometry, uint64_t seq, uint64_t kind) {
    ae_store_release(ae_slot_tag(log, geometry, seq), ae_tag(seq, kind, 0));
}

static inline void subscribe(ae_cursors *cursors, uint32_t record, uint64_t cursor) {
    ae_store_release(&cursors->records[record].cursor, cursor);
    ae_fetch_or(&cursors->active.active, 1ull << record);
}

/* Creates the statistics of a client, with a record for each grant of the registry. */
static inline ae_stats_header *add_stats(struct test_instance *t, uint64_t client_id) {
    const uint64_t bytes = AE_STATS_RECORDS_OFF + (uint64_t)t->registry.grants_max * AE_STATS_RECORD;
    char name[AE_OBJECT_NAME_SIZE];

    ae_name_stats(&t->instance, client_id, name);
    ae_stats_header *header = add_object(name, bytes, bytes);
    header->layout_major = AE_LAYOUT_MAJOR;
    header->client_id = client_id;
    header->records = t->registry.grants_max;
    header->magic = AE_STATS_MAGIC;
    return header;
}

/* The record of grant i in its client's statistics. */
static inline ae_stats_record *stats_record(const struct test_instance *t, ae_stats_header *header, uint32_t i) {
    const ae_registry_grant *grant = &t->registry.grants[i];
    ae_stats_record *record =
        (ae_stats_record *)(void *)((unsigned char *)header + AE_STATS_RECORDS_OFF) + grant->stats;

    record->topic_id = grant->topic_id;
    record->role = grant->role;
    record->record = grant->record;
    ae_store_release(&record->grant_id, grant->grant_id);
    return record;
}

/* Stores an account as its owner does. */
static inline void store_account(ae_stats_record *record, const ae_account *account) {
    const uint64_t flips = ae_load_relaxed(&record->flips) + 1;

    memcpy(&record->account[flips & 1], account, sizeof *account);
    ae_store_release(&record->flips, flips);
}

#endif
