/* SPDX-License-Identifier: Apache-2.0 */
/* holdup.c - finds who holds up whom in a topic's figures, and writes it as a sentence. */
#include "watch/holdup.h"
#include "view/amount.h"
#include "view/escape.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SECOND_NS UINT64_C(1000000000)

/* ---- finding ----------------------------------------------------------------------------------------------------- */

/* The subscriber that the publisher waits for, or NULL. The index comes from shared memory. */
static const aether_subscriber_metrics *subscriber_of(const aether_topic_metrics *topic,
                                                      const aether_publisher_metrics *p) {
    const bool waits = p->waits == AETHER_WAITS_SUBSCRIBER || p->waits == AETHER_WAITS_LANE;
    const int32_t i = p->waits_subscriber;

    return waits && i >= 0 && (size_t)i < topic->subscriber_count ? &topic->subscribers[i] : NULL;
}

static const aether_publisher_metrics *publisher_of(const aether_topic_metrics *topic,
                                                    const aether_publisher_metrics *p) {
    const int32_t i = p->waits_publisher;

    return p->waits == AETHER_WAITS_PUBLISHER && i >= 0 && (size_t)i < topic->publisher_count ? &topic->publishers[i]
                                                                                              : NULL;
}

/* Do two publishers wait for the same subscriber or publisher? Unknown ones are not the same. */
static bool same_culprit(const aether_topic_metrics *topic, const aether_publisher_metrics *a,
                         const aether_publisher_metrics *b) {
    const aether_subscriber_metrics *subscriber = subscriber_of(topic, a);
    const aether_publisher_metrics *publisher = publisher_of(topic, a);

    return (subscriber != NULL && subscriber == subscriber_of(topic, b)) ||
           (publisher != NULL && publisher == publisher_of(topic, b));
}

bool ae_watch_holdup_worse(const struct ae_watch_holdup *a, const struct ae_watch_holdup *b) {
    const uint64_t times[] = {a->for_ns != AETHER_UNKNOWN ? a->for_ns + 1 : 0,
                              b->for_ns != AETHER_UNKNOWN ? b->for_ns + 1 : 0};

    if (times[0] != times[1])
        return times[0] > times[1];
    return a->stuck != b->stuck ? b->stuck : a->behind > b->behind;
}

/* Adds a record to a list that is sorted, the worst first, and keeps the max worst ones. Returns the new length. */
static size_t insert(struct ae_watch_holdup *list, size_t count, size_t max, const struct ae_watch_holdup *record) {
    size_t at = count;

    while (at > 0 && ae_watch_holdup_worse(record, &list[at - 1]))
        at--;
    if (at == max)
        return count;
    const size_t end = count < max ? count : max - 1;
    memmove(&list[at + 1], &list[at], (end - at) * sizeof *list);
    list[at] = *record;
    return end + 1;
}

/* True if p has waited longest of those that wait for the same culprit; *others: how many more there are. */
static bool leads(const aether_topic_metrics *topic, const aether_publisher_metrics *p, uint64_t *others) {
    *others = 0;
    for (size_t i = 0; i < topic->publisher_count; i++) {
        const aether_publisher_metrics *q = &topic->publishers[i];
        if (q == p || q->waits == AETHER_WAITS_NOT || !same_culprit(topic, p, q))
            continue;
        if (q->waited_ns > p->waited_ns || (q->waited_ns == p->waited_ns && q < p))
            return false;
        ++*others;
    }
    return true;
}

static size_t add_publisher(const aether_topic_metrics *topic, const aether_publisher_metrics *p,
                            struct ae_watch_holdup *list, size_t count, size_t max) {
    const aether_subscriber_metrics *subscriber = subscriber_of(topic, p);
    const aether_publisher_metrics *publisher = publisher_of(topic, p);
    struct ae_watch_holdup record = {.victim = p->owner,
                                     .for_ns = p->waited_ns,
                                     .tried_ns = p->tried_ns,
                                     .loans = p->loans,
                                     .waits = p->waits,
                                     .known = subscriber != NULL || publisher != NULL};

    if (p->waits == AETHER_WAITS_NOT || !leads(topic, p, &record.others))
        return count;
    memcpy(record.topic, topic->info.name, sizeof record.topic);
    if (subscriber != NULL) {
        record.culprit = subscriber->owner;
        record.behind = subscriber->lag;
    } else if (publisher != NULL) {
        record.culprit = publisher->owner;
    }
    return insert(list, count, max, &record);
}

static bool is_culprit(const aether_topic_metrics *topic, const aether_subscriber_metrics *s) {
    for (size_t i = 0; i < topic->publisher_count; i++) {
        if (subscriber_of(topic, &topic->publishers[i]) == s)
            return true;
    }
    return false;
}

