/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/topics.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/socket.h"
#include "base/text.h"
#include "broker/clients.h"
#include "broker/objects.h"
#include "broker/refuse.h"
#include "broker/remove.h"
#include "broker/shape.h"
#include "broker/totals.h"
#include "ring/topic.h"
#include "ring/wake.h"
#include "service/log.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* ---- creating ---- */

/* Copies bytes [from, to) of a record. */
static void store_part(ae_registry_topic *topic, const ae_registry_topic *new, size_t from, size_t to) {
    ae_copy_in((unsigned char *)topic + from, (const unsigned char *)new + from, to - from);
}

/* Writes everything but the state. The record is of no topic, or of one that begins anew, with `made` and its type. */
static void fill_record(uint64_t id, const char *name, uint64_t start_seq, ae_registry_topic *record) {
    const size_t off = sizeof record->state;
    ae_registry_topic new = {
        .topic_id = id,
        .created_ns = ae_realtime_ns(),
        .created_mono_ns = ae_now_ns(),
        .geometry = {.start_seq = start_seq},
        .name_len = (uint32_t)strlen(name),
        /* It counts the changes over all topics of the record. */
        .shape = {(record->shape.v & ~AE_SHAPE_MASK) + AE_SHAPE_CHANGE + AE_SHAPE_OPEN},
    };

    memcpy(new.name, name, new.name_len);
    if (record->anew.v != 0) {
        new.anew = record->anew;
        new.made = record->made;
        new.created = record->created;
        new.creator_pid = record->creator_pid;
        new.later = record->later;
        memcpy(new.creator, record->creator, sizeof new.creator);
        new.stated = record->stated &AE_STATED_TYPE;
        new.type_version = record->type_version;
        new.type_size = record->type_size;
        new.type_pid = record->type_pid;
        memcpy(new.type_name, record->type_name, sizeof new.type_name);
        memcpy(new.type_maker, record->type_maker, sizeof new.type_maker);
    }
    ae_copy_in((unsigned char *)record + off, (const unsigned char *)&new + off, sizeof new - off);
}

/* Topics that have only subscribers count, though they aren't listed: a program may have many wrong names. */
static int fail_full(const struct ae_registry *registry) {
    uint32_t waiting = 0;

    for (uint32_t t = 0; t < registry->topics_max; t++)
        waiting += ae_shape_of(registry->topics[t].shape.v) == AE_SHAPE_OPEN;
    return ae_fail(-EUSERS,
                   "aetherd's limit of %" PRIu32 " topic%s is reached, %" PRIu32
                   " of them without a publisher so far: raise [limits] topics",
                   registry->topics_max, ae_plural(registry->topics_max, "", "s"), waiting);
}

/* The record, which is CREATING, has all that belongs to it. */
static void commit_record(struct ae_broker *broker, uint32_t t) {
    ae_record_commit(&broker->registry.topics[t].state);
    ae_index_add_topic(&broker->index, t);
    ae_registry_changed(&broker->registry);
}

/* Makes an OPEN topic in the record. On an error that is CREATING, and has no objects. */
static int create_in(struct ae_broker *broker, uint32_t t, const char *name, uint64_t start_seq) {
    ae_registry_topic *record = &broker->registry.topics[t];
    int rc;

    ae_record_begin(&record->state);
    fill_record(ae_state_new_id(broker), name, start_seq, record);
    if ((rc = ae_totals_add_topic(broker, record)) != 0 || (rc = ae_objects_create(broker, record)) != 0)
        return rc;
    commit_record(broker, t);
    return 0;
}

/* Creates a topic that is OPEN. */
static int create_open(struct ae_broker *broker, const char *name, uint64_t start_seq, ae_registry_topic **topic) {
    const struct ae_registry *registry = &broker->registry;
    const uint32_t t = ae_index_free_topic(&broker->index);

    if (t == AE_NO_TOPIC)
        return fail_full(registry);
    /* Whatever a dead topic left: before the record is CREATING, so that a successor doesn't renew that one, either. */
    ae_store_relaxed(&registry->topics[t].anew, 0);
    const int rc = create_in(broker, t, name, start_seq);
    if (rc != 0)
        ae_record_free(&registry->topics[t].state);
    else
        *topic = &registry->topics[t];
    return rc;
}

