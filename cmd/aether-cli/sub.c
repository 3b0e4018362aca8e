/* SPDX-License-Identifier: Apache-2.0 */
/* sub.c - prints the messages of a topic, or writes them to files. */
#include "args.h"
#include "commands.h"
#include "daemon.h"
#include "dump.h"
#include "error.h"
#include "frames.h"
#include "output.h"
#include "signals.h"
#include "topic_options.h"
#include "view/amount.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 256
#define OUTPUT_CHECK_NS 100000000u /* between two checks whether the pipe on stdout was closed */

struct sub {
    const char *topic;
    const char *name; /* of the client; NULL: the default */
    struct ae_view view;
    uint64_t count;   /* 0: no end */
    struct dump dump; /* if directory is NULL, payloads are shown */
    bool exit_at_end;
    bool verbose;

    aether_subscriber *subscriber;
    uint64_t received;
    aether_stream ended; /* how the stream ended; NONE: it hasn't ended, or there was no --exit-at-end */
};

/* ---- one entry --------------------------------------------------------------------------------------------------- */

/* Shows the message, or writes it to a file and shows the file's name. */
static int show_message(struct sub *sub, const aether_message *m) {
    struct ae_view_message message = {.seq = m->seq, .data = m->data, .len = m->len};
    char path[DUMP_PATH_SIZE];

    if (sub->dump.directory != NULL) {
        const int status = dump_message(&sub->dump, m, path);
        if (status != CLI_OK)
            return status;
        message.file = path;
    }
    sub->received++;
    return out_check(&sub->view, ae_view_message(&sub->view, &message));
}

/* A loss is reported on stderr in every form: the output may go where nobody looks, and has no room for it as --raw. */
static int show_gap(const struct sub *sub, uint64_t first, uint64_t count) {
    fprintf(stderr, "aether-cli: gap: %" PRIu64 " message%s lost from sequence %" PRIu64 " on\n", count,
            ae_plural(count, "", "s"), first);
    return out_check(&sub->view, ae_view_gap(&sub->view, &(struct ae_view_origin){.topic = NULL}, first, count));
}

/* The subscriber was evicted and continues as best effort. Nothing is lost yet. */
static int show_eviction(const struct sub *sub) {
    const uint64_t seq = aether_subscriber_next(sub->subscriber);
    const int rc = ae_view_evicted(&sub->view, &(struct ae_view_origin){.topic = NULL}, seq);

    if (rc == AE_VIEW_SKIPPED)
        cli_error(CLI_OK, "evicted from topic '%s' as too slow: best effort from sequence %" PRIu64 " on", sub->topic,
                  seq);
    return out_check(&sub->view, rc);
}

/* CLI_OK; or another status if the command must end, or if a write to stdout failed. */
static int show_entry(struct sub *sub, const aether_message *m) {
    const int status = m->lost > 0 ? show_gap(sub, m->seq, m->lost) : show_message(sub, m);

    return out_failed() ? CLI_FAILURE : status;
}

/* ---- the loop ---------------------------------------------------------------------------------------------------- */

static bool at_end(struct sub *sub) {
    const aether_stream stream = sub->exit_at_end ? aether_subscriber_stream(sub->subscriber) : AETHER_STREAM_NONE;

    if (stream != AETHER_STREAM_CLOSED && stream != AETHER_STREAM_DIED)
        return false;
    sub->ended = stream;
    return true;
}

/* Prints up to max entries. Returns their number; negative: *status ends the command. */
static int receive_some(struct sub *sub, aether_message *batch, int max, int *status) {
    const int n = aether_receive_batch(sub->subscriber, batch, max);

    if (n == -EOVERFLOW)
        *status = show_eviction(sub);
    else if (n < 0)
        *status = cli_library_error(n);
    for (int i = 0; i < n && *status == CLI_OK; i++)
        *status = show_entry(sub, &batch[i]);
    return *status != CLI_OK ? -1 : n > 0 ? n : n == -EOVERFLOW;
}

