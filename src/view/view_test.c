/* SPDX-License-Identifier: Apache-2.0 */
/* view_test.c - every record in every form, byte for byte, and streams that fail. */
#include "view/view.h"
#include "view/date.h"
#include "view/measure.h"
/* cmocka.h needs these before it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "view/form_test.h"

static const struct ae_view text_view = {.form = &ae_text_form, .out = &out};
static const struct ae_view json_view = {.form = &ae_json_form, .out = &out};
static const struct ae_view raw_view = {.form = &ae_raw_form, .out = &out};

/* ---- records ----------------------------------------------------------------------------------------------------- */

/* A topic with all options, whose name and type aren't UTF-8. */
static struct ae_view_topic odd_topic(void) {
    return (struct ae_view_topic){.info = {.id = 7,
                                           .name = "z\xff\x1b[2J",
                                           .created_ns = UINT64_C(1700000000123456789),
                                           .start_seq = 100,
                                           .next_seq = 112,
                                           .messages = 12,
                                           .capacity = 16,
                                           .slot_size = 128,
                                           .max_message = 1 << 20,
                                           .inline_max = 120,
                                           .lane_bytes = 4 << 20,
                                           .evict_lag = 12,
                                           .admits = AETHER_PUBLISHERS_UNBIASED,
                                           .memory_bytes = 8192,
                                           .type_name = "q\xff",
                                           .type_version = 7,
                                           .type_size = 64,
                                           .joins = 3,
                                           .publishers = 1,
                                           .reliable = 2,
                                           .best_effort = 1,
                                           .full = 1,
                                           .max_lag = 1234,
                                           .latency = AETHER_LATENCY_ALL,
                                           .stated = {.max_message = 1 << 20,
                                                      .publishers = AETHER_PUBLISHERS_EXCLUSIVE,
                                                      .slow = AETHER_SLOW_EVICT,
                                                      .type_name = "q\xff",
                                                      .type_version = 7,
                                                      .type_size = 64},
                                           .typed_by = "cam\n",
                                           .typed_pid = 12,
                                           .shaped_by = "pub",
                                           .shaped_pid = 13,
                                           .shaped = 1,
                                           .created_by = "aether-cli topic create"},
                                  .evicted = 1,
                                  .rate = 1250000};
}

static struct ae_view_topic plain_topic(void) {
    return (struct ae_view_topic){.info = {.id = 1,
                                           .name = "a/b",
                                           .capacity = 64,
                                           .slot_size = 112,
                                           .max_message = 100,
                                           .inline_max = 100,
                                           .admits = AETHER_PUBLISHERS_SHARED,
                                           .memory_bytes = 4096,
                                           .latency = AETHER_LATENCY_SAMPLED}};
}

/* All figures of odd_topic(). */
static const aether_publisher_metrics publishers[] = {
    {.owner = {.grant_id = 1, .client_id = 1, .client = "pub\n", .pid = 1234, .process = 'S'},
     .joined = 5,
     .next = 9,
     .messages = 4,
     .bytes = 2048,
     .batches = 1,
     .full = 2,
     .stalls = 1,
     .stall_ns = 2500000000,
     .stall_longest = 1500000000,
     .retries = 7,
     .wakes = 6,
     .loans = 1,
     .lane_bytes = 1 << 20,
     .lane_used = 1536,
     .lane_fits = 3,
     .waits = AETHER_WAITS_SUBSCRIBER,
     .waited_ns = 1250000000,
     .tried_ns = AETHER_UNKNOWN,
     .waits_subscriber = 0,
     .waits_publisher = -1},
    {.owner = {.grant_id = 2, .client_id = 9, .client = "idle", .process = '?'},
     .tried_ns = AETHER_UNKNOWN,
     .waits_subscriber = -1,
     .waits_publisher = -1},
    /* damaged: nothing is at these indices */
    {.owner = {.process = 'x'}, .waits = AETHER_WAITS_PUBLISHER, .waits_subscriber = 77, .waits_publisher = 77},
};
static const aether_subscriber_metrics subscribers[] = {
    {.owner = {.grant_id = 3, .client_id = 2, .client = "sub", .process = 'T'},
     .policy = AETHER_RELIABLE,
     .state = AETHER_SUBSCRIBER_EVICTED,
     .joined = 5,
     .next = 8,
     .delivered = 1000000,
     .bytes = 3 << 20,
     .lost = 3,
     .lost_by = {[AETHER_LOST_RING] = 3},
     .aborted = 4,
     .evictions = 1,
     .lag = 1234,
     .age_ns = 3200000000,
     .received_ns = 5,
     .sleeps = 2,
     .holds_up = 1,
     .latency = {.samples = 2, .buckets = {[100] = 10}},
     .requests = {.inline_max = 56,
                  .capacity = 1024,
                  .lane_bytes = 64 << 20,
                  .preset = AETHER_PRESET_SMALL,
                  .evict_lag = 7,
                  .latency = AETHER_LATENCY_OFF,
                  .start_seq = 5}},
    {.owner = {.grant_id = 4, .client_id = 3, .client = "other", .pid = 99999, .process = 'R'},
     .policy = AETHER_LATEST,
     .state = AETHER_SUBSCRIBER_BEHIND,
     .age_ns = AETHER_UNKNOWN,
     .received_ns = AETHER_UNKNOWN,
     .skipped = 12},
    {.owner = {.client = "damaged"}, .policy = (aether_policy)9, .state = (aether_subscriber_state)9},
};
static const aether_departed_metrics departed[] = {
    {.owner = {.client_id = 4, .client = "gone\x1b", .pid = 7, .process = '?'},
     .role = AETHER_ROLE_RELIABLE,
     .died = 1,
     .evicted = 1,
     .evict_reason = AETHER_EVICT_LANE,
     .evict_held = 12582912,
     .left_ns = UINT64_C(1700000001000000000),
     .ago_ns = 5,
     .messages = 10,
     .lost = 1,
     .aborted = 2,
     .skipped = 3},
    {.owner = {.client_id = 5, .client = "p", .process = '?'},
     .role = AETHER_ROLE_PUBLISHER,
     .messages = 11,
     .full = 12,
     .stall_ns = 13000},
};

