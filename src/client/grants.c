/* SPDX-License-Identifier: Apache-2.0 */
#include "client/grants.h"
#include "base/clock.h"
#include "base/error.h"
#include "client/topic.h"
#include "ring/geometry.h"
#include "shm/registry.h"
#include "shm/segment.h"
#include <aether/error.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define BRIEF_NS 100000000ull /* for the close of a grant whose user has no more time */

/* Bytes of its record that the handle uses. */
static uint64_t stats_bytes(const struct ae_grant *grant) {
    return grant->role == AE_ROLE_PUBLISHER ? AE_STATS_PUBLISHER : AE_STATS_RECORD;
}

static void unmap_topic(struct ae_grant *grant) {
    if (grant->topic != NULL)
        ae_segment_unmap((unsigned char *)(uintptr_t)grant->topic - (uintptr_t)grant->topic % AE_PAGE, AE_PAGE);
    grant->topic = NULL;
}

static void unmap(struct ae_grant *grant) {
    unmap_topic(grant);
    ae_stats_unmap(&grant->client->stats, grant->stats);
    ae_segment_unmap(grant->notes, AE_NOTES_BYTES);
    ae_segment_unmap(grant->cursors, AE_CURSORS_BYTES);
    ae_segment_unmap(grant->log, grant->log_bytes);
    free(grant->buffer);
    grant->stats = NULL;
    grant->notes = NULL;
    grant->cursors = NULL;
    grant->log = NULL;
    grant->buffer = NULL;
}

/* Maps the page of the registry that has the topic's record. */
static int map_topic(struct ae_grant *grant, const struct ae_reply *reply) {
    const uint64_t off = reply->msg.u.opened.registry_off, in_page = off % AE_PAGE;
    void *page;
    const int rc = ae_segment_map_part(reply->fds[reply->fd_count - 1], off - in_page, AE_PAGE, false, true, &page);

    if (rc == 0)
        grant->topic = (const ae_registry_topic *)(const void *)((const unsigned char *)page + in_page);
    return rc;
}

/*
 * Populates what the handle uses: everything up to the lanes and, for a publisher, its own lane. A subscriber populates
 * a lane when it finds that a publisher uses it.
 */
static int populate_log(const struct ae_grant *grant, bool publisher) {
    const ae_geometry *geometry = &grant->geometry;
    int rc = ae_segment_populate(grant->log, 0, geometry->lanes_off, publisher);

    if (rc == 0 && publisher && geometry->lane_bytes != 0)
        rc = ae_segment_populate(grant->log, geometry->lanes_off + grant->record * geometry->lane_bytes,
                                 geometry->lane_bytes, true);
    return rc;
}

static int map_log(struct ae_grant *grant, const struct ae_reply *reply, bool words) {
    const bool publisher = grant->role == AE_ROLE_PUBLISHER;
    int rc;

    grant->log_bytes = words ? AE_LOG_SLOTS_OFF : grant->geometry.log_bytes;
    rc = ae_segment_map(reply->fds[AE_FD_LOG], grant->log_bytes, publisher, words, &grant->log);
    return rc == 0 && !words ? populate_log(grant, publisher) : rc;
}

/*
 * Populates the first page of the cursors, and a subscriber's own, which aetherd has allocated. The others may be
 * holes, which populating them would fill. A publisher populates them when it has to; see ae_cursor_of().
 */
static int map_cursors(struct ae_grant *grant, const struct ae_reply *reply, bool writable) {
    const uint64_t own = offsetof(ae_cursors, records) + grant->record * sizeof(ae_cursor_record);
    int rc = ae_segment_map(reply->fds[AE_FD_CURSORS], AE_CURSORS_BYTES, writable, false, &grant->cursors);

    if (rc == 0)
        rc = ae_segment_populate(grant->cursors, 0, AE_PAGE, writable);
    if (rc == 0 && writable && own >= AE_PAGE)
        rc = ae_segment_populate(grant->cursors, own / AE_PAGE * AE_PAGE, AE_PAGE, true);
    return rc;
}

