/* SPDX-License-Identifier: Apache-2.0 */
/* watch.c - a pass: each topic is seen once, compared with the pass before, and copied or summed. */
#include "watch/watch.h"
#include "watch/copy.h"
#include "watch/entries.h"
#include "watch/match.h"
#include "watch/problems.h"
#include "watch/select.h"
#include "watch/track.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TRACKS_MAX 4096 /* of topics that aren't selected: some 30 MiB */

struct ae_watch {
    struct ae_watch_source source;
    struct ae_watch_entries entries;
    uint64_t began_ns; /* the last pass that was completed */
    uint64_t index;    /* passes that were completed */

    /* One pass. */
    const struct ae_watch_options *options;
    size_t tracked;
    struct ae_watch_topic now; /* the present topic; what it points to is the source's */
    struct ae_watch_selection selection;
    struct ae_watch_copy pinned, scratch;
    struct ae_watch_entry *pinned_entry;
    struct ae_watch_topic unmatched; /* sum of the topics that the filter doesn't admit */

    /* What is handed out. */
    struct ae_watch_pass pass;
    const struct ae_watch_topic **selected;
    size_t selected_room;
    struct ae_watch_part *parts;
    size_t part_room;
};

const char *const ae_watch_order_names[] = {"rate", "lag", "age", "loss", "p99", "name", NULL};

int ae_watch_open(struct ae_watch **watch, struct ae_watch_source source) {
    *watch = calloc(1, sizeof **watch);
    if (*watch == NULL)
        return -ENOMEM;
    (*watch)->source = source;
    return 0;
}

void ae_watch_close(struct ae_watch *watch) {
    if (watch == NULL)
        return;
    ae_watch_entries_free(&watch->entries);
    ae_watch_select_free(&watch->selection);
    ae_watch_copy_clear(&watch->pinned);
    ae_watch_copy_clear(&watch->scratch);
    free(watch->selected);
    free(watch->parts);
    free(watch);
}

/* ---- one topic --------------------------------------------------------------------------------------------------- */

/* A topic that was created since the last pass began had counters of 0 at that time. */
static void find_rates(struct ae_watch *w, struct ae_watch_entry *entry) {
    const struct ae_watch_counters now = ae_watch_counters_of_topic(&w->now.figures, w->now.taken_ns);
    const struct ae_watch_counters zero = {.taken_ns = w->began_ns};
    const bool created = w->index > 0 && w->now.figures.info.created_mono_ns >= w->began_ns;

    if (entry->counted || created)
        w->now.rates = ae_watch_rates_between(entry->counted ? &entry->counters : &zero, &now);
    else
        w->now.rates = (struct ae_watch_rates){0};
    entry->counters = now;
    entry->counters.loss = w->now.rates.loss;
    entry->counted = true;
}

static double known_or_less(uint64_t ns) {
    return ns == AETHER_UNKNOWN ? -1 : (double)ns;
}

static struct ae_watch_key key_of(const struct ae_watch_topic *topic, enum ae_watch_order order, bool kept) {
    const aether_topic_metrics *t = &topic->figures;
    struct ae_watch_key key = {.kept = kept};

    switch (order) {
    case AE_WATCH_BY_RATE:
        key.values[0] = topic->rates.published;
        key.values[1] = topic->rates.delivered;
        key.values[2] = (double)t->published;
        break;
    case AE_WATCH_BY_LAG:
        key.values[0] = (double)t->lag;
        key.values[1] = topic->rates.published;
        break;
    case AE_WATCH_BY_AGE:
        key.values[0] = known_or_less(t->age_ns);
        key.values[1] = (double)t->lag;
        break;
    case AE_WATCH_BY_LOSS:
        key.values[0] = topic->rates.lost;
        key.values[1] = (double)t->lost;
        break;
    case AE_WATCH_BY_P99:
        key.values[0] = aether_latency_quantile(topic->has_recent ? &topic->recent : &t->latency, 0.99);
        break;
    case AE_WATCH_BY_NAME:
        break;
    }
    return key;
}

