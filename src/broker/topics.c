/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/topics.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "broker/clients.h"
#include "broker/grants.h"
#include "broker/objects.h"
#include "broker/totals.h"
#include "ring/geometry.h"
#include "service/log.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

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

/* Checks the type that a request states for messages of up to max_message bytes. */
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

void ae_topics_take_type(const struct ae_broker *broker, uint32_t client, ae_registry_topic *topic,
                         const struct ae_topic_request *request) {
    const ae_registry_client *maker = &broker->registry.clients[client];
    char text[TYPE_TEXT_SIZE];

    if (request->type_name[0] == '\0' || topic->type_name[0] != '\0')
        return;
    ae_registry_set_type(topic, request->type_name, request->type_version, request->type_size, maker->name, maker->pid);
    ae_registry_changed(&broker->registry);
    ae_log_line(AE_LOG_INFO, "topic '%s' carries %s", topic->name,
                type_text(text, request->type_name, request->type_version, request->type_size));
}

/* ---- finding and creating ---- */

static ae_registry_topic *find_topic(const struct ae_broker *broker, const char *name) {
    const uint32_t t = ae_index_topic_named(&broker->index, name);

    return t != AE_NO_TOPIC ? &broker->registry.topics[t] : NULL;
}

static uint32_t index_of(const struct ae_broker *broker, const ae_registry_topic *topic) {
    return (uint32_t)(topic - broker->registry.topics);
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
        .latency = (aether_latency_mode)request->latency,
        .evict_lag = request->evict_lag,
        .start_seq = request->start_seq,
    };
}

/* Which values a request states. Its type becomes the topic's later. */
static uint32_t stated_by(const struct ae_topic_request *request) {
    return (request->max_message != 0 ? AE_STATED_MAX_MESSAGE : 0) |
           (request->inline_max != 0 ? AE_STATED_INLINE_MAX : 0) | (request->capacity != 0 ? AE_STATED_CAPACITY : 0) |
           (request->lane_bytes != 0 ? AE_STATED_LANE_BYTES : 0) | (request->evict_lag != 0 ? AE_STATED_EVICT_LAG : 0) |
           (request->start_seq != 0 ? AE_STATED_START_SEQ : 0) | (request->preset != 0 ? AE_STATED_PRESET : 0) |
           (request->publishers != 0 ? AE_STATED_PUBLISHERS : 0) | (request->slow != 0 ? AE_STATED_SLOW : 0) |
           (request->latency != 0 ? AE_STATED_LATENCY : 0);
}

/* Writes everything but the state. */
static void fill_record(struct ae_broker *broker, uint32_t client, const struct ae_topic_request *request,
                        const ae_geometry *geometry, ae_registry_topic *record) {
    const ae_registry_client *maker = &broker->registry.clients[client];
    const size_t off = sizeof record->state;
    ae_registry_topic new = {
        .topic_id = ae_state_new_id(broker),
        .created_ns = ae_realtime_ns(),
        .created_mono_ns = ae_now_ns(),
        .geometry = *geometry,
        .name_len = (uint32_t)strlen(request->topic),
        .stated = stated_by(request),
        .preset = request->preset,
        .shape = record->shape, /* it counts the changes over all topics of the record */
        .maker_pid = maker->pid,
    };

    memcpy(new.name, request->topic, new.name_len);
    memcpy(new.maker, maker->name, sizeof new.maker - 1);
    ae_copy_in((unsigned char *)record + off, (const unsigned char *)&new + off, sizeof new - off);
}

static int create_topic(struct ae_broker *broker, uint32_t client, const struct ae_topic_request *request,
                        const ae_geometry *geometry, ae_registry_topic **topic) {
    const struct ae_registry *registry = &broker->registry;
    const char *name = request->topic;
    char size[AE_TEXT_SIZE_BYTES];
    const uint32_t t = ae_index_free_topic(&broker->index);

    if (t == AE_NO_TOPIC)
        return ae_fail(-EUSERS, "aetherd's limit of %" PRIu32 " topics is reached: raise [limits] topics",
                       registry->topics_max);
    ae_registry_topic *record = &registry->topics[t];
    ae_record_begin(&record->state);
    fill_record(broker, client, request, geometry, record);
    int rc = ae_totals_add_topic(broker, record);
    if (rc == 0)
        rc = ae_objects_create(broker, record);
    if (rc != 0) {
        ae_record_free(&record->state);
        return rc;
    }
    ae_registry_set_shape(record, AE_SHAPE_FIXED);
    ae_record_commit(&record->state);
    ae_index_add_topic(&broker->index, t);
    ae_registry_changed(&broker->registry);
    ae_log_line(AE_LOG_INFO, "topic '%s' created: %" PRIu64 " slots of %" PRIu32 " bytes, %s", name, geometry->capacity,
                geometry->slot_size,
                ae_text_size(size, geometry->lanes_off + geometry->cursors_bytes + AE_NOTES_BYTES));
    *topic = record;
    return 0;
}

