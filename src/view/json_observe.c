/* SPDX-License-Identifier: Apache-2.0 */
/* json_observe.c - what an instance is doing, as JSON. aether-cli(1) lists the keys. */
#include "view/json_observe.h"
#include "view/metrics.h"
#include "view/names.h"
#include "view/stated.h"
#include <string.h>

/* Sets object[key] to a time in nanoseconds, or to null if it is unknown. */
static void add_ns(struct ae_json *object, const char *key, uint64_t ns) {
    if (ns == AETHER_UNKNOWN)
        ae_json_null(object, key);
    else
        ae_json_u64(object, key, ns);
}

static void add_text(struct ae_json *object, const char *key, const char *text, size_t size) {
    ae_json_bytes(object, key, text, strnlen(text, size));
}

/* ---- programs ---------------------------------------------------------------------------------------------------- */

static void add_process(struct ae_json *object, char process) {
    if (strcmp(ae_process_name(process), "-") == 0)
        ae_json_null(object, "process");
    else
        ae_json_bytes(object, "process", &process, 1);
}

int ae_json_row(struct ae_json object, const struct ae_view *view) {
    if (view->orphaned)
        ae_json_bool(&object, "daemon_running", false);
    return ae_json_line(object, view->out);
}

/* Sets what a client and its publishers and subscribers have in common. */
static void add_client(struct ae_json *object, uint64_t client_id, const char name[64], uint32_t pid, char process) {
    ae_json_u64(object, "client_id", client_id);
    add_text(object, "client", name, 64);
    if (pid != 0)
        ae_json_u64(object, "pid", pid);
    else
        ae_json_null(object, "pid");
    add_process(object, process);
}

static void add_owner(struct ae_json *object, const aether_owner *owner) {
    ae_json_u64(object, "grant_id", owner->grant_id);
    add_client(object, owner->client_id, owner->client, owner->pid, owner->process);
}

/* Sets object[key] to the owner, or to null without one. */
static void nest_owner(struct ae_json *object, const char *key, const aether_owner *owner) {
    struct ae_json inner;

    if (owner == NULL) {
        ae_json_null(object, key);
        return;
    }
    inner = ae_json_object();
    add_owner(&inner, owner);
    ae_json_nest(object, key, inner);
}

struct ae_json ae_json_client(const aether_client_metrics *client) {
    struct ae_json o = ae_json_object();

    add_client(&o, client->client_id, client->name, client->pid, client->process);
    ae_json_u64(&o, "uid", client->uid);
    ae_json_figures(&o, AETHER_SCOPE_CLIENT, client);
    return o;
}

struct ae_json ae_json_instance(const char *socket_path, const aether_instance_metrics *instance) {
    struct ae_json o = ae_json_object();

    ae_json_bytes(&o, "socket", socket_path, strlen(socket_path));
    ae_json_figures(&o, AETHER_SCOPE_INSTANCE, instance);
    ae_json_bool(&o, "running", instance->daemon.running != 0); /* in place of the metrics, numbers */
    if (instance->stopped != AETHER_UNKNOWN)
        ae_json_bool(&o, "stopped", instance->stopped != 0);
    ae_json_u64(&o, "pid", instance->daemon.pid);
    add_process(&o, instance->process);
    ae_json_u64(&o, "now_ns", instance->now_ns);
    return o;
}

/* ---- publishers and subscribers ---------------------------------------------------------------------------------- */

static void add_index(struct ae_json *object, const char *key, int32_t index, size_t count) {
    if (index >= 0 && (size_t)index < count)
        ae_json_u64(object, key, (uint64_t)index);
    else
        ae_json_null(object, key);
}

