/* SPDX-License-Identifier: Apache-2.0 */
/* sub.c - prints the messages of topics, or writes them to files. */
#include "args.h"
#include "base/number.h"
#include "commands.h"
#include "daemon.h"
#include "dump.h"
#include "error.h"
#include "follow.h"
#include "format.h"
#include "frames.h"
#include "inspect.h"
#include "output.h"
#include "signals.h"
#include "subscription.h"
#include "topic_options.h"
#include "view/amount.h"
#include "watch/match.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 256

/* Why the command ends, apart from errors and signals. */
enum end { GOING_ON, ALL_RECEIVED, STREAM_ENDED, OUTPUT_CLOSED, TIME_OVER, IDLE_OVER };

struct sub {
    struct args_list words; /* names and patterns */
    bool patterns;          /* one of them is a pattern */
    struct cli_connection connection;
    bool existing, await; /* the topics that are named must exist, or are waited for */
    struct ae_view view;
    const char *format; /* NULL: the view shows messages */
    bool timestamps;
    uint64_t count;   /* 0: no end */
    struct dump dump; /* if directory is NULL, payloads are shown */
    bool exit_at_end;
    double timeout, idle_exit; /* seconds; negative: none */
    bool verbose;

    struct subscription topics;
    struct follow *follow; /* NULL: there are no patterns */
    uint64_t received;
    uint64_t started_ns, received_ns; /* when the command began; when the last message came, or when it began */
    uint64_t batch_time_ns;           /* time of day at which the present batch was received */
    bool said_waiting;
    bool left_out; /* a topic that was found by a pattern couldn't be opened */
    enum end end;
    aether_stream ended; /* how the stream ended; NONE: it hasn't ended, or there was no --exit-at-end */
};

/* Do the records name their topics? */
static bool is_of_many(const struct sub *sub) {
    return sub->patterns || sub->words.count > 1;
}

/* ---- one entry --------------------------------------------------------------------------------------------------- */

static struct ae_view_origin origin_of(const struct sub *sub, const struct sub_topic *topic) {
    return (struct ae_view_origin){.time_ns = sub->timestamps ? sub->batch_time_ns : 0,
                                   .topic = is_of_many(sub) ? topic->name : NULL};
}

/* Shows the message, or writes it to a file and shows the file's name. */
static int show_message(struct sub *sub, const struct sub_topic *topic, const aether_message *m) {
    char path[DUMP_PATH_SIZE];
    struct ae_view_message message = {.origin = origin_of(sub, topic), .seq = m->seq, .data = m->data, .len = m->len};

    sub->received++;
    if (sub->format != NULL) {
        format_write(sub->view.out->file, sub->format, topic->name, sub->batch_time_ns, m);
        return CLI_OK;
    }
    if (sub->dump.directory != NULL) {
        const int status = dump_message(&sub->dump, m, path);
        if (status != CLI_OK)
            return status;
        message.file = path;
    }
    return out_check(&sub->view, ae_view_message(&sub->view, &message));
}

/* A loss is reported on stderr in every form: the output may go where nobody looks, and has no room for it as --raw. */
static int show_gap(const struct sub *sub, const struct sub_topic *topic, uint64_t first, uint64_t count) {
    const struct ae_view_origin origin = origin_of(sub, topic);

    if (is_of_many(sub))
        cli_error(CLI_OK, "gap: topic '%s': %" PRIu64 " message%s lost from sequence %" PRIu64 " on", topic->name,
                  count, ae_plural(count, "", "s"), first);
    else
        cli_error(CLI_OK, "gap: %" PRIu64 " message%s lost from sequence %" PRIu64 " on", count,
                  ae_plural(count, "", "s"), first);
    return sub->format != NULL ? CLI_OK : out_check(&sub->view, ae_view_gap(&sub->view, &origin, first, count));
}

/* The subscriber was evicted and continues as best effort. Nothing is lost yet. why: the library's text. */
static int show_eviction(const struct sub *sub, const struct sub_topic *topic, const char *why) {
    const struct ae_view_origin origin = origin_of(sub, topic);
    const uint64_t seq = aether_subscriber_next(topic->subscriber);
    const int rc = sub->format != NULL ? AE_VIEW_SKIPPED : ae_view_evicted(&sub->view, &origin, seq, why);

    if (rc == AE_VIEW_SKIPPED)
        cli_error(CLI_OK, "topic '%s': %s", topic->name, why);
    return out_check(&sub->view, rc);
}

