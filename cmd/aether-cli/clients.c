/* SPDX-License-Identifier: Apache-2.0 */
/* clients.c - shows the connected programs. */
#include "args.h"
#include "commands.h"
#include "error.h"
#include "inspect.h"
#include "observe.h"
#include "output.h"
#include "view/observe.h"
#include <stdlib.h>
#include <string.h>

static int by_id(const void *a, const void *b) {
    const aether_client_metrics *x = a, *y = b;

    return x->client_id < y->client_id ? -1 : x->client_id > y->client_id;
}

/* Reads all clients into *list, which the caller frees. CLI_OK, or reports the error. */
static int read_clients(aether_metrics *metrics, aether_client_metrics **list, size_t *count) {
    uint32_t cursor = 0;
    size_t room = 0;

    for (;;) {
        if (*count == room) {
            room = room > 0 ? room * 2 : 32;
            aether_client_metrics *more = realloc(*list, room * sizeof *more);
            if (more == NULL)
                return cli_error(CLI_FAILURE, "out of memory for a list of the clients");
            *list = more;
        }
        const int rc = aether_metrics_client(metrics, &cursor, &(*list)[*count]);
        if (rc < 0)
            return cli_error(CLI_FAILURE, "%s", aether_errmsg());
        if (rc == 0)
            break;
        ++*count;
    }
    qsort(*list, *count, sizeof **list, by_id);
    return CLI_OK;
}

static int show(aether_metrics *metrics, struct ae_view view) {
    aether_instance_metrics instance;
    struct ae_view_clients clients = {0};
    aether_client_metrics *list = NULL;

    const int rc = aether_metrics_begin(metrics, &instance);
    if (rc < 0)
        return inspect_error(rc);
    view = note_daemon(view, &instance.daemon);
    int status = read_clients(metrics, &list, &clients.count);
    clients.list = list;
    if (status == CLI_OK)
        status = out_check(&view, ae_view_clients(&view, &clients));
    free(list);
    return status;
}

/* ---- those that have gone ---------------------------------------------------------------------------------------- */

/* The latest first; then by topic. */
static int by_time(const void *a, const void *b) {
    const struct ae_view_gone *x = a, *y = b;

    if (x->figures.left_mono_ns != y->figures.left_mono_ns)
        return x->figures.left_mono_ns > y->figures.left_mono_ns ? -1 : 1;
    return strcmp(x->topic, y->topic);
}

/* Reads the departed of all topics into *list, which the caller frees. CLI_OK, or reports the error. */
static int read_departed(aether_metrics *metrics, struct ae_view_gone **list, size_t *count) {
    aether_topic_metrics topic;
    size_t room = 0;
    int rc;

    while ((rc = aether_metrics_next(metrics, &topic)) == 1) {
        if (*count + topic.departed_count > room) {
            room = room * 2 + topic.departed_count;
            struct ae_view_gone *more = realloc(*list, room * sizeof *more);
            if (more == NULL)
                return cli_error(CLI_FAILURE, "out of memory for a list of the publishers and subscribers");
            *list = more;
        }
        for (size_t i = 0; i < topic.departed_count; i++) {
            struct ae_view_gone *gone = &(*list)[(*count)++];
            memcpy(gone->topic, topic.info.name, sizeof gone->topic);
            gone->figures = topic.departed[i];
        }
    }
    if (rc < 0)
        return cli_error(CLI_FAILURE, "%s", aether_errmsg());
    if (*count > 0)
        qsort(*list, *count, sizeof **list, by_time);
    return CLI_OK;
}

static int show_departed(aether_metrics *metrics, struct ae_view view) {
    aether_instance_metrics instance;
    struct ae_view_departed departed = {0};
    struct ae_view_gone *list = NULL;

    const int rc = aether_metrics_begin(metrics, &instance);
    if (rc < 0)
        return inspect_error(rc);
    view = note_daemon(view, &instance.daemon);
    int status = read_departed(metrics, &list, &departed.count);
    departed.rows = list;
    if (status == CLI_OK)
        status = out_check(&view, ae_view_departed(&view, &departed));
    free(list);
    return status;
}

int cmd_clients(int argc, char **argv) {
    struct out_options output = {0};
    bool departed = false;
    const struct args_option options[] = {
        {.name = "departed",
         .kind = ARGS_FLAG,
         .target = &departed,
         .help = "publishers and subscribers that closed or died, the latest first: the last 8 of each topic"},
        OPTION_JSON(output, "one object a line for each client"),
    };
    const struct args_spec spec = {
        .command = "clients",
        .words = "",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .summary =
            "Shows the programs that are connected, or the last figures of those that have gone. Reads shared memory\n"
            "only, so it works beside a dead daemon."};
    const char *words[ARGS_WORDS_MAX + 1];
    aether_metrics *metrics;

    int status = args_parse(&spec, argc, argv, words);
    if (status != ARGS_RUN)
        return status;
    const struct ae_view view = out_view(&output);
    status = metrics_open(&metrics);
    if (status == CLI_OK)
        status = departed ? show_departed(metrics, view) : show(metrics, view);
    aether_metrics_close(metrics);
    return status;
}
