/* SPDX-License-Identifier: Apache-2.0 */
/* json.c - a pass as JSON. */
#include "json.h"
#include "daemon.h"
#include "view/json_observe.h"
#include "view/metrics.h"
#include <string.h>

static void add_rate(struct ae_json *object, const char *key, bool known, double value) {
    if (known)
        ae_json_real(object, key, value);
    else
        ae_json_null(object, key);
}

static struct ae_json topic_of(const struct ae_watch_topic *topic) {
    const aether_topic_metrics *t = &topic->figures;
    const struct ae_watch_rates *r = &topic->rates;
    struct ae_json object = ae_json_object();

    if (t->info.name[0] != '\0')
        ae_json_bytes(&object, "topic", t->info.name, strlen(t->info.name));
    ae_json_figures(&object, AETHER_SCOPE_TOPIC, t);
    add_rate(&object, "published_per_s", r->known, r->published);
    add_rate(&object, "published_bytes_per_s", r->known, r->published_bytes);
    add_rate(&object, "delivered_per_s", r->known, r->delivered);
    add_rate(&object, "delivered_bytes_per_s", r->known, r->delivered_bytes);
    add_rate(&object, "lost_per_s", r->known, r->lost);
    add_rate(&object, "stall_s_per_s", r->known, r->stalled);
    if (topic->has_recent)
        ae_json_nest(&object, "latency_recent", ae_json_latency(&topic->recent, false));
    else
        ae_json_null(&object, "latency_recent");
    return object;
}

int top_json_pass(const struct top_run *run, struct ae_out *out) {
    const struct ae_watch_pass *pass = run->pass;
    const size_t left_out = pass->matching - pass->selected_count;
    struct ae_json object = ae_json_object(), topics = ae_json_array(), cost = ae_json_object();

    ae_json_nest(&object, "instance", ae_json_instance(cli_socket(), &pass->instance));
    ae_json_u64(&object, "matching", pass->matching);
    ae_json_nest(&object, "total", topic_of(&pass->total));
    for (size_t i = 0; i < pass->selected_count; i++)
        ae_json_append(&topics, topic_of(pass->selected[i]));
    ae_json_nest(&object, "topics", topics);
    ae_json_u64(&object, "topics_left_out", left_out);
    if (left_out > 0)
        ae_json_nest(&object, "other", topic_of(&pass->other));
    else
        ae_json_null(&object, "other");
    ae_json_nest(&object, "problems", ae_json_problems(pass->problems, pass->problem_count));
    add_rate(&cost, "cpu_percent", run->cost_percent >= 0, run->cost_percent);
    ae_json_real(&cost, "pass_s", run->pass_s);
    ae_json_nest(&object, "top", cost);
    return ae_json_line(object, out);
}
