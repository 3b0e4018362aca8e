/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/totals.h"
#include "base/error.h"
#include "base/socket.h"
#include "shm/segment.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>

static uint64_t bytes_for(uint32_t topics) {
    return AE_TOTALS_RECORDS_OFF + (uint64_t)topics * AE_TOTALS_RECORD;
}

static ae_totals_topic *record_at(const struct ae_totals *totals, uint32_t t) {
    return (ae_totals_topic *)(void *)((unsigned char *)totals->header + AE_TOTALS_RECORDS_OFF) + t;
}

/* ---- the object ---- */

int ae_totals_create(struct ae_totals *totals, const struct ae_instance *instance, uint32_t topics) {
    char name[AE_OBJECT_NAME_SIZE];
    const ae_totals_header header = {
        .layout_major = AE_LAYOUT_MAJOR, .layout_minor = AE_LAYOUT_MINOR, .topics = topics};
    const uint64_t bytes = bytes_for(topics);
    void *base = NULL;

    *totals = (struct ae_totals){0};
    ae_name_totals(instance, name);
    int fd = ae_segment_create(name, bytes, AE_TOTALS_RECORDS_OFF);
    if (fd < 0)
        return fd;
    const int rc = ae_segment_map(fd, bytes, true, false, &base);
    const uint64_t inode = ae_segment_inode(fd);
    ae_close(&fd);
    if (rc != 0) {
        ae_segment_remove(name);
        return rc;
    }
    *totals = (struct ae_totals){.header = base, .bytes = bytes, .inode = inode, .topics = topics};
    ae_copy_in(base, &header, AE_PAGE);
    /* K6 release, pairs K7 (open): a process that sees the magic sees the header. */
    ae_store_release((ae_u64 *)(void *)&totals->header->magic, AE_TOTALS_MAGIC);
    return 0;
}

static int check_header(const ae_totals_header *header, uint32_t topics, const char *name) {
    /* K7 acquire, pairs K6 (create). */
    if (ae_load_acquire((const ae_u64 *)(const void *)&header->magic) != AE_TOTALS_MAGIC)
        return ae_fail(-EBADMSG, "%s isn't a finished object of totals", name + 1);
    if (header->layout_major != AE_LAYOUT_MAJOR)
        return ae_fail(-EPROTO,
                       "%s has layout version %" PRIu32 ", this program knows version %u: use programs of one release",
                       name + 1, header->layout_major, AE_LAYOUT_MAJOR);
    if (header->topics != topics)
        return ae_fail(-EBADMSG, "%s has records for %" PRIu64 " topics, not for %" PRIu32, name + 1, header->topics,
                       topics);
    return 0;
}

int ae_totals_map(struct ae_totals *totals, int fd, uint32_t topics, bool writable, const char *name) {
    const uint64_t bytes = bytes_for(topics);
    void *base = NULL;

    *totals = (struct ae_totals){0};
    int rc = ae_segment_map(fd, bytes, writable, false, &base);
    if (rc != 0)
        return rc;
    rc = check_header(base, topics, name);
    if (rc != 0)
        ae_segment_unmap(base, bytes);
    else
        *totals = (struct ae_totals){.header = base, .bytes = bytes, .inode = ae_segment_inode(fd), .topics = topics};
    return rc;
}

int ae_totals_open(struct ae_totals *totals, const struct ae_instance *instance, uint32_t topics, bool writable) {
    char name[AE_OBJECT_NAME_SIZE];

    *totals = (struct ae_totals){0};
    ae_name_totals(instance, name);
    int fd = ae_segment_open(name, writable, instance->uid, bytes_for(topics), NULL);
    if (fd < 0)
        return fd;
    const int rc = ae_totals_map(totals, fd, topics, writable, name);
    ae_close(&fd);
    return rc;
}

