/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/topic.h"
#include "ring/claim.h"
#include "ring/wake.h"
#include <stdbool.h>

static void write_header(ae_object_header *header, uint64_t magic, uint64_t topic_id, uint64_t bytes) {
    header->layout_major = AE_LAYOUT_MAJOR;
    header->layout_minor = AE_LAYOUT_MINOR;
    header->topic_id = topic_id;
    header->bytes = bytes;
    header->magic = magic;
}

void ae_topic_format(ae_log *log, ae_cursors *cursors, ae_notes *notes, const ae_geometry *geometry,
                     uint64_t topic_id) {
    const uint64_t start = geometry->start_seq;

    ae_store_relaxed(&log->claim.position, start);
    ae_store_relaxed(&log->claim.claim, ae_claim_word(start, AE_MODE_SHARED, AE_CLAIM_NOBODY));
    for (uint32_t r = 0; r < AE_PUBLISHERS_MAX; r++) {
        ae_store_relaxed(&log->publishers[r].intent, ae_intent(start, 0));
        ae_store_relaxed(&log->publishers[r].proved, start);
    }
    ae_store_relaxed(&log->wake.wake, 1); /* above `want`, which is 0: no subscriber sleeps */
    write_header(&log->header, AE_LOG_MAGIC, topic_id, AE_LOG_SLOTS_OFF);
    write_header(&cursors->header, AE_CURSORS_MAGIC, topic_id, AE_CURSORS_BYTES);
    write_header(&notes->header, AE_NOTES_MAGIC, topic_id, AE_NOTES_BYTES);
}

void ae_topic_set_geometry(ae_log *log, const ae_geometry *geometry) {
    log->header.bytes = geometry->log_bytes;
    log->header.capacity = geometry->capacity;
    log->header.slot_size = geometry->slot_size;
    log->header.max_message = geometry->max_message;
}

void ae_topic_admit_publisher(ae_log *log, uint32_t record) {
    const uint64_t bit = 1ull << record;

    /* The bit is the former holder's, if membarrier didn't reach it. The new holder sets it again if that is so. */
    (void)ae_fetch_and(&log->stream.unfenced, ~bit);
    const uint64_t others = ae_fetch_or(&log->stream.open, bit) & ~bit;
    /* T3 acq_rel, pairs T3 (is_new_end): a subscriber that sees the raised number sees the publisher's bit. */
    (void)ae_fetch_add(&log->stream.joins, 1);
    /* While other publishers are there, a death belongs to the end of their stream. Else a new stream begins. */
    if (others == 0)
        (void)ae_fetch_and(&log->stream.died, 0);
}

uint64_t ae_topic_retire_publisher(ae_log *log, const ae_geometry *geometry, uint32_t record, uint64_t death) {
    const uint64_t bit = 1ull << record;
    uint64_t aborted = 0;

    /*
     * Repair while the bit in `open` is still set. As long as it is, the scans of other publishers include the dead
     * publisher's intent, so they don't overwrite its pending slots.
     */
    if (death != 0)
        aborted = ae_claim_repair(log, geometry, record);
    const bool open = (ae_load_acquire(&log->stream.open) & bit) != 0;
    if (open) {
        if (death != 0)
            ae_store_relaxed(&log->stream.died, death);
        /*
         * D4 and T1 acq_rel, pairs P9 (scan) and T2 (stream): a process that sees the bit clear sees all that was
         * committed or aborted, and `died`.
         */
        (void)ae_fetch_and(&log->stream.open, ~bit);
    }
    /* After a death also if the bit was clear: perhaps an aetherd was killed here before it woke the subscribers. */
    if (open || death != 0)
        ae_wake_all(&log->wake.wake);
    return aborted;
}

/*
 * F4 acq_rel, pairs F3 (scan), as in ae_subscriber_leave(): the subscriber's last load from the ring happens before a
 * publisher sees the bit clear and overwrites.
 */
static void clear_active(ae_cursors *cursors, uint32_t record) {
    (void)ae_fetch_and(&cursors->active.active, ~(1ull << record));
}

void ae_topic_admit_subscriber(ae_log *log, ae_cursors *cursors, uint32_t record) {
    ae_cursor_record *own = &cursors->records[record];
    uint64_t claim, old;

    /* Publishers mustn't wait for the former holder's cursor, nor evict the new holder because of it. */
    clear_active(cursors, record);
    claim = ae_claim_reach(log, ae_load_relaxed(&log->claim.position));
    ae_store_relaxed(&own->cursor, claim);
    /*
     * E1 acq_rel, pairs E2 (scan): with a word of this generation comes this cursor. It is an exchange because a
     * publisher may be evicting the former holder just now: that changes the word before the exchange, without effect,
     * or fails after it. The generation can't change meanwhile, because only aetherd raises it.
     */
    old = ae_load_relaxed(&log->evict[record]);
    (void)ae_exchange(&log->evict[record], ae_evict_next(old));
}

void ae_topic_retire_subscriber(ae_log *log, ae_cursors *cursors, uint32_t record) {
    uint64_t old;

    clear_active(cursors, record);
    if (log == NULL)
        return;
    /*
     * E5 acq_rel, pairs E2 (scan): a publisher that loads the raised word finds the bit clear. One that loaded the word
     * before can't evict any more: either its exchange comes first, and the word stays as it is, or it fails.
     */
    old = ae_load_relaxed(&log->evict[record]);
    if (ae_evicted(old) == 0)
        (void)ae_cas(&log->evict[record], old, ae_evict_next(old));
}

void ae_topic_set_subscribers(ae_log *log, uint64_t count) {
    ae_store_relaxed(&log->stream.subscribers, count);
}
