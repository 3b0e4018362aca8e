/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shared_map.h - one mapping per object and process, only in builds with ThreadSanitizer.
 *
 * ThreadSanitizer identifies memory by its address. It detects a race between two handles of a process only if both
 * access the object through the same mapping. So all maps of an object (identified by device, inode and size) share one
 * read-write mapping with a count of its users. An object that has grown is mapped once more for later maps of it.
 * A mutex makes the functions thread-safe.
 */
#ifndef AE_SHM_SHARED_MAP_H
#define AE_SHM_SHARED_MAP_H

#include <stdint.h>
#include <sys/stat.h>

/* status: what fstat() says about fd. Returns 0 and *base, or -errno without a text. */
int ae_shared_map(int fd, const struct stat *status, void **base);

/* The same for the object that is mapped at base and has `bytes` bytes now. */
int ae_shared_map_again(const void *base, uint64_t bytes, void **again);

/* at: any address in the mapping. */
void ae_shared_unmap(const void *at);

#endif