/* Selects the topic, or adds it to the sum of the others. */
static int select_or_add(struct ae_watch *w, struct ae_watch_entry *entry, bool kept) {
    const struct ae_watch_key key = key_of(&w->now, w->options->order, kept);
    struct ae_watch_slot *slot;
    bool replaces;
    int rc = ae_watch_select_offer(&w->selection, &key, w->now.figures.info.name, &slot, &replaces);

    if (rc == 0)
        ae_watch_topic_add(&w->pass.other, &w->now);
    if (rc <= 0)
        return rc;
    if (replaces)
        ae_watch_topic_add(&w->pass.other, &slot->copy.topic);
    rc = ae_watch_copy_make(&slot->copy, &w->now, entry->track);
    if (rc != 0)
        return rc;
    slot->key = key;
    slot->entry = entry;
    ae_watch_select_place(&w->selection);
    return 0;
}

static int add_part(struct ae_watch *w, aether_role role, const struct ae_watch_rates *rates,
                    const aether_publisher_metrics *publisher, const aether_subscriber_metrics *subscriber) {
    struct ae_watch_pass *pass = &w->pass;

    if (pass->part_count == AE_WATCH_PARTS_MAX) {
        pass->parts_left_out++;
        return 0;
    }
    if (pass->part_count == w->part_room) {
        const size_t room = w->part_room > 0 ? w->part_room * 2 : 8;
        struct ae_watch_part *more = realloc(w->parts, room * sizeof *more);
        if (more == NULL)
            return -ENOMEM;
        w->parts = more;
        w->part_room = room;
    }
    struct ae_watch_part *part = &w->parts[pass->part_count++];
    memset(part, 0, sizeof *part);
    memcpy(part->topic, w->now.figures.info.name, sizeof part->topic);
    part->role = role;
    part->rates = *rates;
    if (publisher != NULL)
        part->publisher = *publisher;
    else
        part->subscriber = *subscriber;
    return 0;
}

/* Has the client that was asked for a publisher or subscriber of the topic? */
static bool takes_part(const struct ae_watch *w) {
    const aether_topic_metrics *t = &w->now.figures;
    const uint64_t id = w->options->client_id;

    for (size_t i = 0; id != 0 && i < t->publisher_count; i++) {
        if (t->publishers[i].owner.client_id == id)
            return true;
    }
    for (size_t i = 0; id != 0 && i < t->subscriber_count; i++) {
        if (t->subscribers[i].owner.client_id == id)
            return true;
    }
    return false;
}

static int copy_parts(struct ae_watch *w, const struct ae_watch_track *track) {
    const aether_topic_metrics *t = &w->now.figures;
    const uint64_t id = w->options->client_id;
    int rc = ae_watch_copy_make(&w->scratch, &w->now, track); /* for the rates */

    for (size_t i = 0; rc == 0 && i < t->publisher_count; i++) {
        if (t->publishers[i].owner.client_id == id)
            rc = add_part(w, AETHER_ROLE_PUBLISHER, &w->scratch.topic.publisher_rates[i], &t->publishers[i], NULL);
    }
    for (size_t i = 0; rc == 0 && i < t->subscriber_count; i++) {
        const aether_subscriber_metrics *s = &t->subscribers[i];
        if (s->owner.client_id == id)
            rc = add_part(w, s->policy == AETHER_RELIABLE ? AETHER_ROLE_RELIABLE : AETHER_ROLE_BEST_EFFORT,
                          &w->scratch.topic.subscriber_rates[i], NULL, s);
    }
    return rc;
}

/* Remembers the topic for the passes to come. */
static int update_track(const struct ae_watch *w, struct ae_watch_track *track, const struct ae_watch_topic *topic) {
    const size_t max = w->options->history < AE_WATCH_HISTORY_MAX ? w->options->history : AE_WATCH_HISTORY_MAX;
    const struct ae_watch_sample sample = {
        .taken_ns = topic->taken_ns,
        .published = topic->rates.known ? topic->rates.published : -1,
        .lag = topic->figures.lag,
        .p99_ns = topic->has_recent ? aether_latency_quantile(&topic->recent, 0.99) : -1,
    };
    const int rc = ae_watch_track_sample(track, max, &sample);

    return rc == 0 ? ae_watch_track_update(track, &topic->figures, topic->taken_ns) : rc;
}

