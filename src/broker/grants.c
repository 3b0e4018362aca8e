/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/grants.h"
#include "base/error.h"
#include "base/text.h"
#include "broker/objects.h"
#include "broker/remove.h"
#include "broker/totals.h"
#include "ring/topic.h"
#include "service/log.h"
#include <aether/error.h>
#include <errno.h>
#include <inttypes.h>

/* ---- retiring ---- */

uint64_t ae_grants_count_subscribers(const struct ae_broker *broker, uint32_t topic) {
    return ae_index_holders(&broker->index, topic, AE_ROLE_RELIABLE)->count +
           ae_index_holders(&broker->index, topic, AE_ROLE_BEST_EFFORT)->count;
}

/* The grant is still in the index. */
static int retire_subscriber(const struct ae_broker *broker, const ae_registry_topic *topic,
                             const ae_registry_grant *grant) {
    const bool reliable = grant->role == AE_ROLE_RELIABLE;
    const uint32_t t = ae_state_topic_index(broker, topic);
    struct ae_objects objects;
    const int rc = ae_objects_map(broker, topic, sizeof(ae_log), reliable, &objects);

    if (rc != 0)
        return rc;
    if (reliable)
        ae_topic_retire_subscriber(topic->geometry.evict_lag != 0 ? objects.log : NULL, objects.cursors, grant->record);
    ae_topic_set_subscribers(objects.log, ae_grants_count_subscribers(broker, t) - 1);
    ae_objects_unmap(&objects);
    return 0;
}

static int retire_publisher(struct ae_broker *broker, const ae_registry_topic *topic, uint32_t record, bool died) {
    const uint64_t log_bytes = died ? topic->geometry.lanes_off : sizeof(ae_log); /* with the slots, to repair them */
    struct ae_objects objects;
    const int rc = ae_objects_map(broker, topic, log_bytes, false, &objects);

    if (rc != 0)
        return rc;
    const uint64_t death = died ? ae_state_new_id(broker) : 0;
    const uint64_t aborted = ae_topic_retire_publisher(objects.log, &topic->geometry, record, death);
    if (aborted != 0)
        ae_log_line(AE_LOG_INFO, "topic '%s': %" PRIu64 " sequence%s of a dead publisher aborted", topic->name, aborted,
                    ae_plural(aborted, "", "s"));
    ae_objects_unmap(&objects);
    return 0;
}

static int retire(struct ae_broker *broker, const ae_registry_grant *grant, bool died) {
    const ae_registry_topic *topic = ae_state_topic(broker, grant->topic_id);

    if (topic == NULL)
        return 0;
    if ((grant->role == AE_ROLE_RELIABLE && grant->record < AE_SUBSCRIBERS_MAX) || grant->role == AE_ROLE_BEST_EFFORT)
        return retire_subscriber(broker, topic, grant);
    if (grant->role == AE_ROLE_PUBLISHER && grant->record < AE_PUBLISHERS_MAX)
        return retire_publisher(broker, topic, grant->record, died);
    return 0;
}

/* False: no descriptor or memory is left. */
static bool fold_and_retire(struct ae_broker *broker, uint32_t grant, bool died) {
    const ae_registry_grant *record = &broker->registry.grants[grant];
    const bool publisher = record->role == AE_ROLE_PUBLISHER;

    /*
     * What a dead publisher has left uncommitted isn't counted, and retiring it makes that look finished. Whether a
     * subscriber was evicted is counted, and publishers may evict it until it is retired.
     */
    if (publisher && !ae_totals_fold(broker, grant, died))
        return false;
    /* For other errors a retry is useless. If an object is missing, no peer can wait for the holder, either. */
    if (ae_objects_error_passes(retire(broker, record, died)))
        return false;
    return publisher || ae_totals_fold(broker, grant, died);
}

bool ae_grants_free(struct ae_broker *broker, uint32_t grant, bool died) {
    ae_state_lend_reserve(broker);
    const bool done = fold_and_retire(broker, grant, died);
    ae_state_keep_reserve(broker);
    if (!done)
        return false;
    /*
     * Last. Until here the record of the publisher or subscriber isn't granted again, and if aetherd is killed, its
     * successor retires the holder again.
     */
    const uint32_t topic = broker->index.holdings[grant].topic;
    ae_index_remove_grant(&broker->index, grant);
    ae_record_free(&broker->registry.grants[grant].state);
    ae_topic_remove_if_left(broker, topic);
    return true;
}

/* ---- records ---- */

int ae_grants_find_free(const struct ae_broker *broker, uint32_t *grant) {
    *grant = ae_index_free_grant(&broker->index);
    if (*grant != AE_NO_GRANT)
        return 0;
    return ae_fail(-EUSERS,
                   "aetherd's limit of %" PRIu32 " open publishers and subscribers is reached: raise [limits] grants",
                   broker->registry.grants_max);
}

void ae_grants_record(struct ae_broker *broker, uint32_t grant, const ae_registry_grant *new_grant) {
    ae_registry_grant *record = &broker->registry.grants[grant];
    const size_t off = sizeof record->state;

    ae_record_begin(&record->state);
    ae_copy_in((unsigned char *)record + off, (const unsigned char *)new_grant + off, sizeof *record - off);
    ae_record_commit(&record->state);
    ae_index_add_grant(&broker->index, grant);
}

bool ae_grants_free_newer(struct ae_broker *broker, uint32_t client, uint64_t newest_kept, bool died) {
    const struct ae_index *index = &broker->index;
    bool all = true;

    for (uint32_t g = ae_index_first(&index->grants_of[client]), next; g != AE_NO_GRANT; g = next) {
        next = ae_index_next(index, AE_BY_CLIENT, g);
        if (broker->registry.grants[g].grant_id > newest_kept)
            all = ae_grants_free(broker, g, died) && all;
    }
    return all;
}

int ae_grants_close(struct ae_broker *broker, uint32_t client, uint64_t grant_id) {
    const uint32_t g = ae_index_grant(&broker->index, grant_id);

    if (g == AE_NO_GRANT || broker->index.holdings[g].client != client || broker->index.holdings[g].closed)
        return ae_fail(-ENOENT, "grant %" PRIu64 " isn't this client's", grant_id);
    if (!ae_grants_free(broker, g, false)) {
        ae_log_line(AE_LOG_WARNING, "grant %" PRIu64 " is closed, but can't be freed yet: %s", grant_id,
                    aether_errmsg());
        ae_index_mark_closed(&broker->index, g);
    }
    return 0;
}

void ae_grants_free_closed(struct ae_broker *broker) {
    uint32_t g;

    while ((g = ae_index_first(&broker->index.closed)) != AE_NO_GRANT && ae_grants_free(broker, g, false))
        continue;
}
