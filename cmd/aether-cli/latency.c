/* SPDX-License-Identifier: Apache-2.0 */
/* latency.c - shows the latencies of a topic, since its creation or of the last seconds. */
#include "args.h"
#include "commands.h"
#include "error.h"
#include "observe.h"
#include "output.h"
#include "signals.h"
#include "view/observe.h"
#include "watch/rates.h"
#include <stdlib.h>
#include <string.h>

struct request {
    const char *topic;
    bool histogram, watch;
    double seconds;
    uint64_t count; /* blocks; 0: no end */
};

/* The latencies of a topic and of its subscribers, which are copied. */
struct reading {
    aether_topic_metrics topic;
    aether_subscriber_metrics *subscribers;
    uint64_t taken_ns;
};

static void reading_free(struct reading *reading) {
    free(reading->subscribers);
    reading->subscribers = NULL;
}

/* Reads the topic. CLI_OK, or reports the error. Call reading_free() in both cases. */
static int read_topic(aether_metrics *metrics, const char *name, struct reading *reading) {
    memset(reading, 0, sizeof *reading);
    /* A pass begins because only this finds the objects of a successor of the daemon. */
    const int rc = aether_metrics_begin(metrics, NULL);
    if (rc < 0)
        return cli_error(CLI_FAILURE, "%s", aether_errmsg());
    const int status = metrics_topic(metrics, name, &reading->topic);
    reading->taken_ns = cli_now_ns();
    if (status != CLI_OK)
        return status;
    if (reading->topic.info.latency == AETHER_LATENCY_OFF)
        return cli_error(CLI_FAILURE, "topic '%s' was created with --latency off: it has no latencies", name);
    const size_t count = reading->topic.subscriber_count;
    reading->subscribers = calloc(count + 1, sizeof *reading->subscribers);
    if (reading->subscribers == NULL)
        return cli_error(CLI_FAILURE, "out of memory for a list of the subscribers");
    if (count > 0)
        memcpy(reading->subscribers, reading->topic.subscribers, count * sizeof *reading->subscribers);
    return CLI_OK;
}

/* A subscriber of the reading by its grant, or NULL. */
static const aether_subscriber_metrics *find(const struct reading *reading, uint64_t grant_id) {
    for (size_t i = 0; i < reading->topic.subscriber_count; i++) {
        if (reading->subscribers[i].owner.grant_id == grant_id)
            return &reading->subscribers[i];
    }
    return NULL;
}

static bool same_topic(const struct reading *a, const struct reading *b) {
    return a->topic.info.id == b->topic.info.id && a->topic.info.created_ns == b->topic.info.created_ns;
}

/* Shows the reading: what it has more than the reading before; before may be NULL. */
static int show(const struct ae_view *view, const struct request *request, uint64_t index, const struct reading *before,
                const struct reading *now) {
    const size_t count = now->topic.subscriber_count;
    aether_subscriber_metrics *recent = malloc((count + 1) * sizeof *recent);
    aether_latency together = now->topic.latency;
    double seconds = 0;

    if (recent == NULL)
        return cli_error(CLI_FAILURE, "out of memory for a list of the subscribers");
    for (size_t i = 0; i < count; i++)
        recent[i] = now->subscribers[i];
    if (before != NULL) {
        seconds = (double)(now->taken_ns - before->taken_ns) / 1e9;
        if (same_topic(before, now))
            ae_watch_latency_between(&together, &before->topic.latency, &now->topic.latency);
        for (size_t i = 0; i < count && same_topic(before, now); i++) {
            const aether_subscriber_metrics *old = find(before, recent[i].owner.grant_id);
            if (old != NULL)
                ae_watch_latency_between(&recent[i].latency, &old->latency, &now->subscribers[i].latency);
        }
    }
    const struct ae_view_latencies latencies = {.repeat = {.index = index, .watched = request->watch},
                                                .info = &now->topic.info,
                                                .seconds = seconds,
                                                .together = &together,
                                                .subscribers = recent,
                                                .count = count,
                                                .histogram = request->histogram,
                                                .columns = out_columns()};
    const int status = out_check(view, ae_view_latencies(view, &latencies));
    free(recent);
    return status;
}

/* Shows the latencies of each interval. */
static int watch(aether_metrics *metrics, const struct ae_view *view, const struct request *request) {
    struct reading before, now;
    int status = read_topic(metrics, request->topic, &before);

    for (uint64_t i = 0; status == CLI_OK && (request->count == 0 || i < request->count); i++) {
        cli_sleep_until(before.taken_ns + (uint64_t)(request->seconds * 1e9));
        if (cli_signal != 0) {
            status = cli_signal_status();
            break;
        }
        status = read_topic(metrics, request->topic, &now);
        if (status == CLI_OK)
            status = show(view, request, i, &before, &now);
        reading_free(&before);
        before = now;
        if (!out_flush())
            break;
    }
    reading_free(&before);
    return status;
}

static int show_once(aether_metrics *metrics, const struct ae_view *view, const struct request *request) {
    struct reading reading;
    int status = read_topic(metrics, request->topic, &reading);

    if (status == CLI_OK)
        status = show(view, request, 0, NULL, &reading);
    reading_free(&reading);
    return status;
}

int cmd_latency(int argc, char **argv) {
    struct request r = {.topic = NULL};
    struct out_options output = {0};
    const struct args_option options[] = {
        {.name = "histogram",
         .kind = ARGS_FLAG,
         .target = &r.histogram,
         .help = "how many messages took how long, too"},
        OPTION_WATCH(r.seconds, r.watch, "the latencies of the last TIME (1s), again and again, until interrupted"),
        OPTION_COUNT(r.count, "with --watch: end after N times"),
        OPTION_JSON(output, "one object, with the subscribers in an array"),
    };
    const struct args_spec spec = {
        .command = "latency",
        .words = "TOPIC",
        .words_min = 1,
        .words_max = 1,
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .summary = "Shows how long a topic's messages take from publish to receive, for each subscriber and for all\n"
                   "together. Reads shared memory only, so it works beside a dead daemon.",
        .notes = "A topic that was created with --latency off has no latencies: the exit code is 1."};
    const char *words[ARGS_WORDS_MAX + 1];
    aether_metrics *metrics;

    int status = args_parse(&spec, argc, argv, words);
    if (status != ARGS_RUN)
        return status;
    if (!r.watch && r.count != 0)
        return cli_error(CLI_USAGE, "latency takes --count with --watch only");
    status = metrics_open(&metrics);
    if (status != CLI_OK)
        return status;
    cli_catch_signals();
    r.topic = words[0];
    const struct ae_view view = out_view(&output);
    status = r.watch ? watch(metrics, &view, &r) : show_once(metrics, &view, &r);
    aether_metrics_close(metrics);
    return status;
}
