/* SPDX-License-Identifier: Apache-2.0 */
/* topics.c - topics, and who is attached to them. */
#include "base/clock.h"
#include "base/error.h"
#include "base/socket.h"
#include "base/text.h"
#include "broker/broker.h"
#include "ring/geometry.h"
#include "ring/topic.h"
#include "service/log.h"
#include "shm/segment.h"
#include <aether/error.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- objects, mapped only while they are looked at ---- */

struct objects {
    ae_log *log; /* up to the slots; to repair, with them */
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

/* Maps the log's first `bytes`. fd: open read-write. */
static int map_log(int fd, uint64_t bytes, ae_log **log) {
    void *base;
    const int rc = ae_segment_map(fd, bytes, true, false, &base);

    *log = rc == 0 ? base : NULL;
    return rc;
}

static int map_objects(const struct ae_broker *broker, const ae_registry_topic *topic, struct objects *o) {
    int log = -1, cursors = -1, rc;
    void *base;

    *o = (struct objects){0};
    if ((rc = log = open_log(broker, topic, true)) < 0 || (rc = cursors = open_cursors(broker, topic, true)) < 0)
        goto out;
    if ((rc = map_log(log, sizeof *o->log, &o->log)) != 0)
        goto out;
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

/* A dead or leaving reliable subscriber holds publishers back until its bit is clear. */
static int leave_cursors(const struct ae_broker *broker, const ae_registry_topic *topic, uint32_t record) {
    struct objects o;
    const int rc = map_objects(broker, topic, &o);

    if (rc != 0)
        return rc;
    ae_topic_retire_subscriber(o.cursors, record);
    unmap_objects(&o);
    return 0;
}

/*
 * The grant is freed after this: the record isn't granted again before, and the successor of an aetherd that is killed
 * in here does all of it again.
 */
static int leave_stream(const struct ae_broker *broker, const ae_registry_topic *topic, uint32_t record, bool died) {
    const uint64_t bytes = died ? topic->geometry.lanes_off : sizeof(ae_log);
    ae_log *log;
    int fd = open_log(broker, topic, true);

    if (fd < 0)
        return fd;
    const int rc = map_log(fd, bytes, &log);
    ae_close(&fd);
    if (rc != 0)
        return rc;
    const uint64_t aborted = ae_topic_retire_publisher(log, &topic->geometry, record, died);
    if (aborted != 0)
        ae_log_line(AE_LOG_INFO, "topic '%s': %" PRIu64 " sequences of a dead publisher aborted", topic->name, aborted);
    ae_segment_unmap(log, bytes);
    return 0;
}

static const ae_registry_topic *topic_of(const struct ae_broker *broker, uint64_t topic_id) {
    for (uint32_t t = 0; t < broker->registry.topics_max; t++) {
        const ae_registry_topic *topic = &broker->registry.topics[t];
        if (ae_record_state(&topic->state) == AE_RECORD_LIVE && topic->topic_id == topic_id)
            return topic;
    }
    return NULL;
}

bool ae_broker_free_grant(struct ae_broker *broker, uint32_t g, bool died) {
    ae_registry_grant *grant = &broker->registry.grants[g];
    const ae_registry_topic *topic = topic_of(broker, grant->topic_id);
    int rc = 0;

    if (topic != NULL && grant->role == AE_ROLE_RELIABLE && grant->record < AE_SUBSCRIBERS_MAX)
        rc = leave_cursors(broker, topic, grant->record);
    else if (topic != NULL && grant->role == AE_ROLE_PUBLISHER && grant->record < AE_PUBLISHERS_MAX)
        rc = leave_stream(broker, topic, grant->record, died);
    if (transient(rc))
        return false; /* freed now, nobody would ever do it */
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
        /* Nobody's: it couldn't be freed when that was found. As long as that is so its record isn't free either. */
        if (client == NULL ? ae_broker_free_grant(broker, g, true) : ae_broker_look(broker, index))
            continue;
        count++;
        if (records != NULL)
            *records |= 1ull << grant->record;
        if (holder != NULL && client != NULL)
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

static int make_object(const char *name, uint64_t size, uint64_t allocated) {
    int fd = ae_segment_create(name, size, allocated);

    if (fd < 0)
        return fd;
    ae_close(&fd);
    return 0;
}

static int make_objects(const struct ae_broker *broker, const ae_registry_topic *topic) {
    char name[AE_OBJECT_NAME_SIZE];
    struct objects o;
    int rc;

    ae_name_log(&broker->instance, topic->topic_id, name);
    /* A publisher's lane is allocated when it is admitted. */
    if ((rc = make_object(name, topic->geometry.log_bytes, topic->geometry.lanes_off)) != 0)
        return rc;
    ae_name_cursors(&broker->instance, topic->topic_id, name);
    if ((rc = make_object(name, topic->geometry.cursors_bytes, topic->geometry.cursors_bytes)) != 0 ||
        (rc = map_objects(broker, topic, &o)) != 0)
        return rc;
    /* Nobody else has these objects before the topic's record is committed. */
    ae_topic_format(o.log, o.cursors, &topic->geometry, topic->topic_id);
    unmap_objects(&o);
    return 0;
}

static aether_topic_config config_of(const struct ae_topic_request *request) {
    return (aether_topic_config){
        .max_message = request->max_message,
        .inline_max = request->inline_max,
        .capacity = request->capacity,
        .lane_bytes = request->lane_bytes,
        .preset = (aether_preset)request->preset,
        .publishers = (aether_publishers)request->publishers,
        .slow = (aether_slow)request->slow,
        .evict_lag = request->evict_lag,
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
    /*
     * The id is in the record before an object exists: a successor that finds the record unfinished knows what to
     * remove.
     */
    ae_record_begin(&record->state);
    record->topic_id = ae_broker_next_id(broker);
    record->created_ns = ae_realtime_ns();
    record->geometry = *geometry;
    record->name_len = (uint32_t)strlen(name);
    record->type_version = record->type_size = 0;
    memset(record->type_name, 0, sizeof record->type_name);
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
                geometry->slot_size, ae_text_size(size, geometry->lanes_off + geometry->cursors_bytes));
    *topic = t;
    return 0;
}

/* ---- types ---- */

/* Writes "'quote' version 2 of 32 bytes" to text and returns it. */
#define TYPE_TEXT_SIZE (AE_TYPE_NAME_MAX + 64)
static const char *type_text(char text[TYPE_TEXT_SIZE], const char *name, uint32_t version, uint32_t size) {
    if (size != 0)
        (void)snprintf(text, TYPE_TEXT_SIZE, "'%s' version %" PRIu32 " of %" PRIu32 " bytes", name, version, size);
    else
        (void)snprintf(text, TYPE_TEXT_SIZE, "'%s' version %" PRIu32 " of any size", name, version);
    return text;
}

/* Does the type that a request states make sense for messages of up to max_message bytes? */
static int check_type(const struct ae_topic_request *request, uint32_t max_message) {
    char text[TYPE_TEXT_SIZE];

    if (request->type_name[0] == '\0' && (request->type_version != 0 || request->type_size != 0))
        return ae_fail(-EINVAL, "topic '%s': a type's version or size without its name: state type_name, too",
                       request->topic);
    if (request->type_size > max_message)
        return ae_fail(-EINVAL,
                       "type %s does not fit in the messages of topic '%s', of up to %" PRIu32
                       " bytes: create it with a larger max_message",
                       type_text(text, request->type_name, request->type_version, request->type_size), request->topic,
                       max_message);
    return 0;
}

static int match_type(const ae_registry_topic *topic, const struct ae_topic_request *request) {
    char has[TYPE_TEXT_SIZE], wanted[TYPE_TEXT_SIZE];

    if (request->type_name[0] == '\0' || topic->type_name[0] == '\0')
        return 0;
    if (strcmp(topic->type_name, request->type_name) == 0 && topic->type_version == request->type_version &&
        topic->type_size == request->type_size)
        return 0;
    return ae_fail(-EEXIST, "topic '%s' carries %s, not %s", topic->name,
                   type_text(has, topic->type_name, topic->type_version, topic->type_size),
                   type_text(wanted, request->type_name, request->type_version, request->type_size));
}

/* A topic without a type takes the request's, which has been checked. */
static void take_type(ae_registry_topic *topic, const struct ae_topic_request *request) {
    char text[TYPE_TEXT_SIZE];

    if (request->type_name[0] == '\0' || topic->type_name[0] != '\0')
        return;
    ae_registry_set_type(topic, request->type_name, request->type_version, request->type_size);
    ae_log_line(AE_LOG_INFO, "topic '%s' carries %s", topic->name,
                type_text(text, request->type_name, request->type_version, request->type_size));
}

/* Finds the topic, or creates it; the type that the request states fits, but isn't taken yet. */
static int provide_topic(struct ae_broker *broker, const struct ae_topic_request *request, uint32_t *topic) {
    const aether_topic_config config = config_of(request);
    char size[AE_TEXT_SIZE_BYTES], limit[AE_TEXT_SIZE_BYTES];
    ae_geometry geometry;
    int rc = ae_topic_name_check(request->topic, strlen(request->topic));

    if (rc != 0)
        return rc;
    if (ae_broker_find_topic(broker, request->topic, topic) == 0) {
        const ae_registry_topic *found = &broker->registry.topics[*topic];
        if ((rc = ae_geometry_match(&found->geometry, &config, request->topic)) != 0 ||
            (rc = match_type(found, request)) != 0)
            return rc;
        return check_type(request, found->geometry.max_message);
    }
    if ((rc = ae_geometry_make(&geometry, &config)) != 0 || (rc = check_type(request, geometry.max_message)) != 0)
        return rc;
    if (geometry.lanes_off + geometry.lane_bytes > broker->limits.ring_bytes)
        return ae_fail(-ENOSPC, "topic '%s' needs %s%s, more than aetherd's limit of %s: raise [limits] ring_bytes",
                       request->topic, ae_text_size(size, geometry.lanes_off + geometry.lane_bytes),
                       geometry.lane_bytes != 0 ? " with a publisher's lane" : "",
                       ae_text_size(limit, broker->limits.ring_bytes));
    return new_topic(broker, request->topic, &geometry, topic);
}

int ae_broker_create_topic(struct ae_broker *broker, const struct ae_topic_request *request) {
    uint32_t topic;
    const int rc = provide_topic(broker, request, &topic);

    if (rc == 0)
        take_type(&broker->registry.topics[topic], request);
    return rc;
}

/* ---- open ---- */

static int admit_subscriber(const struct ae_broker *broker, const ae_registry_topic *topic, uint32_t record) {
    struct objects o;
    const int rc = map_objects(broker, topic, &o);

    if (rc != 0)
        return rc;
    ae_topic_admit_subscriber(o.log, o.cursors, record);
    unmap_objects(&o);
    return 0;
}

/*
 * What can fail of admitting a publisher: its lane and a look at the log. A lane that an earlier holder of the record
 * had stays as it is: readers may still be there.
 */
static int prepare_publisher(const struct ae_broker *broker, const ae_registry_topic *topic, uint32_t record, int fd,
                             ae_log **log) {
    const ae_geometry *geometry = &topic->geometry;
    char name[AE_OBJECT_NAME_SIZE];
    int rc = 0;

    ae_name_log(&broker->instance, topic->topic_id, name);
    if (geometry->lane_bytes != 0)
        rc = ae_segment_allocate(fd, geometry->lanes_off + record * geometry->lane_bytes, geometry->lane_bytes, name);
    if (rc != 0)
        return ae_fail(rc, "no lane for a publisher of topic '%s': %s", topic->name, aether_errmsg());
    return map_log(fd, sizeof **log, log);
}

static int choose_record(struct ae_broker *broker, const ae_registry_topic *topic, uint32_t role, uint32_t *record) {
    const ae_registry_client *holder = NULL;
    uint64_t used = 0;
    const uint32_t count = attached(broker, topic->topic_id, role, &used, &holder);

    *record = 0;
    if (role == AE_ROLE_BEST_EFFORT)
        return 0;
    if (role == AE_ROLE_PUBLISHER && topic->geometry.publishers == AE_PUBLISHERS_EXCLUSIVE && count != 0)
        return ae_fail(-EBUSY,
                       "topic '%s' is exclusive and has a publisher: %s, pid %" PRIu32 "; it must close or die first",
                       topic->name, holder != NULL ? holder->name : "?", holder != NULL ? holder->pid : 0);
    if (used == UINT64_MAX)
        return ae_fail(-EUSERS, "topic '%s' has %u %s, the most it can have", topic->name,
                       role == AE_ROLE_PUBLISHER ? AE_PUBLISHERS_MAX : AE_SUBSCRIBERS_MAX,
                       role == AE_ROLE_PUBLISHER ? "publishers" : "reliable subscribers");
    *record = (uint32_t)__builtin_ctzll(~used);
    return role == AE_ROLE_PUBLISHER ? 0 : admit_subscriber(broker, topic, *record);
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

static int free_grant_record(const struct ae_registry *registry, uint32_t *grant) {
    uint32_t g = 0;

    while (g < registry->grants_max && ae_record_state(&registry->grants[g].state) != AE_RECORD_FREE)
        g++;
    *grant = g;
    return g < registry->grants_max ? 0
                                    : ae_fail(-EUSERS,
                                              "aetherd's limit of %" PRIu32
                                              " open publishers and subscribers is reached: raise [limits] grants",
                                              registry->grants_max);
}

static void fill_grant(ae_registry_grant *grant, uint64_t id, uint64_t topic_id, uint64_t client_id, uint32_t role,
                       uint32_t record) {
    ae_record_begin(&grant->state);
    grant->grant_id = id;
    grant->topic_id = topic_id;
    grant->client_id = client_id;
    grant->role = role;
    grant->record = record;
    ae_record_commit(&grant->state);
}

int ae_broker_open(struct ae_broker *broker, uint32_t client, uint32_t role, const struct ae_topic_request *request,
                   struct ae_reply *reply) {
    const struct ae_registry *registry = &broker->registry;
    uint32_t t = 0, record = 0, g;
    ae_log *log = NULL;
    int rc;

    if (role != AE_ROLE_PUBLISHER && role != AE_ROLE_RELIABLE && role != AE_ROLE_BEST_EFFORT)
        return ae_fail(-EPROTO, "role %" PRIu32 " is unknown: use 1 to 3", role);
    if ((rc = free_grant_record(registry, &g)) != 0 || (rc = provide_topic(broker, request, &t)) != 0)
        return rc;
    ae_registry_topic *topic = &registry->topics[t];
    if ((rc = choose_record(broker, topic, role, &record)) != 0 || (rc = open_fds(broker, topic, role, reply)) != 0)
        return rc;
    /* Looking for dead holders may have found the very client that asks. */
    if (ae_record_state(&registry->clients[client].state) != AE_RECORD_LIVE)
        return ae_fail(-ESRCH, "the client that asks is dead");
    if (role == AE_ROLE_PUBLISHER && (rc = prepare_publisher(broker, topic, record, reply->fds[0], &log)) != 0)
        return rc;
    take_type(topic, request);
    /*
     * The grant is recorded before the reply is sent. If the reply is lost, resume frees it. The reverse order could
     * leave a holder without a grant, which nothing would free.
     */
    fill_grant(&registry->grants[g], ae_broker_next_id(broker), topic->topic_id, registry->clients[client].client_id,
               role, record);
    if (log != NULL) {
        ae_topic_admit_publisher(log, record);
        ae_segment_unmap(log, sizeof *log);
    }
    reply->msg.type = AE_MSG_OPENED;
    reply->msg.u.opened.grant_id = registry->grants[g].grant_id;
    reply->msg.u.opened.topic_id = topic->topic_id;
    reply->msg.u.opened.role = role;
    reply->msg.u.opened.record = record;
    reply->msg.u.opened.geometry = topic->geometry;
    return 0;
}
