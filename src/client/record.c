/* SPDX-License-Identifier: Apache-2.0 */
#include "client/record.h"
#include "base/clock.h"
#include "client/survey.h"
#include <string.h>

#define READ_TRIES 64         /* a few are enough unless the client is hostile */
#define COPIED (8 * AE_BLOCK) /* bytes of a record */

const ae_stats_record *ae_record_find(const struct ae_mapping *stats, const ae_registry_grant *grant) {
    const ae_stats_header *header = stats->base;

    if (header == NULL || stats->bytes < AE_STATS_RECORDS_OFF ||
        grant->stats >= (stats->bytes - AE_STATS_RECORDS_OFF) / AE_STATS_RECORD ||
        ae_load_acquire((const ae_u64 *)(const void *)&header->magic) != AE_STATS_MAGIC ||
        header->layout_major != AE_LAYOUT_MAJOR || header->client_id != grant->client_id)
        return NULL;
    const ae_stats_record *record =
        (const ae_stats_record *)(const void *)((const unsigned char *)stats->base + AE_STATS_RECORDS_OFF) +
        grant->stats;
    if (ae_load_acquire(&record->grant_id) != grant->grant_id || record->topic_id != grant->topic_id ||
        record->role != grant->role || record->record != grant->record)
        return NULL;
    return record;
}

static void copy_words(void *to, const void *from, size_t bytes) {
    uint64_t *words = to;
    const ae_u64 *shared = from;

    for (size_t i = 0; i < bytes / sizeof *words; i++)
        words[i] = ae_load_relaxed(&shared[i]);
}

/*
 * Copies the figures that belong together, and what has happened since they were stored: of a subscriber its position,
 * of a publisher the number of messages. False: the owner has stored no figures yet, or stores them at each try.
 */
static bool read_account(const ae_stats_record *record, const ae_registry_grant *grant,
                         const struct ae_record_topic *topic, ae_account *account, uint64_t *since) {
    const ae_cursor_record *shared = topic->cursors != NULL ? &topic->cursors->records[grant->record] : NULL;

    for (int turn = 0; turn < READ_TRIES; turn++) {
        const uint64_t flips = ae_figures_copy(record, account);
        if (flips == 0)
            return false;
        if (grant->role != AE_ROLE_PUBLISHER)
            *since = ae_load_acquire(ae_figures_cursor(record, account, grant->role, shared));
        else
            *since =
                topic->log != NULL ? ae_figures_since(topic->log, topic->geometry, grant->record, account->next) : 0;
        if (ae_figures_current(record, flips))
            return true;
    }
    return false;
}

/* A handle without figures: a reliable subscriber has a cursor, which says how far it is behind. */
static struct ae_figures without_account(const ae_registry_grant *grant, const struct ae_record_topic *topic) {
    uint64_t at = topic->geometry->start_seq - 1;

    if (grant->role == AE_ROLE_RELIABLE && topic->cursors != NULL)
        at = ae_load_acquire(&topic->cursors->records[grant->record].cursor);
    /* Loaded after the cursor, so that it isn't behind it. */
    const uint64_t end = ae_survey_next_seq(topic->log, topic->geometry);
    if (at - topic->geometry->start_seq > end - topic->geometry->start_seq)
        at = end;
    return (struct ae_figures){.joined = at, .next = at};
}

void ae_record_read(const ae_stats_record *record, const ae_registry_grant *grant, const struct ae_record_topic *topic,
                    struct ae_record *out) {
    uint64_t since = 0;
    bool known = false;

    memset(out, 0, COPIED + offsetof(struct ae_record, copy));
    if (record != NULL) {
        copy_words(&out->copy, record, COPIED);
        known = read_account(record, grant, topic, &out->account, &since);
    }
    /* Loaded after the cursor or the intent, so that it isn't behind it. */
    const uint64_t end = ae_survey_next_seq(topic->log, topic->geometry);
    const uint64_t start = ae_figures_start(topic->geometry, grant->granted_seq, end);
    ae_figures_limit(&out->copy, &out->account, grant->granted_ns, ae_now_ns());
    if (known && grant->role == AE_ROLE_PUBLISHER)
        known = ae_figures_of_publisher(&out->account, since, start, end, &out->figures);
    else if (known)
        known = ae_figures_of_subscriber(&out->account, since, start, end, &out->figures);
    if (known && grant->role == AE_ROLE_RELIABLE && ae_figures_is_evicted(topic->log, topic->geometry, grant->record))
        out->figures.evicted = 1;
    if (known) {
        out->figures.bytes = ae_figures_bytes(&out->figures, topic->geometry);
    } else {
        out->figures = without_account(grant, topic);
        out->account = (ae_account){0};
        /* aetherd counts none of the rest, either: a handle that is as new as can be has done nothing. */
        const uint64_t now = ae_now_ns();
        ae_figures_limit(&out->copy, &out->account, now, now);
        out->copy.samples.v = 0;
    }
}