static int receive(struct sub *sub) {
    aether_message batch[BATCH];
    aether_idle_state idle;
    uint64_t checked_ns = cli_now_ns();
    bool flushed = true;
    int status = CLI_OK;

    aether_idle_init(&idle, AETHER_IDLE_ADAPTIVE, AETHER_IDLE_BUDGET_NS);
    aether_idle_watch(&idle, sub->subscriber);
    while (sub->count == 0 || sub->received < sub->count) {
        const uint64_t left = sub->count - sub->received; /* not used if count is 0 */
        const int max = sub->count != 0 && left < BATCH ? (int)left : BATCH;

        if (cli_signal != 0)
            return cli_signal_status();
        const int n = receive_some(sub, batch, max, &status);
        if (n < 0)
            return out_failed() ? CLI_OK : status; /* main() reports a failed write */
        if (n == 0) {
            /* Received messages are written before this process waits. */
            if (!flushed && !out_flush())
                break;
            if (at_end(sub))
                break;
            const uint64_t now = cli_now_ns();
            if (now - checked_ns >= OUTPUT_CHECK_NS && out_closed())
                break;
            if (now - checked_ns >= OUTPUT_CHECK_NS)
                checked_ns = now;
        }
        flushed = n == 0;
        aether_idle(&idle, n);
    }
    return CLI_OK;
}

/* At the end: with --verbose what was received and how the stream ended; else what was lost, if anything was. */
static void summary(const struct sub *sub, aether_policy policy) {
    aether_subscriber_stats stats;
    char amount[AE_AMOUNT_SIZE];

    aether_subscriber_get_stats(sub->subscriber, &stats);
    if (!sub->verbose && stats.lost > 0)
        fprintf(stderr, "aether-cli: lost %s message%s in sum%s\n", ae_amount_count(amount, stats.lost),
                ae_plural(stats.lost, "", "s"),
                policy == AETHER_BEST_EFFORT ? ": with --policy reliable publishers wait for this command" : "");
    if (!sub->verbose)
        return;
    fprintf(stderr, "received %s", ae_amount_count(amount, stats.delivered));
    fprintf(stderr, ", lost %s", ae_amount_count(amount, stats.lost));
    fprintf(stderr, ", aborted %s", ae_amount_count(amount, stats.aborted));
    if (policy == AETHER_LATEST)
        fprintf(stderr, ", skipped %s", ae_amount_count(amount, stats.skipped));
    fprintf(stderr, "%s\n", stats.evicted != 0 ? ", evicted" : "");
    if (sub->ended == AETHER_STREAM_CLOSED)
        fprintf(stderr, "end of stream: the last publisher has closed\n");
    else if (sub->ended == AETHER_STREAM_DIED)
        fprintf(stderr, "end of stream: no publisher is left, and one has died\n");
}

static int run(struct sub *sub, const aether_subscribe_options *how, const aether_topic_config *config) {
    aether_client *client;
    int status = cli_connect("sub", sub->name, &client);

    if (status != CLI_OK)
        return status;
    if ((status = dump_open(&sub->dump)) != CLI_OK)
        goto out;
    const int rc = aether_subscriber_open(client, sub->topic, how, config, &sub->subscriber);
    if (rc < 0) {
        status = cli_library_error(rc);
        goto out;
    }
    cli_catch_signals();
    status = receive(sub);
    summary(sub, how->policy);
    aether_subscriber_close(sub->subscriber);
out:
    dump_close(&sub->dump);
    aether_disconnect(client);
    return status;
}

/* new, oldest, last:N */
static bool read_from(const char *text, aether_subscribe_options *options) {
    if (strcmp(text, "new") == 0)
        options->from = AETHER_FROM_NEW;
    else if (strcmp(text, "oldest") == 0)
        options->from = AETHER_FROM_OLDEST;
    else if (strncmp(text, "last:", 5) == 0 && args_count(text + 5, &options->last))
        options->from = AETHER_FROM_LAST;
    else
        return false;
    return true;
}

static const char summary_text[] =
    "Prints the messages of a topic until it is interrupted: sequence, length, payload. Of a message of more than\n"
    "4096 bytes the first 4096 are printed as text; --raw, --json and --dump give all of it. Publishers don't\n"
    "wait for this command unless --policy reliable is given; what it was too slow for is reported on stderr.\n"
    "Creates the topic if it doesn't exist.";

