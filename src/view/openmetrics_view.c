/* SPDX-License-Identifier: Apache-2.0 */
/*
 * openmetrics_view.c - the forms OpenMetrics 1.0 and Prometheus text 0.0.4, which differ in a few lines of a family's
 * head and in the last line.
 *
 * Each family of metrics is written as a whole, as both formats require. Labels are bytes of other programs: they are
 * escaped as aether-cli shows them (ae_escape()), so that they are UTF-8 and two names never become one, and then as
 * the formats want it.
 */
#include "base/histogram.h"
#include "view/escape.h"
#include "view/metrics.h"
#include "view/view.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NS_PER_S 1000000000u

/* ---- samples ----------------------------------------------------------------------------------------------------- */

struct family {
    FILE *file;
    bool open; /* OpenMetrics */
    const char *name, *help;
    aether_kind kind;
    aether_unit unit;
    bool headed;                /* its head has been written, which is done before its first sample */
    char limits[AE_POWERS][24]; /* of a histogram's buckets, as text; set with the head */
};

/* Room for the labels of one sample, as text: a name of 255 bytes, a client of 63, numbers. */
#define ESCAPED(bytes) (2 * AE_ESCAPED_SIZE(bytes))
#define LABELS_SIZE (ESCAPED(255) + ESCAPED(63) + 128)

static const char *unit_word(aether_unit unit) {
    return unit == AETHER_UNIT_MESSAGES ? "messages"
           : unit == AETHER_UNIT_BYTES  ? "bytes"
           : unit == AETHER_UNIT_ONE    ? NULL
                                        : "seconds";
}

static void write_head(struct family *f) {
    static const char *const types[] = {
        [AETHER_COUNTER] = "counter", [AETHER_GAUGE] = "gauge", [AETHER_HISTOGRAM] = "histogram"};
    const char *suffix = f->kind == AETHER_COUNTER && !f->open ? "_total" : "";

    (void)fprintf(f->file, "# HELP %s%s %s\n# TYPE %s%s %s\n", f->name, suffix, f->help, f->name, suffix,
                  types[f->kind]);
    if (f->open && unit_word(f->unit) != NULL)
        (void)fprintf(f->file, "# UNIT %s %s\n", f->name, unit_word(f->unit));
    f->headed = true;
}

/* A scrape of many topics has millions of words. printf() and the lock of the stream would be most of its cost. */
static void put(FILE *file, const char *text) {
    (void)fputs_unlocked(text, file);
}

static void put_number(FILE *file, uint64_t value) {
    char text[21], *at = text + sizeof text - 1;

    *at = '\0';
    do
        *--at = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    put(file, at);
}

/* Nanoseconds as seconds, exactly. */
static void write_seconds(FILE *file, uint64_t ns) {
    char text[40];
    int len = snprintf(text, sizeof text, "%" PRIu64 ".%09" PRIu64, ns / NS_PER_S, ns % NS_PER_S);

    while (text[len - 1] == '0')
        len--;
    len -= text[len - 1] == '.';
    (void)fprintf(file, "%.*s\n", len, text);
}

/* labels: "a=\"b\"", or "" for none. row: for its label and unit; NULL if there is none. */
static void write_sample(struct family *f, const char *labels, const aether_metric *row, uint64_t value) {
    const bool labelled = row != NULL && row->label != NULL;

    if (!f->headed)
        write_head(f);
    put(f->file, f->name);
    put(f->file, f->kind == AETHER_COUNTER ? "_total" : "");
    if (labels[0] != '\0' || labelled) {
        put(f->file, "{");
        put(f->file, labels);
        put(f->file, labels[0] != '\0' && labelled ? "," : "");
        if (labelled) {
            put(f->file, row->label);
            put(f->file, "=\"");
            put(f->file, row->label_value);
            put(f->file, "\"");
        }
        put(f->file, "}");
    }
    put(f->file, " ");
    if (f->unit == AETHER_UNIT_NS || f->unit == AETHER_UNIT_REALTIME_NS) {
        write_seconds(f->file, value);
        return;
    }
    put_number(f->file, value);
    put(f->file, "\n");
}

static void write_bucket(const struct family *f, const char *labels, const char *limit, uint64_t count) {
    put(f->file, f->name);
    put(f->file, "_bucket{");
    put(f->file, labels);
    put(f->file, ",le=\"");
    put(f->file, limit);
    put(f->file, "\"} ");
    put_number(f->file, count);
    put(f->file, "\n");
}

static void write_histogram(struct family *f, const char *labels, const struct ae_powers *powers) {
    uint64_t sum = 0;

    if (!f->headed) {
        write_head(f);
        /* 13 digits are enough for each limit, so the text is exact and the shortest possible, as Go writes it. */
        for (unsigned i = 0; i < AE_POWERS; i++)
            (void)snprintf(f->limits[i], sizeof f->limits[i], "%.13g",
                           (double)(1ull << (AE_POWER_FIRST + i)) / NS_PER_S);
    }
    for (unsigned i = 0; i < AE_POWERS; i++) {
        sum = ae_saturating_add(sum, powers->counts[i]);
        write_bucket(f, labels, f->limits[i], sum);
    }
    sum = ae_saturating_add(sum, powers->counts[AE_POWERS]);
    write_bucket(f, labels, "+Inf", sum);
    (void)fprintf(f->file, "%s_sum{%s} %.15g\n", f->name, labels, powers->sum_ns / NS_PER_S);
    (void)fprintf(f->file, "%s_count{%s} %" PRIu64 "\n", f->name, labels, sum);
}

