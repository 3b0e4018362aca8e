/* SPDX-License-Identifier: Apache-2.0 */
#include "export/document.h"
#include "view/out_test.h"
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static aether_topic_metrics topic;
static const aether_topic_metrics *const list[] = {&topic};
static aether_instance_metrics instance;
static aether_subscriber_metrics subscribers[2];
static aether_publisher_metrics publishers[2];
static const aether_departed_metrics departed = {
    .owner = {.grant_id = 3, .client_id = 4, .client = "gone", .pid = 5, .process = '?'},
    .role = AETHER_ROLE_PUBLISHER,
    .died = 1,
    .left_ns = 6,
    .messages = 7};

static void show(const struct ae_document *document) {
    assert_int_equal(ae_document_write(document, &out), 0);
    assert_true(ae_out_flush(&out));
}

static void assert_has(const char *part) {
    if (strstr(text, part) == NULL)
        fail_msg("%s isn't in %s", part, text);
}

static void no_instance(void **state) {
    const struct ae_document d = {.time_ns = 5, .error = "it isn't \"there\"", .socket_path = "/s"};

    (void)state;
    show(&d);
    assert_has(
        "\"time_ns\":5,\"error\":\"it isn't \\\"there\\\"\",\"instance\":null,\"topics\":[],\"topics_left_out\":0,"
        "\"other\":null,\"problems\":[],\"clients\":[],\"clients_left_out\":0}\n");
}

/* A publisher that waits for the second subscriber, one that waits for a subscriber that isn't there, and others. */
static struct ae_document busy_document(void) {
    memset(&topic, 0, sizeof topic);
    memset(subscribers, 0, sizeof subscribers);
    strcpy(topic.info.name, "t\xff");
    topic.publishers = publishers;
    topic.publisher_count = 2;
    topic.subscribers = subscribers;
    topic.subscriber_count = 2;
    topic.departed = &departed;
    topic.departed_count = 1;
    publishers[0] = (aether_publisher_metrics){.owner = {.grant_id = 1, .client = "feed", .process = 'S'},
                                               .waits = AETHER_WAITS_SUBSCRIBER,
                                               .waited_ns = 3200000000,
                                               .tried_ns = AETHER_UNKNOWN,
                                               .waits_subscriber = 1,
                                               .waits_publisher = -1};
    publishers[1] = publishers[0];
    publishers[1].waits_subscriber = 2;
    subscribers[0].owner.process = '?';
    subscribers[0].age_ns = AETHER_UNKNOWN;
    subscribers[1].owner =
        (aether_owner){.grant_id = 2, .client_id = 9, .client = "</script>\n", .pid = 790, .process = 'T'};
    subscribers[1].state = AETHER_SUBSCRIBER_STUCK;
    subscribers[1].policy = AETHER_LATEST;
    return (struct ae_document){
        .socket_path = "/s", .instance = &instance, .topics = list, .topic_count = 1, .topics_left_out = 4};
}

static void busy(void **state) {
    struct ae_document d = busy_document();

    (void)state;
    show(&d);
    assert_has("\"error\":null,\"instance\":{\"socket\":\"/s\",");
    assert_has("\"running\":false");
    assert_has("\"topics\":[{\"topic_b64\":\"dP8=\",\"id\":0,");
    assert_has("\"waits\":\"subscriber\",\"waits_subscriber\":1,\"waits_publisher\":null,\"waits_for\":{\"grant_id\":2,"
               "\"client_id\":9,\"client\":\"</script>\\n\",\"pid\":790,\"process\":\"T\"}}");
    assert_has("\"waits_subscriber\":null,\"waits_publisher\":null,\"waits_for\":null}");
    assert_has("\"tried_ns\":null");
    assert_has("\"publishers\":[{\"role\":\"publisher\",\"grant_id\":1,");
    assert_has("\"process\":null");
    assert_has("\"age_ns\":null");
    assert_has("\"policy\":\"latest\",\"state\":\"stuck\"");
    assert_has("\"departed\":[{\"role\":\"publisher\",\"grant_id\":3,\"client_id\":4,\"client\":\"gone\",\"pid\":5,"
               "\"process\":null,\"left_ns\":6,\"ago_ns\":0,\"died\":true,\"published\":7,");
    assert_has("\"topics_left_out\":4");
    assert_null(strstr(text, "\"buckets\""));
}

static void one_topic(void **state) {
    struct ae_document d = busy_document();
    struct ae_problem problem = {.topic = "t\xff",
                                 .has_victim = true,
                                 .has_culprit = true,
                                 .victim = publishers[0].owner,
                                 .culprit = subscribers[1].owner,
                                 .for_ns = 3200000000,
                                 .tried_ns = AETHER_UNKNOWN};

    (void)state;
    topic.latency.buckets[20] = 5;
    d.buckets = true;
    d.problems = &problem;
    d.problem_count = 1;
    show(&d);
    assert_has("\"powers\":[[64,5]],\"buckets\":[[21,5]]}");
    assert_has("\"problems\":[{\"topic_b64\":\"dP8=\",\"kind\":\"waits\",\"text\":\"publisher feed has waited 3.20 s");
    assert_has("\"victim\":{\"grant_id\":1,");
    assert_has("\"culprit\":{\"grant_id\":2,");
}

static void sums_and_clients(void **state) {
    const aether_client_metrics client = {
        .client_id = 1, .name = "c", .pid = 2, .uid = 3, .process = 'R', .stats_bytes = 4};
    struct ae_document d = busy_document();
    static aether_topic_metrics other;

    (void)state;
    other.published = 77;
    d.other = &other;
    d.clients = &client;
    d.client_count = 1;
    d.clients_left_out = 8;
    show(&d);
    assert_has("\"other\":{\"aborted\":0,");
    assert_has("\"published\":77");
    assert_has("\"clients\":[{\"client_id\":1,\"client\":\"c\",\"pid\":2,\"process\":\"R\",\"uid\":3,");
    assert_has("\"stats_bytes\":4");
    assert_has("\"clients_left_out\":8}\n");
}

static void full_disk(void **state) {
    const struct ae_document d = busy_document();
    FILE *memory = enter_full_disk();

    (void)state;
    assert_int_equal(ae_document_write(&d, &out), -ENOSPC);
    leave_full_disk(memory);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, open_out, close_out)

int main(void) {
    const struct CMUnitTest tests[] = {CASE(no_instance), CASE(busy), CASE(one_topic), CASE(sums_and_clients),
                                       CASE(full_disk)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