/* ---- beginning anew ---- */

/*
 * Stores what a FIXED topic states as what it was created with, in a record that is REMOVING. A successor that finds
 * any part of it stored comes to the same result: the words that it follows from stay, and `created` is stored last.
 */
static void keep_statements(ae_registry_topic *topic) {
    ae_registry_topic new = *topic;
    uint64_t created;

    ae_shape_own(topic, &new.made);
    if (topic->created == 0) {
        new.created = 1;
        new.later = 0;
        new.creator_pid = topic->maker_pid;
        memcpy(new.creator, topic->maker, sizeof new.creator);
    } else {
        new.later |= topic->raised | (ae_shape_stated(&new.made) & ~ae_shape_stated(&topic->made));
    }
    store_part(topic, &new, offsetof(ae_registry_topic, later), offsetof(ae_registry_topic, asker_pid));
    store_part(topic, &new, offsetof(ae_registry_topic, made), offsetof(ae_registry_topic, created));
    memcpy(&created, &new.created, sizeof created); /* with the pid */
    ae_store_release((ae_u64 *)(void *)&topic->created, created);
}

static void make_open(ae_registry_topic *topic) {
    if (ae_shape_of(topic->shape.v) == AE_SHAPE_OPEN)
        return;
    keep_statements(topic);
    ae_registry_set_shape(topic, AE_SHAPE_OPEN);
}

/* The layout that a topic has which was created with this. */
static int decide_again(const char *name, const ae_wish *made, const char *creator, ae_geometry *geometry) {
    const struct ae_statement asks = {.says = made, .role = "creator", .name = creator};

    return ae_shape_decide(name, &asks, 1, NULL, geometry);
}

/* Gives an OPEN topic that was created the shape that follows. The plan borrows *creator. */
static void plan_again(ae_registry_topic *topic, const ae_geometry *geometry, ae_registry_client *creator,
                       struct ae_plan *plan) {
    *creator = (ae_registry_client){.pid = topic->creator_pid};
    memcpy(creator->name, topic->creator, sizeof creator->name);
    *plan = (struct ae_plan){.topic = topic,
                             .client = creator,
                             .changes = true,
                             .shape = AE_SHAPE_MADE,
                             .own = topic->made,
                             .geometry = *geometry};
    plan->geometry.start_seq = topic->geometry.start_seq;
}

int ae_topics_renew(struct ae_broker *broker, uint32_t t) {
    ae_registry_topic *topic = &broker->registry.topics[t];
    char name[sizeof topic->name];

    make_open(topic);
    memcpy(name, topic->name, sizeof name);
    const int rc = create_in(broker, t, name, topic->made.start_seq);
    if (rc == 0)
        ae_store_relaxed(&topic->anew, 0); /* it is LIVE, so nothing but its shape is left to be completed */
    return rc;
}

/* Makes objects with a new id, large enough for what is stated. */
static int make_objects(const struct ae_broker *broker, const ae_registry_topic *next, const ae_geometry *geometry,
                        int *fd, struct ae_objects *objects) {
    int rc = ae_objects_create(broker, next);

    *fd = -1;
    *objects = (struct ae_objects){0};
    if (rc != 0)
        return rc;
    *fd = ae_objects_open_log(broker, next, true);
    rc = *fd < 0 ? *fd : ae_objects_map_log(*fd, sizeof(ae_log), objects);
    if (rc == 0)
        rc = ae_objects_grow(broker, next, geometry, *fd);
    if (rc == 0)
        return 0;
    ae_objects_unmap(objects);
    ae_close(fd);
    ae_objects_remove(broker, next->topic_id);
    return rc;
}