/* ---- labels ------------------------------------------------------------------------------------------------------ */

/* Appends key="text", with the text escaped, to the labels, which have room. */
static void add_label(char *labels, const char *key, const char *text) {
    char escaped[AE_ESCAPED_SIZE(255)];
    char *at = labels + strlen(labels);

    (void)ae_escape(escaped, text, strnlen(text, 255));
    at += sprintf(at, "%s%s=\"", at != labels ? "," : "", key);
    for (const char *p = escaped; *p != '\0'; p++) {
        if (*p == '"' || *p == '\\')
            *at++ = '\\';
        *at++ = *p;
    }
    memcpy(at, "\"", 2);
}

static void owner_labels(char labels[LABELS_SIZE], const char *topic, const aether_owner *owner) {
    labels[0] = '\0';
    add_label(labels, "topic", topic);
    add_label(labels, "client", owner->client);
    (void)sprintf(labels + strlen(labels), ",pid=\"%" PRIu32 "\",grant=\"%" PRIu64 "\"", owner->pid, owner->grant_id);
}

static void client_labels(char labels[LABELS_SIZE], const aether_client_metrics *client) {
    labels[0] = '\0';
    add_label(labels, "client", client->name);
    (void)sprintf(labels + strlen(labels), ",pid=\"%" PRIu32 "\",id=\"%" PRIu64 "\"", client->pid, client->client_id);
}

/* ---- families ---------------------------------------------------------------------------------------------------- */

/*
 * What a family shows of each item. An integer family shows its rows, of which several differ by their label; a
 * histogram shows its buckets, and further families its samples and those that are in no bucket.
 */
enum part_kind { PART_VALUES, PART_BUCKETS, PART_SAMPLES, PART_NEGATIVE, PART_MISSED };

struct part {
    const aether_metric *rows;
    size_t count;
    size_t first; /* index of rows[0] among the rows of its scope */
    enum part_kind what;
};

static void write_powers(struct family *f, const struct part *part, const char *labels,
                         const struct ae_powers *powers) {
    if (part->what == PART_BUCKETS)
        write_histogram(f, labels, powers);
    else
        write_sample(f, labels, NULL,
                     part->what == PART_SAMPLES    ? powers->samples
                     : part->what == PART_NEGATIVE ? powers->negative
                                                   : powers->missed);
}

static void write_item(struct family *f, const struct part *part, const char *labels, const void *figures) {
    if (part->what != PART_VALUES) {
        struct ae_powers powers;
        ae_powers_from(&powers,
                       (const aether_latency *)(const void *)((const unsigned char *)figures + part->rows->offset));
        write_powers(f, part, labels, &powers);
        return;
    }
    for (size_t i = 0; i < part->count; i++) {
        const uint64_t value = aether_metric_value(&part->rows[i], figures);
        if (ae_metric_known(&part->rows[i], value))
            write_sample(f, labels, &part->rows[i], value);
    }
}

static void write_other(struct family *f, const struct part *part, const struct ae_view_sum *other) {
    static const char labels[] = "topic=\"" AE_VIEW_OTHER "\"";

    if (part->what != PART_VALUES) {
        write_powers(f, part, labels, &other->latency);
        return;
    }
    for (size_t i = 0; i < part->count; i++) {
        const uint64_t value = other->values[part->first + i];
        if (ae_metric_known(&part->rows[i], value))
            write_sample(f, labels, &part->rows[i], value);
    }
}

/* Without an instance only one figure of it is known: that aetherd doesn't run. */
static void write_instance(struct family *f, const struct part *part, const aether_instance_metrics *instance) {
    if (instance != NULL)
        write_item(f, part, "", instance);
    else if (part->rows->offset == offsetof(aether_instance_metrics, daemon.running))
        write_sample(f, "", part->rows, 0);
}

static void write_peers(struct family *f, const struct part *part, const struct ae_view_metrics *m) {
    char labels[LABELS_SIZE];
    size_t left = m->peers;

    for (size_t i = 0; i < m->topic_count; i++) {
        const aether_topic_metrics *t = m->topics[i];
        const bool publishers = part->rows->scope == AETHER_SCOPE_PUBLISHER;
        const size_t count = publishers ? t->publisher_count : t->subscriber_count;
        for (size_t j = 0; j < count && left > 0; j++, left--) {
            owner_labels(labels, t->info.name, publishers ? &t->publishers[j].owner : &t->subscribers[j].owner);
            write_item(f, part, labels,
                       publishers ? (const void *)&t->publishers[j] : (const void *)&t->subscribers[j]);
        }
    }
}

