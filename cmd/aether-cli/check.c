/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check.c - compares an instance with limits, for a monitoring system: one line and an exit code, as monitoring plugins
 * have them.
 *
 * A figure of several topics is that of the worst topic; `stuck` is their sum. Each topic that passes a limit may add
 * to the text.
 */
#include "args.h"
#include "commands.h"
#include "daemon.h"
#include "error.h"
#include "observe.h"
#include "output.h"
#include "signals.h"
#include "view/amount.h"
#include "view/escape.h"
#include "view/observe.h"
#include "watch/holdup.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define UNKNOWN 3 /* the exit code for all errors */
#define REASONS_MAX 8

enum figure { LAG, AGE, STUCK, FULL, LOSS, P99, RATE, FIGURES };

static const struct {
    const char *option, *name, *unit;
    bool floor; /* values below the limits are bad */
    bool rated; /* needs two passes */
} figures[FIGURES] = {
    [LAG] = {"lag", "lag", "", false, false},         [AGE] = {"age", "age", "s", false, false},
    [STUCK] = {"stuck", "stuck", "", false, false},   [FULL] = {"full", "full", "s", false, false},
    [LOSS] = {"loss", "loss_per_s", "", false, true}, [P99] = {"p99", "p99", "s", false, true},
    [RATE] = {"rate-min", "rate", "", true, true},
};

struct request {
    struct args_list names;
    struct args_limits limits[FIGURES];
    bool given[FIGURES];
    bool daemon;
    double window;
};

/* Why the state isn't OK. Sentences are counted, and the first ones are kept. */
struct reasons {
    char *texts[REASONS_MAX];
    size_t count;
};

struct result {
    bool known[FIGURES];
    double values[FIGURES];
    struct reasons critical, warning;
};

/* ---- reasons ----------------------------------------------------------------------------------------------------- */

static bool has_reason(const struct reasons *reasons, const char *text) {
    for (size_t i = 0; i < reasons->count && i < REASONS_MAX; i++) {
        if (reasons->texts[i] != NULL && strcmp(reasons->texts[i], text) == 0)
            return true;
    }
    return false;
}

/* Adds a sentence, unless it is there: who holds up whom may be the reason of two figures. */
__attribute__((format(printf, 2, 3))) static void add_reason(struct reasons *reasons, const char *format, ...) {
    char *text = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);
    if (text != NULL && has_reason(reasons, text)) {
        free(text);
        return;
    }
    if (reasons->count < REASONS_MAX)
        reasons->texts[reasons->count] = text;
    else
        free(text);
    reasons->count++;
}

static void print_reasons(FILE *f, const struct reasons *reasons, const char **separator) {
    for (size_t i = 0; i < reasons->count && i < REASONS_MAX; i++) {
        fprintf(f, "%s%s", *separator, reasons->texts[i] != NULL ? reasons->texts[i] : "out of memory");
        *separator = "; ";
    }
    if (reasons->count > REASONS_MAX)
        fprintf(f, "; and %zu more", reasons->count - REASONS_MAX);
}

static void free_reasons(struct reasons *reasons) {
    for (size_t i = 0; i < reasons->count && i < REASONS_MAX; i++)
        free(reasons->texts[i]);
}

/* ---- figures of a topic ------------------------------------------------------------------------------------------ */

/* False: the topic has no such figure now. */
static bool figure_of(const struct ae_watch_topic *topic, enum figure figure, double *value) {
    const aether_topic_metrics *t = &topic->figures;

    switch (figure) {
    case LAG:
        *value = (double)t->lag;
        return true;
    case AGE:
        *value = (double)t->age_ns * 1e-9;
        return t->age_ns != AETHER_UNKNOWN;
    case STUCK:
        *value = (double)t->stuck;
        return true;
    case FULL:
        *value = (double)t->waited_ns * 1e-9;
        return true;
    case LOSS:
        *value = topic->rates.lost;
        return topic->rates.known;
    case P99:
        *value = topic->has_recent ? aether_latency_quantile(&topic->recent, 0.99) * 1e-9 : -1;
        return *value >= 0;
    case RATE:
        *value = topic->rates.published;
        return topic->rates.known;
    case FIGURES:
        break;
    }
    return false;
}

