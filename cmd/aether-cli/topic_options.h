/* SPDX-License-Identifier: Apache-2.0 */
/* topic_options.h - the options that configure a new topic, for the option tables of several commands. */
#ifndef AETHER_CLI_TOPIC_OPTIONS_H
#define AETHER_CLI_TOPIC_OPTIONS_H

#include "args.h"
#include "view/names.h"
#include <aether/aether.h>
#include <stdbool.h>

#define TOPIC_WAITING_NS UINT64_C(1000000000) /* of a wait for a topic, before it is said on stderr */

extern const char *const topic_preset_names[]; /* index: aether_preset - 1; ends with NULL */

/* What only topic create has; pub has the preset, too. For error texts of pub and sub; ends with NULL. */
extern const char *const topic_create_options[];

struct topic_options {
    aether_topic_config config;            /* for the library; complete after topic_options_read() */
    int preset, publishers, slow, latency; /* indices into the choices */
    bool preset_given, publishers_given, slow_given, latency_given;
    bool existing, await; /* at most one of them */
    const char *type;     /* NULL: none */
    char type_name[64];
};

/* After args_parse(): completes options->config. CLI_OK, or reports the error. */
int topic_options_read(struct topic_options *options);

#define OPTION_MAX_MESSAGE(options)                                                                                    \
    {                                                                                                                  \
        .name = "max-message", .kind = ARGS_SIZE, .target = &(options).config.max_message, .min = 1,                   \
        .max = AETHER_MAX_MESSAGE_LIMIT, .value = "SIZE", .help = "longest message of a new topic; default: 1016"      \
    }
#define OPTION_PRESET(options)                                                                                         \
    {                                                                                                                  \
        .name = "preset", .kind = ARGS_CHOICE, .target = &(options).preset, .choices = topic_preset_names,             \
        .given = &(options).preset_given, .value = "NAME",                                                             \
        .help = "ring of a new topic: small (up to 12 KiB), default (up to 1 MiB) or throughput (up to 8 MiB)"         \
    }
#define OPTION_PUBLISHERS(options)                                                                                     \
    {                                                                                                                  \
        .name = "publishers", .kind = ARGS_CHOICE, .target = &(options).publishers, .choices = ae_publishers_names,    \
        .given = &(options).publishers_given, .value = "KIND",                                                         \
        .help = "how many publishers a new topic admits: shared (up to 64; default), exclusive (one) or unbiased"      \
    }
#define OPTION_LATENCY(options)                                                                                        \
    {                                                                                                                  \
        .name = "latency", .kind = ARGS_CHOICE, .target = &(options).latency, .choices = ae_latency_names,             \
        .given = &(options).latency_given, .value = "KIND",                                                            \
        .help = "messages of a new topic whose latency is measured: sampled (default), off (none) or all"              \
    }
#define OPTION_TYPE(options)                                                                                           \
    {                                                                                                                  \
        .name = "type", .kind = ARGS_TEXT, .target = &(options).type, .min = 1, .value = "NAME[:VERSION[:SIZE]]",      \
        .help = "the messages' type; a topic of another one is refused"                                                \
    }

#define OPTION_EXISTING(options)                                                                                       \
    {                                                                                                                  \
        .name = "existing", .kind = ARGS_FLAG, .target = &(options).existing,                                          \
        .help = "only if the topic exists; else status 4, and nothing is made"                                         \
    }
#define OPTION_AWAIT(options)                                                                                          \
    {                                                                                                                  \
        .name = "await", .kind = ARGS_FLAG, .target = &(options).await,                                                \
        .help = "wait until the topic exists, for --timeout at most; nothing is made"                                  \
    }

/*
 * For --await: waits until the topic exists, until an instant of cli_now_ns() (AETHER_FOREVER: no limit), also while no
 * aetherd runs. After a second it says on stderr what it waits for. SIGINT and SIGTERM must still end the process.
 * CLI_OK, or reports the error: CLI_TIMEOUT, ...
 */
int topic_await(aether_client *client, const char *topic, uint64_t deadline_ns);

/*
 * Does rc, from an open with --await, say that the topic was removed after topic_await(), or that aetherd has ended
 * (-ECONNRESET: before it answered) or doesn't answer? Then the topic is waited for again.
 */
bool topic_may_return(int rc);

#endif
