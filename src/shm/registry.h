/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry.h - the registry object: its records, how inspectors read them, and how aetherd writes them.
 *
 * Only one thread of one aetherd writes to a registry. Any process may read it at the same time. Only
 * ae_registry_create(), ae_registry_open(), ae_registry_map() and ae_registry_replaced() make system calls that can
 * fail; they return -errno codes and set aether_errmsg(). Nothing blocks.
 */
#ifndef AE_SHM_REGISTRY_H
#define AE_SHM_REGISTRY_H

#include "shm/names.h"
#include "shm/registry_layout.h"
#include <stdbool.h>

/* A mapped registry. Owns the mapping until ae_registry_close(). */
struct ae_registry {
    void *base;
    uint64_t bytes;
    uint64_t inode;                               /* of the object: a later object of the same name has another inode */
    uint32_t topics_max, clients_max, grants_max; /* checked copies of the header's */
    ae_registry_header *header;
    ae_registry_topic *topics;
    ae_registry_client *clients;
    ae_registry_grant *grants;
};

#define AE_REGISTRY_TOPICS_LIMIT 65536u
#define AE_REGISTRY_CLIENTS_LIMIT 16384u
#define AE_REGISTRY_GRANTS_LIMIT 262144u

/* Size of a registry with these limits. */
uint64_t ae_registry_bytes(uint32_t topics_max, uint32_t clients_max, uint32_t grants_max);

/* Creates an empty registry and maps it read-write. Its magic is stored last. */
int ae_registry_create(struct ae_registry *registry, const struct ae_instance *instance, uint32_t topics_max,
                       uint32_t clients_max, uint32_t grants_max);

/*
 * Maps an existing registry. writable is for aetherd, which marks it as a registry of the present minor version of the
 * layout. Errors: -ENOENT; -EACCES; -EPROTO if it has another layout version, and then it isn't changed; -EBADMSG if it
 * is unfinished or damaged.
 */
int ae_registry_open(struct ae_registry *registry, const struct ae_instance *instance, bool writable);

/* The same of an object that is open and has `size` bytes. name: for texts, with a '/' before it. fd stays open. */
int ae_registry_map(struct ae_registry *registry, int fd, uint64_t size, bool writable, const char *name);
void ae_registry_close(struct ae_registry *registry);

/* 1 if the instance has another registry object now; 0 if not, if it has none, or if that can't be found out. */
int ae_registry_replaced(const struct ae_registry *registry, const struct ae_instance *instance);

/*
 * Make a consistent copy of record i, also while aetherd runs. 1 if the record is live and valid; 0 if it is free, is
 * being changed, or has invalid values. Strings in *copy are terminated. A topic's geometry is copied without a check:
 * the caller calls ae_geometry_check(). If the topic's shape is OPEN, or changed meanwhile, the copy says OPEN and has
 * only start_seq of the geometry.
 */
int ae_registry_read_topic(const struct ae_registry *registry, uint32_t i, ae_registry_topic *copy);
int ae_registry_read_client(const struct ae_registry *registry, uint32_t i, ae_registry_client *copy);
int ae_registry_read_grant(const struct ae_registry *registry, uint32_t i, ae_registry_grant *copy);

/* Adds what another wish states. Sizes become the larger of both; else the other's value counts. */
void ae_wish_merge(ae_wish *all, const ae_wish *says);

/*
 * aetherd: the same of the record of a topic that begins anew, REMOVING or CREATING, which a predecessor was killed
 * before it had completed. 1 if it is such a record, and valid.
 */
int ae_registry_read_anew(const struct ae_registry *registry, uint32_t i, ae_registry_topic *copy);

/*
 * aetherd: gives a type to a live topic that has none. name: 1 to 63 bytes. maker, pid: of the client that states it. A
 * process that reads the record meanwhile, or after aetherd was killed meanwhile, finds either no type or the whole
 * type.
 */
void ae_registry_set_type(ae_registry_topic *topic, const char *name, uint32_t version, uint32_t size,
                          const char *maker, uint32_t pid);

/* aetherd: takes the type from a topic. Call it after the shape was stored as OPEN: so no process reads half a type. */
void ae_registry_drop_type(ae_registry_topic *topic);

/*
 * aetherd: stores a shape, OPEN before it changes the geometry of a topic that others may read, another one after. It
 * is a change also if the topic had this shape.
 */
void ae_registry_set_shape(ae_registry_topic *topic, uint64_t shape);

/* Where the record lies in the object. */
uint64_t ae_registry_topic_off(const struct ae_registry *registry, const ae_registry_topic *topic);

/* aetherd: marks a live grant as folded. */
void ae_registry_set_folded(ae_registry_grant *grant);

/* aetherd: says of which release it is, "MAJOR.MINOR.PATCH". */
void ae_registry_set_release(const struct ae_registry *registry, const char *release);

/*
 * aetherd calls it after it has stored that a topic has come, has gone, or has got its type. Raises the registry's
 * generation and wakes the threads that sleep on it.
 */
void ae_registry_changed(const struct ae_registry *registry);

/* The generation. Load it, then read the topics: they are up to date as long as the generation stays the same. */
uint64_t ae_registry_generation(const struct ae_registry *registry);

/*
 * State words, for aetherd. begin raises the word's generation and stores CREATING, commit LIVE, remove REMOVING, and
 * free FREE. Each is a store with release.
 */
uint64_t ae_record_state(const ae_u64 *word);
void ae_record_begin(ae_u64 *word);
void ae_record_commit(ae_u64 *word);
void ae_record_remove(ae_u64 *word);
void ae_record_free(ae_u64 *word);

#endif