/* Finds what the topic received since the pass before, if it is remembered. */
static void find_recent(struct ae_watch *w, const struct ae_watch_track *track) {
    w->now.has_recent = track != NULL && track->has_latency;
    if (w->now.has_recent)
        ae_watch_latency_between(&w->now.recent, &track->latency, &w->now.figures.latency);
}

/*
 * Topics that aren't selected are remembered, too, if they are ordered by recent latencies, if a client is shown, or if
 * the pass after this one has to say which subscribers lose messages or have lost some, and which publishers have no
 * room.
 */
static int want_track(struct ae_watch *w, struct ae_watch_entry *entry, bool wanted) {
    if (entry->track == NULL && wanted && w->tracked < TRACKS_MAX) {
        entry->track = ae_watch_track_new(w->options->history);
        if (entry->track == NULL)
            return -ENOMEM;
    }
    if (entry->track != NULL) {
        w->tracked++;
        if (wanted)
            entry->track->wanted = w->index;
    }
    return 0;
}

/* rated: the rates of single publishers and subscribers matter. */
static int add_problems(struct ae_watch *w, const struct ae_watch_track *track, bool rated) {
    struct ae_watch_pass *pass = &w->pass;
    const struct ae_watch_topic *topic = &w->now;

    if (rated && track != NULL) {
        const int rc = ae_watch_copy_make(&w->scratch, &w->now, track);
        if (rc != 0)
            return rc;
        topic = &w->scratch.topic;
    }
    pass->problem_count = ae_watch_problems(topic, &pass->instance, AE_WATCH_PATIENCE_NS, pass->problems,
                                            pass->problem_count, AE_WATCH_PROBLEMS_MAX);
    return 0;
}

/* Handles the topic that the source has filled in. */
static int take(struct ae_watch *w) {
    const struct ae_watch_options *options = w->options;
    const char *name = w->now.figures.info.name;
    struct ae_watch_pass *pass = &w->pass;
    struct ae_watch_entry *entry =
        ae_watch_entries_get(&w->entries, w->now.figures.info.id, w->now.figures.info.created_ns);

    if (entry == NULL)
        return -ENOMEM;
    const bool matches = ae_watch_match(options->filter, name);
    const bool part = takes_part(w);
    const bool kept = options->keep && entry->selected;
    entry->seen = w->index;
    entry->selected = false;
    pass->topics++;
    pass->matching += matches;
    find_rates(w, entry);
    const bool rated = w->now.rates.loss.messages > 0 || w->now.rates.stalled > 0;
    int rc = want_track(w, entry, part || rated || (matches && options->order == AE_WATCH_BY_P99));
    if (rc != 0)
        return rc;
    find_recent(w, entry->track);
    if (matches || part)
        rc = add_problems(w, entry->track, rated);
    if (rc != 0)
        return rc;
    if (matches)
        rc = select_or_add(w, entry, kept);
    else
        ae_watch_topic_add(&w->unmatched, &w->now);
    if (rc == 0 && part)
        rc = copy_parts(w, entry->track);
    if (rc == 0 && options->pinned != NULL && strcmp(options->pinned, name) == 0) {
        rc = ae_watch_copy_make(&w->pinned, &w->now, entry->track);
        w->pinned_entry = entry;
    }
    return rc == 0 && entry->track != NULL ? update_track(w, entry->track, &w->now) : rc;
}

/* ---- a pass ------------------------------------------------------------------------------------------------------ */

static void begin(struct ae_watch *w, const struct ae_watch_options *options) {
    memset(&w->pass, 0, sizeof w->pass);
    memset(&w->unmatched, 0, sizeof w->unmatched);
    w->pass.index = w->index;
    w->options = options;
    w->tracked = 0;
    w->pinned_entry = NULL;
    ae_watch_select_begin(&w->selection, options->topics, options->reverse);
}

