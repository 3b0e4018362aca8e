/* SPDX-License-Identifier: Apache-2.0 */
/* pub.c - publishes its argument, the lines of stdin, or generated messages. */
#include "cli.h"
#include "output.h"
#include "topic.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_BYTES 65536
#define PROGRESS_NS 500000000u
#define CATCH_UP_NS                                                                                                    \
    100000000.0 /* of a schedule that input or a full ring has held up, no more than this is made good */
#define SIZE_LIMIT (UINT64_C(1) << 30)

struct pub {
    const char *topic;
    const char *message; /* NULL: lines of stdin or generated messages */
    uint64_t count;      /* 0: no end */
    uint64_t size;
    bool generate;
    double rate; /* messages/s, 0: as fast as possible */
    bool verbose;

    aether_publisher *publisher;
    aether_idle_state idle;
    uint64_t published;
    uint64_t started_ns, reported_ns;
    double due_ns; /* of the next message, since started_ns */
    bool terminal; /* of stderr */
    bool drawn;    /* a line of progress is on it */
};

/* ---- what it tells ----------------------------------------------------------------------------------------------- */

static void progress(struct pub *pub, const char *note) {
    char count[OUT_AMOUNT];
    const uint64_t now = cli_now_ns();

    if (!pub->terminal || now - pub->reported_ns < PROGRESS_NS)
        return;
    pub->reported_ns = now;
    pub->drawn = true;
    fprintf(stderr, "\r%s published%s\033[K", out_count(count, pub->published), note);
}

static void erase_progress(struct pub *pub) {
    if (pub->drawn)
        fprintf(stderr, "\r\033[K");
    pub->drawn = false;
}

static void summary(struct pub *pub) {
    char count[OUT_AMOUNT], took[OUT_AMOUNT], rate[OUT_AMOUNT];
    const double seconds = (double)(cli_now_ns() - pub->started_ns) / 1e9;

    erase_progress(pub);
    if (!pub->terminal && !pub->verbose)
        return;
    fprintf(stderr, "published %s message%s in %s (%s)\n", out_count(count, pub->published),
            pub->published == 1 ? "" : "s", out_duration(took, seconds),
            out_rate(rate, seconds > 0 ? (double)pub->published / seconds : 0));
}

/* ---- publishing -------------------------------------------------------------------------------------------------- */

/* Keeps the schedule: message i goes out at i / rate, so that a late one doesn't delay those after it. */
static void pace(struct pub *pub) {
    const double now = (double)(cli_now_ns() - pub->started_ns);

    if (now < pub->due_ns)
        cli_sleep_until(pub->started_ns + (uint64_t)pub->due_ns);
    else if (now - pub->due_ns > CATCH_UP_NS)
        pub->due_ns = now - CATCH_UP_NS;
    pub->due_ns += 1e9 / pub->rate;
}

/* Publishes one message, waiting while the ring is full. CLI_OK; a status that ends the command. */
static int publish(struct pub *pub, const void *data, size_t len) {
    if (pub->rate > 0)
        pace(pub);
    if (cli_signal != 0)
        return cli_signal_status();
    for (;;) {
        const int rc = aether_publish(pub->publisher, data, len);
        if (rc == 0)
            break;
        if (rc < 0) {
            erase_progress(pub);
            return cli_library_fault(rc);
        }
        aether_idle(&pub->idle, 0);
        if (cli_signal != 0)
            return cli_signal_status();
        progress(pub, ", waiting: the ring is full");
    }
    aether_idle(&pub->idle, 1);
    pub->published++;
    if ((pub->published & 1023) == 0 || pub->rate > 0)
        progress(pub, "");
    return CLI_OK;
}

static bool more(const struct pub *pub) {
    return pub->count == 0 || pub->published < pub->count;
}

static int publish_argument(struct pub *pub) {
    const size_t len = strlen(pub->message);
    int status = CLI_OK;

    if (pub->count == 0)
        pub->count = 1;
    while (status == CLI_OK && more(pub))
        status = publish(pub, pub->message, len);
    return status;
}

/* Byte i of message seq is seq + i; where they fit, the first 8 bytes are seq itself, little-endian. */
static int publish_generated(struct pub *pub) {
    const size_t size = (size_t)pub->size;
    const size_t limit = aether_publisher_max_message(pub->publisher);
    unsigned char *pattern, *message;
    int status = CLI_OK;

    if (size > limit)
        return cli_fault(CLI_TOO_LARGE, "--size %zu: topic '%s' takes messages of at most %zu bytes", size, pub->topic,
                         limit);
    pattern = malloc(256 + size);
    message = malloc(size > 0 ? size : 1);
    if (pattern == NULL || message == NULL) {
        status = cli_fault(CLI_FAILURE, "out of memory for messages of %zu bytes", size);
        goto out;
    }
    for (size_t i = 0; i < 256 + size; i++)
        pattern[i] = (unsigned char)i;
    while (status == CLI_OK && more(pub)) {
        const uint64_t seq = aether_publisher_next(pub->publisher);
        memcpy(message, pattern + (seq & 255), size);
        if (size >= sizeof seq)
            memcpy(message, &seq, sizeof seq);
        status = publish(pub, message, size);
    }
out:
    free(message);
    free(pattern);
    return status;
}

/* ---- lines of stdin ---------------------------------------------------------------------------------------------- */

struct lines {
    char *buf;
    size_t size;       /* of buf: the longest line and READ_BYTES */
    size_t start, end; /* what has been read and not been published */
    size_t scanned;    /* bytes from start on that hold no newline */
    bool ended;
};