static aether_topic_metrics odd_figures(void) {
    return (aether_topic_metrics){.info = odd_topic().info,
                                  .published = 12,
                                  .published_bytes = 4096,
                                  .full = 5,
                                  .stalls = 2,
                                  .stall_ns = 3500000000,
                                  .stall_longest = 1500000000,
                                  .waiting = 1,
                                  .waited_ns = 1250000000,
                                  .delivered = 36,
                                  .delivered_bytes = 10240,
                                  .lost = 5,
                                  .lost_by = {[AETHER_LOST_RING] = 3, [AETHER_LOST_RETAINED] = 2},
                                  .gaps = 1,
                                  .aborted = 4,
                                  .skipped = 12,
                                  .evictions = 1,
                                  .lag = 1234,
                                  .age_ns = 3200000000,
                                  .stuck = 1,
                                  .latency = {.samples = 2, .buckets = {[100] = 10}},
                                  .publishers = publishers,
                                  .publisher_count = 3,
                                  .subscribers = subscribers,
                                  .subscriber_count = 3,
                                  .departed = departed,
                                  .departed_count = 2};
}

#define ODD_JSON                                                                                                       \
    "{\"topic_b64\":\"ev8bWzJK\",\"id\":7,\"created_ns\":1700000000123456789,\"start_seq\":100,\"next_seq\":112,"      \
    "\"messages\":12,\"publishers\":1,\"publishers_mode\":\"unbiased\",\"publisher_joins\":3,"                         \
    "\"subscribers_by\":{\"reliable\":2,\"best-effort\":1},\"lag\":1234,\"full\":1,\"capacity\":16,\"slot_size\":128," \
    "\"max_message\":1048576,\"inline_max\":120,\"lane_bytes\":4194304,\"latency_mode\":\"all\",\"slow\":\"evict\","   \
    "\"evict_lag\":12,"                                                                                                \
    "\"type_name_b64\":\"cf8=\",\"type_version\":7,\"type_size\":64,\"memory_bytes\":8192,\"evicted\":1"
#define PLAIN_JSON                                                                                                     \
    "{\"topic\":\"a/b\",\"id\":1,\"created_ns\":0,\"start_seq\":0,\"next_seq\":0,\"messages\":0,\"publishers\":0,"     \
    "\"publishers_mode\":\"shared\",\"publisher_joins\":0,\"subscribers_by\":{\"reliable\":0,\"best-effort\":0},"      \
    "\"lag\":0,\"full\":0,"                                                                                            \
    "\"capacity\":64,\"slot_size\":112,\"max_message\":100,\"inline_max\":100,\"lane_bytes\":0,\"latency_mode\":"      \
    "\"sampled\",\"slow\":\"wait\","                                                                                   \
    "\"evict_lag\":0,\"type_name\":\"\",\"type_version\":0,\"type_size\":0,\"memory_bytes\":4096,\"evicted\":0"

/* ---- topics and daemon ------------------------------------------------------------------------------------------- */

static void topics(void **state) {
    const struct ae_view_topic list[] = {plain_topic(), odd_topic()};

    (void)state;
    expect(
        ae_view_topics(&text_view, list, 2), 0,
        "TOPIC         MESSAGES  NEXT  PUB  RELIABLE  BEST EFFORT  MAX MESSAGE  SLOTS  MEMORY  SLOW   TYPE\n"
        "a/b                  0     0    0         0            0        100 B     64   4 KiB  wait   -\n"
        "z\\xff\\x1b[2J        12   112    1         2            1        1 MiB     16   8 KiB  evict  q\\xff:7:64\n");
    expect(ae_view_topics(&json_view, list, 2), 0, PLAIN_JSON "}\n" ODD_JSON "}\n");
    expect(ae_view_topics(&raw_view, list, 2), AE_VIEW_SKIPPED, "");
    expect(ae_view_topics(&json_view, list, 0), 0, "");
    struct ae_view left = json_view;
    left.orphaned = true;
    expect(ae_view_topics(&left, list, 1), 0, PLAIN_JSON ",\"daemon_running\":false}\n");
}

static void waiting(void **state) {
    const aether_waiting_info list[] = {
        {.id = 3, .name = "x", .created_ns = 9, .subscribers = 1, .pid = 77, .client = "aether-cli sub"},
        {.id = 4,
         .name = "z\x1b",
         .subscribers = 3,
         .client = "c\n",
         .asked = {.max_message = 1 << 20,
                   .publishers = AETHER_PUBLISHERS_EXCLUSIVE,
                   .type_version = 1,
                   .type_name = "frame"}}};

    (void)state;
    expect(ae_view_waiting(&text_view, list, 2), 0,
           "waiting for a publisher: x (aether-cli sub, pid 77)\n"
           "waiting for a publisher: z\\x1b (c\\n, and 2 more): asked for max message 1 MiB, exclusive publishers, "
           "type frame:1\n");
    expect(ae_view_waiting(&text_view, list, 0), 0, "");
    expect(ae_view_waiting(&json_view, list, 2), 0,
           "{\"topic\":\"x\",\"waiting\":true,\"id\":3,\"created_ns\":9,\"subscribers\":1,\"client\":\"aether-cli "
           "sub\",\"pid\":77,\"asked\":{}}\n"
           "{\"topic\":\"z\\u001B\",\"waiting\":true,\"id\":4,\"created_ns\":0,\"subscribers\":3,\"client\":\"c\\n\","
           "\"pid\":null,\"asked\":{\"max_message\":1048576,\"publishers\":\"exclusive\",\"type_name\":\"frame\","
           "\"type_version\":1,\"type_size\":0}}\n");
    expect(ae_view_waiting(&raw_view, list, 2), AE_VIEW_SKIPPED, "");
}