static int map(struct ae_grant *grant, const struct ae_reply *reply, bool words) {
    const bool publisher = grant->role == AE_ROLE_PUBLISHER, waits = reply->msg.u.opened.shape != AE_SHAPE_FIXED;
    int rc = map_log(grant, reply, words || waits);

    if (rc == 0)
        rc = ae_stats_map(&grant->client->stats, reply->fds[AE_FD_STATS], grant->back.client_id,
                          reply->msg.u.opened.stats, stats_bytes(grant), &grant->stats);
    if (rc == 0)
        rc = ae_segment_map(reply->fds[AE_FD_NOTES], AE_NOTES_BYTES, !publisher, true, &grant->notes);
    if (rc == 0 && grant->role != AE_ROLE_BEST_EFFORT)
        rc = map_cursors(grant, reply, !publisher);
    if (rc == 0 && waits)
        rc = map_topic(grant, reply);
    if (rc != 0)
        unmap(grant);
    return rc;
}

/* The slots of a topic that isn't FIXED may still change, so a publisher is never granted it. */
static int check_shape(const struct ae_grant *grant, const struct ae_msg *msg) {
    const uint64_t off = msg->u.opened.registry_off;

    if (msg->u.opened.shape == AE_SHAPE_FIXED)
        return ae_geometry_check(&grant->geometry);
    if (grant->role == AE_ROLE_PUBLISHER)
        return ae_fail(-EPROTO, "aetherd granted a publisher of a topic of shape %u: its slots may still change",
                       msg->u.opened.shape);
    if (off % sizeof(ae_registry_topic) != 0)
        return ae_fail(-EPROTO, "aetherd granted a topic whose record is at %" PRIu64 ": there is none", off);
    return 0;
}

static int check_opened(struct ae_grant *grant, const struct ae_reply *reply) {
    const uint32_t records = grant->role == AE_ROLE_PUBLISHER ? AE_PUBLISHERS_MAX : AE_SUBSCRIBERS_MAX;
    const int fds = (grant->role == AE_ROLE_BEST_EFFORT ? AE_FD_CURSORS : AE_FD_CURSORS + 1) +
                    (reply->msg.u.opened.shape != AE_SHAPE_FIXED);

    grant->topic_id = reply->msg.u.opened.topic_id;
    grant->record = reply->msg.u.opened.record;
    grant->geometry = reply->msg.u.opened.geometry;
    if (reply->msg.u.opened.role != grant->role || grant->record >= records)
        return ae_fail(-EPROTO, "aetherd granted role %u, record %u: not what was asked for", reply->msg.u.opened.role,
                       grant->record);
    if (reply->msg.u.opened.stats >= AE_REGISTRY_GRANTS_LIMIT)
        return ae_fail(-EPROTO, "aetherd granted statistics record %u: there is none", reply->msg.u.opened.stats);
    if (reply->fd_count != fds)
        return ae_fail(-EMFILE, "topic's file descriptors didn't arrive: raise this program's limit (ulimit -n)");
    return check_shape(grant, &reply->msg);
}

/* Gives back a grant that can't be used. If the connection breaks meanwhile, the token says that nobody has it. */
static int refuse(struct ae_grant *grant, const char *topic, int code) {
    struct ae_msg msg = {.type = AE_MSG_CLOSE, .u.close.grant_id = grant->back.grant_id};
    char text[512];

    (void)snprintf(text, sizeof text, "%s", aether_errmsg());
    if (ae_client_request(grant->client, &msg, AE_MSG_DONE, AE_CONTROL_ONCE) == 0)
        ae_reply_close(&grant->client->control.reply);
    return ae_fail(code, "topic '%s': %s", topic, text);
}

int ae_grant_open(struct ae_grant *grant, struct aether_client *client, uint32_t role, const char *topic,
                  const aether_topic_config *config, bool words) {
    struct ae_msg msg = {.type = AE_MSG_OPEN, .u.open.role = role};
    struct ae_control *control = &client->control;
    int rc = ae_topic_fill(&msg.u.open.topic, topic, config);

    if (rc != 0)
        return rc;
    if (config != NULL && config->open == AETHER_OPEN_EXISTING)
        msg.u.open.flags = AE_OPEN_EXISTING;
    grant->client = client;
    grant->role = role;
    pthread_mutex_lock(&client->lock);
    control->until_ns = grant->until_ns;
    ae_control_asks(control, true);
    rc = ae_client_request(client, &msg, AE_MSG_OPENED, AE_CONTROL_AGAIN);
    if (rc != 0)
        goto out;
    grant->back.grant_id = control->reply.msg.u.opened.grant_id;
    grant->back.client_id = control->client_id;
    rc = check_opened(grant, &control->reply);
    if (rc == 0)
        rc = map(grant, &control->reply, words);
    ae_reply_close(&control->reply);
    if (rc != 0) {
        rc = refuse(grant, topic, rc);
        goto out;
    }
    control->last_grant = grant->back.grant_id; /* only now, so that aetherd frees a grant that was refused here */
    grant->next = client->grants;
    grant->link = &client->grants;
    if (grant->next != NULL)
        grant->next->link = &grant->next;
    client->grants = grant;
out:
    ae_control_asks(control, false);
    control->until_ns = 0;
    pthread_mutex_unlock(&client->lock);
    return rc;
}

