/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "client/client.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/export.h"
#include "base/socket.h"
#include "ring/geometry.h"
#include "shm/names.h"
#include "shm/segment.h"
#include "shm/token.h"
#include <aether/error.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define REPLY_TIMEOUT_NS 5000000000ull
#define LOST_GRANT 0u /* no daemon knows it; its old number may be another's by now */

struct aether_client {
    pthread_mutex_t lock; /* opening and closing; never taken by publish and receive */
    int sock;             /* -1: not connected; silent between requests */
    uint32_t request;     /* last request id */
    uint64_t client_id, nonce[2];
    uint64_t
        last_grant; /* newest grant that arrived: a daemon that resumes us frees later ones, whose reply was lost */
    /*
     * While these are mapped we are alive for aetherd. More than one only if an aetherd lost its registry: what was
     * opened before is still mapped, so the old token must be too.
     */
    void **tokens;
    size_t token_count;
    struct ae_grant *grants;
    char socket_path[108];
    char name[AE_CLIENT_NAME_MAX + 1];
};

struct reply {
    struct ae_msg msg;
    int fds[AE_PACKET_FDS_MAX];
    int fd_count;
};

static void close_fds(struct reply *reply) {
    for (int i = 0; i < reply->fd_count; i++)
        ae_close(&reply->fds[i]);
    reply->fd_count = 0;
}

/* ---- one request, one reply ---- */

static int lost_connection(struct aether_client *client, int code) {
    ae_close(&client->sock);
    return ae_fail(code, "aetherd at %s: %s", client->socket_path,
                   code == -ETIMEDOUT ? "no answer within 5 seconds; is it stopped?" : strerror(-code));
}

static int receive_reply(struct aether_client *client, struct reply *reply, uint64_t deadline) {
    uint8_t packet[AE_PACKET_MAX];
    int rc;

    do {
        reply->fd_count = AE_PACKET_FDS_MAX;
        rc = ae_packet_receive(client->sock, packet, sizeof packet, reply->fds, &reply->fd_count);
        if (rc == -EAGAIN) {
            reply->fd_count = 0;
            if ((rc = ae_socket_wait(client->sock, POLLIN, deadline)) != 0)
                return lost_connection(client, rc);
            rc = -EAGAIN;
        }
    } while (rc == -EAGAIN);
    if (rc <= 0) {
        reply->fd_count = 0;
        return lost_connection(client, rc == 0 ? -ECONNRESET : rc);
    }
    rc = ae_msg_decode(&reply->msg, packet, (size_t)rc);
    if (rc != 0 || (reply->msg.request != client->request && reply->msg.type != AE_MSG_ERROR)) {
        close_fds(reply);
        ae_close(&client->sock);
        return rc != 0 ? rc : ae_fail(-EPROTO, "aetherd at %s answered another request", client->socket_path);
    }
    return 0;
}

/*
 * Sends msg and waits for the reply, which must be of type `expect` with fd_count fds. -ECONNRESET: the daemon went
 * away before it answered.
 */
static int exchange(struct aether_client *client, struct ae_msg *msg, uint16_t expect, struct reply *reply) {
    const uint64_t deadline = ae_now_ns() + REPLY_TIMEOUT_NS;
    uint8_t packet[AE_PACKET_MAX];
    int len, rc;

    reply->fd_count = 0;
    msg->request = ++client->request;
    len = ae_msg_encode(msg, packet, sizeof packet);
    if (len < 0)
        return ae_fail(len, "request can't be encoded");
    while ((rc = ae_packet_send(client->sock, packet, (size_t)len, NULL, 0)) == -EAGAIN) {
        if ((rc = ae_socket_wait(client->sock, POLLOUT, deadline)) != 0)
            return lost_connection(client, rc);
    }
    if (rc != 0)
        return lost_connection(client, rc == -EPIPE ? -ECONNRESET : rc);
    if ((rc = receive_reply(client, reply, deadline)) != 0)
        return rc;
    if (reply->msg.type == expect)
        return 0;
    close_fds(reply);
    if (reply->msg.type == AE_MSG_ERROR && reply->msg.u.error.code < 0)
        return ae_fail(reply->msg.u.error.code, "%s", reply->msg.u.error.text);
    ae_close(&client->sock);
    return ae_fail(-EPROTO, "aetherd at %s answered with message type %u, not %u", client->socket_path, reply->msg.type,
                   expect);
}

