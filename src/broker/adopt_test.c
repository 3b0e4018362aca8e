/* SPDX-License-Identifier: Apache-2.0 */
/* adopt_test.c - a broker adopts registries whose records the test has damaged, because a registry isn't trusted. */
#include "base/socket.h"
#include "broker/instance_test.h"
#include "broker/adopt.h"
#include "broker/broker.h"
#include "broker/clients.h"
#include "broker/objects.h"
#include "service/log.h"
#include "shm/segment.h"
#include "shm/token.h"
#include <aether/error.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define TOPICS 4

static const struct ae_limits limits = {.topics = 8, .clients = 4, .grants = 16, .ring_bytes = 1 << 20};
static uint32_t client;
static int token;
static uint64_t last_id;

static void start(void) {
    assert_int_equal(ae_broker_start(&broker, &instance, &limits), 0);
}

static uint64_t open_topic(uint32_t role, const char *topic) {
    struct ae_msg msg = {.type = AE_MSG_OPEN, .u.open = {.role = role, .topic = {.capacity = 8}}};
    struct ae_reply reply = {0};

    (void)snprintf(msg.u.open.topic.topic, sizeof msg.u.open.topic.topic, "%s", topic);
    ae_broker_handle(&broker, client, &msg, &reply);
    assert_int_equal(reply.msg.type, AE_MSG_OPENED);
    for (int i = 0; i < reply.fd_count; i++)
        ae_close(&reply.fds[i]);
    return reply.msg.u.opened.grant_id;
}

static void close_grant(uint64_t grant_id) {
    const struct ae_msg msg = {.type = AE_MSG_CLOSE, .u.close.grant_id = grant_id};
    struct ae_reply reply = {0};

    ae_broker_handle(&broker, client, &msg, &reply);
    assert_int_equal(reply.msg.type, AE_MSG_DONE);
}

/* A subscriber of a topic that had a publisher. */
static uint64_t subscribe(uint32_t role, const char *topic) {
    close_grant(open_topic(AE_ROLE_PUBLISHER, topic));
    return open_topic(role, topic);
}

/*
 * Topics t0 .. t3 in records 0 .. 3; a living client in record 0 with a publisher of t0 and reliable subscribers of t1
 * and t2.
 */
static int setup(void **state) {
    const struct ae_msg msg = {.type = AE_MSG_HELLO, .version = AE_PROTOCOL_VERSION};
    struct ae_reply reply = {0};

    (void)state;
    start();
    ae_broker_hello(&broker, &msg, 42, (uint32_t)geteuid(), &reply, &client);
    token = reply.fds[0];
    (void)open_topic(AE_ROLE_PUBLISHER, "t0");
    (void)subscribe(AE_ROLE_RELIABLE, "t1");
    (void)subscribe(AE_ROLE_RELIABLE, "t2");
    last_id = subscribe(AE_ROLE_BEST_EFFORT, "t3");
    return 0;
}

/* After the client's death a clean stop leaves no object, whatever was adopted. */
static int teardown(void **state) {
    char command[128];

    (void)state;
    ae_close(&token);
    ae_broker_stop(&broker);
    (void)snprintf(command, sizeof command, "! ls /dev/shm | grep -q '^%s'", instance.prefix + 1);
    return system(command); /* NOLINT: a test's own words */
}

static uint64_t state_of_topic(uint32_t i) {
    return ae_record_state(&broker.registry.topics[i].state);
}

static uint32_t live_grants(void) {
    uint32_t count = 0;

    for (uint32_t g = 0; g < broker.registry.grants_max; g++)
        count += ae_record_state(&broker.registry.grants[g].state) == AE_RECORD_LIVE;
    return count;
}

