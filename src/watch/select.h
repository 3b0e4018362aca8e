/* SPDX-License-Identifier: Apache-2.0 */
/* select.h - the topics that matter most: a heap of a bounded number of copies, the least one at its root. */
#ifndef AE_WATCH_SELECT_H
#define AE_WATCH_SELECT_H

#include "watch/copy.h"
#include "watch/entries.h"
#include <stdbool.h>
#include <stddef.h>

/* By what topics are ordered: the first value that differs decides, the larger one is first; then the name. */
#define AE_WATCH_KEYS 3
struct ae_watch_key {
    bool kept; /* goes before all that aren't */
    double values[AE_WATCH_KEYS];
};

struct ae_watch_slot {
    struct ae_watch_copy copy;
    struct ae_watch_key key;
    struct ae_watch_entry *entry; /* of the topic; belongs to the table of entries */
};

/* Begins as all zeros. */
struct ae_watch_selection {
    struct ae_watch_slot **slots; /* the first `count` are the heap, the others up to `made` are spare */
    size_t count, max, made, room;
    bool reverse; /* the order of values and names, not of `kept` */
};

/* Begins a selection of at most `max` topics. Slots of an earlier one are used again. */
void ae_watch_select_begin(struct ae_watch_selection *selection, size_t max, bool reverse);

/*
 * Returns 1: *slot is to be filled in for this topic, with ae_watch_copy_make(), `key` and `entry`, and then to be
 * placed. If *replaces is true it still holds a topic that is no longer selected. 0: the topic isn't selected.
 * Errors: -ENOMEM.
 */
int ae_watch_select_offer(struct ae_watch_selection *selection, const struct ae_watch_key *key, const char *name,
                          struct ae_watch_slot **slot, bool *replaces);
void ae_watch_select_place(struct ae_watch_selection *selection);

/* Sorts the slots, the first in the order first. No topic can be offered after that. */
void ae_watch_select_finish(struct ae_watch_selection *selection);

void ae_watch_select_free(struct ae_watch_selection *selection);

#endif
