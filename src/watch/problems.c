/* SPDX-License-Identifier: Apache-2.0 */
/* problems.c - finds what is wrong in a topic's figures and rates. */
#include "watch/problems.h"
#include "view/names.h"
#include <string.h>

#define DIED_NS UINT64_C(60000000000) /* for how long a death is worth a sentence */
#define THROTTLED 0.2                 /* the share of the time without room that is worth one */

/* ---- which publisher waits for which program --------------------------------------------------------------------- */

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
static bool same_cause(const aether_topic_metrics *topic, const aether_publisher_metrics *a,
                       const aether_publisher_metrics *b) {
    const aether_subscriber_metrics *subscriber = subscriber_of(topic, a);
    const aether_publisher_metrics *publisher = publisher_of(topic, a);

    return (subscriber != NULL && subscriber == subscriber_of(topic, b)) ||
           (publisher != NULL && publisher == publisher_of(topic, b));
}

static bool waits(const aether_publisher_metrics *p, uint64_t patience_ns) {
    return p->waits != AETHER_WAITS_NOT && p->waited_ns >= patience_ns;
}

/* True if p has waited longest of those that wait for the same; *others: how many more there are. */
static bool leads(const aether_topic_metrics *topic, const aether_publisher_metrics *p, uint64_t patience_ns,
                  uint64_t *others) {
    *others = 0;
    for (size_t i = 0; i < topic->publisher_count; i++) {
        const aether_publisher_metrics *q = &topic->publishers[i];
        if (q == p || !waits(q, patience_ns) || !same_cause(topic, p, q))
            continue;
        if (q->waited_ns > p->waited_ns || (q->waited_ns == p->waited_ns && q < p))
            return false;
        ++*others;
    }
    return true;
}

/* ---- one list ---------------------------------------------------------------------------------------------------- */

/* Is it about the same culprit, so that one sentence does for both? */
static bool same_culprit(const struct ae_problem *a, const struct ae_problem *b) {
    if (!a->has_culprit && !b->has_culprit)
        return a->has_victim && b->has_victim && a->victim.grant_id == b->victim.grant_id;
    const bool same_client = a->has_culprit && b->has_culprit && a->culprit.client_id == b->culprit.client_id;

    if (same_client && strcmp(a->topic, b->topic) == 0)
        return a->culprit.grant_id == b->culprit.grant_id;
    return same_client && (a->kind == b->kind || ae_process_halted(a->culprit.process));
}

/* Inserts a record into a list that is sorted, the worst first, and keeps the max worst ones. Returns the new count. */
static size_t insert(struct ae_problem *list, size_t count, size_t max, const struct ae_problem *record) {
    size_t at = count;

    while (at > 0 && ae_problem_worse(record, &list[at - 1]))
        at--;
    if (at == max)
        return count;
    const size_t end = count < max ? count : max - 1;
    memmove(&list[at + 1], &list[at], (end - at) * sizeof *list);
    list[at] = *record;
    return end + 1;
}

size_t ae_watch_problems_add(struct ae_problem *list, size_t count, size_t max, const struct ae_problem *problem) {
    struct ae_problem worst = *problem;

    for (size_t i = 0; i < count; i++) {
        if (!same_culprit(&list[i], problem))
            continue;
        const uint64_t topics =
            list[i].topics + problem->topics + (uint64_t)(strcmp(list[i].topic, problem->topic) != 0);
        if (!ae_problem_worse(problem, &list[i])) {
            list[i].topics = topics;
            return count;
        }
        worst.topics = topics;
        count--;
        memmove(&list[i], &list[i + 1], (count - i) * sizeof *list);
        break;
    }
    return insert(list, count, max, &worst);
}