/* odd_topic() as text: the topic itself, then those that use it and those that have left. */
#define ODD_SUMMARY                                                                                                    \
    "topic         z\\xff\\x1b[2J\n"                                                                                   \
    "created       2023-11-14 22:13:20\n"                                                                              \
    "type          q\\xff:7:64, stated by 'cam\\n' (pid 12)\n"                                                         \
    "stated        max message 1 MiB, exclusive publishers, slow evict, type q\\xff:7:64\n"                            \
    "shape         fixed by 'pub' (pid 13), created by 'aether-cli topic create'\n"                                    \
    "messages      12 (sequences from 100, next 112)\n"                                                                \
    "max message   1 MiB, up to 120 B in the ring, longer ones in a lane of 4 MiB a publisher\n"                       \
    "ring          16 slots of 128 B, 2 KiB\n"                                                                         \
    "memory        8 KiB allocated now\n"                                                                              \
    "slow          reliable subscribers are evicted from a lag of 12 on; 1 of those attached is evicted\n"             \
    "latency       measured with each message\n"                                                                       \
    "lag           1,234 of the slowest subscriber\n"                                                                  \
    "publishers    up to 64, unbiased; 1 attached, 3 since the topic was created\n"                                    \
    "subscribers   3 attached, 2 reliable\n"                                                                           \
    "found full    5 times\n"                                                                                          \
    "stalls        2 without room, 3.50 s in total, the longest 1.50 s; 1 publisher waits now, for up to 1.25 s\n"     \
    "published     12 messages, 4 KiB\n"                                                                               \
    "delivered     36 messages, 10 KiB, to all subscribers together\n"                                                 \
    "lost          5 (ring 3, retained 2) in 1 gap\n"                                                                  \
    "passed over   12 skipped by latest subscribers, 4 aborted by a publisher's death\n"                               \
    "unread        for up to 3.20 s; 1 subscriber is stuck\n"                                                          \
    "latencies     since the topic was created: p50 656 ns, p90 656 ns, p99 656 ns, p99.9 656 ns, p99.99 656 ns, "     \
    "max 656 ns; from 2 samples\n"                                                                                     \
    "lane of 'pub\\n' (pid 1234)  1.50 KiB of 1 MiB used, room for 3 of the largest\n"                                 \
    "request of 'sub'  in the ring up to 56 B, slots 1,024, lane 64 MiB, preset small, evict lag 7, latency off, "     \
    "first sequence 5\n"
#define ODD_PEERS                                                                                                      \
    "\n"                                                                                                               \
    "ROLE           PID  CLIENT   JOINED  NEXT    LAG  LOST  ABORTED  FULL  EVICTED\n"                                 \
    "publisher     1234  pub\\n         5     9      -     -        -     2  -\n"                                      \
    "publisher        -  idle          0     0      -     -        -     0  -\n"                                       \
    "publisher        -                0     0      -     -        -     0  -\n"                                       \
    "reliable         -  sub           5     8  1,234     3        4     -  yes\n"                                     \
    "best-effort  99999  other         0     0      0     0        0     -  -\n"                                       \
    "best-effort      -  damaged       0     0      0     0        0     -  -\n"                                       \
    "\n"                                                                                                               \
    "Publishers since each was opened; LANE and WAITS FOR are of now:\n"                                               \
    "PUBLISHER   PID  PROCESS   MESSAGES  BYTES  BATCHES  STALLS  STALLED  LONGEST  RETRIES  WAKES  LOANS  LANE    "   \
    "           WAITS FOR\n"                                                                                           \
    "pub\\n      1234  sleeping         4  2 KiB        1       1   2.50 s   1.50 s        7      6      1  1.50 "     \
    "KiB of 1 MiB  subscriber sub, 1.25 s\n"                                                                           \
    "idle          -  -                0    0 B        0       0      0 s      0 s        0      0      0  -       "   \
    "           -\n"                                                                                                   \
    "              -  -                0    0 B        0       0      0 s      0 s        0      0      0  -       "   \
    "           publisher, 0 s\n"                                                                                      \
    "\n"                                                                                                               \
    "Subscribers since each was opened; STATE, LAG, AGE and HOLDS UP are of now:\n"                                    \
    "SUBSCRIBER    PID  POLICY    STATE              MESSAGES  BYTES    LAG     AGE  LOST      SKIPPED  SLEEPS  "      \
    "HOLDS UP     P50     P99     MAX\n"                                                                               \
    "sub             -  reliable  evicted, stopped  1,000,000  3 MiB  1,234  3.20 s  3 (ring)        0       2  "      \
    "       1  656 ns  656 ns  656 ns\n"                                                                               \
    "other       99999  latest    behind                    0    0 B      0       -  0              12       0  "      \
    "       0       -       -       -\n"                                                                               \
    "damaged         -  ?         ?                         0    0 B      0     0 s  0               0       0  "      \
    "       0       -       -       -\n"                                                                               \
    "\n"                                                                                                               \
    "DEPARTED   PID  CLIENT    LEFT                 HOW                                      MESSAGES  LOST  "         \
    "ABORTED  "                                                                                                        \
    "SKIPPED  STALLED  FULL\n"                                                                                         \
    "reliable     7  gone\\x1b  2023-11-14 22:13:21  died, evicted: held 12 MiB of lane room        10     1       "   \
    " 2  "                                                                                                             \
    "      3        -     -\n"                                                                                         \
    "publisher    -  p         1970-01-01 00:00:00  closed                                         11     -        "   \
    "-  "                                                                                                              \
    "      -  13.0 \u00b5s    12\n"

