/* SPDX-License-Identifier: Apache-2.0 */
/* top.c - `top`: its options, and which form it takes. */
#include "args.h"
#include "batch.h"
#include "commands.h"
#include "error.h"
#include "interactive.h"
#include "output.h"
#include "run.h"
#include "state.h"
#include "text.h"
#include <string.h>
#include <unistd.h>

struct top_options {
    double interval_s;
    uint64_t count, topics, batch;
    int order;
    const char *filter;
    bool reverse, json, is_batch;
};

static int run_top(const struct top_options *o) {
    struct top_state state;
    struct top_run run;

    top_text_set_utf8(out_utf8());
    top_state_init(&state, o->interval_s);
    state.order = (enum ae_watch_order)o->order;
    state.reverse = o->reverse;
    memcpy(state.filter, o->filter, strlen(o->filter) + 1);
    int status = top_run_open(&run);
    if (status == CLI_OK) {
        if (o->json || o->is_batch || !isatty(STDOUT_FILENO))
            status = top_batch(&run, &state, o->json, o->topics, o->count > 0 ? o->count : o->batch);
        else
            status = top_interactive(&run, &state, o->count);
    }
    top_run_close(&run);
    return status;
}

int cmd_top(int argc, char **argv) {
    struct top_options o = {.interval_s = 1, .topics = 50, .filter = ""};
    const struct args_option options[] = {
        {.name = "interval",
         .kind = ARGS_DURATION,
         .target = &o.interval_s,
         .min = 100000000,
         .max = UINT64_C(3600000000000),
         .value = "TIME",
         .help = "time between two passes, 100ms to 1h; default: 1s"},
        {.name = "sort",
         .kind = ARGS_CHOICE,
         .target = &o.order,
         .choices = ae_watch_order_names,
         .value = "ORDER",
         .help = "rate (default), lag, age, loss, p99 or name"},
        {.name = "reverse", .kind = ARGS_FLAG, .target = &o.reverse, .help = "the other way round"},
        {.name = "filter",
         .kind = ARGS_TEXT,
         .target = &o.filter,
         .value = "TEXT",
         .help = "only topics with TEXT in their names; with * or ?: whose names match it"},
        OPTION_COUNT(o.count, "end after N passes"),
        {.name = "batch",
         .kind = ARGS_COUNT,
         .target = &o.batch,
         .min = 1,
         .max = UINT64_MAX,
         .optional = true,
         .value = "N",
         .given = &o.is_batch,
         .help = "print tables instead of a screen; end after N of them"},
        {.name = "json", .kind = ARGS_FLAG, .target = &o.json, .help = "print one object a line for each pass"},
        {.name = "topics",
         .kind = ARGS_COUNT,
         .target = &o.topics,
         .min = 0,
         .max = 1000000,
         .value = "N",
         .help = "with --batch or --json: show N topics, default 50, and the sum of the others"},
    };
    const struct args_spec spec = {
        .command = "top",
        .words = "",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .summary =
            "Shows what all topics are doing, the most active ones first, and who holds up whom. Reads shared memory "
            "only,\nso it works beside a dead daemon.",
        .notes =
            "On a terminal it fills the screen; the key ? lists the keys. Otherwise it prints a table for each pass."};
    const char *words[ARGS_WORDS_MAX + 1];

    const int status = args_parse(&spec, argc, argv, words);
    if (status != ARGS_RUN)
        return status;
    if (strlen(o.filter) >= TOP_FILTER_SIZE)
        return cli_error(CLI_USAGE, "--filter: use at most %d bytes", TOP_FILTER_SIZE - 1);
    return run_top(&o);
}