/* What the publisher waits for; which publisher or subscriber that is, if it is known. */
static void add_waits(struct ae_json *o, const aether_topic_metrics *topic, const aether_publisher_metrics *p) {
    const aether_owner *owner = NULL;

    ae_json_text(o, "waits", aether_waits_name(p->waits));
    add_index(o, "waits_subscriber", p->waits_subscriber, topic->subscriber_count);
    add_index(o, "waits_publisher", p->waits_publisher, topic->publisher_count);
    if (p->waits_subscriber >= 0 && (size_t)p->waits_subscriber < topic->subscriber_count)
        owner = &topic->subscribers[p->waits_subscriber].owner;
    else if (p->waits_publisher >= 0 && (size_t)p->waits_publisher < topic->publisher_count)
        owner = &topic->publishers[p->waits_publisher].owner;
    nest_owner(o, "waits_for", owner);
}

static struct ae_json publisher_object(const aether_topic_metrics *topic, const aether_publisher_metrics *p) {
    struct ae_json o = ae_json_object();

    ae_json_text(&o, "role", ae_role_name(AETHER_ROLE_PUBLISHER));
    add_owner(&o, &p->owner);
    ae_json_u64(&o, "joined", p->joined);
    ae_json_u64(&o, "next", p->next);
    ae_json_figures(&o, AETHER_SCOPE_PUBLISHER, p);
    add_ns(&o, "tried_ns", p->tried_ns);
    add_waits(&o, topic, p);
    return o;
}

/* Why publishers evicted it; null if they haven't, or if that isn't known. */
static void add_eviction(struct ae_json *o, aether_evict_reason reason, uint64_t held) {
    if (reason == AETHER_EVICT_NOT)
        ae_json_null(o, "evict_reason");
    else
        ae_json_text(o, "evict_reason", aether_evict_reason_name(reason));
    if (reason == AETHER_EVICT_LANE)
        ae_json_u64(o, "evict_held_bytes", held);
}

/* Sets object[key] to a client of the past, or to null. */
static void nest_client(struct ae_json *object, const char *key, const char name[64], uint32_t pid) {
    struct ae_json inner;

    if (name[0] == '\0' && pid == 0) {
        ae_json_null(object, key);
        return;
    }
    inner = ae_json_object();
    add_text(&inner, "client", name, 64);
    if (pid != 0)
        ae_json_u64(&inner, "pid", pid);
    else
        ae_json_null(&inner, "pid");
    ae_json_nest(object, key, inner);
}

void ae_json_topic_shape(struct ae_json *object, const aether_topic_info *t) {
    ae_json_bool(object, "shaped", t->shaped != 0);
    ae_json_nest(object, "stated", ae_stated_json(&t->stated));
    ae_json_nest(object, "asked", ae_stated_json(&t->asked));
    nest_client(object, "asked_by", t->asked_by, t->asked_pid);
    nest_client(object, "shaped_by", t->shaped_by, t->shaped_pid);
    nest_client(object, "created_by", t->created_by, t->created_pid);
    nest_client(object, "typed_by", t->typed_by, t->typed_pid);
}

static void add_subscriber(struct ae_json *o, const aether_subscriber_metrics *s) {
    ae_json_text(o, "role",
                 ae_role_name(s->policy == AETHER_RELIABLE ? AETHER_ROLE_RELIABLE : AETHER_ROLE_BEST_EFFORT));
    add_owner(o, &s->owner);
    ae_json_text(o, "policy", ae_policy_name(s->policy));
    ae_json_text(o, "state", aether_state_name(s->state));
    ae_json_bool(o, "evicted", s->evictions != 0);
    add_eviction(o, s->evict_reason, s->evict_held);
    ae_json_u64(o, "joined", s->joined);
    ae_json_u64(o, "next", s->next);
    ae_json_nest(o, "requests", ae_stated_json(&s->requests));
    ae_json_figures(o, AETHER_SCOPE_SUBSCRIBER, s);
}

