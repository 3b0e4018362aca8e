/* SPDX-License-Identifier: Apache-2.0 */
/* json_view.c - the JSON form: one object a line. aether-cli(1) lists the keys. */
#include "view/json.h"
#include "view/json_observe.h"
#include "view/measure.h"
#include "view/metrics.h"
#include "view/names.h"
#include "view/stated.h"
#include "view/view.h"
#include <string.h>

/* ---- topics and instance ----------------------------------------------------------------------------------------- */

static struct ae_json topic_object(const struct ae_view_topic *topic) {
    struct ae_json o = ae_json_object();

    ae_json_topic_info(&o, &topic->info);
    ae_json_u64(&o, "evicted", topic->evicted);
    return o;
}

static int show_topics(const struct ae_view *view, const struct ae_view_topic *topics, size_t count) {
    int rc = 0;

    for (size_t i = 0; i < count && rc == 0; i++)
        rc = ae_json_row(topic_object(&topics[i]), view);
    return rc;
}

static int show_waiting(const struct ae_view *view, const aether_waiting_info *topics, size_t count) {
    int rc = 0;

    for (size_t i = 0; i < count && rc == 0; i++) {
        const aether_waiting_info *t = &topics[i];
        struct ae_json o = ae_json_object();
        ae_json_bytes(&o, "topic", t->name, strnlen(t->name, sizeof t->name));
        ae_json_bool(&o, "waiting", true);
        ae_json_u64(&o, "id", t->id);
        ae_json_u64(&o, "created_ns", t->created_ns);
        ae_json_u64(&o, "subscribers", t->subscribers);
        ae_json_bytes(&o, "client", t->client, strnlen(t->client, sizeof t->client));
        if (t->pid != 0)
            ae_json_u64(&o, "pid", t->pid);
        else
            ae_json_null(&o, "pid");
        ae_json_nest(&o, "asked", ae_stated_json(&t->asked));
        rc = ae_json_row(o, view);
    }
    return rc;
}

static int show_topic(const struct ae_view *view, const struct ae_view_topic *topic) {
    struct ae_json o = topic_object(topic);

    ae_json_topic_shape(&o, &topic->info);
    ae_json_topic_figures(&o, topic->figures);
    return ae_json_row(o, view);
}

static struct ae_json instance_object(const struct ae_view_sample *sample) {
    struct ae_json inner = ae_json_instance(sample->socket_path, &sample->instance), o = ae_json_object();

    ae_json_real(&inner, "uptime_s", sample->uptime_s);
    ae_json_nest(&o, "instance", inner);
    return o;
}

static int show_sample(const struct ae_view *view, const struct ae_view_sample *sample) {
    int rc = ae_json_line(instance_object(sample), view->out);

    for (size_t i = 0; i < sample->count && rc == 0; i++) {
        struct ae_json o = topic_object(&sample->topics[i]);
        ae_json_real(&o, "published_per_s", sample->topics[i].rate);
        ae_json_figures(&o, AETHER_SCOPE_TOPIC, sample->topics[i].figures);
        rc = ae_json_line(o, view->out);
    }
    return rc;
}

static int show_pong(const struct ae_view *view, const struct ae_view_pong *p) {
    struct ae_json o = ae_json_object();

    ae_json_bytes(&o, "socket", p->socket_path, strlen(p->socket_path));
    ae_json_bytes(&o, "version", p->pong.version, strlen(p->pong.version));
    ae_json_u64(&o, "pid", p->pong.pid);
    ae_json_u64(&o, "uid", p->pong.uid);
    ae_json_u64(&o, "round_trip_ns", p->pong.round_trip_ns);
    return ae_json_line(o, view->out);
}

/* ---- what a subscriber receives ---------------------------------------------------------------------------------- */

static struct ae_json origin_object(const struct ae_view_origin *origin) {
    struct ae_json o = ae_json_object();

    if (origin->time_ns != 0)
        ae_json_u64(&o, "time_ns", origin->time_ns);
    if (origin->topic != NULL)
        ae_json_bytes(&o, "topic", origin->topic, strlen(origin->topic));
    return o;
}

static int show_message(const struct ae_view *view, const struct ae_view_message *message) {
    struct ae_json o = origin_object(&message->origin);

    ae_json_u64(&o, "seq", message->seq);
    ae_json_u64(&o, "len", message->len);
    if (message->file != NULL)
        ae_json_bytes(&o, "file", message->file, strlen(message->file));
    else
        ae_json_bytes(&o, "payload", message->data, message->len);
    return ae_json_line(o, view->out);
}

static int show_gap(const struct ae_view *view, const struct ae_view_origin *origin, uint64_t first, uint64_t count) {
    struct ae_json o = origin_object(origin);

    ae_json_u64(&o, "gap_first", first);
    ae_json_u64(&o, "gap_count", count);
    return ae_json_line(o, view->out);
}

