/* SPDX-License-Identifier: Apache-2.0 */
#include "export/reader.h"
#include "base/clock.h"
#include "base/error.h"
#include "export/document.h"
#include "export/others.h"
#include "service/log.h"
#include "view/metrics.h"
#include "view/view.h"
#include "watch/problems.h"
#include "watch/watch.h"
#include <aether/connect.h>
#include <aether/metrics.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NS_PER_MS UINT64_C(1000000)
#define CHOICE_NS (UINT64_C(60) * 1000 * NS_PER_MS) /* how long the choice of topics is kept */
#define PEERS_MAX 1000                              /* publishers, subscribers, clients: of each at most so many */

enum { BODY_PROMETHEUS, BODY_OPENMETRICS, BODY_TOPICS, BODIES };

struct ae_reader {
    struct ae_reader_options options;
    uint64_t started_ns; /* CLOCK_REALTIME */

    aether_metrics *metrics;
    struct ae_watch *watch;
    struct ae_watch_source source; /* what the watch reads, and the sum of the other topics with it */
    struct ae_others *others;
    char error[512]; /* why there is no instance, "" if there is one */

    /* The last pass. */
    bool passed;
    uint64_t passed_ns, chosen_ns;       /* CLOCK_MONOTONIC; when the topics were chosen anew */
    uint64_t passes;                     /* with this watch */
    const struct ae_watch_pass *pass;    /* NULL: there is no instance */
    const aether_topic_metrics **topics; /* by name, each name once */
    size_t topic_count, topic_room;
    const struct ae_view_sum *sum; /* with gauges; NULL: no topic was ever left out */
    struct ae_view_sum sum_with_gauges;
    aether_client_metrics *clients;
    size_t client_count, clients_left_out;
    char pinned[256]; /* the topic that was asked for last */
    struct ae_body *bodies[BODIES];

    uint64_t scrapes, scrape_ns; /* of /metrics: answers, and the time that the last one took */
};

/* ---- opening ----------------------------------------------------------------------------------------------------- */

/* The sources of the watch: those of aether_metrics, through the reader. */
static int source_begin(void *self, aether_instance_metrics *instance) {
    struct ae_reader *r = self;

    ae_others_begin(r->others);
    return r->source.begin(r->source.self, instance);
}

static int source_next(void *self, aether_topic_metrics *topic) {
    struct ae_reader *r = self;
    const int rc = r->source.next(r->source.self, topic);

    if (rc > 0 && ae_others_topic(r->others, topic) != 0)
        return -ENOMEM;
    return rc;
}

static int source_client(void *self, uint32_t *cursor, aether_client_metrics *client) {
    struct ae_reader *r = self;

    return r->source.client(r->source.self, cursor, client);
}

static uint64_t source_now(void *self) {
    struct ae_reader *r = self;

    return r->source.now(r->source.self);
}

int ae_reader_open(struct ae_reader **reader, const struct ae_reader_options *options) {
    struct ae_reader *r = calloc(1, sizeof *r);

    *reader = NULL;
    if (r == NULL)
        return ae_fail(-ENOMEM, "no memory for the reader");
    r->options = *options;
    r->started_ns = ae_realtime_ns();
    r->others = ae_others_open(ae_now_ns());
    r->clients = calloc(PEERS_MAX, sizeof *r->clients);
    if (r->others == NULL || r->clients == NULL) {
        ae_reader_close(r);
        return ae_fail(-ENOMEM, "no memory for the reader");
    }
    *reader = r;
    return 0;
}

static void drop_bodies(struct ae_reader *r) {
    for (int i = 0; i < BODIES; i++) {
        ae_body_release(r->bodies[i]);
        r->bodies[i] = NULL;
    }
}

/* Closes what depends on the instance. */
static void leave_instance(struct ae_reader *r) {
    ae_watch_close(r->watch);
    aether_metrics_close(r->metrics);
    r->watch = NULL;
    r->metrics = NULL;
    r->pass = NULL;
    r->passes = 0;
    r->topic_count = r->client_count = r->clients_left_out = 0;
    r->sum = NULL;
}

void ae_reader_close(struct ae_reader *reader) {
    if (reader == NULL)
        return;
    drop_bodies(reader);
    leave_instance(reader);
    ae_others_close(reader->others);
    free(reader->topics);
    free(reader->clients);
    free(reader);
}

