/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory.h - is there room for so many bytes of shared memory? (ae_memory_check() of segment.h asks this with root "".)
 *
 * Looks at the memory control groups (version 2 and version 1) of the calling process, from its own group up to the
 * root, and at the machine's available memory. Shared memory counts against the group of the process that allocates
 * it, and a group without room ends in the OOM killer, not in an error; so the room is looked at before. A limit that
 * can't be read doesn't count.
 */
#ifndef AE_SHM_MEMORY_H
#define AE_SHM_MEMORY_H

#include <stdint.h>

/*
 * All files are read below the directory `root` ("" is the machine's own; tests put fixtures elsewhere). 0, or
 * -ENOMEM with a text.
 */
int ae_memory_check_at(const char *root, uint64_t bytes);

#endif
