/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/open.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/socket.h"
#include "broker/clients.h"
#include "broker/grants.h"
#include "broker/objects.h"
#include "broker/remove.h"
#include "broker/shape.h"
#include "broker/stats.h"
#include "broker/topics.h"
#include "ring/topic.h"
#include "ring/wake.h"
#include "shm/segment.h"
#include <aether/error.h>
#include <errno.h>
#include <inttypes.h>

/* Finds a free record for a publisher or a reliable subscriber. The records of dead clients are free. */
static int choose_record(const struct ae_broker *broker, const ae_registry_topic *topic, uint32_t role,
                         uint32_t *record) {
    const bool publishes = role == AE_ROLE_PUBLISHER;

    *record = 0;
    if (role == AE_ROLE_BEST_EFFORT)
        return 0;
    const struct ae_holders *holders = ae_index_holders(&broker->index, ae_state_topic_index(broker, topic), role);
    if (publishes && topic->geometry.publishers == AE_PUBLISHERS_EXCLUSIVE && holders->count != 0) {
        const uint32_t i = broker->index.holdings[ae_index_first(&holders->list)].client;
        const ae_registry_client *holder = i != AE_NO_CLIENT ? &broker->registry.clients[i] : NULL;
        char why[AE_WHY_SIZE] = "";
        const bool asked = (topic->asked & AE_STATED_PUBLISHERS) != 0;
        if (asked)
            (void)ae_shape_why(why, topic, AE_STATED_PUBLISHERS);
        return ae_fail(-EBUSY,
                       "topic '%s' is exclusive%s%s%sand has a publisher: '%s' (pid %" PRIu32
                       "); it must close or die first",
                       topic->name, asked ? ", " : " ", why, asked ? ", " : "", holder != NULL ? holder->name : "?",
                       holder != NULL ? holder->pid : 0);
    }
    if (holders->records == UINT64_MAX)
        return ae_fail(-EUSERS, "topic '%s' has %u %s, the most it can have", topic->name,
                       publishes ? AE_PUBLISHERS_MAX : AE_SUBSCRIBERS_MAX,
                       publishes ? "publishers" : "reliable subscribers");
    *record = (uint32_t)__builtin_ctzll(~holders->records);
    return 0;
}

/* The next descriptor of the reply. */
static int add_fd(struct ae_opened *opened, int fd) {
    if (fd < 0)
        return fd;
    opened->fds[opened->fd_count++] = fd;
    return 0;
}

static int open_registry(const struct ae_broker *broker) {
    char name[AE_OBJECT_NAME_SIZE];

    ae_name_registry(&broker->instance, name);
    return ae_segment_open(name, false, broker->instance.uid, 0, NULL);
}

static int open_stats(const struct ae_broker *broker, const ae_registry_topic *topic, const ae_registry_grant *grant) {
    const int fd = ae_client_stats_prepare(broker, grant);

    return fd < 0 ? ae_fail(fd, "no statistics for topic '%s': %s", topic->name, aether_errmsg()) : fd;
}

/* Does all steps of an admission that can fail, but the statistics. *objects: the mappings for the rest. */
static int prepare(const struct ae_broker *broker, const struct ae_plan *plan, uint32_t role, uint32_t record, int log,
                   int cursors, struct ae_objects *objects) {
    const ae_registry_topic *topic = plan->topic;
    int rc;

    *objects = (struct ae_objects){0};
    if (role == AE_ROLE_RELIABLE && (rc = ae_objects_allocate_cursor(broker, topic, record, cursors)) != 0)
        return ae_fail(rc, "no cursor for a subscriber of topic '%s': %s", topic->name, aether_errmsg());
    if (role != AE_ROLE_PUBLISHER)
        return ae_objects_map(broker, topic, sizeof(ae_log), role == AE_ROLE_RELIABLE, objects);
    if ((rc = ae_objects_map_log(log, sizeof(ae_log), objects)) != 0 ||
        (rc = ae_topics_prepare(broker, plan, log)) != 0)
        return rc;
    if ((rc = ae_objects_allocate_lane(broker, topic, &plan->geometry, record, log)) == 0)
        return 0;
    rc = rc == -ENOSPC ? ae_fail(rc,
                                 "no lane for a publisher of topic '%s': %s: make it larger, or state smaller lanes "
                                 "(lane_bytes; topic create --lane)",
                                 topic->name, aether_errmsg())
                       : ae_fail(rc, "no lane for a publisher of topic '%s': %s", topic->name, aether_errmsg());
    ae_topics_undo(broker, plan, log);
    return rc;
}