/* ---- a pass ------------------------------------------------------------------------------------------------------ */

static int open_instance(struct ae_reader *r) {
    const char *path = r->options.socket_path[0] != '\0' ? r->options.socket_path : NULL;
    int rc;

    if (r->metrics == NULL && (rc = aether_metrics_open(&r->metrics, path)) != 0)
        return rc;
    if (r->watch != NULL)
        return 0;
    r->source = ae_watch_metrics_source(r->metrics);
    return ae_watch_open(
        &r->watch,
        (struct ae_watch_source){
            .begin = source_begin, .next = source_next, .client = source_client, .now = source_now, .self = r});
}

static int by_name(const void *a, const void *b) {
    const aether_topic_metrics *x = *(const aether_topic_metrics *const *)a;
    const aether_topic_metrics *y = *(const aether_topic_metrics *const *)b;
    const int order = strcmp(x->info.name, y->info.name);

    return order != 0 ? order : x->info.id < y->info.id ? 1 : x->info.id > y->info.id ? -1 : 0;
}

/*
 * Sorts the selected topics by name. A topic that was removed and created anew during the pass may be in it twice; the
 * younger one is kept, because Prometheus refuses a scrape with one series twice.
 */
static int sort_topics(struct ae_reader *r) {
    const struct ae_watch_pass *pass = r->pass;

    if (pass->selected_count > r->topic_room) {
        const aether_topic_metrics **more =
            realloc(r->topics, pass->selected_count * sizeof(const aether_topic_metrics *));
        if (more == NULL)
            return ae_fail(-ENOMEM, "no memory for a list of the topics");
        r->topics = more;
        r->topic_room = pass->selected_count;
    }
    for (size_t i = 0; i < pass->selected_count; i++)
        r->topics[i] = &pass->selected[i]->figures;
    if (pass->selected_count > 0)
        qsort(r->topics, pass->selected_count, sizeof(const aether_topic_metrics *), by_name);
    r->topic_count = 0;
    for (size_t i = 0; i < pass->selected_count; i++) {
        if (r->topic_count == 0 || strcmp(r->topics[r->topic_count - 1]->info.name, r->topics[i]->info.name) != 0)
            r->topics[r->topic_count++] = r->topics[i];
    }
    return 0;
}

/* Completes the sum of the topics that aren't shown by name with their gauges. */
static void sum_others(struct ae_reader *r) {
    size_t count;
    const aether_metric *rows = ae_metrics_of(AETHER_SCOPE_TOPIC, &count);

    for (size_t i = 0; i < r->pass->selected_count; i++)
        ae_others_named(r->others, &r->pass->selected[i]->figures.info);
    const struct ae_view_sum *counters = ae_others_end(r->others);
    if (r->sum == NULL && r->pass->matching == r->pass->selected_count)
        return;
    r->sum_with_gauges = *counters;
    for (size_t i = 0; i < count; i++)
        if (rows[i].kind == AETHER_GAUGE)
            r->sum_with_gauges.values[i] = aether_metric_value(&rows[i], &r->pass->other.figures);
    r->sum = &r->sum_with_gauges;
}

static void read_clients(struct ae_reader *r) {
    aether_client_metrics client;
    uint32_t cursor = 0;

    r->client_count = r->clients_left_out = 0;
    while (aether_metrics_client(r->metrics, &cursor, &client) > 0) {
        if (r->client_count < PEERS_MAX)
            r->clients[r->client_count++] = client;
        else
            r->clients_left_out++;
    }
}

static int read_instance(struct ae_reader *r) {
    /* Rates are known from the second pass on. So the first choice, which can't be one by rate, isn't kept. */
    const bool keep = r->passes >= 2 && r->passed_ns - r->chosen_ns < CHOICE_NS;
    const struct ae_watch_options options = {.topics = r->options.topics,
                                             .order = AE_WATCH_BY_RATE,
                                             .keep = keep,
                                             .pinned = r->pinned[0] != '\0' ? r->pinned : NULL};
    int rc = open_instance(r);

    if (rc == 0)
        rc = ae_watch_pass(r->watch, &options, &r->pass);
    if (rc == 0)
        rc = sort_topics(r);
    if (rc != 0)
        return rc;
    r->passes++;
    if (!keep)
        r->chosen_ns = r->passed_ns;
    sum_others(r);
    read_clients(r);
    return 0;
}

