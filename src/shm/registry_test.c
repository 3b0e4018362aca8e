/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/registry.h"
#include "base/socket.h"
#include "shm/segment.h"
#include <aether/error.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define TOPICS 3u
#define CLIENTS 2u
#define GRANTS 5u

static struct ae_instance instance;
static char name[AE_OBJECT_NAME_SIZE];
static struct ae_registry registry; /* in most tests the daemon's mapping */

static int setup(void **state) {
    char path[64];

    (void)state;
    snprintf(path, sizeof path, "/tmp/aether-registry-test-%d", (int)getpid());
    if (ae_instance_init(&instance, path, (uint32_t)geteuid()) != 0)
        return -1;
    ae_name_registry(&instance, name);
    return ae_registry_create(&registry, &instance, TOPICS, CLIENTS, GRANTS);
}

static int teardown(void **state) {
    (void)state;
    ae_registry_close(&registry);
    return ae_segment_remove(name);
}

static void fill_topic(ae_registry_topic *topic) {
    ae_record_begin(&topic->state);
    topic->topic_id = 7;
    topic->created_ns = 8;
    topic->geometry.capacity = 64;
    topic->name_len = 3;
    memset(topic->name, 'x', sizeof topic->name);
    memcpy(topic->name, "a/b", 3);
    ae_registry_set_shape(topic, AE_SHAPE_FIXED);
    ae_record_commit(&topic->state);
}

static void fill_client(ae_registry_client *client) {
    ae_record_begin(&client->state);
    client->client_id = 9;
    memset(client->name, 'c', sizeof client->name);
    ae_record_commit(&client->state);
}

static void fill_grant(ae_registry_grant *grant, uint32_t role, uint32_t record) {
    ae_record_begin(&grant->state);
    grant->grant_id = 10;
    grant->topic_id = 7;
    grant->client_id = 9;
    grant->role = role;
    grant->record = record;
    ae_record_commit(&grant->state);
}

static void created_and_opened(void **state) {
    struct ae_registry reader, second;

    (void)state;
    assert_int_equal(ae_registry_bytes(TOPICS, CLIENTS, GRANTS), 12288); /* 4096 + 3 * 1024 + 2 * 128 + 5 * 256 */
    assert_int_equal(registry.bytes, 12288);
    assert_int_equal(registry.header->magic, AE_REGISTRY_MAGIC);
    assert_int_equal(registry.header->bytes, 12288);
    assert_int_equal(registry.header->daemon_pid, getpid());
    assert_int_equal(ae_load_acquire(&registry.header->next_id), 1);
    assert_string_equal(registry.header->socket_path, instance.socket_path);
    assert_int_equal(ae_registry_create(&second, &instance, 1, 1, 1), -EEXIST);

    for (int writable = 0; writable < 2; writable++) {
        assert_int_equal(ae_registry_open(&reader, &instance, writable), 0);
        assert_int_equal(reader.topics_max, TOPICS);
        assert_int_equal(reader.clients_max, CLIENTS);
        assert_int_equal(reader.grants_max, GRANTS);
        assert_int_equal((char *)reader.grants - (char *)reader.base, 4096 + 3 * 1024 + 2 * 128);
#ifndef AE_TSAN
        assert_int_equal(mprotect(reader.base, AE_PAGE, PROT_READ | PROT_WRITE), writable ? 0 : -1);
#endif
        ae_registry_close(&reader);
        assert_null(reader.base);
    }
    ae_registry_close(&reader);
}

static void limits(void **state) {
    static const uint32_t wrong[][3] = {
        {0, 1, 1},
        {1, 0, 1},
        {1, 1, 0},
        {AE_REGISTRY_TOPICS_LIMIT + 1, 1, 1},
        {1, AE_REGISTRY_CLIENTS_LIMIT + 1, 1},
        {1, 1, AE_REGISTRY_GRANTS_LIMIT + 1},
        {UINT32_MAX, UINT32_MAX, UINT32_MAX},
    };
    struct ae_registry other;

    (void)state;
    ae_registry_close(&registry);
    assert_int_equal(ae_segment_remove(name), 0);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(ae_registry_create(&other, &instance, wrong[i][0], wrong[i][1], wrong[i][2]), -EINVAL);
    assert_int_equal(ae_registry_open(&other, &instance, false), -ENOENT);
    assert_int_equal(ae_registry_create(&other, &instance, AE_REGISTRY_TOPICS_LIMIT, AE_REGISTRY_CLIENTS_LIMIT,
                                        AE_REGISTRY_GRANTS_LIMIT),
                     0);
    ae_registry_close(&other);
    assert_int_equal(ae_registry_open(&other, &instance, false), 0);
    ae_registry_close(&other);
}

