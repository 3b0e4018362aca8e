/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check.c - compares an instance with limits, for a monitoring system: one line and an exit code, as monitoring plugins
 * have them.
 *
 * A figure of several topics is that of the worst topic; `stuck` and `evicted` are sums. The text has the problems that
 * explain why limits are passed, one sentence for each culprit, whatever the number of its figures that are bad.
 */
#include "args.h"
#include "commands.h"
#include "daemon.h"
#include "error.h"
#include "observe.h"
#include "output.h"
#include "signals.h"
#include "view/amount.h"
#include "view/daemon.h"
#include "view/escape.h"
#include "view/observe.h"
#include "watch/problems.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define UNKNOWN 3     /* the exit code for all errors */
#define REASONS_MAX 8 /* shown */
#define PROBLEMS_MAX 64

enum figure { LAG, AGE, STUCK, EVICTED, FULL, LOSS, P99, RATE, FIGURES };
enum level { CRITICAL, WARNING, LEVELS };

static const struct {
    const char *option, *name, *unit;
    bool floor;  /* values below the limits are bad */
    bool rated;  /* needs two passes */
    bool summed; /* the limits are for all topics together */
} figures[FIGURES] = {
    [LAG] = {.option = "lag", .name = "lag", .unit = ""},
    [AGE] = {.option = "age", .name = "age", .unit = "s"},
    [STUCK] = {.option = "stuck", .name = "stuck", .unit = "", .summed = true},
    [EVICTED] = {.option = "evicted", .name = "evicted", .unit = "", .summed = true},
    [FULL] = {.option = "full", .name = "full", .unit = "s"},
    [LOSS] = {.option = "loss", .name = "loss_per_s", .unit = "", .rated = true},
    [P99] = {.option = "p99", .name = "p99", .unit = "s", .rated = true},
    [RATE] = {.option = "rate-min", .name = "rate", .unit = "", .floor = true, .rated = true},
};

struct request {
    struct args_list names;
    struct args_limits limits[FIGURES];
    bool given[FIGURES];
    bool no_daemon;
    double window;
};

/* Why the state isn't OK: problems, and other sentences, of which the first ones are kept. */
struct reasons {
    struct ae_problem problems[PROBLEMS_MAX]; /* the worst first */
    size_t problem_count;
    char *texts[REASONS_MAX];
    size_t count;
};

struct result {
    char daemon[96]; /* why aetherd makes the state CRITICAL; "": it doesn't */
    bool known[FIGURES];
    double values[FIGURES];
    struct reasons reasons[LEVELS];
};

/* ---- reasons ----------------------------------------------------------------------------------------------------- */

static bool has_text(const struct reasons *reasons, const char *text) {
    for (size_t i = 0; i < reasons->count && i < REASONS_MAX; i++) {
        if (reasons->texts[i] != NULL && strcmp(reasons->texts[i], text) == 0)
            return true;
    }
    return false;
}

/* Adds a sentence, unless it is there. */
__attribute__((format(printf, 3, 4))) static void add_text(struct result *result, enum level level, const char *format,
                                                           ...) {
    struct reasons *reasons = &result->reasons[level];
    char *text = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);
    if (text != NULL && (has_text(&result->reasons[CRITICAL], text) || has_text(&result->reasons[WARNING], text))) {
        free(text);
        return;
    }
    if (reasons->count < REASONS_MAX)
        reasons->texts[reasons->count] = text;
    else
        free(text);
    reasons->count++;
}

static bool same_grant(bool a, bool b, const aether_owner *x, const aether_owner *y) {
    return a && b && x->grant_id == y->grant_id;
}

/* Adds a problem, unless a critical one has the same culprit. */
static void add_problem(struct result *result, enum level level, const struct ae_problem *problem) {
    const struct reasons *critical = &result->reasons[CRITICAL];
    struct reasons *reasons = &result->reasons[level];

    for (size_t i = 0; level != CRITICAL && i < critical->problem_count; i++) {
        const struct ae_problem *p = &critical->problems[i];
        if (same_grant(p->has_culprit, problem->has_culprit, &p->culprit, &problem->culprit) ||
            (!p->has_culprit && same_grant(p->has_victim, problem->has_victim, &p->victim, &problem->victim)))
            return;
    }
    reasons->problem_count = ae_watch_problems_add(reasons->problems, reasons->problem_count, PROBLEMS_MAX, problem);
}