/* The topic, which takes the objects, takes the place of the one in its record. */
static void take_place(struct ae_broker *broker, ae_registry_topic *topic, const ae_registry_topic *next) {
    const uint32_t t = ae_state_topic_index(broker, topic);
    char name[sizeof topic->name];

    ae_store_relaxed(&topic->anew, 1);
    ae_topic_take_down(broker, t);
    make_open(topic);
    memcpy(name, topic->name, sizeof name);
    ae_record_begin(&topic->state);
    fill_record(next->topic_id, name, next->geometry.start_seq, topic);
    ae_totals_reset(&broker->totals, t, next->topic_id); /* which are allocated, as those of the former topic */
    commit_record(broker, t);
    ae_store_relaxed(&topic->anew, 0); /* it is LIVE, so nothing but its shape is left to be completed */
}

/*
 * Replaces a topic by one that was created with what it states. All that can fail is done first; on an error the topic
 * is as it was. Whenever aetherd is killed, a successor completes it.
 */
static int replace(struct ae_broker *broker, ae_registry_topic *topic, const ae_wish *own) {
    const ae_registry_topic next = {
        .topic_id = ae_state_new_id(broker), .geometry.start_seq = own->start_seq, .shape = {AE_SHAPE_OPEN}};
    struct ae_objects objects;
    ae_registry_client creator;
    struct ae_plan plan;
    ae_geometry geometry;
    int fd, rc = decide_again(topic->name, own, "", &geometry);

    if (rc != 0 || (rc = make_objects(broker, &next, &geometry, &fd, &objects)) != 0)
        return rc;
    take_place(broker, topic, &next);
    plan_again(topic, &geometry, &creator, &plan);
    ae_topics_commit(broker, &plan, fd, objects.log);
    ae_wake_all(&objects.log->wake.wake);
    ae_objects_unmap(&objects);
    ae_close(&fd);
    return 0;
}

/* The topic is FIXED. It ends, and with what was stated for it another one takes its place, if anything was. */
static int begin_anew(struct ae_broker *broker, ae_registry_topic *topic) {
    ae_wish own;

    ae_log_line(AE_LOG_INFO, "topic '%s' was never used, and begins anew", topic->name);
    ae_shape_own(topic, &own);
    if (topic->created != 0 || ae_shape_stated(&own) != 0)
        return replace(broker, topic, &own);
    ae_topic_remove(broker, ae_state_topic_index(broker, topic));
    return 0;
}

/* ---- finding ---- */

int ae_topics_plan(struct ae_broker *broker, uint32_t client, uint32_t role, bool existing,
                   const struct ae_topic_request *request, struct ae_plan *plan) {
    int rc;

    while ((rc = ae_plan_make(broker, client, role, existing, request, plan)) == AE_PLAN_ANEW) {
        if ((rc = begin_anew(broker, plan->topic)) != 0)
            return rc;
    }
    if (rc == 0 && plan->topic == NULL)
        rc = create_open(broker, request->topic, plan->geometry.start_seq, &plan->topic);
    return rc;
}

/* ---- shaping ---- */

int ae_topics_prepare(const struct ae_broker *broker, const struct ae_plan *plan, int fd) {
    return plan->changes ? ae_objects_grow(broker, plan->topic, &plan->geometry, fd) : 0;
}

void ae_topics_undo(const struct ae_broker *broker, const struct ae_plan *plan, int fd) {
    if (plan->changes)
        ae_objects_undo(broker, plan->topic, fd);
}

static void log_shape(const struct ae_plan *plan, uint64_t before) {
    const ae_geometry *geometry = &plan->geometry;
    char size[AE_TEXT_SIZE_BYTES];

    ae_log_line(AE_LOG_INFO, "topic '%s' %s: %" PRIu64 " slots of %" PRIu32 " bytes, %s", plan->topic->name,
                before == AE_SHAPE_OPEN ? "created" : "has its first publisher", geometry->capacity,
                geometry->slot_size, ae_text_size(size, geometry->lanes_off + AE_PAGE + AE_NOTES_BYTES));
}

