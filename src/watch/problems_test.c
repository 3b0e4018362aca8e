/* SPDX-License-Identifier: Apache-2.0 */
/* What is wrong in a topic: records and sentences. */
#include "watch/problems.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MS UINT64_C(1000000)
#define NOW (100000 * MS)

static aether_instance_metrics instance;
static struct ae_watch_topic watched;
static aether_publisher_metrics publishers[3];
static aether_subscriber_metrics subscribers[2];
static struct ae_problem list[4];
static char text[AE_PROBLEM_TEXT];

static aether_owner owner(const char *name, uint32_t pid) {
    aether_owner o = {.grant_id = pid, .client_id = pid, .pid = pid, .process = 'S'};

    strncpy(o.client, name, sizeof o.client - 1);
    return o;
}

/* Three publishers, two subscribers; nothing waits. */
static int setup(void **state) {
    static const char *const names[] = {"feed", "quote", "trade"};

    (void)state;
    instance = (aether_instance_metrics){.daemon.running = 1, .now_ns = NOW};
    memset(&watched, 0, sizeof watched);
    memset(publishers, 0, sizeof publishers);
    memset(subscribers, 0, sizeof subscribers);
    strcpy(watched.figures.info.name, "market");
    watched.taken_ns = NOW;
    for (uint32_t i = 0; i < 3; i++) {
        publishers[i].owner = owner(names[i], 810 + i);
        publishers[i].waits_subscriber = publishers[i].waits_publisher = -1;
        publishers[i].tried_ns = AETHER_UNKNOWN;
    }
    subscribers[0].owner = owner("risk", 790);
    subscribers[1].owner = owner("audit", 791);
    watched.figures.publishers = publishers;
    watched.figures.publisher_count = 3;
    watched.figures.subscribers = subscribers;
    watched.figures.subscriber_count = 2;
    return 0;
}

static void wait_for(size_t publisher, aether_waits waits, uint64_t ns) {
    publishers[publisher].waits = waits;
    publishers[publisher].waited_ns = ns;
}

static size_t find(size_t count) {
    return ae_watch_problems(&watched, &instance, 0, list, count, 4);
}

static const char *sentence(size_t i) {
    return ae_problem_text(text, &list[i]);
}

static void nothing(void **state) {
    (void)state;
    assert_int_equal(find(0), 0);
    assert_int_equal(ae_watch_problems(&(struct ae_watch_topic){.taken_ns = 0}, &instance, 0, list, 0, 4), 0);
}

static void for_a_subscriber(void **state) {
    (void)state;
    wait_for(0, AETHER_WAITS_SUBSCRIBER, 3200 * MS);
    publishers[0].waits_subscriber = 0;
    publishers[0].tried_ns = 5 * MS;
    subscribers[0].lag = 65536;
    subscribers[0].state = AETHER_SUBSCRIBER_STUCK;
    assert_int_equal(find(0), 1);
    assert_string_equal(list[0].topic, "market");
    assert_string_equal(sentence(0),
                        "publisher feed (pid 810) has waited 3.20 s for subscriber risk (pid 790), 65,536 behind");

    subscribers[0].owner.process = 'T';
    assert_int_equal(find(0), 1);
    assert_string_equal(sentence(0),
                        "publisher feed (pid 810) has waited 3.20 s for subscriber risk (pid 790), which is "
                        "stopped, 65,536 behind");

    publishers[0].tried_ns = 2500 * MS;
    publishers[0].waits_subscriber = 7; /* there is none */
    assert_int_equal(find(0), 2);
    assert_string_equal(
        sentence(0), "publisher feed (pid 810) has waited 3.20 s for a reliable subscriber, and last tried 2.50 s ago");
    assert_string_equal(sentence(1), "subscriber risk (pid 790), which is stopped, is stuck: 65,536 messages wait, the "
                                     "oldest for 0 s");
    assert_true(list[1].has_culprit);
    assert_false(list[1].has_victim);
}

