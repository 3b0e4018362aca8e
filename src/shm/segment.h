/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment.h - named shared-memory objects: create, open, map, remove. The names come from names.h.
 *
 * The functions keep no state; any thread may call them. On an error they return a -errno code and set aether_errmsg().
 * The caller owns the fds and the mappings that they return.
 */
#ifndef AE_SHM_SEGMENT_H
#define AE_SHM_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Creates an object of `size` zero bytes with mode 0600. The first `allocated` bytes are allocated, the rest is a hole.
 * Returns a read-write fd (O_CLOEXEC). Leaves nothing behind on failure. Errors: -EEXIST; -ENOSPC if /dev/shm has no
 * room; -ENOMEM if the machine or a memory control group has no room. Memory is checked before the allocation, because
 * a group without room would end in the OOM killer.
 */
int ae_segment_create(const char *name, uint64_t size, uint64_t allocated);

/*
 * Allocates bytes [offset, offset + bytes) of an object. Bytes that were allocated before keep their content. name: the
 * object's, for texts. 0, or the errors of ae_segment_create(), or -EBADMSG if the object is smaller.
 */
int ae_segment_allocate(int fd, uint64_t offset, uint64_t bytes, const char *name);

/*
 * Opens an object, read-only or read-write. Returns an fd (O_CLOEXEC). The object must be a regular file that belongs
 * to `uid` and has `bytes` bytes (0: any size). *size, if size isn't NULL, receives its size. Errors: -ENOENT, -EACCES,
 * -EBADMSG.
 */
int ae_segment_open(const char *name, bool writable, uint32_t uid, uint64_t bytes, uint64_t *size);

/*
 * Stores in *allocated how many bytes of an object have memory, without opening it. uid, bytes and errors as in
 * ae_segment_open(), but errors have no text.
 */
int ae_segment_allocated(const char *name, uint32_t uid, uint64_t bytes, uint64_t *allocated);

/*
 * Changes the size of an object. What is cut off loses its content and its memory; what is added is a hole. Other
 * processes that have mapped what is cut off get SIGBUS there. name: the object's, for texts. 0, or -errno.
 */
int ae_segment_resize(int fd, uint64_t bytes, const char *name);

/* The inode of an object: a later object of the same name has another one. 0 if it can't be found out. */
uint64_t ae_segment_inode(int fd);

/* Has the object of that name another inode by now? 0 also if there is none, or if that can't be found out. */
int ae_segment_replaced(const char *name, uint32_t uid, uint64_t inode);

/* 0, also if the object didn't exist. */
int ae_segment_remove(const char *name);

/*
 * Maps bytes [0, bytes) of an object after checking that it is that large. A forked child doesn't inherit the mapping.
 * populated: every page is present when the call returns. Returns 0 and *base, or -errno.
 */
int ae_segment_map(int fd, uint64_t bytes, bool writable, bool populated, void **base);

/* The same for bytes [offset, offset + bytes). offset is a multiple of the page size. */
int ae_segment_map_part(int fd, uint64_t offset, uint64_t bytes, bool writable, bool populated, void **base);

/*
 * Maps an object a second time from its first byte on, without a descriptor: base is what ae_segment_map() returned.
 * The object may have grown since; it must have `bytes` bytes now. Access is as in the first mapping, which stays.
 * Nothing is populated. Returns 0 and *again, or -errno.
 */
int ae_segment_map_again(void *base, uint64_t bytes, void **again);

/* base may be NULL. */
/*
 * Says that memory couldn't be mapped, and which limit is the cause. doing: "map 8 KiB of shared memory". Returns code.
 */
int ae_segment_fail_map(const char *doing, int code);

void ae_segment_unmap(void *base, uint64_t bytes);

/*
 * Makes the pages of bytes [offset, offset + bytes) of a mapping present, and allocates those that are holes. offset is
 * a multiple of the page size. 0, or -ENOMEM if an access to one of the pages would raise SIGBUS.
 */
int ae_segment_populate(void *base, uint64_t offset, uint64_t bytes, bool writable);

#endif