/* Prints some entries of a topic. CLI_OK; or a status that ends the command. After a failed write main() has one. */
static int receive_from(struct sub *sub, const struct sub_topic *topic) {
    aether_message batch[BATCH];
    const uint64_t left = sub->count - sub->received; /* not used if count is 0 */
    const int n = aether_receive_batch(topic->subscriber, batch, sub->count != 0 && left < BATCH ? (int)left : BATCH);
    int status = CLI_OK;

    if (n == -EOVERFLOW)
        return show_eviction(sub, topic, aether_errmsg());
    if (n < 0)
        return cli_library_error(n);
    if (n > 0)
        sub->received_ns = cli_now_ns();
    if (sub->timestamps || sub->format != NULL)
        sub->batch_time_ns = cli_realtime_ns();
    for (int i = 0; i < n && status == CLI_OK && !out_failed(); i++)
        status =
            batch[i].lost > 0 ? show_gap(sub, topic, batch[i].seq, batch[i].lost) : show_message(sub, topic, &batch[i]);
    return status;
}

/* ---- topics ------------------------------------------------------------------------------------------------------ */

/* Opens a topic that was found by a pattern. If that fails, it is left out and the others go on. */
static int join(struct sub *sub, const char *name, bool late) {
    const int rc = subscription_add(&sub->topics, name, false, late);

    if (rc == -ENOENT) {
        follow_forget(sub->follow, name); /* it was removed meanwhile */
    } else if (rc < 0) {
        sub->left_out = true;
        cli_error(CLI_OK, "topic '%s' is left out: %s", name, aether_errmsg());
    }
    return rc > 0 ? rc : CLI_OK;
}

/* Opens the topics that have come. CLI_OK; or a status that ends the command. */
static int join_all(struct sub *sub) {
    char name[FOLLOW_NAME_SIZE];
    const char *why;
    bool late;
    int status = CLI_OK, rc = 0;

    while (sub->follow != NULL && status == CLI_OK && cli_signal == 0 &&
           (rc = follow_take(sub->follow, name, &late, &why)) > 0)
        status = join(sub, name, late);
    if (rc < 0)
        return cli_error(CLI_FAILURE, "can't follow topics any more: %s", why);
    return status;
}

/* Opens a topic that is named. With --await it may be removed, or aetherd end, between the wait and the open. */
static int join_named(struct sub *sub, const char *name) {
    int rc;

    do {
        if (sub->await) {
            const int status = topic_await(sub->topics.client, name, cli_after(sub->started_ns, sub->timeout));
            if (status != CLI_OK)
                return status;
        }
        rc = subscription_add(&sub->topics, name, true, false);
    } while (sub->await && topic_may_return(rc));
    return rc < 0 ? cli_library_error(rc) : rc;
}

/* Opens the topics that are named, and those that are there and that patterns admit. CLI_OK, or reports the error. */
static int join_first(struct sub *sub) {
    for (size_t i = 0; i < sub->words.count; i++) {
        if (ae_watch_is_pattern(sub->words.items[i]))
            continue;
        const int status = join_named(sub, sub->words.items[i]);
        if (status != CLI_OK)
            return status;
    }
    if (!sub->patterns)
        return CLI_OK;
    int status = follow_open(&sub->follow, &sub->words, sub->topics.set);
    if (status == CLI_OK)
        status = join_all(sub);
    if (status == CLI_OK && sub->existing && sub->topics.count == 0)
        status = cli_error(CLI_NO_TOPIC, "there is no topic that '%s' admits", sub->words.items[0]);
    return status;
}

/*
 * Says that no publisher has come since the subscriber joined, if the topic never had one, which is assumed if nobody
 * can be asked; or if the command waits for its end.
 */
static void say_waiting_topic(const struct sub *sub, aether_inspector *inspector, const struct sub_topic *topic) {
    aether_topic_info info;
    int rc = -ENOENT;

    if (aether_subscriber_stream(topic->subscriber) != AETHER_STREAM_NONE)
        return;
    if (inspector != NULL)
        rc = aether_inspect_find(inspector, topic->name, &info);
    if (rc <= 0 || info.joins == 0)
        say_waiting_for(topic->name);
    else if (sub->exit_at_end)
        cli_error(CLI_OK, "waiting for topic '%s': its publishers have gone; --exit-at-end waits for the next one",
                  topic->name);
}

