/* SPDX-License-Identifier: Apache-2.0 */
/* topics.c - topics, and who is attached to them. */
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/socket.h"
#include "base/text.h"
#include "broker/broker.h"
#include "ring/geometry.h"
#include "shm/segment.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* ---- objects, mapped only while they are looked at ---- */

struct objects {
    ae_log *log; /* up to the slots */
    ae_cursors *cursors;
};

static void unmap_objects(struct objects *o) {
    ae_segment_unmap(o->cursors, sizeof *o->cursors);
    ae_segment_unmap(o->log, sizeof *o->log);
}

static int open_log(const struct ae_broker *broker, const ae_registry_topic *topic, bool writable) {
    char name[AE_OBJECT_NAME_SIZE];

    ae_name_log(&broker->instance, topic->topic_id, name);
    return ae_segment_open(name, writable, broker->instance.uid, topic->geometry.log_bytes, NULL);
}

static int open_cursors(const struct ae_broker *broker, const ae_registry_topic *topic, bool writable) {
    char name[AE_OBJECT_NAME_SIZE];

    ae_name_cursors(&broker->instance, topic->topic_id, name);
    return ae_segment_open(name, writable, broker->instance.uid, topic->geometry.cursors_bytes, NULL);
}

static int map_objects(const struct ae_broker *broker, const ae_registry_topic *topic, struct objects *o) {
    int log = -1, cursors = -1, rc;
    void *base;

    *o = (struct objects){0};
    if ((rc = log = open_log(broker, topic, true)) < 0 || (rc = cursors = open_cursors(broker, topic, true)) < 0)
        goto out;
    if ((rc = ae_segment_map(log, sizeof *o->log, true, false, &base)) != 0)
        goto out;
    o->log = base;
    if ((rc = ae_segment_map(cursors, sizeof *o->cursors, true, false, &base)) != 0)
        goto out;
    o->cursors = base;
out:
    ae_close(&cursors);
    ae_close(&log);
    if (rc != 0)
        unmap_objects(o);
    return rc;
}

/* ---- grants ---- */

/* Out of descriptors or memory: gone in a while. */
static bool transient(int rc) {
    return rc == -EMFILE || rc == -ENFILE || rc == -ENOMEM;
}

bool ae_broker_free_grant(struct ae_broker *broker, uint32_t g) {
    ae_registry_grant *grant = &broker->registry.grants[g];
    struct objects o;

    /* A dead or leaving reliable subscriber holds publishers back until its bit is clear. A publisher leaves nothing to clear: its
     * successor finds the end of what was committed by itself. */
    if (grant->role == AE_ROLE_RELIABLE && grant->record < AE_SUBSCRIBERS_MAX) {
        for (uint32_t t = 0; t < broker->registry.topics_max; t++) {
            const ae_registry_topic *topic = &broker->registry.topics[t];
            if (ae_record_state(&topic->state) != AE_RECORD_LIVE || topic->topic_id != grant->topic_id)
                continue;
            const int rc = map_objects(broker, topic, &o);
            if (transient(rc))
                return false; /* freed now, nobody would ever clear the bit */
            if (rc == 0) {
                (void)ae_fetch_and(&o.cursors->active.active, ~(1ull << grant->record));
                unmap_objects(&o);
            }
            break;
        }
    }
    ae_record_free(&grant->state);
    return true;
}

static const ae_registry_client *client_of(const struct ae_broker *broker, uint64_t client_id, uint32_t *index) {
    for (uint32_t i = 0; i < broker->registry.clients_max; i++) {
        const ae_registry_client *client = &broker->registry.clients[i];
        if (ae_record_state(&client->state) == AE_RECORD_LIVE && client->client_id == client_id) {
            *index = i;
            return client;
        }
    }
    return NULL;
}

