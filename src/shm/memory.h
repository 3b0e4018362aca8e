/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory.h - checks whether there is room for a number of bytes of shared memory.
 *
 * The check compares the bytes with the limits of the calling process's memory control groups (versions 1 and 2), from
 * its own group up to the root, and with the machine's available memory. It comes before the allocation, because shared
 * memory counts against the group of the process that allocates it, and a group without room ends in the OOM killer,
 * not in an error. A limit that can't be read is ignored.
 *
 * To read the limits takes many system calls, more than the rest of an open, and more with each mount of the machine.
 * So what was read is used again for a second by the same thread, less what was asked for since, for needs of at most
 * 256 KiB and half of that.
 */
#ifndef AE_SHM_MEMORY_H
#define AE_SHM_MEMORY_H

#include <stdint.h>

/* 0, or -ENOMEM with a text that names the bytes needed, the bytes available, and the limit. */
int ae_memory_check(uint64_t bytes);

/* What was read last. Starts zeroed: nothing was. */
struct ae_memory_kept {
    uint64_t until_ns; /* until then it is used again; CLOCK_MONOTONIC */
    uint64_t left;     /* bytes that the smallest limit has left */
};

/*
 * Reads all files below the directory `root`: "" for this machine, another directory in tests. now_ns: the present
 * time. As ae_memory_check().
 */
int ae_memory_check_at(const char *root, struct ae_memory_kept *kept, uint64_t bytes, uint64_t now_ns);

#endif