static void for_others(void **state) {
    (void)state;
    wait_for(0, AETHER_WAITS_PUBLISHER, 3000 * MS);
    publishers[0].waits_publisher = 1;
    publishers[1].owner.process = 'T';
    wait_for(2, AETHER_WAITS_LANE, 2000 * MS);
    publishers[2].waits_subscriber = 1;
    subscribers[1].lag = 12;
    assert_int_equal(find(0), 2);
    assert_string_equal(sentence(0),
                        "publisher feed (pid 810) has waited 3 s for the unfinished publish of publisher quote "
                        "(pid 811), which is stopped");
    assert_string_equal(
        sentence(1),
        "publisher trade (pid 812) has waited 2 s for lane bytes of subscriber audit (pid 791), 12 behind");

    publishers[0].waits_publisher = -1;
    publishers[2].waits_subscriber = -1;
    assert_int_equal(find(0), 2);
    assert_string_equal(sentence(0),
                        "publisher feed (pid 810) has waited 3 s for the unfinished publish of another publisher");
    assert_string_equal(sentence(1),
                        "publisher trade (pid 812) has waited 2 s for lane bytes of a reliable subscriber");
}

static void for_itself(void **state) {
    (void)state;
    wait_for(0, AETHER_WAITS_LOANS, 40 * MS);
    publishers[0].loans = 3;
    wait_for(1, AETHER_WAITS_CLAIM, 2 * MS);
    assert_int_equal(find(0), 2);
    assert_string_equal(sentence(0),
                        "publisher feed (pid 810) has waited 40 ms for its own loans, which fill its lane: 3 open");
    assert_string_equal(sentence(1),
                        "publisher quote (pid 811) has waited 2 ms because other publishers were faster at each try");
}

/* Three publishers that wait for the same subscriber are one record, of the one that has waited longest. */
static void together(void **state) {
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        wait_for(i, AETHER_WAITS_SUBSCRIBER, (i == 1 ? 9 : 4) * MS);
        publishers[i].waits_subscriber = 0;
    }
    assert_int_equal(find(0), 1);
    assert_string_equal(sentence(0),
                        "publisher quote (pid 811) has waited 9 ms for subscriber risk (pid 790), 0 behind; 2 "
                        "more publishers wait for it, too");
    publishers[2].waits_subscriber = 1;
    assert_int_equal(find(0), 2);
    assert_int_equal(list[0].others, 1);
    assert_int_equal(list[1].others, 0);
}

static void stuck(void **state) {
    (void)state;
    subscribers[1].state = AETHER_SUBSCRIBER_STUCK;
    subscribers[1].lag = 12000;
    subscribers[1].age_ns = 2000 * MS;
    assert_int_equal(find(0), 1);
    assert_string_equal(sentence(0), "subscriber audit (pid 791) is stuck: 12,000 messages wait, the oldest for 2 s");
    subscribers[1].lag = 1;
    subscribers[1].age_ns = AETHER_UNKNOWN;
    subscribers[1].owner.pid = 0;
    subscribers[1].owner.client[0] = '\0';
    assert_int_equal(find(0), 1);
    assert_string_equal(sentence(0), "subscriber of client 791 is stuck: 1 message waits");
}

static void the_worst_first(void **state) {
    (void)state;
    for (size_t i = 0; i < 3; i++)
        wait_for(i, AETHER_WAITS_CLAIM, (i + 1) * MS);
    subscribers[0].state = subscribers[1].state = AETHER_SUBSCRIBER_STUCK;
    subscribers[0].age_ns = AETHER_UNKNOWN;
    subscribers[1].age_ns = 7 * MS;
    assert_int_equal(find(0), 4);
    assert_int_equal(list[0].victim.pid, 812);
    assert_int_equal(list[1].victim.pid, 811);
    assert_int_equal(list[2].victim.pid, 810);
    assert_int_equal(list[3].culprit.pid, 791);
    assert_int_equal(list[3].kind, AE_PROBLEM_STUCK);
    /* Those of a second topic are added to the list. */
    strcpy(watched.figures.info.name, "other");
    publishers[0].waits = publishers[1].waits = AETHER_WAITS_NOT;
    publishers[2].owner.grant_id = 5;
    publishers[2].waited_ns = 9 * MS;
    assert_int_equal(find(4), 4);
    assert_string_equal(list[0].topic, "other");
    assert_string_equal(list[1].topic, "market");
    assert_int_equal(list[1].for_ns, 3 * MS);
    assert_int_equal(ae_watch_problems(&watched, &instance, 0, list, 0, 0), 0);
}

