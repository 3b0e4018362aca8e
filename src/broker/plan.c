/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/plan.h"
#include "base/error.h"
#include "base/text.h"
#include "broker/clients.h"
#include "broker/objects.h"
#include "broker/refuse.h"
#include "broker/remove.h"
#include "broker/shape.h"
#include "ring/claim.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- statements ---- */

static struct ae_statement statement_of(const ae_registry_client *client, uint32_t role, const ae_wish *says) {
    return (struct ae_statement){
        .says = says,
        .role = role == AE_ROLE_PUBLISHER ? "publisher"
                : role == 0               ? "creator"
                                          : "subscriber",
        .name = client->name,
        .pid = client->pid,
        .asks = role == AE_ROLE_RELIABLE || role == AE_ROLE_BEST_EFFORT,
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
    const bool fixed = ae_shape_of(topic->shape.v) == AE_SHAPE_FIXED;
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

/* ---- a topic without a publisher ---- */

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
        ae_wish_merge(&plan->own, asks->says);
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

/* Sets the shape that follows. A topic that isn't there yet is created as OPEN. */
static void set_shape(ae_registry_topic *topic, uint32_t role, struct ae_plan *plan) {
    const ae_registry_topic created = {.geometry = {.start_seq = plan->geometry.start_seq}, .shape = {AE_SHAPE_OPEN}};
    const ae_registry_topic *now = topic != NULL ? topic : &created;
    const bool binds = role == 0 || role == AE_ROLE_PUBLISHER;
    const uint64_t before = ae_shape_of(now->shape.v);

    plan->topic = topic;
    plan->geometry.start_seq = now->geometry.start_seq;
    plan->shape = role == AE_ROLE_PUBLISHER ? AE_SHAPE_FIXED : role == 0 ? AE_SHAPE_MADE : before;
    plan->changes = binds && (plan->shape != before || memcmp(&plan->own, &now->made, sizeof plan->own) != 0);
    if (!plan->changes)
        plan->geometry = now->geometry;
}

/* A topic that no publisher has had, or, if topic is NULL, one that isn't there yet. */
static int plan_open(const struct ae_broker *broker, const char *name, ae_registry_topic *topic,
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
    set_shape(topic, role, plan);
out:
    free(all.list);
    return rc;
}

/* ---- a topic that is FIXED ---- */

/* Has no message been published yet? False also if that can't be found out. */
static bool is_empty(const struct ae_broker *broker, const ae_registry_topic *topic) {
    struct ae_objects objects;

    if (ae_objects_map(broker, topic, sizeof(ae_log), false, &objects) != 0)
        return false;
    const uint64_t end = ae_claim_reach(objects.log, ae_load_relaxed(&objects.log->claim.position));
    ae_objects_unmap(&objects);
    return end == topic->geometry.start_seq;
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
 * May a FIXED topic begin anew for the client that asks? It may if nobody uses it, it holds no message, and the client
 * doesn't contradict what was stated for it. AE_PLAN_ANEW, 0 or -errno.
 */
static int may_begin_anew(struct ae_broker *broker, const ae_registry_topic *topic, const struct ae_statement *asks) {
    const uint32_t t = ae_state_topic_index(broker, topic);

    ae_clients_free_dead_holders(broker, t, 0);
    if (ae_topic_users(broker, t) != 0 || !is_empty(broker, topic))
        return 0;
    const int rc = check_anew(broker, topic, asks);
    return rc == 0 ? AE_PLAN_ANEW : rc == -EEXIST ? 0 : rc;
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

static int plan_fixed(struct ae_broker *broker, ae_registry_topic *topic, const struct ae_statement *asks,
                      uint32_t role, bool existing, struct ae_plan *plan) {
    uint32_t differs;
    int rc = ae_shape_differs(topic, asks, &differs);

    if (rc != 0)
        return rc;
    plan->topic = topic;
    if (differs != 0) {
        /* An open that makes no topic ends none. */
        if (!existing && (rc = may_begin_anew(broker, topic, asks)) != 0)
            return rc;
        return ae_refuse_difference(broker, topic, asks, differs);
    }
    if (topic->type_name[0] == '\0' && (rc = match_types(broker, topic, asks)) != 0)
        return rc;
    plan->shape = AE_SHAPE_FIXED;
    plan->geometry = topic->geometry;
    if (role == 0 || role == AE_ROLE_PUBLISHER)
        plan->own = *asks->says;
    return 0;
}

/* ---- any topic ---- */

static int try_plan(struct ae_broker *broker, uint32_t role, bool existing, const char *name,
                    const struct ae_statement *asks, struct ae_plan *plan) {
    ae_registry_topic *topic = ae_state_topic_named(broker, name);

    if (existing && (topic == NULL || ae_shape_of(topic->shape.v) == AE_SHAPE_OPEN))
        return ae_refuse_missing(broker, name, topic);
    if (topic == NULL || ae_shape_of(topic->shape.v) != AE_SHAPE_FIXED)
        return plan_open(broker, name, topic, asks, role, plan);
    return plan_fixed(broker, topic, asks, role, existing, plan);
}

/*
 * Frees the records of dead publishers or reliable subscribers, if the client needs one, and the requests of dead
 * subscribers before a shape is made. Topics of the dead may end by that.
 */
static void free_dead(struct ae_broker *broker, const char *name, uint32_t role) {
    const ae_registry_topic *topic = ae_state_topic_named(broker, name);

    if (topic == NULL || role == AE_ROLE_BEST_EFFORT)
        return;
    if (role == AE_ROLE_RELIABLE || ae_shape_of(topic->shape.v) == AE_SHAPE_FIXED)
        ae_clients_free_dead_holders(broker, ae_state_topic_index(broker, topic), role);
    else
        ae_clients_free_dead_holders(broker, ae_state_topic_index(broker, topic), 0);
}

int ae_plan_make(struct ae_broker *broker, uint32_t client, uint32_t role, bool existing,
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