static int show_evicted(const struct ae_view *view, const struct ae_view_origin *origin, uint64_t seq,
                        const char *why) {
    struct ae_json o = origin_object(origin);

    ae_json_bool(&o, "evicted", true);
    ae_json_u64(&o, "seq", seq);
    ae_json_text(&o, "why", why);
    return ae_json_line(o, view->out);
}

/* ---- measurements ------------------------------------------------------------------------------------------------ */

static void add_ring(struct ae_json *o, const struct ae_view_ring *ring) {
    ae_json_u64(o, "capacity", ring->capacity);
    ae_json_u64(o, "slot_size", ring->slot_size);
    ae_json_u64(o, "lane_bytes", ring->lane_bytes);
}

static void add_runs(struct ae_json *o, const struct ae_view_runs *runs) {
    ae_json_u64(o, "runs", runs->count);
    ae_json_u64(o, "discarded", runs->discarded);
}

static int show_throughput(const struct ae_view *view, const struct ae_view_throughput *r) {
    struct ae_json o = ae_json_object();

    ae_json_text(&o, "case", r->subscribers > 1 ? "fanout" : "throughput");
    ae_json_text(&o, "preset", r->ring.preset);
    ae_json_real(&o, "msgs_per_s", r->msgs_per_s);
    ae_json_real(&o, "floor_ns", r->runs.floor_ns);
    ae_json_real(&o, "msgs_per_floor", r->runs.ratio);
    ae_json_real(&o, "msgs_per_floor_min", r->runs.ratio_min);
    ae_json_real(&o, "msgs_per_floor_max", r->runs.ratio_max);
    ae_json_real(&o, "bytes_per_s", r->bytes_per_s);
    ae_json_u64(&o, "lost", r->lost);
    ae_json_real(&o, "max_stall_ms", r->stall_ns * 1e-6);
    ae_json_u64(&o, "size", r->size);
    ae_json_u64(&o, "publishers", r->publishers);
    ae_json_text(&o, "mode", ae_publishers_name(r->admits));
    ae_json_u64(&o, "batch", r->batch);
    ae_json_u64(&o, "subscribers", r->subscribers);
    add_ring(&o, &r->ring);
    ae_json_bool(&o, "loan", r->loan);
    ae_json_text(&o, "touch", r->touch_first ? "first" : "all");
    add_runs(&o, &r->runs);
    return ae_json_line(o, view->out);
}

static int show_latency(const struct ae_view *view, const struct ae_view_latency *r) {
    struct ae_json o = ae_json_object();

    ae_json_text(&o, "case", "latency");
    ae_json_text(&o, "preset", r->ring.preset);
    ae_json_real(&o, "rtt_p50_ns", r->p50_ns);
    ae_json_real(&o, "rtt_p99_ns", r->p99_ns);
    ae_json_real(&o, "rtt_p999_ns", r->p999_ns);
    ae_json_real(&o, "floor_ns", r->runs.floor_ns);
    ae_json_real(&o, "p50_per_floor", r->runs.ratio);
    ae_json_u64(&o, "size", r->size);
    add_ring(&o, &r->ring);
    add_runs(&o, &r->runs);
    return ae_json_line(o, view->out);
}

static int show_wakeup(const struct ae_view *view, const struct ae_view_wakeup *r) {
    struct ae_json o = ae_json_object();

    ae_json_text(&o, "case", "wakeup");
    ae_json_real(&o, "wake_p50_ns", r->p50_ns);
    ae_json_real(&o, "wake_p99_ns", r->p99_ns);
    ae_json_real(&o, "futex_p50_ns", r->futex_p50_ns);
    ae_json_real(&o, "futex_p99_ns", r->futex_p99_ns);
    ae_json_real(&o, "floor_ns", r->runs.floor_ns);
    ae_json_real(&o, "p50_per_futex", r->runs.ratio);
    ae_json_real(&o, "p50_per_futex_min", r->runs.ratio_min);
    ae_json_real(&o, "p50_per_futex_max", r->runs.ratio_max);
    ae_json_u64(&o, "size", r->size);
    ae_json_u64(&o, "samples", r->samples);
    add_runs(&o, &r->runs);
    return ae_json_line(o, view->out);
}

const struct ae_view_form ae_json_form = {
    .part = "a line",
    .topics = show_topics,
    .waiting = show_waiting,
    .topic = show_topic,
    .sample = show_sample,
    .pong = show_pong,
    .latencies = ae_json_show_latencies,
    .lag = ae_json_show_lag,
    .rates = ae_json_show_rates,
    .clients = ae_json_show_clients,
    .departed = ae_json_show_departed,
    .check = ae_json_show_check,
    .message = show_message,
    .gap = show_gap,
    .evicted = show_evicted,
    .throughput = show_throughput,
    .latency = show_latency,
    .wakeup = show_wakeup,
};