/* What ae_watch_problems() was asked for, and what it has found. */
struct search {
    const struct ae_watch_topic *topic;
    const aether_topic_metrics *figures; /* the topic's */
    const aether_instance_metrics *instance;
    uint64_t patience_ns;
    struct ae_problem *list;
    size_t count, max;
    uint64_t loss_seen_ns; /* the last loss of which the subscriber is known; 0: there is none */
};

static struct ae_problem begin(const struct search *search, enum ae_problem_kind kind) {
    struct ae_problem problem = {.kind = kind,
                                 .for_ns = AETHER_UNKNOWN,
                                 .tried_ns = AETHER_UNKNOWN,
                                 .daemon = ae_daemon_state(search->instance)};

    memcpy(problem.topic, search->figures->info.name, sizeof problem.topic);
    return problem;
}

static void add(struct search *search, const struct ae_problem *problem) {
    search->count = ae_watch_problems_add(search->list, search->count, search->max, problem);
}

/* ---- subscribers ------------------------------------------------------------------------------------------------- */

static void describe_loss(const struct search *search, struct ae_problem *problem, const struct ae_watch_rates *rates) {
    problem->lost = rates->lost;
    problem->lost_count = rates->loss.messages;
    problem->lost_ago_ns = search->topic->taken_ns - rates->loss.seen_ns;
    problem->reason = rates->loss.reason;
}

/* What is wrong with a subscriber, whatever the kind of the problem. */
static void describe(const struct search *search, struct ae_problem *problem, const aether_subscriber_metrics *s) {
    const struct ae_watch_rates *all = search->topic->subscriber_rates;
    const struct ae_watch_rates *rates = all != NULL ? &all[s - search->figures->subscribers] : NULL;

    problem->has_culprit = true;
    problem->culprit = s->owner;
    problem->role = s->policy == AETHER_RELIABLE ? AETHER_ROLE_RELIABLE : AETHER_ROLE_BEST_EFFORT;
    problem->behind = s->lag;
    problem->overwritten = s->overwritten;
    problem->evicted = s->evictions > 0;
    if (rates != NULL && rates->loss.messages > 0)
        describe_loss(search, problem, rates);
}

static bool is_waited_for(const struct search *search, const aether_subscriber_metrics *s) {
    const aether_topic_metrics *t = search->figures;

    for (size_t i = 0; i < t->publisher_count; i++) {
        if (waits(&t->publishers[i], search->patience_ns) && subscriber_of(t, &t->publishers[i]) == s)
            return true;
    }
    return false;
}

static void add_subscriber(struct search *search, const aether_subscriber_metrics *s) {
    struct ae_problem problem = begin(search, AE_PROBLEM_STUCK);

    describe(search, &problem, s);
    if (problem.lost_count > 0) {
        const uint64_t seen_ns = search->topic->taken_ns - problem.lost_ago_ns;
        search->loss_seen_ns = seen_ns > search->loss_seen_ns ? seen_ns : search->loss_seen_ns;
    }
    if (is_waited_for(search, s)) /* it is in the publisher's record */
        return;
    problem.for_ns = s->age_ns;
    if (s->state == AETHER_SUBSCRIBER_STUCK)
        problem.kind = AE_PROBLEM_STUCK;
    else if (ae_process_halted(s->owner.process) && s->lag > 0)
        problem.kind = AE_PROBLEM_STOPPED;
    else if (problem.lost_count > 0)
        problem.kind = AE_PROBLEM_LOSES;
    else if (problem.evicted)
        problem.kind = AE_PROBLEM_EVICTED;
    else
        return;
    if (problem.kind == AE_PROBLEM_LOSES || problem.kind == AE_PROBLEM_EVICTED)
        problem.for_ns = AETHER_UNKNOWN;
    add(search, &problem);
}

/* ---- publishers -------------------------------------------------------------------------------------------------- */

