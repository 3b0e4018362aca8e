/* SPDX-License-Identifier: Apache-2.0 */
#include "client/record.h"
#include "client/survey.h"
#include <string.h>

#define READ_TRIES 64 /* a few are enough unless the client is hostile */

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

/* Where a subscriber is, by the word that it stores most often. */
static uint64_t position_of(const ae_stats_record *record, const ae_registry_grant *grant,
                            const struct ae_record_topic *topic) {
    if (grant->role == AE_ROLE_RELIABLE && topic->cursors != NULL)
        return ae_load_acquire(&topic->cursors->records[grant->record].cursor);
    return record != NULL ? ae_load_acquire(&record->position) : 0;
}

/*
 * Copies the figures that belong together, and what has happened since they were stored: of a subscriber its position,
 * of a publisher the number of messages. False: the owner has stored no figures yet, or stores them at each try.
 */
static bool read_account(const ae_stats_record *record, const ae_registry_grant *grant,
                         const struct ae_record_topic *topic, ae_stats_account *account, uint64_t *since) {
    for (int turn = 0; turn < READ_TRIES; turn++) {
        const uint64_t flips = ae_load_acquire(&record->flips);
        if (flips == 0)
            return false;
        copy_words(account, &record->account[flips & 1], sizeof *account);
        if (grant->role != AE_ROLE_PUBLISHER)
            *since = position_of(record, grant, topic);
        else
            *since =
                topic->log != NULL ? ae_figures_since(topic->log, topic->geometry, grant->record, account->next.v) : 0;
        ae_fence_acquire();
        if (ae_load_relaxed(&record->flips) == flips)
            return true;
    }
    return false;
}

void ae_record_read(const ae_stats_record *record, const ae_registry_grant *grant, const struct ae_record_topic *topic,
                    struct ae_record *out) {
    const uint64_t start = topic->geometry->start_seq;
    ae_stats_account account;
    uint64_t since = 0;

    memset(&out->copy, 0, offsetof(ae_stats_record, buckets));
    if (record != NULL)
        copy_words(&out->copy, record, 8 * AE_BLOCK);
    out->known = record != NULL && read_account(record, grant, topic, &account, &since);
    const uint64_t position = out->known || grant->role == AE_ROLE_PUBLISHER ? 0 : position_of(record, grant, topic);
    /* Loaded after the position, so that it isn't behind it. */
    const uint64_t end = ae_survey_next_seq(topic->log, topic->geometry);
    if (out->known && grant->role == AE_ROLE_PUBLISHER)
        out->known = ae_figures_of_publisher(&account, since, start, end, &out->figures);
    else if (out->known)
        out->known = ae_figures_of_subscriber(&account, since, end, &out->figures);
    if (!out->known) {
        const uint64_t at = grant->role == AE_ROLE_RELIABLE && position >= start && position < end ? position : end;
        out->figures = (struct ae_figures){.joined = at, .next = at};
    }
}
