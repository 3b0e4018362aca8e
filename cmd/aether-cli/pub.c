/* SPDX-License-Identifier: Apache-2.0 */
/* pub.c - publishes its argument, files, the lines of stdin, or generated messages. */
#include "args.h"
#include "commands.h"
#include "daemon.h"
#include "error.h"
#include "signals.h"
#include "topic_options.h"
#include "view/amount.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BYTES 65536
#define SLICE_NS UINT64_C(100000000) /* of a wait, between two looks at signals */
#define PROGRESS_NS 500000000u
#define CATCH_UP_NS                                                                                                    \
    100000000.0 /* of a schedule that input or a full ring has held up, no more than this is made good */

#define WAIT_FOREVER (-1.0)

struct pub {
    const char *topic;
    const char *message; /* NULL: files, lines of stdin or generated messages */
    struct args_list files;
    bool from_files;
    uint64_t count; /* 0: no end */
    uint64_t size;
    bool generate;
    double rate; /* messages/s, 0: as fast as possible */
    double wait; /* seconds for a full ring; WAIT_FOREVER */
    bool verbose;

    aether_publisher *publisher;
    uint64_t published;
    uint64_t started_ns, reported_ns;
    double due_ns; /* of the next message, since started_ns */
    bool terminal; /* of stderr */
    bool drawn;    /* a line of progress is on it */
};

/* ---- what it tells ----------------------------------------------------------------------------------------------- */

static void progress(struct pub *pub, const char *note) {
    char count[AE_AMOUNT_SIZE];
    const uint64_t now = cli_now_ns();

    if (!pub->terminal || now - pub->reported_ns < PROGRESS_NS)
        return;
    pub->reported_ns = now;
    pub->drawn = true;
    fprintf(stderr, "\r%s published%s\033[K", ae_amount_count(count, pub->published), note);
}

static void erase_progress(struct pub *pub) {
    if (pub->drawn)
        fprintf(stderr, "\r\033[K");
    pub->drawn = false;
}

