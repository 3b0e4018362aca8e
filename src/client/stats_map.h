/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats_map.h - the mappings of a client's statistics, which its handles share.
 *
 * A process may have some 65,000 mappings, so a handle has none of its own for its record: AE_STATS_CHUNK records lie
 * in one mapping, which is there as long as a handle uses one of them. Only the records of handles are populated.
 *
 * The client's lock is held in all calls. Errors come with a text.
 */
#ifndef AE_CLIENT_STATS_MAP_H
#define AE_CLIENT_STATS_MAP_H

#include "shm/stats_layout.h"

#define AE_STATS_CHUNK 32u /* records: 256 KiB, which is little for a program that locks its memory */

struct ae_stats_map {
    struct ae_stats_map *next;
    uint64_t client_id;
    uint32_t chunk; /* number of the first record / AE_STATS_CHUNK */
    uint32_t users; /* handles */
    unsigned char *base;
    uint64_t bytes;
};

/*
 * Maps and populates the first `bytes` bytes of a record. fd: the statistics of the client that had client_id when
 * aetherd granted the record. *maps: the client's mappings. Returns 0 and stores the record, which ae_stats_unmap()
 * gives back.
 */
int ae_stats_map(struct ae_stats_map **maps, int fd, uint64_t client_id, uint32_t record, uint64_t bytes,
                 ae_stats_record **out);

/* NULL is allowed. */
void ae_stats_unmap(struct ae_stats_map **maps, const ae_stats_record *record);

#endif