/* The grants of a topic whose holders live; role 0: all. *holder, if not NULL, is set to the last one's client. */
static uint32_t attached(struct ae_broker *broker, uint64_t topic_id, uint32_t role, uint64_t *records,
                         const ae_registry_client **holder) {
    uint32_t count = 0, index;

    for (uint32_t g = 0; g < broker->registry.grants_max; g++) {
        const ae_registry_grant *grant = &broker->registry.grants[g];
        if (ae_record_state(&grant->state) != AE_RECORD_LIVE || grant->topic_id != topic_id ||
            (role != 0 && grant->role != role))
            continue;
        const ae_registry_client *client = client_of(broker, grant->client_id, &index);
        if (client == NULL || ae_broker_look(broker, index))
            continue;
        count++;
        if (records != NULL)
            *records |= 1ull << grant->record;
        if (holder != NULL)
            *holder = client;
    }
    return count;
}

uint32_t ae_broker_attached(struct ae_broker *broker, uint64_t topic_id, uint32_t role) {
    return attached(broker, topic_id, role, NULL, NULL);
}

/* ---- topics ---- */

int ae_broker_find_topic(const struct ae_broker *broker, const char *name, uint32_t *topic) {
    for (uint32_t t = 0; t < broker->registry.topics_max; t++) {
        const ae_registry_topic *record = &broker->registry.topics[t];
        if (ae_record_state(&record->state) == AE_RECORD_LIVE && strcmp(record->name, name) == 0) {
            *topic = t;
            return 0;
        }
    }
    return ae_fail(-ENOENT, "there is no topic '%s'", name);
}

static void remove_objects(const struct ae_broker *broker, uint64_t topic_id) {
    char name[AE_OBJECT_NAME_SIZE];

    ae_name_log(&broker->instance, topic_id, name);
    ae_segment_remove(name);
    ae_name_cursors(&broker->instance, topic_id, name);
    ae_segment_remove(name);
}

void ae_broker_remove_topic(struct ae_broker *broker, uint32_t t) {
    ae_registry_topic *topic = &broker->registry.topics[t];

    ae_record_remove(&topic->state);
    remove_objects(broker, topic->topic_id);
    ae_record_free(&topic->state);
}

static int make_object(const char *name, uint64_t bytes) {
    int fd = ae_segment_create(name, bytes);

    if (fd < 0)
        return fd;
    ae_close(&fd);
    return 0;
}

static void write_header(ae_object_header *header, uint64_t magic, const ae_registry_topic *topic, uint64_t bytes) {
    header->layout_major = AE_LAYOUT_MAJOR;
    header->layout_minor = AE_LAYOUT_MINOR;
    header->topic_id = topic->topic_id;
    header->bytes = bytes;
    header->capacity = topic->geometry.capacity;
    header->slot_size = topic->geometry.slot_size;
    header->max_message = topic->geometry.max_message;
    header->magic = magic;
}

static int make_objects(const struct ae_broker *broker, const ae_registry_topic *topic) {
    char name[AE_OBJECT_NAME_SIZE];
    struct objects o;
    int rc;

    ae_name_log(&broker->instance, topic->topic_id, name);
    if ((rc = make_object(name, topic->geometry.log_bytes)) != 0)
        return rc;
    ae_name_cursors(&broker->instance, topic->topic_id, name);
    if ((rc = make_object(name, topic->geometry.cursors_bytes)) != 0 || (rc = map_objects(broker, topic, &o)) != 0)
        return rc;
    /* Nobody else has these objects before the topic's record is committed. */
    ae_store_relaxed(&o.log->claim.position, topic->geometry.start_seq);
    ae_store_relaxed(&o.log->claim.claim, ae_claim(topic->geometry.start_seq, AE_MODE_EXCLUSIVE, 0));
    write_header(&o.log->header, AE_LOG_MAGIC, topic, topic->geometry.log_bytes);
    write_header(&o.cursors->header, AE_CURSORS_MAGIC, topic, topic->geometry.cursors_bytes);
    unmap_objects(&o);
    return 0;
}