static struct ae_watch_rates subscriber_rates[2], publisher_rates[3];

/* The rates of a topic or subscriber that has lost so many messages in the second before. */
static struct ae_watch_rates losing(uint64_t messages, aether_lost reason) {
    return (struct ae_watch_rates){.known = true,
                                   .lost = (double)messages,
                                   .loss = {.messages = messages, .seen_ns = watched.taken_ns, .reason = reason}};
}

/* A stopped, evicted, stuck subscriber that loses messages is one record. */
static void one_culprit(void **state) {
    (void)state;
    memset(subscriber_rates, 0, sizeof subscriber_rates);
    watched.subscriber_rates = subscriber_rates;
    watched.rates = losing(70, AETHER_LOST_EVICTED);
    subscriber_rates[0] = losing(70, AETHER_LOST_EVICTED);
    subscribers[0].state = AETHER_SUBSCRIBER_STUCK;
    subscribers[0].evictions = 1;
    subscribers[0].owner.process = 'T';
    subscribers[0].lag = 12000;
    subscribers[0].age_ns = 2000 * MS;
    assert_int_equal(find(0), 1);
    assert_string_equal(sentence(0), "subscriber risk (pid 790), which is stopped, is stuck: 12,000 messages wait, the "
                                     "oldest for 2 s; it loses messages, 70/s: it had been evicted; it was evicted");
    subscribers[0].overwritten = 3000;
    assert_int_equal(find(0), 1);
    assert_non_null(
        strstr(sentence(0), "the oldest for 2 s, of them 3,000 already overwritten, which it will lose; it"));
    subscribers[0].overwritten = 12000;
    assert_int_equal(find(0), 1);
    assert_non_null(
        strstr(sentence(0), "the oldest for 2 s, all of them already overwritten, so it will lose them; it"));
    subscribers[0].overwritten = 0;
    subscribers[0].state = AETHER_SUBSCRIBER_EVICTED;
    assert_int_equal(find(0), 1);
    assert_int_equal(list[0].kind, AE_PROBLEM_STOPPED);
    subscribers[0].owner.process = 'S';
    assert_int_equal(find(0), 1);
    assert_string_equal(sentence(0),
                        "subscriber risk (pid 790) loses messages, 70/s: it had been evicted; it was evicted");
    subscriber_rates[0] = (struct ae_watch_rates){.known = false};
    assert_int_equal(find(0), 2);
    assert_string_equal(sentence(0), "subscribers lose messages, 70/s");
    assert_string_equal(sentence(1),
                        "subscriber risk (pid 790) was evicted because it was too slow; it goes on as best effort");

    /* A publisher that waits for it says all of it, too. */
    subscriber_rates[0] = losing(70, AETHER_LOST_EVICTED);
    wait_for(0, AETHER_WAITS_SUBSCRIBER, 3200 * MS);
    publishers[0].waits_subscriber = 0;
    assert_int_equal(find(0), 1);
    assert_non_null(strstr(sentence(0), "12,000 behind; it loses messages, 70/s"));
}

/* A subscriber that lost messages some seconds ago. */
static void lost(void **state) {
    (void)state;
    memset(subscriber_rates, 0, sizeof subscriber_rates);
    watched.subscriber_rates = subscriber_rates;
    subscriber_rates[0] = losing(12345, AETHER_LOST_RING);
    subscriber_rates[1] = losing(1, AETHER_LOST_RETAINED);
    watched.rates = losing(1, AETHER_LOST_RING);
    watched.rates.lost = subscriber_rates[0].lost = subscriber_rates[1].lost = 0;
    watched.rates.loss.seen_ns -= 3000 * MS;
    subscriber_rates[0].loss.seen_ns -= 4000 * MS;
    subscriber_rates[1].loss.seen_ns -= 3000 * MS;
    assert_int_equal(find(0), 2);
    assert_string_equal(
        sentence(0),
        "subscriber audit (pid 791) lost 1 message 3 s ago: it had been published before the subscriber joined");
    assert_string_equal(sentence(1),
                        "subscriber risk (pid 790) lost 12,345 messages 4 s ago: it was more than the ring behind");
    /* The loss that goes on is worse, whatever its size. */
    subscriber_rates[0] = losing(1, AETHER_LOST_RING);
    assert_int_equal(find(0), 2);
    assert_string_equal(sentence(0), "subscriber risk (pid 790) loses messages, 1/s: it was more than the ring behind");
    subscriber_rates[0] = (struct ae_watch_rates){.known = true};

    /* Something else is worse. */
    subscribers[1].state = AETHER_SUBSCRIBER_STUCK;
    subscribers[1].lag = 3;
    subscriber_rates[1].loss.reason = AETHER_LOST_LANE;
    assert_int_equal(find(0), 1);
    assert_string_equal(sentence(0), "subscriber audit (pid 791) is stuck: 3 messages wait, the oldest for 0 s; it "
                                     "lost 1 message 3 s ago: publishers needed the bytes of their lane");

    /* What the topic has lost later was another subscriber's, which isn't known. */
    watched.rates.loss.seen_ns += 1000 * MS;
    assert_int_equal(find(0), 2);
    assert_string_equal(sentence(1), "subscribers lost 1 message 2 s ago");
}