/* ---- connecting ---- */

/* aetherd makes its default directory by itself, but only if it isn't told which socket to use. */
static int no_daemon(const struct aether_client *client, int code) {
    char standard[sizeof client->socket_path];

    if (aether_default_socket(standard, sizeof standard) == 0 && strcmp(standard, client->socket_path) == 0)
        return ae_fail(code, "no aetherd at %s: %s; start it with: aetherd", client->socket_path, strerror(-code));
    return ae_fail(code, "no aetherd at %s: %s; start it with: aetherd --socket %s", client->socket_path,
                   strerror(-code), client->socket_path);
}

static int connect_socket(struct aether_client *client) {
    const uint64_t deadline = ae_now_ns() + REPLY_TIMEOUT_NS;
    struct sockaddr_un address;
    int len = ae_socket_address(&address, client->socket_path);
    int rc;

    if (len < 0)
        return ae_fail(len, "socket path '%s' is too long: at most %u bytes", client->socket_path, AE_SOCKET_PATH_MAX);
    client->sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (client->sock < 0)
        return ae_fail(-errno, "socket: %s", strerror(errno));
    /* Non-blocking: the backlog of a stopped daemon would hold a blocking connect for good. */
    while (connect(client->sock, (const struct sockaddr *)&address, (socklen_t)len) != 0) {
        rc = -errno;
        if (rc == -EINTR)
            continue;
        if (rc == -EAGAIN && ae_now_ns() < deadline) {
            (void)poll(NULL, 0, 10); /* no event tells that the backlog has room again */
            continue;
        }
        ae_close(&client->sock);
        if (rc == -EAGAIN)
            rc = -ETIMEDOUT;
        return no_daemon(client, rc);
    }
    return 0;
}

static int keep_token(struct aether_client *client, int fd) {
    void **tokens = realloc(client->tokens, (client->token_count + 1) * sizeof *tokens);
    int rc;

    if (tokens == NULL) {
        ae_close(&fd);
        return ae_fail(-ENOMEM, "out of memory");
    }
    client->tokens = tokens;
    rc = ae_token_hold(fd, &tokens[client->token_count]);
    if (rc == 0)
        client->token_count++;
    return rc;
}

/* Connects, or speaks again for the client that we are after the daemon was restarted. */
static int hello(struct aether_client *client) {
    struct ae_msg msg = {.type = AE_MSG_HELLO};
    struct reply reply = {0};
    int rc = connect_socket(client);

    if (rc != 0)
        return rc;
    msg.u.hello.resume_id = client->client_id;
    memcpy(msg.u.hello.resume_nonce, client->nonce, sizeof client->nonce);
    msg.u.hello.resume_grant = client->last_grant;
    memcpy(msg.u.hello.name, client->name, sizeof client->name);
    rc = exchange(client, &msg, AE_MSG_WELCOME, &reply);
    if (rc != 0) {
        ae_close(&client->sock);
        return rc;
    }
    if (reply.msg.u.welcome.resumed) {
        close_fds(&reply);
        return 0;
    }
    if (reply.fd_count != 1) {
        close_fds(&reply);
        ae_close(&client->sock);
        return ae_fail(-EPROTO, "aetherd at %s sent no token (out of file descriptors?)", client->socket_path);
    }
    rc = keep_token(client, reply.fds[0]);
    if (rc != 0) {
        ae_close(&client->sock);
        return rc;
    }
    client->client_id = reply.msg.u.welcome.client_id;
    memcpy(client->nonce, reply.msg.u.welcome.nonce, sizeof client->nonce);
    client->last_grant = 0;
    /* If we had another identity, aetherd has lost its registry: what was opened works on, and nobody knows of it. */
    for (struct ae_grant *grant = client->grants; grant != NULL; grant = grant->next)
        grant->grant_id = LOST_GRANT;
    return 0;
}