static uint64_t active_word(uint32_t topic, bool set) {
    char name[AE_OBJECT_NAME_SIZE];
    uint64_t word;
    void *base;

    ae_name_cursors(&instance, broker.registry.topics[topic].topic_id, name);
    int fd = ae_segment_open(name, true, instance.uid, 0, NULL);
    assert_true(fd >= 0);
    assert_int_equal(ae_segment_map(fd, sizeof(ae_cursors), true, false, &base), 0);
    if (set)
        ae_store_release(&((ae_cursors *)base)->active.active, 1);
    word = ae_load_acquire(&((ae_cursors *)base)->active.active);
    ae_segment_unmap(base, sizeof(ae_cursors));
    ae_close(&fd);
    return word;
}

static ae_log *map_log(uint32_t topic) {
    char name[AE_OBJECT_NAME_SIZE];
    void *base;

    ae_name_log(&instance, broker.registry.topics[topic].topic_id, name);
    int fd = ae_segment_open(name, true, instance.uid, 0, NULL);
    assert_true(fd >= 0);
    assert_int_equal(ae_segment_map(fd, sizeof(ae_log), true, false, &base), 0);
    ae_close(&fd);
    return base;
}

static ae_stream_block stream_of(uint32_t topic) {
    ae_log *log = map_log(topic);
    ae_stream_block stream;

    ae_copy_out(&stream, (const unsigned char *)&log->stream, sizeof stream);
    ae_segment_unmap(log, sizeof *log);
    return stream;
}

/* The next daemon marks a publisher that died while no daemon ran, and doesn't mark one that lives. */
static void dead_publisher_is_marked(void **state) {
    (void)state;
    vanish();
    start();
    assert_int_equal(stream_of(0).open.v, 1);
    assert_int_equal(stream_of(0).died.v, 0);
    vanish();
    ae_close(&token);
    start();
    assert_int_equal(stream_of(0).open.v, 0);
    assert_true(stream_of(0).died.v != 0);
    assert_int_equal(stream_of(0).joins.v, 1);
    assert_int_equal(stream_of(1).joins.v, 1);
}

/* A daemon was killed before it stored the number of subscribers. */
static void subscribers_are_counted_again(void **state) {
    (void)state;
    for (uint32_t t = 0; t < 4; t++) {
        ae_log *log = map_log(t);
        assert_int_equal(ae_load_acquire(&log->stream.subscribers), t != 0);
        ae_store_release(&log->stream.subscribers, 40);
        ae_segment_unmap(log, sizeof *log);
    }
    vanish();
    start();
    for (uint32_t t = 0; t < 4; t++)
        assert_int_equal(stream_of(t).subscribers.v, t != 0);
    ae_close(&token);
    vanish();
    start();
    for (uint32_t t = 0; t < 4; t++)
        assert_int_equal(stream_of(t).subscribers.v, 0);
}

/*
 * A daemon was killed after it had committed the grant and before it admitted the publisher. The grant is freed, too.
 */
static void half_admitted_publisher_is_freed(void **state) {
    ae_log *log = map_log(0);

    (void)state;
    ae_store_release(&log->stream.open, 0);
    ae_segment_unmap(log, sizeof *log);
    vanish();
    ae_close(&token);
    start();
    assert_int_equal(live_grants(), 0);
    assert_int_equal(stream_of(0).open.v, 0);
    assert_int_equal(stream_of(0).died.v, 0);
}

/* If aetherd was killed while it stored a type, the topic has no type and takes the next. A complete type stays. */
static void half_a_type_is_none(void **state) {
    struct ae_msg msg = {.type = AE_MSG_CREATE,
                         .u.create = {.topic = "t0", .type_name = "trade", .type_version = 1, .type_size = 40}};
    struct ae_reply reply = {0};
    ae_registry_topic *topic = &broker.registry.topics[0];

    (void)state;
    ae_registry_set_type(topic, "long enough for two words", 2, 32, "maker", 42);
    topic->type_name[0] = '\0';
    ae_registry_set_type(&broker.registry.topics[1], "whole", 3, 0, "maker", 42);
    vanish();
    start();
    ae_broker_handle(&broker, client, &msg, &reply);
    assert_int_equal(reply.msg.type, AE_MSG_DONE);
    topic = &broker.registry.topics[0];
    assert_string_equal(topic->type_name, "trade");
    assert_int_equal(topic->type_size, 40);
    memcpy(msg.u.create.topic, "t1", 2);
    ae_broker_handle(&broker, client, &msg, &reply);
    assert_int_equal(reply.msg.u.error.code, -EEXIST);
    assert_non_null(strstr(reply.msg.u.error.text, "'whole' version 3 without a fixed size"));
}

