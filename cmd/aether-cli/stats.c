/* SPDX-License-Identifier: Apache-2.0 */
/* stats.c - shows counters of the daemon and its topics, once or repeatedly. */
#include "args.h"
#include "commands.h"
#include "daemon.h"
#include "error.h"
#include "observe.h"
#include "output.h"
#include "signals.h"
#include <stdlib.h>

#define FIRST_NS UINT64_C(250000000) /* the time for which the rates of the first sample are measured */

/* Shows the last pass. CLI_OK, or reports the error. */
static int show_sample(const struct ae_view *view, bool watch, uint64_t index, double seconds,
                       const struct observer *observer) {
    struct ae_view_topic *topics = calloc(observer->count + 1, sizeof *topics);

    if (topics == NULL)
        return cli_error(CLI_FAILURE, "out of memory for a list of the topics");
    for (size_t i = 0; i < observer->count; i++) {
        const struct ae_watch_topic *topic = observer->topics[i];
        topics[i] = (struct ae_view_topic){.info = topic->figures.info,
                                           .evicted = evicted_count(&topic->figures),
                                           .rate = topic->rates.published,
                                           .figures = &topic->figures};
    }
    const aether_instance_metrics *instance = &observer->pass->instance;
    const struct ae_view_sample sample = {.index = index,
                                          .watched = watch,
                                          .socket_path = cli_socket(),
                                          .instance = *instance,
                                          .uptime_s = (double)instance->daemon.uptime_ns / 1e9,
                                          .seconds = seconds,
                                          .topics = topics,
                                          .count = observer->count};
    const int status = out_check(view, ae_view_sample(view, &sample));
    free(topics);
    return status;
}

/* Shows count samples (0: without end), one in watch seconds. */
static int show_samples(struct observer *observer, struct ae_view view, bool watch, double seconds, uint64_t count) {
    const struct args_list all = {0};
    uint64_t wait_ns = FIRST_NS, taken_ns = cli_now_ns();
    int status = observer_pass(observer, &all);

    if (status == CLI_OK)
        view = note_daemon(view, &observer->pass->instance.daemon);

    for (uint64_t i = 0; status == CLI_OK && (count == 0 || i < count); i++) {
        cli_sleep_until(taken_ns + wait_ns);
        if (cli_signal != 0)
            return cli_signal_status();
        const uint64_t before_ns = taken_ns;
        taken_ns = cli_now_ns();
        status = observer_pass(observer, &all);
        if (status == CLI_OK)
            status = show_sample(&view, watch, i, (double)(taken_ns - before_ns) / 1e9, observer);
        if (!out_flush())
            break;
        wait_ns = (uint64_t)(seconds * 1e9);
    }
    return status;
}

int cmd_stats(int argc, char **argv) {
    double seconds = 0;
    uint64_t count = 0;
    struct out_options output = {0};
    bool watch = false;
    const struct args_option options[] = {
        OPTION_WATCH(seconds, watch, "again every TIME (1s), until interrupted"),
        OPTION_COUNT(count, "with --watch: end after N times"),
        OPTION_JSON(output, "one object a line: the daemon, then each topic"),
    };
    const struct args_spec spec = {
        .command = "stats",
        .words = "",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .summary =
            "Shows the daemon's and the topics' counters. Reads shared memory only, so it works beside a dead daemon.",
        .notes = "Rates are those since the block before; the first block's are measured over 0.25 s."};
    const char *words[ARGS_WORDS_MAX + 1];

    struct observer observer;

    int status = args_parse(&spec, argc, argv, words);
    if (status != ARGS_RUN)
        return status;
    if (!watch && count != 0)
        return cli_error(CLI_USAGE, "stats takes --count with --watch only");
    cli_catch_signals();
    status = observer_open(&observer);
    if (status == CLI_OK)
        status = show_samples(&observer, out_view(&output), watch, seconds, watch ? count : 1);
    observer_close(&observer);
    return status;
}
