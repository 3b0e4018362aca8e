/* SPDX-License-Identifier: Apache-2.0 */
#include "client/mappings.h"
#include "base/error.h"
#include "base/socket.h"
#include "shm/segment.h"
#include <errno.h>
#include <stdlib.h>

struct ae_mapped {
    uint64_t id;
    uint32_t kind;
    uint32_t pass; /* the last one in which it was used */
    uint32_t next; /* of the same hash: 1 + index; 0: none */
    struct ae_mapping mapping;
};

int ae_mappings_init(struct ae_mappings *mappings, uint32_t room) {
    *mappings = (struct ae_mappings){.entries = calloc(room, sizeof *mappings->entries),
                                     .heads = calloc(room, sizeof *mappings->heads),
                                     .room = room};
    if (mappings->entries != NULL && mappings->heads != NULL)
        return 0;
    ae_mappings_close(mappings);
    return ae_fail(-ENOMEM, "out of memory for a list of the mappings");
}

void ae_mappings_close(struct ae_mappings *mappings) {
    ae_mappings_clear(mappings);
    free(mappings->entries);
    free(mappings->heads);
    *mappings = (struct ae_mappings){0};
}

static uint32_t *head_of(struct ae_mappings *mappings, uint32_t kind, uint64_t id) {
    const uint64_t mixed = (id << 2 | kind) * 0x9e3779b97f4a7c15ull;

    return &mappings->heads[mixed >> 32 & (mappings->room - 1)];
}

static void link_entry(struct ae_mappings *mappings, uint32_t i) {
    struct ae_mapped *entry = &mappings->entries[i];
    uint32_t *head = head_of(mappings, entry->kind, entry->id);

    entry->next = *head;
    *head = i + 1;
}

static void close_object(struct ae_mapping *mapping) {
    ae_segment_unmap((void *)(uintptr_t)mapping->base, mapping->bytes);
    ae_close(&mapping->fd);
}

/* Closes all entries whose last pass isn't `pass`, and moves the others together. */
static void keep_only(struct ae_mappings *mappings, uint32_t pass) {
    uint32_t kept = 0;

    for (uint32_t i = 0; i < mappings->room && mappings->heads != NULL; i++)
        mappings->heads[i] = 0;
    for (uint32_t i = 0; i < mappings->count; i++) {
        if (mappings->entries[i].pass != pass) {
            close_object(&mappings->entries[i].mapping);
            continue;
        }
        mappings->entries[kept] = mappings->entries[i];
        link_entry(mappings, kept++);
    }
    mappings->count = kept;
}

void ae_mappings_begin(struct ae_mappings *mappings) {
    keep_only(mappings, mappings->pass++);
}

void ae_mappings_clear(struct ae_mappings *mappings) {
    keep_only(mappings, mappings->pass + 1);
}

bool ae_mappings_none(int rc) {
    return rc == -ENOENT || rc == -EBADMSG || rc == -EACCES;
}

static int open_object(struct ae_object_source *source, uint32_t kind, uint64_t id, uint64_t file_bytes,
                       struct ae_mapping *mapping) {
    void *base = NULL;
    int fd = ae_source_open(source, kind, id, file_bytes);

    if (fd < 0)
        return fd;
    if (kind == AE_LOOK_STATS) {
        mapping->fd = fd;
        return 0;
    }
    const int rc = ae_segment_map(fd, mapping->bytes, false, false, &base);
    mapping->base = base;
    ae_close(&fd);
    return rc;
}

int ae_mappings_take(struct ae_mappings *mappings, struct ae_object_source *source, uint32_t kind, uint64_t id,
                     uint64_t file_bytes, uint64_t bytes, struct ae_mapping *mapping) {
    for (uint32_t i = *head_of(mappings, kind, id); i != 0; i = mappings->entries[i - 1].next) {
        struct ae_mapped *entry = &mappings->entries[i - 1];
        if (entry->id == id && entry->kind == kind && entry->mapping.bytes == bytes) {
            entry->pass = mappings->pass;
            *mapping = entry->mapping;
            return 0;
        }
    }
    *mapping = (struct ae_mapping){.bytes = bytes, .fd = -1};
    const int rc = open_object(source, kind, id, file_bytes, mapping);
    if (rc != 0)
        return ae_mappings_none(rc) ? 0 : rc;
    if (mappings->count < mappings->room) {
        mapping->kept = true;
        mappings->entries[mappings->count] =
            (struct ae_mapped){.id = id, .kind = kind, .pass = mappings->pass, .mapping = *mapping};
        link_entry(mappings, mappings->count++);
    }
    return 0;
}

void ae_mappings_drop(struct ae_mapping *mapping) {
    if (!mapping->kept)
        close_object(mapping);
    *mapping = (struct ae_mapping){.fd = -1};
}
