/* SPDX-License-Identifier: Apache-2.0 */
/* stats.c - shows counters of the daemon and its topics, once or repeatedly. */
#include "args.h"
#include "commands.h"
#include "daemon.h"
#include "error.h"
#include "inspect.h"
#include "output.h"
#include "signals.h"
#include <string.h>
#include <time.h>

#define FIRST_NS UINT64_C(250000000) /* the time for which the rates of the first sample are measured */

/* All counters at one moment. */
struct counters {
    aether_daemon_info daemon;
    struct topics topics;
    uint64_t taken_ns;
};

/* Reads the counters. CLI_OK, or reports the error. Call topics_free() in both cases. */
static int read_counters(struct counters *counters) {
    aether_inspector *inspector;

    memset(counters, 0, sizeof *counters);
    /* Opened again each time, because a successor of the daemon may have created new objects. */
    int status = inspect_open(&inspector);
    if (status != CLI_OK)
        return status;
    const int rc = aether_inspect_daemon(inspector, &counters->daemon);
    if (rc < 0)
        status = cli_error(CLI_FAILURE, "%s", aether_errmsg());
    if (status == CLI_OK)
        status = topics_read(inspector, &counters->topics);
    counters->taken_ns = cli_now_ns();
    aether_inspect_close(inspector);
    return status;
}

/* A topic's messages a second since the earlier counters; 0 if the topic didn't exist then. */
static double rate(const struct counters *before, const struct counters *now, const struct ae_view_topic *topic) {
    const double seconds = (double)(now->taken_ns - before->taken_ns) / 1e9;
    const struct ae_view_topic *old = topics_find(&before->topics, topic->info.name);

    if (old == NULL || old->info.id != topic->info.id || topic->info.messages < old->info.messages || seconds <= 0)
        return 0;
    return (double)(topic->info.messages - old->info.messages) / seconds;
}

static double uptime(const aether_daemon_info *daemon) {
    struct timespec now;

    if (!daemon->running)
        return 0;
    clock_gettime(CLOCK_REALTIME, &now);
    const double seconds = (double)now.tv_sec + (double)now.tv_nsec / 1e9 - (double)daemon->started_ns / 1e9;
    return seconds > 0 ? seconds : 0;
}

static int show_sample(const struct ae_view *view, bool watch, uint64_t index, const struct counters *before,
                       struct counters *now) {
    for (size_t i = 0; i < now->topics.count; i++)
        now->topics.list[i].rate = rate(before, now, &now->topics.list[i]);
    const struct ae_view_sample sample = {.index = index,
                                          .watched = watch,
                                          .socket_path = cli_socket(),
                                          .daemon = now->daemon,
                                          .uptime_s = uptime(&now->daemon),
                                          .topics = now->topics.list,
                                          .count = now->topics.count};
    return out_check(view, ae_view_sample(view, &sample));
}

/* Shows count samples (0: without end), one in watch seconds. */
static int show_samples(const struct ae_view *view, bool watch, double seconds, uint64_t count) {
    struct counters before, now;
    uint64_t wait_ns = FIRST_NS;
    int status = read_counters(&before);

    for (uint64_t i = 0; status == CLI_OK && (count == 0 || i < count); i++) {
        cli_sleep_until(before.taken_ns + wait_ns);
        if (cli_signal != 0) {
            status = cli_signal_status();
            break;
        }
        status = read_counters(&now);
        if (status == CLI_OK)
            status = show_sample(view, watch, i, &before, &now);
        topics_free(&before.topics);
        before = now;
        if (!out_flush())
            break;
        wait_ns = (uint64_t)(seconds * 1e9);
    }
    topics_free(&before.topics);
    return status;
}

int cmd_stats(int argc, char **argv) {
    double seconds = 0;
    uint64_t count = 0;
    struct out_options output = {0};
    bool watch = false;
    const struct args_option options[] = {
        {.name = "watch",
         .kind = ARGS_INTERVAL,
         .target = &seconds,
         .min = 0,
         .max = 86400,
         .fallback = 1,
         .value = "SECONDS",
         .given = &watch,
         .help = "again every SECONDS (1), until interrupted"},
        {.name = "count",
         .kind = ARGS_COUNT,
         .target = &count,
         .min = 1,
         .max = UINT64_MAX,
         .value = "N",
         .help = "with --watch: end after N times"},
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

    const int status = args_parse(&spec, argc, argv, words);
    if (status != ARGS_RUN)
        return status;
    if (watch && seconds < 0.01)
        return cli_error(CLI_USAGE, "--watch: use a number of seconds from 0.01 to 86400");
    if (!watch && count != 0)
        return cli_error(CLI_USAGE, "stats takes --count with --watch only");
    cli_catch_signals();
    const struct ae_view view = out_view(&output);
    return show_samples(&view, watch, seconds, watch ? count : 1);
}
