/* SPDX-License-Identifier: Apache-2.0 */
/*
 * topics.h - the topics. Each has a record of the registry, three objects, and possibly a type.
 *
 * A record is committed after its objects are complete, and freed after they are removed. A pointer to a record stays
 * valid while the broker runs; it points to the same topic until that is removed.
 *
 * A topic begins OPEN, with its words only. It gets slots when a request creates it, or with its first publisher: what
 * can fail is done first, and then the change is stored in such an order that a successor can undo or complete it.
 */
#ifndef AE_BROKER_TOPICS_H
#define AE_BROKER_TOPICS_H

#include "broker/plan.h"

/*
 * Finds the topic for a client that opens it in this role, or creates it, as OPEN, but not if `existing`. Checks what
 * the client states against what the topic and its other clients state. An OPEN topic that this has created, and that
 * isn't granted, must be given to ae_topic_remove_if_left(). 0, or -errno with a text: the errors of ae_plan_make(),
 * -EUSERS, and the errors of ae_objects_create().
 */
int ae_topics_plan(struct ae_broker *broker, uint32_t client, uint32_t role, bool existing,
                   const struct ae_topic_request *request, struct ae_plan *plan);

/*
 * Carries out what a publisher's plan changes. prepare does all that can fail; the log is open read-write as fd. Then
 * call either commit, with the words of the log, or undo. None of them does anything if the plan changes nothing.
 */
int ae_topics_prepare(const struct ae_broker *broker, const struct ae_plan *plan, int fd);
void ae_topics_commit(const struct ae_broker *broker, const struct ae_plan *plan, int fd, ae_log *log);
void ae_topics_undo(const struct ae_broker *broker, const struct ae_plan *plan, int fd);

/* Creates a topic for this client, or changes one that never had a publisher. 0, or the errors of ae_topics_plan(). */
int ae_topics_create(struct ae_broker *broker, uint32_t client, const struct ae_topic_request *request);

/*
 * Completes the end of a topic that begins anew, in the same record, which is REMOVING or CREATING with `anew`, and
 * isn't in the index. It becomes an OPEN topic that was created with what the topic stated; ae_topics_make_again()
 * gives it its shape. For adoption, too. 0, or -errno with a text: then the record is as it was, and can be renewed or
 * freed.
 */
int ae_topics_renew(struct ae_broker *broker, uint32_t topic);

/*
 * Gives a topic that was created, and was being changed when a predecessor was killed, the shape that was asked for.
 * For adoption. 0, or -errno with a text.
 */
int ae_topics_make_again(struct ae_broker *broker, ae_registry_topic *topic);

/*
 * Removes a topic that no living client has open. A topic that never had a publisher may have subscribers: they wait
 * for one from then on. 0, or -errno with a text: -EINVAL, -ENOENT, -EBUSY.
 */
int ae_topics_remove(struct ae_broker *broker, const char *name);

/* Removes all topics that no living client has open. Returns how many are left. */
uint32_t ae_topics_remove_unused(struct ae_broker *broker);

#endif
