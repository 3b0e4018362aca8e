/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ring_test.h - a topic's objects without a daemon, for the unit tests beside it.
 *
 * Each object lies between two inaccessible pages, and has two mappings, rw and ro. As with aetherd, subscribers get
 * the read-only log and publishers the read-only cursors, so that a store into the other side's object crashes.
 * ThreadSanitizer sees races only within one mapping, so tests with threads use rw alone.
 */
#ifndef AE_RING_RING_TEST_H
#define AE_RING_RING_TEST_H

#include "ring/claim.h"
#include "ring/claimer.h"
#include "ring/flow.h"
#include "ring/geometry.h"
#include "ring/join.h"
#include "ring/loan.h"
#include "ring/payload_test.h"
#include "ring/receive.h"
#include "ring/topic.h"
#include "ring/wait.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct object {
    unsigned char *rw, *ro;
    size_t bytes;
};

struct ring {
    ae_geometry geometry;
    struct object log_object, cursors_object, notes_object;
    ae_log *log;
    const ae_log *log_ro;
    ae_cursors *cursors;
    const ae_cursors *cursors_ro;
    ae_notes *notes;
    const ae_notes *notes_ro;
};

/* A subscriber and its copies, which end at an inaccessible page. */
struct test_subscriber {
    ae_stats_record stats;
    struct ae_subscriber sub;
    unsigned char *copies;
    size_t copies_bytes;
    aether_subscriber *handle;
};

/* A publisher and the buffer of its loans. */
struct test_publisher {
    ae_stats_record stats;
    struct ae_publisher pub;
    unsigned char *buffer;
    aether_publisher *handle;
};

static inline void check_setup(bool ok, const char *what) {
    if (!ok) {
        perror(what);
        exit(1);
    }
}