static ae_registry_topic *topic_named(const char *name) {
    const uint32_t t = ae_index_topic_named(&broker.index, name);

    assert_true(t != AE_NO_TOPIC);
    return &broker.registry.topics[t];
}

static void create(const char *name, const char *type) {
    struct ae_msg msg = {.type = AE_MSG_CREATE, .u.create = {.capacity = 16}};
    struct ae_reply reply = {0};

    (void)snprintf(msg.u.create.topic, sizeof msg.u.create.topic, "%s", name);
    (void)snprintf(msg.u.create.type_name, sizeof msg.u.create.type_name, "%s", type);
    ae_broker_handle(&broker, client, &msg, &reply);
    assert_int_equal(reply.msg.type, AE_MSG_DONE);
}

/*
 * A predecessor was killed while it changed a shape: what isn't FIXED gets back what it was created with, or was about
 * to be created with. Nothing stays of a publisher that wasn't admitted.
 */
static void half_a_shape_is_completed(void **state) {
    (void)state;
    create("plain", "");
    create("typed", "quote");
    create("torn", "quote");
    (void)open_topic(AE_ROLE_BEST_EFFORT, "waited for");
    ae_registry_set_type(topic_named("plain"), "late", 2, 32, "publisher", 42);
    ae_registry_set_shape(topic_named("typed"), AE_SHAPE_OPEN);
    topic_named("typed")->geometry.log_bytes = 7;
    ae_registry_set_shape(topic_named("torn"), AE_SHAPE_OPEN);
    topic_named("torn")->made.type_name[0] = '\0';
    topic_named("torn")->made.type_version = 3;
    ae_registry_set_type(topic_named("waited for"), "late", 2, 32, "publisher", 42);
    topic_named("waited for")->geometry.capacity = 64;
    topic_named("waited for")->stated = AE_STATED_CAPACITY;
    vanish();
    start();
    assert_int_equal(ae_shape_of(topic_named("plain")->shape.v), AE_SHAPE_MADE);
    assert_string_equal(topic_named("plain")->type_name, "");
    assert_int_equal(ae_shape_of(topic_named("typed")->shape.v), AE_SHAPE_MADE);
    assert_int_equal(topic_named("typed")->geometry.capacity, 16);
    assert_string_equal(topic_named("typed")->type_name, "quote");
    assert_int_equal(ae_shape_of(topic_named("torn")->shape.v), AE_SHAPE_MADE);
    assert_string_equal(topic_named("torn")->type_name, "");
    assert_int_equal(topic_named("torn")->type_version, 0);
    assert_int_equal(ae_shape_of(topic_named("waited for")->shape.v), AE_SHAPE_OPEN);
    assert_int_equal(topic_named("waited for")->geometry.capacity, 0);
    assert_int_equal(topic_named("waited for")->stated, 0);
    assert_string_equal(topic_named("waited for")->type_name, "");
}

/* What no predecessor leaves: shapes that don't exist, a publisher of a topic without slots. */
static void senseless_shapes_go(void **state) {
    (void)state;
    create("made", "");
    topic_named("t0")->shape.v = AE_SHAPE_OPEN; /* with its publisher */
    topic_named("t1")->shape.v = 3;
    topic_named("made")->created = 2;
    vanish();
    start();
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(state_of_topic(i), AE_RECORD_FREE);
    assert_int_equal(ae_index_topic_named(&broker.index, "made"), AE_NO_TOPIC);
    assert_int_equal(live_grants(), 2);
}

/*
 * A topic that began anew was damaged when its predecessor was killed, so it is dropped. What it had isn't of the next
 * topic in its record.
 */
