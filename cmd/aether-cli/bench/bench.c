/* SPDX-License-Identifier: Apache-2.0 */
/* bench.c - `bench`: its commands and their options. */
#include "arena.h"
#include "args.h"
#include "commands.h"
#include "dispatch.h"
#include "error.h"
#include "latency.h"
#include "options.h"
#include "output.h"
#include "throughput.h"
#include "wakeup.h"

#define SIZE_MAX_BYTES (UINT64_C(64) << 20)

struct bench_command {
    const char *name, *summary;
    int (*measure)(const struct bench_options *options);
    struct bench_options defaults;
    uint64_t size_min, size_max;
    bool has_ring, has_loan, has_subscribers, has_publishers; /* which options it has beside the common options */
};

static size_t publisher_options(struct bench_options *o, struct args_option *list, size_t count) {
    list[count++] = (struct args_option){
        .name = "shared", .kind = ARGS_FLAG, .target = &o->shared, .help = "on a topic that admits several publishers"};
    list[count++] = (struct args_option){.name = "publishers",
                                         .kind = ARGS_COUNT,
                                         .target = &o->publishers,
                                         .min = 1,
                                         .max = BENCH_PUBLISHERS_MAX,
                                         .value = "N",
                                         .help = "publisher processes, all on one core (default 1); more: --shared"};
    list[count++] = (struct args_option){.name = "no-bias",
                                         .kind = ARGS_FLAG,
                                         .target = &o->no_bias,
                                         .help = "shared, but without the bias to a publisher that is alone"};
    list[count++] = (struct args_option){.name = "batch",
                                         .kind = ARGS_COUNT,
                                         .target = &o->batch,
                                         .min = 1,
                                         .max = AETHER_BATCH_MAX,
                                         .value = "N",
                                         .help = "messages a call (default 1)"};
    return count;
}

/* Adds the options that not all commands have. Returns the new number of options. */
static size_t own_options(const struct bench_command *command, struct bench_options *o, struct args_option *list,
                          size_t count) {
    static const char *const touches[] = {"all", "first", NULL};

    if (command->has_ring) {
        list[count++] = (struct args_option){.name = "capacity",
                                             .kind = ARGS_COUNT,
                                             .target = &o->capacity,
                                             .min = 8,
                                             .max = 1u << 28,
                                             .value = "SLOTS",
                                             .help = "ring capacity (default: the preset's; above 4088 bytes 2048)"};
        list[count++] =
            (struct args_option){.name = "lane",
                                 .kind = ARGS_SIZE,
                                 .target = &o->lane,
                                 .min = 4096,
                                 .max = UINT64_C(1) << 31,
                                 .value = "SIZE",
                                 .help = "room for messages above 4088 bytes (default 8M, or two messages)"};
    }
    if (command->has_loan) {
        list[count++] = (struct args_option){.name = "loan",
                                             .kind = ARGS_FLAG,
                                             .target = &o->loan,
                                             .help = "write messages in place instead of copying them in"};
        list[count++] = (struct args_option){.name = "touch",
                                             .kind = ARGS_CHOICE,
                                             .target = &o->touch,
                                             .choices = touches,
                                             .value = "WHAT",
                                             .help = "with --loan: write and read all of it (default) or the first 8 "
                                                     "bytes only"};
    }
    if (command->has_subscribers)
        list[count++] = (struct args_option){.name = "subscribers",
                                             .kind = ARGS_COUNT,
                                             .target = &o->subscribers,
                                             .min = 1,
                                             .max = BENCH_CHILDREN_MAX,
                                             .value = "N",
                                             .help = "subscriber processes (default 2)"};
    return command->has_publishers ? publisher_options(o, list, count) : count;
}