/* Opens what the client gets, and does all that can fail. On an error the topic is as it was. */
static int prepare_all(struct ae_broker *broker, uint32_t client, const struct ae_plan *plan, ae_registry_grant *new,
                       struct ae_opened *opened, struct ae_objects *objects) {
    const ae_registry_topic *topic = plan->topic;
    const bool publishes = new->role == AE_ROLE_PUBLISHER, reliable = new->role == AE_ROLE_RELIABLE;
    int stats = -1, notes = -1, cursors = -1, registry = -1, rc;
    const int log = ae_objects_open_log(broker, topic, publishes);

    if ((rc = log) < 0 || (rc = notes = ae_objects_open_notes(broker, topic, !publishes)) < 0 ||
        (new->role != AE_ROLE_BEST_EFFORT && (rc = cursors = ae_objects_open_cursors(broker, topic, reliable)) < 0) ||
        (plan->shape != AE_SHAPE_FIXED && (rc = registry = open_registry(broker)) < 0) ||
        (rc = prepare(broker, plan, new->role, new->record, log, cursors, objects)) != 0)
        goto out;
    /* The statistics last: their record stays allocated, and an open that fails must not make the object larger. */
    if ((rc = ae_client_stats_choose(broker, client, &new->stats)) == 0)
        rc = stats = open_stats(broker, topic, new);
    if (rc < 0 && publishes)
        ae_topics_undo(broker, plan, log);
out:
    (void)add_fd(opened, log);
    (void)add_fd(opened, stats);
    (void)add_fd(opened, notes);
    (void)add_fd(opened, cursors);
    (void)add_fd(opened, registry);
    return rc < 0 ? rc : 0;
}

/* What nobody sees is done; the rest can't fail. */
static void admit(struct ae_broker *broker, const struct ae_plan *plan, uint32_t grant, const ae_registry_grant *new,
                  const struct ae_opened *opened, const struct ae_objects *objects) {
    const uint32_t t = ae_state_topic_index(broker, plan->topic);

    if (new->role == AE_ROLE_PUBLISHER) {
        ae_topics_commit(broker, plan, opened->fds[AE_FD_LOG], objects->log);
        ae_grants_record(broker, grant, new); /* the bit in `open` needs the grant */
        ae_topic_admit_publisher(objects->log, new->record);
        if (plan->changes)
            ae_wake_all(&objects->log->wake.wake); /* subscribers that wait for the topic's slots */
        return;
    }
    /* A subscriber's record has to be ready before a reply can be sent. */
    if (new->role == AE_ROLE_RELIABLE)
        ae_topic_admit_subscriber(objects->log, objects->cursors, new->record);
    ae_grants_record(broker, grant, new);
    ae_topic_set_subscribers(objects->log, ae_grants_count_subscribers(broker, t));
}

static int grant_topic(struct ae_broker *broker, uint32_t client, const struct ae_plan *plan, ae_registry_grant *new,
                       uint32_t grant, struct ae_opened *opened) {
    struct ae_objects objects = {0};
    int rc = choose_record(broker, plan->topic, new->role, &new->record);

    if (rc != 0)
        return rc;
    /* The client may have been among the dead ones that were freed. */
    if (!ae_clients_is_live(broker, client))
        return ae_fail(-ESRCH, "the client that asks is dead");
    new->grant_id = ae_state_new_id(broker);
    new->topic_id = plan->topic->topic_id;
    new->granted_ns = ae_now_ns();
    rc = prepare_all(broker, client, plan, new, opened, &objects);
    if (rc == 0) {
        new->granted_seq = ae_objects_position(plan->topic, opened->fds[AE_FD_LOG]);
        admit(broker, plan, grant, new, opened, &objects);
        opened->grant = &broker->registry.grants[grant];
        opened->topic = plan->topic;
    }
    ae_objects_unmap(&objects);
    if (rc != 0) {
        for (int i = 0; i < AE_FDS_MAX; i++)
            ae_close(&opened->fds[i]);
        opened->fd_count = 0;
    }
    return rc;
}

int ae_open(struct ae_broker *broker, uint32_t client, uint32_t role, uint32_t flags,
            const struct ae_topic_request *request, struct ae_opened *opened) {
    ae_registry_grant new = {.client_id = broker->registry.clients[client].client_id, .role = role};
    struct ae_plan plan;
    uint32_t grant;
    int rc;

    *opened = (struct ae_opened){.fds = {-1, -1, -1, -1, -1}};
    if (role != AE_ROLE_PUBLISHER && role != AE_ROLE_RELIABLE && role != AE_ROLE_BEST_EFFORT)
        return ae_fail(-EPROTO, "role %" PRIu32 " is unknown: use 1 to 3", role);
    if ((rc = ae_grants_find_free(broker, &grant)) != 0 ||
        (rc = ae_topics_plan(broker, client, role, (flags & AE_OPEN_EXISTING) != 0, request, &plan)) != 0)
        return rc;
    if (role != AE_ROLE_PUBLISHER)
        new.wish = ae_shape_wish(request);
    rc = grant_topic(broker, client, &plan, &new, grant, opened);
    if (rc != 0)
        ae_topic_remove_if_left(broker, ae_state_topic_index(broker, plan.topic));
    return rc;
}
