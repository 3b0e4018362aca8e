/* SPDX-License-Identifier: Apache-2.0 */
/* topic.c - topic ls, info, create, rm. ls and info read shared memory and need no daemon. */
#include "args.h"
#include "commands.h"
#include "daemon.h"
#include "dispatch.h"
#include "error.h"
#include "inspect.h"
#include "observe.h"
#include "output.h"
#include "topic_options.h"
#include <stdbool.h>
#include <stdlib.h>

/* Shows the topics, unless only those for which subscribers wait are asked for. */
static int show_topics(aether_inspector *inspector, const struct ae_view *view) {
    struct topics topics;

    int status = topics_read(inspector, &topics);
    if (status == CLI_OK)
        status = out_check(view, ae_view_topics(view, topics.list, topics.count));
    topics_free(&topics);
    return status;
}

static int show_waiting(aether_inspector *inspector, const struct ae_view *view) {
    struct waiting waiting;

    int status = waiting_read(inspector, &waiting);
    if (status == CLI_OK)
        status = out_check(view, ae_view_waiting(view, waiting.list, waiting.count));
    free(waiting.list);
    return status;
}

static int topic_ls(int argc, char **argv) {
    struct out_options output = {0};
    bool waiting = false;
    const struct args_option options[] = {
        {.name = "waiting",
         .kind = ARGS_FLAG,
         .target = &waiting,
         .help = "only the topics for which subscribers wait because no publisher has opened them yet"},
        OPTION_JSON(output, "one object a line for each topic")};
    const struct args_spec spec = {
        .command = "topic ls",
        .words = "",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .summary = "Lists the topics, and below them those for which subscribers wait, which --json shows only with\n"
                   "--waiting. Reads shared memory only, so it works beside a dead daemon."};
    const char *words[ARGS_WORDS_MAX + 1];
    aether_inspector *inspector;
    aether_daemon_info daemon;

    int status = args_parse(&spec, argc, argv, words);
    if (status != ARGS_RUN)
        return status;
    status = inspect_open(&inspector);
    if (status != CLI_OK)
        return status;
    (void)aether_inspect_daemon(inspector, &daemon);
    const struct ae_view view = note_daemon(out_view(&output), &daemon);
    if (!waiting)
        status = show_topics(inspector, &view);
    if (status == CLI_OK && (waiting || !output.json))
        status = show_waiting(inspector, &view);
    aether_inspect_close(inspector);
    return status;
}

/* Reads the topic's metrics and shows them. */
static int show_topic(aether_metrics *metrics, const char *name, const struct ae_view *view) {
    aether_topic_metrics figures;
    const int status = metrics_topic(metrics, name, &figures);

    if (status != CLI_OK)
        return status;
    const struct ae_view_topic topic = {.info = figures.info, .evicted = evicted_count(&figures), .figures = &figures};
    return out_check(view, ae_view_topic(view, &topic));
}

static int topic_info(int argc, char **argv) {
    struct out_options output = {0};
    const struct args_option options[] = {OPTION_JSON(output, "one object, with the peers in an array")};
    const struct args_spec spec = {
        .command = "topic info",
        .words = "TOPIC",
        .words_min = 1,
        .words_max = 1,
        .options = options,
        .option_count = 1,
        .summary =
            "Shows a topic and who is attached to it. Reads shared memory only, so it works beside a dead daemon."};
    const char *words[ARGS_WORDS_MAX + 1];
    aether_metrics *metrics;

    int status = args_parse(&spec, argc, argv, words);
    if (status != ARGS_RUN)
        return status;
    if (words[0][0] == '\0')
        return cli_error(CLI_USAGE, "topic info: the topic's name is empty: see aether-cli topic ls");
    const struct ae_view view = out_view(&output);
    status = metrics_open(&metrics);
    if (status != CLI_OK)
        return status;
    status = show_topic(metrics, words[0], &view);
    aether_metrics_close(metrics);
    return status;
}

static struct topic_options stated; /* what the command line of topic create states */