static void one_topic_as_text(void **state) {
    struct ae_view_topic topic = odd_topic();
    const aether_topic_metrics figures = odd_figures();

    (void)state;
    topic.figures = &figures;
    expect(ae_view_topic(&text_view, &topic), 0, ODD_SUMMARY ODD_PEERS);
}

static void an_unused_topic_as_text(void **state) {
    struct ae_view_topic topic = plain_topic();

    (void)state;
    topic.info.admits = (aether_publishers)9;
    topic.info.latency = (aether_latency_mode)9;
    const aether_topic_metrics figures = {.info = topic.info, .age_ns = AETHER_UNKNOWN};
    topic.figures = &figures;
    expect(ae_view_topic(&text_view, &topic), 0,
           "topic         a/b\n"
           "created       1970-01-01 00:00:00\n"
           "type          none stated yet\n"
           "stated        nothing\n"
           "shape         what isn't stated is open until a publisher comes\n"
           "messages      0 (sequences from 0, next 0)\n"
           "max message   100 B, in the ring\n"
           "ring          64 slots of 112 B, 7 KiB\n"
           "memory        4 KiB allocated now\n"
           "slow          publishers wait for slow reliable subscribers\n"
           "latency       ?\n"
           "lag           0 of the slowest subscriber\n"
           "publishers    ?; 0 attached, 0 since the topic was created\n"
           "subscribers   0 attached, 0 reliable\n"
           "found full    0 times\n"
           "stalls        0 without room, 0 s in total, the longest 0 s\n"
           "published     0 messages, 0 B\n"
           "delivered     0 messages, 0 B, to all subscribers together\n"
           "lost          0 in 0 gaps\n"
           "passed over   0 skipped by latest subscribers, 0 aborted by a publisher's death\n"
           "unread        for an unknown time; 0 subscribers are stuck\n"
           "\n"
           "Nobody is attached.\n");
}

static void one_topic_as_json(void **state) {
    struct ae_view_topic topic = odd_topic();
    const aether_topic_metrics figures = odd_figures();

    (void)state;
    topic.figures = &figures;
    json_t *o = parse(ae_view_topic(&json_view, &topic));
    /* Metrics from the table; a metric in place of the key that the inspector had. */
    assert_int_equal(number(o, "published"), 12);
    assert_int_equal(number(o, "published_bytes"), 4096);
    assert_int_equal(number(o, "full"), 5);
    assert_int_equal(number(o, "lag"), 1234);
    assert_int_equal(number(o, "age_ns"), 3200000000);
    assert_int_equal(number(o, "lost"), 5);
    assert_int_equal(number(o, "lost_by.ring"), 3);
    assert_int_equal(number(o, "lost_by.lane"), 0);
    assert_int_equal(number(o, "latency.samples"), 2);
    assert_int_equal(number(o, "subscribers_by.reliable"), 2);
    assert_string_equal(string(o, "publishers_mode"), "unbiased");
    assert_int_equal(number(o, "memory_bytes"), 8192);
    assert_int_equal(number(o, "stated.max_message"), 1048576);
    assert_string_equal(string(o, "stated.publishers"), "exclusive");
    assert_string_equal(string(o, "shaped_by.client"), "pub");
    assert_int_equal(number(o, "shaped_by.pid"), 13);
    assert_string_equal(string(o, "created_by.client"), "aether-cli topic create");
    json_decref(o);
    expect(ae_view_topic(&raw_view, &topic), AE_VIEW_SKIPPED, "");
}

