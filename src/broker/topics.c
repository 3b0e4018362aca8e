/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/topics.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/socket.h"
#include "base/text.h"
#include "broker/clients.h"
#include "broker/near.h"
#include "broker/objects.h"
#include "broker/remove.h"
#include "broker/shape.h"
#include "broker/totals.h"
#include "ring/claim.h"
#include "ring/topic.h"
#include "ring/wake.h"
#include "service/log.h"
#include <aether/error.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- finding and creating ---- */

static uint64_t shape_of(const ae_registry_topic *topic) {
    return ae_shape_of(topic->shape.v);
}

/* Copies bytes [from, to) of a record. */
static void store_part(ae_registry_topic *topic, const ae_registry_topic *new, size_t from, size_t to) {
    ae_copy_in((unsigned char *)topic + from, (const unsigned char *)new + from, to - from);
}

/* Writes everything but the state. The record is of no topic, or of one that begins anew, with `made` and its type. */
static void fill_record(struct ae_broker *broker, const char *name, uint64_t start_seq, ae_registry_topic *record) {
    const size_t off = sizeof record->state;
    ae_registry_topic new = {
        .topic_id = ae_state_new_id(broker),
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
        waiting += shape_of(&registry->topics[t]) == AE_SHAPE_OPEN;
    return ae_fail(-EUSERS,
                   "aetherd's limit of %" PRIu32 " topic%s is reached, %" PRIu32
                   " of them without a publisher so far: raise [limits] topics",
                   registry->topics_max, ae_plural(registry->topics_max, "", "s"), waiting);
}

/* Makes an OPEN topic in the record. On an error that is CREATING, and has no objects. */
static int create_in(struct ae_broker *broker, uint32_t t, const char *name, uint64_t start_seq) {
    ae_registry_topic *record = &broker->registry.topics[t];
    int rc;

    ae_record_begin(&record->state);
    fill_record(broker, name, start_seq, record);
    if ((rc = ae_totals_add_topic(broker, record)) != 0 || (rc = ae_objects_create(broker, record)) != 0)
        return rc;
    ae_record_commit(&record->state);
    ae_index_add_topic(&broker->index, t);
    ae_registry_changed(&broker->registry);
    return 0;
}

/* Creates a topic that is OPEN. */
static int create_open(struct ae_broker *broker, const char *name, uint64_t start_seq, ae_registry_topic **topic) {
    const struct ae_registry *registry = &broker->registry;
    const uint32_t t = ae_index_free_topic(&broker->index);

    if (t == AE_NO_TOPIC)
        return fail_full(registry);
    const int rc = create_in(broker, t, name, start_seq);
    if (rc != 0)
        ae_record_free(&registry->topics[t].state);
    else
        *topic = &registry->topics[t];
    return rc;
}

/* ---- statements ---- */

static struct ae_statement statement_of(const ae_registry_client *client, uint32_t role, const ae_wish *says) {
    return (struct ae_statement){
        .says = says,
        .role = role == AE_ROLE_PUBLISHER ? "publisher"
                : role == 0               ? "creator"
                                          : "subscriber",
        .name = client->name,
        .pid = client->pid,
    };
}

#define OWN_MAX 2 /* statements of the topic itself, which are the first */

/* What a topic and its subscribers state, and a client that asks, which is the last. */
struct statements {
    struct ae_statement *list;
    size_t count;
    size_t subscribers;  /* index of the first one's statement */
    ae_wish own;         /* what the topic states, in sum */
    ae_wish first, then; /* its parts: of its publisher or creator; of those that created it, too, later */
};

static void add_subscribers(const struct ae_broker *broker, uint32_t t, struct statements *all) {
    static const ae_registry_client unknown = {.name = "?"};

    for (uint32_t role = AE_ROLE_RELIABLE; role <= AE_ROLE_BEST_EFFORT; role++) {
        const struct ae_holders *holders = ae_index_holders(&broker->index, t, role);
        for (uint32_t g = ae_index_first(&holders->list); g != AE_NO_GRANT;
             g = ae_index_next(&broker->index, AE_BY_TOPIC, g)) {
            const ae_wish *wish = &broker->registry.grants[g].wish;
            const uint32_t i = broker->index.holdings[g].client;
            if (ae_shape_stated(wish) == 0 && wish->type_size == 0)
                continue;
            all->list[all->count++] =
                statement_of(i != AE_NO_CLIENT ? &broker->registry.clients[i] : &unknown, role, wish);
        }
    }
}

/* Each value that a topic without a publisher states is that of its creator, or of a later one. */
static void add_own(const ae_registry_topic *topic, struct statements *all) {
    const bool fixed = shape_of(topic) == AE_SHAPE_FIXED;
    const uint32_t later = fixed ? 0 : topic->later;

    ae_shape_own(topic, &all->own);
    all->first = ae_shape_part(&all->own, ~later);
    all->then = ae_shape_part(&all->own, later);
    all->list[all->count++] = (struct ae_statement){.says = &all->first,
                                                    .role = fixed ? "publisher" : "creator",
                                                    .name = fixed ? topic->maker : topic->creator,
                                                    .pid = fixed ? topic->maker_pid : topic->creator_pid};
    if (later != 0)
        all->list[all->count++] = (struct ae_statement){.says = &all->then, .role = "a later creator", .name = ""};
}

/* topic: NULL if there is none yet. The caller frees all->list. */
static int collect(const struct ae_broker *broker, const ae_registry_topic *topic, const struct ae_statement *asks,
                   struct statements *all) {
    const size_t users = topic != NULL ? ae_topic_users(broker, ae_state_topic_index(broker, topic)) : 0;

    *all = (struct statements){.list = malloc((OWN_MAX + users + 1) * sizeof *all->list)};
    if (all->list == NULL)
        return ae_fail(-ENOMEM, "out of memory for the statements of %zu clients", users + 1);
    if (topic != NULL) {
        add_own(topic, all);
        all->subscribers = all->count;
        add_subscribers(broker, ae_state_topic_index(broker, topic), all);
    }
    all->list[all->count++] = *asks;
    return 0;
}

/* ---- planning ---- */

static int check_limit(const struct ae_broker *broker, const char *name, const ae_geometry *geometry) {
    const uint64_t bytes = geometry->lanes_off + geometry->lane_bytes;
    char size[AE_TEXT_SIZE_BYTES + 8], limit[AE_TEXT_SIZE_BYTES + 8];

    if (bytes <= broker->limits.ring_bytes)
        return 0;
    (void)ae_text_size(size, bytes);
    (void)ae_text_size(limit, broker->limits.ring_bytes);
    if (strcmp(size, limit) == 0) { /* rounded they are the same */
        (void)snprintf(size, sizeof size, "%" PRIu64 " bytes", bytes);
        (void)snprintf(limit, sizeof limit, "%" PRIu64 " bytes", broker->limits.ring_bytes);
    }
    return ae_fail(-ENOSPC, "topic '%s' needs %s%s, more than aetherd's limit of %s: raise [limits] ring_bytes", name,
                   size, geometry->lane_bytes != 0 ? " with a publisher's lane" : "", limit);
}

/* A subscriber that states no size isn't refused because a default is too large: its publisher may state less. */
static bool states_size(const ae_wish *says) {
    return (ae_shape_stated(says) & (AE_STATED_MAX_MESSAGE | AE_STATED_INLINE_MAX | AE_STATED_CAPACITY |
                                     AE_STATED_LANE_BYTES | AE_STATED_PRESET | AE_STATED_TYPE)) != 0;
}

/*
 * Sets plan->own to what the topic states, and what the client states if that becomes the topic's. What a topic is
 * created with must be possible without its subscribers, because they may leave before a publisher comes. A publisher's
 * statement needn't: it counts together with what the subscribers ask for now, which the caller has checked.
 */
static int merge_own(const char *name, const struct statements *all, uint32_t role, struct ae_plan *plan) {
    const struct ae_statement *asks = &all->list[all->count - 1];
    struct ae_statement list[OWN_MAX + 1];

    plan->own = all->own;
    if (role == AE_ROLE_PUBLISHER)
        ae_shape_merge(&plan->own, asks->says);
    if (role != 0)
        return 0;
    memcpy(list, all->list, all->subscribers * sizeof *list);
    list[all->subscribers] = *asks;
    return ae_shape_decide(name, list, all->subscribers + 1, &plan->own, NULL);
}

/* Sets what the shape has from subscribers only, and from which client if it is one. Their types aren't the topic's. */
static void find_asked(const struct statements *all, const ae_wish *sum, struct ae_plan *plan) {
    const struct ae_statement *asker = NULL;

    plan->asked = ae_shape_changed(&plan->own, sum) & ~AE_STATED_TYPE;
    if (sum->capacity != 0)
        plan->asked &= ~AE_STATED_PRESET; /* it decides nothing */
    for (size_t i = all->subscribers; i + 1 < all->count; i++) {
        const struct ae_statement *s = &all->list[i];
        const uint32_t given = ae_shape_changed(&plan->own, s->says) & ~ae_shape_changed(s->says, sum);
        if ((given & plan->asked) == 0)
            continue;
        if (asker != NULL && (asker->pid != s->pid || strcmp(asker->name, s->name) != 0)) {
            plan->asker_pid = 0;
            plan->asker[0] = '\0';
            return;
        }
        asker = s;
        plan->asker_pid = s->pid;
        (void)snprintf(plan->asker, sizeof plan->asker, "%s", s->name);
    }
}

/* A topic that no publisher has had, or, if topic is NULL, one that isn't there yet. */
static int plan_open(struct ae_broker *broker, const char *name, ae_registry_topic *topic,
                     const struct ae_statement *asks, uint32_t role, struct ae_plan *plan) {
    const bool binds = role == 0 || role == AE_ROLE_PUBLISHER;
    struct statements all;
    ae_wish sum;
    int rc = collect(broker, topic, asks, &all);

    if (rc != 0 || (rc = ae_shape_decide(name, all.list, all.count, &sum, &plan->geometry)) != 0 ||
        ((binds || states_size(asks->says)) && (rc = check_limit(broker, name, &plan->geometry)) != 0) ||
        (rc = merge_own(name, &all, role, plan)) != 0)
        goto out;
    if (topic != NULL && asks->says->start_seq != 0 && asks->says->start_seq != topic->geometry.start_seq) {
        rc = ae_fail(-EEXIST,
                     "topic '%s' begins at sequence %" PRIu64 ", not %" PRIu64 ": its subscribers wait for that", name,
                     topic->geometry.start_seq, asks->says->start_seq);
        goto out;
    }
    if (role == AE_ROLE_PUBLISHER)
        find_asked(&all, &sum, plan);
    if (topic == NULL && (rc = create_open(broker, name, plan->geometry.start_seq, &topic)) != 0)
        goto out;
    plan->topic = topic;
    plan->geometry.start_seq = topic->geometry.start_seq;
    plan->shape = role == AE_ROLE_PUBLISHER ? AE_SHAPE_FIXED : role == 0 ? AE_SHAPE_MADE : shape_of(topic);
    plan->changes =
        binds && (plan->shape != shape_of(topic) || memcmp(&plan->own, &topic->made, sizeof plan->own) != 0);
    if (!plan->changes)
        plan->geometry = topic->geometry;
out:
    free(all.list);
    return rc;
}

/* Has no message been published yet? False also if that can't be found out. */
static bool is_empty(const struct ae_broker *broker, const ae_registry_topic *topic) {
    struct ae_objects objects;

    if (ae_objects_map(broker, topic, sizeof(ae_log), false, &objects) != 0)
        return false;
    const uint64_t end = ae_claim_reach(objects.log, ae_load_relaxed(&objects.log->claim.position));
    ae_objects_unmap(&objects);
    return end == topic->geometry.start_seq;
}

#define USERS_SIZE 160
#define REMEDY_SIZE (USERS_SIZE + 160)
#define REMEDY_NAME_MAX 64 /* bytes: a longer name leaves no room for the rest of an error's text */

/* Names up to three users: "'a' (pid 12), 'b' (pid 14) and 2 more". */
static void users_text(const struct ae_broker *broker, uint32_t t, char text[USERS_SIZE]) {
    const uint32_t users = ae_topic_users(broker, t), named_max = users < 3 ? users : 3;
    uint32_t named = 0;
    size_t len = 0;

    for (uint32_t role = AE_ROLE_PUBLISHER; role <= AE_ROLE_BEST_EFFORT; role++) {
        const struct ae_holders *holders = ae_index_holders(&broker->index, t, role);
        for (uint32_t g = ae_index_first(&holders->list); g != AE_NO_GRANT && named < named_max;
             g = ae_index_next(&broker->index, AE_BY_TOPIC, g), named++) {
            const uint32_t i = broker->index.holdings[g].client;
            const ae_registry_client *client = i != AE_NO_CLIENT ? &broker->registry.clients[i] : NULL;
            const char *between = named == 0 ? "" : named + 1 == users ? " and " : ", ";
            len += (size_t)snprintf(text + len, USERS_SIZE - len, "%s'%.16s' (pid %" PRIu32 ")", between,
                                    client != NULL ? client->name : "?", client != NULL ? client->pid : 0);
        }
    }
    if (users > named)
        (void)snprintf(text + len, USERS_SIZE - len, " and %" PRIu32 " more", users - named);
}

static void remedy_text(const struct ae_broker *broker, const ae_registry_topic *topic, char text[REMEDY_SIZE]) {
    char name[REMEDY_NAME_MAX + 1] = "TOPIC", users[USERS_SIZE] = "";

    if (topic->name_len <= REMEDY_NAME_MAX)
        memcpy(name, topic->name, topic->name_len + 1);
    users_text(broker, ae_state_topic_index(broker, topic), users);
    if (users[0] != '\0')
        (void)snprintf(text, REMEDY_SIZE,
                       "open it as it is, or end its users, %s, and remove it: aether-cli topic rm %s", users, name);
    else
        (void)snprintf(text, REMEDY_SIZE, "open it as it is, or remove it first: aether-cli topic rm %s", name);
}

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

int ae_topics_renew(struct ae_broker *broker, uint32_t t) {
    ae_registry_topic *topic = &broker->registry.topics[t];
    char name[sizeof topic->name];

    if (shape_of(topic) != AE_SHAPE_OPEN) {
        keep_statements(topic);
        ae_registry_set_shape(topic, AE_SHAPE_OPEN);
    }
    memcpy(name, topic->name, sizeof name);
    const int rc = create_in(broker, t, name, topic->made.start_seq);
    if (rc == 0)
        ae_store_relaxed(&topic->anew, 0); /* it is LIVE, so nothing but its shape is left to be completed */
    return rc;
}

/*
 * Replaces a topic by one that was created with what it states: whenever aetherd is killed, a successor completes it.
 */
static int replace(struct ae_broker *broker, ae_registry_topic *topic) {
    const uint32_t t = ae_state_topic_index(broker, topic);

    ae_store_relaxed(&topic->anew, 1);
    ae_topic_take_down(broker, t);
    int rc = ae_topics_renew(broker, t);
    if (rc != 0) {
        ae_store_relaxed(&topic->anew, 0);
        ae_record_free(&topic->state);
        ae_registry_changed(&broker->registry);
    } else if ((rc = ae_topics_make_again(broker, topic)) != 0) {
        ae_topic_remove(broker, t);
    }
    return rc;
}

/*
 * Can there be a topic that has what the client that asks states, and what a FIXED one states? 0 or -errno with a text.
 */
static int check_anew(const struct ae_broker *broker, const ae_registry_topic *topic, const struct ae_statement *asks) {
    struct statements all;
    ae_geometry geometry;
    int rc = collect(broker, topic, asks, &all);

    if (rc == 0)
        rc = ae_shape_decide(topic->name, all.list, all.count, NULL, &geometry);
    /* At first it has nothing else: its subscribers have gone, and the client that asks may fail. */
    if (rc == 0 && ae_shape_decide(topic->name, all.list, all.subscribers, NULL, NULL) != 0)
        rc = -EEXIST;
    if (rc == 0)
        rc = check_limit(broker, topic->name, &geometry);
    free(all.list);
    return rc;
}

/*
 * A topic that nobody uses and that holds no message begins anew, with what was stated for it, if the client that asks
 * doesn't contradict that. 1: *topic is another topic, or NULL; 0: it stays as it is; -errno.
 */
static int begin_anew(struct ae_broker *broker, ae_registry_topic **topic, const struct ae_statement *asks) {
    ae_registry_topic *old = *topic;
    ae_wish own;

    ae_clients_free_dead_holders(broker, ae_state_topic_index(broker, old), 0);
    if (ae_topic_users(broker, ae_state_topic_index(broker, old)) != 0 || !is_empty(broker, old))
        return 0;
    int rc = check_anew(broker, old, asks);
    if (rc != 0)
        return rc == -EEXIST ? 0 : rc;
    ae_log_line(AE_LOG_INFO, "topic '%s' was never used, and begins anew", old->name);
    ae_shape_own(old, &own);
    if (old->created != 0 || ae_shape_stated(&own) != 0) {
        rc = replace(broker, old);
    } else {
        ae_topic_remove(broker, ae_state_topic_index(broker, old));
        *topic = NULL;
    }
    return rc != 0 ? rc : 1;
}

/* The topic has no type: another subscriber may have stated one. */
static int match_types(const struct ae_broker *broker, const ae_registry_topic *topic,
                       const struct ae_statement *asks) {
    struct statements all;

    if (asks->says->type_name[0] == '\0')
        return 0;
    int rc = collect(broker, topic, asks, &all);
    if (rc == 0)
        rc = ae_shape_match_types(topic->name, all.list, all.count);
    free(all.list);
    return rc;
}

static int plan_fixed(struct ae_broker *broker, ae_registry_topic **topic, const struct ae_statement *asks,
                      uint32_t role, bool existing, struct ae_plan *plan) {
    char remedy[REMEDY_SIZE];
    uint32_t differs;
    int rc = ae_shape_differs(*topic, asks, &differs);

    if (rc != 0)
        return rc;
    if (differs != 0) {
        /* An open that makes no topic ends none. */
        if (!existing && (rc = begin_anew(broker, topic, asks)) != 0)
            return rc;
        remedy_text(broker, *topic, remedy);
        return ae_shape_refuse(*topic, asks, differs, remedy);
    }
    if ((*topic)->type_name[0] == '\0' && (rc = match_types(broker, *topic, asks)) != 0)
        return rc;
    plan->topic = *topic;
    plan->shape = AE_SHAPE_FIXED;
    plan->geometry = (*topic)->geometry;
    if (role == 0 || role == AE_ROLE_PUBLISHER)
        plan->own = *asks->says;
    return 0;
}

static int fail_missing(const struct ae_broker *broker, const char *name, const ae_registry_topic *topic) {
    const uint32_t users = topic != NULL ? ae_topic_users(broker, ae_state_topic_index(broker, topic)) : 0;

    if (users == 0) {
        const char *near = ae_topic_near(broker, name);
        return near == NULL ? ae_fail(-ENOENT, "there is no topic '%s'", name)
                            : ae_fail(-ENOENT, "there is no topic '%s': did you mean '%s'?", name, near);
    }
    return ae_fail(-ENOENT, "there is no topic '%s'; %" PRIu32 " %s for it", name, users,
                   ae_plural(users, "subscriber waits", "subscribers wait"));
}

static int try_plan(struct ae_broker *broker, uint32_t role, bool existing, const char *name,
                    const struct ae_statement *asks, struct ae_plan *plan) {
    ae_registry_topic *topic = ae_state_topic_named(broker, name);
    int rc;

    if (existing && (topic == NULL || shape_of(topic) == AE_SHAPE_OPEN))
        return fail_missing(broker, name, topic);
    if (topic == NULL || shape_of(topic) != AE_SHAPE_FIXED)
        return plan_open(broker, name, topic, asks, role, plan);
    rc = plan_fixed(broker, &topic, asks, role, existing, plan);
    return rc == 1 ? plan_open(broker, name, topic, asks, role, plan) : rc;
}

/*
 * Frees the records of dead publishers or reliable subscribers, if the client needs one, and the requests of dead
 * subscribers before a shape is made. Topics of the dead may end by that.
 */
static void free_dead(struct ae_broker *broker, const char *name, uint32_t role) {
    const ae_registry_topic *topic = ae_state_topic_named(broker, name);

    if (topic == NULL || role == AE_ROLE_BEST_EFFORT)
        return;
    if (role == AE_ROLE_RELIABLE || shape_of(topic) == AE_SHAPE_FIXED)
        ae_clients_free_dead_holders(broker, ae_state_topic_index(broker, topic), role);
    else
        ae_clients_free_dead_holders(broker, ae_state_topic_index(broker, topic), 0);
}

int ae_topics_plan(struct ae_broker *broker, uint32_t client, uint32_t role, bool existing,
                   const struct ae_topic_request *request, struct ae_plan *plan) {
    const char *name = request->topic;
    const ae_registry_client *record = &broker->registry.clients[client];
    const ae_wish says = ae_shape_wish(request);
    const struct ae_statement asks = statement_of(record, role, &says);
    int rc = ae_topic_name_check(name, strlen(name));

    *plan = (struct ae_plan){.client = record, .publishes = role == AE_ROLE_PUBLISHER};
    if (rc != 0)
        return rc;
    free_dead(broker, name, role);
    rc = try_plan(broker, role, existing, name, &asks, plan);
    const ae_registry_topic *topic = ae_state_topic_named(broker, name);
    if (rc != -EEXIST || topic == NULL)
        return rc;
    /* The client that it contradicts may be dead. */
    ae_clients_free_dead_holders(broker, ae_state_topic_index(broker, topic), 0);
    return try_plan(broker, role, existing, name, &asks, plan);
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
    const uint64_t before = shape_of(topic);

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
    ae_registry_client creator = {.pid = topic->creator_pid};
    const struct ae_statement asks = {.says = &topic->made, .role = "creator", .name = topic->creator};
    struct ae_plan plan = {
        .topic = topic, .client = &creator, .changes = true, .shape = AE_SHAPE_MADE, .own = topic->made};
    const int rc = ae_shape_decide(topic->name, &asks, 1, NULL, &plan.geometry);

    memcpy(creator.name, topic->creator, sizeof creator.name);
    plan.geometry.start_seq = topic->geometry.start_seq;
    return rc != 0 ? rc : carry_out(broker, &plan);
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
    char users[USERS_SIZE] = "";

    if (rc != 0)
        return rc;
    ae_registry_topic *topic = ae_state_topic_named(broker, name);
    if (topic != NULL)
        ae_clients_free_dead_holders(broker, ae_state_topic_index(broker, topic), 0);
    topic = ae_state_topic_named(broker, name);
    if (topic == NULL || shape_of(topic) == AE_SHAPE_OPEN)
        return fail_missing(broker, name, topic);
    const uint32_t t = ae_state_topic_index(broker, topic);
    if (ae_topic_users(broker, t) == 0) {
        ae_topic_remove(broker, t);
    } else if (shape_of(topic) == AE_SHAPE_MADE) {
        rc = reopen(broker, topic);
    } else {
        users_text(broker, t, users);
        rc = ae_fail(-EBUSY, "topic '%s' is in use by %s: end them first", name, users);
    }
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