static void add_departed(struct ae_json *o, const aether_departed_metrics *d) {
    const bool publisher = d->role == AETHER_ROLE_PUBLISHER;

    ae_json_text(o, "role", ae_role_name(d->role));
    add_owner(o, &d->owner);
    ae_json_u64(o, "left_ns", d->left_ns);
    ae_json_u64(o, "ago_ns", d->ago_ns);
    ae_json_bool(o, "died", d->died != 0);
    ae_json_u64(o, publisher ? "published" : "delivered", d->messages);
    if (publisher) {
        ae_json_u64(o, "full", d->full);
        ae_json_u64(o, "stall_ns", d->stall_ns);
    } else {
        ae_json_bool(o, "evicted", d->evicted != 0);
        add_eviction(o, d->evict_reason, d->evict_held);
        ae_json_u64(o, "lost", d->lost);
        ae_json_u64(o, "aborted", d->aborted);
        ae_json_u64(o, "skipped", d->skipped);
    }
}

/* ---- topics ------------------------------------------------------------------------------------------------------ */

void ae_json_topic_info(struct ae_json *object, const aether_topic_info *t) {
    struct ae_json subscribers = ae_json_object();

    add_text(object, "topic", t->name, sizeof t->name);
    ae_json_u64(object, "id", t->id);
    ae_json_u64(object, "created_ns", t->created_ns);
    ae_json_u64(object, "start_seq", t->start_seq);
    ae_json_u64(object, "next_seq", t->next_seq);
    ae_json_u64(object, "messages", t->messages);
    ae_json_u64(object, "publishers", t->publishers);
    ae_json_text(object, "publishers_mode", ae_publishers_name(t->admits));
    ae_json_u64(object, "publisher_joins", t->joins);
    ae_json_u64(&subscribers, "reliable", t->reliable);
    ae_json_u64(&subscribers, "best-effort", t->best_effort);
    ae_json_nest(object, "subscribers_by", subscribers);
    ae_json_u64(object, "lag", t->max_lag);
    ae_json_u64(object, "full", t->full);
    ae_json_u64(object, "capacity", t->capacity);
    ae_json_u64(object, "slot_size", t->slot_size);
    ae_json_u64(object, "max_message", t->max_message);
    ae_json_u64(object, "inline_max", t->inline_max);
    ae_json_u64(object, "lane_bytes", t->lane_bytes);
    ae_json_text(object, "latency_mode", ae_latency_name(t->latency));
    ae_json_text(object, "slow", ae_slow_names[t->evict_lag != 0]);
    ae_json_u64(object, "evict_lag", t->evict_lag);
    add_text(object, "type_name", t->type_name, sizeof t->type_name);
    ae_json_u64(object, "type_version", t->type_version);
    ae_json_u64(object, "type_size", t->type_size);
    ae_json_u64(object, "memory_bytes", t->memory_bytes);
}

void ae_json_topic_figures(struct ae_json *object, const aether_topic_metrics *topic) {
    struct ae_json publishers = ae_json_array(), subscribers = ae_json_array(), departed = ae_json_array();

    ae_json_figures(object, AETHER_SCOPE_TOPIC, topic);
    for (size_t i = 0; i < topic->publisher_count; i++)
        ae_json_append(&publishers, publisher_object(topic, &topic->publishers[i]));
    ae_json_nest(object, "publishers", publishers); /* in place of their number */
    for (size_t i = 0; i < topic->subscriber_count; i++) {
        struct ae_json o = ae_json_object();
        add_subscriber(&o, &topic->subscribers[i]);
        ae_json_append(&subscribers, o);
    }
    ae_json_nest(object, "subscribers", subscribers);
    for (size_t i = 0; i < topic->departed_count; i++) {
        struct ae_json o = ae_json_object();
        add_departed(&o, &topic->departed[i]);
        ae_json_append(&departed, o);
    }
    ae_json_nest(object, "departed", departed);
}

/* ---- problems ---------------------------------------------------------------------------------------------------- */