/* Says what the command waits for: a name may be mistyped. */
static void say_waiting(struct sub *sub) {
    aether_inspector *inspector = NULL;

    (void)aether_inspect_open(&inspector, cli_socket());
    for (size_t i = 0; i < sub->topics.count; i++) {
        const struct sub_topic *topic = sub->topics.topics[i];
        if (topic->asked)
            say_waiting_topic(sub, inspector, topic);
    }
    if (sub->topics.count == 0)
        cli_error(CLI_OK, "waiting for a topic that '%s' admits: there is none yet", sub->words.items[0]);
    aether_inspect_close(inspector);
}

/* ---- the loop ---------------------------------------------------------------------------------------------------- */

/* Nothing is there to receive. Does that end the command? now: the present time. */
static enum end end_of_wait(struct sub *sub, uint64_t now) {
    if (!out_flush()) /* received messages are written before this process waits */
        return out_given_up() ? TIME_OVER : OUTPUT_CLOSED;
    sub->ended = sub->exit_at_end ? subscription_ended(&sub->topics) : AETHER_STREAM_NONE;
    if (sub->ended != AETHER_STREAM_NONE)
        return STREAM_ENDED;
    if (now >= cli_after(sub->received_ns, sub->idle_exit))
        return IDLE_OVER;
    return out_closed() ? OUTPUT_CLOSED : GOING_ON;
}

/* Waits for something to receive, or for a topic, and ends the command at the times for that. */
static void wait_for_more(struct sub *sub, int fd) {
    const uint64_t now = cli_now_ns();
    const uint64_t waiting_ns = sub->said_waiting ? UINT64_MAX : sub->started_ns + TOPIC_WAITING_NS;

    sub->end = end_of_wait(sub, now);
    if (sub->end != GOING_ON)
        return;
    if (now >= waiting_ns) {
        sub->said_waiting = true;
        if (sub->received == 0)
            say_waiting(sub);
        return;
    }
    cli_wait_for(fd, STDOUT_FILENO,
                 ae_least(waiting_ns, ae_least(cli_after(sub->started_ns, sub->timeout),
                                               cli_after(sub->received_ns, sub->idle_exit))));
}

/* CLI_OK: sub->end says why it ended. Otherwise the command ends with this status. */
static int receive(struct sub *sub) {
    const int fd = aether_waitset_fd(sub->topics.set);
    int status = CLI_OK;

    if (fd < 0)
        return cli_library_error(fd);
    while (sub->end == GOING_ON && status == CLI_OK) {
        aether_ready ready;

        if (cli_signal != 0)
            return cli_signal_status();
        const int n = aether_waitset_next(sub->topics.set, &ready, 0);
        if (n < 0)
            return cli_library_error(n);
        if (n > 0)
            status = receive_from(sub, ready.context);
        else if ((status = join_all(sub)) == CLI_OK)
            wait_for_more(sub, fd);
        if (sub->end == GOING_ON && sub->count != 0 && sub->received >= sub->count)
            sub->end = ALL_RECEIVED;
        else if (sub->end == GOING_ON && out_failed())
            sub->end = out_given_up() ? TIME_OVER : OUTPUT_CLOSED;
        else if (sub->end == GOING_ON && sub->timeout >= 0 && cli_now_ns() >= cli_after(sub->started_ns, sub->timeout))
            sub->end = TIME_OVER;
    }
    return status;
}

/* The status by what was asked for and what has come. */
static int status_of_end(const struct sub *sub) {
    const char *option = sub->end == TIME_OVER ? "--timeout" : "--idle-exit";

    if (out_given_up() && cli_signal != 0)
        return cli_signal_status();
    if (sub->end != TIME_OVER && sub->end != IDLE_OVER)
        return sub->left_out ? CLI_FAILURE : CLI_OK;
    if (sub->count != 0)
        return cli_error(CLI_TIMEOUT, "%s was over: received %" PRIu64 " of %" PRIu64 " message%s", option,
                         sub->received, sub->count, ae_plural(sub->count, "", "s"));
    if (sub->end == TIME_OVER && sub->exit_at_end)
        return cli_error(CLI_TIMEOUT, "--timeout was over before the end of the stream");
    return sub->left_out ? CLI_FAILURE : CLI_OK;
}

