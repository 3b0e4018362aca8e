/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/registry.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/socket.h"
#include "base/text.h"
#include "shm/segment.h"
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STATE_MASK 0xffull
#define GENERATION_ONE 0x100ull
#define CHANGE_TRIES 100u /* some 10 us: longer than aetherd takes, if nothing interrupts it */

uint64_t ae_registry_bytes(uint32_t topics_max, uint32_t clients_max, uint32_t grants_max) {
    const uint64_t bytes = sizeof(ae_registry_header) + (uint64_t)topics_max * sizeof(ae_registry_topic) +
                           (uint64_t)clients_max * sizeof(ae_registry_client) +
                           (uint64_t)grants_max * sizeof(ae_registry_grant);

    return (bytes + AE_PAGE - 1) / AE_PAGE * AE_PAGE;
}

static bool counts_valid(uint32_t topics_max, uint32_t clients_max, uint32_t grants_max) {
    return topics_max >= 1 && topics_max <= AE_REGISTRY_TOPICS_LIMIT && clients_max >= 1 &&
           clients_max <= AE_REGISTRY_CLIENTS_LIMIT && grants_max >= 1 && grants_max <= AE_REGISTRY_GRANTS_LIMIT;
}

/* Fills *registry for a mapping. The caller has checked the size and the counts. */
static void place(struct ae_registry *registry, void *base, uint32_t topics_max, uint32_t clients_max,
                  uint32_t grants_max) {
    unsigned char *at = base;

    registry->base = base;
    registry->bytes = ae_registry_bytes(topics_max, clients_max, grants_max);
    registry->topics_max = topics_max;
    registry->clients_max = clients_max;
    registry->grants_max = grants_max;
    registry->header = base;
    at += sizeof(ae_registry_header);
    registry->topics = (ae_registry_topic *)(void *)at;
    at += (uint64_t)topics_max * sizeof(ae_registry_topic);
    registry->clients = (ae_registry_client *)(void *)at;
    at += (uint64_t)clients_max * sizeof(ae_registry_client);
    registry->grants = (ae_registry_grant *)(void *)at;
}

int ae_registry_create(struct ae_registry *registry, const struct ae_instance *instance, uint32_t topics_max,
                       uint32_t clients_max, uint32_t grants_max) {
    char name[AE_OBJECT_NAME_SIZE];
    ae_registry_header header = {.layout_major = AE_LAYOUT_MAJOR, .layout_minor = AE_LAYOUT_MINOR};
    void *base = NULL;
    int rc;

    memset(registry, 0, sizeof *registry);
    if (!counts_valid(topics_max, clients_max, grants_max))
        return ae_fail(
            -EINVAL, "registry of %" PRIu32 " topics, %" PRIu32 " clients, %" PRIu32 " handles: use 1 to %u, %u and %u",
            topics_max, clients_max, grants_max, AE_REGISTRY_TOPICS_LIMIT, AE_REGISTRY_CLIENTS_LIMIT,
            AE_REGISTRY_GRANTS_LIMIT);
    header.bytes = ae_registry_bytes(topics_max, clients_max, grants_max);
    header.topics_max = topics_max;
    header.clients_max = clients_max;
    header.grants_max = grants_max;
    header.daemon_pid = (uint32_t)getpid();
    header.started_ns = ae_realtime_ns();
    header.started_mono_ns = ae_now_ns();
    header.next_id.v = 1;
    memcpy(header.socket_path, instance->socket_path, sizeof instance->socket_path);

    ae_name_registry(instance, name);
    int fd = ae_segment_create(name, header.bytes, header.bytes);
    if (fd < 0)
        return fd;
    rc = ae_segment_map(fd, header.bytes, true, true, &base);
    registry->inode = ae_segment_inode(fd);
    ae_close(&fd);
    if (rc != 0) {
        ae_segment_remove(name);
        return rc;
    }
    place(registry, base, topics_max, clients_max, grants_max);
    ae_copy_in(base, &header, sizeof header);
    /* G3 release, pairs G4 (open): a process that sees the magic sees the header. */
    ae_store_release((ae_u64 *)(void *)&registry->header->magic, AE_REGISTRY_MAGIC);
    return 0;
}

