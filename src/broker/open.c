/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/open.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/socket.h"
#include "broker/clients.h"
#include "broker/grants.h"
#include "broker/objects.h"
#include "broker/stats.h"
#include "broker/topics.h"
#include "ring/topic.h"
#include <aether/error.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* Finds a free record for a publisher or a reliable subscriber, after freeing the records of dead clients. */
static int choose_record(struct ae_broker *broker, const ae_registry_topic *topic, uint32_t role, uint32_t *record) {
    const bool publishes = role == AE_ROLE_PUBLISHER;

    *record = 0;
    if (role == AE_ROLE_BEST_EFFORT)
        return 0;
    const uint32_t t = (uint32_t)(topic - broker->registry.topics);
    ae_clients_free_dead_holders(broker, t, role);
    const struct ae_holders *holders = ae_index_holders(&broker->index, t, role);
    if (publishes && topic->geometry.publishers == AE_PUBLISHERS_EXCLUSIVE && holders->count != 0) {
        const uint32_t i = broker->index.holdings[ae_index_first(&holders->list)].client;
        const ae_registry_client *holder = i != AE_NO_CLIENT ? &broker->registry.clients[i] : NULL;
        return ae_fail(-EBUSY,
                       "topic '%s' is exclusive and has a publisher: %s, pid %" PRIu32 "; it must close or die first",
                       topic->name, holder != NULL ? holder->name : "?", holder != NULL ? holder->pid : 0);
    }
    if (holders->records == UINT64_MAX)
        return ae_fail(-EUSERS, "topic '%s' has %u %s, the most it can have", topic->name,
                       publishes ? AE_PUBLISHERS_MAX : AE_SUBSCRIBERS_MAX,
                       publishes ? "publishers" : "reliable subscribers");
    *record = (uint32_t)__builtin_ctzll(~holders->records);
    return 0;
}

/* The descriptors but that of the statistics. */
static int open_objects(const struct ae_broker *broker, const ae_registry_topic *topic, uint32_t role,
                        struct ae_opened *opened) {
    int *fds = opened->fds;

    if ((fds[AE_FD_LOG] = ae_objects_open_log(broker, topic, role == AE_ROLE_PUBLISHER)) < 0)
        return fds[AE_FD_LOG];
    if ((fds[AE_FD_NOTES] = ae_objects_open_notes(broker, topic, role != AE_ROLE_PUBLISHER)) < 0)
        return fds[AE_FD_NOTES];
    if (role == AE_ROLE_BEST_EFFORT)
        return 0;
    fds[AE_FD_CURSORS] = ae_objects_open_cursors(broker, topic, role == AE_ROLE_RELIABLE);
    return fds[AE_FD_CURSORS] < 0 ? fds[AE_FD_CURSORS] : 0;
}

static int open_stats(const struct ae_broker *broker, const ae_registry_topic *topic, const ae_registry_grant *grant,
                      struct ae_opened *opened) {
    const int fd = ae_client_stats_prepare(broker, grant);

    if (fd < 0)
        return ae_fail(fd, "no statistics for topic '%s': %s", topic->name, aether_errmsg());
    opened->fds[AE_FD_STATS] = fd;
    return 0;
}

/* Does all steps of an admission that can fail, but the statistics. *objects: the mappings for admit(). */
static int prepare(const struct ae_broker *broker, const ae_registry_topic *topic, uint32_t role, uint32_t record,
                   int log, struct ae_objects *objects) {
    *objects = (struct ae_objects){0};
    if (role != AE_ROLE_PUBLISHER)
        return ae_objects_map(broker, topic, sizeof(ae_log), role == AE_ROLE_RELIABLE, objects);
    const int rc = ae_objects_allocate_lane(broker, topic, record, log);
    if (rc != 0)
        return ae_fail(rc, "no lane for a publisher of topic '%s': %s", topic->name, aether_errmsg());
    return ae_objects_map_log(log, sizeof(ae_log), objects);
}

static ae_wish wish_of(const struct ae_topic_request *request) {
    ae_wish wish = {
        .max_message = request->max_message,
        .inline_max = request->inline_max,
        .capacity = request->capacity,
        .lane_bytes = request->lane_bytes,
        .evict_lag = request->evict_lag,
        .start_seq = request->start_seq,
        .preset = request->preset,
        .publishers = request->publishers,
        .slow = request->slow,
        .latency = request->latency,
        .type_version = request->type_version,
        .type_size = request->type_size,
    };

    memcpy(wish.type_name, request->type_name, sizeof wish.type_name);
    return wish;
}

int ae_open(struct ae_broker *broker, uint32_t client, uint32_t role, uint32_t flags,
            const struct ae_topic_request *request, struct ae_opened *opened) {
    const bool existing = (flags & AE_OPEN_EXISTING) != 0;
    const struct ae_registry *registry = &broker->registry;
    ae_registry_grant new = {.client_id = registry->clients[client].client_id, .role = role};
    struct ae_objects objects = {0};
    ae_registry_topic *topic = NULL;
    uint32_t grant;
    int rc;

    *opened = (struct ae_opened){.fds = {-1, -1, -1, -1, -1}};
    if (role != AE_ROLE_PUBLISHER && role != AE_ROLE_RELIABLE && role != AE_ROLE_BEST_EFFORT)
        return ae_fail(-EPROTO, "role %" PRIu32 " is unknown: use 1 to 3", role);
    if ((rc = ae_grants_find_free(broker, &grant)) != 0 ||
        (rc = ae_topics_provide(broker, client, existing, request, &topic)) != 0)
        return rc;
    if ((rc = choose_record(broker, topic, role, &new.record)) != 0)
        return rc;
    /* The requesting client may have been among the dead holders that were freed. */
    if (!ae_clients_is_live(broker, client))
        return ae_fail(-ESRCH, "the client that asks is dead");
    new.grant_id = ae_state_new_id(broker);
    new.topic_id = topic->topic_id;
    new.granted_ns = ae_now_ns();
    if (role != AE_ROLE_PUBLISHER)
        new.wish = wish_of(request);
    /* The statistics last: their record stays allocated, and an open that fails must not make the object larger. */
    if ((rc = open_objects(broker, topic, role, opened)) != 0 ||
        (rc = prepare(broker, topic, role, new.record, opened->fds[AE_FD_LOG], &objects)) != 0 ||
        (rc = ae_client_stats_choose(broker, client, &new.stats)) != 0 ||
        (rc = open_stats(broker, topic, &new, opened)) != 0)
        goto failed;
    new.granted_seq = ae_objects_position(topic, opened->fds[AE_FD_LOG]);
    opened->fd_count = role == AE_ROLE_BEST_EFFORT ? AE_FD_CURSORS : AE_FD_CURSORS + 1;
    ae_topics_take_type(broker, client, topic, request);
    /* A subscriber's record has to be ready before a reply can be sent; a publisher's bit in `open` needs the grant. */
    if (role == AE_ROLE_RELIABLE)
        ae_topic_admit_subscriber(objects.log, objects.cursors, new.record);
    ae_grants_record(broker, grant, &new);
    if (role == AE_ROLE_PUBLISHER)
        ae_topic_admit_publisher(objects.log, new.record);
    else
        ae_topic_set_subscribers(objects.log,
                                 ae_grants_count_subscribers(broker, (uint32_t)(topic - registry->topics)));
    ae_objects_unmap(&objects);
    opened->grant = &registry->grants[grant];
    opened->topic = topic;
    return 0;

failed:
    ae_objects_unmap(&objects);
    for (int i = 0; i < AE_FDS_MAX; i++)
        ae_close(&opened->fds[i]);
    return rc;
}