static void peers_as_json(void **state) {
    struct ae_view_topic topic = odd_topic();
    const aether_topic_metrics figures = odd_figures();

    (void)state;
    topic.figures = &figures;
    json_t *o = parse(ae_view_topic(&json_view, &topic));
    assert_string_equal(string(o, "publishers.0.role"), "publisher");
    assert_string_equal(string(o, "publishers.0.client"), "pub\n");
    assert_int_equal(number(o, "publishers.0.pid"), 1234);
    assert_string_equal(string(o, "publishers.0.process"), "S");
    assert_int_equal(number(o, "publishers.0.joined"), 5);
    assert_int_equal(number(o, "publishers.0.next"), 9);
    assert_int_equal(number(o, "publishers.0.full"), 2);
    assert_int_equal(number(o, "publishers.0.published"), 4);
    assert_int_equal(number(o, "publishers.0.stall_ns"), 2500000000);
    assert_int_equal(number(o, "publishers.0.lane_used_bytes"), 1536);
    assert_string_equal(string(o, "publishers.0.waits"), "subscriber");
    assert_string_equal(string(o, "publishers.0.waits_for.client"), "sub");
    assert_true(json_is_null(at(o, "publishers.0.tried_ns")));
    assert_string_equal(string(o, "publishers.1.waits"), "nothing");
    assert_true(json_is_null(at(o, "publishers.1.waits_for")));
    assert_true(json_is_null(at(o, "publishers.1.process")));
    assert_true(json_is_null(at(o, "publishers.2.waits_for")));

    assert_string_equal(string(o, "subscribers.0.role"), "reliable");
    assert_string_equal(string(o, "subscribers.0.policy"), "reliable");
    assert_string_equal(string(o, "subscribers.0.state"), "evicted");
    assert_true(json_is_true(at(o, "subscribers.0.evicted")));
    assert_int_equal(number(o, "subscribers.0.lost"), 3);
    assert_int_equal(number(o, "subscribers.0.aborted"), 4);
    assert_int_equal(number(o, "subscribers.0.lag"), 1234);
    assert_int_equal(number(o, "subscribers.0.delivered"), 1000000);
    assert_string_equal(string(o, "subscribers.1.role"), "best-effort");
    assert_string_equal(string(o, "subscribers.1.policy"), "latest");
    assert_true(json_is_null(at(o, "subscribers.1.age_ns")));
    assert_string_equal(string(o, "subscribers.2.policy"), "?");
    assert_string_equal(string(o, "subscribers.2.state"), "?");
    assert_int_equal(number(o, "subscribers.0.requests.capacity"), 1024);
    assert_string_equal(string(o, "subscribers.0.requests.preset"), "small");

    assert_string_equal(string(o, "departed.0.role"), "reliable");
    assert_string_equal(string(o, "departed.0.client"), "gone\x1b");
    assert_true(json_is_true(at(o, "departed.0.died")));
    assert_true(json_is_true(at(o, "departed.0.evicted")));
    assert_int_equal(number(o, "departed.0.delivered"), 10);
    assert_int_equal(number(o, "departed.0.skipped"), 3);
    assert_int_equal(number(o, "departed.0.left_ns"), 1700000001000000000);
    assert_int_equal(number(o, "departed.0.ago_ns"), 5);
    assert_string_equal(string(o, "departed.0.evict_reason"), "lane");
    assert_int_equal(number(o, "departed.0.evict_held_bytes"), 12582912);
    assert_int_equal(number(o, "departed.1.published"), 11);
    assert_int_equal(number(o, "departed.1.stall_ns"), 13000);
    json_decref(o);
}

static void pongs(void **state) {
    const struct ae_view_pong pong = {.socket_path = "/s\n", .pong = {77, 1000, 80000, "1.2.3", "/real/s"}};

    (void)state;
    expect(ae_view_pong(&text_view, &pong), 0, "aetherd 1.2.3 (pid 77, uid 1000) answers at /s\\n in 80 \u00b5s\n");
    json_t *o = parse(ae_view_pong(&json_view, &pong));
    assert_string_equal(string(o, "socket"), "/s\n");
    assert_string_equal(string(o, "version"), "1.2.3");
    assert_int_equal(number(o, "pid"), 77);
    assert_int_equal(number(o, "uid"), 1000);
    assert_int_equal(number(o, "round_trip_ns"), 80000);
    json_decref(o);
    expect(ae_view_pong(&raw_view, &pong), AE_VIEW_SKIPPED, "");
}

/* A sample of a daemon that runs, without topics. */
static struct ae_view_sample running_sample(void) {
    return (struct ae_view_sample){.socket_path = "/s",
                                   .instance = {.daemon = {.running = 1,
                                                           .pid = 42,
                                                           .started_ns = 5,
                                                           .topics = 1,
                                                           .topics_max = 1024,
                                                           .clients = 2,
                                                           .clients_max = 256,
                                                           .memory_bytes = 8192},
                                                .publishers = 3,
                                                .subscribers = 4},
                                   .uptime_s = 7500,
                                   .seconds = 0.25};
}

static void samples(void **state) {
    const aether_topic_metrics figures = odd_figures();
    struct ae_view_topic list[] = {odd_topic()};
    struct ae_view_sample sample = running_sample();

    (void)state;
    list[0].figures = &figures;
    sample.topics = list;
    sample.count = 1;
    expect(
        ae_view_sample(&text_view, &sample), 0,
        "aetherd at /s: pid 42, up 2 h 05 min, 1 of 1024 topics, 2 of 256 clients, 8 KiB\n"
        "Rates of the last 250 ms; messages, stalls, losses and P99 since each topic was created\n"
        "TOPIC         MESSAGES      RATE  PUB  RELIABLE  BEST EFFORT  EVICTED    LAG  SLOTS  STALLED  LOST     P99  "
        "MEMORY\n"
        "z\\xff\\x1b[2J        12  1.25 M/s    1         2            1        1  1,234     16   3.50 s     5  656 ns  "
        " "
        "8 KiB\n");
    assert_int_equal(ae_view_sample(&json_view, &sample), 0);
    assert_true(ae_out_flush(&out));
    json_t *o = json_loads(text, JSON_DISABLE_EOF_CHECK, NULL);
    assert_string_equal(string(o, "instance.socket"), "/s");
    assert_true(json_is_true(at(o, "instance.running")));
    assert_int_equal(number(o, "instance.pid"), 42);
    assert_int_equal(number(o, "instance.started_ns"), 5);
    assert_int_equal(number(o, "instance.topics"), 1);
    assert_int_equal(number(o, "instance.topics_max"), 1024);
    assert_int_equal(number(o, "instance.clients"), 2);
    assert_int_equal(number(o, "instance.clients_max"), 256);
    assert_int_equal(number(o, "instance.memory_bytes"), 8192);
    assert_int_equal(number(o, "instance.publishers"), 3);
    assert_int_equal(number(o, "instance.subscribers"), 4);
    assert_true(json_real_value(at(o, "instance.uptime_s")) == 7500);
    json_decref(o);
    o = json_loads(strchr(text, '\n'), 0, NULL);
    assert_string_equal(string(o, "topic_b64"), "ev8bWzJK");
    assert_true(json_real_value(at(o, "published_per_s")) == 1250000);
    assert_int_equal(number(o, "published"), 12);
    json_decref(o);
    clear();
    expect(ae_view_sample(&raw_view, &sample), AE_VIEW_SKIPPED, "");
}