/* Gives a grant back. True: aetherd knows, or has forgotten it, which is as good; false: there is none to tell. */
static bool give_back(struct aether_client *client, uint64_t grant_id) {
    struct ae_msg msg = {.type = AE_MSG_CLOSE, .u.close.grant_id = grant_id};
    struct reply reply = {0};

    return grant_id == LOST_GRANT || exchange(client, &msg, AE_MSG_DONE, &reply) == 0 || client->sock >= 0;
}

/* Grants that were closed while no daemon could be told: mapped no more. */
static void give_back_closed(struct aether_client *client) {
    for (struct ae_grant **at = &client->grants; *at != NULL;) {
        struct ae_grant *grant = *at;
        if (grant->log != NULL) {
            at = &grant->next;
            continue;
        }
        if (!give_back(client, grant->grant_id))
            return;
        *at = grant->next;
        free(grant);
    }
}

static int ensure_connected(struct aether_client *client) {
    int rc;

    if (client->sock >= 0) {
        struct pollfd pfd = {.fd = client->sock, .events = POLLIN};
        /* The connection is silent: anything that can be read is its end. */
        if (poll(&pfd, 1, 0) == 0)
            return 0;
        ae_close(&client->sock);
    }
    rc = hello(client);
    if (rc == 0)
        give_back_closed(client);
    if (rc == 0 && client->sock < 0)
        return ae_fail(-ECONNRESET, "aetherd at %s: %s", client->socket_path, strerror(ECONNRESET));
    return rc;
}

static int request(struct aether_client *client, struct ae_msg *msg, uint16_t expect, struct reply *reply) {
    int rc = ensure_connected(client);

    if (rc == 0)
        rc = exchange(client, msg, expect, reply);
    if (rc == -ECONNRESET && ensure_connected(client) == 0) /* it died before it answered: its successor may */
        rc = exchange(client, msg, expect, reply);
    return rc;
}

static void program_name(char name[AE_CLIENT_NAME_MAX + 1], const char *wanted) {
    if (wanted == NULL)
        wanted = program_invocation_short_name;
    (void)snprintf(name, AE_CLIENT_NAME_MAX + 1, "%s", wanted);
}

AE_EXPORT int aether_connect(aether_client **out, const aether_connect_options *options) {
    const char *path = options != NULL ? options->socket_path : NULL;
    struct aether_client *client = calloc(1, sizeof *client);
    int rc;

    if (client == NULL)
        return ae_fail(-ENOMEM, "out of memory");
    client->sock = -1;
    pthread_mutex_init(&client->lock, NULL);
    program_name(client->name, options != NULL ? options->name : NULL);
    if (path == NULL)
        rc = aether_default_socket(client->socket_path, sizeof client->socket_path);
    else if (strlen(path) > AE_SOCKET_PATH_MAX)
        rc = ae_fail(-ENAMETOOLONG, "socket path '%s' is too long: at most %u bytes", path, AE_SOCKET_PATH_MAX);
    else
        rc = (strcpy(client->socket_path, path), 0);
    if (rc == 0)
        rc = hello(client);
    if (rc != 0) {
        aether_disconnect(client);
        return rc;
    }
    *out = client;
    return 0;
}

static void unlink_grant(struct ae_grant *grant) {
    struct ae_grant **at = &grant->client->grants;

    while (*at != NULL && *at != grant)
        at = &(*at)->next;
    if (*at != NULL)
        *at = grant->next;
}

static void unmap_grant(struct ae_grant *grant) {
    ae_segment_unmap(grant->cursors, grant->geometry.cursors_bytes);
    ae_segment_unmap(grant->log, grant->geometry.log_bytes);
    free(grant->buffer);
    grant->cursors = NULL;
    grant->log = NULL;
    grant->buffer = NULL;
}

