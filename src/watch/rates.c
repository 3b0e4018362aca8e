/* SPDX-License-Identifier: Apache-2.0 */
/* rates.c - differences of counters and histograms. */
#include "watch/rates.h"
#include <string.h>

struct ae_watch_counters ae_watch_counters_of_topic(const aether_topic_metrics *topic, uint64_t taken_ns) {
    struct ae_watch_counters counters = {.taken_ns = taken_ns,
                                         .published = topic->published,
                                         .published_bytes = topic->published_bytes,
                                         .delivered = topic->delivered,
                                         .delivered_bytes = topic->delivered_bytes,
                                         .stall_ns = topic->stall_ns,
                                         .lost = topic->lost};

    memcpy(counters.lost_by, topic->lost_by, sizeof counters.lost_by);
    return counters;
}

struct ae_watch_counters ae_watch_counters_of_publisher(const aether_publisher_metrics *publisher, uint64_t taken_ns) {
    return (struct ae_watch_counters){.taken_ns = taken_ns,
                                      .published = publisher->messages,
                                      .published_bytes = publisher->bytes,
                                      .stall_ns = publisher->stall_ns};
}

struct ae_watch_counters ae_watch_counters_of_subscriber(const aether_subscriber_metrics *subscriber,
                                                         uint64_t taken_ns) {
    struct ae_watch_counters counters = {.taken_ns = taken_ns,
                                         .delivered = subscriber->delivered,
                                         .delivered_bytes = subscriber->bytes,
                                         .lost = subscriber->lost};

    memcpy(counters.lost_by, subscriber->lost_by, sizeof counters.lost_by);
    return counters;
}

static uint64_t grown(uint64_t before, uint64_t now) {
    return now > before ? now - before : 0;
}

/* The last loss, as the second of two readings knows it. */
static struct ae_watch_loss loss_between(const struct ae_watch_counters *before, const struct ae_watch_counters *now) {
    struct ae_watch_loss loss = {.messages = grown(before->lost, now->lost), .seen_ns = now->taken_ns};
    uint64_t most = grown(before->lost_by[0], now->lost_by[0]);

    if (loss.messages == 0) {
        const bool recent = grown(before->loss.seen_ns, now->taken_ns) <= AE_WATCH_LOSS_NS;
        return recent ? before->loss : (struct ae_watch_loss){0};
    }
    for (int i = 1; i < AETHER_LOST_REASONS; i++) {
        const uint64_t count = grown(before->lost_by[i], now->lost_by[i]);
        if (count > most) {
            loss.reason = (aether_lost)i;
            most = count;
        }
    }
    return loss;
}

struct ae_watch_rates ae_watch_rates_between(const struct ae_watch_counters *before,
                                             const struct ae_watch_counters *now) {
    struct ae_watch_rates rates = {.loss = loss_between(before, now)};

    if (now->taken_ns <= before->taken_ns)
        return rates;
    const double seconds = (double)(now->taken_ns - before->taken_ns) / 1e9;
    rates.known = true;
    rates.published = (double)grown(before->published, now->published) / seconds;
    rates.published_bytes = (double)grown(before->published_bytes, now->published_bytes) / seconds;
    rates.delivered = (double)grown(before->delivered, now->delivered) / seconds;
    rates.delivered_bytes = (double)grown(before->delivered_bytes, now->delivered_bytes) / seconds;
    rates.lost = (double)grown(before->lost, now->lost) / seconds;
    for (int i = 0; i < AETHER_LOST_REASONS; i++)
        rates.lost_by[i] = (double)grown(before->lost_by[i], now->lost_by[i]) / seconds;
    rates.stalled = (double)grown(before->stall_ns, now->stall_ns) / 1e9 / seconds;
    return rates;
}

void ae_watch_rates_add(struct ae_watch_rates *to, const struct ae_watch_rates *from) {
    to->known = to->known || from->known;
    to->published += from->published;
    to->published_bytes += from->published_bytes;
    to->delivered += from->delivered;
    to->delivered_bytes += from->delivered_bytes;
    to->lost += from->lost;
    for (int i = 0; i < AETHER_LOST_REASONS; i++)
        to->lost_by[i] += from->lost_by[i];
    to->stalled += from->stalled;
}

void ae_watch_latency_between(aether_latency *recent, const aether_latency *before, const aether_latency *now) {
    recent->samples = grown(before->samples, now->samples);
    recent->negative = grown(before->negative, now->negative);
    recent->missed = grown(before->missed, now->missed);
    recent->overflow = grown(before->overflow, now->overflow);
    for (unsigned i = 0; i < AETHER_LATENCY_BUCKETS; i++)
        recent->buckets[i] = grown(before->buckets[i], now->buckets[i]);
}
