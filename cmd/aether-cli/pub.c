/* SPDX-License-Identifier: Apache-2.0 */
/* pub.c - publishes its argument, files, the messages in stdin, or generated messages. */
#include "args.h"
#include "commands.h"
#include "daemon.h"
#include "error.h"
#include "pub_files.h"
#include "pub_stdin.h"
#include "sender.h"
#include "signals.h"
#include "topic_options.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct pub {
    struct sender sender;
    const char *message; /* NULL: files, messages in stdin or generated messages */
    struct args_list files;
    bool from_files;
    bool generate;
    bool null, frame; /* what separates the messages in stdin; neither: newlines */
    uint64_t size;    /* of generated messages */
    struct cli_connection connection;
    bool await;     /* the topic is waited for */
    double timeout; /* seconds, for that; negative: no limit */
};

static int publish_argument(struct sender *s, const char *message) {
    const size_t len = strlen(message);
    const size_t limit = aether_publisher_max_message(s->publisher);
    int status = CLI_OK;

    if (len > limit)
        return cli_error(CLI_TOO_LARGE, "a message of %zu bytes: topic '%s' takes messages of at most %zu bytes", len,
                         s->topic, limit);
    if (s->count == 0)
        s->count = 1;
    while (status == CLI_OK && sender_has_more(s))
        status = sender_publish(s, message, len);
    return status;
}

/*
 * Byte i of message number n is n + i. A message of 8 bytes or more begins with n itself, little-endian. n counts from
 * the topic's next sequence on. If other publishers are active, n isn't the message's sequence, which is known only
 * after the publish.
 */
static int publish_generated(struct sender *s, size_t size) {
    const size_t limit = aether_publisher_max_message(s->publisher);
    uint64_t number = aether_publisher_next(s->publisher);
    unsigned char *pattern, *message;
    int status = CLI_OK;

    if (size > limit)
        return cli_error(CLI_TOO_LARGE, "--size %zu: topic '%s' takes messages of at most %zu bytes", size, s->topic,
                         limit);
    pattern = malloc(256 + size);
    message = malloc(size > 0 ? size : 1);
    if (pattern == NULL || message == NULL) {
        status = cli_error(CLI_FAILURE, "out of memory for messages of %zu bytes", size);
        goto out;
    }
    for (size_t i = 0; i < 256 + size; i++)
        pattern[i] = (unsigned char)i;
    for (; status == CLI_OK && sender_has_more(s); number++) {
        memcpy(message, pattern + (number & 255), size);
        if (size >= sizeof number)
            memcpy(message, &number, sizeof number);
        status = sender_publish(s, message, size);
    }
out:
    free(message);
    free(pattern);
    return status;
}

/* The status if the topic exists and takes only shorter messages than the command knows of; else -1. */
static int too_large(const char *topic, uint64_t largest) {
    aether_inspector *inspector = NULL;
    aether_topic_info info;
    int status = -1;

    if (aether_inspect_open(&inspector, cli_socket()) == 0 && aether_inspect_find(inspector, topic, &info) == 1 &&
        info.max_message < largest)
        status = CLI_TOO_LARGE;
    aether_inspect_close(inspector);
    return status;
}

/*
 * Opens the publisher, of a topic that takes the largest message that is known beforehand. A size up to the default
 * isn't stated, because the library would choose a smaller one then. With --await the topic may be removed, or aetherd
 * end, between the wait and the open.
 */
static int open_publisher(struct pub *pub, aether_client *client, const aether_topic_config *config, uint64_t largest) {
    struct sender *s = &pub->sender;
    aether_topic_config wanted = *config;
    int rc;

    if (wanted.max_message == 0 && largest > AETHER_MAX_MESSAGE_DEFAULT && largest <= AETHER_MAX_MESSAGE_LIMIT)
        wanted.max_message = largest;
    do {
        const int status = pub->await ? topic_await(client, s->topic, pub->connection.patient_until_ns) : CLI_OK;
        if (status != CLI_OK)
            return status;
        rc = aether_publisher_open(client, s->topic, &wanted, &s->publisher);
    } while (pub->await && topic_may_return(rc));
    if (rc == -EEXIST && config->max_message == 0 && too_large(s->topic, largest) == CLI_TOO_LARGE)
        return cli_error(CLI_TOO_LARGE, "%s", aether_errmsg());
    return rc < 0 ? cli_library_error(rc) : CLI_OK;
}

static int run(struct pub *pub, const aether_topic_config *config) {
    struct sender *s = &pub->sender;
    uint64_t largest = pub->message != NULL ? strlen(pub->message) : pub->size;
    aether_client *client;
    int status = pub_files_check(&pub->files, &largest);

    if (pub->await)
        pub->connection.patient_until_ns = cli_after(cli_now_ns(), pub->timeout);
    pub->connection.answer_ns = cli_answer_ns(pub->timeout);
    if (status == CLI_OK)
        status = cli_connect("pub", &pub->connection, &client);
    if (status != CLI_OK)
        return status;
    status = open_publisher(pub, client, config, largest);
    if (status != CLI_OK)
        goto out;
    cli_catch_signals();
    sender_start(s);
    if (pub->message != NULL)
        status = publish_argument(s, pub->message);
    else if (pub->generate)
        status = publish_generated(s, (size_t)pub->size);
    else if (pub->from_files)
        status = pub_files(s, &pub->files);
    else
        status = pub_stdin(s, pub->frame ? FRAMES_LENGTHS : pub->null ? FRAMES_NULLS : FRAMES_LINES);
    sender_show_summary(s);
    aether_publisher_close(s->publisher);
out:
    aether_disconnect(client);
    return status;
}

