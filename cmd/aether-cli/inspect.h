/* SPDX-License-Identifier: Apache-2.0 */
/* inspect.h - reads a daemon's shared memory with the inspector, as records for a view. */
#ifndef AETHER_CLI_INSPECT_H
#define AETHER_CLI_INSPECT_H

#include "view/view.h"
#include <aether/aether.h>
#include <stddef.h>

/* Opens the inspector on cli_socket(); the caller closes it. CLI_OK, or reports the error and returns its status. */
int inspect_open(aether_inspector **inspector);

/* Topics, sorted by name. Call topics_free(), also if reading failed. */
struct topics {
    struct ae_view_topic *list;
    size_t count;
};

/* Reads all topics. CLI_OK, or reports the error; *topics is then empty. */
int topics_read(aether_inspector *inspector, struct topics *topics);
const struct ae_view_topic *topics_find(const struct topics *topics, const char *name); /* NULL: there is none */
void topics_free(struct topics *topics);

/* The publishers and subscribers of a topic. Call peers_free(), also if reading failed. */
struct peers {
    aether_peer_info *list;
    size_t count;
};

/* Reads a topic's peers. CLI_OK, or reports the error; *peers is then empty. */
int peers_read(aether_inspector *inspector, uint64_t topic_id, struct peers *peers);
void peers_free(struct peers *peers);

#endif
