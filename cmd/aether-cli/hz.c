/* SPDX-License-Identifier: Apache-2.0 */
/* hz.c - shows how fast topics are published, and by whom, without a subscriber. */
#include "args.h"
#include "commands.h"
#include "error.h"
#include "observe.h"
#include "output.h"
#include "signals.h"
#include "view/observe.h"
#include <stdlib.h>

static struct ae_view_rate published(const struct ae_watch_rates *rates) {
    return (struct ae_view_rate){.known = rates->known, .messages = rates->published, .bytes = rates->published_bytes};
}

static struct ae_view_rate delivered(const struct ae_watch_rates *rates) {
    return (struct ae_view_rate){.known = rates->known, .messages = rates->delivered, .bytes = rates->delivered_bytes};
}

/* Shows the topics of the last pass. CLI_OK, or reports the error. */
static int show(const struct ae_view *view, const struct observer *observer, uint64_t index, double seconds) {
    size_t room = 1, used = 0;
    int status = CLI_OK;

    for (size_t i = 0; i < observer->count; i++)
        room += observer->topics[i]->figures.publisher_count;
    struct ae_view_topic_rates *topics = calloc(observer->count + 1, sizeof *topics);
    struct ae_view_rate *publishers = calloc(room, sizeof *publishers);
    if (topics == NULL || publishers == NULL) {
        status = cli_error(CLI_FAILURE, "out of memory for the rates of the topics");
        goto out;
    }
    for (size_t i = 0; i < observer->count; i++) {
        const struct ae_watch_topic *topic = observer->topics[i];
        topics[i] = (struct ae_view_topic_rates){.figures = &topic->figures,
                                                 .published = published(&topic->rates),
                                                 .delivered = delivered(&topic->rates),
                                                 .publishers = publishers + used};
        for (size_t j = 0; j < topic->figures.publisher_count; j++)
            publishers[used++] = published(&topic->publisher_rates[j]);
    }
    const struct ae_view_rates rates = {
        .repeat = {.index = index, .watched = true}, .seconds = seconds, .topics = topics, .count = observer->count};
    status = out_check(view, ae_view_rates(view, &rates));
out:
    free(publishers);
    free(topics);
    return status;
}

/* Shows count windows (0: without end). */
static int run(struct observer *observer, struct ae_view view, const struct args_list *names, double seconds,
               uint64_t count) {
    uint64_t before_ns = cli_now_ns();
    int status = observer_pass(observer, names);

    if (status == CLI_OK)
        view = note_daemon(view, &observer->pass->instance.daemon);

    for (uint64_t i = 0; status == CLI_OK && (count == 0 || i < count); i++) {
        cli_sleep_until(before_ns + (uint64_t)(seconds * 1e9));
        if (cli_signal != 0)
            return cli_signal_status();
        const uint64_t now_ns = cli_now_ns();
        status = observer_pass(observer, names);
        if (status == CLI_OK)
            status = show(&view, observer, i, (double)(now_ns - before_ns) / 1e9);
        before_ns = now_ns;
        if (!out_flush())
            break;
    }
    return status;
}

int cmd_hz(int argc, char **argv) {
    struct out_options output = {0};
    struct args_list names = {0};
    double seconds = 1;
    uint64_t count = 0;
    const struct args_option options[] = {
        {.name = "window",
         .kind = ARGS_DURATION,
         .target = &seconds,
         ARGS_INTERVAL_RANGE,
         .value = "TIME",
         .help = "for how long each rate is measured; default: 1s"},
        OPTION_COUNT(count, "end after N windows"),
        OPTION_JSON(output, "one object a line for each topic, with the publishers in an array"),
    };
    const struct args_spec spec = {
        .command = "hz",
        .words = "[TOPIC ...]",
        .rest = &names,
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .summary =
            "Shows how many messages and bytes a second are published, by each publisher and together, and\n"
            "delivered, until interrupted. Without TOPIC: of all topics. Subscribes to nothing: it reads shared\n"
            "memory only, so it works beside a dead daemon."};
    const char *words[ARGS_WORDS_MAX + 1];
    struct observer observer;

    int status = args_parse(&spec, argc, argv, words);
    if (status != ARGS_RUN)
        return status;
    cli_catch_signals();
    status = observer_open(&observer);
    if (status == CLI_OK)
        status = run(&observer, out_view(&output), &names, seconds, count);
    observer_close(&observer);
    return status;
}
