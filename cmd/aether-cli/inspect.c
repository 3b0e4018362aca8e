/* SPDX-License-Identifier: Apache-2.0 */
/* inspect.c - reads all topics that the inspector finds into a list. */
#include "inspect.h"
#include "base/near.h"
#include "daemon.h"
#include "error.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int inspect_error(int rc) {
    return cli_error(cli_is_absent(rc) ? CLI_NO_DAEMON : CLI_FAILURE, "%s", aether_errmsg());
}

int inspect_open(aether_inspector **inspector) {
    const int rc = aether_inspect_open(inspector, cli_socket());

    if (rc == 0)
        return CLI_OK;
    *inspector = NULL;
    return inspect_error(rc);
}

bool topic_nearest(const char *name, char nearest[TOPIC_NAME_SIZE]) {
    struct ae_near near = ae_near(name);
    aether_inspector *inspector = NULL;
    aether_topic_info info;
    uint32_t cursor = 0;
    bool found = false;

    if (aether_inspect_open(&inspector, cli_socket()) != 0)
        return false;
    while (near.best > 0 && aether_inspect_topic(inspector, &cursor, &info) == 1) {
        if (!ae_near_try(&near, info.name))
            continue;
        found = true;
        snprintf(nearest, TOPIC_NAME_SIZE, "%s", info.name);
    }
    aether_inspect_close(inspector);
    return found;
}

int no_topic(const char *name) {
    char nearest[TOPIC_NAME_SIZE];

    if (name[0] == '\0')
        return cli_error(CLI_USAGE, "the topic's name is empty: see aether-cli topic ls");
    if (topic_nearest(name, nearest))
        return cli_error(CLI_NO_TOPIC, "no topic '%s' at %s: did you mean '%s'?", name, cli_socket(), nearest);
    return cli_error(CLI_NO_TOPIC, "no topic '%s' at %s: see aether-cli topic ls", name, cli_socket());
}

void say_waiting_for(const char *name) {
    char nearest[TOPIC_NAME_SIZE];

    if (topic_nearest(name, nearest) && strcmp(name, nearest) != 0)
        cli_error(CLI_OK, "waiting for topic '%s': no publisher has opened it yet; did you mean '%s'?", name, nearest);
    else
        cli_error(CLI_OK, "waiting for topic '%s': no publisher has opened it yet", name);
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
        topic->figures = NULL;
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

static int by_waiting_name(const void *a, const void *b) {
    return strcmp(((const aether_waiting_info *)a)->name, ((const aether_waiting_info *)b)->name);
}

int waiting_read(aether_inspector *inspector, struct waiting *waiting) {
    uint32_t cursor = 0;
    size_t room = 0;
    int rc;

    *waiting = (struct waiting){.list = NULL};
    for (;;) {
        if (waiting->count == room) {
            room = room > 0 ? room * 2 : 8;
            aether_waiting_info *more = realloc(waiting->list, room * sizeof *more);
            if (more == NULL)
                return cli_error(CLI_FAILURE, "out of memory for the list of topics");
            waiting->list = more;
        }
        rc = aether_inspect_waiting(inspector, &cursor, &waiting->list[waiting->count]);
        if (rc <= 0)
            break;
        waiting->count++;
    }
    if (rc < 0)
        return cli_error(CLI_FAILURE, "%s", aether_errmsg());
    qsort(waiting->list, waiting->count, sizeof *waiting->list, by_waiting_name);
    return CLI_OK;
}