static inline unsigned char *guarded_map(size_t bytes, int prot, int fd) {
    unsigned char *area = mmap(NULL, bytes + 2 * AE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *map;

    check_setup(area != MAP_FAILED && bytes % AE_PAGE == 0, "guard pages");
    map = mmap(area + AE_PAGE, bytes, prot, MAP_FIXED | (fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED), fd, 0);
    check_setup(map != MAP_FAILED, "mmap");
    return map;
}

static inline void guarded_unmap(unsigned char *map, size_t bytes) {
    munmap(map - AE_PAGE, bytes + 2 * AE_PAGE);
}

static inline void object_make(struct object *object, size_t bytes) {
    int fd = memfd_create("ring-test", MFD_CLOEXEC);

    check_setup(fd >= 0 && ftruncate(fd, (off_t)bytes) == 0, "memfd");
    object->bytes = bytes;
    object->rw = guarded_map(bytes, PROT_READ | PROT_WRITE, fd);
    object->ro = guarded_map(bytes, PROT_READ, fd);
    close(fd);
}

static inline void object_free(struct object *object) {
    guarded_unmap(object->rw, object->bytes);
    guarded_unmap(object->ro, object->bytes);
}

static inline void ring_reset(struct ring *ring) {
    memset(ring->log_object.rw, 0, ring->log_object.bytes);
    memset(ring->cursors_object.rw, 0, ring->cursors_object.bytes);
    memset(ring->notes_object.rw, 0, ring->notes_object.bytes);
    ae_topic_format(ring->log, ring->cursors, ring->notes, &ring->geometry, 1);
}

static inline void ring_make_as(struct ring *ring, const aether_topic_config *config) {
    check_setup(ae_geometry_make(&ring->geometry, config) == 0, "geometry");
    object_make(&ring->log_object, ring->geometry.log_bytes);
    object_make(&ring->cursors_object, ring->geometry.cursors_bytes);
    object_make(&ring->notes_object, AE_NOTES_BYTES);
    ring->log = (ae_log *)(void *)ring->log_object.rw;
    ring->log_ro = (const ae_log *)(const void *)ring->log_object.ro;
    ring->cursors = (ae_cursors *)(void *)ring->cursors_object.rw;
    ring->cursors_ro = (const ae_cursors *)(const void *)ring->cursors_object.ro;
    ring->notes = (ae_notes *)(void *)ring->notes_object.rw;
    ring->notes_ro = (const ae_notes *)(const void *)ring->notes_object.ro;
    ring_reset(ring);
}

static inline void ring_make(struct ring *ring, uint64_t capacity, uint64_t max_message, uint64_t start_seq) {
    const aether_topic_config config = {.capacity = capacity, .max_message = max_message, .start_seq = start_seq};

    ring_make_as(ring, &config);
}

static inline void ring_free(struct ring *ring) {
    object_free(&ring->log_object);
    object_free(&ring->cursors_object);
    object_free(&ring->notes_object);
}

/* For publishers and subscribers whose figures a test doesn't read. */
static ae_stats_record scratch_stats __attribute__((unused));

static inline ae_u64 *ring_tag(const struct ring *ring, uint64_t seq) {
    return (ae_u64 *)(void *)(ring->log_object.rw + ring->geometry.slots_off +
                              (seq & (ring->geometry.capacity - 1)) * ring->geometry.slot_size);
}

static inline void subscriber_open(struct test_subscriber *subscriber, const struct ring *ring, const ae_log *log,
                                   uint32_t record, const aether_subscribe_options *options) {
    const size_t need = ae_subscriber_copies_bytes(&ring->geometry, options);

    subscriber->copies_bytes = (need + AE_PAGE - 1) & ~(size_t)(AE_PAGE - 1);
    subscriber->copies = need != 0 ? guarded_map(subscriber->copies_bytes, PROT_READ | PROT_WRITE, -1) : NULL;
    if (options->policy == AETHER_RELIABLE)
        ae_topic_admit_subscriber(ring->log, ring->cursors, record);
    memset(&subscriber->stats, 0, sizeof subscriber->stats);
    ae_subscriber_init(&subscriber->sub, &ring->geometry, record, log,
                       options->policy == AETHER_RELIABLE ? ring->cursors : NULL, ring->notes, options,
                       need != 0 ? subscriber->copies + subscriber->copies_bytes - need : NULL, &subscriber->stats);
    subscriber->handle = &subscriber->sub.hot;
}

static inline void subscriber_close(struct test_subscriber *subscriber) {
    ae_subscriber_leave(&subscriber->sub);
    if (subscriber->copies != NULL)
        guarded_unmap(subscriber->copies, subscriber->copies_bytes);
}

/* cursors: ring->cursors_ro, or ring->cursors in a test with threads. */
static inline void publisher_open_as(struct test_publisher *publisher, const struct ring *ring, uint32_t record,
                                     const ae_cursors *cursors) {
    ae_topic_admit_publisher(ring->log, record);
    publisher->buffer = aligned_alloc(AE_LANE_UNIT, ae_publisher_buffer_bytes(&ring->geometry));
    check_setup(publisher->buffer != NULL, "buffer");
    memset(&publisher->stats, 0, sizeof publisher->stats);
    ae_publisher_init(&publisher->pub, &ring->geometry, record, ring->log, cursors,
                      cursors == ring->cursors ? ring->notes : ring->notes_ro, publisher->buffer, &publisher->stats);
    publisher->handle = &publisher->pub.hot;
}

static inline void publisher_open(struct test_publisher *publisher, const struct ring *ring) {
    publisher_open_as(publisher, ring, 0, ring->cursors_ro);
}

static inline void publisher_close(struct test_publisher *publisher) {
    ae_publisher_leave(&publisher->pub);
    free(publisher->buffer);
}

/* The publisher was killed, and aetherd has retired it. */
static inline void publisher_die(struct test_publisher *publisher) {
    static uint64_t deaths;

    (void)ae_topic_retire_publisher(publisher->pub.log, &publisher->pub.geometry, publisher->pub.record, ++deaths);
    free(publisher->buffer);
}

#endif