static int too_long(const struct pub *pub) {
    return cli_fault(CLI_TOO_LARGE,
                     "line %" PRIu64
                     " is longer than the %zu bytes that topic '%s' takes: published the lines before it",
                     pub->published + 1, aether_publisher_max_message(pub->publisher), pub->topic);
}

/* Reads more after what is there. CLI_OK; a status that ends the command. */
static int read_more(struct lines *lines) {
    memmove(lines->buf, lines->buf + lines->start, lines->end - lines->start);
    lines->end -= lines->start;
    lines->start = 0;
    if (!cli_wait_readable(STDIN_FILENO))
        return cli_signal_status();
    const ssize_t n = read(STDIN_FILENO, lines->buf + lines->end, lines->size - lines->end);
    if (n < 0)
        return errno == EINTR || errno == EAGAIN ? CLI_OK
                                                 : cli_fault(CLI_FAILURE, "can't read stdin: %s", strerror(errno));
    lines->end += (size_t)n;
    lines->ended = n == 0;
    return CLI_OK;
}

static int publish_each_line(struct pub *pub, struct lines *lines) {
    const size_t limit = aether_publisher_max_message(pub->publisher);

    while (more(pub)) {
        const char *line = lines->buf + lines->start;
        const size_t held = lines->end - lines->start;
        const char *newline = memchr(line + lines->scanned, '\n', held - lines->scanned);
        const size_t len = newline != NULL ? (size_t)(newline - line) : held;
        int status;

        if (len > limit) {
            erase_progress(pub);
            return too_long(pub);
        }
        if (newline != NULL || (lines->ended && held > 0)) {
            status = publish(pub, line, len);
            lines->start += len + (newline != NULL);
            lines->scanned = 0;
        } else if (lines->ended) {
            return CLI_OK;
        } else {
            lines->scanned = held;
            progress(pub, "");
            status = read_more(lines);
        }
        if (status != CLI_OK)
            return status;
    }
    return CLI_OK;
}

static int publish_lines(struct pub *pub) {
    struct lines lines = {.size = aether_publisher_max_message(pub->publisher) + READ_BYTES};

    lines.buf = malloc(lines.size);
    if (lines.buf == NULL)
        return cli_fault(CLI_FAILURE, "out of memory for lines of %zu bytes", lines.size);
    const int status = publish_each_line(pub, &lines);
    free(lines.buf);
    return status;
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

static int run(struct pub *pub, const aether_topic_config *config) {
    aether_client *client;
    int status = cli_connect("pub", &client);

    if (status != CLI_OK)
        return status;
    const int rc = aether_publisher_open(client, pub->topic, config, &pub->publisher);
    if (rc < 0) {
        status = cli_library_fault(rc);
        goto out;
    }
    aether_idle_init(&pub->idle, AETHER_IDLE_SLEEP, 0);
    cli_catch_signals();
    pub->started_ns = pub->reported_ns = cli_now_ns();
    if (pub->message != NULL)
        status = publish_argument(pub);
    else if (pub->generate)
        status = publish_generated(pub);
    else
        status = publish_lines(pub);
    summary(pub);
    aether_publisher_close(pub->publisher);
out:
    aether_disconnect(client);
    return status;
}

int cmd_pub(int argc, char **argv) {
    struct pub pub = {.terminal = isatty(STDERR_FILENO) == 1};
    aether_topic_config config = {0};
    int preset = AETHER_PRESET_DEFAULT;
    const struct args_option options[] = {
        {.name = "count",
         .kind = ARGS_COUNT,
         .target = &pub.count,
         .min = 1,
         .max = UINT64_MAX,
         .value = "N",
         .help = "publish MESSAGE N times; with lines or --size, stop after N"},
        {.name = "rate",
         .kind = ARGS_NUMBER,
         .target = &pub.rate,
         .min = 0,
         .max = 1000000000,
         .value = "R",
         .help = "messages a second, evenly spaced; default and 0: as fast as possible"},
        {.name = "size",
         .kind = ARGS_SIZE,
         .target = &pub.size,
         .min = 0,
         .max = SIZE_LIMIT,
         .value = "BYTES",
         .given = &pub.generate,
         .help = "publish generated messages of this size"},
        OPTION_MAX_MESSAGE(&config.max_message),
        OPTION_PRESET(&preset),
        {.name = "verbose",
         .letter = 'v',
         .kind = ARGS_FLAG,
         .target = &pub.verbose,
         .help = "say on stderr how many messages were published, also without a terminal"},
    };
    const struct args_spec spec = {
        .command = "pub",
        .words = "TOPIC [MESSAGE]",
        .words_min = 1,
        .words_max = 2,
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .summary = "Publishes MESSAGE, or each line of stdin without its newline, and waits while the ring is full.\n"
                   "Creates the topic if it doesn't exist.",
        .notes = "A generated message's byte i is its sequence + i; from 8 bytes on it begins with the sequence\n"
                 "(64 bits, little-endian)."};
    const char *words[ARGS_WORDS_MAX + 1];

    const int status = args_parse(&spec, argc, argv, words);
    if (status != ARGS_RUN)
        return status;
    pub.topic = words[0];
    pub.message = words[1];
    config.preset = (aether_preset)preset;
    if (pub.generate && pub.message != NULL)
        return cli_fault(CLI_USAGE, "pub takes MESSAGE or --size, not both");
    return run(&pub, &config);
}