static aether_topic_config config_of(const struct ae_topic_request *request) {
    return (aether_topic_config){
        .max_message = request->max_message,
        .capacity = request->capacity,
        .preset = (aether_preset)request->preset,
        .start_seq = request->start_seq,
    };
}

static int new_topic(struct ae_broker *broker, const char *name, const ae_geometry *geometry, uint32_t *topic) {
    const struct ae_registry *registry = &broker->registry;
    char size[AE_TEXT_SIZE_BYTES];
    uint32_t t = 0;
    int rc;

    while (t < registry->topics_max && ae_record_state(&registry->topics[t].state) != AE_RECORD_FREE)
        t++;
    if (t == registry->topics_max)
        return ae_fail(-EUSERS, "aetherd's limit of %" PRIu32 " topics is reached: raise [limits] topics",
                       registry->topics_max);
    ae_registry_topic *record = &registry->topics[t];
    /* The id is in the record before an object exists: a successor that finds the record unfinished knows what to remove. */
    ae_record_begin(&record->state);
    record->topic_id = ae_broker_next_id(broker);
    record->created_ns = ae_realtime_ns();
    record->geometry = *geometry;
    record->name_len = (uint32_t)strlen(name);
    memset(record->name, 0, sizeof record->name);
    memcpy(record->name, name, record->name_len);
    rc = make_objects(broker, record);
    if (rc != 0) {
        remove_objects(broker, record->topic_id);
        ae_record_free(&record->state);
        return rc;
    }
    ae_record_commit(&record->state);
    ae_log_line(AE_LOG_INFO, "topic '%s' created: %" PRIu64 " slots of %" PRIu32 " bytes, %s", name, geometry->capacity,
                geometry->slot_size, ae_text_size(size, geometry->log_bytes + geometry->cursors_bytes));
    *topic = t;
    return 0;
}

int ae_broker_create_topic(struct ae_broker *broker, const struct ae_topic_request *request, uint32_t *topic) {
    const aether_topic_config config = config_of(request);
    char size[AE_TEXT_SIZE_BYTES], limit[AE_TEXT_SIZE_BYTES];
    ae_geometry geometry;
    int rc = ae_topic_name_check(request->topic, strlen(request->topic));

    if (rc != 0 || (rc = ae_geometry_make(&geometry, &config)) != 0)
        return rc;
    if (ae_broker_find_topic(broker, request->topic, topic) == 0)
        return ae_geometry_match(&broker->registry.topics[*topic].geometry, &config, request->topic);
    if (geometry.log_bytes > broker->limits.ring_bytes)
        return ae_fail(-ENOSPC, "topic '%s' needs %s, more than aetherd's limit of %s: raise [limits] ring_bytes",
                       request->topic, ae_text_size(size, geometry.log_bytes),
                       ae_text_size(limit, broker->limits.ring_bytes));
    return new_topic(broker, request->topic, &geometry, topic);
}

/* ---- open ---- */

/* Makes cursor record `record` fit to be admitted: its order is model-checked together with eviction. */
static int prepare_record(const struct ae_broker *broker, const ae_registry_topic *topic, uint32_t record) {
    struct objects o;
    uint64_t claim;
    int rc = map_objects(broker, topic, &o);

    if (rc != 0)
        return rc;
    ae_cursor_record *own = &o.cursors->records[record];
    (void)ae_fetch_and(&o.cursors->active.active, ~(1ull << record));
    claim = ae_seq_extend(ae_load_acquire(&o.log->claim.claim) >> AE_CLAIM_SEQ_SHIFT,
                          ae_load_relaxed(&o.log->claim.position));
    ae_store_relaxed(&own->joined, claim);
    ae_store_relaxed(&own->lost, 0);
    ae_store_relaxed(&own->gaps, 0);
    ae_store_relaxed(&own->aborted, 0);
    ae_store_relaxed(&own->cursor, claim);
    /* E1 release, for publishers that load the word before record and cursor: a word of this generation comes with its cursor. */
    ae_store_release(&o.log->evict[record], ((ae_load_relaxed(&o.log->evict[record]) >> 1) + 1) << 1);
    unmap_objects(&o);
    return 0;
}