/* Prints at most REASONS_MAX sentences, the problems first. */
static void print_reasons(FILE *f, const struct reasons *reasons, const char **separator) {
    const size_t all = reasons->problem_count + reasons->count;
    size_t shown = 0;

    for (size_t i = 0; i < reasons->problem_count && shown < REASONS_MAX; i++, shown++) {
        const struct ae_problem *p = &reasons->problems[i];
        char name[AE_ESCAPED_SIZE(sizeof p->topic)], text[AE_PROBLEM_TEXT];
        ae_escape(name, p->topic, strnlen(p->topic, sizeof p->topic));
        fprintf(f, "%s%s: %s", *separator, name, ae_problem_text(text, p));
        *separator = "; ";
    }
    for (size_t i = 0; i < reasons->count && shown < REASONS_MAX; i++, shown++) {
        fprintf(f, "%s%s", *separator, reasons->texts[i] != NULL ? reasons->texts[i] : "out of memory for a reason");
        *separator = "; ";
    }
    if (all > shown)
        fprintf(f, "; and %zu more", all - shown);
}

/* The problems of both levels, the critical ones first. Returns how many there are. */
static size_t all_problems(const struct result *result, struct ae_problem list[LEVELS * PROBLEMS_MAX]) {
    size_t count = 0;

    for (enum level level = 0; level < LEVELS; level++) {
        const struct reasons *r = &result->reasons[level];
        memcpy(&list[count], r->problems, r->problem_count * sizeof *list);
        count += r->problem_count;
    }
    return count;
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
    case EVICTED:
        *value = evicted_count(t);
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

/* Is the value bad for this level, and not for a worse one? */
static bool is_bad(enum figure figure, const struct args_limits *limits, enum level level, double value) {
    const bool floor = figures[figure].floor;
    const bool critical = limits->has_critical && (floor ? value < limits->critical : value > limits->critical);
    const bool warning = limits->has_warning && (floor ? value < limits->warning : value > limits->warning);

    return level == CRITICAL ? critical : warning && !critical;
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

/* Does the problem explain the figure? subscriber: of LAG and AGE, the one that has this value. */
static bool explains(const struct ae_problem *p, enum figure figure, const aether_subscriber_metrics *subscriber) {
    const bool of_subscriber = p->has_culprit && p->role != AETHER_ROLE_PUBLISHER && p->kind != AE_PROBLEM_DIED;

    switch (figure) {
    case LAG:
    case AGE:
        return of_subscriber && subscriber != NULL && p->culprit.grant_id == subscriber->owner.grant_id &&
               (p->kind == AE_PROBLEM_WAITS || p->kind == AE_PROBLEM_STUCK || p->kind == AE_PROBLEM_STOPPED);
    case STUCK:
        return p->kind == AE_PROBLEM_STUCK || (of_subscriber && p->kind == AE_PROBLEM_WAITS);
    case EVICTED:
        return of_subscriber && p->evicted;
    case FULL:
        return p->kind == AE_PROBLEM_WAITS;
    case LOSS:
        return p->lost > 0;
    case P99:
    case RATE:
    case FIGURES:
        break;
    }
    return false;
}

/* "market: subscriber risk (pid 790) is 512 behind; the oldest message has waited 20 s" */
static void add_slow(struct result *result, enum level level, const char *topic, const aether_subscriber_metrics *s) {
    char client[AE_ESCAPED_SIZE(sizeof s->owner.client)], lag[AE_AMOUNT_SIZE], age[AE_AMOUNT_SIZE] = "";

    if (s == NULL)
        return;
    ae_escape(client, s->owner.client, strlen(s->owner.client));
    if (s->age_ns != AETHER_UNKNOWN && s->age_ns > 0)
        ae_amount_duration(age, (double)s->age_ns * 1e-9);
    add_text(result, level, "%s: subscriber %s (pid %" PRIu32 ") is %s behind%s%s", topic, client, s->owner.pid,
             ae_amount_count(lag, s->lag), age[0] != '\0' ? ", the oldest message for " : "", age);
}

/* limit: the one that the value has passed. */
static void explain(struct result *result, enum level level, enum figure figure, const struct observer *observer,
                    const struct ae_watch_topic *topic, double value, double limit) {
    const aether_topic_metrics *t = &topic->figures;
    const aether_subscriber_metrics *worst = slowest(t, figure);
    const uint64_t patience_ns =
        figure == FULL && limit * 1e9 < (double)AE_WATCH_PATIENCE_NS ? (uint64_t)(limit * 1e9) : AE_WATCH_PATIENCE_NS;
    struct ae_problem list[REASONS_MAX];
    char name[AE_ESCAPED_SIZE(sizeof t->info.name)], amount[AE_AMOUNT_SIZE];
    bool explained = false;
    const size_t count = ae_watch_problems(topic, &observer->pass->instance, patience_ns, list, 0, REASONS_MAX);

    for (size_t i = 0; i < count; i++) {
        if (!explains(&list[i], figure, worst))
            continue;
        add_problem(result, level, &list[i]);
        explained = true;
    }
    if (explained)
        return;
    ae_escape(name, t->info.name, strlen(t->info.name));
    switch (figure) {
    case LAG:
    case AGE:
        add_slow(result, level, name, worst);
        break;
    case STUCK:
        add_text(result, level, "%s: a subscriber is stuck", name);
        break;
    case EVICTED:
        add_text(result, level, "%s: a subscriber was evicted", name);
        break;
    case FULL:
        add_text(result, level, "%s: a publisher has waited %s for room", name, ae_amount_duration(amount, value));
        break;
    case LOSS:
        add_text(result, level, "%s: subscribers lose messages, %s", name, ae_amount_rate(amount, value));
        break;
    case P99:
        add_text(result, level, "%s: 1 %% of the messages takes longer than %s", name,
                 ae_amount_duration(amount, value));
        break;
    case RATE:
        add_text(result, level, "%s: %s messages are published", name, ae_amount_rate(amount, value));
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
    else if (figures[figure].summed)
        *total += value;
    else if (figures[figure].floor ? value < *total : value > *total)
        *total = value;
    result->known[figure] = true;
}

/* Gathers the values. */
static void measure(const struct observer *observer, struct result *result) {
    for (enum figure f = 0; f < FIGURES; f++) {
        double value;
        for (size_t i = 0; i < observer->count; i++) {
            if (figure_of(observer->topics[i], f, &value))
                merge(result, f, value);
        }
        /* Without topics nothing lags and nothing is stuck. */
        if (observer->count == 0 && !figures[f].floor && f != P99)
            merge(result, f, 0);
    }
}

/* Explains a figure that is bad. Of a sum, each topic that adds to it explains it. */
static void evaluate_figure(const struct args_limits *limits, enum level level, enum figure f,
                            const struct observer *observer, struct result *result) {
    const double limit = level == CRITICAL ? limits->critical : limits->warning;

    if (figures[f].summed && !is_bad(f, limits, level, result->values[f]))
        return;
    for (size_t i = 0; i < observer->count; i++) {
        const struct ae_watch_topic *topic = observer->topics[i];
        double value;
        if (!figure_of(topic, f, &value))
            continue;
        if (figures[f].summed ? value > 0 : is_bad(f, limits, level, value))
            explain(result, level, f, observer, topic, value, limit);
    }
}

/* Whatever is wrong in topics may follow from this, so it is the first sentence. */
static void evaluate_daemon(const aether_instance_metrics *instance, struct result *result) {
    char remedy[AE_DAEMON_REMEDY];

    switch (ae_daemon_state(instance)) {
    case AE_DAEMON_RUNS:
        break;
    case AE_DAEMON_STOPPED:
        snprintf(result->daemon, sizeof result->daemon, "aetherd (pid %" PRIu32 ") is stopped: %s",
                 instance->daemon.pid, ae_daemon_remedy(remedy, instance));
        break;
    case AE_DAEMON_GONE:
        snprintf(result->daemon, sizeof result->daemon, "aetherd doesn't run (last: pid %" PRIu32 ")",
                 instance->daemon.pid);
        break;
    }
}

static void evaluate(const struct request *request, const struct observer *observer, struct result *result) {
    if (!request->no_daemon)
        evaluate_daemon(&observer->pass->instance, result);
    measure(observer, result);
    for (enum level level = 0; level < LEVELS; level++) {
        for (enum figure f = 0; f < FIGURES; f++)
            evaluate_figure(&request->limits[f], level, f, observer, result);
    }
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
            ae_plural(observer->count, "", "s"), publishers, ae_plural(publishers, "", "s"), subscribers,
            ae_plural(subscribers, "", "s"), ae_amount_count(lag, (uint64_t)result->values[LAG]));
    if (result->known[AGE])
        fprintf(f, ", oldest unread message %s", ae_amount_duration(age, result->values[AGE]));
    fprintf(f, ", %.0f stuck", result->values[STUCK]);
}

static enum ae_view_health health_of(const struct result *result) {
    const struct reasons *r = result->reasons;

    return result->daemon[0] != '\0' || r[CRITICAL].problem_count + r[CRITICAL].count > 0 ? AE_HEALTH_CRITICAL
           : r[WARNING].problem_count + r[WARNING].count > 0                              ? AE_HEALTH_WARNING
                                                                                          : AE_HEALTH_OK;
}

/* Shows the result and returns its exit code. */
static int show(const struct ae_view *view, const struct request *request, const struct observer *observer,
                const struct result *result) {
    static struct ae_problem problems[LEVELS * PROBLEMS_MAX]; /* too large for the stack */
    struct ae_view_limit limits[FIGURES];
    struct ae_view_check check = {.health = health_of(result),
                                  .problems = problems,
                                  .problem_count = all_problems(result, problems),
                                  .limits = limits};
    const char *separator = "";
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    if (f == NULL)
        return cli_error(UNKNOWN, "out of memory for the line that says what is wrong");
    if (result->daemon[0] != '\0') {
        fputs(result->daemon, f);
        separator = "; ";
    }
    print_reasons(f, &result->reasons[CRITICAL], &separator);
    print_reasons(f, &result->reasons[WARNING], &separator);
    if (check.health == AE_HEALTH_OK)
        print_summary(f, observer, result);
    if (fclose(f) != 0) {
        free(text);
        return cli_error(UNKNOWN, "out of memory for the line that says what is wrong");
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
    static struct result result; /* too large for the stack */
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
    for (enum level level = 0; level < LEVELS; level++)
        free_reasons(&result.reasons[level]);
out:
    observer_close(&observer);
    return status;
}

/* ---- the command line -------------------------------------------------------------------------------------------- */

/* An option replaces the limits of its own figure. */
static const struct args_limits defaults[FIGURES] = {
    [AGE] = {.has_warning = true, .warning = 10, .has_critical = true, .critical = 60},
    [STUCK] = {.has_warning = true},
    [EVICTED] = {.has_warning = true},
    [FULL] = {.has_warning = true, .warning = 5, .has_critical = true, .critical = 30},
};

static int check_limits(const struct request *request) {
    for (enum figure i = 0; i < FIGURES; i++) {
        const struct args_limits *l = &request->limits[i];
        if (!l->has_warning || !l->has_critical)
            continue;
        if (figures[i].floor ? l->warning < l->critical : l->warning > l->critical)
            return cli_error(UNKNOWN, "--%s: the critical limit isn't reached after the warning limit: swap them",
                             figures[i].option);
    }
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
        LIMIT(EVICTED, ARGS_LIMITS, "subscribers that were evicted, of all topics together; default: 0:"),
        LIMIT(FULL, ARGS_TIMES, "time that a publisher has waited for room; default: 5s:30s"),
        LIMIT(LOSS, ARGS_LIMITS, "messages that subscribers of a topic lose a second"),
        LIMIT(P99, ARGS_TIMES, "time from publish to receive that 99 % of a topic's messages don't exceed"),
        LIMIT(RATE, ARGS_LIMITS, "messages published a second, of which a topic must have at least so many"),
        {.name = "no-daemon",
         .kind = ARGS_FLAG,
         .target = &r.no_daemon,
         .help = "OK also if aetherd doesn't run or is stopped"},
        {.name = "window",
         .kind = ARGS_DURATION,
         .target = &r.window,
         ARGS_INTERVAL_RANGE,
         .value = "TIME",
         .help = "for how long --loss, --p99 and --rate-min are measured; default: 1s"},
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
            "An option replaces the limits of its own figure only; \"none\" is no limit."};
    const char *words[ARGS_WORDS_MAX + 1];

    memcpy(r.limits, defaults, sizeof r.limits);
    cli_errors_for_monitoring();
    int status = args_parse(&spec, argc, argv, words);
    if (status != ARGS_RUN)
        return status;
    status = check_limits(&r);
    if (status != CLI_OK)
        return status;
    cli_catch_signals();
    const struct ae_view view = out_view(&output);
    return run(&view, &r);
}
