/* SPDX-License-Identifier: Apache-2.0 */
/* topic.c - sums of topics. */
#include "watch/topic.h"
#include "base/histogram.h"

static void add(uint64_t *to, uint64_t from) {
    *to = ae_saturating_add(*to, from);
}

static void raise_to(uint64_t *to, uint64_t from) {
    if (from > *to)
        *to = from;
}

/* A known age counts more than an unknown one, and an unknown one more than 0, which says that nothing is unread. */
static void raise_age(uint64_t *to, uint64_t from) {
    if (*to == 0 || (*to == AETHER_UNKNOWN && from != 0) || (from != AETHER_UNKNOWN && from > *to))
        *to = from;
}

static void add_info(aether_topic_info *to, const aether_topic_info *from) {
    add(&to->messages, from->messages);
    add(&to->capacity, from->capacity);
    add(&to->memory_bytes, from->memory_bytes);
    add(&to->joins, from->joins);
    add(&to->full, from->full);
    to->publishers += from->publishers;
    to->reliable += from->reliable;
    to->best_effort += from->best_effort;
    raise_to(&to->max_lag, from->max_lag);
}

static void add_figures(aether_topic_metrics *to, const aether_topic_metrics *from) {
    add_info(&to->info, &from->info);
    add(&to->published, from->published);
    add(&to->published_bytes, from->published_bytes);
    add(&to->batches, from->batches);
    add(&to->full, from->full);
    add(&to->stalls, from->stalls);
    add(&to->stall_ns, from->stall_ns);
    add(&to->retries, from->retries);
    add(&to->wakes, from->wakes);
    raise_to(&to->stall_longest, from->stall_longest);
    add(&to->waiting, from->waiting);
    raise_to(&to->waited_ns, from->waited_ns);
    add(&to->delivered, from->delivered);
    add(&to->delivered_bytes, from->delivered_bytes);
    add(&to->lost, from->lost);
    for (size_t i = 0; i < AETHER_LOST_REASONS; i++)
        add(&to->lost_by[i], from->lost_by[i]);
    add(&to->gaps, from->gaps);
    add(&to->aborted, from->aborted);
    add(&to->skipped, from->skipped);
    add(&to->evictions, from->evictions);
    add(&to->sleeps, from->sleeps);
    add(&to->woken, from->woken);
    add(&to->accounted, from->accounted);
    add(&to->publishers_died, from->publishers_died);
    add(&to->subscribers_died, from->subscribers_died);
    raise_to(&to->lag, from->lag);
    add(&to->overwritten, from->overwritten);
    raise_age(&to->age_ns, from->age_ns);
    add(&to->stuck, from->stuck);
    aether_latency_add(&to->latency, &from->latency);
}

void ae_watch_topic_add(struct ae_watch_topic *sum, const struct ae_watch_topic *topic) {
    add_figures(&sum->figures, &topic->figures);
    ae_watch_rates_add(&sum->rates, &topic->rates);
    raise_to(&sum->taken_ns, topic->taken_ns);
    if (topic->has_recent) {
        aether_latency_add(&sum->recent, &topic->recent);
        sum->has_recent = true;
    }
}