static size_t add_subscriber(const aether_topic_metrics *topic, const aether_subscriber_metrics *s,
                             struct ae_watch_holdup *list, size_t count, size_t max) {
    struct ae_watch_holdup record = {
        .stuck = true, .victim = s->owner, .for_ns = s->age_ns, .tried_ns = AETHER_UNKNOWN, .behind = s->lag};

    if (s->state != AETHER_SUBSCRIBER_STUCK || is_culprit(topic, s))
        return count;
    memcpy(record.topic, topic->info.name, sizeof record.topic);
    return insert(list, count, max, &record);
}

size_t ae_watch_holdups(const aether_topic_metrics *topic, struct ae_watch_holdup *list, size_t count, size_t max) {
    if (max == 0)
        return 0;
    for (size_t i = 0; i < topic->publisher_count; i++)
        count = add_publisher(topic, &topic->publishers[i], list, count, max);
    for (size_t i = 0; i < topic->subscriber_count; i++)
        count = add_subscriber(topic, &topic->subscribers[i], list, count, max);
    return count;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

struct text {
    char *at;
    size_t room;
};

__attribute__((format(printf, 2, 3))) static void put(struct text *text, const char *format, ...) {
    va_list args;

    va_start(args, format);
    const int len = vsnprintf(text->at, text->room, format, args);
    va_end(args);
    if (len <= 0)
        return;
    const size_t used = (size_t)len < text->room ? (size_t)len : text->room - 1;
    text->at += used;
    text->room -= used;
}

/* "subscriber risk (pid 790), which is stopped," */
static void put_owner(struct text *text, const char *role, const aether_owner *owner) {
    char name[AE_ESCAPED_SIZE(sizeof owner->client)];

    ae_escape(name, owner->client, strnlen(owner->client, sizeof owner->client));
    if (name[0] != '\0')
        put(text, "%s %s", role, name);
    else
        put(text, "%s of client %" PRIu64, role, owner->client_id);
    if (owner->pid != 0)
        put(text, " (pid %" PRIu32 ")", owner->pid);
    if (owner->process == 'T' || owner->process == 't')
        put(text, ", which is stopped,");
    else if (owner->process == 'Z' || owner->process == 'X')
        put(text, ", which is dead,");
}

/* Ends a clause: "which is stopped," is followed by a space or by nothing, never by a second comma. */
static void put_behind(struct text *text, uint64_t behind) {
    char count[AE_AMOUNT_SIZE];

    put(text, "%s %s behind", text->at[-1] == ',' ? "" : ",", ae_amount_count(count, behind));
}

static void put_cause(struct text *text, const struct ae_watch_holdup *h) {
    switch (h->waits) {
    case AETHER_WAITS_SUBSCRIBER:
    case AETHER_WAITS_LANE:
        put(text, h->waits == AETHER_WAITS_LANE ? " for lane bytes of " : " for ");
        if (h->known) {
            put_owner(text, "subscriber", &h->culprit);
            put_behind(text, h->behind);
        } else {
            put(text, "a reliable subscriber");
        }
        break;
    case AETHER_WAITS_PUBLISHER:
        put(text, " for the unfinished publish of ");
        if (h->known)
            put_owner(text, "publisher", &h->culprit);
        else
            put(text, "another publisher");
        break;
    case AETHER_WAITS_LOANS:
        put(text, " for its own loans, which fill its lane: %" PRIu64 " open", h->loans);
        break;
    case AETHER_WAITS_CLAIM:
        put(text, " because other publishers were faster at each try");
        break;
    case AETHER_WAITS_NOT:
        break;
    }
}

char *ae_watch_holdup_text(char text[AE_WATCH_HOLDUP_TEXT], const struct ae_watch_holdup *h) {
    struct text out = {.at = text, .room = AE_WATCH_HOLDUP_TEXT};
    char amount[AE_AMOUNT_SIZE];
    const bool known = h->for_ns != AETHER_UNKNOWN;

    put_owner(&out, h->stuck ? "subscriber" : "publisher", &h->victim);
    if (h->stuck) {
        put(&out, " is stuck: %s message%s wait%s", ae_amount_count(amount, h->behind), h->behind == 1 ? "" : "s",
            h->behind == 1 ? "s" : "");
        if (known)
            put(&out, ", %s %s", h->behind == 1 ? "for" : "the oldest for",
                ae_amount_duration(amount, (double)h->for_ns / 1e9));
        return text;
    }
    if (known)
        put(&out, " has waited %s", ae_amount_duration(amount, (double)h->for_ns / 1e9));
    else
        put(&out, " waits");
    put_cause(&out, h);
    if (out.at[-1] == ',')
        *--out.at = '\0';
    if (h->tried_ns != AETHER_UNKNOWN && h->tried_ns >= SECOND_NS)
        put(&out, ", and last tried %s ago", ae_amount_duration(amount, (double)h->tried_ns / 1e9));
    if (h->others > 0)
        put(&out, "; %s more publisher%s for it, too", ae_amount_count(amount, h->others),
            h->others == 1 ? " waits" : "s wait");
    return text;
}