AE_EXPORT void aether_disconnect(aether_client *client) {
    if (client == NULL)
        return;
    for (struct ae_grant *grant = client->grants, *next; grant != NULL; grant = next) {
        next = grant->next;
        if (grant->log != NULL) {
            grant->leave(grant);
            unmap_grant(grant);
        }
        free(grant);
    }
    /*
     * The tokens go first: aetherd, prompted by the end of the connection, finds them free and frees all that we held.
     */
    for (size_t i = 0; i < client->token_count; i++)
        ae_token_drop(client->tokens[i]);
    free(client->tokens);
    ae_close(&client->sock);
    pthread_mutex_destroy(&client->lock);
    free(client);
}

/* ---- topics ---- */

static int fill_type(struct ae_topic_request *wanted, const aether_topic_config *config) {
    const size_t len = config->type_name != NULL ? strlen(config->type_name) : 0;

    if (len > AE_TYPE_NAME_MAX)
        return ae_fail(-EINVAL, "type name of %zu bytes is too long: use at most %u", len, AE_TYPE_NAME_MAX);
    if (len == 0) {
        if (config->type_version != 0 || config->type_size != 0)
            return ae_fail(-EINVAL, "a type's version or size is given without its name");
        return 0;
    }
    memcpy(wanted->type_name, config->type_name, len + 1);
    wanted->type_version = config->type_version;
    wanted->type_size = config->type_size;
    return 0;
}

static int fill_topic(struct ae_topic_request *wanted, const char *topic, const aether_topic_config *config) {
    const size_t len = topic != NULL ? strlen(topic) : 0;

    if (len == 0)
        return ae_fail(-EINVAL, "topic name is empty: use 1 to %u bytes", AE_TOPIC_NAME_MAX);
    if (len > AE_TOPIC_NAME_MAX)
        return ae_fail(-EINVAL, "topic name of %zu bytes is too long: use 1 to %u", len, AE_TOPIC_NAME_MAX);
    memcpy(wanted->topic, topic, len + 1);
    if (config == NULL)
        return 0;
    wanted->max_message = config->max_message;
    wanted->inline_max = config->inline_max;
    wanted->capacity = config->capacity;
    wanted->lane_bytes = config->lane_bytes;
    wanted->evict_lag = config->evict_lag;
    wanted->start_seq = config->start_seq;
    wanted->preset = (uint32_t)config->preset;
    wanted->publishers = (uint32_t)config->publishers;
    wanted->slow = (uint32_t)config->slow;
    return fill_type(wanted, config);
}

static int simple_request(aether_client *client, struct ae_msg *msg) {
    struct reply reply = {0};
    int rc;

    pthread_mutex_lock(&client->lock);
    rc = request(client, msg, AE_MSG_DONE, &reply);
    if (rc == 0)
        close_fds(&reply);
    pthread_mutex_unlock(&client->lock);
    return rc;
}

AE_EXPORT int aether_topic_create(aether_client *client, const char *topic, const aether_topic_config *config) {
    struct ae_msg msg = {.type = AE_MSG_CREATE};
    const int rc = fill_topic(&msg.u.create, topic, config);

    return rc != 0 ? rc : simple_request(client, &msg);
}

AE_EXPORT int aether_topic_remove(aether_client *client, const char *topic) {
    struct ae_msg msg = {.type = AE_MSG_REMOVE};
    struct ae_topic_request name = {0};
    const int rc = fill_topic(&name, topic, NULL);

    if (rc != 0)
        return rc;
    memcpy(msg.u.remove.topic, name.topic, sizeof name.topic);
    return simple_request(client, &msg);
}

AE_EXPORT int aether_shutdown(aether_client *client) {
    struct ae_msg msg = {.type = AE_MSG_SHUTDOWN};

    return simple_request(client, &msg);
}

/* ---- grants ---- */

