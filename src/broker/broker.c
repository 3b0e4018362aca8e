/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/broker.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/socket.h"
#include "service/log.h"
#include "shm/segment.h"
#include "shm/token.h"
#include <aether/error.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

void ae_reply_error(struct ae_reply *reply, int code) {
    for (int i = 0; i < reply->fd_count; i++)
        ae_close(&reply->fds[i]);
    reply->fd_count = 0;
    memset(&reply->msg, 0, sizeof reply->msg);
    reply->msg.type = AE_MSG_ERROR;
    reply->msg.u.error.code = code;
    (void)snprintf(reply->msg.u.error.text, sizeof reply->msg.u.error.text, "%s", aether_errmsg());
}

uint64_t ae_broker_next_id(struct ae_broker *broker) {
    ae_u64 *next = &broker->registry.header->next_id;
    const uint64_t id = ae_load_relaxed(next);

    ae_store_relaxed(next, id + 1); /* aetherd is the only writer; stored before the id is used anywhere */
    return id;
}

/* ---- clients ---- */

static bool client_live(const struct ae_broker *broker, uint32_t i) {
    return i < broker->registry.clients_max && ae_record_state(&broker->registry.clients[i].state) == AE_RECORD_LIVE;
}

/* False: not everything that it held could be freed yet; its record stays, so that it is looked at again. */
static bool free_client(struct ae_broker *broker, uint32_t i, bool died) {
    ae_registry_client *record = &broker->registry.clients[i];
    char name[AE_OBJECT_NAME_SIZE];

    for (uint32_t g = 0; g < broker->registry.grants_max; g++) {
        const ae_registry_grant *grant = &broker->registry.grants[g];
        if (ae_record_state(&grant->state) == AE_RECORD_LIVE && grant->client_id == record->client_id &&
            !ae_broker_free_grant(broker, g, died))
            return false;
    }
    ae_record_remove(&record->state);
    ae_name_token(&broker->instance, record->client_id, name);
    ae_segment_remove(name);
    ae_record_free(&record->state);
    return true;
}

bool ae_broker_look(struct ae_broker *broker, uint32_t client) {
    char name[AE_OBJECT_NAME_SIZE];

    if (!client_live(broker, client))
        return true;
    const ae_registry_client *record = &broker->registry.clients[client];
    ae_name_token(&broker->instance, record->client_id, name);
    if (ae_token_free(name, broker->instance.uid) != 1)
        return false;
    const uint64_t id = record->client_id;
    if (!free_client(broker, client, true))
        return false;
    ae_log_line(AE_LOG_INFO, "client %" PRIu64 " (%s, pid %" PRIu32 ") is gone", id, record->name, record->pid);
    return true;
}

/* The living client that msg wants to speak for, or AE_NO_CLIENT. */
static uint32_t find_resumed(struct ae_broker *broker, const struct ae_msg *msg) {
    if (msg->u.hello.resume_id == 0)
        return AE_NO_CLIENT;
    for (uint32_t i = 0; i < broker->registry.clients_max; i++) {
        const ae_registry_client *record = &broker->registry.clients[i];
        if (ae_record_state(&record->state) == AE_RECORD_LIVE && record->client_id == msg->u.hello.resume_id &&
            memcmp(record->nonce, msg->u.hello.resume_nonce, sizeof record->nonce) == 0)
            return ae_broker_look(broker, i) ? AE_NO_CLIENT : i;
    }
    return AE_NO_CLIENT;
}

/* Grants whose reply was lost with the daemon that made them: the client never knew them. */
static void free_unknown_grants(struct ae_broker *broker, uint64_t client_id, uint64_t newest_known) {
    for (uint32_t g = 0; g < broker->registry.grants_max; g++) {
        const ae_registry_grant *grant = &broker->registry.grants[g];
        if (ae_record_state(&grant->state) == AE_RECORD_LIVE && grant->client_id == client_id &&
            grant->grant_id > newest_known)
            (void)ae_broker_free_grant(broker, g, false); /* if not now, it goes with the client */
    }
}

static int new_client(struct ae_broker *broker, const struct ae_msg *msg, uint32_t pid, uint32_t uid, uint32_t *client,
                      int *token) {
    const struct ae_registry *registry = &broker->registry;
    char name[AE_OBJECT_NAME_SIZE];
    uint32_t i = 0;

    while (i < registry->clients_max && ae_record_state(&registry->clients[i].state) != AE_RECORD_FREE)
        i++;
    if (i == registry->clients_max)
        return ae_fail(-EUSERS, "aetherd's limit of %" PRIu32 " clients is reached: raise [limits] clients",
                       registry->clients_max);
    ae_registry_client *record = &registry->clients[i];
    ae_record_begin(&record->state);
    record->client_id = ae_broker_next_id(broker);
    record->created_ns = ae_realtime_ns();
    record->pid = pid;
    record->uid = uid;
    memcpy(record->name, msg->u.hello.name, sizeof record->name);
    if (getrandom(record->nonce, sizeof record->nonce, 0) != (ssize_t)sizeof record->nonce) {
        ae_record_free(&record->state);
        return ae_fail(-EIO, "no random bytes for a client");
    }
    ae_name_token(&broker->instance, record->client_id, name);
    *token = ae_token_create(name);
    if (*token < 0) {
        ae_record_free(&record->state);
        return *token;
    }
    ae_record_commit(&record->state);
    *client = i;
    return 0;
}

