/* SPDX-License-Identifier: Apache-2.0 */
#include "export/document.h"
#include "view/metrics.h"
#include "view/names.h"
#include <string.h>

static void add_text(struct ae_json *object, const char *key, const char *text) {
    ae_json_bytes(object, key, text, strlen(text));
}

static void add_ns(struct ae_json *object, const char *key, uint64_t ns) {
    if (ns == AETHER_UNKNOWN)
        ae_json_null(object, key);
    else
        ae_json_u64(object, key, ns);
}

static void add_process(struct ae_json *object, char process) {
    if (process == '?')
        ae_json_null(object, "process");
    else
        ae_json_bytes(object, "process", &process, 1);
}

static void add_owner(struct ae_json *object, const aether_owner *owner) {
    ae_json_u64(object, "grant_id", owner->grant_id);
    ae_json_u64(object, "client_id", owner->client_id);
    add_text(object, "client", owner->client);
    ae_json_u64(object, "pid", owner->pid);
    add_process(object, owner->process);
}

/* Sets object[key] to the owner, or to null without one. */
static void nest_owner(struct ae_json *object, const char *key, const aether_owner *owner) {
    if (owner == NULL) {
        ae_json_null(object, key);
        return;
    }
    struct ae_json inner = ae_json_object();
    add_owner(&inner, owner);
    ae_json_nest(object, key, inner);
}

/* ---- publishers and subscribers ---------------------------------------------------------------------------------- */

static void add_index(struct ae_json *object, const char *key, int32_t index, size_t count) {
    if (index >= 0 && (size_t)index < count)
        ae_json_u64(object, key, (uint64_t)index);
    else
        ae_json_null(object, key);
}

static struct ae_json publisher_object(const aether_topic_metrics *topic, const aether_publisher_metrics *p) {
    const aether_owner *culprit = NULL;
    struct ae_json o = ae_json_object();

    add_owner(&o, &p->owner);
    ae_json_figures(&o, AETHER_SCOPE_PUBLISHER, p);
    ae_json_u64(&o, "joined", p->joined);
    ae_json_u64(&o, "next", p->next);
    ae_json_text(&o, "waits", aether_waits_name(p->waits));
    add_ns(&o, "tried_ns", p->tried_ns);
    add_index(&o, "waits_subscriber", p->waits_subscriber, topic->subscriber_count);
    add_index(&o, "waits_publisher", p->waits_publisher, topic->publisher_count);
    if (p->waits_subscriber >= 0 && (size_t)p->waits_subscriber < topic->subscriber_count)
        culprit = &topic->subscribers[p->waits_subscriber].owner;
    else if (p->waits_publisher >= 0 && (size_t)p->waits_publisher < topic->publisher_count)
        culprit = &topic->publishers[p->waits_publisher].owner;
    nest_owner(&o, "waits_for", culprit);
    return o;
}

static struct ae_json subscriber_object(const aether_subscriber_metrics *s) {
    struct ae_json o = ae_json_object();

    add_owner(&o, &s->owner);
    ae_json_figures(&o, AETHER_SCOPE_SUBSCRIBER, s);
    ae_json_text(&o, "policy", ae_policy_name(s->policy));
    ae_json_text(&o, "state", aether_state_name(s->state));
    ae_json_u64(&o, "joined", s->joined);
    ae_json_u64(&o, "next", s->next);
    return o;
}

static struct ae_json departed_object(const aether_departed_metrics *d) {
    struct ae_json o = ae_json_object();

    add_owner(&o, &d->owner);
    ae_json_text(&o, "role", ae_role_name(d->role));
    ae_json_bool(&o, "died", d->died != 0);
    ae_json_bool(&o, "evicted", d->evicted != 0);
    ae_json_u64(&o, "left_ns", d->left_ns);
    ae_json_u64(&o, "messages", d->messages);
    ae_json_u64(&o, "lost", d->lost);
    ae_json_u64(&o, "aborted", d->aborted);
    ae_json_u64(&o, "skipped", d->skipped);
    ae_json_u64(&o, "full", d->full);
    ae_json_u64(&o, "stall_ns", d->stall_ns);
    return o;
}

/* ---- topics ------------------------------------------------------------------------------------------------------ */

static void add_info(struct ae_json *o, const aether_topic_info *info) {
    ae_json_u64(o, "slot_size", info->slot_size);
    ae_json_u64(o, "max_message", info->max_message);
    ae_json_u64(o, "inline_max", info->inline_max);
    ae_json_u64(o, "lane_bytes", info->lane_bytes);
    ae_json_u64(o, "evict_lag", info->evict_lag);
    ae_json_u64(o, "start_seq", info->start_seq);
    ae_json_u64(o, "next_seq", info->next_seq);
    ae_json_text(o, "publishers_mode", ae_publishers_name(info->admits));
    ae_json_text(o, "slow", ae_slow_names[info->evict_lag != 0]);
    add_text(o, "type_name", info->type_name);
    ae_json_u64(o, "type_version", info->type_version);
    ae_json_u64(o, "type_size", info->type_size);
}