/* At the end: with --verbose what was received and how the stream ended; else what was lost, if anything was. */
static void summary(const struct sub *sub, aether_policy policy) {
    aether_subscriber_stats stats;
    char amount[AE_AMOUNT_SIZE];

    subscription_stats(&sub->topics, &stats);
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

static int run(struct sub *sub) {
    int status;

    sub->started_ns = sub->received_ns = cli_now_ns();
    if (sub->await)
        sub->connection.patient_until_ns = cli_after(sub->started_ns, sub->timeout);
    sub->connection.answer_ns = cli_answer_ns(sub->timeout);
    status = cli_connect("sub", &sub->connection, &sub->topics.client);
    if (status != CLI_OK)
        return status;
    if ((status = dump_open(&sub->dump)) != CLI_OK)
        goto out;
    sub->received_ns = cli_now_ns();
    if (!sub->await)
        sub->started_ns = sub->received_ns;
    if ((status = subscription_open(&sub->topics)) == CLI_OK && (status = join_first(sub)) == CLI_OK) {
        cli_catch_signals();
        cli_set_deadline(cli_after(sub->started_ns, sub->timeout));
        status = receive(sub);
        if (status == CLI_OK)
            status = status_of_end(sub);
        summary(sub, sub->topics.options.policy);
    }
    follow_close(sub->follow);
    subscription_close(&sub->topics);
out:
    dump_close(&sub->dump);
    aether_disconnect(sub->topics.client);
    return status;
}

/* ---- the command line -------------------------------------------------------------------------------------------- */

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
    "Prints the messages of topics until it is interrupted: sequence, length, payload; of several topics also the\n"
    "topic. TOPIC is a name, or a pattern: '+' stands for any one level of a name, '#' at its end for all that\n"
    "follows; topics that come later are read, too. Of a message of more than 4096 bytes the first 4096 are printed\n"
    "as text; the other forms give all of it. Publishers don't wait for this command unless --policy reliable is\n"
    "given; what it was too slow for is reported on stderr. A topic that has no publisher yet is waited for.";

/* The command line, before it is checked. */
static struct request {
    struct sub sub;
    struct topic_options topic;
    int policy;
    const char *from;
    struct out_options output;
    bool null, frame;
} given = {.policy = AETHER_BEST_EFFORT, .from = "new", .sub = {.timeout = -1, .idle_exit = -1}};

/* What --from takes; more of last:N is checked when it is read. */
static const char *const starts[] = {"new", "oldest", "last:", NULL};

static const struct args_option options[] = {
    {.name = "policy",
     .kind = ARGS_CHOICE,
     .target = &given.policy,
     .choices = ae_policy_names,
     .value = "NAME",
     .help = "best-effort (default), reliable: publishers wait for it, or latest: the newest message only"},
    {.name = "from",
     .kind = ARGS_TEXT,
     .target = &given.from,
     .min = 1,
     .choices = starts,
     .value = "WHERE",
     .help = "new (default), oldest: all that the ring holds, or last:N"},
    OPTION_COUNT(given.sub.count, "end after N messages, of all topics together"),
    {.name = "exit-at-end",
     .kind = ARGS_FLAG,
     .target = &given.sub.exit_at_end,
     .help = "end when no publisher is attached any more and all messages were printed"},
    {.name = "timeout",
     .kind = ARGS_DURATION,
     .target = &given.sub.timeout,
     .min = 1,
     .value = "TIME",
     .help = "end after this time; status 7 if --count or --exit-at-end wanted more"},
    {.name = "idle-exit",
     .kind = ARGS_DURATION,
     .target = &given.sub.idle_exit,
     .value = "TIME",
     .help = "end when no message has come for this time; status 7 if --count wanted more"},
    OPTION_RAW(given.output, "payloads, each followed by a newline, and nothing else"),
    OPTION_NULL(given.null, "payloads, each followed by NUL, and nothing else: pub -0, xargs -0"),
    OPTION_FRAME(given.frame, "payloads of any bytes, each after its length, 32 bits, little-endian: pub --frame"),
    OPTION_JSON(given.output, "one object a line"),
    {.name = "format",
     .kind = ARGS_TEXT,
     .target = &given.sub.format,
     .min = 1,
     .value = "TEXT",
     .help = "%t topic, %s sequence, %l length, %p payload, %x hexadecimal, %T time, %%, \\n, \\t, \\0, \\\\"},
    {.name = "timestamps",
     .kind = ARGS_FLAG,
     .target = &given.sub.timestamps,
     .help = "begin each line with the time at which this command received it (RFC 3339)"},
    {.name = "dump",
     .kind = ARGS_TEXT,
     .target = &given.sub.dump.directory,
     .min = 1,
     .value = "DIR",
     .help = "write each payload to a file of its own, DIR/SEQUENCE, and print the file's name instead"},
    OPTION_EXISTING(given.topic),
    OPTION_AWAIT(given.topic),
    OPTION_NAME(given.sub.connection),
    OPTION_WAIT_DAEMON(given.sub.connection),
    OPTION_MAX_MESSAGE(given.topic),
    OPTION_PUBLISHERS(given.topic),
    OPTION_LATENCY(given.topic),
    OPTION_TYPE(given.topic),
    {.name = "verbose",
     .letter = 'v',
     .kind = ARGS_FLAG,
     .target = &given.sub.verbose,
     .help = "say on stderr at the end what was received, lost and aborted, and how the stream ended"},
};

static const struct args_spec spec = {.command = "sub",
                                      .words = "TOPIC ...",
                                      .rest = &given.sub.words,
                                      .options = options,
                                      .option_count = sizeof options / sizeof options[0],
                                      .others = topic_create_options,
                                      .other_command = "topic create",
                                      .summary = summary_text};

static int read_request(int argc, char **argv) {
    const char *words[ARGS_WORDS_MAX + 1];
    const int status = args_parse(&spec, argc, argv, words);

    if (status == ARGS_RUN && given.sub.words.count == 0)
        return cli_error(CLI_USAGE, "sub needs more words: usage: aether-cli sub TOPIC ...");
    return status;
}

/*
 * At most one form of the output; but --raw -0 is -0, and --dump has text or JSON, as --timestamps has. CLI_OK, or
 * reports the error.
 */
static int check_forms(const struct request *r) {
    const char *names[] = {"--json", "--dump", "--timestamps", "--raw", "-0", "--frame", "--format"};
    const bool is_given[] = {r->output.json, r->sub.dump.directory != NULL, r->sub.timestamps, r->output.raw, r->null,
                             r->frame,       r->sub.format != NULL};

    for (size_t i = 0; i < sizeof is_given / sizeof is_given[0]; i++) {
        for (size_t j = i + 1; j < sizeof is_given / sizeof is_given[0]; j++) {
            if (is_given[i] && is_given[j] && j > 2 && !(i == 3 && j == 4))
                return cli_error(CLI_USAGE, "sub takes %s or %s, not both", names[j], names[i]);
        }
    }
    return r->sub.format != NULL ? format_check(r->sub.format) : CLI_OK;
}

/* A topic that is named twice is read once. */
static void drop_repeated(struct args_list *words) {
    size_t count = 0;

    for (size_t i = 0; i < words->count; i++) {
        size_t j = 0;
        while (j < count && strcmp(words->items[j], words->items[i]) != 0)
            j++;
        if (j == count)
            words->items[count++] = words->items[i];
    }
    words->count = count;
}

/* CLI_OK, or reports the error. */
static int check_words(struct sub *sub) {
    drop_repeated(&sub->words);
    for (size_t i = 0; i < sub->words.count; i++) {
        const char *word = sub->words.items[i];
        if (!ae_watch_is_pattern(word))
            continue;
        if (!ae_watch_pattern_valid(word))
            return cli_error(
                CLI_USAGE, "'%s': '+' stands for a whole level, '#' for all levels at the end: use a/+/b or a/#", word);
        sub->patterns = true;
        if (sub->await)
            return cli_error(CLI_USAGE, "--await takes names: what the pattern '%s' admits is waited for anyway", word);
    }
    if (sub->dump.directory != NULL && is_of_many(sub))
        return cli_error(CLI_USAGE, "--dump takes one topic, because its files are named by sequence");
    return CLI_OK;
}

int cmd_sub(int argc, char **argv) {
    struct request *r = &given;
    aether_subscribe_options *how = &r->sub.topics.options;

    int status = read_request(argc, argv);
    if (status != ARGS_RUN)
        return status;
    if (!read_from(r->from, how))
        return cli_error(CLI_USAGE, "--from '%s': use new, oldest or last:N", r->from);
    r->sub.existing = r->topic.existing;
    r->sub.await = r->topic.await;
    if ((status = check_forms(r)) != CLI_OK || (status = check_words(&r->sub)) != CLI_OK ||
        (status = topic_options_read(&r->topic)) != CLI_OK)
        return status;
    how->policy = (aether_policy)r->policy;
    r->sub.topics.config = r->topic.config;
    r->sub.view = out_view(&r->output);
    if (r->null || r->frame)
        r->sub.view.form = r->frame ? &frames_length_form : &frames_null_form;
    return run(&r->sub);
}