void ae_broker_hello(struct ae_broker *broker, const struct ae_msg *msg, uint32_t pid, uint32_t uid,
                     struct ae_reply *reply, uint32_t *client) {
    int token = -1, rc = 0;

    *client = find_resumed(broker, msg);
    const bool resumed = *client != AE_NO_CLIENT;
    if (resumed)
        free_unknown_grants(broker, msg->u.hello.resume_id, msg->u.hello.resume_grant);
    else
        rc = new_client(broker, msg, pid, uid, client, &token);
    if (rc != 0) {
        *client = AE_NO_CLIENT;
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

/* ---- requests ---- */

static int close_grant(struct ae_broker *broker, uint32_t client, uint64_t grant_id) {
    const uint64_t client_id = broker->registry.clients[client].client_id;

    for (uint32_t g = 0; g < broker->registry.grants_max; g++) {
        const ae_registry_grant *grant = &broker->registry.grants[g];
        if (ae_record_state(&grant->state) == AE_RECORD_LIVE && grant->grant_id == grant_id &&
            grant->client_id == client_id) {
            if (!ae_broker_free_grant(broker, g, false))
                ae_record_free(&broker->registry.grants[g].state); /* it has cleared its bit itself before it asked */
            return 0;
        }
    }
    return ae_fail(-ENOENT, "grant %" PRIu64 " isn't this client's", grant_id);
}

static int remove_topic(struct ae_broker *broker, const char *name) {
    uint32_t topic;
    int rc = ae_topic_name_check(name, strlen(name));

    if (rc != 0 || (rc = ae_broker_find_topic(broker, name, &topic)) != 0)
        return rc;
    const uint64_t id = broker->registry.topics[topic].topic_id;
    const uint32_t publishers = ae_broker_attached(broker, id, AE_ROLE_PUBLISHER);
    const uint32_t subscribers =
        ae_broker_attached(broker, id, AE_ROLE_RELIABLE) + ae_broker_attached(broker, id, AE_ROLE_BEST_EFFORT);
    if (publishers + subscribers != 0)
        return ae_fail(-EBUSY, "topic '%s' is in use: %" PRIu32 " publishers and %" PRIu32 " subscribers are attached",
                       name, publishers, subscribers);
    ae_log_line(AE_LOG_INFO, "topic '%s' removed", name);
    ae_broker_remove_topic(broker, topic);
    return 0;
}

void ae_broker_handle(struct ae_broker *broker, uint32_t client, const struct ae_msg *msg, struct ae_reply *reply) {
    int rc;

    reply->msg.type = AE_MSG_DONE;
    switch (msg->type) {
    case AE_MSG_OPEN:
        rc = ae_broker_open(broker, client, msg->u.open.role, &msg->u.open.topic, reply);
        break;
    case AE_MSG_CLOSE:
        rc = close_grant(broker, client, msg->u.close.grant_id);
        break;
    case AE_MSG_CREATE:
        rc = ae_broker_create_topic(broker, &msg->u.create);
        break;
    case AE_MSG_REMOVE:
        rc = remove_topic(broker, msg->u.remove.topic);
        break;
    default:
        rc = ae_fail(-EPROTO, "message type %u isn't a request", msg->type);
        break;
    }
    if (rc != 0)
        ae_reply_error(reply, rc);
}

/* ---- start and stop ---- */

int ae_broker_start(struct ae_broker *broker, const struct ae_instance *instance, const struct ae_limits *limits) {
    int rc;

    *broker = (struct ae_broker){.instance = *instance, .limits = *limits};
    rc = ae_registry_open(&broker->registry, instance, true);
    if (rc == -ENOENT || rc == -EBADMSG) {
        if (rc == -EBADMSG) {
            char name[AE_OBJECT_NAME_SIZE];
            ae_log_line(AE_LOG_WARNING, "%s: it is dropped", aether_errmsg());
            ae_name_registry(instance, name);
            ae_segment_remove(name);
        }
        rc = ae_registry_create(&broker->registry, instance, limits->topics, limits->clients, limits->grants);
    }
    return rc != 0 ? rc : ae_broker_adopt(broker);
}

void ae_broker_stop(struct ae_broker *broker) {
    struct ae_registry *registry = &broker->registry;
    uint32_t topics = 0;

    for (uint32_t i = 0; i < registry->clients_max; i++)
        (void)ae_broker_look(broker, i);
    for (uint32_t t = 0; t < registry->topics_max; t++) {
        if (ae_record_state(&registry->topics[t].state) != AE_RECORD_LIVE)
            continue;
        if (ae_broker_attached(broker, registry->topics[t].topic_id, 0) != 0)
            topics++;
        else
            ae_broker_remove_topic(broker, t);
    }
    if (topics != 0) {
        ae_log_line(AE_LOG_INFO, "%" PRIu32 " topics are in use: they stay for the next aetherd", topics);
    } else {
        char name[AE_OBJECT_NAME_SIZE];
        /* Nobody holds anything: living clients that only have a connection start anew with the next aetherd. */
        for (uint32_t i = 0; i < registry->clients_max; i++) {
            if (client_live(broker, i))
                (void)free_client(broker, i, false);
        }
        ae_name_registry(&broker->instance, name);
        ae_segment_remove(name);
    }
    ae_registry_close(registry);
}
