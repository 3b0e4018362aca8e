/* SPDX-License-Identifier: Apache-2.0 */
/*
 * commit.h - writes a claimed slot outside the inline path, and commits it: with a stamp if one is due.
 *
 * The publisher has claimed the sequence and owns its slot until the commit. Wait-free.
 */
#ifndef AE_RING_COMMIT_H
#define AE_RING_COMMIT_H

#include "ring/publisher.h"
#include <sys/uio.h>

/* Writes a message of len bytes, which is at most inline_max, to the slot of seq. */
void ae_commit_message(struct ae_publisher *p, uint64_t seq, const void *data, size_t len);

/* The same for a message in pieces, which have len bytes together. */
void ae_commit_pieces(struct ae_publisher *p, uint64_t seq, const struct iovec *pieces, size_t count, uint64_t len);

/* Copies pieces one after the other to dst. */
void ae_copy_pieces(unsigned char *dst, const struct iovec *pieces, size_t count);

#endif
