/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shared_map.h - one mapping per object and process, for builds with ThreadSanitizer only.
 *
 * ThreadSanitizer tells memory apart by address: it sees a race between two handles of one process only if both reach
 * the object through the same mapping. So there, all maps of an object (by device and inode) share one read-write
 * mapping, which is counted.
 */
#ifndef AE_SHM_SHARED_MAP_H
#define AE_SHM_SHARED_MAP_H

#include <stdint.h>
#include <sys/stat.h>

/* status: of fd. Returns 0 and *base, or -errno without a text. */
int ae_shared_map(int fd, const struct stat *status, void **base);
void ae_shared_unmap(void *base);

#endif
