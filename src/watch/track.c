/* SPDX-License-Identifier: Apache-2.0 */
/* track.c - what is remembered of a topic that was selected. */
#include "watch/track.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct ae_watch_track *ae_watch_track_new(size_t samples) {
    struct ae_watch_track *track = calloc(1, sizeof *track);

    if (track == NULL)
        return NULL;
    track->samples = samples > 0 ? calloc(samples, 2 * sizeof *track->samples) : NULL;
    if (samples > 0 && track->samples == NULL) {
        free(track);
        return NULL;
    }
    track->max = samples;
    return track;
}

void ae_watch_track_free(struct ae_watch_track *track) {
    if (track == NULL)
        return;
    free(track->samples);
    free(track->publishers.list);
    free(track->subscribers.list);
    free(track->spare.list);
    free(track);
}

/* The samples move to other memory, of another size. */
static int resize(struct ae_watch_track *track, size_t samples) {
    struct ae_watch_sample *room = samples > 0 ? calloc(samples, 2 * sizeof *room) : NULL;
    const size_t kept = track->count < samples ? track->count : samples;

    if (samples > 0 && room == NULL)
        return -ENOMEM;
    if (kept > 0)
        memcpy(room, track->samples + track->first + track->count - kept, kept * sizeof *room);
    free(track->samples);
    track->samples = room;
    track->first = 0;
    track->count = kept;
    track->max = samples;
    return 0;
}

/* There is room for twice as many samples, so that they are moved to its beginning only once in `max` passes. */
int ae_watch_track_sample(struct ae_watch_track *track, size_t samples, const struct ae_watch_sample *sample) {
    if (samples != track->max) {
        const int rc = resize(track, samples);
        if (rc != 0)
            return rc;
    }
    if (samples == 0)
        return 0;
    if (track->count == track->max) {
        track->first++;
        track->count--;
    }
    if (track->first + track->count == 2 * track->max) {
        memmove(track->samples, track->samples + track->first, track->count * sizeof *sample);
        track->first = 0;
    }
    track->samples[track->first + track->count++] = *sample;
    return 0;
}

/*
 * The counters of a grant; NULL: unknown. *at is where the search begins: behind the last one that was found. As both
 * lists are in the order in which they were opened, that is the right place, unless some have closed.
 */
static const struct ae_watch_counters *find(const struct ae_watch_peers *peers, size_t *at, uint64_t grant_id) {
    for (size_t i = *at; i < peers->count; i++) {
        if (peers->list[i].grant_id == grant_id) {
            *at = i + 1;
            return &peers->list[i].counters;
        }
    }
    return NULL;
}

static struct ae_watch_rates rates_since(const struct ae_watch_counters *before, const struct ae_watch_counters *now) {
    return before != NULL ? ae_watch_rates_between(before, now) : (struct ae_watch_rates){0};
}

void ae_watch_track_publisher_rates(const struct ae_watch_track *track, const aether_topic_metrics *topic,
                                    uint64_t taken_ns, struct ae_watch_rates *rates) {
    size_t at = 0;

    for (size_t i = 0; i < topic->publisher_count; i++) {
        const aether_publisher_metrics *p = &topic->publishers[i];
        const struct ae_watch_counters now = ae_watch_counters_of_publisher(p, taken_ns);
        const struct ae_watch_counters *before =
            track != NULL ? find(&track->publishers, &at, p->owner.grant_id) : NULL;
        rates[i] = rates_since(before, &now);
    }
}

void ae_watch_track_subscriber_rates(const struct ae_watch_track *track, const aether_topic_metrics *topic,
                                     uint64_t taken_ns, struct ae_watch_rates *rates) {
    size_t at = 0;

    for (size_t i = 0; i < topic->subscriber_count; i++) {
        const aether_subscriber_metrics *s = &topic->subscribers[i];
        const struct ae_watch_counters now = ae_watch_counters_of_subscriber(s, taken_ns);
        const struct ae_watch_counters *before =
            track != NULL ? find(&track->subscribers, &at, s->owner.grant_id) : NULL;
        rates[i] = rates_since(before, &now);
    }
}

static int make_room(struct ae_watch_peers *peers, size_t count) {
    if (count <= peers->room)
        return 0;
    struct ae_watch_peer *more = realloc(peers->list, count * sizeof *more);
    if (more == NULL)
        return -ENOMEM;
    peers->list = more;
    peers->room = count;
    return 0;
}

/* A loss is found in the list of the pass before, so the new list isn't made in its place. */
static void update_subscribers(struct ae_watch_track *track, const aether_topic_metrics *topic, uint64_t taken_ns) {
    const struct ae_watch_peers before = track->subscribers;
    size_t at = 0;

    for (size_t i = 0; i < topic->subscriber_count; i++) {
        const uint64_t grant_id = topic->subscribers[i].owner.grant_id;
        struct ae_watch_counters counters = ae_watch_counters_of_subscriber(&topic->subscribers[i], taken_ns);
        counters.loss = rates_since(find(&before, &at, grant_id), &counters).loss;
        track->spare.list[i] = (struct ae_watch_peer){.grant_id = grant_id, .counters = counters};
    }
    track->subscribers = track->spare;
    track->subscribers.count = topic->subscriber_count;
    track->spare = before;
}

int ae_watch_track_update(struct ae_watch_track *track, const aether_topic_metrics *topic, uint64_t taken_ns) {
    if (make_room(&track->publishers, topic->publisher_count) != 0 ||
        make_room(&track->spare, topic->subscriber_count) != 0)
        return -ENOMEM;
    for (size_t i = 0; i < topic->publisher_count; i++) {
        track->publishers.list[i].grant_id = topic->publishers[i].owner.grant_id;
        track->publishers.list[i].counters = ae_watch_counters_of_publisher(&topic->publishers[i], taken_ns);
    }
    track->publishers.count = topic->publisher_count;
    update_subscribers(track, topic, taken_ns);
    track->latency = topic->latency;
    track->has_latency = true;
    return 0;
}
