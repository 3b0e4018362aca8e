/* SPDX-License-Identifier: Apache-2.0 */
/* inspect.h - reads a daemon's shared memory with the inspector, as records for a view. */
#ifndef AETHER_CLI_INSPECT_H
#define AETHER_CLI_INSPECT_H

#include "view/view.h"
#include <aether/aether.h>
#include <stddef.h>

/* Reports the error of the functions that open an instance's objects, and returns its status. */
int inspect_error(int rc);

/* Opens the inspector on cli_socket(); the caller closes it. CLI_OK, or reports the error and returns its status. */
int inspect_open(aether_inspector **inspector);

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
