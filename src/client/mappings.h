/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mappings.h - a bounded number of objects that stay open read-only from one pass to the next.
 *
 * Logs and cursors are mapped. Statistics aren't: their client may cut or enlarge its object at any time, and a load
 * from what it has cut raises SIGBUS. Of them a descriptor is kept, for pread().
 *
 * To open an object takes far longer than to read it. An object that was used in a pass stays open for the next one; if
 * it isn't used in that, it is closed, so that the memory of a removed topic becomes free. An object for which there is
 * no room is opened for one use. Ids of topics and clients are never used again in one registry; the owner calls
 * ae_mappings_clear() when there is another registry.
 *
 * Used by one thread at a time. Nothing blocks, apart from what source.h says.
 */
#ifndef AE_CLIENT_MAPPINGS_H
#define AE_CLIENT_MAPPINGS_H

#include "client/source.h"
#include <stdbool.h>

struct ae_mapping {
    const void *base; /* log, cursors; NULL: there is no such object, or it is damaged */
    uint64_t bytes;   /* mapped */
    int fd;           /* statistics; -1: as above */
    bool kept;        /* it stays open when it is dropped */
};

struct ae_mappings {
    struct ae_mapped *entries; /* room of them */
    uint32_t *heads;           /* by hash: 1 + index of the first entry; 0: none */
    uint32_t room, count;
    uint32_t pass;
};

/* Is it an error that says that there are no figures: no object, or a damaged one? All others may pass. */
bool ae_mappings_none(int rc);

/* -ENOMEM. room: the number of objects, a power of two. */
int ae_mappings_init(struct ae_mappings *mappings, uint32_t room);
void ae_mappings_close(struct ae_mappings *mappings);

/* A pass begins. Closes what wasn't used in the pass before. No object is in use. */
void ae_mappings_begin(struct ae_mappings *mappings);

/* Closes everything. No object is in use. */
void ae_mappings_clear(struct ae_mappings *mappings);

/*
 * Opens an object of a kind, AE_LOOK_*, and of file_bytes bytes, and maps its first `bytes` bytes if it is a log or
 * cursors. Valid until ae_mappings_drop(), which is called after an error, too. Returns 0, also if there is none; or an
 * error with a text that passes: -EMFILE, -ENFILE, -ENOMEM ...
 */
int ae_mappings_take(struct ae_mappings *mappings, struct ae_object_source *source, uint32_t kind, uint64_t id,
                     uint64_t file_bytes, uint64_t bytes, struct ae_mapping *mapping);
void ae_mappings_drop(struct ae_mapping *mapping);

#endif