/* For kernels that can't map a mapping again: aetherd opens the log once more. */
static int map_from_daemon(const struct ae_grant *grant, uint64_t bytes, void **log) {
    struct ae_msg msg = {.type = AE_MSG_LOOK, .u.look = {.kind = AE_LOOK_LOG, .id = grant->topic_id}};
    aether_client *client = grant->client;
    int rc;

    pthread_mutex_lock(&client->lock);
    rc = ae_client_request(client, &msg, AE_MSG_OBJECT, AE_CONTROL_AGAIN);
    if (rc == 0) {
        rc = client->control.reply.fd_count == 1
                 ? ae_segment_map(client->control.reply.fds[0], bytes, false, false, log)
                 : ae_fail(-EMFILE, "topic's file descriptor didn't arrive: raise this program's limit (ulimit -n)");
        ae_reply_close(&client->control.reply);
    }
    pthread_mutex_unlock(&client->lock);
    return rc;
}

int ae_grant_map_shape(const struct ae_grant *grant, ae_geometry *geometry, void **log) {
    int rc;

    /* G10, pairs G9: the caller has loaded the shape word, and a shape that is FIXED never changes again. */
    *geometry = grant->topic->geometry;
    rc = ae_geometry_check(geometry);
    if (rc != 0)
        return rc;
    rc = ae_segment_map_again(grant->log, geometry->log_bytes, log);
    if (rc != 0 && rc != -ENOMEM)
        rc = map_from_daemon(grant, geometry->log_bytes, log);
    if (rc != 0)
        return rc;
    rc = ae_segment_populate(*log, 0, geometry->lanes_off, false);
    if (rc != 0)
        ae_segment_unmap(*log, geometry->log_bytes);
    return rc;
}

void ae_grant_attach(struct ae_grant *grant, const ae_geometry *geometry, void *log) {
    ae_segment_unmap(grant->log, grant->log_bytes);
    grant->log = log;
    grant->log_bytes = geometry->log_bytes;
    grant->geometry = *geometry;
    unmap_topic(grant);
}

static void leave(struct ae_grant *grant) {
    grant->leave(grant);
    /*
     * Only this says that it was closed if aetherd learns of it by the end of the program. A figure: it orders
     * nothing.
     */
    ae_store_relaxed(&grant->stats->closed, ae_now_ns());
    unmap(grant);
}

static void unlink_grant(struct ae_grant *grant) {
    *grant->link = grant->next;
    if (grant->next != NULL)
        grant->next->link = grant->link;
}

void ae_grant_close(struct ae_grant *grant) {
    aether_client *client = grant->client;

    pthread_mutex_lock(&client->lock);
    const uint64_t patience_ns = client->control.patience_ns;
    if (grant->until_ns != 0 && patience_ns > BRIEF_NS)
        client->control.patience_ns = BRIEF_NS; /* the queue keeps the grant for the next request */
    leave(grant);
    unlink_grant(grant);
    /* aetherd gets the grant back now or, if there is no daemon, with the first request after there is one. */
    ae_control_queue(&client->control, &grant->back);
    (void)ae_client_request(client, NULL, 0, AE_CONTROL_ONCE);
    client->control.patience_ns = patience_ns;
    pthread_mutex_unlock(&client->lock);
}

void ae_grants_drop(struct aether_client *client) {
    while (client->grants != NULL) {
        struct ae_grant *grant = client->grants;
        client->grants = grant->next;
        leave(grant);
        free(grant);
    }
}