/* The first client that created the topic stays its creator. */
static void fill_made(const struct ae_plan *plan, ae_registry_topic *new) {
    if (new->created == 0) {
        new->created = 1;
        new->later = 0;
        new->creator_pid = new->maker_pid;
        memcpy(new->creator, new->maker, sizeof new->creator);
    } else if (new->creator_pid != new->maker_pid || strcmp(new->creator, new->maker) != 0) {
        new->later |= ae_shape_changed(&new->made, &plan->own);
    }
    new->made = plan->own;
}

/*
 * Everything but shape and type. If the geometry changes, the record says OPEN, so no process takes it for valid. A
 * successor may find any part of `made` stored. Each value that is in it was stated; the first bytes of the type's name
 * are stored last, because without them there is no type.
 */
static void store_record(const struct ae_plan *plan) {
    const size_t made = offsetof(ae_registry_topic, made), type = made + offsetof(ae_wish, type_name);
    ae_registry_topic *topic = plan->topic, new = *topic;
    uint64_t first;

    new.geometry = plan->geometry;
    new.stated = ae_shape_stated(&plan->own) & ~AE_STATED_TYPE;
    if (topic->type_name[0] != '\0')
        new.stated |= AE_STATED_TYPE;
    new.preset = plan->own.preset;
    new.maker_pid = plan->client->pid;
    memset(new.maker, 0, sizeof new.maker);
    memcpy(new.maker, plan->client->name, strnlen(plan->client->name, sizeof new.maker - 1));
    new.raised = plan->publishes && topic->created != 0
                     ? ae_shape_changed(&topic->made, &plan->own) & ae_shape_stated(&topic->made)
                     : 0;
    new.asked = plan->asked;
    new.asker_pid = plan->asker_pid;
    memcpy(new.asker, plan->asker, sizeof new.asker);
    if (!plan->publishes)
        fill_made(plan, &new);
    store_part(topic, &new, offsetof(ae_registry_topic, geometry), offsetof(ae_registry_topic, shape));
    store_part(topic, &new, offsetof(ae_registry_topic, maker_pid), offsetof(ae_registry_topic, name));
    store_part(topic, &new, offsetof(ae_registry_topic, maker), offsetof(ae_registry_topic, type_maker));
    store_part(topic, &new, offsetof(ae_registry_topic, creator), sizeof new);
    store_part(topic, &new, made, type);
    store_part(topic, &new, type + sizeof first, made + sizeof new.made);
    memcpy(&first, new.made.type_name, sizeof first);
    ae_store_release((ae_u64 *)(void *)topic->made.type_name, first);
}

static void store_type(const struct ae_broker *broker, const struct ae_plan *plan) {
    const ae_wish *own = &plan->own;
    char text[AE_TYPE_TEXT_SIZE];

    if (own->type_name[0] == '\0' || plan->topic->type_name[0] != '\0')
        return;
    ae_registry_set_type(plan->topic, own->type_name, own->type_version, own->type_size, plan->client->name,
                         plan->client->pid);
    ae_registry_changed(&broker->registry);
    ae_log_line(AE_LOG_INFO, "topic '%s' carries %s", plan->topic->name,
                ae_shape_type_text(text, own->type_name, own->type_version, own->type_size));
}

void ae_topics_commit(const struct ae_broker *broker, const struct ae_plan *plan, int fd, ae_log *log) {
    ae_registry_topic *topic = plan->topic;
    const uint64_t before = ae_shape_of(topic->shape.v);

    if (plan->changes) {
        /* A topic that keeps its geometry needn't be gone for readers meanwhile. */
        if (before == AE_SHAPE_OPEN || memcmp(&topic->geometry, &plan->geometry, sizeof plan->geometry) != 0)
            ae_registry_set_shape(topic, AE_SHAPE_OPEN);
        store_record(plan);
        ae_objects_trim(broker, topic, plan->geometry.log_bytes, fd);
        ae_topic_set_geometry(log, &plan->geometry);
    }
    store_type(broker, plan);
    if (!plan->changes)
        return;
    ae_registry_set_shape(topic, plan->shape);
    ae_registry_changed(&broker->registry);
    log_shape(plan, before);
}

