/* SPDX-License-Identifier: Apache-2.0 */
/* stats.c - counters of the daemon and its topics, once or again and again. */
#include "args.h"
#include "commands.h"
#include "daemon.h"
#include "error.h"
#include "output.h"
#include "signals.h"
#include "topic.h"
#include "view/amount.h"
#include <inttypes.h>
#include <string.h>
#include <time.h>

#define FIRST_NS UINT64_C(250000000) /* over which the first block's rates are measured */
#define ONCE (-1.0)

/* One look at everything. */
struct sample {
    aether_daemon_info daemon;
    struct topics topics;
    uint64_t taken_ns;
};

static int take(struct sample *sample) {
    aether_inspector *inspector;

    memset(sample, 0, sizeof *sample);
    /* Opened anew each time, because a successor of the daemon may have made new objects. */
    int status = inspect_open(&inspector);
    if (status != CLI_OK)
        return status;
    const int rc = aether_inspect_daemon(inspector, &sample->daemon);
    if (rc < 0)
        status = cli_error(CLI_FAILURE, "%s", aether_errmsg());
    if (status == CLI_OK)
        status = topics_read(inspector, &sample->topics);
    sample->taken_ns = cli_now_ns();
    aether_inspect_close(inspector);
    return status;
}

/* Messages a second of a topic since the sample before; 0 for a topic that wasn't there. */
static double rate(const struct sample *before, const struct sample *now, const struct topic *topic) {
    const double seconds = (double)(now->taken_ns - before->taken_ns) / 1e9;
    const struct topic *old = topics_find(&before->topics, topic->info.name);

    if (old == NULL || old->info.id != topic->info.id || topic->info.messages < old->info.messages || seconds <= 0)
        return 0;
    return (double)(topic->info.messages - old->info.messages) / seconds;
}

static double uptime(const aether_daemon_info *daemon) {
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    const double seconds = (double)now.tv_sec + (double)now.tv_nsec / 1e9 - (double)daemon->started_ns / 1e9;
    return seconds > 0 ? seconds : 0;
}

/* ---- text -------------------------------------------------------------------------------------------------------- */

static void print_daemon(const aether_daemon_info *daemon) {
    char amount[AE_AMOUNT_SIZE];

    if (daemon->running)
        printf("aetherd at %s: pid %" PRIu32 ", up %s", cli_socket(), daemon->pid,
               ae_amount_duration(amount, uptime(daemon)));
    else
        printf("aetherd at %s: not running (last: pid %" PRIu32 ")", cli_socket(), daemon->pid);
    printf(", %" PRIu32 " of %" PRIu32 " topics, %" PRIu32 " of %" PRIu32 " clients, %s\n", daemon->topics,
           daemon->topics_max, daemon->clients, daemon->clients_max, ae_amount_bytes(amount, daemon->memory_bytes));
}

static void print_block(const struct sample *before, const struct sample *now) {
    struct ae_table table;
    char amount[AE_AMOUNT_SIZE];

    print_daemon(&now->daemon);
    if (now->topics.count == 0)
        return;
    ae_table_init(&table, "TOPIC|>MESSAGES|>RATE|>PUB|>RELIABLE|>BEST EFFORT|>EVICTED|>LAG|>SLOTS|>FULL|>MEMORY");
    for (size_t i = 0; i < now->topics.count; i++) {
        const struct topic *topic = &now->topics.list[i];
        const aether_topic_info *t = &topic->info;
        ae_table_text(&table, t->name, strlen(t->name));
        ae_table_cell(&table, "%" PRIu64, t->messages);
        ae_table_cell(&table, "%s", ae_amount_rate(amount, rate(before, now, topic)));
        ae_table_cell(&table, "%" PRIu32, t->publishers);
        ae_table_cell(&table, "%" PRIu32, t->reliable);
        ae_table_cell(&table, "%" PRIu32, t->best_effort);
        ae_table_cell(&table, "%" PRIu32, topic->evicted);
        ae_table_cell(&table, "%" PRIu64, t->max_lag);
        ae_table_cell(&table, "%" PRIu64, t->capacity);
        ae_table_cell(&table, "%" PRIu64, t->full);
        ae_table_cell(&table, "%s", ae_amount_bytes(amount, t->memory_bytes));
    }
    out_print_table(&table);
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static json_t *json_daemon(const aether_daemon_info *daemon) {
    return json_pack("{s:{s:s, s:b, s:I, s:o, s:f, s:I, s:I, s:I, s:I, s:o}}", "daemon", "socket", cli_socket(),
                     "running", (int)(daemon->running != 0), "pid", (json_int_t)daemon->pid, "started_ns",
                     out_json_u64(daemon->started_ns), "uptime_s", daemon->running ? uptime(daemon) : 0.0, "topics",
                     (json_int_t)daemon->topics, "topics_max", (json_int_t)daemon->topics_max, "clients",
                     (json_int_t)daemon->clients, "clients_max", (json_int_t)daemon->clients_max, "memory_bytes",
                     out_json_u64(daemon->memory_bytes));
}

/* False: no memory (reported), or stdout has failed. */
static bool print_json(const struct sample *before, const struct sample *now) {
    bool done = out_json_line(json_daemon(&now->daemon));

    for (size_t i = 0; i < now->topics.count && done; i++) {
        const struct topic *t = &now->topics.list[i];
        json_t *object = json_object();
        if (!json_topic(object, t) || json_object_set_new(object, "rate", json_real(rate(before, now, t))) != 0) {
            json_decref(object);
            object = NULL;
        }
        done = out_json_line(object);
    }
    return done;
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

/* Prints blocks until there have been count (0: no end). */
static int show(bool json, double seconds, uint64_t count) {
    const bool redraw = !json && seconds >= 0 && out_terminal();
    struct sample before, now;
    uint64_t wait_ns = FIRST_NS;
    int status = take(&before);

    for (uint64_t i = 0; status == CLI_OK && (count == 0 || i < count); i++) {
        cli_sleep_until(before.taken_ns + wait_ns);
        if (cli_signal != 0) {
            status = cli_signal_status();
            break;
        }
        status = take(&now);
        if (status == CLI_OK) {
            fputs(redraw ? "\033[H\033[J" : i > 0 && !json ? "\n" : "", stdout);
            if (!json)
                print_block(&before, &now);
            else if (!print_json(&before, &now) && !out_failed())
                status = CLI_FAILURE;
        }
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
    double seconds = ONCE;
    uint64_t count = 0;
    bool json = false, watch = false;
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
        {.name = "json", .kind = ARGS_FLAG, .target = &json, .help = "one object a line: the daemon, then each topic"},
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
    return show(json, seconds, watch ? count : 1);
}