static const struct args_option create_options[] = {
    OPTION_MAX_MESSAGE(stated),
    {.name = "inline",
     .kind = ARGS_SIZE,
     .target = &stated.config.inline_max,
     .min = 1,
     .max = AETHER_INLINE_LIMIT,
     .value = "SIZE",
     .help = "longest message in the ring itself; default: --max-message if that is at most 4088, else 56"},
    {.name = "capacity",
     .kind = ARGS_COUNT,
     .target = &stated.config.capacity,
     .min = 8,
     .max = UINT64_C(1) << 32,
     .value = "N",
     .help = "slots of the ring, a power of two; default: what fits in the preset's ring"},
    {.name = "lane",
     .kind = ARGS_SIZE,
     .target = &stated.config.lane_bytes,
     .min = 4096,
     .max = UINT64_C(1) << 31,
     .value = "SIZE",
     .help = "a publisher's room for longer messages, a power of two; default: 8 of the longest or more"},
    OPTION_PRESET(stated),
    OPTION_PUBLISHERS(stated),
    {.name = "slow",
     .kind = ARGS_CHOICE,
     .target = &stated.slow,
     .choices = ae_slow_names,
     .value = "POLICY",
     .given = &stated.slow_given,
     .help = "slow reliable subscribers: wait for them (default) or evict them"},
    {.name = "evict-lag",
     .kind = ARGS_COUNT,
     .target = &stated.config.evict_lag,
     .min = 1,
     .max = UINT64_C(1) << 32,
     .value = "N",
     .help = "evict from a lag of N messages on, capacity / 2 to capacity (default); implies --slow evict"},
    OPTION_LATENCY(stated),
    OPTION_TYPE(stated),
};

static const struct args_spec create_spec = {
    .command = "topic create",
    .words = "TOPIC",
    .words_min = 1,
    .words_max = 1,
    .options = create_options,
    .option_count = sizeof create_options / sizeof create_options[0],
    .summary = "Creates a topic. Until its first publisher comes, further statements add to it.",
    .notes = "What isn't stated here is the first publisher's to state. The defaults above hold for what it doesn't\n"
             "state, either: they are chosen when it comes."};

static int topic_create(int argc, char **argv) {
    const char *words[ARGS_WORDS_MAX + 1];
    aether_client *client;

    int status = args_parse(&create_spec, argc, argv, words);
    if (status != ARGS_RUN)
        return status;
    status = topic_options_read(&stated);
    if (status != CLI_OK)
        return status;
    status = cli_connect("topic create", NULL, &client);
    if (status != CLI_OK)
        return status;
    const int rc = aether_topic_create(client, words[0], &stated.config);
    if (rc < 0)
        status = cli_library_error(rc);
    aether_disconnect(client);
    return status;
}

static int topic_rm(int argc, char **argv) {
    const struct args_spec spec = {.command = "topic rm",
                                   .words = "TOPIC",
                                   .words_min = 1,
                                   .words_max = 1,
                                   .summary = "Removes a topic to which nobody is attached, with all its messages."};
    const char *words[ARGS_WORDS_MAX + 1];
    aether_client *client;

    int status = args_parse(&spec, argc, argv, words);
    if (status != ARGS_RUN)
        return status;
    status = cli_connect("topic rm", NULL, &client);
    if (status != CLI_OK)
        return status;
    const int rc = aether_topic_remove(client, words[0]);
    if (rc < 0)
        status = cli_library_error(rc);
    aether_disconnect(client);
    return status;
}

static const struct cli_command topic_commands[] = {
    {"ls", "", "list the topics", topic_ls},
    {"info", "TOPIC", "show a topic and who is attached", topic_info},
    {"create", "TOPIC", "create a topic", topic_create},
    {"rm", "TOPIC", "remove a topic", topic_rm},
};

int cmd_topic(int argc, char **argv) {
    return cli_dispatch(topic_commands, sizeof topic_commands / sizeof topic_commands[0], "topic", argc, argv);
}
