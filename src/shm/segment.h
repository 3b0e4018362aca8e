/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment.h - named shared-memory objects: create, open, map, remove. Names are those of names.h.
 * All functions return -errno codes and set aether_errmsg().
 */
#ifndef AE_SHM_SEGMENT_H
#define AE_SHM_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Creates an object of exactly `size` zero bytes, mode 0600, the first `allocated` of them allocated and the rest a
 * hole, and returns a read-write fd (O_CLOEXEC). Nothing is left behind on failure. Faults: -EEXIST; -ENOSPC: /dev/shm
 * has no room; -ENOMEM: the machine or a memory control group has no room (looked at before allocating: a group without
 * headroom would end in the OOM killer).
 */
int ae_segment_create(const char *name, uint64_t size, uint64_t allocated);

/*
 * Allocates bytes [offset, offset + bytes) of an object's hole; what is allocated and was written to already stays as
 * it is. name: of the object, for texts. 0, or the faults of ae_segment_create(); -EBADMSG the object is smaller than
 * that.
 */
int ae_segment_allocate(int fd, uint64_t offset, uint64_t bytes, const char *name);

/*
 * Opens an object, read-only or read-write, and returns the fd (O_CLOEXEC). It must be a regular file of `uid` and of
 * exactly `bytes` bytes (0: any size; *size, if not NULL, receives it). Faults: -ENOENT, -EACCES, -EBADMSG.
 */
int ae_segment_open(const char *name, bool writable, uint32_t uid, uint64_t bytes, uint64_t *size);

/* 0, also if it didn't exist. */
int ae_segment_remove(const char *name);

/*
 * Maps bytes [0, bytes) of an object after checking that it is that large. Never inherited by a forked child.
 * populated: every page is faulted in before the call returns. Returns 0 and *base, or -errno.
 */
int ae_segment_map(int fd, uint64_t bytes, bool writable, bool populated, void **base);
void ae_segment_unmap(void *base, uint64_t bytes); /* base may be NULL */

/*
 * Faults in the pages of bytes [offset, offset + bytes) of a mapping; offset is a multiple of the page size. 0, or
 * -ENOMEM where touching one of them would be a SIGBUS. A page of a hole is allocated.
 */
int ae_segment_populate(void *base, uint64_t offset, uint64_t bytes, bool writable);

/* 0, or -ENOMEM with a text that names the bytes needed, what is available, and which limit it is. */
int ae_memory_check(uint64_t bytes);

#endif
