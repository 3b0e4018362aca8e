/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record.h - reads the record of statistics of one open publisher or subscriber.
 *
 * The client writes the record meanwhile, and nothing in it is trusted: figures that contradict each other or the topic
 * are left out. The functions keep nothing; nothing blocks; each loop is bounded.
 */
#ifndef AE_CLIENT_RECORD_H
#define AE_CLIENT_RECORD_H

#include "client/mappings.h"
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
    ae_stats_record copy;      /* blocks 0 to 7; without an account its counts are 0 */
};

/*
 * Returns the record of a grant in its client's statistics, or NULL: if the object isn't one, or if its record belongs
 * to another grant. Valid as long as the mapping.
 */
const ae_stats_record *ae_record_find(const struct ae_mapping *stats, const ae_registry_grant *grant);

/* Copies the record and works out its figures. record may be NULL. */
void ae_record_read(const ae_stats_record *record, const ae_registry_grant *grant, const struct ae_record_topic *topic,
                    struct ae_record *out);

#endif