static int run(int argc, char **argv, const struct bench_command *command) {
    struct bench_options o = command->defaults;
    struct out_options output = {0};
    struct args_option options[16] = {
        {.name = "size",
         .kind = ARGS_SIZE,
         .target = &o.size,
         .min = command->size_min,
         .max = command->size_max,
         .value = "SIZE",
         .help = "message size (default 8)"},
        {.name = "runs",
         .kind = ARGS_COUNT,
         .target = &o.runs,
         .min = 1,
         .max = 1000,
         .value = "N",
         .help = "accepted runs; the median is reported (default 5)"},
        {.name = "seconds",
         .kind = ARGS_DURATION,
         .target = &o.seconds,
         .min = 1000000,
         .max = UINT64_C(600000000000),
         .value = "TIME",
         .help = command->has_ring ? "length of a run (default 0.5s)" : "length of a run (default 1s)"},
        OPTION_JSON(output, "one JSON object"),
    };
    const struct args_spec spec = {
        .command = command->name,
        .words = "",
        .summary = command->summary,
        .notes = "floor: median round trip of a bare cache line between the same two pinned processes, half of it\n"
                 "taken before and half after each run; a run whose halves differ by more than 25 % is repeated.\n"
                 "Starts a private aetherd where none runs.",
        .options = options,
        .option_count = own_options(command, &o, options, 4),
    };
    const char *words[ARGS_WORDS_MAX + 1];
    const int status = args_parse(&spec, argc, argv, words);

    if (status != ARGS_RUN)
        return status;
    if (o.touch == BENCH_TOUCH_FIRST && !o.loan)
        return cli_error(CLI_USAGE, "--touch first: a message that is copied in is written in full: use --loan too");
    if (o.lane != 0 && !bench_has_lane(&o))
        return cli_error(CLI_USAGE, "--lane: messages of up to 4088 bytes lie in the ring: use --size with more");
    if (o.batch > 1 && (o.loan || bench_has_lane(&o)))
        return cli_error(CLI_USAGE, "--batch: %s goes with one call each: leave --batch out",
                         o.loan ? "a loan" : "a message of more than 4088 bytes");
    if (o.publishers > 1 && o.size < sizeof(uint64_t))
        return cli_error(CLI_USAGE, "--publishers: 8 bytes of each message say whose it is: use --size with 8 or more");
    if (o.no_bias)
        o.admits = AETHER_PUBLISHERS_UNBIASED;
    else if (o.shared || o.publishers > 1)
        o.admits = AETHER_PUBLISHERS_SHARED;
    o.view = out_view(&output);
    return command->measure(&o);
}

static int run_throughput(int argc, char **argv) {
    static const struct bench_command command = {
        .name = "bench throughput",
        .summary = "Messages a second from one publisher, or several that share a core, to one reliable subscriber.",
        .measure = bench_throughput,
        .defaults = {.size = 8,
                     .runs = 5,
                     .seconds = 0.5,
                     .preset = AETHER_PRESET_THROUGHPUT,
                     .subscribers = 1,
                     .publishers = 1,
                     .admits = AETHER_PUBLISHERS_EXCLUSIVE,
                     .batch = 1},
        .size_max = SIZE_MAX_BYTES,
        .has_ring = true,
        .has_loan = true,
        .has_publishers = true};

    return run(argc, argv, &command);
}

static int run_fanout(int argc, char **argv) {
    static const struct bench_command command = {
        .name = "bench fanout",
        .summary = "Messages a second from one publisher to several reliable subscribers.",
        .measure = bench_throughput,
        .defaults = {.size = 8,
                     .runs = 5,
                     .seconds = 0.5,
                     .preset = AETHER_PRESET_THROUGHPUT,
                     .subscribers = 2,
                     .publishers = 1,
                     .admits = AETHER_PUBLISHERS_EXCLUSIVE,
                     .batch = 1},
        .size_max = SIZE_MAX_BYTES,
        .has_ring = true,
        .has_loan = true,
        .has_subscribers = true};

    return run(argc, argv, &command);
}

static int run_latency(int argc, char **argv) {
    static const struct bench_command command = {
        .name = "bench latency",
        .summary = "Round trip of one message there and one back, two topics.",
        .measure = bench_latency,
        .defaults = {.size = 8, .runs = 5, .seconds = 0.5, .preset = AETHER_PRESET_DEFAULT, .subscribers = 1},
        .size_max = SIZE_MAX_BYTES,
        .has_ring = true};

    return run(argc, argv, &command);
}

static int run_wakeup(int argc, char **argv) {
    static const struct bench_command command = {
        .name = "bench wakeup",
        .summary = "From a publish until a subscriber that slept in aether_wait() has the message, and beside it the\n"
                   "same for a bare futex: one of each by turns, 1 ms or more apart, while the other side sleeps.",
        .measure = bench_wakeup,
        .defaults = {.size = 8, .runs = 5, .seconds = 1, .preset = AETHER_PRESET_DEFAULT, .subscribers = 1},
        .size_min = 8,
        .size_max = AETHER_INLINE_LIMIT};

    return run(argc, argv, &command);
}

int cmd_bench(int argc, char **argv) {
    static const struct cli_command commands[] = {
        {"throughput", "", "messages a second to one subscriber", run_throughput},
        {"latency", "", "round trip of a message", run_latency},
        {"fanout", "", "messages a second to several subscribers", run_fanout},
        {"wakeup", "", "from a publish to a subscriber that slept", run_wakeup},
    };

    return cli_dispatch(commands, sizeof commands / sizeof commands[0], "bench", argc, argv);
}