static void the_dead_leave_nothing_in_a_record(void **state) {
    (void)state;
    create("made", "quote");
    ae_registry_topic *record = topic_named("made");
    record->created = 2;
    ae_store_relaxed(&record->anew, 1);
    ae_record_remove(&record->state);
    const uint32_t t = (uint32_t)(record - broker.registry.topics);
    vanish();
    start();
    assert_int_equal(state_of_topic(t), AE_RECORD_FREE);
    (void)open_topic(AE_ROLE_BEST_EFFORT, "next");
    record = topic_named("next");
    assert_ptr_equal(record, &broker.registry.topics[t]);
    assert_int_equal(record->created, 0);
    assert_int_equal(record->made.capacity, 0);
    assert_string_equal(record->creator, "");
    assert_string_equal(record->type_name, "");
    assert_int_equal(ae_load_relaxed(&record->anew), 0);
}

static void sound_records_stay(void **state) {
    (void)state;
    vanish();
    start();
    for (uint32_t i = 0; i < TOPICS; i++)
        assert_int_equal(state_of_topic(i), AE_RECORD_LIVE);
    assert_int_equal(live_grants(), 4);
    assert_false(ae_clients_free_if_dead(&broker, client));
    assert_true(open_topic(AE_ROLE_BEST_EFFORT, "t0") > last_id);
}

static void next_id_lies_above_all_that_is_seen(void **state) {
    (void)state;
    ae_store_relaxed(&broker.registry.header->next_id, 1);
    vanish();
    start();
    assert_true(open_topic(AE_ROLE_BEST_EFFORT, "t0") > last_id);
}