static void add_waiting(struct search *search, const aether_publisher_metrics *p) {
    const aether_subscriber_metrics *subscriber = subscriber_of(search->figures, p);
    const aether_publisher_metrics *publisher = publisher_of(search->figures, p);
    struct ae_problem problem = begin(search, AE_PROBLEM_WAITS);

    if (!leads(search->figures, p, search->patience_ns, &problem.others))
        return;
    problem.has_victim = true;
    problem.victim = p->owner;
    problem.for_ns = p->waited_ns;
    problem.tried_ns = p->tried_ns;
    problem.loans = p->loans;
    problem.waits = p->waits;
    if (p->waits == AETHER_WAITS_LOANS)
        publisher = p;
    if (subscriber != NULL) {
        describe(search, &problem, subscriber);
    } else if (publisher != NULL) {
        problem.has_culprit = true;
        problem.culprit = publisher->owner;
        problem.role = AETHER_ROLE_PUBLISHER;
    }
    add(search, &problem);
}

/* The reliable subscriber that is farthest behind, or NULL. */
static const aether_subscriber_metrics *farthest(const aether_topic_metrics *topic) {
    const aether_subscriber_metrics *worst = NULL;

    for (size_t i = 0; i < topic->subscriber_count; i++) {
        const aether_subscriber_metrics *s = &topic->subscribers[i];
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): there are subscriber_count subscribers */
        if (s->policy == AETHER_RELIABLE && s->evictions == 0 && s->lag > (worst != NULL ? worst->lag : 0))
            worst = s;
    }
    return worst;
}

static void add_throttled(struct search *search, const aether_publisher_metrics *p) {
    const struct ae_watch_rates *rates = search->topic->publisher_rates;
    const double share = rates != NULL ? rates[p - search->figures->publishers].stalled : 0;
    const aether_subscriber_metrics *s = subscriber_of(search->figures, p);
    struct ae_problem problem = begin(search, AE_PROBLEM_THROTTLED);

    if (share <= THROTTLED)
        return;
    if (s == NULL)
        s = farthest(search->figures);
    if (s != NULL)
        describe(search, &problem, s);
    problem.has_victim = true;
    problem.victim = p->owner;
    problem.share = share < 1 ? share : 1;
    add(search, &problem);
}

/* ---- a topic ----------------------------------------------------------------------------------------------------- */

static void add_departed(struct search *search, const aether_departed_metrics *d) {
    struct ae_problem problem = begin(search, AE_PROBLEM_DIED);

    if (!d->died || d->ago_ns >= DIED_NS)
        return;
    problem.has_culprit = true;
    problem.culprit = d->owner;
    problem.role = d->role;
    problem.for_ns = d->ago_ns;
    problem.evicted = d->evicted != 0;
    add(search, &problem);
}

size_t ae_watch_problems(const struct ae_watch_topic *topic, const aether_instance_metrics *instance,
                         uint64_t patience_ns, struct ae_problem *list, size_t count, size_t max) {
    const aether_topic_metrics *t = &topic->figures;
    struct search search = {.topic = topic,
                            .figures = t,
                            .instance = instance,
                            .patience_ns = patience_ns,
                            .list = list,
                            .count = count,
                            .max = max};

    if (max == 0)
        return 0;
    if (!topic->rates.known)
        search.patience_ns = 0;
    for (size_t i = 0; i < t->publisher_count; i++) {
        if (waits(&t->publishers[i], search.patience_ns))
            add_waiting(&search, &t->publishers[i]);
        else
            add_throttled(&search, &t->publishers[i]);
    }
    for (size_t i = 0; i < t->subscriber_count; i++)
        add_subscriber(&search, &t->subscribers[i]);
    for (size_t i = 0; i < t->departed_count; i++)
        add_departed(&search, &t->departed[i]);
    if (topic->rates.loss.messages > 0 && topic->rates.loss.seen_ns > search.loss_seen_ns) {
        struct ae_problem problem = begin(&search, AE_PROBLEM_LOSES);
        describe_loss(&search, &problem, &topic->rates);
        add(&search, &problem);
    }
    return search.count;
}
