/* SPDX-License-Identifier: Apache-2.0 */
/* Passes over synthetic figures. */
#include "watch/watch.h"
#include "watch/problems.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000000)
#define TOPICS 40

/* ---- an instance ------------------------------------------------------------------------------------------------- */

static struct {
    aether_topic_metrics topics[TOPICS];
    aether_subscriber_metrics subscribers[TOPICS][2];
    aether_publisher_metrics publishers[TOPICS][2];
    size_t count, next;
    uint64_t now_ns, realtime_ns;
    int error; /* next fails behind the last topic */
} instance;

static struct ae_watch *watch;
static struct ae_watch_options options;
static const struct ae_watch_pass *pass;

static int begin(void *self, aether_instance_metrics *metrics) {
    (void)self;
    memset(metrics, 0, sizeof *metrics);
    metrics->now_ns = instance.realtime_ns;
    instance.next = 0;
    return 0;
}

/* Hands out the same memory each time, as aether_metrics does. */
static int next(void *self, aether_topic_metrics *topic) {
    static aether_subscriber_metrics subscribers[2];
    static aether_publisher_metrics publishers[2];

    (void)self;
    if (instance.next == instance.count)
        return instance.error;
    *topic = instance.topics[instance.next];
    memcpy(subscribers, instance.subscribers[instance.next], sizeof subscribers);
    memcpy(publishers, instance.publishers[instance.next], sizeof publishers);
    topic->subscribers = subscribers;
    topic->publishers = publishers;
    instance.next++;
    return 1;
}

static int client(void *self, uint32_t *cursor, aether_client_metrics *metrics) {
    (void)self;
    memset(metrics, 0, sizeof *metrics);
    metrics->client_id = ++*cursor;
    return *cursor <= 3;
}

static uint64_t now(void *self) {
    (void)self;
    return instance.now_ns;
}

static aether_topic_metrics *add_topic(const char *name, uint64_t id) {
    const size_t i = instance.count++;
    aether_topic_metrics *t = &instance.topics[i];

    memset(t, 0, sizeof *t);
    strncpy(t->info.name, name, sizeof t->info.name - 1);
    t->info.id = id;
    t->info.created_ns = 1;
    memset(instance.subscribers[i], 0, sizeof instance.subscribers[i]);
    memset(instance.publishers[i], 0, sizeof instance.publishers[i]);
    return t;
}

static int setup(void **state) {
    (void)state;
    memset(&instance, 0, sizeof instance);
    instance.now_ns = 5 * SECOND;
    instance.realtime_ns = 1000 * SECOND;
    options = (struct ae_watch_options){.topics = 4, .history = 3};
    return ae_watch_open(&watch, (struct ae_watch_source){begin, next, client, now, NULL});
}

static int teardown(void **state) {
    (void)state;
    ae_watch_close(watch);
    return 0;
}

static void run(void) {
    assert_int_equal(ae_watch_pass(watch, &options, &pass), 0);
    assert_non_null(pass);
}

static void wait_seconds(uint64_t seconds) {
    instance.now_ns += seconds * SECOND;
    instance.realtime_ns += seconds * SECOND;
}

static void assert_near(double a, double b) {
    if (!(a - b < 1e-9 && b - a < 1e-9))
        fail_msg("%g isn't %g", a, b);
}

static const char *selected_names(void) {
    static char names[1024];

    names[0] = '\0';
    for (size_t i = 0; i < pass->selected_count; i++) {
        strcat(names, i > 0 ? " " : "");
        strcat(names, pass->selected[i]->figures.info.name);
    }
    return names;
}

/* ---- rates ------------------------------------------------------------------------------------------------------- */

static void no_topics(void **state) {
    (void)state;
    run();
    assert_int_equal(pass->topics, 0);
    assert_int_equal(pass->selected_count, 0);
    assert_null(pass->pinned);
    assert_false(pass->has_client);
}