static struct ae_json topic_object(const aether_topic_metrics *t, bool buckets) {
    struct ae_json o = ae_json_object(), array = ae_json_array();

    add_text(&o, "topic", t->info.name);
    ae_json_u64(&o, "id", t->info.id);
    ae_json_figures(&o, AETHER_SCOPE_TOPIC, t);
    if (buckets)
        ae_json_nest(&o, "latency", ae_json_latency(&t->latency, true)); /* in place of the short one */
    add_info(&o, &t->info);
    for (size_t i = 0; i < t->publisher_count; i++)
        ae_json_append(&array, publisher_object(t, &t->publishers[i]));
    ae_json_nest(&o, "publishers", array);
    array = ae_json_array();
    for (size_t i = 0; i < t->subscriber_count; i++)
        ae_json_append(&array, subscriber_object(&t->subscribers[i]));
    ae_json_nest(&o, "subscribers", array);
    array = ae_json_array();
    for (size_t i = 0; i < t->departed_count; i++)
        ae_json_append(&array, departed_object(&t->departed[i]));
    ae_json_nest(&o, "departed", array);
    return o;
}

/* ---- the rest ---------------------------------------------------------------------------------------------------- */

static struct ae_json holdup_object(const struct ae_watch_holdup *h) {
    struct ae_json o = ae_json_object();
    char text[AE_WATCH_HOLDUP_TEXT];

    add_text(&o, "topic", h->topic);
    add_text(&o, "text", ae_watch_holdup_text(text, h));
    ae_json_bool(&o, "stuck", h->stuck);
    add_ns(&o, "for_ns", h->for_ns);
    ae_json_u64(&o, "behind", h->behind);
    ae_json_u64(&o, "others", h->others);
    ae_json_text(&o, "waits", aether_waits_name(h->waits));
    nest_owner(&o, "victim", &h->victim);
    nest_owner(&o, "culprit", h->known ? &h->culprit : NULL);
    return o;
}

static struct ae_json client_object(const aether_client_metrics *c) {
    struct ae_json o = ae_json_object();

    ae_json_u64(&o, "client_id", c->client_id);
    add_text(&o, "client", c->name);
    ae_json_u64(&o, "pid", c->pid);
    ae_json_u64(&o, "uid", c->uid);
    add_process(&o, c->process);
    ae_json_figures(&o, AETHER_SCOPE_CLIENT, c);
    return o;
}

static void add_instance(struct ae_json *object, const struct ae_document *d) {
    if (d->instance == NULL) {
        add_text(object, "error", d->error);
        ae_json_null(object, "instance");
        return;
    }
    struct ae_json inner = ae_json_object();
    add_text(&inner, "socket", d->socket_path);
    ae_json_u64(&inner, "pid", d->instance->daemon.pid);
    ae_json_u64(&inner, "now_ns", d->instance->now_ns);
    ae_json_figures(&inner, AETHER_SCOPE_INSTANCE, d->instance);
    ae_json_null(object, "error");
    ae_json_nest(object, "instance", inner);
}

int ae_document_write(const struct ae_document *d, struct ae_out *out) {
    struct ae_json o = ae_json_object(), topics = ae_json_array(), holdups = ae_json_array(), clients = ae_json_array();

    ae_json_text(&o, "version", aether_version());
    ae_json_u64(&o, "time_ns", d->time_ns);
    add_instance(&o, d);
    for (size_t i = 0; i < d->topic_count; i++)
        ae_json_append(&topics, topic_object(d->topics[i], d->buckets));
    ae_json_nest(&o, "topics", topics);
    ae_json_u64(&o, "topics_left_out", d->topics_left_out);
    if (d->other != NULL) {
        struct ae_json other = ae_json_object();
        ae_json_figures(&other, AETHER_SCOPE_TOPIC, d->other);
        ae_json_nest(&o, "other", other);
    } else {
        ae_json_null(&o, "other");
    }
    for (size_t i = 0; i < d->holdup_count; i++)
        ae_json_append(&holdups, holdup_object(&d->holdups[i]));
    ae_json_nest(&o, "holdups", holdups);
    for (size_t i = 0; i < d->client_count; i++)
        ae_json_append(&clients, client_object(&d->clients[i]));
    ae_json_nest(&o, "clients", clients);
    ae_json_u64(&o, "clients_left_out", d->clients_left_out);
    return ae_json_line(o, out);
}
