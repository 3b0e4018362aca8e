/* SPDX-License-Identifier: Apache-2.0 */
#include "export/document.h"
#include "view/json_observe.h"
#include "view/metrics.h"
#include <string.h>

static void add_text(struct ae_json *object, const char *key, const char *text) {
    ae_json_bytes(object, key, text, strlen(text));
}

static struct ae_json topic_object(const aether_topic_metrics *t, bool buckets) {
    struct ae_json o = ae_json_object();

    ae_json_topic_info(&o, &t->info);
    ae_json_topic_figures(&o, t);
    if (buckets)
        ae_json_nest(&o, "latency", ae_json_latency(&t->latency, true)); /* in place of the short one */
    return o;
}

static void add_instance(struct ae_json *object, const struct ae_document *d) {
    if (d->instance == NULL) {
        add_text(object, "error", d->error);
        ae_json_null(object, "instance");
        return;
    }
    ae_json_null(object, "error");
    ae_json_nest(object, "instance", ae_json_instance(d->socket_path, d->instance));
}

int ae_document_write(const struct ae_document *d, struct ae_out *out) {
    struct ae_json o = ae_json_object(), topics = ae_json_array(), clients = ae_json_array();

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
    ae_json_nest(&o, "problems", ae_json_problems(d->problems, d->problem_count));
    for (size_t i = 0; i < d->client_count; i++)
        ae_json_append(&clients, ae_json_client(&d->clients[i]));
    ae_json_nest(&o, "clients", clients);
    ae_json_u64(&o, "clients_left_out", d->clients_left_out);
    return ae_json_line(o, out);
}