int ae_totals_replaced(const struct ae_totals *totals, const struct ae_instance *instance) {
    char name[AE_OBJECT_NAME_SIZE];

    ae_name_totals(instance, name);
    return ae_segment_replaced(name, instance->uid, totals->inode);
}

void ae_totals_close(struct ae_totals *totals) {
    ae_segment_unmap(totals->header, totals->bytes);
    *totals = (struct ae_totals){0};
}

int ae_totals_allocate(const struct ae_instance *instance, const struct ae_totals *totals, uint32_t t) {
    char name[AE_OBJECT_NAME_SIZE];

    ae_name_totals(instance, name);
    int fd = ae_segment_open(name, true, instance->uid, totals->bytes, NULL);
    if (fd < 0)
        return fd;
    const int rc =
        ae_segment_allocate(fd, AE_TOTALS_RECORDS_OFF + (uint64_t)t * AE_TOTALS_RECORD, AE_TOTALS_RECORD, name);
    ae_close(&fd);
    return rc;
}

/* ---- readers ---- */

/* Copies the record that the change of record t will leave. The record's epoch was found odd. */
static int read_journal(const ae_totals_header *header, uint32_t t, uint64_t epoch, ae_totals_topic *copy) {
    if (ae_load_acquire(&header->journal_topic) != t + 1ull)
        return 0;
    ae_copy_out(copy, (const unsigned char *)&header->journal, sizeof *copy);
    return copy->epoch.v == epoch + 1;
}

/* Most topics have no histogram, as none of their subscribers has gone yet. */
static void copy_whole(ae_totals_topic *copy, const ae_totals_topic *record) {
    const size_t head = offsetof(ae_totals_topic, buckets);

    ae_copy_out(copy, (const unsigned char *)record, head);
    if (copy->samples != 0)
        ae_copy_out(copy->buckets, (const unsigned char *)record + head, sizeof copy->buckets);
    else
        memset(copy->buckets, 0, sizeof copy->buckets);
}

int ae_totals_read(const struct ae_totals *totals, uint32_t t, uint64_t topic_id, ae_totals_topic *copy) {
    if (t >= totals->topics)
        return 0;
    const ae_totals_topic *record = record_at(totals, t);
    /*
     * K3 acquire, pairs K1 and K4 (change): with an odd epoch comes the whole journal; with an even one the whole
     * record, and the mark of every grant that was folded before.
     */
    const uint64_t epoch = ae_load_acquire(&record->epoch);
    int found = 1;
    if ((epoch & 1) == 0)
        copy_whole(copy, record);
    else
        found = read_journal(totals->header, t, epoch, copy);
    if (!ae_totals_current(totals, t, epoch))
        return -EAGAIN;
    if (found == 0)
        return 0; /* aetherd was killed while it made the record a new topic's */
    copy->epoch.v = epoch;
    return copy->topic_id == topic_id && topic_id != 0;
}

bool ae_totals_current(const struct ae_totals *totals, uint32_t t, uint64_t epoch) {
    /*
     * K2 fence, pairs K1, K4 and K5 (change): if one byte that was copied is of a later change, or a grant was found
     * marked or gone because of one, the epoch that is loaded now is another.
     */
    ae_fence_acquire();
    return ae_load_relaxed(&record_at(totals, t)->epoch) == epoch;
}

/* ---- changes ---- */

const ae_totals_topic *ae_totals_record(const struct ae_totals *totals, uint32_t t) {
    return record_at(totals, t);
}

/* The even epoch after a change of a record that has this one. It may be odd if aetherd was killed in a reset. */
static uint64_t next_epoch(uint64_t epoch) {
    return (epoch | 1) + 1;
}

static void begin(ae_totals_topic *record, uint64_t epoch) {
    /* K1 release and fence, pairs K2 and K3 (read): the journal before the odd epoch, and that before the record. */
    ae_store_release(&record->epoch, epoch - 1);
    ae_fence_release();
}