static bool passes(enum figure figure, bool has, double limit, double value) {
    return has && (figures[figure].floor ? value < limit : value > limit);
}

/* The subscriber of the topic with the largest lag, or the greatest age. */
static const aether_subscriber_metrics *slowest(const aether_topic_metrics *topic, enum figure figure) {
    const aether_subscriber_metrics *worst = NULL;
    uint64_t most = 0;

    for (size_t i = 0; i < topic->subscriber_count; i++) {
        const aether_subscriber_metrics *s = &topic->subscribers[i];
        const uint64_t value = figure == LAG ? s->lag : s->age_ns == AETHER_UNKNOWN ? 0 : s->age_ns;
        if (worst == NULL || value > most) {
            worst = s;
            most = value;
        }
    }
    return worst;
}

/* Adds who holds up whom in the topic: stuck subscribers, or publishers that wait. False: nothing is known of it. */
static bool add_holdups(struct reasons *reasons, const aether_topic_metrics *topic, const char *name, bool stuck) {
    struct ae_watch_holdup list[REASONS_MAX];
    char text[AE_WATCH_HOLDUP_TEXT];
    bool added = false;
    const size_t count = ae_watch_holdups(topic, list, 0, REASONS_MAX);

    for (size_t i = 0; i < count; i++) {
        /* A stuck subscriber for which a publisher waits is in the publisher's sentence. */
        if (list[i].stuck && !stuck)
            continue;
        add_reason(reasons, "%s: %s", name, ae_watch_holdup_text(text, &list[i]));
        added = true;
    }
    return added;
}

static void explain(struct reasons *reasons, enum figure figure, const aether_topic_metrics *topic, double value) {
    char name[AE_ESCAPED_SIZE(sizeof topic->info.name)], amount[AE_AMOUNT_SIZE];
    char client[AE_ESCAPED_SIZE(sizeof topic->subscribers->owner.client)] = "?";
    const aether_subscriber_metrics *worst = slowest(topic, figure);

    ae_escape(name, topic->info.name, strlen(topic->info.name));
    if (worst != NULL)
        ae_escape(client, worst->owner.client, strlen(worst->owner.client));
    const uint32_t pid = worst != NULL ? worst->owner.pid : 0;
    switch (figure) {
    case LAG:
        add_reason(reasons, "%s: subscriber %s (pid %" PRIu32 ") is %s behind", name, client, pid,
                   ae_amount_count(amount, topic->lag));
        break;
    case AGE:
        add_reason(reasons, "%s: a message has waited %s for subscriber %s (pid %" PRIu32 ")", name,
                   ae_amount_duration(amount, value), client, pid);
        break;
    case STUCK:
    case FULL:
        if (!add_holdups(reasons, topic, name, figure == STUCK))
            add_reason(reasons, figure == STUCK ? "%s: a subscriber is stuck" : "%s: a publisher waits", name);
        break;
    case LOSS:
        add_reason(reasons, "%s: subscribers lose %s messages", name, ae_amount_rate(amount, value));
        break;
    case P99:
        add_reason(reasons, "%s: 1 %% of the messages takes longer than %s", name, ae_amount_duration(amount, value));
        break;
    case RATE:
        add_reason(reasons, "%s: %s messages are published", name, ae_amount_rate(amount, value));
        break;
    case FIGURES:
        break;
    }
}

/* ---- all topics -------------------------------------------------------------------------------------------------- */

/* Adds a topic's value to what is known of the figure. */
static void merge(struct result *result, enum figure figure, double value) {
    double *total = &result->values[figure];

    if (!result->known[figure])
        *total = value;
    else if (figure == STUCK)
        *total += value;
    else if (figures[figure].floor ? value < *total : value > *total)
        *total = value;
    result->known[figure] = true;
}

