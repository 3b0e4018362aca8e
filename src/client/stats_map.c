/* SPDX-License-Identifier: Apache-2.0 */
#include "client/stats_map.h"
#include "base/error.h"
#include "shm/segment.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct ae_stats_map *find(struct ae_stats_map *map, uint64_t client_id, uint32_t chunk) {
    while (map != NULL && (map->client_id != client_id || map->chunk != chunk))
        map = map->next;
    return map;
}

static int add(struct ae_stats_map **maps, int fd, uint64_t client_id, uint32_t chunk, struct ae_stats_map **out) {
    const uint64_t off = AE_STATS_RECORDS_OFF + (uint64_t)chunk * AE_STATS_CHUNK * AE_STATS_RECORD;
    struct ae_stats_map *map;
    struct stat status;
    void *base;
    int rc;

    if (fstat(fd, &status) != 0)
        return ae_fail(-errno, "cannot look at a shared-memory object: %s", strerror(errno));
    map = malloc(sizeof *map);
    if (map == NULL)
        return ae_fail(-ENOMEM, "out of memory for a mapping of statistics: %zu bytes", sizeof *map);
    *map = (struct ae_stats_map){.next = *maps, .client_id = client_id, .chunk = chunk};
    map->bytes = (uint64_t)AE_STATS_CHUNK * AE_STATS_RECORD;
    if ((uint64_t)status.st_size > off && (uint64_t)status.st_size - off < map->bytes)
        map->bytes = (uint64_t)status.st_size - off; /* the last one */
    rc = ae_segment_map_part(fd, off, map->bytes, true, false, &base);
    if (rc != 0) {
        free(map);
        return rc;
    }
    map->base = base;
    *maps = *out = map;
    return 0;
}

static void drop(struct ae_stats_map **maps, struct ae_stats_map *map) {
    if (--map->users != 0)
        return;
    while (*maps != map)
        maps = &(*maps)->next;
    *maps = map->next;
    ae_segment_unmap(map->base, map->bytes);
    free(map);
}

int ae_stats_map(struct ae_stats_map **maps, int fd, uint64_t client_id, uint32_t record, uint64_t bytes,
                 ae_stats_record **out) {
    const uint64_t off = (uint64_t)(record % AE_STATS_CHUNK) * AE_STATS_RECORD;
    struct ae_stats_map *map = find(*maps, client_id, record / AE_STATS_CHUNK);
    int rc = map == NULL ? add(maps, fd, client_id, record / AE_STATS_CHUNK, &map) : 0;

    if (rc != 0)
        return rc;
    map->users++;
    rc = off + bytes <= map->bytes
             ? ae_segment_populate(map->base, off, bytes, true)
             : ae_fail(-EBADMSG, "shared-memory object has %" PRIu64 " bytes where %" PRIu64 " are needed", map->bytes,
                       off + bytes);
    if (rc != 0) {
        drop(maps, map);
        return rc;
    }
    *out = (ae_stats_record *)(void *)(map->base + off);
    return 0;
}

void ae_stats_unmap(struct ae_stats_map **maps, const ae_stats_record *record) {
    const unsigned char *at = (const unsigned char *)record;

    for (struct ae_stats_map *map = *maps; at != NULL && map != NULL; map = map->next) {
        if (at >= map->base && at < map->base + map->bytes) {
            drop(maps, map);
            return;
        }
    }
}
