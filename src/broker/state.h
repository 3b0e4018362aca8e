/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.h - the broker's state: the instance, the registry with all topics, clients and grants, the topics' totals, and
 * the limits.
 *
 * Registry and totals are shared memory that only aetherd writes, and they outlive aetherd. So every part of the broker
 * changes a record in such an order that a successor can tell which change was incomplete. The index of the registry is
 * private memory; it is kept up to date with each change. Everything in this folder runs in one thread.
 */
#ifndef AE_BROKER_STATE_H
#define AE_BROKER_STATE_H

#include "broker/index.h"
#include "shm/registry.h"
#include "shm/totals.h"

struct ae_limits {
    uint32_t topics, clients, grants;
    uint64_t ring_bytes; /* most memory of one topic: its ring and one lane */
};

struct ae_broker {
    struct ae_instance instance;
    struct ae_registry registry;
    struct ae_index index;
    struct ae_totals totals;
    struct ae_limits limits;
    int reserve; /* a descriptor that isn't used, or -1 */
};

/* A new id of a topic, client or grant, larger than all earlier ids. */
uint64_t ae_state_new_id(struct ae_broker *broker);

/* Makes later ids larger than this id, which a predecessor has used. */
void ae_state_skip_id(struct ae_broker *broker, uint64_t id);

/*
 * The reserve is one descriptor, so that a grant can be folded and retired when all others are in use: these steps need
 * one at a time. lend closes it; keep takes one again, as soon as there is one.
 */
void ae_state_lend_reserve(struct ae_broker *broker);
void ae_state_keep_reserve(struct ae_broker *broker);

/* The live record with this id, or with this name, or NULL. */
ae_registry_topic *ae_state_topic(const struct ae_broker *broker, uint64_t topic_id);
ae_registry_topic *ae_state_topic_named(const struct ae_broker *broker, const char *name);

/* The index of a topic's record. */
uint32_t ae_state_topic_index(const struct ae_broker *broker, const ae_registry_topic *topic);

#endif
