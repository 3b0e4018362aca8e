/* SPDX-License-Identifier: Apache-2.0 */
/* sub.c - prints the messages of a topic. */
#include "cli.h"
#include "output.h"
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BATCH 256
#define LOOK_ROUNDS 128u /* empty rounds between two looks whether stdout's reader is still there */

enum format { FORMAT_TEXT, FORMAT_RAW, FORMAT_JSON };

struct sub {
    enum format format;
    uint64_t count; /* 0: no end */
    bool verbose;

    aether_subscriber *subscriber;
    char *text; /* room for an escaped message */
    size_t text_limit;
    uint64_t received;
};

/* ---- one entry --------------------------------------------------------------------------------------------------- */

/* False: no memory (reported), or stdout has failed. */
static bool print_json(const aether_message *m) {
    json_t *object = json_object();
    bool done;

    if (m->lost > 0)
        done = json_object_set_new(object, "gap_first", out_json_u64(m->seq)) == 0 &&
               json_object_set_new(object, "gap_count", out_json_u64(m->lost)) == 0;
    else
        done = json_object_set_new(object, "seq", out_json_u64(m->seq)) == 0 &&
               json_object_set_new(object, "len", out_json_u64(m->len)) == 0 &&
               out_json_bytes(object, "payload", m->data, m->len);
    if (!done) {
        json_decref(object);
        object = NULL;
    }
    return out_json_line(object);
}

static bool print_text(struct sub *sub, const aether_message *m) {
    if (m->lost > 0) {
        printf("%12" PRIu64 "  %5s  %" PRIu64 " message%s lost\n", m->seq, "gap", m->lost, m->lost == 1 ? "" : "s");
    } else {
        const size_t len = out_escape(sub->text, m->data, m->len < sub->text_limit ? m->len : sub->text_limit);
        printf("%12" PRIu64 "  %5zu  ", m->seq, m->len);
        fwrite(sub->text, 1, len, stdout);
        putchar('\n');
    }
    return !out_failed();
}

static bool print_raw(const aether_message *m) {
    if (m->lost > 0) {
        fprintf(stderr, "aether-cli: gap: %" PRIu64 " message%s lost from sequence %" PRIu64 " on\n", m->lost,
                m->lost == 1 ? "" : "s", m->seq);
    } else {
        fwrite(m->data, 1, m->len, stdout);
        putchar('\n');
    }
    return !out_failed();
}

static bool print_entry(struct sub *sub, const aether_message *m) {
    sub->received += m->lost == 0;
    switch (sub->format) {
    case FORMAT_JSON:
        return print_json(m);
    case FORMAT_RAW:
        return print_raw(m);
    default:
        return print_text(sub, m);
    }
}

/* ---- the loop ---------------------------------------------------------------------------------------------------- */

/* Whoever reads a pipe may leave while nothing is written to it; a write alone would notice too late. */
static bool reader_left(void) {
    struct pollfd item = {.fd = STDOUT_FILENO};

    return poll(&item, 1, 0) == 1 && (item.revents & POLLERR) != 0;
}

static int receive(struct sub *sub) {
    aether_message batch[BATCH];
    aether_idle_state idle;
    uint64_t empty = 0;
    int status = CLI_OK;

    aether_idle_init(&idle, AETHER_IDLE_SLEEP, AETHER_IDLE_BUDGET_NS);
    while (status == CLI_OK && (sub->count == 0 || sub->received < sub->count)) {
        const uint64_t left = sub->count - sub->received; /* if there is no end, more than a batch */
        const int max = sub->count != 0 && left < BATCH ? (int)left : BATCH;

        if (cli_signal != 0)
            return cli_signal_status();
        const int n = aether_receive_batch(sub->subscriber, batch, max);
        if (n < 0)
            return cli_library_fault(n);
        for (int i = 0; i < n; i++) {
            if (!print_entry(sub, &batch[i]))
                return out_failed() ? CLI_OK : CLI_FAILURE;
        }
        empty = n > 0 ? 0 : empty + 1;
        /* On the first empty round the reader gets what there is. */
        if (empty == 1 && !out_flush())
            break;
        if (empty % LOOK_ROUNDS == LOOK_ROUNDS - 1 && reader_left())
            break;
        aether_idle(&idle, n);
    }
    return status;
}

