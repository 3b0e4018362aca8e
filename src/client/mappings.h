/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mappings.h - a bounded number of objects that stay mapped read-only from one pass to the next.
 *
 * To open and map an object takes far longer than to read it. An object that was used in a pass stays mapped for the
 * next one; if it isn't used in that, it is unmapped, so that the memory of a removed topic becomes free. An object for
 * which there is no room is mapped for one use. Ids of topics and clients are never used again in one registry; the owner
 * calls ae_mappings_clear() when there is another registry.
 *
 * Used by one thread at a time. Nothing blocks. An object that can't be mapped is an ordinary case and no error.
 */
#ifndef AE_CLIENT_MAPPINGS_H
#define AE_CLIENT_MAPPINGS_H

#include "shm/names.h"
#include <stdbool.h>

enum ae_mapped_kind { AE_MAPPED_LOG, AE_MAPPED_CURSORS, AE_MAPPED_STATS };

struct ae_mapping {
    const void *base; /* NULL: the object can't be mapped */
    uint64_t bytes;   /* mapped */
    bool kept;        /* it stays mapped when it is dropped */
};

struct ae_mappings {
    struct ae_mapped *entries; /* room of them */
    uint32_t *heads;           /* by hash: 1 + index of the first entry; 0: none */
    uint32_t room, count;
    uint32_t pass;
};

/* -ENOMEM. room: the number of objects, a power of two. */
int ae_mappings_init(struct ae_mappings *mappings, uint32_t room);
void ae_mappings_close(struct ae_mappings *mappings);

/* A pass begins. Unmaps what wasn't used in the pass before. No mapping is in use. */
void ae_mappings_begin(struct ae_mappings *mappings);

/* Unmaps everything. No mapping is in use. */
void ae_mappings_clear(struct ae_mappings *mappings);

/*
 * Maps the first `bytes` bytes of an object of file_bytes bytes; file_bytes 0: all of an object of any size. Valid until
 * ae_mappings_drop().
 */
struct ae_mapping ae_mappings_take(struct ae_mappings *mappings, const struct ae_instance *instance,
                                   enum ae_mapped_kind kind, uint64_t id, uint64_t file_bytes, uint64_t bytes);
void ae_mappings_drop(struct ae_mapping *mapping);

#endif