static struct ae_json problem_object(const struct ae_problem *p) {
    char text[AE_PROBLEM_TEXT];
    struct ae_json o = ae_json_object();
    const bool subscriber = p->has_culprit && p->role != AETHER_ROLE_PUBLISHER;

    add_text(&o, "topic", p->topic, sizeof p->topic);
    ae_json_text(&o, "kind", ae_problem_name(p->kind));
    add_text(&o, "text", ae_problem_text(text, p), sizeof text);
    nest_owner(&o, "victim", p->has_victim ? &p->victim : NULL);
    nest_owner(&o, "culprit", p->has_culprit ? &p->culprit : NULL);
    if (p->has_culprit)
        ae_json_text(&o, "role", ae_role_name(p->role));
    else
        ae_json_null(&o, "role");
    ae_json_text(&o, "waits", aether_waits_name(p->waits));
    add_ns(&o, "for_ns", p->for_ns);
    if (subscriber && p->kind != AE_PROBLEM_DIED) {
        ae_json_u64(&o, "lag", p->behind);
        ae_json_u64(&o, "overwritten", p->overwritten);
    } else {
        ae_json_null(&o, "lag");
        ae_json_null(&o, "overwritten");
    }
    ae_json_real(&o, "lost_per_s", p->lost);
    if (p->lost_count > 0) {
        ae_json_u64(&o, "last_loss", p->lost_count);
        ae_json_u64(&o, "last_loss_ago_ns", p->lost_ago_ns);
    } else {
        ae_json_null(&o, "last_loss");
        ae_json_null(&o, "last_loss_ago_ns");
    }
    if (p->lost_count > 0 && p->has_culprit)
        ae_json_text(&o, "reason", aether_lost_name(p->reason));
    else
        ae_json_null(&o, "reason");
    ae_json_bool(&o, "evicted", p->evicted);
    ae_json_u64(&o, "others", p->others);
    ae_json_u64(&o, "topics", p->topics);
    return o;
}

struct ae_json ae_json_problems(const struct ae_problem *problems, size_t count) {
    struct ae_json array = ae_json_array();

    for (size_t i = 0; i < count; i++)
        ae_json_append(&array, problem_object(&problems[i]));
    return array;
}

/* ---- latencies --------------------------------------------------------------------------------------------------- */

int ae_json_show_latencies(const struct ae_view *view, const struct ae_view_latencies *latencies) {
    struct ae_json o = ae_json_object(), array = ae_json_array();

    ae_json_bytes(&o, "topic", latencies->info->name, strlen(latencies->info->name));
    ae_json_text(&o, "latency_mode", ae_latency_name(latencies->info->latency));
    if (latencies->seconds > 0)
        ae_json_real(&o, "seconds", latencies->seconds);
    else
        ae_json_null(&o, "seconds");
    ae_json_nest(&o, "latency", ae_json_latency(latencies->together, latencies->histogram));
    for (size_t i = 0; i < latencies->count; i++) {
        const aether_subscriber_metrics *s = &latencies->subscribers[i];
        struct ae_json inner = ae_json_object();
        add_owner(&inner, &s->owner);
        ae_json_text(&inner, "policy", ae_policy_name(s->policy));
        ae_json_nest(&inner, "latency", ae_json_latency(&s->latency, latencies->histogram));
        ae_json_append(&array, inner);
    }
    ae_json_nest(&o, "subscribers", array);
    return ae_json_row(o, view);
}

/* ---- lag and rates ----------------------------------------------------------------------------------------------- */

int ae_json_show_lag(const struct ae_view *view, const struct ae_view_lag *lag) {
    int rc = 0;

    for (size_t i = 0; i < lag->count && rc == 0; i++) {
        struct ae_json o = ae_json_object();
        ae_json_bytes(&o, "topic", lag->rows[i].topic, strlen(lag->rows[i].topic));
        add_subscriber(&o, lag->rows[i].subscriber);
        rc = ae_json_row(o, view);
    }
    for (size_t i = 0; i < lag->problem_count && rc == 0; i++)
        rc = ae_json_row(problem_object(&lag->problems[i]), view);
    return rc;
}

