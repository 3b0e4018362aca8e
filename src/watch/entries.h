/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entries.h - what a watch remembers of each topic, found by its id and time of creation.
 *
 * The table owns the entries and their tracks. Its memory is proportional to the topics of the last two passes.
 */
#ifndef AE_WATCH_ENTRIES_H
#define AE_WATCH_ENTRIES_H

#include "watch/rates.h"
#include "watch/track.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ae_watch_entry {
    struct ae_watch_entry *next; /* in the same bucket */
    uint64_t id, created_ns;     /* the topic's */
    uint64_t seen;               /* index of the last pass in which the topic was there */
    bool selected;               /* in that pass */
    bool counted;                /* counters are set */
    struct ae_watch_counters counters;
    struct ae_watch_track *track; /* NULL: not selected lately */
};

struct ae_watch_entries {
    struct ae_watch_entry **buckets; /* a power of two of them, or NULL */
    size_t bucket_count, count;
};

/* The topic's entry; a new one is all zeros but for the key. NULL: out of memory. Begins as all zeros. */
struct ae_watch_entry *ae_watch_entries_get(struct ae_watch_entries *entries, uint64_t id, uint64_t created_ns);

/* Frees the entries that weren't seen in pass `seen`, and the tracks that weren't wanted since pass `since`. */
void ae_watch_entries_sweep(struct ae_watch_entries *entries, uint64_t seen, uint64_t since);

void ae_watch_entries_free(struct ae_watch_entries *entries);

#endif