static void rates(void **state) {
    aether_topic_metrics *t = add_topic("a", 1);

    (void)state;
    t->published = 100;
    t->lost = 7;
    run();
    assert_false(pass->selected[0]->rates.known);
    assert_near(pass->selected[0]->rates.published, 0);

    wait_seconds(2);
    t->published = 300;
    t->published_bytes = 5000;
    t->delivered = 50;
    t->delivered_bytes = 30;
    t->lost = 8;
    t->stall_ns = SECOND;
    run();
    const struct ae_watch_rates *r = &pass->selected[0]->rates;
    assert_true(r->known);
    assert_near(r->published, 100);
    assert_near(r->published_bytes, 2500);
    assert_near(r->delivered, 25);
    assert_near(r->delivered_bytes, 15);
    assert_near(r->lost, 0.5);
    assert_near(r->stalled, 0.5);

    /* A counter that goes back, and a clock that stands. */
    wait_seconds(1);
    t->published = 10;
    run();
    assert_true(pass->selected[0]->rates.known);
    assert_near(pass->selected[0]->rates.published, 0);
    t->published = 20;
    run();
    assert_false(pass->selected[0]->rates.known);
}

static void topics_come_and_go(void **state) {
    aether_topic_metrics *t;

    (void)state;
    add_topic("old", 1);
    run();
    wait_seconds(2);
    t = add_topic("new", 2);
    t->info.created_mono_ns = instance.now_ns - SECOND;
    t->published = 40;
    run();
    assert_string_equal(selected_names(), "new old");
    assert_true(pass->selected[0]->rates.known);
    assert_near(pass->selected[0]->rates.published, 20);

    /* The same name, but another topic, which may have been there before the last pass. */
    wait_seconds(1);
    t->info.id = 3;
    t->info.created_ns = 7;
    t->info.created_mono_ns = 7;
    t->published = 10000;
    run();
    assert_string_equal(selected_names(), "new old");
    assert_false(pass->selected[0]->rates.known);

    /* One that wasn't there in a pass begins anew. */
    instance.count = 0;
    wait_seconds(1);
    run();
    assert_int_equal(pass->topics, 0);
    instance.count = 2;
    wait_seconds(1);
    t->published = 20000;
    run();
    assert_false(pass->selected[0]->rates.known);
    assert_int_equal(pass->selected[0]->sample_count, 1);
}

static void rates_of_peers(void **state) {
    add_topic("a", 1);
    aether_subscriber_metrics *s = instance.subscribers[0];
    aether_publisher_metrics *p = instance.publishers[0];

    (void)state;
    instance.topics[0].subscriber_count = 2;
    instance.topics[0].publisher_count = 1;
    s[0].owner.grant_id = 10;
    s[1].owner.grant_id = 11;
    p[0].owner.grant_id = 12;
    run();
    assert_false(pass->selected[0]->subscriber_rates[0].known);
    wait_seconds(1);
    s[0].delivered = 5;
    s[1].delivered = 6;
    s[1].lost = 2;
    p[0].messages = 9;
    p[0].stall_ns = SECOND / 4;
    run();
    assert_near(pass->selected[0]->subscriber_rates[0].delivered, 5);
    assert_near(pass->selected[0]->subscriber_rates[1].delivered, 6);
    assert_near(pass->selected[0]->subscriber_rates[1].lost, 2);
    assert_near(pass->selected[0]->publisher_rates[0].published, 9);
    assert_near(pass->selected[0]->publisher_rates[0].stalled, 0.25);

    /* The first subscriber goes, and another one comes behind the second. */
    wait_seconds(1);
    s[0] = s[1];
    s[0].delivered = 16;
    memset(&s[1], 0, sizeof s[1]);
    s[1].owner.grant_id = 13;
    s[1].delivered = 100;
    run();
    assert_near(pass->selected[0]->subscriber_rates[0].delivered, 10);
    assert_false(pass->selected[0]->subscriber_rates[1].known);
}

/* ---- selection --------------------------------------------------------------------------------------------------- */

