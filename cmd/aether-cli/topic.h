/* SPDX-License-Identifier: Apache-2.0 */
/* topic.h - topics as the inspector sees them, and the options that configure one. */
#ifndef AETHER_CLI_TOPIC_H
#define AETHER_CLI_TOPIC_H

#include <aether/aether.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Opens the inspector on cli_socket(). CLI_OK, or reports the error and returns its status. */
int inspect_open(aether_inspector **inspector);

struct topic {
    aether_topic_info info;
    uint32_t evicted; /* subscribers attached that publishers have evicted */
};

struct topics {
    struct topic *list; /* by name */
    size_t count;
};

/* CLI_OK, or reports the error; *topics is then empty. */
int topics_read(aether_inspector *inspector, struct topics *topics);
const struct topic *topics_find(const struct topics *topics, const char *name); /* NULL: not there */
void topics_free(struct topics *topics);

/* Adds a topic's keys, as aether-cli(1) lists them. False: no memory. */
bool json_topic(json_t *object, const struct topic *topic);

/* ---- options that configure a new topic, for the tables of several commands -------------------------------------- */

struct topic_options {
    aether_topic_config config;   /* as it goes to the library, after topic_options_read() */
    int preset, publishers, slow; /* indices into the choices below */
    bool slow_given;
    const char *type; /* NULL: none */
    char type_name[64];
};

extern const char *const preset_names[];     /* index: aether_preset; ends with NULL */
extern const char *const publishers_names[]; /* index: aether_publishers; ends with NULL */
extern const char *const slow_names[];       /* index: aether_slow; ends with NULL */

/* After args_parse(): completes options->config. CLI_OK, or reports the error. */
int topic_options_read(struct topic_options *options);

#define OPTION_MAX_MESSAGE(options)                                                                                    \
    {                                                                                                                  \
        .name = "max-message", .kind = ARGS_SIZE, .target = &(options).config.max_message, .min = 1,                   \
        .max = AETHER_MAX_MESSAGE_LIMIT, .value = "SIZE", .help = "largest message of a new topic; default: 1016"      \
    }
#define OPTION_PRESET(options)                                                                                         \
    {                                                                                                                  \
        .name = "preset", .kind = ARGS_CHOICE, .target = &(options).preset, .choices = preset_names, .value = "NAME",  \
        .help = "ring of a new topic: default (up to 1 MiB) or throughput (up to 8 MiB)"                               \
    }
#define OPTION_PUBLISHERS(options)                                                                                     \
    {                                                                                                                  \
        .name = "publishers", .kind = ARGS_CHOICE, .target = &(options).publishers, .choices = publishers_names,       \
        .value = "WHO",                                                                                                \
        .help = "who may publish to a new topic: shared (up to 64; default), exclusive (one) or unbiased"              \
    }
#define OPTION_TYPE(options)                                                                                           \
    {                                                                                                                  \
        .name = "type", .kind = ARGS_TEXT, .target = &(options).type, .min = 1, .value = "NAME[:VERSION[:SIZE]]",      \
        .help = "the messages' type; a topic of another one is refused"                                                \
    }

#endif