static void evaluate(const struct request *request, const struct observer *observer, struct result *result) {
    for (enum figure f = 0; f < FIGURES; f++) {
        const struct args_limits *limits = &request->limits[f];
        for (size_t i = 0; i < observer->count; i++) {
            const struct ae_watch_topic *topic = observer->topics[i];
            double value;
            if (!figure_of(topic, f, &value))
                continue;
            merge(result, f, value);
            /* The sum is compared below; of the topics, those that have stuck subscribers explain it. */
            if (f == STUCK)
                continue;
            if (passes(f, limits->has_critical, limits->critical, value))
                explain(&result->critical, f, &topic->figures, value);
            else if (passes(f, limits->has_warning, limits->warning, value))
                explain(&result->warning, f, &topic->figures, value);
        }
        /* Without topics nothing lags and nothing is stuck. */
        if (observer->count == 0 && !figures[f].floor && f != P99)
            merge(result, f, 0);
    }
    const struct args_limits *limits = &request->limits[STUCK];
    const bool critical = passes(STUCK, limits->has_critical, limits->critical, result->values[STUCK]);
    const bool warning = passes(STUCK, limits->has_warning, limits->warning, result->values[STUCK]);
    for (size_t i = 0; (critical || warning) && i < observer->count; i++) {
        if (observer->topics[i]->figures.stuck > 0)
            explain(critical ? &result->critical : &result->warning, STUCK, &observer->topics[i]->figures, 0);
    }
    const aether_daemon_info *daemon = &observer->pass->instance.daemon;
    if (request->daemon && !daemon->running)
        add_reason(&result->critical, "aetherd doesn't run (last: pid %" PRIu32 ")", daemon->pid);
}

/* What was checked, if nothing is bad. */
static void print_summary(FILE *f, const struct observer *observer, const struct result *result) {
    char lag[AE_AMOUNT_SIZE], age[AE_AMOUNT_SIZE];
    size_t publishers = 0, subscribers = 0;

    for (size_t i = 0; i < observer->count; i++) {
        publishers += observer->topics[i]->figures.publisher_count;
        subscribers += observer->topics[i]->figures.subscriber_count;
    }
    fprintf(f, "%zu topic%s, %zu publisher%s, %zu subscriber%s; lag %s", observer->count,
            observer->count == 1 ? "" : "s", publishers, publishers == 1 ? "" : "s", subscribers,
            subscribers == 1 ? "" : "s", ae_amount_count(lag, (uint64_t)result->values[LAG]));
    if (result->known[AGE])
        fprintf(f, ", oldest unread message %s", ae_amount_duration(age, result->values[AGE]));
    fprintf(f, ", %.0f stuck", result->values[STUCK]);
}

static enum ae_view_health health_of(const struct result *result) {
    return result->critical.count > 0  ? AE_HEALTH_CRITICAL
           : result->warning.count > 0 ? AE_HEALTH_WARNING
                                       : AE_HEALTH_OK;
}

/* Shows the result and returns its exit code. */
static int show(const struct ae_view *view, const struct request *request, const struct observer *observer,
                const struct result *result) {
    struct ae_view_limit limits[FIGURES];
    struct ae_view_check check = {.health = health_of(result), .limits = limits};
    const char *separator = "";
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    if (f == NULL)
        return cli_error(UNKNOWN, "out of memory");
    print_reasons(f, &result->critical, &separator);
    print_reasons(f, &result->warning, &separator);
    if (check.health == AE_HEALTH_OK)
        print_summary(f, observer, result);
    if (fclose(f) != 0) {
        free(text);
        return cli_error(UNKNOWN, "out of memory");
    }
    for (enum figure i = 0; i < FIGURES; i++) {
        const struct args_limits *l = &request->limits[i];
        if (figures[i].rated && !request->given[i])
            continue;
        limits[check.count++] = (struct ae_view_limit){.name = figures[i].name,
                                                       .unit = figures[i].unit,
                                                       .known = result->known[i],
                                                       .floor = figures[i].floor,
                                                       .value = result->values[i],
                                                       .has_warning = l->has_warning,
                                                       .has_critical = l->has_critical,
                                                       .warning = l->warning,
                                                       .critical = l->critical};
    }
    check.text = text;
    const int status = out_check(view, ae_view_check(view, &check));
    free(text);
    return status != CLI_OK ? UNKNOWN : (int)check.health;
}

static int run(const struct ae_view *view, const struct request *request) {
    struct result result = {.known = {false}};
    struct observer observer;
    bool rated = false;

    int status = observer_open(&observer);
    if (status != CLI_OK)
        goto out;
    for (enum figure i = 0; i < FIGURES; i++)
        rated = rated || (figures[i].rated && request->given[i]);
    const uint64_t began_ns = cli_now_ns();
    status = observer_pass(&observer, &request->names);
    if (status == CLI_OK && rated) {
        cli_sleep_until(began_ns + (uint64_t)(request->window * 1e9));
        if (cli_signal != 0)
            status = cli_signal_status();
        else
            status = observer_pass(&observer, &request->names);
    }
    if (status != CLI_OK)
        goto out;
    evaluate(request, &observer, &result);
    status = show(view, request, &observer, &result);
    free_reasons(&result.critical);
    free_reasons(&result.warning);
out:
    observer_close(&observer);
    return status;
}

