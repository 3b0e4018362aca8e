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
#include <stdio.h>
#include <stdlib.h>

/* Bytes of its record that the handle uses. */
static uint64_t stats_bytes(const struct ae_grant *grant) {
    return grant->role == AE_ROLE_PUBLISHER ? AE_STATS_PUBLISHER : AE_STATS_RECORD;
}

static void unmap(struct ae_grant *grant) {
    ae_segment_unmap(grant->stats, stats_bytes(grant));
    ae_segment_unmap(grant->notes, AE_NOTES_BYTES);
    ae_segment_unmap(grant->cursors, grant->geometry.cursors_bytes);
    ae_segment_unmap(grant->log, grant->geometry.log_bytes);
    free(grant->buffer);
    grant->stats = NULL;
    grant->notes = NULL;
    grant->cursors = NULL;
    grant->log = NULL;
    grant->buffer = NULL;
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

static int map(struct ae_grant *grant, const struct ae_reply *reply) {
    const bool publisher = grant->role == AE_ROLE_PUBLISHER;
    const uint64_t stats_off = AE_STATS_RECORDS_OFF + (uint64_t)reply->msg.u.opened.stats * AE_STATS_RECORD;
    void *stats = NULL;
    int rc = ae_segment_map(reply->fds[AE_FD_LOG], grant->geometry.log_bytes, publisher, false, &grant->log);

    if (rc == 0)
        rc = populate_log(grant, publisher);
    if (rc == 0)
        rc = ae_segment_map_part(reply->fds[AE_FD_STATS], stats_off, stats_bytes(grant), true, true, &stats);
    grant->stats = stats;
    if (rc == 0)
        rc = ae_segment_map(reply->fds[AE_FD_NOTES], AE_NOTES_BYTES, !publisher, true, &grant->notes);
    if (rc == 0 && grant->role != AE_ROLE_BEST_EFFORT)
        rc =
            ae_segment_map(reply->fds[AE_FD_CURSORS], grant->geometry.cursors_bytes, !publisher, true, &grant->cursors);
    if (rc != 0)
        unmap(grant);
    return rc;
}

static int check_opened(struct ae_grant *grant, const struct ae_reply *reply) {
    const uint32_t records = grant->role == AE_ROLE_PUBLISHER ? AE_PUBLISHERS_MAX : AE_SUBSCRIBERS_MAX;

    grant->record = reply->msg.u.opened.record;
    grant->geometry = reply->msg.u.opened.geometry;
    if (reply->msg.u.opened.role != grant->role || grant->record >= records)
        return ae_fail(-EPROTO, "aetherd granted role %u, record %u: not what was asked for", reply->msg.u.opened.role,
                       grant->record);
    if (reply->msg.u.opened.shape != AE_SHAPE_FIXED)
        return ae_fail(-EPROTO, "aetherd granted a topic of shape %u: its slots may still change",
                       reply->msg.u.opened.shape);
    if (reply->msg.u.opened.stats >= AE_REGISTRY_GRANTS_LIMIT)
        return ae_fail(-EPROTO, "aetherd granted statistics record %u: there is none", reply->msg.u.opened.stats);
    if (reply->fd_count != (grant->role == AE_ROLE_BEST_EFFORT ? AE_FD_CURSORS : AE_FD_CURSORS + 1))
        return ae_fail(-EMFILE, "topic's file descriptors didn't arrive: raise this program's limit (ulimit -n)");
    return ae_geometry_check(&grant->geometry);
}

/* Gives back a grant that can't be used. If the connection breaks meanwhile, the resume frees the grant. */
static int refuse(struct ae_grant *grant, const char *topic, int code) {
    struct ae_msg msg = {.type = AE_MSG_CLOSE, .u.close.grant_id = grant->back.grant_id};
    char text[512];

    (void)snprintf(text, sizeof text, "%s", aether_errmsg());
    if (ae_client_request(grant->client, &msg, AE_MSG_DONE, AE_CONTROL_ONCE) == 0)
        ae_reply_close(&grant->client->control.reply);
    return ae_fail(code, "topic '%s': %s", topic, text);
}

int ae_grant_open(struct ae_grant *grant, struct aether_client *client, uint32_t role, const char *topic,
                  const aether_topic_config *config) {
    struct ae_msg msg = {.type = AE_MSG_OPEN, .u.open.role = role};
    struct ae_control *control = &client->control;
    int rc = ae_topic_fill(&msg.u.open.topic, topic, config);

    if (rc != 0)
        return rc;
    grant->client = client;
    grant->role = role;
    pthread_mutex_lock(&client->lock);
    rc = ae_client_request(client, &msg, AE_MSG_OPENED, AE_CONTROL_AGAIN);
    if (rc != 0)
        goto out;
    grant->back.grant_id = control->reply.msg.u.opened.grant_id;
    grant->back.client_id = control->client_id;
    rc = check_opened(grant, &control->reply);
    if (rc == 0)
        rc = map(grant, &control->reply);
    ae_reply_close(&control->reply);
    if (rc != 0) {
        rc = refuse(grant, topic, rc);
        goto out;
    }
    control->last_grant = grant->back.grant_id; /* only now, so that a resume frees a grant that was refused here */
    grant->next = client->grants;
    grant->link = &client->grants;
    if (grant->next != NULL)
        grant->next->link = &grant->next;
    client->grants = grant;
out:
    pthread_mutex_unlock(&client->lock);
    return rc;
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
    leave(grant);
    unlink_grant(grant);
    /* aetherd gets the grant back now or, if there is no daemon, with the first request after there is one. */
    ae_control_queue(&client->control, &grant->back);
    (void)ae_client_request(client, NULL, 0, AE_CONTROL_ONCE);
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
