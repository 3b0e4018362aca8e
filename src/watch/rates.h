/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rates.h - what a counter has grown by a second, and what a histogram has gained.
 *
 * Figures come from other programs' memory. A counter that went back, which only damage does, counts as unchanged; so
 * no rate is negative.
 */
#ifndef AE_WATCH_RATES_H
#define AE_WATCH_RATES_H

#include <aether/metrics.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * For how long a loss is remembered after the pass that saw it: a loss that lasts for a moment must not be over before
 * somebody has read of it.
 */
#define AE_WATCH_LOSS_NS UINT64_C(10000000000)

/* What was lost between two passes: the last such loss. */
struct ae_watch_loss {
    uint64_t messages;  /* 0: there was none in the last AE_WATCH_LOSS_NS */
    uint64_t seen_ns;   /* when the second of the two passes read it, by the source's clock */
    aether_lost reason; /* of most of them */
};

/* A second, since the pass before. Of a publisher or subscriber, only what it has. */
struct ae_watch_rates {
    bool known; /* false: there is nothing to compare with yet, and the others are 0 */
    double published, published_bytes;
    double delivered, delivered_bytes;
    double lost, lost_by[AETHER_LOST_REASONS];
    double stalled; /* seconds that publishers had no room, a second: of one publisher the share of the time */
    struct ae_watch_loss loss; /* also if `known` is false; a sum has none */
};

/* The counters behind them, when they were read, and what is known from then. */
struct ae_watch_counters {
    uint64_t taken_ns;
    uint64_t published, published_bytes, delivered, delivered_bytes, stall_ns;
    uint64_t lost, lost_by[AETHER_LOST_REASONS];
    struct ae_watch_loss loss; /* as in the rates up to then; it is the caller's to set */
};

struct ae_watch_counters ae_watch_counters_of_topic(const aether_topic_metrics *topic, uint64_t taken_ns);
struct ae_watch_counters ae_watch_counters_of_publisher(const aether_publisher_metrics *publisher, uint64_t taken_ns);
struct ae_watch_counters ae_watch_counters_of_subscriber(const aether_subscriber_metrics *subscriber,
                                                         uint64_t taken_ns);

/* The rates between two readings, unknown if the second one isn't later; and the last loss, which may be `before`'s. */
struct ae_watch_rates ae_watch_rates_between(const struct ae_watch_counters *before,
                                             const struct ae_watch_counters *now);

/* Adds `from`, but for its loss, to `to`, which becomes known if `from` is. */
void ae_watch_rates_add(struct ae_watch_rates *to, const struct ae_watch_rates *from);

/* What `now` has more than `before`, bucket by bucket: the messages that were received in between. */
void ae_watch_latency_between(aether_latency *recent, const aether_latency *before, const aether_latency *now);

#endif
