/* SPDX-License-Identifier: Apache-2.0 */
/*
 * holdup.h - who holds up whom: each publisher that waits for room and what it waits for, and each subscriber that is
 * stuck, as records and as sentences.
 */
#ifndef AE_WATCH_HOLDUP_H
#define AE_WATCH_HOLDUP_H

#include <aether/metrics.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ae_watch_holdup {
    char topic[256];      /* its name, NUL-terminated */
    aether_owner victim;  /* the publisher that waits, or the stuck subscriber */
    aether_owner culprit; /* what it waits for, if `known` */
    uint64_t for_ns;      /* for how long it has waited, or the age of its oldest message; AETHER_UNKNOWN */
    uint64_t behind;      /* messages: lag of the subscriber that is waited for, or that is stuck; else 0 */
    uint64_t tried_ns;    /* how long ago the publisher last found no room; AETHER_UNKNOWN */
    uint64_t loans;       /* open ones of the publisher */
    uint64_t others;      /* more publishers of the topic that wait for the same culprit, for less time */
    aether_waits waits;   /* what the publisher waits for */
    bool stuck;           /* false: a publisher waits; true: a subscriber is stuck, and no publisher waits for it */
    bool known;           /* the culprit is known */
};

/*
 * Adds the hold-ups of a topic to a list of `count` records, which is sorted, the worst first, and keeps the `max`
 * worst ones. Returns how many there are then. Publishers of a topic that wait for the same subscriber or publisher are
 * one record.
 */
size_t ae_watch_holdups(const aether_topic_metrics *topic, struct ae_watch_holdup *list, size_t count, size_t max);

/* Is a worse than b? Longer is worse; an unknown time is the least bad. */
bool ae_watch_holdup_worse(const struct ae_watch_holdup *a, const struct ae_watch_holdup *b);

/*
 * Writes the sentence, without the topic and without a full stop, NUL-terminated and escaped for terminals:
 *
 *     publisher feed (pid 812) has waited 3.20 s for subscriber risk (pid 790), which is stopped, 65,536 behind
 *     subscriber risk (pid 790) is stuck: 12,000 messages wait, the oldest for 2 s
 *
 * Returns text. If it is longer than the room, its end is left out.
 */
#define AE_WATCH_HOLDUP_TEXT 768
char *ae_watch_holdup_text(char text[AE_WATCH_HOLDUP_TEXT], const struct ae_watch_holdup *holdup);

#endif