static int match_topic(const ae_registry_topic *topic, const struct ae_topic_request *request,
                       const aether_topic_config *config) {
    int rc;

    if ((rc = ae_geometry_match(&topic->geometry, config, request->topic)) != 0 ||
        (rc = match_type(topic, request)) != 0)
        return rc;
    return check_type(request, topic->geometry.max_message);
}

int ae_topics_provide(struct ae_broker *broker, uint32_t client, bool existing, const struct ae_topic_request *request,
                      ae_registry_topic **topic) {
    const aether_topic_config config = config_of(request);
    char size[AE_TEXT_SIZE_BYTES], limit[AE_TEXT_SIZE_BYTES];
    ae_geometry geometry;
    int rc = ae_topic_name_check(request->topic, strlen(request->topic));

    if (rc != 0)
        return rc;
    *topic = find_topic(broker, request->topic);
    if (*topic != NULL)
        return match_topic(*topic, request, &config);
    if (existing)
        return ae_fail(-ENOENT, "there is no topic '%s'", request->topic);
    if ((rc = ae_geometry_make(&geometry, &config)) != 0 || (rc = check_type(request, geometry.max_message)) != 0)
        return rc;
    if (geometry.lanes_off + geometry.lane_bytes > broker->limits.ring_bytes)
        return ae_fail(-ENOSPC, "topic '%s' needs %s%s, more than aetherd's limit of %s: raise [limits] ring_bytes",
                       request->topic, ae_text_size(size, geometry.lanes_off + geometry.lane_bytes),
                       geometry.lane_bytes != 0 ? " with a publisher's lane" : "",
                       ae_text_size(limit, broker->limits.ring_bytes));
    return create_topic(broker, client, request, &geometry, topic);
}

/* ---- removing ---- */

/* The number of grants in any role. */
static uint32_t count_users(const struct ae_broker *broker, uint32_t t) {
    uint32_t users = 0;

    for (uint32_t role = AE_ROLE_PUBLISHER; role <= AE_ROLE_BEST_EFFORT; role++)
        users += ae_index_holders(&broker->index, t, role)->count;
    return users;
}

static void remove_topic(struct ae_broker *broker, ae_registry_topic *topic) {
    ae_record_remove(&topic->state);
    ae_totals_remove_topic(broker, topic);
    ae_objects_remove(broker, topic->topic_id);
    ae_index_remove_topic(&broker->index, index_of(broker, topic));
    ae_record_free(&topic->state);
    ae_registry_changed(&broker->registry);
}

int ae_topics_remove(struct ae_broker *broker, const char *name) {
    const int rc = ae_topic_name_check(name, strlen(name));

    if (rc != 0)
        return rc;
    ae_registry_topic *topic = find_topic(broker, name);
    if (topic == NULL)
        return ae_fail(-ENOENT, "there is no topic '%s'", name);
    const uint32_t t = index_of(broker, topic);
    ae_clients_free_dead_holders(broker, t, 0);
    const uint32_t users = count_users(broker, t);
    const uint32_t publishers = ae_index_holders(&broker->index, t, AE_ROLE_PUBLISHER)->count;
    if (users != 0)
        return ae_fail(-EBUSY, "topic '%s' is in use: %" PRIu32 " publisher%s and %" PRIu32 " subscriber%s %s attached",
                       name, publishers, ae_plural(publishers, "", "s"), users - publishers,
                       ae_plural(users - publishers, "", "s"), ae_plural(users, "is", "are"));
    ae_log_line(AE_LOG_INFO, "topic '%s' removed", name);
    remove_topic(broker, topic);
    return 0;
}

uint32_t ae_topics_remove_unused(struct ae_broker *broker) {
    uint32_t left = 0;

    for (uint32_t t = 0; t < broker->registry.topics_max; t++) {
        ae_registry_topic *topic = &broker->registry.topics[t];
        if (ae_record_state(&topic->state) != AE_RECORD_LIVE)
            continue;
        ae_clients_free_dead_holders(broker, t, 0);
        if (count_users(broker, t) != 0)
            left++;
        else
            remove_topic(broker, topic);
    }
    return left;
}