static void summary(const struct sub *sub) {
    aether_subscriber_stats stats;
    char delivered[OUT_AMOUNT], lost[OUT_AMOUNT], aborted[OUT_AMOUNT];

    aether_subscriber_get_stats(sub->subscriber, &stats);
    fprintf(stderr, "received %s, lost %s, aborted %s\n", out_count(delivered, stats.delivered),
            out_count(lost, stats.lost), out_count(aborted, stats.aborted));
}

static int run(struct sub *sub, const char *topic, const aether_subscribe_options *options) {
    aether_client *client;
    int status = cli_connect("sub", &client);

    if (status != CLI_OK)
        return status;
    const int rc = aether_subscriber_open(client, topic, options, NULL, &sub->subscriber);
    if (rc < 0) {
        status = cli_library_fault(rc);
        goto disconnect;
    }
    sub->text_limit = AETHER_MAX_MESSAGE_LIMIT;
    sub->text = malloc(OUT_ESCAPED(sub->text_limit));
    if (sub->text == NULL) {
        status = cli_fault(CLI_FAILURE, "out of memory for a message");
        goto close;
    }
    cli_catch_signals();
    status = receive(sub);
    if (sub->verbose)
        summary(sub);
    free(sub->text);
close:
    aether_subscriber_close(sub->subscriber);
disconnect:
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

int cmd_sub(int argc, char **argv) {
    static const char *const policies[] = {"reliable", "best-effort", NULL};
    struct sub sub = {0};
    aether_subscribe_options how = {0};
    int policy = AETHER_RELIABLE;
    const char *from = "new";
    bool raw = false, json = false;
    const struct args_option options[] = {
        {.name = "policy",
         .kind = ARGS_CHOICE,
         .target = &policy,
         .choices = policies,
         .value = "NAME",
         .help = "reliable: the publisher waits (default); best-effort: it never does, losses are shown"},
        {.name = "from",
         .kind = ARGS_TEXT,
         .target = &from,
         .min = 1,
         .value = "WHERE",
         .help = "new (default), oldest: all that the ring holds, or last:N"},
        {.name = "count",
         .kind = ARGS_COUNT,
         .target = &sub.count,
         .min = 1,
         .max = UINT64_MAX,
         .value = "N",
         .help = "end after N messages"},
        {.name = "raw",
         .kind = ARGS_FLAG,
         .target = &raw,
         .help = "payloads, each followed by a newline, and nothing else"},
        {.name = "json", .kind = ARGS_FLAG, .target = &json, .help = "one object a line"},
        {.name = "verbose",
         .letter = 'v',
         .kind = ARGS_FLAG,
         .target = &sub.verbose,
         .help = "say on stderr at the end what was received and lost"},
    };
    const struct args_spec spec = {
        .command = "sub",
        .words = "TOPIC",
        .words_min = 1,
        .words_max = 1,
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .summary = "Prints the messages of a topic until it is interrupted: sequence, length, payload.\n"
                   "Creates the topic if it doesn't exist."};
    const char *words[ARGS_WORDS_MAX + 1];

    const int status = args_parse(&spec, argc, argv, words);
    if (status != ARGS_RUN)
        return status;
    if (!read_from(from, &how))
        return cli_fault(CLI_USAGE, "--from '%s': use new, oldest or last:N", from);
    if (raw && json)
        return cli_fault(CLI_USAGE, "sub takes --raw or --json, not both");
    how.policy = (aether_policy)policy;
    sub.format = raw ? FORMAT_RAW : json ? FORMAT_JSON : FORMAT_TEXT;
    return run(&sub, words[0], &how);
}
