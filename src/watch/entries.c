/* SPDX-License-Identifier: Apache-2.0 */
/* entries.c - a hash table with chains. */
#include "watch/entries.h"
#include <stdlib.h>

/* Ids count up from 1, so their lower bits spread well; the multiplication covers ids with other patterns. */
static size_t bucket_of(const struct ae_watch_entries *entries, uint64_t id, uint64_t created_ns) {
    const uint64_t hash = (id ^ created_ns) * UINT64_C(0x9e3779b97f4a7c15);

    return (size_t)(hash >> 32) & (entries->bucket_count - 1);
}

static bool grow(struct ae_watch_entries *entries) {
    struct ae_watch_entries larger = {.bucket_count = entries->bucket_count > 0 ? entries->bucket_count * 2 : 64,
                                      .count = entries->count};

    larger.buckets = calloc(larger.bucket_count, sizeof(struct ae_watch_entry *));
    if (larger.buckets == NULL)
        return false;
    for (size_t i = 0; i < entries->bucket_count; i++) {
        for (struct ae_watch_entry *e = entries->buckets[i], *next; e != NULL; e = next) {
            struct ae_watch_entry **home = &larger.buckets[bucket_of(&larger, e->id, e->created_ns)];
            next = e->next;
            e->next = *home;
            *home = e;
        }
    }
    free(entries->buckets);
    *entries = larger;
    return true;
}

struct ae_watch_entry *ae_watch_entries_get(struct ae_watch_entries *entries, uint64_t id, uint64_t created_ns) {
    if (entries->bucket_count > 0) {
        struct ae_watch_entry *e = entries->buckets[bucket_of(entries, id, created_ns)];
        for (; e != NULL; e = e->next) {
            if (e->id == id && e->created_ns == created_ns)
                return e;
        }
    }
    if (entries->count >= entries->bucket_count && !grow(entries))
        return NULL;
    struct ae_watch_entry *new = calloc(1, sizeof *new);
    if (new == NULL)
        return NULL;
    struct ae_watch_entry **home = &entries->buckets[bucket_of(entries, id, created_ns)];
    new->id = id;
    new->created_ns = created_ns;
    new->next = *home;
    *home = new;
    entries->count++;
    return new;
}

static void free_entry(struct ae_watch_entry *entry) {
    ae_watch_track_free(entry->track);
    free(entry);
}

void ae_watch_entries_sweep(struct ae_watch_entries *entries, uint64_t seen, uint64_t since) {
    for (size_t i = 0; i < entries->bucket_count; i++) {
        struct ae_watch_entry **link = &entries->buckets[i];
        while (*link != NULL) {
            struct ae_watch_entry *e = *link;
            if (e->seen != seen) {
                *link = e->next;
                entries->count--;
                free_entry(e);
                continue;
            }
            if (e->track != NULL && e->track->wanted < since) {
                ae_watch_track_free(e->track);
                e->track = NULL;
            }
            link = &e->next;
        }
    }
}

void ae_watch_entries_free(struct ae_watch_entries *entries) {
    for (size_t i = 0; i < entries->bucket_count; i++) {
        for (struct ae_watch_entry *e = entries->buckets[i], *next; e != NULL; e = next) {
            next = e->next;
            free_entry(e);
        }
    }
    free(entries->buckets);
    *entries = (struct ae_watch_entries){0};
}