/* A stopped program has one record, whatever the number of its topics; one that runs has one for each kind. */
static void one_program(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        subscribers[i].state = AETHER_SUBSCRIBER_STUCK;
        subscribers[i].lag = 5;
        subscribers[i].age_ns = 2000 * MS;
    }
    subscribers[0].owner.process = 'T';
    assert_int_equal(find(0), 2);
    strcpy(watched.figures.info.name, "second");
    subscribers[0].owner.grant_id = 77;
    subscribers[1].owner.grant_id = 78;
    wait_for(0, AETHER_WAITS_SUBSCRIBER, 3000 * MS);
    publishers[0].waits_subscriber = 0;
    assert_int_equal(find(2), 2);
    assert_string_equal(list[0].topic, "second");
    assert_int_equal(list[0].kind, AE_PROBLEM_WAITS);
    assert_string_equal(sentence(0), "publisher feed (pid 810) has waited 3 s for subscriber risk (pid 790), which is "
                                     "stopped, 5 behind; the same program has problems in 1 more topic");
    assert_int_equal(list[1].topics, 1);
}

static void throttled_and_died(void **state) {
    const aether_departed_metrics departed[] = {
        {.owner = owner("gone", 5), .role = AETHER_ROLE_PUBLISHER, .died = 1, .ago_ns = 12000 * MS},
        {.owner = owner("closed", 6), .role = AETHER_ROLE_PUBLISHER, .ago_ns = 12000 * MS},
        {.owner = owner("old", 7), .role = AETHER_ROLE_RELIABLE, .died = 1, .ago_ns = 60000 * MS},
    };

    (void)state;
    memset(publisher_rates, 0, sizeof publisher_rates);
    watched.publisher_rates = publisher_rates;
    publisher_rates[1] = (struct ae_watch_rates){.known = true, .stalled = 0.4};
    subscribers[0].lag = 3;
    subscribers[1].lag = 8;
    watched.figures.departed = departed;
    watched.figures.departed_count = 3;
    assert_int_equal(find(0), 2);
    assert_string_equal(sentence(0), "publisher quote (pid 811) has no room for 40 % of the time; farthest behind is "
                                     "subscriber audit (pid 791), 8 behind");
    assert_string_equal(sentence(1), "publisher gone (pid 5) died 12 s ago");
}

/* A wait is a problem from some time on. In a first reading, each is. */
static void patience(void **state) {
    (void)state;
    wait_for(0, AETHER_WAITS_CLAIM, 99 * MS);
    assert_int_equal(ae_watch_problems(&watched, &instance, AE_WATCH_PATIENCE_NS, list, 0, 4), 1);
    watched.rates.known = true;
    assert_int_equal(ae_watch_problems(&watched, &instance, AE_WATCH_PATIENCE_NS, list, 0, 4), 0);
    wait_for(0, AETHER_WAITS_CLAIM, 100 * MS);
    assert_int_equal(ae_watch_problems(&watched, &instance, AE_WATCH_PATIENCE_NS, list, 0, 4), 1);
}

