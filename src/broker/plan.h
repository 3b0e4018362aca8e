/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan.h - what an open of a topic, or a request that creates one, may do: which topic it gets, and which shape that
 * topic gets. What the client states is checked against what the topic and its other clients state.
 *
 * A plan creates and changes no topic: topics.h carries it out. But the grants of clients that are proved dead may be
 * freed, which may end their topics. A plan borrows records of the registry, and is valid until its topic or the grants
 * of that change.
 */
#ifndef AE_BROKER_PLAN_H
#define AE_BROKER_PLAN_H

#include "broker/state.h"
#include "protocol/message.h"

/* A topic for a request, and the shape that the request gives it. */
struct ae_plan {
    ae_registry_topic *topic;         /* NULL: there is none yet, and it must be created, as OPEN */
    const ae_registry_client *client; /* that asks */
    bool publishes;                   /* false: a subscriber, or a request that creates the topic */
    bool changes;                     /* the shape, or what is stated for it */
    uint64_t shape;                   /* AE_SHAPE_*: the topic's, or the one that it gets */
    ae_geometry geometry;             /* of that shape */
    ae_wish own;                      /* what the topic states itself then; if nothing changes, only its type counts */
    uint32_t asked;                   /* AE_STATED_*: what the shape has from subscribers only; 0 but for a publisher */
    uint32_t asker_pid;               /* of the client that asked for it; 0, and "": several did */
    char asker[64];
};

#define AE_PLAN_ANEW 1

/*
 * Makes the plan for a client that opens a topic in this role, or, with role 0, creates it. existing: there must be the
 * topic. Returns 0; AE_PLAN_ANEW: plan->topic, which is FIXED and was never used, must begin anew first, and then a
 * plan be made again; or -errno with a text: -EINVAL, -EEXIST, -ENOENT, -ENOSPC, -ENOMEM.
 */
int ae_plan_make(struct ae_broker *broker, uint32_t client, uint32_t role, bool existing,
                 const struct ae_topic_request *request, struct ae_plan *plan);

#endif