/* Prepares and commits what a plan changes, and wakes those that wait for it. */
static int carry_out(const struct ae_broker *broker, const struct ae_plan *plan) {
    struct ae_objects objects;
    int fd = ae_objects_open_log(broker, plan->topic, true), rc = fd < 0 ? fd : 0;

    if (rc != 0)
        return rc;
    if ((rc = ae_objects_map_log(fd, sizeof(ae_log), &objects)) == 0 &&
        (rc = ae_topics_prepare(broker, plan, fd)) == 0) {
        ae_topics_commit(broker, plan, fd, objects.log);
        ae_wake_all(&objects.log->wake.wake);
    }
    ae_objects_unmap(&objects);
    ae_close(&fd);
    return rc;
}

int ae_topics_create(struct ae_broker *broker, uint32_t client, const struct ae_topic_request *request) {
    struct ae_plan plan;
    int rc = ae_topics_plan(broker, client, 0, false, request, &plan);

    if (rc != 0)
        return rc;
    if (plan.changes)
        rc = carry_out(broker, &plan);
    else
        store_type(broker, &plan);
    if (rc != 0)
        ae_topic_remove_if_left(broker, ae_state_topic_index(broker, plan.topic));
    return rc;
}

int ae_topics_make_again(struct ae_broker *broker, ae_registry_topic *topic) {
    ae_registry_client creator;
    struct ae_plan plan;
    ae_geometry geometry;
    const int rc = decide_again(topic->name, &topic->made, topic->creator, &geometry);

    if (rc != 0)
        return rc;
    plan_again(topic, &geometry, &creator, &plan);
    return carry_out(broker, &plan);
}

/* ---- removing ---- */

/* A topic that never had a publisher, and has subscribers: it is as if it was never created. */
static int reopen(const struct ae_broker *broker, ae_registry_topic *topic) {
    int fd = ae_objects_open_log(broker, topic, true);

    if (fd < 0)
        return fd;
    ae_registry_set_shape(topic, AE_SHAPE_OPEN);
    topic->created = 0;
    ae_registry_drop_type(topic);
    topic->stated = 0;
    topic->geometry = (ae_geometry){.start_seq = topic->geometry.start_seq};
    ae_objects_trim(broker, topic, AE_LOG_SLOTS_OFF, fd);
    ae_close(&fd);
    ae_registry_changed(&broker->registry);
    return 0;
}

int ae_topics_remove(struct ae_broker *broker, const char *name) {
    int rc = ae_topic_name_check(name, strlen(name));

    if (rc != 0)
        return rc;
    ae_registry_topic *topic = ae_state_topic_named(broker, name);
    if (topic != NULL)
        ae_clients_free_dead_holders(broker, ae_state_topic_index(broker, topic), 0);
    topic = ae_state_topic_named(broker, name);
    if (topic == NULL || ae_shape_of(topic->shape.v) == AE_SHAPE_OPEN)
        return ae_refuse_missing(broker, name, topic);
    const uint32_t t = ae_state_topic_index(broker, topic);
    if (ae_topic_users(broker, t) == 0)
        ae_topic_remove(broker, t);
    else if (ae_shape_of(topic->shape.v) == AE_SHAPE_MADE)
        rc = reopen(broker, topic);
    else
        rc = ae_refuse_removal(broker, topic);
    if (rc == 0)
        ae_log_line(AE_LOG_INFO, "topic '%s' removed", name);
    return rc;
}

uint32_t ae_topics_remove_unused(struct ae_broker *broker) {
    uint32_t left = 0;

    for (uint32_t t = 0; t < broker->registry.topics_max; t++) {
        const ae_registry_topic *topic = &broker->registry.topics[t];
        if (ae_record_state(&topic->state) != AE_RECORD_LIVE)
            continue;
        ae_clients_free_dead_holders(broker, t, 0);
        if (ae_topic_users(broker, t) != 0)
            left++;
        else if (ae_record_state(&topic->state) == AE_RECORD_LIVE) /* it may have ended with its subscribers */
            ae_topic_remove(broker, t);
    }
    return left;
}
