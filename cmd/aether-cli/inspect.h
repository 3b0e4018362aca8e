/* SPDX-License-Identifier: Apache-2.0 */
/* inspect.h - reads a daemon's shared memory with the inspector, as records for a view. */
#ifndef AETHER_CLI_INSPECT_H
#define AETHER_CLI_INSPECT_H

#include "view/view.h"
#include <aether/aether.h>
#include <stdbool.h>
#include <stddef.h>

/* Reports the error of the functions that open an instance's objects, and returns its status. */
int inspect_error(int rc);

/* Opens the inspector on cli_socket(); the caller closes it. CLI_OK, or reports the error and returns its status. */
int inspect_open(aether_inspector **inspector);

#define TOPIC_NAME_SIZE 256

/*
 * Finds the existing topic whose name is nearest to `name`, by ae_near_try(). False: none is near, or none can be read.
 */
bool topic_nearest(const char *name, char nearest[TOPIC_NAME_SIZE]);

/* Reports that there is no such topic, and which one may be meant. CLI_NO_TOPIC; CLI_USAGE if the name is empty. */
int no_topic(const char *name);

/* Says on stderr that nobody has published on the topic yet, and which one may be meant. */
void say_waiting_for(const char *name);

/* Topics, sorted by name. Call topics_free(), also if reading failed. */
struct topics {
    struct ae_view_topic *list;
    size_t count;
};

/* Topics for which subscribers wait, sorted by name. The caller frees waiting->list, also if reading failed. */
struct waiting {
    aether_waiting_info *list;
    size_t count;
};

/* CLI_OK, or reports the error. */
int waiting_read(aether_inspector *inspector, struct waiting *waiting);

/* Reads all topics. CLI_OK, or reports the error; *topics is then empty. */
int topics_read(aether_inspector *inspector, struct topics *topics);
void topics_free(struct topics *topics);

#endif