/* Topics t00, t01 ... whose figures go up and down. */
static void add_many(void) {
    char name[8];

    for (uint64_t i = 0; i < TOPICS; i++) {
        snprintf(name, sizeof name, "t%02u", (unsigned)i);
        aether_topic_metrics *t = add_topic(name, i + 1);
        t->lag = i * 7 % TOPICS;
        t->age_ns = i == 3 ? AETHER_UNKNOWN : i * 11 % TOPICS;
        t->lost = i * 13 % TOPICS;
        t->published = i * 3 % TOPICS;
        t->info.publishers = 1;
        t->latency.buckets[i * 17 % TOPICS] = 1;
    }
}

static void orders(void **state) {
    static const char *const expected[] = {
        [AE_WATCH_BY_RATE] = "t13 t26 t39 t12", [AE_WATCH_BY_LAG] = "t17 t34 t11 t28",
        [AE_WATCH_BY_AGE] = "t29 t18 t07 t36",  [AE_WATCH_BY_LOSS] = "t03 t06 t09 t12",
        [AE_WATCH_BY_P99] = "t07 t14 t21 t28",  [AE_WATCH_BY_NAME] = "t00 t01 t02 t03",
    };

    (void)state;
    for (int order = AE_WATCH_BY_RATE; order <= AE_WATCH_BY_NAME; order++) {
        ae_watch_close(watch); /* so that each is a first pass */
        setup(NULL);
        add_many();
        options.order = (enum ae_watch_order)order;
        run();
        assert_string_equal(selected_names(), expected[order]);
        assert_int_equal(pass->matching, TOPICS);
        assert_int_equal(pass->other.figures.info.publishers, TOPICS - 4);
        assert_int_equal(pass->total.figures.info.publishers, TOPICS);
        assert_int_equal(aether_latency_count(&pass->other.figures.latency), TOPICS - 4);
        assert_non_null(ae_watch_order_names[order]);
    }
    assert_null(ae_watch_order_names[AE_WATCH_BY_NAME + 1]);
    options.reverse = true;
    run();
    assert_string_equal(selected_names(), "t39 t38 t37 t36");
    options.order = AE_WATCH_BY_AGE; /* unknown is less than 0 */
    run();
    assert_string_equal(selected_names(), "t03 t00 t11 t22");
    options.topics = 0;
    run();
    assert_int_equal(pass->selected_count, 0);
    assert_int_equal(pass->other.figures.info.publishers, TOPICS);
    options.topics = 1000;
    run();
    assert_int_equal(pass->selected_count, TOPICS);
    assert_int_equal(pass->other.figures.info.publishers, 0);
    assert_int_equal(pass->total.figures.info.publishers, TOPICS);
}

static void filters(void **state) {
    (void)state;
    add_many();
    options.order = AE_WATCH_BY_NAME;
    options.filter = "t0";
    options.pinned = "t33";
    run();
    assert_string_equal(selected_names(), "t00 t01 t02 t03");
    assert_int_equal(pass->topics, TOPICS);
    assert_int_equal(pass->matching, 10);
    assert_int_equal(pass->other.figures.info.publishers, 6);
    assert_int_equal(pass->total.figures.info.publishers, TOPICS);
    assert_string_equal(pass->pinned->figures.info.name, "t33");
    assert_int_equal(pass->pinned->sample_count, 1);
    options.pinned = "t99";
    run();
    assert_null(pass->pinned);
}

/* Problems are those of topics that the filter admits, or that the client is in that was asked for. */
static void filtered_problems(void **state) {
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        static const char *const names[] = {"a", "b", "c"};
        aether_topic_metrics *t = add_topic(names[i], i + 1);
        t->publisher_count = 1;
        instance.publishers[i][0].owner.grant_id = i + 1;
        instance.publishers[i][0].owner.client_id = 10 + i;
        instance.publishers[i][0].waits = AETHER_WAITS_CLAIM;
        instance.publishers[i][0].waited_ns = AE_WATCH_PATIENCE_NS + i;
    }
    run();
    assert_int_equal(pass->problem_count, 3);
    options.filter = "b";
    run();
    assert_int_equal(pass->problem_count, 1);
    assert_string_equal(pass->problems[0].topic, "b");
    options.client_id = 10;
    run();
    assert_int_equal(pass->problem_count, 2);
    assert_string_equal(pass->problems[1].topic, "a");
}