static void write_items(struct family *f, const struct part *part, const struct ae_view_metrics *m) {
    char labels[LABELS_SIZE];

    switch (part->rows->scope) {
    case AETHER_SCOPE_TOPIC:
        for (size_t i = 0; i < m->topic_count; i++) {
            labels[0] = '\0';
            add_label(labels, "topic", m->topics[i]->info.name);
            write_item(f, part, labels, m->topics[i]);
        }
        if (m->other != NULL)
            write_other(f, part, m->other);
        break;
    case AETHER_SCOPE_PUBLISHER:
    case AETHER_SCOPE_SUBSCRIBER:
        write_peers(f, part, m);
        break;
    case AETHER_SCOPE_CLIENT:
        for (size_t i = 0; i < m->client_count; i++) {
            client_labels(labels, &m->clients[i]);
            write_item(f, part, labels, &m->clients[i]);
        }
        break;
    case AETHER_SCOPE_INSTANCE:
    default:
        write_instance(f, part, m->instance);
        break;
    }
}

static void write_family(const struct ae_view *view, const struct part *part, const struct ae_view_metrics *m) {
    char name[AE_METRIC_NAME_SIZE];
    struct family f = {.file = view->out->file,
                       .open = view->form == &ae_openmetrics_form,
                       .name = ae_metric_family(name, part->rows),
                       .help = part->rows->help,
                       .kind = part->rows->kind,
                       .unit = part->rows->unit};

    write_items(&f, part, m);
}

/* The samples of a histogram: how much it is based on, and what is in no bucket. */
static void write_samples(const struct ae_view *view, const struct part *histogram, const struct ae_view_metrics *m) {
    static const struct {
        enum part_kind what;
        const char *suffix, *help;
    } parts[] = {
        {PART_SAMPLES, "_samples", "Stamped messages that were received: what the histogram is estimated from."},
        {PART_NEGATIVE, "_negative_samples", "Samples whose stamp lay in the future, which are in no bucket."},
        {PART_MISSED, "_missed_samples", "Samples whose stamp was overwritten before it was read."}};

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        char base[AE_METRIC_NAME_SIZE], name[AE_METRIC_NAME_SIZE + 20];
        aether_metric unitless = *histogram->rows;
        struct part part = *histogram;
        struct family f = {.file = view->out->file, .open = view->form == &ae_openmetrics_form, .name = name};

        unitless.unit = f.unit = AETHER_UNIT_ONE;
        f.kind = AETHER_COUNTER;
        f.help = parts[i].help;
        (void)snprintf(name, sizeof name, "%s%s", ae_metric_family(base, &unitless), parts[i].suffix);
        part.what = parts[i].what;
        write_items(&f, &part, m);
    }
}

/* ---- the forms --------------------------------------------------------------------------------------------------- */

static void write_own(const struct ae_view *view, const struct ae_view_metrics *m) {
    const bool open = view->form == &ae_openmetrics_form;
    FILE *file = view->out->file;

    for (size_t i = 0; i < m->own_count; i++) {
        const struct ae_view_own_metric *own = &m->own[i];
        const char *unit = unit_word(own->unit);
        char name[AE_METRIC_NAME_SIZE];
        struct family f = {
            .file = file, .open = open, .name = name, .help = own->help, .kind = own->kind, .unit = own->unit};
        (void)snprintf(name, sizeof name, "aether_metrics_%s%s%s", own->name, unit != NULL ? "_" : "",
                       unit != NULL ? unit : "");
        if (own->value != AETHER_UNKNOWN)
            write_sample(&f, "", NULL, own->value);
    }
    (void)fprintf(file, "# HELP aether_build%s The release of the program that answers.\n# TYPE aether_build%s %s\n",
                  open ? "" : "_info", open ? "" : "_info", open ? "info" : "gauge");
    (void)fprintf(file, "aether_build_info{version=\"%s\"} 1\n", m->version);
}

static int show_metrics(const struct ae_view *view, const struct ae_view_metrics *m) {
    for (aether_scope scope = AETHER_SCOPE_INSTANCE; scope <= AETHER_SCOPE_CLIENT; scope++) {
        size_t rows;
        const aether_metric *first = ae_metrics_of(scope, &rows);
        for (size_t i = 0, step; i < rows && !ae_out_failed(view->out); i += step) {
            const bool histogram = first[i].kind == AETHER_HISTOGRAM;
            step = ae_metric_family_rows(&first[i], rows - i);
            struct part part = {&first[i], step, i, histogram ? PART_BUCKETS : PART_VALUES};
            write_family(view, &part, m);
            if (histogram)
                write_samples(view, &part, m);
        }
    }
    write_own(view, m);
    if (view->form == &ae_openmetrics_form)
        (void)fputs("# EOF\n", view->out->file);
    return ae_out_result(view->out);
}

const struct ae_view_form ae_openmetrics_form = {.part = "a metric", .metrics = show_metrics};
const struct ae_view_form ae_prometheus_form = {.part = "a metric", .metrics = show_metrics};
