/* SPDX-License-Identifier: Apache-2.0 */
/* subscription.c - an array of subscribers that only grows. */
#include "subscription.h"
#include "error.h"
#include <stdlib.h>
#include <string.h>

#define GROWTH 64u

int subscription_open(struct subscription *s) {
    const int rc = aether_waitset_open(&s->set);

    return rc < 0 ? cli_library_error(rc) : CLI_OK;
}

void subscription_close(struct subscription *s) {
    for (size_t i = 0; i < s->count; i++) {
        aether_subscriber_close(s->topics[i]->subscriber);
        free(s->topics[i]);
    }
    aether_waitset_close(s->set);
    free(s->topics);
}

/* The name is stored behind the struct. */
static struct sub_topic *make_topic(struct subscription *s, const char *name, bool asked) {
    const size_t size = strlen(name) + 1;
    struct sub_topic *topic;

    if (s->count % GROWTH == 0) {
        struct sub_topic **more = realloc(s->topics, (s->count + GROWTH) * sizeof(struct sub_topic *));
        if (more == NULL)
            return NULL;
        s->topics = more;
    }
    topic = malloc(sizeof *topic + size);
    if (topic != NULL)
        *topic = (struct sub_topic){.name = memcpy(topic + 1, name, size), .asked = asked};
    return topic;
}

int subscription_add(struct subscription *s, const char *name, bool asked, bool late) {
    aether_subscribe_options options = s->options;
    aether_topic_config config = s->config;
    struct sub_topic *topic = make_topic(s, name, asked);

    if (topic == NULL)
        return cli_error(1, "out of memory for topic '%s'", name);
    if (late) {
        options.from = AETHER_FROM_OLDEST;
        options.last = 0;
    }
    if (!asked)
        config.open = AETHER_OPEN_EXISTING;
    int rc = aether_subscriber_open(s->client, name, &options, &config, &topic->subscriber);
    if (rc == 0) {
        rc = aether_waitset_add(s->set, topic->subscriber, topic);
        if (rc == 0) {
            s->topics[s->count++] = topic;
            return 0;
        }
        aether_subscriber_close(topic->subscriber);
    }
    free(topic);
    return rc;
}

void subscription_stats(const struct subscription *s, aether_subscriber_stats *sum) {
    *sum = (aether_subscriber_stats){.delivered = 0};
    for (size_t i = 0; i < s->count; i++) {
        aether_subscriber_stats stats;
        aether_subscriber_get_stats(s->topics[i]->subscriber, &stats);
        sum->delivered += stats.delivered;
        sum->lost += stats.lost;
        sum->gaps += stats.gaps;
        sum->aborted += stats.aborted;
        sum->skipped += stats.skipped;
        sum->evicted += stats.evicted;
    }
}

aether_stream subscription_ended(const struct subscription *s) {
    aether_stream ended = s->count > 0 ? AETHER_STREAM_CLOSED : AETHER_STREAM_NONE;

    for (size_t i = 0; i < s->count; i++) {
        const aether_stream stream = aether_subscriber_stream(s->topics[i]->subscriber);
        if (stream != AETHER_STREAM_CLOSED && stream != AETHER_STREAM_DIED)
            return AETHER_STREAM_NONE;
        if (stream == AETHER_STREAM_DIED)
            ended = stream;
    }
    return ended;
}
