/* SPDX-License-Identifier: Apache-2.0 */
/* registry.h - the registry object: how it is laid out, read by anybody, and written by aetherd. */
#ifndef AE_SHM_REGISTRY_H
#define AE_SHM_REGISTRY_H

#include "shm/names.h"
#include "shm/registry_layout.h"
#include <stdbool.h>

struct ae_registry {
    void *base;
    uint64_t bytes;
    uint64_t inode; /* of the object: tells it from another one of the same name */
    /* checked copies */
    uint32_t topics_max, clients_max, grants_max;
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

/* Creates an empty registry, mapped read-write; magic is stored last. */
int ae_registry_create(struct ae_registry *registry, const struct ae_instance *instance, uint32_t topics_max,
                       uint32_t clients_max, uint32_t grants_max);

/*
 * Maps an existing one; with writable, for aetherd, which keeps it in the present minor version of the layout from now
 * on. Errors: -ENOENT, -EACCES, -EPROTO another layout version (nothing was touched), -EBADMSG
 * unfinished or damaged.
 */
int ae_registry_open(struct ae_registry *registry, const struct ae_instance *instance, bool writable);
void ae_registry_close(struct ae_registry *registry);

/*
 * Has the instance another registry object by now? 1: yes; 0: no, or none at all, or it can't be told. Three system
 * calls.
 */
int ae_registry_replaced(const struct ae_registry *registry, const struct ae_instance *instance);

/*
 * Consistent copies of record i, for readers beside a running daemon: 1 live and valid, 0 not (free, changing, or
 * nonsense). Strings in *copy are terminated; a topic's geometry is only copied: the caller checks it with
 * ae_geometry_check().
 */
int ae_registry_read_topic(const struct ae_registry *registry, uint32_t i, ae_registry_topic *copy);
int ae_registry_read_client(const struct ae_registry *registry, uint32_t i, ae_registry_client *copy);
int ae_registry_read_grant(const struct ae_registry *registry, uint32_t i, ae_registry_grant *copy);

/*
 * aetherd: gives a live topic that has no type one. name: 1 to 63 bytes. Readers beside see no type or all of it, and a
 * successor of an aetherd that was killed meanwhile, too.
 */
void ae_registry_set_type(ae_registry_topic *topic, const char *name, uint32_t version, uint32_t size);

/*
 * aetherd: a topic has come, gone, or got its type; called after that was stored. Raises the registry's generation and
 * wakes those who sleep on it.
 */
void ae_registry_changed(const struct ae_registry *registry);

/* The generation: load it, then read the topics; as long as it stays the same they do, too. */
uint64_t ae_registry_generation(const struct ae_registry *registry);

/*
 * State words (aetherd): each stores with release. Begin raises the generation and says CREATING; commit says LIVE;
 * remove REMOVING; free FREE.
 */
uint64_t ae_record_state(const ae_u64 *word);
void ae_record_begin(ae_u64 *word);
void ae_record_commit(ae_u64 *word);
void ae_record_remove(ae_u64 *word);
void ae_record_free(ae_u64 *word);

#endif