/*
 * Checks a mapped registry of `size` bytes and fills *registry. It copies the header, checks the copy, and uses only
 * the copy.
 */
static int check_header(struct ae_registry *registry, void *base, uint64_t size, const char *name) {
    ae_registry_header header;

    /* G4 acquire, pairs G3 (create). */
    if (ae_load_acquire(base) != AE_REGISTRY_MAGIC)
        return ae_fail(-EBADMSG, "%s isn't a finished registry: if aetherd is starting, try again; else start it",
                       name + 1);
    ae_copy_out(&header, base, sizeof header);
    if (header.layout_major != AE_LAYOUT_MAJOR)
        return ae_fail(-EPROTO,
                       "%s has layout version %" PRIu32 ", this program knows version %u: use programs of one release",
                       name + 1, header.layout_major, AE_LAYOUT_MAJOR);
    if (!counts_valid(header.topics_max, header.clients_max, header.grants_max) || header.bytes != size ||
        ae_registry_bytes(header.topics_max, header.clients_max, header.grants_max) != size)
        return ae_fail(-EBADMSG,
                       "%s is damaged: %" PRIu64 " bytes for %" PRIu32 " topics, %" PRIu32 " clients, %" PRIu32
                       " handles",
                       name + 1, size, header.topics_max, header.clients_max, header.grants_max);
    place(registry, base, header.topics_max, header.clients_max, header.grants_max);
    return 0;
}

int ae_registry_map(struct ae_registry *registry, int fd, uint64_t size, bool writable, const char *name) {
    void *base = NULL;
    int rc;

    memset(registry, 0, sizeof *registry);
    if (size < sizeof(ae_registry_header))
        return ae_fail(-EBADMSG, "%s isn't a finished registry: it has %" PRIu64 " bytes", name + 1, size);
    rc = ae_segment_map(fd, size, writable, false, &base);
    if (rc != 0)
        return rc;
    registry->inode = ae_segment_inode(fd);
    rc = check_header(registry, base, size, name);
    if (rc != 0)
        ae_segment_unmap(base, size);
    else if (writable)
        registry->header->layout_minor = AE_LAYOUT_MINOR; /* the layout that aetherd keeps from now on */
    return rc;
}

int ae_registry_open(struct ae_registry *registry, const struct ae_instance *instance, bool writable) {
    char name[AE_OBJECT_NAME_SIZE];
    uint64_t size;

    memset(registry, 0, sizeof *registry);
    ae_name_registry(instance, name);
    int fd = ae_segment_open(name, writable, instance->uid, 0, &size);
    if (fd < 0)
        return fd;
    const int rc = ae_registry_map(registry, fd, size, writable, name);
    ae_close(&fd);
    return rc;
}

void ae_registry_close(struct ae_registry *registry) {
    ae_segment_unmap(registry->base, registry->bytes);
    memset(registry, 0, sizeof *registry);
}

int ae_registry_replaced(const struct ae_registry *registry, const struct ae_instance *instance) {
    char name[AE_OBJECT_NAME_SIZE];

    ae_name_registry(instance, name);
    return ae_segment_replaced(name, instance->uid, registry->inode);
}

/*
 * Copies a record of `size` bytes that begins with its state word. Returns 1 if the record was LIVE and didn't change
 * meanwhile. The state word of the copy is the word that was checked.
 */