static void kept_topics(void **state) {
    (void)state;
    add_many();
    options.keep = true;
    options.order = AE_WATCH_BY_LAG;
    run();
    assert_string_equal(selected_names(), "t17 t34 t11 t28");
    instance.topics[0].lag = 1000;
    instance.topics[11].lag = 100;
    run();
    assert_string_equal(selected_names(), "t11 t17 t34 t28");
    options.topics = 5;
    run();
    assert_string_equal(selected_names(), "t11 t17 t34 t28 t00");
}

static void sums(void **state) {
    (void)state;
    aether_topic_metrics *a = add_topic("a", 1), *b = add_topic("b", 2), *c = add_topic("c", 3);
    a->lag = 5, b->lag = 9, c->lag = 1;
    a->age_ns = AETHER_UNKNOWN, b->age_ns = 0, c->age_ns = 4;
    a->lost_by[1] = UINT64_MAX, b->lost_by[1] = 5;
    a->stuck = 1, c->stuck = 2;
    options.topics = 0;
    run();
    assert_int_equal(pass->other.figures.lag, 9);
    assert_int_equal(pass->other.figures.age_ns, 4);
    assert_int_equal(pass->other.figures.lost_by[1], UINT64_MAX);
    assert_int_equal(pass->other.figures.stuck, 3);
    c->age_ns = 0;
    run();
    assert_true(pass->other.figures.age_ns == AETHER_UNKNOWN);
    a->age_ns = 0;
    run();
    assert_int_equal(pass->other.figures.age_ns, 0);
}

/* ---- history and latencies --------------------------------------------------------------------------------------- */

static void recent_latencies(void **state) {
    aether_topic_metrics *t = add_topic("a", 1);

    (void)state;
    t->latency.buckets[600] = 1000;
    t->latency.samples = 4;
    run();
    assert_false(pass->selected[0]->has_recent);
    wait_seconds(1);
    t->latency.buckets[5] = 10;
    t->latency.samples = 5;
    run();
    assert_true(pass->selected[0]->has_recent);
    assert_int_equal(aether_latency_count(&pass->selected[0]->recent), 10);
    assert_int_equal(pass->selected[0]->recent.samples, 1);
    const struct ae_watch_sample *sample = &pass->selected[0]->samples[1];
    assert_int_equal(pass->selected[0]->sample_count, 2);
    assert_near(sample[-1].p99_ns, -1);
    assert_true(sample->p99_ns >= 5 && sample->p99_ns < 6);
    wait_seconds(1);
    run();
    assert_int_equal(aether_latency_count(&pass->selected[0]->recent), 0);
    assert_near(pass->selected[0]->samples[2].p99_ns, -1);
}

static void history(void **state) {
    aether_topic_metrics *t = add_topic("a", 1);

    (void)state;
    for (uint64_t i = 0; i < 20; i++) {
        t->published += i;
        t->lag = i;
        run();
        const struct ae_watch_topic *topic = pass->selected[0];
        assert_int_equal(topic->sample_count, i < 2 ? i + 1 : 3);
        for (size_t k = 0; k < topic->sample_count; k++) {
            const uint64_t at = i + 1 - topic->sample_count + k;
            assert_int_equal(topic->samples[k].lag, at);
            assert_near(topic->samples[k].published, at == 0 ? -1 : (double)at);
        }
        wait_seconds(1);
    }
    options.history = 2;
    run();
    assert_int_equal(pass->selected[0]->sample_count, 2);
    assert_int_equal(pass->selected[0]->samples[0].lag, 19);
    options.history = 10;
    wait_seconds(1);
    run();
    assert_int_equal(pass->selected[0]->sample_count, 3);
    options.history = 0;
    run();
    assert_int_equal(pass->selected[0]->sample_count, 0);
}

