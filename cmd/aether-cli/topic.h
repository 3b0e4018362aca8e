/* SPDX-License-Identifier: Apache-2.0 */
/* topic.h - topics as the inspector sees them, and the options that configure one. */
#ifndef AETHER_CLI_TOPIC_H
#define AETHER_CLI_TOPIC_H

#include <aether/aether.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Opens the inspector on cli_socket(). CLI_OK, or reports the fault and returns its status. */
int inspect_open(aether_inspector **inspector);

struct topics {
    aether_topic_info *list; /* by name */
    size_t count;
};

/* CLI_OK, or reports the fault; *topics is then empty. */
int topics_read(aether_inspector *inspector, struct topics *topics);
const aether_topic_info *topics_find(const struct topics *topics, const char *name); /* NULL: not there */
void topics_free(struct topics *topics);

/* Adds a topic's keys, as aether-cli(1) lists them. False: no memory. */
bool json_topic(json_t *object, const aether_topic_info *topic);

extern const char *const preset_names[]; /* index: aether_preset; ends with NULL */

/* Options that several commands take, for their tables. */
#define OPTION_MAX_MESSAGE(where)                                                                                      \
    {                                                                                                                  \
        .name = "max-message", .kind = ARGS_SIZE, .target = (where), .min = 1, .max = AETHER_MAX_MESSAGE_LIMIT,        \
        .value = "BYTES", .help = "largest message of a new topic; default: 1016"                                      \
    }
#define OPTION_PRESET(where)                                                                                           \
    {                                                                                                                  \
        .name = "preset", .kind = ARGS_CHOICE, .target = (where), .choices = preset_names, .value = "NAME",            \
        .help = "ring of a new topic: default (up to 1 MiB) or throughput (up to 8 MiB)"                               \
    }

#endif