static void samples_of_any_daemon(void **state) {
    struct ae_view_sample sample = running_sample();

    (void)state;
    sample.socket_path = "/s\xff\n"; /* a path may hold any byte but NUL */
    expect(ae_view_sample(&text_view, &sample), 0,
           "aetherd at /s\\xff\\n: pid 42, up 2 h 05 min, 1 of 1024 topics, 2 of 256 clients, 8 KiB\n");
    json_t *o = parse(ae_view_sample(&json_view, &sample));
    assert_string_equal(string(o, "instance.socket_b64"), "L3P/Cg==");
    json_decref(o);

    sample.socket_path = "/s";
    sample.instance.stopped = 1;
    sample.instance.process = 'T';
    expect(ae_view_sample(&text_view, &sample), 0,
           "aetherd at /s: stopped (pid 42: kill -CONT 42), 1 of 1024 topics, 2 of 256 clients, 8 KiB\n");
    o = parse(ae_view_sample(&json_view, &sample));
    assert_true(json_is_true(at(o, "instance.stopped")));
    assert_string_equal(string(o, "instance.process"), "T");
    json_decref(o);
    sample.instance.process = 't';
    expect(ae_view_sample(&text_view, &sample), 0,
           "aetherd at /s: stopped (pid 42: a debugger holds it), 1 of 1024 topics, 2 of 256 clients, 8 KiB\n");
    sample.instance.process = '?';
    sample.instance.stopped = AETHER_UNKNOWN;
    o = parse(ae_view_sample(&json_view, &sample));
    assert_true(json_is_null(at(o, "instance.stopped")));
    assert_true(json_is_null(at(o, "instance.process")));
    json_decref(o);
    sample.instance.stopped = 0;
    sample.instance.daemon.running = 0;
    sample.uptime_s = 0;
    sample.index = 1;
    expect(ae_view_sample(&text_view, &sample), 0,
           "\naetherd at /s: not running (last: pid 42), 1 of 1024 topics, 2 of 256 clients, 8 KiB\n");
    sample.watched = true;
    out.terminal = true;
    expect(ae_view_sample(&text_view, &sample), 0,
           "\033[H\033[Jaetherd at /s: not running (last: pid 42), 1 of 1024 topics, 2 of 256 clients, 8 KiB\n");
}

/* ---- what a subscriber receives ---------------------------------------------------------------------------------- */

static void messages(void **state) {
    const struct ae_view_message odd = {.seq = 3, .data = "a\0\x1b\xff", .len = 4};
    const struct ae_view_message empty = {.seq = UINT64_MAX};
    const struct ae_view_message file = {.seq = 4, .data = "abc", .len = 3, .file = "d/4"};

    (void)state;
    expect(ae_view_message(&text_view, &odd), 0, "           3      4  a\\x00\\x1b\\xff\n");
    expect(ae_view_message(&json_view, &odd), 0, "{\"seq\":3,\"len\":4,\"payload_b64\":\"YQAb/w==\"}\n");
    expect(ae_view_message(&text_view, &empty), 0, "18446744073709551615      0  \n");
    expect(ae_view_message(&json_view, &empty), 0, "{\"seq\":9223372036854775807,\"len\":0,\"payload\":\"\"}\n");
    expect(ae_view_message(&raw_view, &empty), 0, "\n");
    expect(ae_view_message(&text_view, &file), 0, "           4      3  d/4\n");
    expect(ae_view_message(&json_view, &file), 0, "{\"seq\":4,\"len\":3,\"file\":\"d/4\"}\n");
    assert_int_equal(ae_view_message(&raw_view, &odd), 0);
    assert_true(ae_out_flush(&out));
    assert_memory_equal(text, "a\0\x1b\xff\n", 5);
}

/* A long payload is cut between two characters, and only in the text form. */
static void long_messages(void **state) {
    static const char euro[3] = {'\xe2', '\x82', '\xac'};
    char payload[9000], line[4200];

    (void)state;
    for (size_t i = 0; i < sizeof payload; i += 3)
        memcpy(payload + i, euro, sizeof euro);
    snprintf(line, sizeof line, "           0   9000  %.4095s... (9000 bytes)\n", payload);
    const struct ae_view_message message = {.data = payload, .len = sizeof payload};
    expect(ae_view_message(&text_view, &message), 0, line);
    assert_int_equal(ae_view_message(&json_view, &message), 0);
    assert_true(ae_out_flush(&out));
    assert_non_null(strstr(text, "\xe2\x82\xac\"}"));
    assert_true(strlen(text) > sizeof payload);
}