/* ---- the command line -------------------------------------------------------------------------------------------- */

/* The limits if no option gives one. */
static void set_defaults(struct request *request) {
    request->daemon = true;
    request->limits[AGE] =
        (struct args_limits){.has_warning = true, .warning = 10, .has_critical = true, .critical = 60};
    request->limits[STUCK] = (struct args_limits){.has_warning = true};
    request->limits[FULL] =
        (struct args_limits){.has_warning = true, .warning = 5, .has_critical = true, .critical = 30};
}

static int check_limits(struct request *request) {
    bool any = request->daemon;

    for (enum figure i = 0; i < FIGURES; i++) {
        const struct args_limits *l = &request->limits[i];
        any = any || request->given[i];
        if (!l->has_warning || !l->has_critical)
            continue;
        if (figures[i].floor ? l->warning < l->critical : l->warning > l->critical)
            return cli_error(UNKNOWN, "--%s: the critical limit isn't reached after the warning limit: swap them",
                             figures[i].option);
    }
    if (!any)
        set_defaults(request);
    return CLI_OK;
}

#define LIMIT(figure, kind_, text)                                                                                     \
    {                                                                                                                  \
        .name = figures[figure].option, .kind = (kind_), .target = &r.limits[figure], .given = &r.given[figure],       \
        .value = "W:C", .help = (text)                                                                                 \
    }

int cmd_check(int argc, char **argv) {
    struct request r = {.window = 1};
    struct out_options output = {0};
    const struct args_option options[] = {
        LIMIT(LAG, ARGS_LIMITS, "messages that a subscriber is behind"),
        LIMIT(AGE, ARGS_TIMES, "time that the oldest unread message has waited; default: 10s:60s"),
        LIMIT(STUCK, ARGS_LIMITS, "subscribers that are stuck, of all topics together; default: 0:"),
        LIMIT(FULL, ARGS_TIMES, "time that a publisher has waited for room; default: 5s:30s"),
        LIMIT(LOSS, ARGS_LIMITS, "messages that subscribers of a topic lose a second"),
        LIMIT(P99, ARGS_TIMES, "time from publish to receive that 99 % of a topic's messages don't exceed"),
        LIMIT(RATE, ARGS_LIMITS, "messages published a second, of which a topic must have at least so many"),
        {.name = "daemon", .kind = ARGS_FLAG, .target = &r.daemon, .help = "critical if aetherd doesn't run; default"},
        {.name = "window",
         .kind = ARGS_NUMBER,
         .target = &r.window,
         .max = 86400,
         .value = "SECONDS",
         .help = "for how long --loss, --p99 and --rate-min are measured; default: 1"},
        OPTION_JSON(output, "one object in place of the line"),
    };
    const struct args_spec spec = {
        .command = "check",
        .words = "[TOPIC ...]",
        .rest = &r.names,
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .summary =
            "Compares topics with limits and prints one line, as monitoring plugins do. Without TOPIC: all topics.\n"
            "Exit codes: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN, which is also for all errors.",
        .notes =
            "W:C are a warning and a critical limit, of which one may be left out: \"10:\", \":60\". A value above "
            "its\n"
            "limit is bad, of --rate-min a value below. Times are in seconds, or end with ns, us, ms, s, min or h.\n"
            "Without any limit and --daemon the defaults apply."};
    const char *words[ARGS_WORDS_MAX + 1];

    cli_errors_for_monitoring();
    int status = args_parse(&spec, argc, argv, words);
    if (status != ARGS_RUN)
        return status;
    if (r.window < 0.01)
        return cli_error(UNKNOWN, "--window: use a number of seconds from 0.01 to 86400");
    status = check_limits(&r);
    if (status != CLI_OK)
        return status;
    cli_catch_signals();
    const struct ae_view view = out_view(&output);
    return run(&view, &r);
}