/* The command line, before it is checked. */
static struct {
    struct pub pub;
    struct topic_options topic;
} given = {.pub = {.sender = {.wait = SENDER_WAIT_FOREVER}, .timeout = -1}};

static const struct args_option options[] = {
    {.name = "file",
     .kind = ARGS_LIST,
     .target = &given.pub.files,
     .value = "PATH",
     .given = &given.pub.from_files,
     .help = "publish each file as one message: PATH and all words after TOPIC; - is stdin"},
    OPTION_NULL(given.pub.null, "the messages in stdin end with NUL, not with a newline"),
    OPTION_FRAME(given.pub.frame, "each message in stdin follows its length, 32 bits, little-endian: sub --frame"),
    OPTION_COUNT(given.pub.sender.count, "publish MESSAGE N times; with files, stdin or --size, stop after N"),
    {.name = "rate",
     .kind = ARGS_NUMBER,
     .target = &given.pub.sender.rate,
     .min = 0,
     .max = 1000000000,
     .value = "R",
     .help = "messages a second, evenly spaced; default and 0: as fast as possible"},
    {.name = "size",
     .kind = ARGS_SIZE,
     .target = &given.pub.size,
     .min = 0,
     .max = AETHER_MAX_MESSAGE_LIMIT,
     .value = "SIZE",
     .given = &given.pub.generate,
     .help = "publish generated messages of this size"},
    {.name = "wait",
     .kind = ARGS_DURATION,
     .target = &given.pub.sender.wait,
     .value = "TIME",
     .help = "fail when the ring is full for longer; default: wait without end"},
    OPTION_EXISTING(given.topic),
    OPTION_AWAIT(given.topic),
    {.name = "timeout",
     .kind = ARGS_DURATION,
     .target = &given.pub.timeout,
     .min = 1,
     .value = "TIME",
     .help = "with --await: how long; then status 7"},
    OPTION_NAME(given.pub.connection),
    OPTION_WAIT_DAEMON(given.pub.connection),
    OPTION_MAX_MESSAGE(given.topic),
    OPTION_PRESET(given.topic),
    OPTION_PUBLISHERS(given.topic),
    OPTION_LATENCY(given.topic),
    OPTION_TYPE(given.topic),
    {.name = "verbose",
     .letter = 'v',
     .kind = ARGS_FLAG,
     .target = &given.pub.sender.verbose,
     .help = "say on stderr how many messages were published, also without a terminal"},
};

static const struct args_spec spec = {
    .command = "pub",
    .words = "TOPIC [MESSAGE | --file PATH ...]",
    .words_min = 1,
    .words_max = 1,
    .rest = &given.pub.files,
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .others = topic_create_options,
    .other_command = "topic create",
    .summary = "Publishes MESSAGE, each file, or each line of stdin without its newline, and waits while the ring\n"
               "is full. Creates the topic if it doesn't exist, large enough for what is known beforehand.",
    .notes = "A generated message's byte i is its number + i; from 8 bytes on it begins with the number (64\n"
             "bits, little-endian). Numbers count this command's messages from the topic's next sequence on: they\n"
             "are sequences as long as nobody else publishes."};

/* At most one source of messages. CLI_OK, or reports the error. */
static int check_source(const struct pub *pub) {
    const char *names[] = {"MESSAGE", "--file", "--size", "-0", "--frame"};
    const bool is_given[] = {pub->message != NULL, pub->from_files, pub->generate, pub->null, pub->frame};
    const char *first = NULL;

    for (size_t i = 0; i < sizeof is_given / sizeof is_given[0]; i++) {
        if (is_given[i] && first != NULL)
            return cli_error(CLI_USAGE, "pub takes %s or %s, not both", first, names[i]);
        if (is_given[i])
            first = names[i];
    }
    return CLI_OK;
}

int cmd_pub(int argc, char **argv) {
    struct pub *pub = &given.pub;
    const char *words[ARGS_WORDS_MAX + 1];
    int status = args_parse(&spec, argc, argv, words);

    if (status != ARGS_RUN)
        return status;
    pub->sender.topic = words[0];
    if (!pub->from_files && pub->files.count > 1)
        return cli_error(CLI_USAGE,
                         "'%s' is one word too many: usage: aether-cli pub TOPIC [MESSAGE | --file PATH ...]",
                         pub->files.items[1]);
    if (!pub->from_files && pub->files.count == 1) {
        pub->message = pub->files.items[0];
        pub->files.count = 0;
    }
    if ((status = check_source(pub)) != CLI_OK || (status = topic_options_read(&given.topic)) != CLI_OK)
        return status;
    pub->await = given.topic.await;
    if (pub->timeout >= 0 && !pub->await)
        return cli_error(CLI_USAGE, "--timeout bounds --await: for a full ring there is --wait");
    pub->connection.on_stall = sender_on_stall;
    pub->connection.stall_context = &pub->sender;
    return run(pub, &given.topic.config);
}