/* Makes a pass, unless the last one is young enough. */
static void refresh(struct ae_reader *r) {
    const uint64_t now = ae_now_ns();

    if (r->passed && now - r->passed_ns < r->options.interval_ms * NS_PER_MS)
        return;
    drop_bodies(r);
    r->passed = true;
    r->passed_ns = now;
    if (read_instance(r) == 0) {
        if (r->error[0] != '\0')
            ae_log_line(AE_LOG_INFO, "the instance can be read now");
        r->error[0] = '\0';
        return;
    }
    if (strcmp(r->error, aether_errmsg()) != 0)
        ae_log_line(AE_LOG_WARNING, "no instance can be read: %s", aether_errmsg());
    (void)snprintf(r->error, sizeof r->error, "%s", aether_errmsg());
    leave_instance(r);
}

/* ---- bodies ------------------------------------------------------------------------------------------------------ */

struct memory {
    char *data;
    size_t len;
    struct ae_out out;
};

static bool open_memory(struct memory *memory) {
    FILE *file = open_memstream(&memory->data, &memory->len);

    if (file != NULL)
        ae_out_init(&memory->out, file);
    return file != NULL;
}

/* rc: of what was written. */
static struct ae_body *close_memory(struct memory *memory, int rc) {
    if (fclose(memory->out.file) != 0)
        rc = -ENOMEM;
    if (rc == 0)
        return ae_body_open(memory->data, memory->len);
    free(memory->data);
    return NULL;
}

/* AETHER_UNKNOWN without /proc. */
static uint64_t resident_bytes(void) {
    char line[128], *resident;
    uint64_t pages = AETHER_UNKNOWN;
    FILE *file = fopen("/proc/self/statm", "re");

    if (file == NULL)
        return AETHER_UNKNOWN;
    if (fgets(line, sizeof line, file) != NULL && (resident = strchr(line, ' ')) != NULL)
        pages = strtoull(resident, NULL, 10);
    (void)fclose(file);
    return pages != AETHER_UNKNOWN ? pages * (uint64_t)sysconf(_SC_PAGESIZE) : AETHER_UNKNOWN;
}

/* Publishers, subscribers and clients that have no series, though those were asked for. */
static uint64_t left_out(const struct ae_reader *r) {
    size_t publishers = 0, subscribers = 0;

    for (size_t i = 0; i < r->topic_count; i++) {
        publishers += r->topics[i]->publisher_count;
        subscribers += r->topics[i]->subscriber_count;
    }
    return (publishers > PEERS_MAX ? publishers - PEERS_MAX : 0) +
           (subscribers > PEERS_MAX ? subscribers - PEERS_MAX : 0) + r->clients_left_out;
}

static struct ae_body *make_metrics(struct ae_reader *r, const struct ae_view_form *form) {
    const struct ae_view_own_metric own[] = {
        {"readable", "1 if the instance could be read, else 0.", AETHER_GAUGE, AETHER_UNIT_ONE, r->pass != NULL},
        {"left_out", "Publishers, subscribers and clients without series of their own, because there are too many.",
         AETHER_GAUGE, AETHER_UNIT_ONE, r->options.clients ? left_out(r) : 0},
        {"resident", "Memory of this program that is resident.", AETHER_GAUGE, AETHER_UNIT_BYTES, resident_bytes()},
        {"scrape", "How long the scrape before this one took: reading and formatting.", AETHER_GAUGE, AETHER_UNIT_NS,
         r->scrape_ns},
        {"scrapes", "Scrapes that were made, not counting those that repeat one.", AETHER_COUNTER, AETHER_UNIT_ONE,
         r->scrapes},
        {"start", "When this program was started.", AETHER_GAUGE, AETHER_UNIT_REALTIME_NS, r->started_ns},
        {"topics_left_out", "Topics that aren't shown by name.", AETHER_GAUGE, AETHER_UNIT_ONE,
         r->pass != NULL ? r->pass->matching - r->pass->selected_count : 0},
    };
    const struct ae_view_metrics record = {.version = aether_version(),
                                           .instance = r->pass != NULL ? &r->pass->instance : NULL,
                                           .topics = r->topics,
                                           .topic_count = r->topic_count,
                                           .other = r->sum,
                                           .peers = r->options.clients ? PEERS_MAX : 0,
                                           .clients = r->clients,
                                           .client_count = r->options.clients ? r->client_count : 0,
                                           .own = own,
                                           .own_count = sizeof own / sizeof own[0]};
    struct memory memory;