/*
 * What a publisher touches: everything up to the lanes, and its own lane. A subscriber populates lanes once it knows
 * who uses them.
 */
static int populate_log(const struct ae_grant *grant, bool publisher) {
    const ae_geometry *geometry = &grant->geometry;
    int rc = ae_segment_populate(grant->log, 0, geometry->lanes_off, publisher);

    if (rc == 0 && publisher && geometry->lane_bytes != 0)
        rc = ae_segment_populate(grant->log, geometry->lanes_off + grant->record * geometry->lane_bytes,
                                 geometry->lane_bytes, true);
    return rc;
}

static int map_grant(struct ae_grant *grant, const struct reply *reply) {
    const bool publisher = grant->role == AE_ROLE_PUBLISHER;
    int rc = ae_segment_map(reply->fds[0], grant->geometry.log_bytes, publisher, false, &grant->log);

    if (rc == 0)
        rc = populate_log(grant, publisher);
    if (rc == 0 && grant->role != AE_ROLE_BEST_EFFORT)
        rc = ae_segment_map(reply->fds[1], grant->geometry.cursors_bytes, !publisher, true, &grant->cursors);
    if (rc != 0)
        unmap_grant(grant);
    return rc;
}

static int check_opened(struct ae_grant *grant, const struct reply *reply) {
    const uint32_t records = grant->role == AE_ROLE_PUBLISHER ? AE_PUBLISHERS_MAX : AE_SUBSCRIBERS_MAX;

    grant->grant_id = reply->msg.u.opened.grant_id;
    grant->record = reply->msg.u.opened.record;
    grant->geometry = reply->msg.u.opened.geometry;
    if (reply->msg.u.opened.role != grant->role || grant->record >= records)
        return ae_fail(-EPROTO, "aetherd granted role %u, record %u: not what was asked for", reply->msg.u.opened.role,
                       grant->record);
    if (reply->fd_count != (grant->role == AE_ROLE_BEST_EFFORT ? 1 : 2))
        return ae_fail(-EMFILE, "topic's file descriptors didn't arrive: raise this program's limit (ulimit -n)");
    return ae_geometry_check(&grant->geometry);
}

int ae_grant_open(struct ae_grant *grant, aether_client *client, uint32_t role, const char *topic,
                  const aether_topic_config *config) {
    struct ae_msg msg = {.type = AE_MSG_OPEN, .u.open.role = role};
    struct reply reply = {0};
    int rc = fill_topic(&msg.u.open.topic, topic, config);

    if (rc != 0)
        return rc;
    grant->client = client;
    grant->role = role;
    pthread_mutex_lock(&client->lock);
    rc = request(client, &msg, AE_MSG_OPENED, &reply);
    if (rc != 0)
        goto out;
    rc = check_opened(grant, &reply);
    if (rc == 0)
        rc = map_grant(grant, &reply);
    close_fds(&reply);
    if (rc != 0) {
        char text[512];
        (void)snprintf(text, sizeof text, "%s", aether_errmsg());
        (void)give_back(client, grant->grant_id); /* if the connection broke now, it is freed at resume */
        rc = ae_fail(rc, "topic '%s': %s", topic, text);
        goto out;
    }
    client->last_grant = grant->grant_id; /* not before: one that was refused here is freed at resume */
    grant->next = client->grants;
    client->grants = grant;
out:
    pthread_mutex_unlock(&client->lock);
    return rc;
}

void ae_grant_close(struct ae_grant *grant) {
    aether_client *client = grant->client;

    pthread_mutex_lock(&client->lock);
    grant->leave(grant);
    unmap_grant(grant);
    unlink_grant(grant); /* connecting again gives back what the list holds closed: not this one twice */
    if (ensure_connected(client) == 0 && give_back(client, grant->grant_id)) {
        free(grant);
    } else { /* without a daemon it stays in the list, unmapped, until the next one hears of it */
        grant->next = client->grants;
        client->grants = grant;
    }
    pthread_mutex_unlock(&client->lock);
}