/* A topic that drops out of the selection is remembered for as many passes as there are samples. */
static void not_selected_for_a_while(void **state) {
    (void)state;
    add_topic("a", 1);
    add_topic("b", 2);
    options.topics = 1;
    options.order = AE_WATCH_BY_LAG;
    for (uint64_t i = 0; i < 12; i++) {
        instance.topics[0].lag = i == 0 || i == 3 || i == 11;
        instance.topics[1].lag = !instance.topics[0].lag;
        run();
        assert_int_equal(pass->selected[0]->sample_count, i == 0 || i == 1 || i == 11 ? 1 : i == 2 ? 2 : 3);
        wait_seconds(1);
    }
}

/* ---- the rest ---------------------------------------------------------------------------------------------------- */

static void a_client(void **state) {
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        aether_topic_metrics *t = add_topic(i == 0 ? "z" : i == 1 ? "m" : "a", i + 1);
        t->subscriber_count = 2;
        t->publisher_count = 1;
        instance.publishers[i][0].owner = (aether_owner){.client_id = i + 1, .grant_id = 1 + 10 * i};
        instance.subscribers[i][0].owner = (aether_owner){.client_id = 1, .grant_id = 2 + 10 * i};
        instance.subscribers[i][0].policy = AETHER_RELIABLE;
        instance.subscribers[i][1].owner = (aether_owner){.client_id = 9, .grant_id = 3 + 10 * i};
    }
    options.topics = 0;
    options.client_id = 1;
    run();
    assert_true(pass->has_client);
    assert_int_equal(pass->part_count, 4);
    wait_seconds(1);
    instance.subscribers[1][0].delivered = 8;
    run();
    assert_string_equal(pass->parts[0].topic, "a");
    assert_string_equal(pass->parts[1].topic, "m");
    assert_int_equal(pass->parts[1].role, AETHER_ROLE_RELIABLE);
    assert_near(pass->parts[1].rates.delivered, 8);
    assert_int_equal(pass->parts[1].subscriber.delivered, 8);
    assert_int_equal(pass->parts[2].role, AETHER_ROLE_PUBLISHER);
    assert_string_equal(pass->parts[3].topic, "z");
    options.client_id = 9; /* it has gone, and left its subscribers for a moment */
    run();
    assert_false(pass->has_client);
    assert_int_equal(pass->part_count, 3);
    options.client_id = 77;
    run();
    assert_int_equal(pass->part_count, 0);
}

static void problems(void **state) {
    (void)state;
    for (size_t i = 0; i < TOPICS; i++) {
        aether_topic_metrics *t = add_topic("t", i + 1);
        t->publisher_count = 1;
        instance.publishers[i][0].owner.grant_id = i + 1;
        instance.publishers[i][0].waits = AETHER_WAITS_CLAIM;
        instance.publishers[i][0].waited_ns = AE_WATCH_PATIENCE_NS + i * 7 % TOPICS;
    }
    run();
    assert_int_equal(pass->problem_count, AE_WATCH_PROBLEMS_MAX);
    for (size_t i = 0; i < AE_WATCH_PROBLEMS_MAX; i++)
        assert_int_equal(pass->problems[i].for_ns, AE_WATCH_PATIENCE_NS + TOPICS - 1 - i);
}

/* Also of a topic that isn't selected. At first only the topic's rate is known. */
static void losing_subscribers(void **state) {
    aether_topic_metrics *t = add_topic("t", 1);
    aether_subscriber_metrics *s = instance.subscribers[0];

    (void)state;
    options.topics = 0;
    t->subscriber_count = 2;
    s[0].owner.grant_id = 1;
    s[1].owner.grant_id = 2;
    run();
    assert_int_equal(pass->problem_count, 0);
    wait_seconds(1);
    t->lost = s[1].lost = s[1].lost_by[AETHER_LOST_LANE] = 5;
    run();
    assert_int_equal(pass->problem_count, 1);
    assert_int_equal(pass->problems[0].kind, AE_PROBLEM_LOSES);
    assert_false(pass->problems[0].has_culprit);
    assert_near(pass->problems[0].lost, 5);
    wait_seconds(2);
    t->lost = s[1].lost = 45;
    s[1].lost_by[AETHER_LOST_LANE] = 35;
    s[1].lost_by[AETHER_LOST_RING] = 10;
    run();
    assert_int_equal(pass->problem_count, 1);
    assert_true(pass->problems[0].has_culprit);
    assert_int_equal(pass->problems[0].culprit.grant_id, 2);
    assert_int_equal(pass->problems[0].reason, AETHER_LOST_LANE);
    assert_near(pass->problems[0].lost, 20);
}

