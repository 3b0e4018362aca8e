/* SPDX-License-Identifier: Apache-2.0 */
/* copy.c - deep copies of topics. */
#include "watch/copy.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

void ae_watch_copy_clear(struct ae_watch_copy *copy) {
    free(copy->publishers);
    free(copy->subscribers);
    free(copy->departed);
    free(copy->publisher_rates);
    free(copy->subscriber_rates);
    memset(copy, 0, sizeof *copy);
}

/* Replaces an array whose contents don't matter any more. */
static void *array(void *old, size_t count, size_t size) {
    free(old);
    return calloc(count, size);
}

static int make_room(struct ae_watch_copy *copy, const aether_topic_metrics *figures) {
    if (figures->publisher_count > copy->publisher_room) {
        copy->publisher_room = figures->publisher_count + 2;
        copy->publishers = array(copy->publishers, copy->publisher_room, sizeof *copy->publishers);
        copy->publisher_rates = array(copy->publisher_rates, copy->publisher_room, sizeof *copy->publisher_rates);
        if (copy->publishers == NULL || copy->publisher_rates == NULL)
            return -ENOMEM;
    }
    if (figures->subscriber_count > copy->subscriber_room) {
        copy->subscriber_room = figures->subscriber_count + 2;
        copy->subscribers = array(copy->subscribers, copy->subscriber_room, sizeof *copy->subscribers);
        copy->subscriber_rates = array(copy->subscriber_rates, copy->subscriber_room, sizeof *copy->subscriber_rates);
        if (copy->subscribers == NULL || copy->subscriber_rates == NULL)
            return -ENOMEM;
    }
    if (figures->departed_count > copy->departed_room) {
        copy->departed_room = figures->departed_count;
        copy->departed = array(copy->departed, copy->departed_room, sizeof *copy->departed);
        if (copy->departed == NULL)
            return -ENOMEM;
    }
    return 0;
}

int ae_watch_copy_make(struct ae_watch_copy *copy, const struct ae_watch_topic *topic,
                       const struct ae_watch_track *track) {
    const aether_topic_metrics *figures = &topic->figures;

    if (make_room(copy, figures) != 0) {
        ae_watch_copy_clear(copy);
        return -ENOMEM;
    }
    if (figures->publisher_count > 0)
        memcpy(copy->publishers, figures->publishers, figures->publisher_count * sizeof *copy->publishers);
    if (figures->subscriber_count > 0)
        memcpy(copy->subscribers, figures->subscribers, figures->subscriber_count * sizeof *copy->subscribers);
    if (figures->departed_count > 0)
        memcpy(copy->departed, figures->departed, figures->departed_count * sizeof *copy->departed);
    ae_watch_track_publisher_rates(track, figures, topic->taken_ns, copy->publisher_rates);
    ae_watch_track_subscriber_rates(track, figures, topic->taken_ns, copy->subscriber_rates);
    copy->topic = *topic;
    copy->topic.figures.publishers = copy->publishers;
    copy->topic.figures.subscribers = copy->subscribers;
    copy->topic.figures.departed = copy->departed;
    copy->topic.publisher_rates = copy->publisher_rates;
    copy->topic.subscriber_rates = copy->subscriber_rates;
    copy->topic.samples = NULL;
    copy->topic.sample_count = 0;
    return 0;
}
