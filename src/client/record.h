/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record.h - reads the record of statistics of one open publisher or subscriber.
 *
 * The client writes the record meanwhile, may cut or enlarge the object, and nothing in it is trusted: it is read with
 * pread(), and figures that contradict each other or the topic are left out. The functions keep nothing; nothing
 * blocks; each loop is bounded.
 */
#ifndef AE_CLIENT_RECORD_H
#define AE_CLIENT_RECORD_H

#include "ring/figures.h"
#include "shm/registry_layout.h"

/* A handle's topic. NULL: the object isn't mapped. */
struct ae_record_topic {
    const ae_geometry *geometry;
    const ae_log *log; /* mapped up to the lanes */
    const ae_cursors *cursors;
};

struct ae_record {
    ae_account account;        /* zeros without one */
    struct ae_figures figures; /* without an account only joined and next, and both are where the handle is */
    ae_stats_record copy;      /* blocks 0 to 7, and buckets with samples; without an account its counts are 0 */
};

/* What an earlier reading has found of a grant's record. It saves calls where the owner has stored no account since. */
struct ae_record_seen {
    uint64_t grant_id, flips;
    bool still; /* two readings have found the same `flips` */
    bool whole; /* the rest is what was found with these `flips` before and after */
    uint64_t since;
    ae_account account;
};

/* The size of a client's statistics, in an instance with so many grants. */
uint64_t ae_record_file_bytes(uint32_t grants_max);

/*
 * Copies the record of a grant and works out its figures. stats: its client's statistics; -1: there are none. Without a
 * record, or if that belongs to another grant, *out has what the topic says. *seen is the caller's to keep, of any
 * grant; zeros at first; NULL: there is no other reading. Returns 0, or an error with a text that passes: -ENOMEM ...
 */
int ae_record_read(int stats, const ae_registry_grant *grant, const struct ae_record_topic *topic,
                   struct ae_record_seen *seen, struct ae_record *out);

#endif