static const char *the_sentence(void) {
    static char text[AE_PROBLEM_TEXT];

    assert_int_equal(pass->problem_count, 1);
    assert_int_equal(pass->problems[0].kind, AE_PROBLEM_LOSES);
    return ae_problem_text(text, &pass->problems[0]);
}

/* A loss stays in the list for a while, with what was lost; of a subscriber that has gone, too. */
static void a_loss_that_is_over(void **state) {
    aether_topic_metrics *t = add_topic("t", 1);
    aether_subscriber_metrics *s = instance.subscribers[0];

    (void)state;
    options.topics = 1;
    t->subscriber_count = 2;
    s[0].owner = (aether_owner){.grant_id = 1, .client_id = 1, .client = "risk"};
    s[1].owner = (aether_owner){.grant_id = 2, .client_id = 2, .client = "log"};
    run();
    wait_seconds(1);
    t->lost = s[1].lost = s[1].lost_by[AETHER_LOST_RING] = 12345;
    run();
    assert_string_equal(the_sentence(), "subscriber log loses messages, 12.3 k/s: it was more than the ring behind");
    options.topics = 0; /* it is remembered, although it is no longer selected */
    for (uint64_t i = 0; i < 4; i++) {
        wait_seconds(1);
        run();
    }
    assert_string_equal(the_sentence(),
                        "subscriber log lost 12,345 messages 4 s ago: it was more than the ring behind");
    wait_seconds(6);
    run();
    assert_string_equal(the_sentence(),
                        "subscriber log lost 12,345 messages 10 s ago: it was more than the ring behind");
    wait_seconds(1);
    run();
    assert_int_equal(pass->problem_count, 0);

    /* A subscriber comes, another one goes. */
    t->lost = 12346;
    s[1].lost = s[1].lost_by[AETHER_LOST_RING] = 12346;
    wait_seconds(1);
    run();
    s[0] = s[1];
    s[1].owner = (aether_owner){.grant_id = 3, .client_id = 3, .client = "new"};
    wait_seconds(2);
    run();
    assert_string_equal(the_sentence(), "subscriber log lost 1 message 2 s ago: it was more than the ring behind");
    t->subscriber_count = 0;
    wait_seconds(1);
    run();
    assert_string_equal(the_sentence(), "subscribers lost 1 message 3 s ago");
}

static void errors(void **state) {
    aether_topic_metrics *t = add_topic("a", 1);

    (void)state;
    run();
    wait_seconds(1);
    t->published = 5;
    instance.error = -EPROTO;
    assert_int_equal(ae_watch_pass(watch, &options, &pass), -EPROTO);
    assert_null(pass);
    instance.error = 0;
    wait_seconds(1);
    t->published = 9;
    run();
    assert_int_equal(pass->index, 1);
    assert_near(pass->selected[0]->rates.published, 4);
}

int main(void) {
#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(no_topics),
        CASE(rates),
        CASE(topics_come_and_go),
        CASE(rates_of_peers),
        CASE(orders),
        CASE(filters),
        CASE(filtered_problems),
        CASE(kept_topics),
        CASE(sums),
        CASE(recent_latencies),
        CASE(history),
        CASE(not_selected_for_a_while),
        CASE(a_client),
        CASE(problems),
        CASE(losing_subscribers),
        CASE(a_loss_that_is_over),
        CASE(errors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
