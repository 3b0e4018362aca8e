/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory.h - checks whether there is room for a number of bytes of shared memory.
 *
 * The check compares the bytes with the limits of the calling process's memory control groups (versions 1 and 2), from
 * its own group up to the root, and with the machine's available memory. It comes before the allocation, because shared
 * memory counts against the group of the process that allocates it, and a group without room ends in the OOM killer,
 * not in an error. A limit that can't be read is ignored.
 */
#ifndef AE_SHM_MEMORY_H
#define AE_SHM_MEMORY_H

#include <stdint.h>

/* 0, or -ENOMEM with a text that names the bytes needed, the bytes available, and the limit. */
int ae_memory_check(uint64_t bytes);

/*
 * Reads all files below the directory `root`: "" for this machine, another directory in tests. As
 * ae_memory_check().
 */
int ae_memory_check_at(const char *root, uint64_t bytes);

#endif
