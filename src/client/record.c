/* SPDX-License-Identifier: Apache-2.0 */
#include "client/record.h"
#include "base/clock.h"
#include "base/error.h"
#include "client/survey.h"
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

/*
 * An owner that is busy stores its account every 200 ns, and a try takes several times as long, so that one of 20 may
 * succeed. Only a hostile owner lets all fail.
 */
#define READ_TRIES 1000
#define FIGURES (8 * AE_BLOCK) /* bytes of a record, without the histogram */

uint64_t ae_record_file_bytes(uint32_t grants_max) {
    return AE_STATS_RECORDS_OFF + (uint64_t)grants_max * AE_STATS_RECORD;
}

/* Reads bytes [offset, offset + bytes) of the grant's record. 1; 0: they aren't there; or an error that passes. */
static int read_part(int stats, const ae_registry_grant *grant, size_t offset, void *to, size_t bytes) {
    const uint64_t at = AE_STATS_RECORDS_OFF + (uint64_t)grant->stats * AE_STATS_RECORD + offset;
    ssize_t done;

    do {
        done = pread(stats, to, bytes, (off_t)at);
    } while (done < 0 && errno == EINTR);
    if (done < 0 && errno != EIO)
        return ae_fail(-errno, "cannot read statistics of client %" PRIu64 ": %s", grant->client_id, strerror(errno));
    return done == (ssize_t)bytes;
}

static int read_flips(int stats, const ae_registry_grant *grant, uint64_t *flips) {
    return read_part(stats, grant, offsetof(ae_stats_record, flips), flips, sizeof *flips);
}

static bool is_of(const ae_stats_record *copy, const ae_registry_grant *grant) {
    return copy->grant_id.v == grant->grant_id && copy->topic_id == grant->topic_id && copy->role == grant->role &&
           copy->record == grant->record;
}

/*
 * What has happened since the account was stored: of a subscriber its position, of a publisher the number of messages.
 * The position is part of the copy, or of the topic's objects.
 */
static uint64_t since_account(const struct ae_record *record, const ae_registry_grant *grant,
                              const struct ae_record_topic *topic) {
    const ae_cursor_record *shared = topic->cursors != NULL ? &topic->cursors->records[grant->record] : NULL;

    if (grant->role != AE_ROLE_PUBLISHER)
        return ae_load_acquire(ae_figures_cursor(&record->copy, &record->account, grant->role, shared));
    return topic->log != NULL ? ae_figures_since(topic->log, topic->geometry, grant->record, record->account.next) : 0;
}

/* Copies the record. 1; 0: there is none of the grant; or an error that passes. */
static int read_record(int stats, const ae_registry_grant *grant, const struct ae_record_topic *topic,
                       ae_stats_record *copy) {
    const bool stamped = grant->role != AE_ROLE_PUBLISHER && topic->geometry->latency != AE_LATENCY_OFF;
    int rc = read_part(stats, grant, 0, copy, stamped ? sizeof *copy : FIGURES); /* one call takes less time than two */

    if (rc == 1 && !is_of(copy, grant))
        rc = 0;
    if (!stamped)
        copy->samples.v = 0; /* there is no histogram */
    if (rc != 1)
        memset(copy, 0, FIGURES);
    return rc;
}

/* `flips` of a moment before the record is read: of an earlier reading, if that is likely to be right still. */
static int flips_before(int stats, const ae_registry_grant *grant, struct ae_record_seen *seen, uint64_t *flips) {
    const bool known = seen->grant_id == grant->grant_id;

    *flips = seen->flips;
    const int rc = known && seen->still ? 1 : read_flips(stats, grant, flips);
    if (rc != 1 || !known || seen->flips != *flips)
        *seen = (struct ae_record_seen){.grant_id = grant->grant_id, .flips = *flips};
    else
        seen->still = true;
    return rc;
}

/*
 * Copies the record, its account, and what has happened since that was stored. Returns 1; 0: there is no record of the
 * grant, or its owner has stored no account yet, or stores one in each try; or an error that passes.
 *
 * If account and position, or intent, are as an earlier reading has found them, they are those of that reading, which
 * was sound. Else `flips` decides: if it is the same before and after the copy, then meanwhile the account that it
 * names was whole, and it was the last one that was stored before the position, or before the intent. It is as
 * ae_figures_copy() and ae_figures_current() do it with a mapped record, which is what the models check, but here the
 * kernel loads the words, so fences order the loads.
 */
static int read_account(int stats, const ae_registry_grant *grant, const struct ae_record_topic *topic,
                        struct ae_record_seen *seen, struct ae_record *out, uint64_t *since) {
    uint64_t flips, now;
    int rc = flips_before(stats, grant, seen, &flips);

    for (int turn = 0; turn < READ_TRIES && rc == 1; turn++) {
        ae_fence_acquire(); /* M2 fence, pairs M1 (store) */
        rc = read_record(stats, grant, topic, &out->copy);
        if (rc != 1)
            break;
        now = ae_figures_copy(&out->copy, &out->account);
        if (now == 0)
            return 0;
        if (now == flips) {
            *since = since_account(out, grant, topic);
            if (seen->whole && *since == seen->since &&
                memcmp(&out->account, &seen->account, sizeof seen->account) == 0)
                return 1;
            ae_fence_acquire(); /* M4 fence, pairs M3 (store); M5, pairs F1 (receive) and P4 (claim) */
            rc = read_flips(stats, grant, &now);
            if (rc == 1 && now == flips) {
                seen->whole = true;
                seen->since = *since;
                seen->account = out->account;
                return 1;
            }
        }
        *seen = (struct ae_record_seen){.grant_id = grant->grant_id, .flips = flips = now};
    }
    return rc < 0 ? rc : 0;
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

int ae_record_read(int stats, const ae_registry_grant *grant, const struct ae_record_topic *topic,
                   struct ae_record_seen *seen, struct ae_record *out) {
    struct ae_record_seen none = {.grant_id = 0};
    uint64_t since = 0;

    memset(out, 0, offsetof(struct ae_record, copy) + FIGURES);
    const int rc = stats >= 0 ? read_account(stats, grant, topic, seen != NULL ? seen : &none, out, &since) : 0;
    if (rc < 0)
        return rc;
    bool known = rc == 1;
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
    return 0;
}