/* Gives the copy of a topic its samples, and begins to remember the topic if it wasn't yet. */
static int finish_copy(const struct ae_watch *w, struct ae_watch_entry *entry, struct ae_watch_topic *topic) {
    if (entry->track == NULL) {
        entry->track = ae_watch_track_new(w->options->history);
        if (entry->track == NULL)
            return -ENOMEM;
        const int rc = update_track(w, entry->track, topic);
        if (rc != 0)
            return rc;
    }
    entry->track->wanted = w->index;
    topic->samples = entry->track->samples + entry->track->first;
    topic->sample_count = entry->track->count;
    return 0;
}

static int finish_selected(struct ae_watch *w) {
    struct ae_watch_pass *pass = &w->pass;
    const size_t count = w->selection.count;

    if (count > w->selected_room) {
        const struct ae_watch_topic **more = realloc(w->selected, count * sizeof(const struct ae_watch_topic *));
        if (more == NULL)
            return -ENOMEM;
        w->selected = more;
        w->selected_room = count;
    }
    ae_watch_select_finish(&w->selection);
    for (size_t i = 0; i < count; i++) {
        struct ae_watch_slot *slot = w->selection.slots[i];
        const int rc = finish_copy(w, slot->entry, &slot->copy.topic);
        if (rc != 0)
            return rc;
        slot->entry->selected = true;
        w->selected[i] = &slot->copy.topic;
        ae_watch_topic_add(&pass->total, &slot->copy.topic);
    }
    ae_watch_topic_add(&pass->total, &pass->other);
    ae_watch_topic_add(&pass->total, &w->unmatched);
    pass->selected = w->selected;
    pass->selected_count = count;
    return 0;
}

static int by_topic(const void *a, const void *b) {
    const struct ae_watch_part *x = a, *y = b;
    const int order = strcmp(x->topic, y->topic);

    return order != 0 ? order : (x->role > y->role) - (x->role < y->role);
}

/* Finds the client that was asked for. */
static int find_client(struct ae_watch *w) {
    struct ae_watch_pass *pass = &w->pass;
    uint32_t cursor = 0;
    int rc = 0;

    if (pass->part_count > 0)
        qsort(w->parts, pass->part_count, sizeof *w->parts, by_topic);
    pass->parts = w->parts;
    while (w->options->client_id != 0 && !pass->has_client) {
        rc = w->source.client(w->source.self, &cursor, &pass->client);
        if (rc <= 0)
            break;
        pass->has_client = pass->client.client_id == w->options->client_id;
    }
    return rc < 0 ? rc : 0;
}

static int finish(struct ae_watch *w) {
    const uint64_t keep = w->options->history > 0 ? w->options->history : 1;
    int rc = finish_selected(w);

    if (rc == 0 && w->pinned_entry != NULL)
        rc = finish_copy(w, w->pinned_entry, &w->pinned.topic);
    if (rc == 0)
        rc = find_client(w);
    if (rc != 0)
        return rc;
    w->pass.pinned = w->pinned_entry != NULL ? &w->pinned.topic : NULL;
    ae_watch_entries_sweep(&w->entries, w->index, w->index > keep ? w->index - keep : 0);
    return 0;
}

int ae_watch_pass(struct ae_watch *w, const struct ae_watch_options *options, const struct ae_watch_pass **pass) {
    const uint64_t began_ns = w->source.now(w->source.self);
    int rc;

    *pass = NULL;
    begin(w, options);
    rc = w->source.begin(w->source.self, &w->pass.instance);
    if (rc < 0)
        return rc;
    while ((rc = w->source.next(w->source.self, &w->now.figures)) > 0) {
        w->now.taken_ns = w->source.now(w->source.self);
        rc = take(w);
        if (rc < 0)
            return rc;
    }
    if (rc == 0)
        rc = finish(w);
    if (rc < 0)
        return rc;
    w->began_ns = began_ns;
    w->index++;
    *pass = &w->pass;
    return 0;
}