/* The command line, before it is checked. */
struct request {
    struct sub sub;
    struct topic_options topic;
    int policy;
    const char *from;
    struct out_options output;
    bool null, frame;
};

static int read_request(struct request *r, int argc, char **argv) {
    const struct args_option options[] = {
        {.name = "policy",
         .kind = ARGS_CHOICE,
         .target = &r->policy,
         .choices = ae_policy_names,
         .value = "NAME",
         .help = "best-effort (default), reliable: publishers wait for it, or latest: the newest message only"},
        {.name = "from",
         .kind = ARGS_TEXT,
         .target = &r->from,
         .min = 1,
         .value = "WHERE",
         .help = "new (default), oldest: all that the ring holds, or last:N"},
        {.name = "count",
         .kind = ARGS_COUNT,
         .target = &r->sub.count,
         .min = 1,
         .max = UINT64_MAX,
         .value = "N",
         .help = "end after N messages"},
        {.name = "exit-at-end",
         .kind = ARGS_FLAG,
         .target = &r->sub.exit_at_end,
         .help = "end when no publisher is attached any more and all messages were printed"},
        OPTION_RAW(r->output, "payloads, each followed by a newline, and nothing else"),
        OPTION_NULL(r->null, "payloads, each followed by NUL, and nothing else: pub -0, xargs -0"),
        OPTION_FRAME(r->frame, "payloads of any bytes, each after its length, 32 bits, little-endian: pub --frame"),
        OPTION_JSON(r->output, "one object a line"),
        {.name = "dump",
         .kind = ARGS_TEXT,
         .target = &r->sub.dump.directory,
         .min = 1,
         .value = "DIR",
         .help = "write each payload to a file of its own, DIR/SEQUENCE, and print the file's name instead"},
        OPTION_NAME(r->sub.name),
        OPTION_MAX_MESSAGE(r->topic),
        OPTION_PUBLISHERS(r->topic),
        OPTION_LATENCY(r->topic),
        OPTION_TYPE(r->topic),
        {.name = "verbose",
         .letter = 'v',
         .kind = ARGS_FLAG,
         .target = &r->sub.verbose,
         .help = "say on stderr at the end what was received, lost and aborted, and how the stream ended"},
    };
    const struct args_spec spec = {.command = "sub",
                                   .words = "TOPIC",
                                   .words_min = 1,
                                   .words_max = 1,
                                   .options = options,
                                   .option_count = sizeof options / sizeof options[0],
                                   .summary = summary_text};
    const char *words[ARGS_WORDS_MAX + 1];

    const int status = args_parse(&spec, argc, argv, words);
    if (status == ARGS_RUN)
        r->sub.topic = words[0];
    return status;
}

/* At most one form of the output; but --raw -0 is -0, and --dump has text or JSON. CLI_OK, or reports the error. */
static int check_forms(const struct request *r) {
    const char *names[] = {"--json", "--dump", "--raw", "-0", "--frame"};
    const bool given[] = {r->output.json, r->sub.dump.directory != NULL, r->output.raw, r->null, r->frame};

    for (size_t i = 0; i < sizeof given / sizeof given[0]; i++) {
        for (size_t j = i + 1; j < sizeof given / sizeof given[0]; j++) {
            if (given[i] && given[j] && !(i == 0 && j == 1) && !(i == 2 && j == 3))
                return cli_error(CLI_USAGE, "sub takes %s or %s, not both", names[j], names[i]);
        }
    }
    return CLI_OK;
}

int cmd_sub(int argc, char **argv) {
    struct request r = {.policy = AETHER_BEST_EFFORT, .from = "new"};
    aether_subscribe_options how = {0};

    int status = read_request(&r, argc, argv);
    if (status != ARGS_RUN)
        return status;
    if (!read_from(r.from, &how))
        return cli_error(CLI_USAGE, "--from '%s': use new, oldest or last:N", r.from);
    if ((status = check_forms(&r)) != CLI_OK || (status = topic_options_read(&r.topic)) != CLI_OK)
        return status;
    how.policy = (aether_policy)r.policy;
    r.sub.view = out_view(&r.output);
    if (r.null || r.frame)
        r.sub.view.form = r.frame ? &frames_length_form : &frames_null_form;
    return run(&r.sub, &how, &r.topic.config);
}
