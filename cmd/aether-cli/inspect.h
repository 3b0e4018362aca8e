/* SPDX-License-Identifier: Apache-2.0 */
/* inspect.h - what the inspector reads of a daemon's shared memory, as records for a view. */
#ifndef AETHER_CLI_INSPECT_H
#define AETHER_CLI_INSPECT_H

#include "view/view.h"
#include <aether/aether.h>
#include <stddef.h>

/* Opens the inspector on cli_socket(); the caller closes it. CLI_OK, or reports the error and returns its status. */
int inspect_open(aether_inspector **inspector);

/* Topics in the order of their names. topics_free() frees them, also if reading failed. */
struct topics {
    struct ae_view_topic *list;
    size_t count;
};

/* Reads all topics. CLI_OK, or reports the error; *topics is then empty. */
int topics_read(aether_inspector *inspector, struct topics *topics);
const struct ae_view_topic *topics_find(const struct topics *topics, const char *name); /* NULL: not there */
void topics_free(struct topics *topics);

/* Who is attached to a topic. peers_free() frees them, also if reading failed. */
struct peers {
    aether_peer_info *list;
    size_t count;
};

/* Reads a topic's peers. CLI_OK, or reports the error; *peers is then empty. */
int peers_read(aether_inspector *inspector, uint64_t topic_id, struct peers *peers);
void peers_free(struct peers *peers);

#endif