/* Time and topic come first, each only if it is there. */
static void origins(void **state) {
    const struct ae_view_origin origin = {.time_ns = UINT64_C(1795824123000456789), .topic = "a\x1b\xff"};
    const struct ae_view_origin only_topic = {.topic = "a"};
    const struct ae_view_message message = {.origin = origin, .seq = 3, .data = "abc", .len = 3};
    char date[AE_DATE_SIZE];

    (void)state;
    expect(ae_view_message(&text_view, &message), 0,
           "2026-11-28T00:02:03.000456Z  a\\x1b\\xff             3      3  abc\n");
    expect(ae_view_gap(&text_view, &origin, 7, 1), 0,
           "2026-11-28T00:02:03.000456Z  a\\x1b\\xff             7    gap  1 message lost\n");
    expect(ae_view_message(&json_view, &message), 0,
           "{\"time_ns\":1795824123000456789,\"topic_b64\":\"YRv/\",\"seq\":3,\"len\":3,\"payload\":\"abc\"}\n");
    expect(ae_view_gap(&json_view, &only_topic, 7, 2), 0, "{\"topic\":\"a\",\"gap_first\":7,\"gap_count\":2}\n");
    expect(ae_view_evicted(&json_view, &only_topic, 7, "slow"), 0,
           "{\"topic\":\"a\",\"evicted\":true,\"seq\":7,\"why\":\"slow\"}\n");
    assert_string_equal(ae_date_rfc3339(date, 0), "1970-01-01T00:00:00.000000Z");
    assert_string_equal(ae_date_rfc3339(date, UINT64_C(1795824123000456789)), "2026-11-28T00:02:03.000456Z");
}

static void gaps(void **state) {
    const struct ae_view_origin nowhere = {.topic = NULL};

    (void)state;
    expect(ae_view_gap(&text_view, &nowhere, 7, 1), 0, "           7    gap  1 message lost\n");
    expect(ae_view_gap(&text_view, &nowhere, 7, 20), 0, "           7    gap  20 messages lost\n");
    expect(ae_view_gap(&json_view, &nowhere, 7, 20), 0, "{\"gap_first\":7,\"gap_count\":20}\n");
    expect(ae_view_gap(&raw_view, &nowhere, 7, 20), AE_VIEW_SKIPPED, "");
    expect(ae_view_evicted(&text_view, &nowhere, 7, "slow"), AE_VIEW_SKIPPED, "");
    expect(ae_view_evicted(&json_view, &nowhere, 7, "slow"), 0, "{\"evicted\":true,\"seq\":7,\"why\":\"slow\"}\n");
    expect(ae_view_evicted(&raw_view, &nowhere, 7, "slow"), AE_VIEW_SKIPPED, "");
}

/* ---- measurements ------------------------------------------------------------------------------------------------ */

#define RUNS                                                                                                           \
    { .count = 5, .discarded = 2, .floor_ns = 80.5, .ratio = 1.5, .ratio_min = 1.25, .ratio_max = 2 }
#define RING                                                                                                           \
    { .preset = "default", .capacity = 64, .slot_size = 112 }

static void runs(void **state) {
    struct ae_view_run run = {.number = 2, .of = 5, .ratio = 12.3456, .unit = "x floor", .floor_ns = 80.4};
    struct ae_view view = text_view;

    (void)state;
    expect(ae_view_run(&view, &run), AE_VIEW_SKIPPED, "");
    view.remarks = out.file;
    expect(ae_view_run(&view, &run), 0, "run 2 of 5: 12.35 x floor, floor 80 ns\n");
    run.stall_ns = 1.25e6;
    expect(ae_view_run(&view, &run), 0, "run 2 of 5: 12.35 x floor, floor 80 ns, longest stall 1.25 ms\n");
    view.form = &ae_json_form;
    expect(ae_view_run(&view, &run), AE_VIEW_SKIPPED, "");
}

static void throughput(void **state) {
    struct ae_view_throughput r = {.runs = RUNS,
                                   .ring = RING,
                                   .size = 8,
                                   .batch = 1,
                                   .publishers = 1,
                                   .subscribers = 1,
                                   .admits = AETHER_PUBLISHERS_EXCLUSIVE,
                                   .msgs_per_s = 5e6,
                                   .bytes_per_s = 4e7,
                                   .stall_ns = 1500};

    (void)state;
    expect(ae_view_throughput(&text_view, &r), 0,
           "8-byte messages, one a call, copied in\n"
           "  publishers      1, exclusive topic\n"
           "  subscribers     1, reliable\n"
           "  throughput      5 M/s, 38.1 MiB/s written and read\n"
           "  floor           80 ns, bare cache-line round trip\n"
           "  per floor trip  1.5 messages (1.25 to 2 in 5 runs, 2 discarded)\n"
           "  lost            0\n"
           "  longest stall   1.50 \u00b5s in which a subscriber had nothing to receive, in all runs\n"
           "  ring            64 slots of 112 bytes, 7 KiB (preset: default)\n");
    expect(ae_view_throughput(&json_view, &r), 0,
           "{\"case\":\"throughput\",\"preset\":\"default\",\"msgs_per_s\":5000000.0,\"floor_ns\":80.5,"
           "\"msgs_per_floor\":1.5,\"msgs_per_floor_min\":1.25,\"msgs_per_floor_max\":2.0,"
           "\"bytes_per_s\":40000000.0,\"lost\":0,\"max_stall_ms\":0.0015,\"size\":8,\"publishers\":1,"
           "\"mode\":\"exclusive\",\"batch\":1,\"subscribers\":1,\"capacity\":64,\"slot_size\":112,\"lane_bytes\":0,"
           "\"loan\":false,\"touch\":\"all\",\"runs\":5,\"discarded\":2}\n");
    expect(ae_view_throughput(&raw_view, &r), AE_VIEW_SKIPPED, "");

    r.batch = 1000;
    r.publishers = r.subscribers = 2;
    r.admits = AETHER_PUBLISHERS_UNBIASED;
    r.loan = r.touch_first = true;
    r.ring.lane_bytes = 8 << 20;
    expect(ae_view_throughput(&text_view, &r), 0,
           "8-byte messages, 1,000 a call, first 8 bytes written in place and read\n"
           "  publishers      2, which share a core, shared, unbiased topic\n"
           "  subscribers     2, which share a core; each receives all, reliable\n"
           "  throughput      5 M/s, 38.1 MiB/s written and read\n"
           "  floor           80 ns, bare cache-line round trip\n"
           "  per floor trip  1.5 messages (1.25 to 2 in 5 runs, 2 discarded)\n"
           "  lost            0\n"
           "  longest stall   1.50 \u00b5s in which a subscriber had nothing to receive, in all runs\n"
           "  ring            64 slots of 112 bytes, 7 KiB (preset: default)\n"
           "  lane            8 MiB each\n");
    assert_int_equal(ae_view_throughput(&json_view, &r), 0);
    assert_true(ae_out_flush(&out));
    assert_non_null(strstr(text, "{\"case\":\"fanout\""));
    assert_non_null(strstr(text, "\"loan\":true,\"touch\":\"first\""));
}

