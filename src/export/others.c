/* SPDX-License-Identifier: Apache-2.0 */
#include "export/others.h"
#include "base/error.h"
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#define COUNTERS_MAX 40 /* of a topic; a unit test checks it */
#define BUCKETS_MIN 256

/* The counters of a topic. */
struct counters {
    uint64_t values[COUNTERS_MAX];
    struct ae_powers latency;
};

struct topic {
    struct topic *next;         /* in its bucket */
    uint64_t id, created_ns;    /* name the topic for ever */
    uint64_t pass;              /* that saw it last */
    bool named;                 /* in that pass */
    struct counters now, added; /* the highest values so far; those up to which they are in the sum, or in a series */
};

struct ae_others {
    uint64_t since_ns, pass;
    size_t rows[COUNTERS_MAX], row_count; /* the counters among the rows of a topic */
    const aether_metric *table;
    struct topic **buckets;
    size_t bucket_count, count; /* a power of two; topics */
    struct ae_view_sum sum;
};

struct ae_others *ae_others_open(uint64_t since_ns) {
    struct ae_others *o = calloc(1, sizeof *o);
    size_t count;

    if (o == NULL)
        return NULL;
    o->since_ns = since_ns;
    o->bucket_count = BUCKETS_MIN;
    o->buckets = calloc(o->bucket_count, sizeof(struct topic *));
    if (o->buckets == NULL) {
        free(o);
        return NULL;
    }
    o->table = ae_metrics_of(AETHER_SCOPE_TOPIC, &count);
    for (size_t i = 0; i < count && o->row_count < COUNTERS_MAX; i++)
        if (o->table[i].kind == AETHER_COUNTER)
            o->rows[o->row_count++] = i;
    return o;
}

void ae_others_close(struct ae_others *others) {
    if (others == NULL)
        return;
    for (size_t i = 0; i < others->bucket_count; i++) {
        for (struct topic *t = others->buckets[i], *next; t != NULL; t = next) {
            next = t->next;
            free(t);
        }
    }
    free(others->buckets);
    free(others);
}

/* ---- topics by their id ------------------------------------------------------------------------------------------ */

static size_t index_of(uint64_t id, size_t bucket_count) {
    return (size_t)((id * 0x9e3779b97f4a7c15u) >> 32) & (bucket_count - 1);
}

static struct topic *find(const struct ae_others *o, const aether_topic_info *info) {
    struct topic *t = o->buckets[index_of(info->id, o->bucket_count)];

    while (t != NULL && (t->id != info->id || t->created_ns != info->created_ns))
        t = t->next;
    return t;
}

static void put(struct topic **buckets, size_t bucket_count, struct topic *t) {
    struct topic **bucket = &buckets[index_of(t->id, bucket_count)];

    t->next = *bucket;
    *bucket = t;
}

/* Doubles the buckets. Without memory the lists become longer instead. */
static void grow(struct ae_others *o) {
    struct topic **old = o->buckets, **wider = calloc(2 * o->bucket_count, sizeof(struct topic *));

    if (wider == NULL)
        return;
    for (size_t i = 0; i < o->bucket_count; i++) {
        for (struct topic *t = old[i], *next; t != NULL; t = next) {
            next = t->next;
            put(wider, 2 * o->bucket_count, t);
        }
    }
    o->buckets = wider;
    o->bucket_count *= 2;
    free(old);
}

static struct topic *add(struct ae_others *o, const aether_topic_info *info) {
    struct topic *t = calloc(1, sizeof *t);

    if (t == NULL)
        return NULL;
    if (o->count >= o->bucket_count)
        grow(o);
    t->id = info->id;
    t->created_ns = info->created_ns;
    put(o->buckets, o->bucket_count, t);
    o->count++;
    return t;
}

/* ---- a pass ------------------------------------------------------------------------------------------------------ */

static void read_counters(const struct ae_others *o, struct counters *counters, const aether_topic_metrics *topic) {
    for (size_t i = 0; i < o->row_count; i++)
        counters->values[i] = aether_metric_value(&o->table[o->rows[i]], topic);
    ae_powers_from(&counters->latency, &topic->latency);
}

static void raise(uint64_t *to, uint64_t value) {
    if (value > *to)
        *to = value;
}

/* A counter that goes back, which only damage or a lie does, has gained nothing until it is higher than ever before. */
static void raise_counters(struct counters *to, const struct counters *from) {
    for (size_t i = 0; i < COUNTERS_MAX; i++)
        raise(&to->values[i], from->values[i]);
    for (size_t i = 0; i <= AE_POWERS; i++)
        raise(&to->latency.counts[i], from->latency.counts[i]);
    raise(&to->latency.samples, from->latency.samples);
    raise(&to->latency.negative, from->latency.negative);
    raise(&to->latency.missed, from->latency.missed);
    if (from->latency.sum_ns > to->latency.sum_ns)
        to->latency.sum_ns = from->latency.sum_ns;
}

void ae_others_begin(struct ae_others *others) {
    others->pass++;
}

int ae_others_topic(struct ae_others *others, const aether_topic_metrics *topic) {
    struct topic *t = find(others, &topic->info);
    const bool new = t == NULL;
    struct counters now = {0};

    if (new && (t = add(others, &topic->info)) == NULL)
        return ae_fail(-ENOMEM, "no memory for the counters of one more topic");
    read_counters(others, &now, topic);
    raise_counters(&t->now, &now);
    if (new && topic->info.created_mono_ns < others->since_ns)
        t->added = t->now;
    t->pass = others->pass;
    t->named = false;
    return 0;
}

void ae_others_named(struct ae_others *others, const aether_topic_info *info) {
    struct topic *t = find(others, info);

    if (t != NULL)
        t->named = true;
}

static uint64_t plus(uint64_t a, uint64_t b) {
    return b > UINT64_MAX - a ? UINT64_MAX : a + b;
}

/* Adds what the topic has gained since it was added last. */
static void add_to_sum(struct ae_others *o, const struct topic *t) {
    const struct counters *now = &t->now, *added = &t->added;

    for (size_t i = 0; i < o->row_count; i++) {
        uint64_t *value = &o->sum.values[o->rows[i]];
        *value = plus(*value, now->values[i] - added->values[i]);
    }
    for (size_t i = 0; i <= AE_POWERS; i++)
        o->sum.latency.counts[i] = plus(o->sum.latency.counts[i], now->latency.counts[i] - added->latency.counts[i]);
    o->sum.latency.samples = plus(o->sum.latency.samples, now->latency.samples - added->latency.samples);
    o->sum.latency.negative = plus(o->sum.latency.negative, now->latency.negative - added->latency.negative);
    o->sum.latency.missed = plus(o->sum.latency.missed, now->latency.missed - added->latency.missed);
    o->sum.latency.sum_ns += now->latency.sum_ns - added->latency.sum_ns;
}

const struct ae_view_sum *ae_others_end(struct ae_others *others) {
    for (size_t i = 0; i < others->bucket_count; i++) {
        for (struct topic **link = &others->buckets[i]; *link != NULL;) {
            struct topic *t = *link;
            if (t->pass != others->pass) {
                *link = t->next;
                free(t);
                others->count--;
                continue;
            }
            if (!t->named)
                add_to_sum(others, t);
            t->added = t->now;
            link = &t->next;
        }
    }
    return &others->sum;
}