/* Only aetherd frees what a dead program holds. */
static void without_aetherd(void **state) {
    static const char waits[] =
        "publisher feed (pid 810) has waited 3.20 s for subscriber risk (pid 790), which is dead, 8 "
        "behind";
    char whole[256];

    (void)state;
    wait_for(0, AETHER_WAITS_SUBSCRIBER, 3200 * MS);
    publishers[0].waits_subscriber = 0;
    subscribers[0].lag = 8;
    subscribers[0].owner.process = 'Z';
    assert_int_equal(find(0), 1);
    assert_string_equal(sentence(0), waits);
    instance.daemon.running = 0;
    assert_int_equal(find(0), 1);
    snprintf(whole, sizeof whole, "%s; start aetherd, which frees its room", waits);
    assert_string_equal(sentence(0), whole);
    instance.daemon.running = 1;
    instance.stopped = 1;
    assert_int_equal(find(0), 1);
    snprintf(whole, sizeof whole, "%s; aetherd, which is stopped, frees its room when it goes on", waits);
    assert_string_equal(sentence(0), whole);

    /* One whose process isn't seen, as it is in another pid namespace, isn't dead. */
    instance.daemon.running = 0;
    subscribers[0].owner.process = '?';
    assert_int_equal(find(0), 1);
    assert_null(strstr(sentence(0), "aetherd"));
    subscribers[0].owner.process = 'T';
    assert_int_equal(find(0), 1);
    assert_null(strstr(sentence(0), "aetherd"));

    wait_for(0, AETHER_WAITS_PUBLISHER, 3000 * MS);
    publishers[0].waits_publisher = 1;
    publishers[1].owner.process = 'X';
    subscribers[0].lag = 0;
    assert_int_equal(find(0), 1);
    assert_string_equal(sentence(0),
                        "publisher feed (pid 810) has waited 3 s for the unfinished publish of publisher quote "
                        "(pid 811), which is dead; start aetherd, which frees its room");
}

/* A dead subscriber holds room also before a publisher needs it, unless it is best effort. */
static void dead_without_aetherd(void **state) {
    (void)state;
    instance.daemon.running = 0;
    subscribers[0].owner.process = 'Z';
    subscribers[0].lag = 8;
    subscribers[0].state = AETHER_SUBSCRIBER_STUCK;
    subscribers[0].age_ns = 2000 * MS;
    assert_int_equal(find(0), 1);
    assert_string_equal(sentence(0),
                        "subscriber risk (pid 790), which is dead, is stuck: 8 messages wait, the oldest for "
                        "2 s; start aetherd, which frees its room");
    subscribers[0].policy = AETHER_BEST_EFFORT;
    assert_int_equal(find(0), 1);
    assert_null(strstr(sentence(0), "aetherd"));
}

/* Names can't command a terminal, and the longest ones fit. */
static void hostile_names(void **state) {
    (void)state;
    wait_for(0, AETHER_WAITS_SUBSCRIBER, 3200 * MS);
    publishers[0].waits_subscriber = 0;
    publishers[0].tried_ns = 3000 * MS;
    memset(publishers[0].owner.client, 0x1b, sizeof publishers[0].owner.client);
    memset(subscribers[0].owner.client, '\n', sizeof subscribers[0].owner.client);
    publishers[0].owner.process = subscribers[0].owner.process = 'T';
    subscribers[0].lag = UINT64_MAX;
    assert_int_equal(find(0), 1);
    list[0].others = UINT64_MAX;
    assert_null(strpbrk(sentence(0), "\x1b\n"));
    assert_non_null(strstr(text, "for it, too"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nothing, setup),
        cmocka_unit_test_setup(for_a_subscriber, setup),
        cmocka_unit_test_setup(for_others, setup),
        cmocka_unit_test_setup(for_itself, setup),
        cmocka_unit_test_setup(together, setup),
        cmocka_unit_test_setup(stuck, setup),
        cmocka_unit_test_setup(the_worst_first, setup),
        cmocka_unit_test_setup(hostile_names, setup),
        cmocka_unit_test_setup(one_culprit, setup),
        cmocka_unit_test_setup(lost, setup),
        cmocka_unit_test_setup(one_program, setup),
        cmocka_unit_test_setup(throttled_and_died, setup),
        cmocka_unit_test_setup(patience, setup),
        cmocka_unit_test_setup(without_aetherd, setup),
        cmocka_unit_test_setup(dead_without_aetherd, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