static int read_record(void *copy, const ae_u64 *record, size_t size) {
    /* G2 acquire, pairs commit: if the word says LIVE, all fields that were stored before it are visible. */
    const uint64_t before = ae_load_acquire(record);

    if ((before & STATE_MASK) != AE_RECORD_LIVE)
        return 0;
    ae_copy_out(copy, (const unsigned char *)record, size);
    /*
     * G1 fence, pairs begin: if one copied byte belongs to the next use of the record, the word loaded now isn't
     * `before`.
     */
    ae_fence_acquire();
    if (ae_load_relaxed(record) != before)
        return 0;
    memcpy(copy, &before, sizeof before);
    return 1;
}

_Static_assert(offsetof(ae_registry_topic, name_len) % 8 == 0 && offsetof(ae_registry_topic, stated) % 8 == 4 &&
                   offsetof(ae_registry_topic, stated) - offsetof(ae_registry_topic, name_len) == 12,
               "a type's version and size lie in two words with name_len and stated");
_Static_assert(offsetof(ae_registry_topic, maker_pid) % 8 == 0 && offsetof(ae_registry_topic, type_pid) % 8 == 4,
               "the two pids lie in one word");

/* The first 8 bytes of a topic's type name. They are stored last, in one store. */
static ae_u64 *type_word(const ae_registry_topic *topic) {
    return (ae_u64 *)(uintptr_t)topic->type_name;
}

void ae_registry_set_type(ae_registry_topic *topic, const char *name, uint32_t version, uint32_t size,
                          const char *maker, uint32_t pid) {
    /* Whole 64-bit words. */
    const uint32_t numbers[] = {topic->name_len, version, size, topic->stated | AE_STATED_TYPE};
    const uint32_t pids[] = {topic->maker_pid, pid};
    char padded[sizeof topic->type_name] = "", who[sizeof topic->type_maker] = "";
    uint64_t first;

    memcpy(padded, name, strnlen(name, sizeof padded - 1));
    memcpy(&first, padded, sizeof first);
    memcpy(who, maker, strnlen(maker, sizeof who - 1));
    ae_copy_in((unsigned char *)&topic->name_len, numbers, sizeof numbers);
    ae_copy_in((unsigned char *)&topic->maker_pid, pids, sizeof pids);
    ae_copy_in((unsigned char *)topic->type_maker, who, sizeof who);
    ae_copy_in((unsigned char *)topic->type_name + sizeof first, padded + sizeof first, sizeof padded - sizeof first);
    /* G5 release, pairs G6 (read_topic): a process that sees the name's first byte sees the whole type. */
    ae_store_release(type_word(topic), first);
}

void ae_registry_drop_type(ae_registry_topic *topic) {
    topic->stated &= ~AE_STATED_TYPE;
    ae_store_release(type_word(topic), 0);
}

void ae_registry_set_shape(ae_registry_topic *topic, uint64_t shape) {
    const uint64_t word = ae_load_relaxed(&topic->shape);

    /* G9 release, pairs G10 (read_topic): the geometry is stored before the word. */
    ae_store_release(&topic->shape, ((word & ~AE_SHAPE_MASK) + AE_SHAPE_CHANGE) | shape);
    /* G9 fence, pairs G10: no byte of the next geometry is stored before the word says OPEN. */
    ae_fence_release();
}

uint64_t ae_registry_topic_off(const struct ae_registry *registry, const ae_registry_topic *topic) {
    return (uint64_t)((const unsigned char *)topic - (const unsigned char *)registry->base);
}

/* What a copy may hold that was made while the topic got another shape or its type, or lost its type. */
static void drop_incomplete(ae_registry_topic *copy, uint64_t shape, bool typed) {
    copy->shape.v = shape;
    if (ae_shape_of(shape) == AE_SHAPE_OPEN)
        copy->geometry = (ae_geometry){.start_seq = copy->geometry.start_seq};
    if (typed)
        return;
    copy->type_version = copy->type_size = copy->type_pid = 0;
    copy->stated &= ~AE_STATED_TYPE;
    memset(copy->type_name, 0, sizeof copy->type_name);
    memset(copy->type_maker, 0, sizeof copy->type_maker);
}