static void assert_open_fails(int code, const char *text) {
    struct ae_registry other;

    assert_int_equal(ae_registry_open(&other, &instance, false), code);
    assert_null(other.base);
    if (strstr(aether_errmsg(), text) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", aether_errmsg(), text);
}

static void damaged_headers(void **state) {
    ae_registry_header *header = registry.header;
    uint32_t *const counts[] = {&header->topics_max, &header->clients_max, &header->grants_max};
    static const uint32_t wrong[] = {0, 1, 100, UINT32_MAX};
    struct ae_instance stranger = instance;
    struct ae_registry other;

    (void)state;
    header->magic = 0;
    assert_open_fails(-EBADMSG, "isn't a finished registry");
    header->magic = AE_LOG_MAGIC;
    assert_open_fails(-EBADMSG, "isn't a finished registry");
    header->magic = AE_REGISTRY_MAGIC;
    header->layout_major = AE_LAYOUT_MAJOR + 1;
    header->topics_max = 0; /* not read, because the layout is another */
    assert_open_fails(-EPROTO, "layout version 6, this program knows version 5");
    header->topics_max = TOPICS;
    header->layout_major = AE_LAYOUT_MAJOR;
    header->layout_minor = AE_LAYOUT_MINOR + 1; /* compatible */
    assert_int_equal(ae_registry_open(&other, &instance, false), 0);
    ae_registry_close(&other);

    header->bytes = 8192;
    assert_open_fails(-EBADMSG, "damaged");
    header->bytes = 12288;
    for (size_t i = 0; i < 3; i++) {
        const uint32_t right = *counts[i];
        for (size_t j = 0; j < sizeof wrong / sizeof wrong[0]; j++) {
            if (ae_registry_bytes(i == 0 ? wrong[j] : TOPICS, i == 1 ? wrong[j] : CLIENTS,
                                  i == 2 ? wrong[j] : GRANTS) == 12288 &&
                wrong[j] != 0)
                continue; /* these limits give the same size */
            *counts[i] = wrong[j];
            assert_open_fails(-EBADMSG, "damaged");
        }
        *counts[i] = right;
    }
    stranger.uid++; /* the prefix stays, so that it finds an object of another user */
    assert_int_equal(ae_registry_open(&other, &stranger, false), -EACCES);
}

static void wrong_sizes(void **state) {
    int fd = ae_segment_open(name, true, instance.uid, 12288, NULL);

    (void)state;
    assert_true(fd >= 0);
    ae_registry_close(&registry);
    assert_int_equal(ftruncate(fd, 16384), 0);
    assert_open_fails(-EBADMSG, "damaged");
    assert_int_equal(ftruncate(fd, 4096), 0);
    assert_open_fails(-EBADMSG, "damaged");
    assert_int_equal(ftruncate(fd, 4095), 0);
    assert_open_fails(-EBADMSG, "finished");
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_open_fails(-EBADMSG, "finished");
    ae_close(&fd);
}

static void states_and_generations(void **state) {
    ae_u64 word = {0};

    (void)state;
    for (uint64_t generation = 1; generation < 4; generation++) {
        ae_record_begin(&word);
        assert_int_equal(word.v, generation << 8 | AE_RECORD_CREATING);
        ae_record_commit(&word);
        assert_int_equal(word.v, generation << 8 | AE_RECORD_LIVE);
        assert_int_equal(ae_record_state(&word), AE_RECORD_LIVE);
        ae_record_remove(&word);
        assert_int_equal(word.v, generation << 8 | AE_RECORD_REMOVING);
        ae_record_free(&word);
        assert_int_equal(word.v, generation << 8 | AE_RECORD_FREE);
        assert_int_equal(ae_record_state(&word), AE_RECORD_FREE);
    }
    word.v = UINT64_MAX; /* a new use can begin with any value */
    ae_record_begin(&word);
    assert_int_equal(ae_record_state(&word), AE_RECORD_CREATING);
}

static void records_are_read_while_live(void **state) {
    ae_registry_topic topic;
    ae_registry_client client;
    ae_registry_grant grant;

    (void)state;
    assert_int_equal(ae_registry_read_topic(&registry, 1, &topic), 0);
    fill_topic(&registry.topics[1]);
    assert_int_equal(ae_registry_read_topic(&registry, 1, &topic), 1);
    assert_int_equal(topic.topic_id, 7);
    assert_int_equal(topic.geometry.capacity, 64);
    assert_string_equal(topic.name, "a/b");
    assert_int_equal(topic.name[255], 0);
    assert_int_equal(topic.state.v, 1 << 8 | AE_RECORD_LIVE);
    assert_int_equal(ae_registry_read_topic(&registry, 0, &topic), 0);
    assert_int_equal(ae_registry_read_topic(&registry, TOPICS, &topic), 0);
    assert_int_equal(ae_registry_read_topic(&registry, UINT32_MAX, &topic), 0);

    fill_client(&registry.clients[0]);
    assert_int_equal(ae_registry_read_client(&registry, 0, &client), 1);
    assert_int_equal(client.client_id, 9);
    assert_int_equal(strlen(client.name), 63);
    assert_int_equal(ae_registry_read_client(&registry, CLIENTS, &client), 0);

    fill_grant(&registry.grants[GRANTS - 1], AE_ROLE_RELIABLE, 63);
    assert_int_equal(ae_registry_read_grant(&registry, GRANTS - 1, &grant), 1);
    assert_int_equal(grant.record, 63);
    assert_int_equal(ae_registry_read_grant(&registry, GRANTS, &grant), 0);

    ae_record_remove(&registry.topics[1].state);
    assert_int_equal(ae_registry_read_topic(&registry, 1, &topic), 0);
    ae_record_free(&registry.topics[1].state);
    assert_int_equal(ae_registry_read_topic(&registry, 1, &topic), 0);
    ae_record_begin(&registry.topics[1].state);
    assert_int_equal(ae_registry_read_topic(&registry, 1, &topic), 0);
    registry.topics[1].state.v = 1 << 8 | 0xff;
    assert_int_equal(ae_registry_read_topic(&registry, 1, &topic), 0);
}

static void nonsense_is_skipped(void **state) {
    static const struct {
        uint32_t role, record;
        int live;
    } grants[] = {
        {AE_ROLE_PUBLISHER, 63, 1},
        {AE_ROLE_PUBLISHER, 64, 0},
        {AE_ROLE_RELIABLE, 64, 0},
        {AE_ROLE_BEST_EFFORT, 0, 1},
        {AE_ROLE_BEST_EFFORT, 1, 0},
        {0, 0, 0},
        {4, 0, 0},
        {UINT32_MAX, UINT32_MAX, 0},
    };
    static const uint32_t name_lens[] = {0, 2, 256, UINT32_MAX};
    ae_registry_topic topic, *shared = &registry.topics[0];
    ae_registry_client client;
    ae_registry_grant grant, *shared_grant = &registry.grants[0];

    (void)state;
    for (size_t i = 0; i < sizeof grants / sizeof grants[0]; i++) {
        fill_grant(shared_grant, grants[i].role, grants[i].record);
        assert_int_equal(ae_registry_read_grant(&registry, 0, &grant), grants[i].live);
    }
    fill_grant(shared_grant, AE_ROLE_PUBLISHER, 0);
    for (int i = 0; i < 3; i++) {
        uint64_t *const ids[] = {&shared_grant->grant_id, &shared_grant->topic_id, &shared_grant->client_id};
        *ids[i] = 0;
        assert_int_equal(ae_registry_read_grant(&registry, 0, &grant), 0);
        *ids[i] = 1;
        assert_int_equal(ae_registry_read_grant(&registry, 0, &grant), 1);
    }
    shared_grant->stats = GRANTS;
    assert_int_equal(ae_registry_read_grant(&registry, 0, &grant), 0);
    shared_grant->stats = GRANTS - 1;
    ae_registry_set_folded(shared_grant);
    assert_int_equal(ae_registry_read_grant(&registry, 0, &grant), 1);
    assert_int_equal(grant.stats, GRANTS - 1);
    assert_int_equal(grant.folded, 1);
    shared_grant->folded = 2;
    assert_int_equal(ae_registry_read_grant(&registry, 0, &grant), 0);
    for (size_t i = 0; i < sizeof name_lens / sizeof name_lens[0]; i++) {
        fill_topic(shared);
        shared->name_len = name_lens[i]; /* 2: "a/" */
        assert_int_equal(ae_registry_read_topic(&registry, 0, &topic), 0);
    }
    fill_topic(shared);
    shared->name[1] = '\0';
    assert_int_equal(ae_registry_read_topic(&registry, 0, &topic), 0);
    fill_topic(shared);
    shared->topic_id = 0;
    assert_int_equal(ae_registry_read_topic(&registry, 0, &topic), 0);
    fill_client(&registry.clients[0]);
    registry.clients[0].client_id = 0;
    assert_int_equal(ae_registry_read_client(&registry, 0, &client), 0);
}

/* A topic has a type if and only if the first byte of the type's name isn't 0. */
static void types(void **state) {
    ae_registry_topic topic, *shared = &registry.topics[0];
    char longest[64] = "";

    (void)state;
    memset(shared->type_name, 0, sizeof shared->type_name);
    fill_topic(shared);
    assert_int_equal(ae_registry_read_topic(&registry, 0, &topic), 1);
    assert_string_equal(topic.type_name, "");
    shared->type_version = 2; /* as if aetherd had been killed before it stored the name */
    shared->type_size = 32;
    shared->type_pid = 41;
    shared->stated = AE_STATED_CAPACITY | AE_STATED_TYPE;
    memset(shared->type_maker, 'm', sizeof shared->type_maker);
    memset(shared->type_name + 1, 'x', sizeof shared->type_name - 1);
    assert_int_equal(ae_registry_read_topic(&registry, 0, &topic), 1);
    assert_int_equal(topic.type_version + topic.type_size, 0);
    assert_int_equal(topic.type_pid, 0);
    assert_int_equal(topic.stated, AE_STATED_CAPACITY);
    assert_string_equal(topic.type_maker, "");
    for (size_t i = 0; i < sizeof topic.type_name; i++)
        assert_int_equal(topic.type_name[i], 0);

    shared->maker_pid = 17;
    shared->stated = AE_STATED_CAPACITY;
    ae_registry_set_type(shared, "quote", 3, 40, "camera", 42);
    assert_int_equal(ae_registry_read_topic(&registry, 0, &topic), 1);
    assert_string_equal(topic.type_name, "quote");
    assert_int_equal(topic.type_version, 3);
    assert_int_equal(topic.type_size, 40);
    assert_int_equal(topic.stated, AE_STATED_CAPACITY | AE_STATED_TYPE);
    assert_int_equal(topic.maker_pid, 17);
    assert_int_equal(topic.type_pid, 42);
    assert_string_equal(topic.type_maker, "camera");
    assert_int_equal(shared->type_name[63], 0);

    memset(longest, 't', 63);
    ae_registry_set_type(shared, longest, 0, 0, longest, 0);
    assert_int_equal(ae_registry_read_topic(&registry, 0, &topic), 1);
    assert_string_equal(topic.type_name, longest);
    memset(shared->type_name, '\n', sizeof shared->type_name); /* damaged: not terminated, and it could forge a line */
    assert_int_equal(ae_registry_read_topic(&registry, 0, &topic), 1);
    memset(longest, '?', 63);
    assert_string_equal(topic.type_name, longest);
}

#define READS 300000u
#define CHANGES_MIN 100u

#define WORDS (sizeof(ae_registry_client) / 8)

static ae_u64 stop;

/*
 * `whole` counts the copies that the reading thread found whole. After each CHANGES_A_READ changes the changing thread
 * waits for another whole copy. If it never paused, the reading thread might never find one on a busy machine.
 */
#define CHANGES_A_READ 64u
static ae_u64 whole;

static void let_read(uint64_t change) {
    const uint64_t before = ae_load_relaxed(&whole);

    while (change % CHANGES_A_READ == 0 && ae_load_relaxed(&whole) == before && ae_load_relaxed(&stop) == 0)
        (void)sched_yield();
}

/* Writes a client again and again. Each of its words is the generation. */
static void *rewrite(void *arg) {
    ae_registry_client *client = arg;
    uint64_t words[WORDS - 1];

    for (uint64_t n = 1; ae_load_relaxed(&stop) == 0; n++) {
        for (size_t i = 0; i < WORDS - 1; i++)
            words[i] = n;
        ae_record_begin(&client->state);
        ae_copy_in((unsigned char *)&client->client_id, words, sizeof words);
        ae_record_commit(&client->state);
        let_read(n);
        if (n % 16 == 0) {
            ae_record_remove(&client->state);
            ae_record_free(&client->state);
        }
    }
    return NULL;
}

static void reader_never_sees_half_a_record(void **state) {
    struct ae_registry reader;
    ae_registry_client copy;
    uint64_t words[WORDS], generation = 0;
    unsigned int reads = 0, changes = 0, torn = 0;
    pthread_t writer;

    (void)state;
    assert_int_equal(ae_registry_open(&reader, &instance, false), 0);
    ae_store_relaxed(&stop, 0);
    assert_int_equal(pthread_create(&writer, NULL, rewrite, &registry.clients[1]), 0);
    while (reads < READS || changes < CHANGES_MIN) {
        if (ae_registry_read_client(&reader, 1, &copy) == 0)
            continue;
        (void)ae_fetch_add(&whole, 1);
        memcpy(words, &copy, sizeof words);
        reads++;
        changes += words[0] >> 8 != generation;
        generation = words[0] >> 8;
        for (size_t i = 1; i < WORDS; i++)
            torn += words[i] != generation && i != offsetof(ae_registry_client, name) / 8 + 7; /* its end is a NUL */
    }
    ae_store_relaxed(&stop, 1);
    assert_int_equal(pthread_join(writer, NULL), 0);
    ae_registry_close(&reader);
    assert_int_equal(torn, 0);
}

#define TYPE_TURNS 20000u

/* Creates topics in one record again and again, each with a type whose name, version and size are the same number. */
static void *retype(void *arg) {
    ae_registry_topic *topic = arg;
    const char none[sizeof topic->type_name] = "";
    const ae_registry_topic filled = *topic;
    char type[24];

    for (unsigned n = 1; ae_load_relaxed(&stop) == 0; n = n % 99999 + 1) {
        ae_record_begin(&topic->state);
        ae_copy_in((unsigned char *)topic + sizeof topic->state, (const unsigned char *)&filled + sizeof topic->state,
                   offsetof(ae_registry_topic, type_name) - sizeof topic->state);
        ae_copy_in((unsigned char *)topic->type_name, none, sizeof none);
        ae_record_commit(&topic->state);
        snprintf(type, sizeof type, "%u.0123456.%05u", n, n);
        ae_registry_set_type(topic, type, n, n, type, n);
        let_read(n);
    }
    return NULL;
}

static void reader_never_sees_half_a_type(void **state) {
    struct ae_registry reader;
    ae_registry_topic copy;
    unsigned int typed = 0, untyped = 0, torn = 0;
    pthread_t writer;
    char want[24];

    (void)state;
    memset(registry.topics[0].type_name, 0, sizeof registry.topics[0].type_name);
    fill_topic(&registry.topics[0]);
    assert_int_equal(ae_registry_open(&reader, &instance, false), 0);
    ae_store_relaxed(&stop, 0);
    assert_int_equal(pthread_create(&writer, NULL, retype, &registry.topics[0]), 0);
    while (typed < TYPE_TURNS || untyped == 0) {
        if (ae_registry_read_topic(&reader, 0, &copy) == 0)
            continue;
        (void)ae_fetch_add(&whole, 1);
        if (copy.type_name[0] == '\0') {
            untyped++;
            torn += copy.type_version != 0 || copy.type_size != 0 || copy.type_pid != 0 || copy.type_maker[0] != 0;
            continue;
        }
        typed++;
        snprintf(want, sizeof want, "%u.0123456.%05u", copy.type_version, copy.type_version);
        torn += strcmp(copy.type_name, want) != 0 || copy.type_size != copy.type_version ||
                copy.type_pid != copy.type_version || strcmp(copy.type_maker, want) != 0;
    }
    ae_store_relaxed(&stop, 1);
    assert_int_equal(pthread_join(writer, NULL), 0);
    ae_registry_close(&reader);
    assert_int_equal(torn, 0);
}

/* Of a topic without slots the geometry says only where its sequences begin. */
static void shapes(void **state) {
    ae_registry_topic topic, *shared = &registry.topics[0];

    (void)state;
    fill_topic(shared);
    shared->geometry.start_seq = 5;
    assert_int_equal(ae_registry_read_topic(&registry, 0, &topic), 1);
    assert_int_equal(ae_shape_of(topic.shape.v), AE_SHAPE_FIXED);
    assert_int_equal(topic.geometry.capacity, 64);
    const uint64_t word = shared->shape.v;
    ae_registry_set_shape(shared, AE_SHAPE_OPEN);
    assert_int_equal(shared->shape.v, ((word >> 8) + 1) << 8);
    assert_int_equal(ae_registry_read_topic(&registry, 0, &topic), 1);
    assert_int_equal(ae_shape_of(topic.shape.v), AE_SHAPE_OPEN);
    assert_int_equal(topic.geometry.capacity, 0);
    assert_int_equal(topic.geometry.start_seq, 5);
    ae_registry_drop_type(shared);
    ae_registry_set_type(shared, "quote", 2, 32, "maker", 42);
    assert_int_equal(ae_registry_read_topic(&registry, 0, &topic), 1);
    assert_string_equal(topic.type_name, "quote");
    assert_int_equal(topic.stated & AE_STATED_TYPE, AE_STATED_TYPE);
    ae_registry_set_shape(shared, AE_SHAPE_OPEN);
    ae_registry_drop_type(shared);
    assert_int_equal(ae_registry_read_topic(&registry, 0, &topic), 1);
    assert_string_equal(topic.type_name, "");
    assert_int_equal(topic.stated & AE_STATED_TYPE, 0);
    shared->created = 1; /* it is about to change, and stays so: aetherd was killed */
    assert_int_equal(ae_registry_read_topic(&registry, 0, &topic), 1);
    assert_int_equal(ae_shape_of(topic.shape.v), AE_SHAPE_OPEN);
    memset(shared->creator, 'x', sizeof shared->creator);
    memset(shared->made.type_name, 'x', sizeof shared->made.type_name);
    ae_registry_set_shape(shared, AE_SHAPE_MADE);
    assert_int_equal(ae_registry_read_topic(&registry, 0, &topic), 1);
    assert_int_equal(strlen(topic.creator), sizeof topic.creator - 1);
    assert_int_equal(strlen(topic.made.type_name), sizeof topic.made.type_name - 1);
    assert_int_equal(ae_shape_of(topic.shape.v), AE_SHAPE_MADE);
    assert_int_equal(topic.geometry.capacity, 64);
    assert_int_equal(ae_registry_topic_off(&registry, &registry.topics[2]), 4096 + 2 * 1024);
}

/* Gives a live topic one geometry after the other, with the same number in all values. */
static void *reshape(void *arg) {
    ae_registry_topic *topic = arg;

    for (uint64_t n = 1; ae_load_relaxed(&stop) == 0; n = n % 99999 + 1) {
        const uint32_t m = (uint32_t)n;
        const ae_geometry geometry = {n, n, n, n, n, n, n, n, n, m, m, m, m};
        ae_registry_set_shape(topic, AE_SHAPE_OPEN);
        ae_copy_in((unsigned char *)&topic->geometry, (const unsigned char *)&geometry, sizeof geometry);
        ae_registry_set_shape(topic, AE_SHAPE_MADE);
        let_read((unsigned)n);
    }
    return NULL;
}

static void reader_never_sees_half_a_geometry(void **state) {
    unsigned int made = 0, torn = 0;
    struct ae_registry reader;
    ae_registry_topic copy;
    pthread_t writer;

    (void)state;
    fill_topic(&registry.topics[0]);
    ae_registry_set_shape(&registry.topics[0], AE_SHAPE_OPEN);
    assert_int_equal(ae_registry_open(&reader, &instance, false), 0);
    ae_store_relaxed(&stop, 0);
    assert_int_equal(pthread_create(&writer, NULL, reshape, &registry.topics[0]), 0);
    while (made < TYPE_TURNS) {
        assert_int_equal(ae_registry_read_topic(&reader, 0, &copy), 1);
        if (ae_shape_of(copy.shape.v) == AE_SHAPE_OPEN) {
            torn += copy.geometry.capacity != 0;
            continue;
        }
        made++;
        (void)ae_fetch_add(&whole, 1);
        torn += copy.geometry.capacity == 0 || copy.geometry.capacity != copy.geometry.log_bytes ||
                copy.geometry.latency != copy.geometry.log_bytes;
    }
    ae_store_relaxed(&stop, 1);
    assert_int_equal(pthread_join(writer, NULL), 0);
    ae_registry_close(&reader);
    assert_int_equal(torn, 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

/* ---- waiting for changes ---- */

static void *sleep_until_raised(void *arg) {
    const struct ae_registry *reader = arg;

    while (ae_registry_generation(reader) == 0)
        (void)syscall(SYS_futex, &reader->header->generation, FUTEX_WAIT, 0, NULL, NULL, 0);
    return NULL;
}

/* A thread that sleeps on a read-only mapping is woken. Once it sees the raised generation, it sees the change, too. */
static void a_change_wakes_sleepers(void **state) {
    struct ae_registry reader;
    ae_registry_topic copy;
    pthread_t sleeper;

    (void)state;
    assert_int_equal(ae_registry_open(&reader, &instance, false), 0);
    assert_int_equal(ae_registry_generation(&reader), 0);
    assert_int_equal(pthread_create(&sleeper, NULL, sleep_until_raised, &reader), 0);
    fill_topic(&registry.topics[0]);
    ae_registry_changed(&registry);
    pthread_join(sleeper, NULL);
    assert_int_equal(ae_registry_generation(&reader), 1);
    assert_int_equal(ae_registry_read_topic(&reader, 0, &copy), 1);
    ae_registry_close(&reader);
}

static void another_object_of_the_same_name(void **state) {
    struct ae_registry reader, next;

    (void)state;
    assert_int_equal(ae_registry_open(&reader, &instance, false), 0);
    assert_int_equal(ae_registry_replaced(&reader, &instance), 0);
    assert_int_equal(ae_registry_replaced(&registry, &instance), 0);
    assert_int_equal(ae_segment_remove(name), 0);
    assert_int_equal(ae_registry_replaced(&reader, &instance), 0); /* the instance has no registry */
    assert_int_equal(ae_registry_create(&next, &instance, TOPICS, CLIENTS, GRANTS), 0);
    assert_int_equal(ae_registry_replaced(&reader, &instance), 1);
    assert_int_equal(ae_registry_replaced(&next, &instance), 0);
    ae_registry_close(&next);
    ae_registry_close(&reader);
}

/* An aetherd that adopts a registry of another minor version stores its own in it. */
static void another_minor_version_is_taken_over(void **state) {
    struct ae_registry reader, owner;

    (void)state;
    registry.header->layout_minor = AE_LAYOUT_MINOR + 1;
    assert_int_equal(ae_registry_open(&reader, &instance, false), 0);
    assert_int_equal(reader.header->layout_minor, AE_LAYOUT_MINOR + 1);
    assert_int_equal(ae_registry_open(&owner, &instance, true), 0);
    assert_int_equal(reader.header->layout_minor, AE_LAYOUT_MINOR);
    ae_registry_close(&owner);
    ae_registry_close(&reader);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(created_and_opened),
        TEST(limits),
        TEST(damaged_headers),
        TEST(wrong_sizes),
        TEST(states_and_generations),
        TEST(records_are_read_while_live),
        TEST(nonsense_is_skipped),
        TEST(reader_never_sees_half_a_record),
        TEST(types),
        TEST(reader_never_sees_half_a_type),
        TEST(shapes),
        TEST(reader_never_sees_half_a_geometry),
        TEST(a_change_wakes_sleepers),
        TEST(another_object_of_the_same_name),
        TEST(another_minor_version_is_taken_over),
    };

    return cmocka_run_group_tests_name("registry", tests, NULL, NULL);
}