static void latency(void **state) {
    struct ae_view_latency r = {
        .runs = RUNS, .ring = RING, .size = 32, .p50_ns = 110.25, .p99_ns = 220.5, .p999_ns = 1234.75};

    (void)state;
    expect(ae_view_latency(&text_view, &r), 0,
           "32-byte messages, round trip over two topics, spinning\n"
           "  p50       110 ns   1.50 x floor (1.25 to 2.00 in 5 runs, 2 discarded)\n"
           "  p99       220 ns\n"
           "  p99.9    1235 ns\n"
           "  floor      80 ns, bare cache-line round trip\n"
           "  rings  64 slots of 112 bytes (preset: default)\n");
    expect(ae_view_latency(&json_view, &r), 0,
           "{\"case\":\"latency\",\"preset\":\"default\",\"rtt_p50_ns\":110.25,\"rtt_p99_ns\":220.5,"
           "\"rtt_p999_ns\":1234.75,\"floor_ns\":80.5,\"p50_per_floor\":1.5,\"size\":32,\"capacity\":64,"
           "\"slot_size\":112,\"lane_bytes\":0,\"runs\":5,\"discarded\":2}\n");
    expect(ae_view_latency(&raw_view, &r), AE_VIEW_SKIPPED, "");
    r.ring.lane_bytes = 4096;
    assert_int_equal(ae_view_latency(&text_view, &r), 0);
    assert_true(ae_out_flush(&out));
    assert_non_null(strstr(text, "(preset: default)\n  lanes  4 KiB each\n"));
}

static void wakeup(void **state) {
    const struct ae_view_wakeup r = {.runs = RUNS,
                                     .size = 8,
                                     .samples = 300,
                                     .distance_ns = 2e6,
                                     .p50_ns = 5500,
                                     .p99_ns = 12000,
                                     .futex_p50_ns = 5000,
                                     .futex_p99_ns = 7250};

    (void)state;
    expect(ae_view_wakeup(&text_view, &r), 0,
           "8-byte messages to a subscriber that sleeps, 300 in a run, 2 ms or more apart\n"
           "  wake-up     p50 5.50 \u00b5s, p99 12 \u00b5s\n"
           "  bare futex  p50 5 \u00b5s, p99 7.25 \u00b5s\n"
           "  ratio       1.50 of the medians (1.25 to 2.00 in 5 runs, 2 discarded)\n"
           "  floor       80 ns, bare cache-line round trip\n");
    expect(ae_view_wakeup(&json_view, &r), 0,
           "{\"case\":\"wakeup\",\"wake_p50_ns\":5500.0,\"wake_p99_ns\":12000.0,\"futex_p50_ns\":5000.0,"
           "\"futex_p99_ns\":7250.0,\"floor_ns\":80.5,\"p50_per_futex\":1.5,\"p50_per_futex_min\":1.25,"
           "\"p50_per_futex_max\":2.0,\"size\":8,\"samples\":300,\"runs\":5,\"discarded\":2}\n");
    expect(ae_view_wakeup(&raw_view, &r), AE_VIEW_SKIPPED, "");
}

/* ---- streams that fail ------------------------------------------------------------------------------------------- */

static void full_disk(void **state) {
    const struct ae_view_topic list[] = {plain_topic(), odd_topic()};
    const struct ae_view_message message = {.data = "abc", .len = 3};
    const struct ae_view *const views[] = {&text_view, &json_view, &raw_view};
    FILE *memory = enter_full_disk();

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        ae_out_init(&out, out.file);
        clearerr(out.file);
        assert_int_equal(ae_view_message(views[i], &message), -ENOSPC);
        ae_out_init(&out, out.file);
        clearerr(out.file);
        assert_int_equal(ae_view_topics(views[i], list, 2), i == 2 ? AE_VIEW_SKIPPED : -ENOSPC);
    }
    leave_full_disk(memory);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, open_out, close_out)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(topics),
        CASE(waiting),
        CASE(one_topic_as_text),
        CASE(an_unused_topic_as_text),
        CASE(one_topic_as_json),
        CASE(peers_as_json),
        CASE(pongs),
        CASE(samples),
        CASE(samples_of_any_daemon),
        CASE(messages),
        CASE(long_messages),
        CASE(origins),
        CASE(gaps),
        CASE(runs),
        CASE(throughput),
        CASE(latency),
        CASE(wakeup),
        CASE(full_disk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
