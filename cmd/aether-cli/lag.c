/* SPDX-License-Identifier: Apache-2.0 */
/* lag.c - shows how far each subscriber is behind, and what is wrong. */
#include "args.h"
#include "commands.h"
#include "error.h"
#include "observe.h"
#include "output.h"
#include "view/observe.h"
#include "watch/problems.h"
#include <stdlib.h>
#include <string.h>

#define PROBLEMS_MAX 64

/* What the view shows. */
struct rows {
    struct ae_view_lagging *list;
    size_t count;
    struct ae_problem problems[PROBLEMS_MAX];
    size_t problem_count;
};

static uint64_t age_of(const aether_subscriber_metrics *subscriber) {
    return subscriber->age_ns != AETHER_UNKNOWN ? subscriber->age_ns : 0;
}

/* The worst first: stuck, then the largest lag, the greatest age, the largest loss; then by topic. */
static int by_severity(const void *a, const void *b) {
    const struct ae_view_lagging *x = a, *y = b;
    const aether_subscriber_metrics *s = x->subscriber, *t = y->subscriber;
    const uint64_t values[][2] = {
        {s->state == AETHER_SUBSCRIBER_STUCK, t->state == AETHER_SUBSCRIBER_STUCK},
        {s->lag, t->lag},
        {age_of(s), age_of(t)},
        {s->lost, t->lost},
        {t->owner.grant_id, s->owner.grant_id}, /* the one that was opened first */
    };
    const size_t last = sizeof values / sizeof values[0] - 1;

    for (size_t i = 0; i < last; i++) {
        if (values[i][0] != values[i][1])
            return values[i][0] > values[i][1] ? -1 : 1;
    }
    const int names = strcmp(x->topic, y->topic);
    if (names != 0)
        return names;
    return values[last][0] > values[last][1] ? -1 : values[last][0] < values[last][1];
}

/* CLI_OK, or reports the error. */
static int collect(const struct observer *observer, struct rows *rows) {
    size_t room = 1;

    for (size_t i = 0; i < observer->count; i++)
        room += observer->topics[i]->figures.subscriber_count;
    rows->list = calloc(room, sizeof *rows->list);
    if (rows->list == NULL)
        return cli_error(CLI_FAILURE, "out of memory for a list of the subscribers");
    for (size_t i = 0; i < observer->count; i++) {
        const aether_topic_metrics *topic = &observer->topics[i]->figures;
        for (size_t j = 0; j < topic->subscriber_count; j++)
            rows->list[rows->count++] =
                (struct ae_view_lagging){.topic = topic->info.name, .subscriber = &topic->subscribers[j]};
        rows->problem_count = ae_watch_problems(observer->topics[i], &observer->pass->instance, AE_WATCH_PATIENCE_NS,
                                                rows->problems, rows->problem_count, PROBLEMS_MAX);
    }
    if (rows->count > 0)
        qsort(rows->list, rows->count, sizeof *rows->list, by_severity);
    return CLI_OK;
}

static int show(const struct ae_view *view, const struct rows *rows) {
    const struct ae_view_lag lag = {
        .rows = rows->list, .count = rows->count, .problems = rows->problems, .problem_count = rows->problem_count};

    return out_check(view, ae_view_lag(view, &lag));
}

int cmd_lag(int argc, char **argv) {
    struct out_options output = {0};
    struct args_list names = {0};
    const struct args_option options[] = {OPTION_JSON(output, "one object a line: the subscribers, then the problems")};
    const struct args_spec spec = {.command = "lag",
                                   .words = "[TOPIC ...]",
                                   .rest = &names,
                                   .options = options,
                                   .option_count = 1,
                                   .summary = "Shows how far each subscriber is behind, the worst first, and then what "
                                              "is wrong: who waits for whom, who\n"
                                              "is stuck, stopped or evicted. Without TOPIC: of all topics. Reads "
                                              "shared memory only, so it works beside a\n"
                                              "dead daemon."};
    const char *words[ARGS_WORDS_MAX + 1];
    struct observer observer;
    struct rows rows = {.list = NULL};

    int status = args_parse(&spec, argc, argv, words);
    if (status != ARGS_RUN)
        return status;
    status = observer_open(&observer);
    if (status == CLI_OK)
        status = observer_pass(&observer, &names);
    if (status == CLI_OK)
        status = collect(&observer, &rows);
    if (status == CLI_OK) {
        const struct ae_view view = note_daemon(out_view(&output), &observer.pass->instance.daemon);
        status = show(&view, &rows);
    }
    free(rows.list);
    observer_close(&observer);
    return status;
}
