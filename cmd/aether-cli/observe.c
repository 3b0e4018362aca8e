/* SPDX-License-Identifier: Apache-2.0 */
/* observe.c - metrics, with errors as the commands report them. */
#include "observe.h"
#include "daemon.h"
#include "error.h"
#include "inspect.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int metrics_open(aether_metrics **metrics) {
    const int rc = aether_metrics_open(metrics, cli_socket());

    if (rc == 0)
        return CLI_OK;
    *metrics = NULL;
    return inspect_error(rc);
}

int metrics_topic(aether_metrics *metrics, const char *name, aether_topic_metrics *topic) {
    const int rc = aether_metrics_find(metrics, name, topic);

    if (rc < 0)
        return cli_error(CLI_FAILURE, "%s", aether_errmsg());
    return rc == 0 ? no_topic(name) : CLI_OK;
}

/* ---- passes over all topics -------------------------------------------------------------------------------------- */

int observer_open(struct observer *observer) {
    memset(observer, 0, sizeof *observer);
    const int status = metrics_open(&observer->metrics);
    if (status != CLI_OK)
        return status;
    if (ae_watch_open(&observer->watch, ae_watch_metrics_source(observer->metrics)) != 0)
        return cli_error(CLI_FAILURE, "out of memory for passes over the topics");
    return CLI_OK;
}

void observer_close(struct observer *observer) {
    ae_watch_close(observer->watch);
    aether_metrics_close(observer->metrics);
    free(observer->topics);
    memset(observer, 0, sizeof *observer);
}

static bool is_named(const struct args_list *names, const char *topic) {
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->items[i], topic) == 0)
            return true;
    }
    return names->count == 0;
}

/* Reports the first name that isn't a topic's. */
static int check_names(const struct observer *observer, const struct args_list *names) {
    for (size_t i = 0; i < names->count; i++) {
        size_t j = 0;
        while (j < observer->count && strcmp(observer->topics[j]->figures.info.name, names->items[i]) != 0)
            j++;
        if (j == observer->count)
            return no_topic(names->items[i]);
    }
    return CLI_OK;
}

int observer_pass(struct observer *observer, const struct args_list *names) {
    const struct ae_watch_options options = {.topics = SIZE_MAX, .order = AE_WATCH_BY_NAME};
    const int rc = ae_watch_pass(observer->watch, &options, &observer->pass);

    observer->count = 0;
    if (rc == -ENOMEM)
        return cli_error(CLI_FAILURE, "out of memory for the topics' metrics");
    if (rc < 0)
        return inspect_error(rc);
    const struct ae_watch_pass *pass = observer->pass;
    const struct ae_watch_topic **topics =
        realloc(observer->topics, (pass->selected_count + 1) * sizeof(const struct ae_watch_topic *));
    if (topics == NULL)
        return cli_error(CLI_FAILURE, "out of memory for a list of the topics");
    observer->topics = topics;
    for (size_t i = 0; i < pass->selected_count; i++) {
        if (is_named(names, pass->selected[i]->figures.info.name))
            topics[observer->count++] = pass->selected[i];
    }
    return check_names(observer, names);
}

struct ae_view note_daemon(struct ae_view view, const aether_daemon_info *daemon) {
    view.orphaned = !daemon->running;
    if (view.orphaned && view.form != &ae_json_form)
        (void)cli_error(CLI_OK, "no aetherd runs at %s: what follows is what pid %u left", cli_socket(), daemon->pid);
    return view;
}

uint32_t evicted_count(const aether_topic_metrics *topic) {
    uint32_t count = 0;

    for (size_t i = 0; i < topic->subscriber_count; i++)
        count += topic->subscribers[i].evictions != 0;
    return count;
}