static int choose_record(struct ae_broker *broker, const ae_registry_topic *topic, uint32_t role, uint32_t *record) {
    const ae_registry_client *holder = NULL;
    uint64_t used = 0;
    const uint32_t count = attached(broker, topic->topic_id, role, &used, &holder);

    *record = 0;
    if (role == AE_ROLE_BEST_EFFORT)
        return 0;
    if (role == AE_ROLE_PUBLISHER)
        return count == 0
                   ? 0
                   : ae_fail(-EBUSY, "topic '%s' has a publisher: %s, pid %" PRIu32 "; it must close or die first",
                             topic->name, holder->name, holder->pid);
    if (used == UINT64_MAX)
        return ae_fail(-EUSERS, "topic '%s' has %u reliable subscribers, the most it can have", topic->name,
                       AE_SUBSCRIBERS_MAX);
    *record = (uint32_t)__builtin_ctzll(~used);
    return prepare_record(broker, topic, *record);
}

static int open_fds(const struct ae_broker *broker, const ae_registry_topic *topic, uint32_t role,
                    struct ae_reply *reply) {
    int fd = open_log(broker, topic, role == AE_ROLE_PUBLISHER);

    if (fd < 0)
        return fd;
    reply->fds[reply->fd_count++] = fd;
    if (role == AE_ROLE_BEST_EFFORT)
        return 0;
    fd = open_cursors(broker, topic, role == AE_ROLE_RELIABLE);
    if (fd < 0)
        return fd;
    reply->fds[reply->fd_count++] = fd;
    return 0;
}

int ae_broker_open(struct ae_broker *broker, uint32_t client, uint32_t role, const struct ae_topic_request *request,
                   struct ae_reply *reply) {
    const struct ae_registry *registry = &broker->registry;
    uint32_t t = 0, record = 0, g = 0;
    int rc;

    if (role != AE_ROLE_PUBLISHER && role != AE_ROLE_RELIABLE && role != AE_ROLE_BEST_EFFORT)
        return ae_fail(-EPROTO, "role %" PRIu32 " is unknown: use 1 to 3", role);
    while (g < registry->grants_max && ae_record_state(&registry->grants[g].state) != AE_RECORD_FREE)
        g++;
    if (g == registry->grants_max)
        return ae_fail(
            -EUSERS, "aetherd's limit of %" PRIu32 " open publishers and subscribers is reached: raise [limits] grants",
            registry->grants_max);
    if ((rc = ae_broker_create_topic(broker, request, &t)) != 0)
        return rc;
    const ae_registry_topic *topic = &registry->topics[t];
    if ((rc = choose_record(broker, topic, role, &record)) != 0 || (rc = open_fds(broker, topic, role, reply)) != 0)
        return rc;

    /* Looking for dead holders may have found the very client that asks. */
    if (ae_record_state(&registry->clients[client].state) != AE_RECORD_LIVE)
        return ae_fail(-ESRCH, "the client that asks is dead");
    ae_registry_grant *grant = &registry->grants[g];
    ae_record_begin(&grant->state);
    grant->grant_id = ae_broker_next_id(broker);
    grant->topic_id = topic->topic_id;
    grant->client_id = registry->clients[client].client_id;
    grant->role = role;
    grant->record = record;
    ae_record_commit(
        &grant->state); /* before the reply: a grant that nobody knows is freed at resume, an unknown holder never is */

    reply->msg.type = AE_MSG_OPENED;
    reply->msg.u.opened.grant_id = grant->grant_id;
    reply->msg.u.opened.topic_id = topic->topic_id;
    reply->msg.u.opened.role = role;
    reply->msg.u.opened.record = record;
    reply->msg.u.opened.geometry = topic->geometry;
    return 0;
}