static void summary(struct pub *pub) {
    char count[AE_AMOUNT_SIZE], took[AE_AMOUNT_SIZE], rate[AE_AMOUNT_SIZE];
    const double seconds = (double)(cli_now_ns() - pub->started_ns) / 1e9;

    erase_progress(pub);
    if (!pub->terminal && !pub->verbose)
        return;
    fprintf(stderr, "published %s message%s in %s (%s)\n", ae_amount_count(count, pub->published),
            pub->published == 1 ? "" : "s", ae_amount_duration(took, seconds),
            ae_amount_rate(rate, seconds > 0 ? (double)pub->published / seconds : 0));
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

/* Before each message. CLI_OK; a status that ends the command. */
static int begin_message(struct pub *pub) {
    if (pub->rate > 0)
        pace(pub);
    return cli_signal != 0 ? cli_signal_status() : CLI_OK;
}

static void end_message(struct pub *pub) {
    pub->published++;
    if ((pub->published & 1023) == 0 || pub->rate > 0)
        progress(pub, "");
}

/*
 * Waits until len bytes have room. since: when this message's wait began, 0 before. CLI_OK; a status that ends the
 * command.
 */
static int wait_for_room(struct pub *pub, size_t len, uint64_t *since) {
    const uint64_t limit = pub->wait < 0 ? AETHER_FOREVER : (uint64_t)(pub->wait * 1e9);
    char took[AE_AMOUNT_SIZE];

    if (*since == 0)
        *since = cli_now_ns();
    for (;;) {
        const uint64_t waited = cli_now_ns() - *since;
        const uint64_t left = waited < limit ? limit - waited : 0;
        if (cli_signal != 0)
            return cli_signal_status();
        const int rc = aether_publisher_wait(pub->publisher, len, left < SLICE_NS ? left : SLICE_NS);
        if (rc == 0)
            return CLI_OK;
        if (rc < 0) {
            erase_progress(pub);
            return cli_library_error(rc);
        }
        if (left == 0) {
            erase_progress(pub);
            return cli_error(CLI_FULL,
                             "topic '%s' was full for %s: published %" PRIu64
                             " before: aether-cli topic info says who lags",
                             pub->topic, ae_amount_duration(took, pub->wait), pub->published);
        }
        progress(pub, ", waiting: the ring is full");
    }
}

/* Publishes one message, waiting while the ring is full. CLI_OK; a status that ends the command. */
static int publish(struct pub *pub, const void *data, size_t len) {
    uint64_t since = 0;
    int status = begin_message(pub);
    int rc = AETHER_FULL;

    while (status == CLI_OK && (rc = aether_publish(pub->publisher, data, len)) == AETHER_FULL)
        status = wait_for_room(pub, len, &since);
    if (status != CLI_OK)
        return status;
    if (rc < 0) {
        erase_progress(pub);
        return cli_library_error(rc);
    }
    end_message(pub);
    return CLI_OK;
}

static bool more(const struct pub *pub) {
    return pub->count == 0 || pub->published < pub->count;
}

static int publish_argument(struct pub *pub) {
    const size_t len = strlen(pub->message);
    const size_t limit = aether_publisher_max_message(pub->publisher);
    int status = CLI_OK;

    if (len > limit)
        return cli_error(CLI_TOO_LARGE, "a message of %zu bytes: topic '%s' takes messages of at most %zu bytes", len,
                         pub->topic, limit);
    if (pub->count == 0)
        pub->count = 1;
    while (status == CLI_OK && more(pub))
        status = publish(pub, pub->message, len);
    return status;
}

/*
 * Byte i of message number n is n + i; where they fit, the first 8 bytes are n itself, little-endian. n counts from
 * where the topic stood. It isn't the sequence if others publish, too: that is known only when the message is
 * published.
 */
static int publish_generated(struct pub *pub) {
    const size_t size = (size_t)pub->size;
    const size_t limit = aether_publisher_max_message(pub->publisher);
    uint64_t number = aether_publisher_next(pub->publisher);
    unsigned char *pattern, *message;
    int status = CLI_OK;

    if (size > limit)
        return cli_error(CLI_TOO_LARGE, "--size %zu: topic '%s' takes messages of at most %zu bytes", size, pub->topic,
                         limit);
    pattern = malloc(256 + size);
    message = malloc(size > 0 ? size : 1);
    if (pattern == NULL || message == NULL) {
        status = cli_error(CLI_FAILURE, "out of memory for messages of %zu bytes", size);
        goto out;
    }
    for (size_t i = 0; i < 256 + size; i++)
        pattern[i] = (unsigned char)i;
    for (; status == CLI_OK && more(pub); number++) {
        memcpy(message, pattern + (number & 255), size);
        if (size >= sizeof number)
            memcpy(message, &number, sizeof number);
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
    return cli_error(CLI_TOO_LARGE,
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
                                                 : cli_error(CLI_FAILURE, "can't read stdin: %s", strerror(errno));
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
        return cli_error(CLI_FAILURE, "out of memory for lines of %zu bytes", lines.size);
    const int status = publish_each_line(pub, &lines);
    free(lines.buf);
    return status;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static bool is_stdin(const char *path) {
    return strcmp(path, "-") == 0;
}

static int no_file(const char *path, const char *why) {
    return cli_error(CLI_FAILURE, "--file: can't read '%s': %s", path, why);
}

/*
 * Checks that all files can be read before the first is published, and finds the size of the largest as far as it is
 * known. CLI_OK, or reports the error.
 */
static int check_files(const struct pub *pub, uint64_t *largest) {
    for (size_t i = 0; i < pub->files.count; i++) {
        const char *path = pub->files.items[i];
        struct stat st;
        if ((is_stdin(path) ? fstat(STDIN_FILENO, &st) : stat(path, &st)) != 0)
            return no_file(path, strerror(errno));
        if (S_ISDIR(st.st_mode))
            return no_file(path, "it is a directory");
        if (!is_stdin(path) && access(path, R_OK) != 0)
            return no_file(path, strerror(errno));
        if (S_ISREG(st.st_mode) && (uint64_t)st.st_size > *largest)
            *largest = (uint64_t)st.st_size;
    }
    return CLI_OK;
}

/* Reads until there are len bytes or the file has ended. *got: how many. CLI_OK; a status that ends the command. */
static int read_fully(const char *path, int fd, unsigned char *data, size_t len, size_t *got) {
    *got = 0;
    while (*got < len) {
        if (!cli_wait_readable(fd))
            return cli_signal_status();
        const ssize_t n = read(fd, data + *got, len - *got);
        if (n == 0)
            break;
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return no_file(path, strerror(errno));
        *got += n > 0 ? (size_t)n : 0;
    }
    return CLI_OK;
}

static int file_too_large(struct pub *pub, const char *path, uint64_t size) {
    erase_progress(pub);
    return cli_error(CLI_TOO_LARGE,
                     "--file '%s' has %" PRIu64 " bytes: topic '%s' takes at most %zu: published %" PRIu64 " before it",
                     path, size, pub->topic, aether_publisher_max_message(pub->publisher), pub->published);
}

static int stream_too_long(struct pub *pub, const char *path) {
    erase_progress(pub);
    return cli_error(CLI_TOO_LARGE,
                     "--file '%s' is longer than the %zu bytes that topic '%s' takes: published %" PRIu64
                     " before it: --max-message makes a new topic larger",
                     path, aether_publisher_max_message(pub->publisher), pub->topic, pub->published);
}

/* Takes a loan, waiting for room. CLI_OK; a status that ends the command. */
static int take_loan(struct pub *pub, size_t len, aether_loan *loan) {
    uint64_t since = 0;
    int status = CLI_OK, rc;

    while ((rc = aether_loan_take(pub->publisher, len, loan)) == AETHER_FULL && status == CLI_OK)
        status = wait_for_room(pub, len, &since);
    if (status != CLI_OK || rc == 0)
        return status;
    erase_progress(pub);
    return cli_library_error(rc);
}

static int commit_loan(struct pub *pub, aether_loan *loan) {
    uint64_t since = 0;
    int status = CLI_OK, rc;

    while ((rc = aether_loan_commit(pub->publisher, loan)) == AETHER_FULL && status == CLI_OK)
        status = wait_for_room(pub, 0, &since);
    if (status == CLI_OK && rc < 0) {
        erase_progress(pub);
        return cli_library_error(rc);
    }
    if (status == CLI_OK)
        end_message(pub);
    return status;
}

/*
 * Reads the file into a loan behind the first head_len bytes, and publishes what there is: size bytes, less if it has
 * become shorter. ends: it must end there, because its size wasn't known.
 */
static int publish_loan(struct pub *pub, const char *path, int fd, const unsigned char *head, size_t head_len,
                        size_t size, bool ends) {
    unsigned char byte;
    aether_loan loan;
    size_t got = 0, more_bytes = 0;

    int status = take_loan(pub, size, &loan);
    if (status != CLI_OK)
        return status;
    if (head_len > 0)
        memcpy(loan.data, head, head_len);
    status = read_fully(path, fd, (unsigned char *)loan.data + head_len, size - head_len, &got);
    if (status == CLI_OK && ends && head_len + got == size)
        status = read_fully(path, fd, &byte, 1, &more_bytes);
    if (status == CLI_OK && more_bytes > 0)
        status = stream_too_long(pub, path);
    if (status != CLI_OK) {
        (void)aether_loan_discard(pub->publisher, &loan);
        return status;
    }
    loan.len = head_len + got;
    return commit_loan(pub, &loan);
}

/*
 * A pipe, a device or a file of /proc: its size is known at its end. Short ones don't need room for the longest
 * message.
 */
static int publish_stream(struct pub *pub, const char *path, int fd) {
    const size_t limit = aether_publisher_max_message(pub->publisher);
    const size_t head_size = limit < READ_BYTES ? limit + 1 : READ_BYTES;
    unsigned char *head = malloc(head_size);
    size_t len = 0;

    if (head == NULL)
        return cli_error(CLI_FAILURE, "out of memory for '%s'", path);
    int status = read_fully(path, fd, head, head_size, &len);
    if (status == CLI_OK && len > limit)
        status = stream_too_long(pub, path);
    else if (status == CLI_OK && len < head_size)
        status = publish(pub, head, len);
    else if (status == CLI_OK && (status = begin_message(pub)) == CLI_OK)
        status = publish_loan(pub, path, fd, head, len, limit, true);
    free(head);
    return status;
}

static int publish_file(struct pub *pub, const char *path) {
    const size_t limit = aether_publisher_max_message(pub->publisher);
    /* Not blocking: a FIFO that nobody has opened for writing yet is waited for where a signal ends the wait. */
    const int fd = is_stdin(path) ? STDIN_FILENO : open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct stat st;
    int status;

    if (fd < 0 || fstat(fd, &st) != 0) {
        status = no_file(path, strerror(errno));
    } else if (!S_ISREG(st.st_mode) || st.st_size == 0) {
        status = publish_stream(pub, path, fd);
    } else if ((uint64_t)st.st_size > limit) {
        status = file_too_large(pub, path, (uint64_t)st.st_size);
    } else {
        status = begin_message(pub);
        if (status == CLI_OK)
            status = publish_loan(pub, path, fd, NULL, 0, (size_t)st.st_size, false);
    }
    if (fd > STDIN_FILENO)
        (void)close(fd);
    return status;
}

static int publish_files(struct pub *pub) {
    int status = CLI_OK;

    for (size_t i = 0; i < pub->files.count && status == CLI_OK && more(pub); i++)
        status = publish_file(pub, pub->files.items[i]);
    return status;
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

/*
 * Opens the publisher. A new topic takes the largest message that is known beforehand, if nothing else was asked for; a
 * topic that exists is taken as it is.
 */
static int open_publisher(struct pub *pub, aether_client *client, const aether_topic_config *config, uint64_t largest) {
    aether_topic_config wanted = *config;
    int rc = -EEXIST;

    if (config->max_message == 0 && largest > AETHER_MAX_MESSAGE_DEFAULT && largest <= AETHER_MAX_MESSAGE_LIMIT) {
        /* A power of two, so that files of about one size share a topic; lanes have such a size anyway. */
        for (wanted.max_message = AETHER_MAX_MESSAGE_DEFAULT + 8; wanted.max_message < largest;)
            wanted.max_message *= 2;
        rc = aether_publisher_open(client, pub->topic, &wanted, &pub->publisher);
    }
    if (rc == -EEXIST)
        rc = aether_publisher_open(client, pub->topic, config, &pub->publisher);
    return rc < 0 ? cli_library_error(rc) : CLI_OK;
}

static int run(struct pub *pub, const aether_topic_config *config) {
    uint64_t largest = pub->message != NULL ? strlen(pub->message) : pub->size;
    aether_client *client;
    int status = check_files(pub, &largest);

    if (status == CLI_OK)
        status = cli_connect("pub", &client);
    if (status != CLI_OK)
        return status;
    status = open_publisher(pub, client, config, largest);
    if (status != CLI_OK)
        goto out;
    cli_catch_signals();
    pub->started_ns = pub->reported_ns = cli_now_ns();
    if (pub->message != NULL)
        status = publish_argument(pub);
    else if (pub->generate)
        status = publish_generated(pub);
    else if (pub->from_files)
        status = publish_files(pub);
    else
        status = publish_lines(pub);
    summary(pub);
    aether_publisher_close(pub->publisher);
out:
    aether_disconnect(client);
    return status;
}

static int read_words(struct pub *pub, struct topic_options *topic, int argc, char **argv) {
    const struct args_option options[] = {
        {.name = "file",
         .kind = ARGS_LIST,
         .target = &pub->files,
         .value = "PATH",
         .given = &pub->from_files,
         .help = "publish each file as one message: PATH and all words after TOPIC; - is stdin"},
        {.name = "count",
         .kind = ARGS_COUNT,
         .target = &pub->count,
         .min = 1,
         .max = UINT64_MAX,
         .value = "N",
         .help = "publish MESSAGE N times; with files, lines or --size, stop after N"},
        {.name = "rate",
         .kind = ARGS_NUMBER,
         .target = &pub->rate,
         .min = 0,
         .max = 1000000000,
         .value = "R",
         .help = "messages a second, evenly spaced; default and 0: as fast as possible"},
        {.name = "size",
         .kind = ARGS_SIZE,
         .target = &pub->size,
         .min = 0,
         .max = AETHER_MAX_MESSAGE_LIMIT,
         .value = "SIZE",
         .given = &pub->generate,
         .help = "publish generated messages of this size"},
        {.name = "wait",
         .kind = ARGS_NUMBER,
         .target = &pub->wait,
         .min = 0,
         .max = 1000000000,
         .value = "SECONDS",
         .help = "fail when the ring is full for longer; default: wait without end"},
        OPTION_MAX_MESSAGE(*topic),
        OPTION_PRESET(*topic),
        OPTION_PUBLISHERS(*topic),
        OPTION_TYPE(*topic),
        {.name = "verbose",
         .letter = 'v',
         .kind = ARGS_FLAG,
         .target = &pub->verbose,
         .help = "say on stderr how many messages were published, also without a terminal"},
    };
    const struct args_spec spec = {
        .command = "pub",
        .words = "TOPIC [MESSAGE | --file PATH ...]",
        .words_min = 1,
        .words_max = 1,
        .rest = &pub->files,
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .summary = "Publishes MESSAGE, each file, or each line of stdin without its newline, and waits while the ring\n"
                   "is full. Creates the topic if it doesn't exist, large enough for what is known beforehand.",
        .notes = "A generated message's byte i is its number + i; from 8 bytes on it begins with the number (64\n"
                 "bits, little-endian). Numbers count this command's messages from the topic's next sequence on: they\n"
                 "are sequences as long as nobody else publishes."};
    const char *words[ARGS_WORDS_MAX + 1];

    const int status = args_parse(&spec, argc, argv, words);
    if (status == ARGS_RUN)
        pub->topic = words[0];
    return status;
}

int cmd_pub(int argc, char **argv) {
    struct pub pub = {.wait = WAIT_FOREVER, .terminal = isatty(STDERR_FILENO) == 1};
    struct topic_options topic = {0};
    int status = read_words(&pub, &topic, argc, argv);

    if (status != ARGS_RUN)
        return status;
    if (!pub.from_files && pub.files.count > 1)
        return cli_error(CLI_USAGE,
                         "'%s' is one word too many: usage: aether-cli pub TOPIC [MESSAGE | --file PATH ...]",
                         pub.files.items[1]);
    if (!pub.from_files && pub.files.count == 1) {
        pub.message = pub.files.items[0];
        pub.files.count = 0;
    }
    if (pub.generate && (pub.message != NULL || pub.from_files))
        return cli_error(CLI_USAGE, "pub takes %s or --size, not both", pub.message != NULL ? "MESSAGE" : "--file");
    if ((status = topic_options_read(&topic)) != CLI_OK)
        return status;
    return run(&pub, &topic.config);
}