/* NAME_per_s and NAME_bytes_per_s; null if they aren't known. */
static void add_rate(struct ae_json *o, const char *messages, const char *bytes, const struct ae_view_rate *rate) {
    if (rate->known) {
        ae_json_real(o, messages, rate->messages);
        ae_json_real(o, bytes, rate->bytes);
    } else {
        ae_json_null(o, messages);
        ae_json_null(o, bytes);
    }
}

static struct ae_json rates_object(const struct ae_view_topic_rates *topic, double seconds) {
    struct ae_json o = ae_json_object(), array = ae_json_array();
    const aether_topic_metrics *figures = topic->figures;

    ae_json_bytes(&o, "topic", figures->info.name, strlen(figures->info.name));
    ae_json_real(&o, "seconds", seconds);
    add_rate(&o, "published_per_s", "published_bytes_per_s", &topic->published);
    add_rate(&o, "delivered_per_s", "delivered_bytes_per_s", &topic->delivered);
    for (size_t i = 0; i < figures->publisher_count; i++) {
        struct ae_json inner = ae_json_object();
        add_owner(&inner, &figures->publishers[i].owner);
        add_rate(&inner, "published_per_s", "published_bytes_per_s", &topic->publishers[i]);
        ae_json_append(&array, inner);
    }
    ae_json_nest(&o, "publishers", array);
    return o;
}

int ae_json_show_rates(const struct ae_view *view, const struct ae_view_rates *rates) {
    int rc = 0;

    for (size_t i = 0; i < rates->count && rc == 0; i++)
        rc = ae_json_row(rates_object(&rates->topics[i], rates->seconds), view);
    return rc;
}

/* ---- clients and checks ------------------------------------------------------------------------------------------ */

int ae_json_show_clients(const struct ae_view *view, const struct ae_view_clients *clients) {
    int rc = 0;

    for (size_t i = 0; i < clients->count && rc == 0; i++)
        rc = ae_json_row(ae_json_client(&clients->list[i]), view);
    return rc;
}

int ae_json_show_departed(const struct ae_view *view, const struct ae_view_departed *departed) {
    int rc = 0;

    for (size_t i = 0; i < departed->count && rc == 0; i++) {
        struct ae_json o = ae_json_object();
        add_text(&o, "topic", departed->rows[i].topic, sizeof departed->rows[i].topic);
        add_departed(&o, &departed->rows[i].figures);
        rc = ae_json_row(o, view);
    }
    return rc;
}

static struct ae_json limit_object(const struct ae_view_limit *limit) {
    struct ae_json o = ae_json_object();

    if (limit->known)
        ae_json_real(&o, "value", limit->value);
    else
        ae_json_null(&o, "value");
    ae_json_text(&o, "unit", limit->unit);
    ae_json_text(&o, "bad", limit->floor ? "below" : "above");
    if (limit->has_warning)
        ae_json_real(&o, "warning", limit->warning);
    if (limit->has_critical)
        ae_json_real(&o, "critical", limit->critical);
    return o;
}

int ae_json_show_check(const struct ae_view *view, const struct ae_view_check *check) {
    struct ae_json o = ae_json_object(), figures = ae_json_object();

    ae_json_text(&o, "status", ae_health_name(check->health));
    ae_json_u64(&o, "code", check->health);
    ae_json_bytes(&o, "text", check->text, strlen(check->text));
    ae_json_nest(&o, "problems", ae_json_problems(check->problems, check->problem_count));
    for (size_t i = 0; i < check->count; i++)
        ae_json_nest(&figures, check->limits[i].name, limit_object(&check->limits[i]));
    ae_json_nest(&o, "figures", figures);
    return ae_json_line(o, view->out);
}
