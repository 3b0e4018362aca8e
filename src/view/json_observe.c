/* SPDX-License-Identifier: Apache-2.0 */
/* json_observe.c - what an instance is doing, as JSON. aether-cli(1) lists the keys. */
#include "view/json_observe.h"
#include "view/metrics.h"
#include "view/names.h"
#include <string.h>

/* Sets client, client_id, pid and process, which is null if it is unknown. */
static void add_owner(struct ae_json *object, const aether_owner *owner) {
    ae_json_u64(object, "pid", owner->pid);
    ae_json_u64(object, "client_id", owner->client_id);
    ae_json_bytes(object, "client", owner->client, strlen(owner->client));
    if (strcmp(ae_process_name(owner->process), "-") == 0)
        ae_json_null(object, "process");
    else
        ae_json_bytes(object, "process", &owner->process, 1);
}

/* Sets object[key] to a time in nanoseconds, or to null if it is unknown. */
static void add_ns(struct ae_json *object, const char *key, uint64_t ns) {
    if (ns == AETHER_UNKNOWN)
        ae_json_null(object, key);
    else
        ae_json_u64(object, key, ns);
}

/* ---- publishers and subscribers ---------------------------------------------------------------------------------- */

/* What the publisher waits for; which publisher or subscriber that is, if it is known. */
static void add_waits(struct ae_json *o, const aether_topic_metrics *topic, const aether_publisher_metrics *p) {
    const aether_owner *owner = NULL;

    ae_json_text(o, "waits", aether_waits_name(p->waits));
    if (p->waits_subscriber >= 0 && (size_t)p->waits_subscriber < topic->subscriber_count)
        owner = &topic->subscribers[p->waits_subscriber].owner;
    else if (p->waits_publisher >= 0 && (size_t)p->waits_publisher < topic->publisher_count)
        owner = &topic->publishers[p->waits_publisher].owner;
    if (owner != NULL) {
        struct ae_json inner = ae_json_object();
        add_owner(&inner, owner);
        ae_json_nest(o, "waits_for", inner);
    } else {
        ae_json_null(o, "waits_for");
    }
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

static void add_subscriber(struct ae_json *o, const aether_subscriber_metrics *s) {
    ae_json_text(o, "role",
                 ae_role_name(s->policy == AETHER_RELIABLE ? AETHER_ROLE_RELIABLE : AETHER_ROLE_BEST_EFFORT));
    add_owner(o, &s->owner);
    ae_json_text(o, "policy", ae_policy_name(s->policy));
    ae_json_text(o, "state", aether_state_name(s->state));
    ae_json_bool(o, "evicted", s->evictions != 0);
    ae_json_u64(o, "joined", s->joined);
    ae_json_u64(o, "next", s->next);
    ae_json_figures(o, AETHER_SCOPE_SUBSCRIBER, s);
}

static struct ae_json departed_object(const aether_departed_metrics *d) {
    const bool publisher = d->role == AETHER_ROLE_PUBLISHER;
    struct ae_json o = ae_json_object();

    ae_json_text(&o, "role", ae_role_name(d->role));
    add_owner(&o, &d->owner);
    ae_json_u64(&o, "left_ns", d->left_ns);
    ae_json_bool(&o, "died", d->died != 0);
    ae_json_u64(&o, publisher ? "published" : "delivered", d->messages);
    if (publisher) {
        ae_json_u64(&o, "full", d->full);
        ae_json_u64(&o, "stall_ns", d->stall_ns);
    } else {
        ae_json_bool(&o, "evicted", d->evicted != 0);
        ae_json_u64(&o, "lost", d->lost);
        ae_json_u64(&o, "aborted", d->aborted);
        ae_json_u64(&o, "skipped", d->skipped);
    }
    return o;
}

void ae_json_topic_figures(struct ae_json *object, const aether_topic_metrics *topic) {
    struct ae_json peers = ae_json_array(), departed = ae_json_array();

    ae_json_figures(object, AETHER_SCOPE_TOPIC, topic);
    for (size_t i = 0; i < topic->publisher_count; i++)
        ae_json_append(&peers, publisher_object(topic, &topic->publishers[i]));
    for (size_t i = 0; i < topic->subscriber_count; i++) {
        struct ae_json o = ae_json_object();
        add_subscriber(&o, &topic->subscribers[i]);
        ae_json_append(&peers, o);
    }
    ae_json_nest(object, "peers", peers);
    for (size_t i = 0; i < topic->departed_count; i++)
        ae_json_append(&departed, departed_object(&topic->departed[i]));
    ae_json_nest(object, "departed", departed);
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
    return ae_json_line(o, view->out);
}

/* ---- lag and rates ----------------------------------------------------------------------------------------------- */

static struct ae_json holdup_object(const struct ae_view_holdup *holdup) {
    struct ae_json o = ae_json_object(), inner = ae_json_object();

    ae_json_bytes(&o, "topic", holdup->topic, strlen(holdup->topic));
    ae_json_bytes(&o, "holdup", holdup->text, strlen(holdup->text));
    add_owner(&inner, holdup->victim);
    ae_json_nest(&o, holdup->stuck ? "subscriber" : "publisher", inner);
    if (!holdup->stuck) {
        ae_json_text(&o, "waits", aether_waits_name(holdup->waits));
        if (holdup->culprit != NULL) {
            inner = ae_json_object();
            add_owner(&inner, holdup->culprit);
            ae_json_nest(&o, "waits_for", inner);
        } else {
            ae_json_null(&o, "waits_for");
        }
    }
    add_ns(&o, "for_ns", holdup->for_ns);
    return o;
}

int ae_json_show_lag(const struct ae_view *view, const struct ae_view_lag *lag) {
    int rc = 0;

    for (size_t i = 0; i < lag->count && rc == 0; i++) {
        struct ae_json o = ae_json_object();
        ae_json_bytes(&o, "topic", lag->rows[i].topic, strlen(lag->rows[i].topic));
        add_subscriber(&o, lag->rows[i].subscriber);
        rc = ae_json_line(o, view->out);
    }
    for (size_t i = 0; i < lag->holdup_count && rc == 0; i++)
        rc = ae_json_line(holdup_object(&lag->holdups[i]), view->out);
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
        rc = ae_json_line(rates_object(&rates->topics[i], rates->seconds), view->out);
    return rc;
}

/* ---- clients and checks ------------------------------------------------------------------------------------------ */

int ae_json_show_clients(const struct ae_view *view, const struct ae_view_clients *clients) {
    int rc = 0;

    for (size_t i = 0; i < clients->count && rc == 0; i++) {
        const aether_client_metrics *c = &clients->list[i];
        const aether_owner owner = {.client_id = c->client_id, .pid = c->pid, .process = c->process};
        struct ae_json o = ae_json_object();
        add_owner(&o, &owner);
        ae_json_bytes(&o, "client", c->name, strlen(c->name));
        ae_json_u64(&o, "uid", c->uid);
        ae_json_figures(&o, AETHER_SCOPE_CLIENT, c);
        rc = ae_json_line(o, view->out);
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
    for (size_t i = 0; i < check->count; i++)
        ae_json_nest(&figures, check->limits[i].name, limit_object(&check->limits[i]));
    ae_json_nest(&o, "figures", figures);
    return ae_json_line(o, view->out);
}