static void end(ae_totals_topic *record, uint64_t epoch) {
    /* K4 release, pairs K3 (read): the record, and the mark of the grant, before the even epoch. */
    ae_store_release(&record->epoch, epoch);
}

/* Copies all but the epoch. */
static void copy_record(ae_totals_topic *to, const ae_totals_topic *from) {
    const size_t off = sizeof to->epoch;

    ae_copy_in((unsigned char *)to + off, (const unsigned char *)from + off, sizeof *to - off);
}

void ae_totals_reset(struct ae_totals *totals, uint32_t t, uint64_t topic_id) {
    const ae_totals_topic new = {.topic_id = topic_id};
    ae_totals_topic *record = record_at(totals, t);
    const uint64_t epoch = next_epoch(ae_load_relaxed(&record->epoch));

    begin(record, epoch);
    copy_record(record, &new);
    end(record, epoch);
}

static void write_journal(ae_totals_header *header, const ae_totals_topic *record, const ae_totals_topic *next) {
    /* K5 fence, pairs K2 (current): the even epoch of the change before comes before the next bytes of the journal. */
    ae_fence_release();
    copy_record(&header->journal, next);
    ae_store_relaxed(&header->journal.epoch, next_epoch(ae_load_relaxed(&record->epoch)));
}

static bool is_grant(const ae_registry_grant *grant, uint64_t grant_id) {
    return ae_record_state(&grant->state) == AE_RECORD_LIVE && grant->grant_id == grant_id;
}

/*
 * From step 2 on only the journal is used, and any of these steps may be done again. So if aetherd was killed after
 * step 1, its successor does steps 2 to 6. If it was killed before, the record is as it was.
 */
void ae_totals_step(struct ae_totals *totals, ae_registry_grant *grant, uint32_t t, const ae_totals_topic *next,
                    unsigned step) {
    ae_totals_header *header = totals->header;
    ae_totals_topic *record = record_at(totals, t);

    switch (step) {
    case 0:
        write_journal(header, record, next);
        break;
    case 1:
        ae_store_release(&header->journal_topic, t + 1ull); /* K1: a killed aetherd's whole journal, or none */
        break;
    case 2:
        begin(record, ae_load_relaxed(&header->journal.epoch));
        break;
    case 3:
        copy_record(record, &header->journal);
        break;
    case 4:
        if (grant != NULL && is_grant(grant, header->journal.last_folded))
            ae_registry_set_folded(grant);
        break;
    case 5:
        end(record, ae_load_relaxed(&header->journal.epoch));
        break;
    default:
        ae_store_release(&header->journal_topic, 0);
        break;
    }
}

void ae_totals_change(struct ae_totals *totals, ae_registry_grant *grant, uint32_t t, const ae_totals_topic *next) {
    for (unsigned step = 0; step < AE_TOTALS_STEPS; step++)
        ae_totals_step(totals, grant, t, next, step);
}

static ae_registry_grant *find_grant(const struct ae_registry *registry, uint64_t grant_id) {
    for (uint32_t g = 0; g < registry->grants_max; g++) {
        if (is_grant(&registry->grants[g], grant_id))
            return &registry->grants[g];
    }
    return NULL;
}

void ae_totals_finish(struct ae_totals *totals, const struct ae_registry *registry) {
    const uint64_t number = ae_load_acquire(&totals->header->journal_topic);

    if (number == 0)
        return;
    /* The journal is used only for the topic that it was written for. */
    if (number <= totals->topics && number <= registry->topics_max &&
        ae_record_state(&registry->topics[number - 1].state) == AE_RECORD_LIVE &&
        registry->topics[number - 1].topic_id == totals->header->journal.topic_id) {
        ae_registry_grant *grant = find_grant(registry, totals->header->journal.last_folded);
        for (unsigned step = 2; step < AE_TOTALS_STEPS; step++)
            ae_totals_step(totals, grant, (uint32_t)number - 1, NULL, step);
    }
    ae_store_release(&totals->header->journal_topic, 0);
}
