/* SPDX-License-Identifier: Apache-2.0 */
/* inspect.c - reads all topics and peers that the inspector finds into lists. */
#include "inspect.h"
#include "daemon.h"
#include "error.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int inspect_open(aether_inspector **inspector) {
    const int rc = aether_inspect_open(inspector, cli_socket());

    if (rc == 0)
        return CLI_OK;
    *inspector = NULL;
    if (rc == -ENOENT)
        return cli_error(CLI_NO_DAEMON, "no aetherd at %s, and none has left topics there: start it with: %s",
                         cli_socket(), cli_start_command());
    return cli_error(CLI_FAILURE, "%s", aether_errmsg());
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct ae_view_topic *)a)->info.name, ((const struct ae_view_topic *)b)->info.name);
}

/* The number of evicted peers; 0 also if the peers can't be read. */
static uint32_t count_evicted(aether_inspector *inspector, const aether_topic_info *topic) {
    aether_peer_info peer;
    uint32_t cursor = 0, count = 0;

    while (topic->evict_lag != 0 && aether_inspect_peer(inspector, topic->id, &cursor, &peer) == 1)
        count += peer.evicted != 0;
    return count;
}

int topics_read(aether_inspector *inspector, struct topics *topics) {
    uint32_t cursor = 0;
    size_t room = 0;
    int rc;

    memset(topics, 0, sizeof *topics);
    for (;;) {
        if (topics->count == room) {
            room = room > 0 ? room * 2 : 32;
            struct ae_view_topic *more = realloc(topics->list, room * sizeof *more);
            if (more == NULL) {
                topics_free(topics);
                return cli_error(CLI_FAILURE, "out of memory for the list of topics");
            }
            topics->list = more;
        }
        struct ae_view_topic *topic = &topics->list[topics->count];
        rc = aether_inspect_topic(inspector, &cursor, &topic->info);
        if (rc <= 0)
            break;
        topic->evicted = count_evicted(inspector, &topic->info);
        topic->rate = 0;
        topics->count++;
    }
    if (rc < 0) {
        topics_free(topics);
        return cli_error(CLI_FAILURE, "%s", aether_errmsg());
    }
    qsort(topics->list, topics->count, sizeof *topics->list, by_name);
    return CLI_OK;
}

void topics_free(struct topics *topics) {
    free(topics->list);
    topics->list = NULL;
    topics->count = 0;
}

const struct ae_view_topic *topics_find(const struct topics *topics, const char *name) {
    size_t low = 0, high = topics->count;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = strcmp(name, topics->list[middle].info.name);
        if (order == 0)
            return &topics->list[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

int peers_read(aether_inspector *inspector, uint64_t topic_id, struct peers *peers) {
    uint32_t cursor = 0;
    size_t room = 0;
    int rc;

    memset(peers, 0, sizeof *peers);
    for (;;) {
        if (peers->count == room) {
            room = room > 0 ? room * 2 : 32;
            aether_peer_info *more = realloc(peers->list, room * sizeof *more);
            if (more == NULL) {
                peers_free(peers);
                return cli_error(CLI_FAILURE, "out of memory for the list of peers");
            }
            peers->list = more;
        }
        rc = aether_inspect_peer(inspector, topic_id, &cursor, &peers->list[peers->count]);
        if (rc <= 0)
            break;
        peers->count++;
    }
    if (rc < 0) {
        peers_free(peers);
        return cli_error(CLI_FAILURE, "%s", aether_errmsg());
    }
    return CLI_OK;
}

void peers_free(struct peers *peers) {
    free(peers->list);
    peers->list = NULL;
    peers->count = 0;
}
