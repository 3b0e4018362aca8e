/* SPDX-License-Identifier: Apache-2.0 */
/* json.c - a pass as JSON. */
#include "json.h"
#include "daemon.h"
#include "view/json.h"
#include <string.h>

static void add_known(struct ae_json *object, const char *key, uint64_t value) {
    if (value != AETHER_UNKNOWN)
        ae_json_u64(object, key, value);
}

static void add_rates(struct ae_json *object, const struct ae_watch_rates *r) {
    if (!r->known)
        return;
    ae_json_real(object, "published_per_s", r->published);
    ae_json_real(object, "published_bytes_per_s", r->published_bytes);
    ae_json_real(object, "delivered_per_s", r->delivered);
    ae_json_real(object, "delivered_bytes_per_s", r->delivered_bytes);
    ae_json_real(object, "lost_per_s", r->lost);
    ae_json_real(object, "stalled_s_per_s", r->stalled);
}

static void add_latency(struct ae_json *object, const char *key, const aether_latency *latency) {
    static const double shares[] = {0.5, 0.9, 0.99, 0.999, 0.9999, 1};
    static const char *const names[] = {"p50_ns", "p90_ns", "p99_ns", "p999_ns", "p9999_ns", "max_ns"};
    struct ae_json inner = ae_json_object();

    ae_json_u64(&inner, "messages", aether_latency_count(latency));
    ae_json_u64(&inner, "samples", latency->samples);
    ae_json_u64(&inner, "negative", latency->negative);
    ae_json_u64(&inner, "missed", latency->missed);
    ae_json_u64(&inner, "overflow", latency->overflow);
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        const double ns = aether_latency_quantile(latency, shares[i]);
        if (ns >= 0)
            ae_json_real(&inner, names[i], ns);
    }
    ae_json_nest(object, key, inner);
}

static struct ae_json topic_of(const struct ae_watch_topic *topic) {
    const aether_topic_metrics *t = &topic->figures;
    struct ae_json object = ae_json_object(), by = ae_json_object();

    if (t->info.name[0] != '\0')
        ae_json_bytes(&object, "topic", t->info.name, strlen(t->info.name));
    ae_json_u64(&object, "publishers", t->info.publishers);
    ae_json_u64(&object, "subscribers", (uint64_t)t->info.reliable + t->info.best_effort);
    add_rates(&object, &topic->rates);
    ae_json_u64(&object, "published", t->published);
    ae_json_u64(&object, "published_bytes", t->published_bytes);
    ae_json_u64(&object, "delivered", t->delivered);
    ae_json_u64(&object, "delivered_bytes", t->delivered_bytes);
    ae_json_u64(&object, "lost", t->lost);
    for (int i = 0; i < AETHER_LOST_REASONS; i++)
        ae_json_u64(&by, aether_lost_name((aether_lost)i), t->lost_by[i]);
    ae_json_nest(&object, "lost_by", by);
    ae_json_u64(&object, "aborted", t->aborted);
    ae_json_u64(&object, "skipped", t->skipped);
    ae_json_u64(&object, "evictions", t->evictions);
    ae_json_u64(&object, "full", t->full);
    ae_json_u64(&object, "stalls", t->stalls);
    ae_json_u64(&object, "stall_ns", t->stall_ns);
    ae_json_u64(&object, "waiting", t->waiting);
    ae_json_u64(&object, "waited_ns", t->waited_ns);
    ae_json_u64(&object, "stuck", t->stuck);
    ae_json_u64(&object, "lag", t->lag);
    add_known(&object, "age_ns", t->age_ns);
    if (topic->has_recent)
        add_latency(&object, "latency", &topic->recent);
    add_latency(&object, "latency_total", &t->latency);
    return object;
}

static void add_owner(struct ae_json *object, const char *key, const aether_owner *owner) {
    struct ae_json inner = ae_json_object();
    const char process[] = {owner->process, '\0'};

    ae_json_bytes(&inner, "client", owner->client, strnlen(owner->client, sizeof owner->client));
    ae_json_u64(&inner, "client_id", owner->client_id);
    if (owner->pid != 0)
        ae_json_u64(&inner, "pid", owner->pid);
    if (owner->process > ' ' && owner->process < 0x7f && owner->process != '?')
        ae_json_text(&inner, "process", process);
    ae_json_nest(object, key, inner);
}

static struct ae_json holdup_of(const struct ae_watch_holdup *h) {
    struct ae_json object = ae_json_object();
    char sentence[AE_WATCH_HOLDUP_TEXT];

    ae_json_bytes(&object, "topic", h->topic, strlen(h->topic));
    ae_json_text(&object, "sentence", ae_watch_holdup_text(sentence, h));
    add_owner(&object, h->stuck ? "subscriber" : "publisher", &h->victim);
    if (!h->stuck)
        ae_json_text(&object, "waits", aether_waits_name(h->waits));
    if (h->known)
        add_owner(&object, "for", &h->culprit);
    add_known(&object, "for_ns", h->for_ns);
    if (h->stuck || (h->known && h->waits != AETHER_WAITS_PUBLISHER))
        ae_json_u64(&object, "behind", h->behind);
    return object;
}

static struct ae_json daemon_of(const aether_daemon_info *d) {
    struct ae_json object = ae_json_object();

    ae_json_bytes(&object, "socket", cli_socket(), strlen(cli_socket()));
    ae_json_bool(&object, "running", d->running);
    ae_json_u64(&object, "pid", d->pid);
    ae_json_u64(&object, "started_ns", d->started_ns);
    ae_json_u64(&object, "topics", d->topics);
    ae_json_u64(&object, "topics_max", d->topics_max);
    ae_json_u64(&object, "clients", d->clients);
    ae_json_u64(&object, "clients_max", d->clients_max);
    ae_json_u64(&object, "memory_bytes", d->memory_bytes);
    return object;
}

int top_json_pass(const struct top_run *run, struct ae_out *out) {
    const struct ae_watch_pass *pass = run->pass;
    struct ae_json object = ae_json_object(), rows = ae_json_array(), holdups = ae_json_array(),
                   cost = ae_json_object();

    ae_json_u64(&object, "time_ns", pass->instance.now_ns);
    ae_json_nest(&object, "daemon", daemon_of(&pass->instance.daemon));
    ae_json_u64(&object, "publishers", pass->instance.publishers);
    ae_json_u64(&object, "subscribers", pass->instance.subscribers);
    ae_json_u64(&object, "topics", pass->topics);
    ae_json_u64(&object, "matching", pass->matching);
    ae_json_nest(&object, "total", topic_of(&pass->total));
    for (size_t i = 0; i < pass->selected_count; i++)
        ae_json_append(&rows, topic_of(pass->selected[i]));
    ae_json_nest(&object, "rows", rows);
    if (pass->matching > pass->selected_count)
        ae_json_nest(&object, "others", topic_of(&pass->other));
    for (size_t i = 0; i < pass->holdup_count; i++)
        ae_json_append(&holdups, holdup_of(&pass->holdups[i]));
    ae_json_nest(&object, "holdups", holdups);
    if (run->cost_percent >= 0)
        ae_json_real(&cost, "cpu_percent", run->cost_percent);
    ae_json_real(&cost, "pass_s", run->pass_s);
    ae_json_nest(&object, "top", cost);
    return ae_json_line(object, out);
}