/* Ends the strings of a copy. 0: it has no valid name. */
static int finish_copy(ae_registry_topic *copy) {
    if (copy->name_len > AE_TOPIC_NAME_MAX || ae_topic_name_check(copy->name, copy->name_len) != 0)
        return 0;
    memset(copy->name + copy->name_len, 0, sizeof copy->name - copy->name_len);
    copy->type_name[sizeof copy->type_name - 1] = '\0';
    copy->maker[sizeof copy->maker - 1] = '\0';
    copy->type_maker[sizeof copy->type_maker - 1] = '\0';
    copy->made.type_name[sizeof copy->made.type_name - 1] = '\0';
    copy->creator[sizeof copy->creator - 1] = '\0';
    copy->asker[sizeof copy->asker - 1] = '\0';
    ae_text_clean(copy->type_name);
    return 1;
}

static int read_topic(const ae_registry_topic *record, ae_registry_topic *copy) {
    const uint64_t state = ae_load_acquire(&record->state);
    /* G10 acquire, pairs G9: with the shape comes the geometry. */
    const uint64_t shape = ae_load_acquire(&record->shape);
    /*
     * G6 acquire, pairs G5: loaded before the record is copied. If there was no type yet, the copy may have an
     * incomplete type, which is dropped below.
     */
    const uint64_t type = ae_load_acquire(type_word(record)) & 0xff;
    if (read_record(copy, &record->state, sizeof *copy) == 0 || copy->state.v != state)
        return 0;
    /* G10 fence, pairs G9: if one copied byte belongs to another geometry, the word loaded now isn't `shape`. */
    ae_fence_acquire();
    const bool changed = ae_load_relaxed(&record->shape) != shape;
    if (copy->topic_id == 0)
        return 0;
    drop_incomplete(copy, changed ? AE_SHAPE_OPEN : shape, type != 0 && !changed);
    return finish_copy(copy);
}

int ae_registry_read_anew(const struct ae_registry *registry, uint32_t i, ae_registry_topic *copy) {
    const ae_registry_topic *record = &registry->topics[i];
    const uint64_t state = ae_record_state(&record->state);

    if ((state != AE_RECORD_REMOVING && state != AE_RECORD_CREATING) || ae_load_relaxed(&record->anew) != 1)
        return 0;
    memcpy(copy, record, sizeof *copy);
    drop_incomplete(copy, copy->shape.v, copy->type_name[0] != '\0');
    return finish_copy(copy);
}

int ae_registry_read_topic(const struct ae_registry *registry, uint32_t i, ae_registry_topic *copy) {
    int rc = 0;

    /* A topic that was created isn't OPEN but for the moment in which its shape changes. */
    for (unsigned tries = 0; i < registry->topics_max && tries < CHANGE_TRIES; tries++) {
        rc = read_topic(&registry->topics[i], copy);
        if (rc == 0 || copy->created == 0 || ae_shape_of(copy->shape.v) != AE_SHAPE_OPEN)
            break;
    }
    return rc;
}

int ae_registry_read_client(const struct ae_registry *registry, uint32_t i, ae_registry_client *copy) {
    if (i >= registry->clients_max || read_record(copy, &registry->clients[i].state, sizeof *copy) == 0)
        return 0;
    copy->name[sizeof copy->name - 1] = '\0';
    return copy->client_id != 0;
}

int ae_registry_read_grant(const struct ae_registry *registry, uint32_t i, ae_registry_grant *copy) {
    uint32_t records;

    if (i >= registry->grants_max || read_record(copy, &registry->grants[i].state, sizeof *copy) == 0)
        return 0;
    switch (copy->role) {
    case AE_ROLE_PUBLISHER:
        records = AE_PUBLISHERS_MAX;
        break;
    case AE_ROLE_RELIABLE:
        records = AE_SUBSCRIBERS_MAX;
        break;
    case AE_ROLE_BEST_EFFORT:
        records = 1;
        break;
    default:
        return 0;
    }
    copy->wish.type_name[sizeof copy->wish.type_name - 1] = '\0';
    return copy->grant_id != 0 && copy->topic_id != 0 && copy->client_id != 0 && copy->record < records &&
           copy->stats < registry->grants_max && copy->folded <= 1;
}

