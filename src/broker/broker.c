/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/broker.h"
#include "base/error.h"
#include "base/socket.h"
#include "base/text.h"
#include "broker/adopt.h"
#include "broker/clients.h"
#include "broker/grants.h"
#include "broker/objects.h"
#include "broker/topics.h"
#include "broker/totals.h"
#include "service/log.h"
#include "shm/segment.h"
#include <aether/error.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- requests ---- */

void ae_reply_error(struct ae_reply *reply, int code) {
    for (int i = 0; i < reply->fd_count; i++)
        ae_close(&reply->fds[i]);
    reply->fd_count = 0;
    memset(&reply->msg, 0, sizeof reply->msg);
    reply->msg.type = AE_MSG_ERROR;
    reply->msg.u.error.code = code;
    (void)snprintf(reply->msg.u.error.text, sizeof reply->msg.u.error.text, "%s", aether_errmsg());
}

void ae_broker_hello(struct ae_broker *broker, const struct ae_msg *msg, uint32_t pid, uint32_t uid,
                     struct ae_reply *reply, uint32_t *client) {
    int token = -1;

    *client = ae_clients_resume(broker, msg->u.hello.resume_id, msg->u.hello.resume_nonce, msg->u.hello.resume_grant);
    const bool resumed = *client != AE_NO_CLIENT;
    const int rc = resumed ? 0 : ae_clients_add(broker, msg->u.hello.name, pid, uid, client, &token);
    if (rc != 0) {
        ae_reply_error(reply, rc);
        return;
    }
    const ae_registry_client *record = &broker->registry.clients[*client];
    reply->msg.type = AE_MSG_WELCOME;
    reply->msg.u.welcome.client_id = record->client_id;
    memcpy(reply->msg.u.welcome.nonce, record->nonce, sizeof record->nonce);
    reply->msg.u.welcome.resumed = resumed;
    reply->msg.u.welcome.daemon_pid = (uint32_t)getpid();
    if (!resumed)
        reply->fds[reply->fd_count++] = token;
    ae_log_line(AE_LOG_INFO, "client %" PRIu64 " (%s, pid %" PRIu32 ") %s", record->client_id, record->name,
                record->pid, resumed ? "is back" : "connected");
}

static int open_topic(struct ae_broker *broker, uint32_t client, const struct ae_msg *msg, struct ae_reply *reply) {
    struct ae_opened opened;
    const int rc = ae_open(broker, client, msg->u.open.role, msg->u.open.flags, &msg->u.open.topic, &opened);

    if (rc != 0)
        return rc;
    reply->msg.type = AE_MSG_OPENED;
    reply->msg.u.opened.grant_id = opened.grant->grant_id;
    reply->msg.u.opened.topic_id = opened.topic->topic_id;
    reply->msg.u.opened.role = opened.grant->role;
    reply->msg.u.opened.record = opened.grant->record;
    reply->msg.u.opened.stats = opened.grant->stats;
    reply->msg.u.opened.shape = (uint32_t)ae_shape_of(opened.topic->shape.v);
    reply->msg.u.opened.registry_off = ae_registry_topic_off(&broker->registry, opened.topic);
    if (ae_shape_of(opened.topic->shape.v) == AE_SHAPE_FIXED)
        reply->msg.u.opened.geometry = opened.topic->geometry;
    else
        reply->msg.u.opened.geometry.start_seq = opened.topic->geometry.start_seq;
    memcpy(reply->fds, opened.fds, sizeof opened.fds);
    reply->fd_count = opened.fd_count;
    return 0;
}

void ae_broker_handle(struct ae_broker *broker, uint32_t client, const struct ae_msg *msg, struct ae_reply *reply) {
    int rc;

    ae_grants_free_closed(broker);
    reply->msg.type = AE_MSG_DONE;
    switch (msg->type) {
    case AE_MSG_OPEN:
        rc = open_topic(broker, client, msg, reply);
        break;
    case AE_MSG_CLOSE:
        rc = ae_grants_close(broker, client, msg->u.close.grant_id);
        break;
    case AE_MSG_CREATE:
        rc = ae_topics_create(broker, client, &msg->u.create);
        break;
    case AE_MSG_REMOVE:
        rc = ae_topics_remove(broker, msg->u.remove.topic);
        break;
    default:
        rc = ae_fail(-EPROTO, "message type %u isn't a request", msg->type);
        break;
    }
    if (rc != 0)
        ae_reply_error(reply, rc);
}

/* ---- start and stop ---- */

static void remove_registry(const struct ae_instance *instance) {
    char name[AE_OBJECT_NAME_SIZE];

    ae_name_totals(instance, name);
    ae_object_remove(name);
    ae_name_registry(instance, name);
    ae_object_remove(name);
}

int ae_broker_start(struct ae_broker *broker, const struct ae_instance *instance, const struct ae_limits *limits) {
    int rc;

    *broker = (struct ae_broker){.instance = *instance, .limits = *limits, .reserve = -1};
    ae_state_keep_reserve(broker);
    rc = ae_registry_open(&broker->registry, instance, true);
    if (rc == -EBADMSG) {
        ae_log_line(AE_LOG_WARNING, "%s: it is dropped", aether_errmsg());
        remove_registry(instance);
    }
    if (rc == -ENOENT || rc == -EBADMSG)
        rc = ae_registry_create(&broker->registry, instance, limits->topics, limits->clients, limits->grants);
    if (rc != 0 || (rc = ae_index_open(&broker->index, &broker->registry)) != 0 || (rc = ae_totals_start(broker)) != 0)
        return rc;
    return ae_adopt(broker);
}

void ae_broker_stop(struct ae_broker *broker) {
    ae_grants_free_closed(broker);
    for (uint32_t i = 0; i < broker->registry.clients_max; i++)
        (void)ae_clients_free_if_dead(broker, i);
    const uint32_t topics = ae_topics_remove_unused(broker);
    if (topics != 0) {
        ae_log_line(AE_LOG_INFO, "%" PRIu32 " %s for the next aetherd", topics,
                    ae_plural(topics, "topic is in use: it stays", "topics are in use: they stay"));
    } else {
        ae_clients_remove_all(broker);
        remove_registry(&broker->instance);
    }
    ae_totals_close(&broker->totals);
    ae_index_close(&broker->index);
    ae_state_lend_reserve(broker);
    ae_registry_close(&broker->registry);
}