    if (!open_memory(&memory))
        return NULL;
    const struct ae_view view = {.form = form, .out = &memory.out};
    return close_memory(&memory, ae_view_metrics(&view, &record));
}

struct ae_body *ae_reader_metrics(struct ae_reader *reader, bool openmetrics) {
    struct ae_body **body = &reader->bodies[openmetrics ? BODY_OPENMETRICS : BODY_PROMETHEUS];
    const uint64_t began = ae_now_ns();

    refresh(reader);
    if (*body == NULL) {
        reader->scrapes++;
        *body = make_metrics(reader, openmetrics ? &ae_openmetrics_form : &ae_prometheus_form);
        reader->scrape_ns = ae_now_ns() - began;
    }
    return ae_body_hold(*body);
}

static struct ae_document whole_document(const struct ae_reader *r) {
    struct ae_document d = {.time_ns = r->passed_ns,
                            .error = r->error,
                            .socket_path = r->options.socket_path,
                            .topics = r->topics,
                            .topic_count = r->topic_count,
                            .clients = r->clients,
                            .client_count = r->client_count,
                            .clients_left_out = r->clients_left_out};

    if (r->pass != NULL) {
        d.instance = &r->pass->instance;
        d.topics_left_out = r->pass->matching - r->pass->selected_count;
        d.other = d.topics_left_out > 0 ? &r->pass->other.figures : NULL;
        d.problems = r->pass->problems;
        d.problem_count = r->pass->problem_count;
    }
    return d;
}

static struct ae_body *make_document(const struct ae_document *document) {
    struct memory memory;

    return open_memory(&memory) ? close_memory(&memory, ae_document_write(document, &memory.out)) : NULL;
}

/* The topic of the last pass, or, if that didn't copy it, as it is now; NULL if there is none. */
static const struct ae_watch_topic *find_topic(struct ae_reader *r, const char *name, struct ae_watch_topic *room) {
    if (r->pass == NULL)
        return NULL;
    if (r->pass->pinned != NULL && strcmp(r->pass->pinned->figures.info.name, name) == 0)
        return r->pass->pinned;
    for (size_t i = 0; i < r->pass->selected_count; i++)
        if (strcmp(r->pass->selected[i]->figures.info.name, name) == 0)
            return r->pass->selected[i];
    return aether_metrics_find(r->metrics, name, &room->figures) > 0 ? room : NULL;
}

static struct ae_body *make_topic(struct ae_reader *r, const char *name) {
    struct ae_problem problems[AE_WATCH_PROBLEMS_MAX];
    struct ae_watch_topic *room = calloc(1, sizeof *room);
    struct ae_body *body = NULL;

    if (room == NULL)
        return NULL;
    struct ae_document d = whole_document(r);
    const struct ae_watch_topic *topic = find_topic(r, name, room);
    const aether_topic_metrics *figures = topic != NULL ? &topic->figures : NULL;
    d.topics = &figures;
    d.topic_count = topic != NULL;
    d.buckets = true;
    d.problems = problems;
    d.problem_count =
        topic != NULL ? ae_watch_problems(topic, d.instance, AE_WATCH_PATIENCE_NS, problems, 0, AE_WATCH_PROBLEMS_MAX)
                      : 0;
    body = make_document(&d);
    free(room);
    return body;
}

struct ae_body *ae_reader_topics(struct ae_reader *reader, const char *topic) {
    struct ae_body **body = &reader->bodies[BODY_TOPICS];

    /* A page that shows one topic asks again and again: from the next pass on the topic is in it. */
    if (topic != NULL)
        (void)snprintf(reader->pinned, sizeof reader->pinned, "%s", topic);
    refresh(reader);
    if (topic != NULL)
        return make_topic(reader, topic);
    if (*body == NULL) {
        const struct ae_document document = whole_document(reader);
        *body = make_document(&document);
    }
    return ae_body_hold(*body);
}

int ae_reader_ready(struct ae_reader *reader) {
    refresh(reader);
    return reader->pass != NULL ? 0 : ae_fail(-ENOENT, "%s", reader->error);
}