static void raise_to(uint64_t *to, uint64_t value) {
    if (value > *to)
        *to = value;
}

static void take(uint32_t *to, uint32_t value) {
    if (value != 0)
        *to = value;
}

void ae_wish_merge(ae_wish *all, const ae_wish *says) {
    raise_to(&all->max_message, says->max_message);
    raise_to(&all->inline_max, says->inline_max);
    raise_to(&all->capacity, says->capacity);
    raise_to(&all->lane_bytes, says->lane_bytes);
    raise_to(&all->evict_lag, says->evict_lag);
    raise_to(&all->start_seq, says->start_seq);
    if (says->preset > all->preset)
        all->preset = says->preset;
    take(&all->publishers, says->publishers);
    take(&all->slow, says->slow);
    take(&all->latency, says->latency);
    if (says->type_name[0] != '\0') {
        all->type_version = says->type_version;
        all->type_size = says->type_size;
        memcpy(all->type_name, says->type_name, sizeof all->type_name);
    }
}

_Static_assert(offsetof(ae_registry_grant, stats) % 8 == 0 &&
                   offsetof(ae_registry_grant, folded) == offsetof(ae_registry_grant, stats) + 4,
               "stats and folded lie in one word");

void ae_registry_set_folded(ae_registry_grant *grant) {
    /* Released by the store of the epoch in the topic's totals: K4. */
    ae_store_relaxed((ae_u64 *)(void *)&grant->stats, grant->stats | 1ull << 32);
}

/* Stores the next state of the same generation. */
static void set_state(ae_u64 *word, uint64_t state) {
    ae_store_release(word, (ae_load_relaxed(word) & ~STATE_MASK) | state);
}

uint64_t ae_record_state(const ae_u64 *word) {
    return ae_load_acquire(word) & STATE_MASK;
}

void ae_record_begin(ae_u64 *word) {
    ae_store_release(word, ((ae_load_relaxed(word) & ~STATE_MASK) + GENERATION_ONE) | AE_RECORD_CREATING);
    /*
     * G1 fence, pairs read_record: no field is stored before the word says CREATING. Because of the new generation the
     * word differs from the old word even if read_record loads it again only after the commit.
     */
    ae_fence_release();
}

void ae_record_commit(ae_u64 *word) {
    /* G2 release, pairs read_record: every field is stored before the word says LIVE. */
    set_state(word, AE_RECORD_LIVE);
}

void ae_record_remove(ae_u64 *word) {
    set_state(word, AE_RECORD_REMOVING);
}

void ae_record_free(ae_u64 *word) {
    set_state(word, AE_RECORD_FREE);
}

void ae_registry_set_release(const struct ae_registry *registry, const char *release) {
    char padded[sizeof registry->header->release] = "";

    memcpy(padded, release, strnlen(release, sizeof padded - 1));
    ae_copy_in((unsigned char *)registry->header->release, padded, sizeof padded);
}

void ae_registry_changed(const struct ae_registry *registry) {
    ae_u64 *generation = &registry->header->generation;

    /* G7 acq_rel, pairs G8 (generation): a process that sees the raised word sees the change before it. */
    (void)ae_fetch_add(generation, 1);
    /* It can fail only if the address isn't mapped. */
    (void)syscall(SYS_futex, generation, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

uint64_t ae_registry_generation(const struct ae_registry *registry) {
    /* G8 acquire, pairs G7 (changed): loaded before the topics are read. */
    return ae_load_acquire(&registry->header->generation);
}