/* Without descriptors aetherd can't find out whether a topic's objects are whole; then it must not drop the topic. */
static void topics_are_not_dropped_for_lack_of_descriptors(void **state) {
    const ae_registry_topic *topic = &broker.registry.topics[0];
    struct rlimit limit;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    const struct rlimit none = {.rlim_cur = 0, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    const int fit = ae_objects_fit(&broker, topic), adopted = ae_adopt(&broker);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(fit, -EMFILE);
    assert_int_equal(adopted, -EMFILE);
    for (uint32_t i = 0; i < TOPICS; i++)
        assert_int_equal(state_of_topic(i), AE_RECORD_LIVE);
    assert_int_equal(live_grants(), 4);
    assert_int_equal(ae_objects_fit(&broker, topic), 1);
}

static void senseless_topics_go_with_their_grants(void **state) {
    struct ae_registry *registry = &broker.registry;

    (void)state;
    registry->topics[0].geometry.slots_off += 8;
    memcpy(registry->topics[1].name, "a//b", 5);
    registry->topics[1].name_len = 4;
    registry->topics[2].topic_id = 0;
    registry->topics[3].geometry.log_bytes = UINT64_MAX;
    vanish();
    start();
    for (uint32_t i = 0; i < TOPICS; i++)
        assert_int_equal(state_of_topic(i), AE_RECORD_FREE);
    assert_int_equal(live_grants(), 0);
}

static void of_two_topics_with_one_name_or_id_one_stays(void **state) {
    struct ae_registry *registry = &broker.registry;

    (void)state;
    memcpy(registry->topics[1].name, registry->topics[0].name, sizeof registry->topics[0].name);
    registry->topics[3].topic_id = registry->topics[2].topic_id;
    vanish();
    start();
    assert_int_equal(state_of_topic(0), AE_RECORD_LIVE);
    assert_int_equal(state_of_topic(1), AE_RECORD_FREE);
    assert_int_equal(state_of_topic(2), AE_RECORD_LIVE);
    assert_int_equal(state_of_topic(3), AE_RECORD_FREE);
}

static void of_two_grants_of_one_thing_one_stays(void **state) {
    struct ae_registry *registry = &broker.registry;
    const ae_registry_grant publisher = registry->grants[0], reliable = registry->grants[1];

    (void)state;
    assert_int_equal(publisher.role, AE_ROLE_PUBLISHER);
    for (uint32_t g = 4; g < 7; g++) { /* the same publisher, the same record, the same id */
        ae_registry_grant *copy = &registry->grants[g];
        *copy = g == 4 ? publisher : reliable;
        copy->grant_id = g == 6 ? publisher.grant_id : last_id + g;
        copy->role = g == 6 ? AE_ROLE_BEST_EFFORT : copy->role;
        copy->record = g == 6 ? 0 : copy->record;
    }
    vanish();
    start();
    assert_int_equal(live_grants(), 4);
}

static void senseless_grants_go(void **state) {
    struct ae_registry *registry = &broker.registry;

    (void)state;
    registry->grants[0].role = 77;
    registry->grants[1].record = AE_SUBSCRIBERS_MAX;
    registry->grants[2].topic_id = 999999;
    registry->grants[3].client_id = 999999;
    vanish();
    start();
    assert_int_equal(live_grants(), 0);
}

/* Publishers must not wait for ever for a subscriber whose client's record is lost. */
static void grant_without_client_is_retired(void **state) {
    (void)state;
    assert_int_equal(active_word(1, true), 1);
    broker.registry.grants[1].client_id = 999999;
    vanish();
    start();
    assert_int_equal(live_grants(), 3);
    assert_int_equal(active_word(1, false), 0);
}

static void dead_clients_are_freed(void **state) {
    (void)state;
    assert_int_equal(active_word(1, true), 1);
    vanish();
    ae_close(&token);
    start();
    assert_int_equal(live_grants(), 0);
    assert_int_equal(active_word(1, false), 0);
    assert_true(ae_clients_free_if_dead(&broker, client));
}

static void unfinished_registry_is_replaced(void **state) {
    (void)state;
    broker.registry.header->magic = 0;
    vanish();
    start();
    for (uint32_t i = 0; i < TOPICS; i++)
        assert_int_equal(state_of_topic(i), AE_RECORD_FREE);
}

static void other_layout_is_left_alone(void **state) {
    struct ae_broker other;

    (void)state;
    broker.registry.header->layout_major = AE_LAYOUT_MAJOR + 1;
    assert_int_equal(ae_broker_start(&other, &instance, &limits), -EPROTO);
    assert_int_equal(state_of_topic(0), AE_RECORD_LIVE);
    broker.registry.header->layout_major = AE_LAYOUT_MAJOR;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sound_records_stay, setup, teardown),
        cmocka_unit_test_setup_teardown(next_id_lies_above_all_that_is_seen, setup, teardown),
        cmocka_unit_test_setup_teardown(topics_are_not_dropped_for_lack_of_descriptors, setup, teardown),
        cmocka_unit_test_setup_teardown(senseless_topics_go_with_their_grants, setup, teardown),
        cmocka_unit_test_setup_teardown(of_two_topics_with_one_name_or_id_one_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(of_two_grants_of_one_thing_one_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(senseless_grants_go, setup, teardown),
        cmocka_unit_test_setup_teardown(grant_without_client_is_retired, setup, teardown),
        cmocka_unit_test_setup_teardown(dead_clients_are_freed, setup, teardown),
        cmocka_unit_test_setup_teardown(dead_publisher_is_marked, setup, teardown),
        cmocka_unit_test_setup_teardown(subscribers_are_counted_again, setup, teardown),
        cmocka_unit_test_setup_teardown(half_admitted_publisher_is_freed, setup, teardown),
        cmocka_unit_test_setup_teardown(half_a_type_is_none, setup, teardown),
        cmocka_unit_test_setup_teardown(half_a_shape_is_completed, setup, teardown),
        cmocka_unit_test_setup_teardown(senseless_shapes_go, setup, teardown),
        cmocka_unit_test_setup_teardown(the_dead_leave_nothing_in_a_record, setup, teardown),
        cmocka_unit_test_setup_teardown(unfinished_registry_is_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(other_layout_is_left_alone, setup, teardown),
    };

    return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
