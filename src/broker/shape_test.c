/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shape_test.c - what follows from the statements of a topic's clients: all pairs of values, and the texts of refusals.
 */
#include "broker/shape.h"
#include "ring/geometry.h"
#include <aether/error.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* What every client states here, so that each value below goes with it. */
#define BASE_OF(bytes, slots, policy) .max_message = (bytes), .capacity = (slots), .slow = (policy)
#define BASE BASE_OF(1 << 20, 64, AETHER_SLOW_EVICT)

/* A value, stated in two ways that differ. Of sizes the second is larger. */
struct value {
    uint32_t field;
    bool size;
    ae_wish less, more;
    const char *less_text, *more_text; /* how a text says what a client states */
};

static const struct value values[] = {
    {AE_STATED_MAX_MESSAGE,
     true,
     {BASE},
     {BASE_OF(1 << 21, 64, AETHER_SLOW_EVICT)},
     "messages of at least 1 MiB",
     "messages of at least 2 MiB"},
    {AE_STATED_INLINE_MAX,
     true,
     {BASE, .inline_max = 56},
     {BASE, .inline_max = 1000},
     "at least 56 bytes of a message in its slot",
     "at least 1000 bytes of a message in its slot"},
    {AE_STATED_CAPACITY,
     true,
     {BASE},
     {BASE_OF(1 << 20, 128, AETHER_SLOW_EVICT)},
     "at least 64 slots",
     "at least 128 slots"},
    {AE_STATED_LANE_BYTES,
     true,
     {BASE, .lane_bytes = 1 << 22},
     {BASE, .lane_bytes = 1 << 23},
     "lanes of at least 4 MiB",
     "lanes of at least 8 MiB"},
    {AE_STATED_EVICT_LAG,
     false,
     {BASE, .evict_lag = 40},
     {BASE, .evict_lag = 64},
     "eviction at a lag of 40",
     "eviction at a lag of 64"},
    {AE_STATED_START_SEQ,
     false,
     {BASE, .start_seq = 7},
     {BASE, .start_seq = 9},
     "a first message of sequence 7",
     "a first message of sequence 9"},
    {AE_STATED_PRESET,
     true,
     {BASE, .preset = AETHER_PRESET_SMALL},
     {BASE, .preset = AETHER_PRESET_THROUGHPUT},
     "preset small",
     "preset throughput"},
    {AE_STATED_PUBLISHERS,
     false,
     {BASE, .publishers = AETHER_PUBLISHERS_SHARED},
     {BASE, .publishers = AETHER_PUBLISHERS_EXCLUSIVE},
     "shared publishers",
     "exclusive publishers"},
    {AE_STATED_SLOW, false, {BASE_OF(1 << 20, 64, AETHER_SLOW_WAIT)}, {BASE}, "slow policy wait", "slow policy evict"},
    {AE_STATED_LATENCY,
     false,
     {BASE, .latency = AETHER_LATENCY_OFF},
     {BASE, .latency = AETHER_LATENCY_ALL},
     "latency off",
     "latency all"},
    {AE_STATED_TYPE,
     false,
     {BASE, .type_name = "quote", .type_version = 2, .type_size = 32},
     {BASE, .type_name = "quote", .type_version = 3},
     "type 'quote' version 2 of 32 bytes",
     "type 'quote' version 3 without a fixed size"},
};
#define VALUES (sizeof values / sizeof values[0])

static struct ae_statement camera(const ae_wish *says) {
    return (struct ae_statement){.says = says, .role = "publisher", .name = "camera", .pid = 12};
}

static struct ae_statement viewer(const ae_wish *says) {
    return (struct ae_statement){.says = says, .role = "subscriber", .name = "view", .pid = 77};
}

static void text_has(const char *part) {
    if (strstr(aether_errmsg(), part) == NULL)
        fail_msg("'%s' lacks '%s'", aether_errmsg(), part);
}

/* The value of a wish, 0 if it isn't stated. */
static uint64_t value_of(const ae_wish *wish, uint32_t field) {
    switch (field) {
    case AE_STATED_MAX_MESSAGE:
        return wish->max_message;
    case AE_STATED_INLINE_MAX:
        return wish->inline_max;
    case AE_STATED_CAPACITY:
        return wish->capacity;
    case AE_STATED_LANE_BYTES:
        return wish->lane_bytes;
    case AE_STATED_EVICT_LAG:
        return wish->evict_lag;
    case AE_STATED_START_SEQ:
        return wish->start_seq;
    case AE_STATED_PRESET:
        return wish->preset;
    case AE_STATED_PUBLISHERS:
        return wish->publishers;
    case AE_STATED_SLOW:
        return wish->slow;
    case AE_STATED_LATENCY:
        return wish->latency;
    default:
        return wish->type_name[0] == '\0' ? 0 : (uint64_t)wish->type_version << 32 | wish->type_size;
    }
}

/* Of two sizes the larger counts. Other values must be equal; the text names both, and who states them. */
static void equal_fields(void **state) {
    (void)state;
    for (size_t i = 0; i < VALUES; i++) {
        const struct value *v = &values[i];
        for (int turn = 0; turn < 2; turn++) {
            const ae_wish *first = turn == 0 ? &v->less : &v->more, *second = turn == 0 ? &v->more : &v->less;
            const struct ae_statement list[] = {camera(first), viewer(second)};
            ae_wish all;
            const int rc = ae_shape_decide("f", list, 2, &all, NULL);
            if (v->size) {
                assert_int_equal(rc, 0);
                assert_int_equal(value_of(&all, v->field), value_of(&v->more, v->field));
                continue;
            }
            char text[256];
            assert_int_equal(rc, -EEXIST);
            (void)snprintf(text, sizeof text,
                           "topic 'f': publisher 'camera' (pid 12) states %s, subscriber 'view' (pid 77) "
                           "states %s: let them agree",
                           turn == 0 ? v->less_text : v->more_text, turn == 0 ? v->more_text : v->less_text);
            assert_string_equal(aether_errmsg(), text);
        }
        const struct ae_statement same[] = {camera(&v->more), viewer(&v->more)};
        assert_int_equal(ae_shape_decide("f", same, 2, NULL, NULL), 0);
    }
}

/* What one client states, and another doesn't, counts, whoever states it and in whatever order. */
static void different_fields(void **state) {
    (void)state;
    for (size_t i = 0; i < VALUES; i++) {
        for (size_t j = 0; j < VALUES; j++) {
            const struct value *a = &values[i], *b = &values[j];
            /* If publishers wait, nobody is evicted; and a lag of 40 isn't one of 128 slots. */
            const ae_wish *first = a->field == AE_STATED_SLOW ? &a->more : &a->less;
            const ae_wish *second = b->field == AE_STATED_EVICT_LAG ? &b->less : &b->more;
            if (i == j || (a->field == AE_STATED_EVICT_LAG && b->field == AE_STATED_CAPACITY))
                continue;
            const struct ae_statement list[] = {camera(first), viewer(second)};
            ae_wish all;
            ae_geometry geometry, wanted;
            if (ae_shape_decide("f", list, 2, &all, &geometry) != 0)
                fail_msg("%#x with %#x: %s", a->field, b->field, aether_errmsg());
            assert_int_equal(ae_shape_stated(&all), ae_shape_stated(first) | ae_shape_stated(second));
            if (!a->size || value_of(second, a->field) == 0)
                assert_int_equal(value_of(&all, a->field), value_of(first, a->field));
            assert_int_equal(value_of(&all, b->field), value_of(second, b->field));
            const struct ae_statement one = camera(&all);
            assert_int_equal(ae_shape_decide("f", &one, 1, NULL, &wanted), 0);
            assert_memory_equal(&geometry, &wanted, sizeof wanted);
        }
    }
}

/* Any of many clients may be the one that contradicts. */
static void many_clients(void **state) {
    const ae_wish none = {0}, shared = {.publishers = AETHER_PUBLISHERS_SHARED}, off = {.latency = AETHER_LATENCY_OFF},
                  all = {.latency = AETHER_LATENCY_ALL}, large = {.max_message = 1 << 20};
    struct ae_statement list[] = {viewer(&none), viewer(&shared), viewer(&off), viewer(&large), camera(&all)};
    ae_geometry geometry;

    (void)state;
    list[2].name = "other";
    assert_int_equal(ae_shape_decide("f", list, 5, NULL, &geometry), -EEXIST);
    text_has("subscriber 'other' (pid 77) states latency off, publisher 'camera' (pid 12) states latency all");
    assert_int_equal(ae_shape_decide("f", list, 4, NULL, &geometry), 0);
    assert_int_equal(geometry.max_message, 1 << 20);
    assert_int_equal(geometry.latency, AE_LATENCY_OFF);
    list[4] = camera(&none);
    list[4].pid = 0; /* of another pid namespace */
    assert_int_equal(ae_shape_decide("f", list, 5, NULL, NULL), 0);
    list[4] = (struct ae_statement){.says = &all, .role = "publisher", .name = "far"};
    assert_int_equal(ae_shape_decide("f", list, 5, NULL, NULL), -EEXIST);
    text_has("publisher 'far' states latency all");
    list[2].role = "creator"; /* the topic can be removed */
    assert_int_equal(ae_shape_decide("f", list, 5, NULL, NULL), -EEXIST);
    text_has("let them agree, or remove the topic first (aether-cli topic rm)");
}

/* What is never right is the error of the client that states it; what doesn't go together names another one. */
static void wrong_statements(void **state) {
    const ae_wish none = {0}, odd = {.capacity = 12}, lane = {.lane_bytes = 8192}, whole = {.max_message = 100000},
                  nameless = {.type_size = 8}, misfit = {.max_message = 8, .type_name = "t", .type_size = 9},
                  lag = {.capacity = 64, .slow = AETHER_SLOW_EVICT, .evict_lag = 64}, deep = {.capacity = 1024},
                  kind = {.publishers = 9};
    struct ae_statement list[] = {viewer(&none), camera(&odd)};

    (void)state;
    assert_int_equal(ae_shape_decide("f", list, 2, NULL, NULL), -EINVAL);
    text_has("capacity of 12 slots");
    list[1] = camera(&kind);
    assert_int_equal(ae_shape_decide("f", list, 2, NULL, NULL), -EINVAL);
    text_has("publishers 9");
    list[1] = camera(&nameless);
    assert_int_equal(ae_shape_decide("f", list, 2, NULL, NULL), -EINVAL);
    text_has("type_name");
    list[1] = camera(&misfit);
    assert_int_equal(ae_shape_decide("f", list, 2, NULL, NULL), -EINVAL);
    text_has("type 't' version 0 of 9 bytes does not fit");
    list[1] = camera(&lane);
    assert_int_equal(ae_shape_decide("f", list, 2, NULL, NULL), -EINVAL);
    text_has("lane_bytes of 8192");
    list[0] = viewer(&whole); /* with its messages there are lanes */
    list[1].says = &(ae_wish){.lane_bytes = 1 << 20};
    assert_int_equal(ae_shape_decide("f", list, 2, NULL, NULL), 0);
    list[0] = viewer(&lag);
    list[1] = camera(&deep);
    assert_int_equal(ae_shape_decide("f", list, 2, NULL, NULL), -EEXIST);
    text_has("what publisher 'camera' (pid 12) states doesn't go with what subscriber 'view' (pid 77) states: "
             "evict_lag of 64");
}

static void type_size_is_a_message_size(void **state) {
    const ae_wish typed = {.type_name = "t", .type_size = 3000}, sized = {.max_message = 100};
    const struct ae_statement list[] = {viewer(&sized), camera(&typed)};
    ae_geometry geometry;

    (void)state;
    assert_int_equal(ae_shape_decide("f", list, 2, NULL, &geometry), 0);
    assert_int_equal(geometry.max_message, 3000);
    assert_int_equal(ae_shape_decide("f", &list[1], 1, NULL, &geometry), 0);
    assert_int_equal(geometry.max_message, 3000);
}

/* ---- a shape that is fixed ---- */

static ae_registry_topic fixed_topic(const ae_wish *says) {
    const struct ae_statement by = camera(says);
    ae_registry_topic topic = {.name = "f",
                               .name_len = 1,
                               .shape = {AE_SHAPE_FIXED},
                               .maker = "camera",
                               .maker_pid = 12,
                               .type_maker = "camera",
                               .type_pid = 12};

    assert_int_equal(ae_shape_decide("f", &by, 1, NULL, &topic.geometry), 0);
    topic.stated = ae_shape_stated(says);
    topic.preset = says->preset;
    topic.type_version = says->type_version;
    topic.type_size = says->type_size;
    memcpy(topic.type_name, says->type_name, sizeof topic.type_name);
    return topic;
}

/* A topic with the first value, and a client that states the second. What each field's text says of the topic. */
static void stated_for_a_topic(void **state) {
    static const char *const has[VALUES] = {"takes messages of at most 1 MiB",
                                            "keeps at most 56 bytes of a message in its slot",
                                            "has 64 slots",
                                            "has lanes of 4 MiB",
                                            "evicts at a lag of 40",
                                            "begins at sequence 7",
                                            "has 64 slots",
                                            "has shared publishers",
                                            "has slow policy wait",
                                            "has latency off",
                                            "carries 'quote' version 2 of 32 bytes"};

    (void)state;
    for (size_t i = 0; i < VALUES; i++) {
        const struct value *v = &values[i];
        const ae_registry_topic topic = fixed_topic(&v->less), larger = fixed_topic(&v->more);
        const struct ae_statement more = viewer(&v->more), less = viewer(&v->less);
        uint32_t differs;
        char text[512];

        assert_int_equal(ae_shape_differs(&topic, &less, &differs), 0);
        assert_int_equal(differs, 0);
        assert_int_equal(ae_shape_differs(&larger, &less, &differs), 0);
        assert_int_equal(differs, v->size ? 0 : v->field);
        assert_int_equal(ae_shape_differs(&topic, &more, &differs), 0);
        if (v->field == AE_STATED_PRESET) { /* the capacity was stated, so the preset gave nothing */
            assert_int_equal(differs, 0);
            continue;
        }
        assert_int_equal(differs, v->field);
        assert_int_equal(ae_shape_refuse(&topic, &more, differs, "remove it first: aether-cli topic rm f"), -EEXIST);
        (void)snprintf(text, sizeof text,
                       "topic 'f' %s, as %s 'camera' (pid 12) stated; subscriber 'view' (pid 77) states %s: "
                       "remove it first: aether-cli topic rm f",
                       has[i], v->field == AE_STATED_TYPE ? "client" : "publisher", v->more_text);
        assert_string_equal(aether_errmsg(), text);
        /* What the topic states contradicts as a statement, too, unless it is a size. */
        ae_wish own;
        ae_shape_own(&topic, &own);
        const struct ae_statement both[] = {camera(&own), more};
        assert_int_equal(ae_shape_decide("f", both, 2, NULL, NULL), v->size ? 0 : -EEXIST);
    }
}

/* Nothing was stated for the topic. */
static void defaults_of_a_topic(void **state) {
    static const struct {
        ae_wish asks;
        uint32_t field;
        const char *text;
    } cases[] = {
        {{.max_message = 8 << 20},
         AE_STATED_MAX_MESSAGE,
         "takes messages of at most 1016 bytes, the default since publisher 'camera' (pid 12), which stated no other; "
         "subscriber 'view' (pid 77) states messages of at least 8 MiB: remedy"},
        {{.type_name = "t", .type_size = 2000}, AE_STATED_MAX_MESSAGE, "states messages of at least 2000 bytes"},
        {{.max_message = 2000, .inline_max = 1017},
         AE_STATED_MAX_MESSAGE | AE_STATED_INLINE_MAX,
         "1016 bytes, the default"},
        {{.capacity = 2048}, AE_STATED_CAPACITY, "has 1024 slots, the default since"},
        {{.preset = AETHER_PRESET_THROUGHPUT}, AE_STATED_PRESET, "has 1024 slots, the default since"},
        {{.lane_bytes = 8192}, AE_STATED_LANE_BYTES, "has no lanes, the default since"},
        {{.publishers = AETHER_PUBLISHERS_UNBIASED}, AE_STATED_PUBLISHERS, "has shared publishers, the default since"},
        {{.slow = AETHER_SLOW_EVICT}, AE_STATED_SLOW, "has slow policy wait, the default since"},
        {{.slow = AETHER_SLOW_EVICT, .evict_lag = 600}, AE_STATED_SLOW, "has slow policy wait, the default since"},
        {{.latency = AETHER_LATENCY_ALL}, AE_STATED_LATENCY, "has latency sampled, the default since"},
        {{.start_seq = 1}, AE_STATED_START_SEQ, "begins at sequence 0, the default since"},
        {{.type_name = "t", .type_size = 8}, 0, NULL},
        {{.preset = AETHER_PRESET_SMALL, .capacity = 8, .inline_max = 1016, .max_message = 1}, 0, NULL},
        {{.preset = AETHER_PRESET_DEFAULT, .publishers = AETHER_PUBLISHERS_SHARED, .slow = AETHER_SLOW_WAIT}, 0, NULL},
    };
    const ae_wish none = {0};
    const ae_registry_topic topic = fixed_topic(&none);

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct ae_statement asks = viewer(&cases[i].asks);
        uint32_t differs;
        assert_int_equal(ae_shape_differs(&topic, &asks, &differs), 0);
        assert_int_equal(differs, cases[i].field);
        if (differs == 0)
            continue;
        assert_int_equal(ae_shape_refuse(&topic, &asks, differs, "remedy"), -EEXIST);
        text_has(cases[i].text);
    }
}

/* Of two differences the text names the one that a client has stated. */
static void statement_before_default(void **state) {
    const ae_wish says = {.latency = AETHER_LATENCY_OFF}, asks = {.max_message = 5000, .latency = AETHER_LATENCY_ALL};
    ae_registry_topic topic = fixed_topic(&says);
    const struct ae_statement client = viewer(&asks);
    uint32_t differs;

    (void)state;
    assert_int_equal(ae_shape_differs(&topic, &client, &differs), 0);
    assert_int_equal(differs, AE_STATED_MAX_MESSAGE | AE_STATED_LATENCY);
    assert_int_equal(ae_shape_refuse(&topic, &client, differs, "remedy"), -EEXIST);
    text_has("has latency off, as publisher 'camera' (pid 12) stated; subscriber 'view' (pid 77) states latency all");
    topic.created = 1;
    topic.made = says;
    memcpy(topic.creator, "maker", 6);
    topic.creator_pid = 5;
    assert_int_equal(ae_shape_refuse(&topic, &client, differs, "remedy"), -EEXIST);
    text_has("has latency off, as creator 'maker' (pid 5) stated");
    topic.later = AE_STATED_LATENCY;
    assert_int_equal(ae_shape_refuse(&topic, &client, differs, "remedy"), -EEXIST);
    text_has("has latency off, as a later creator stated");
    topic.raised = AE_STATED_LATENCY;
    assert_int_equal(ae_shape_refuse(&topic, &client, differs, "remedy"), -EEXIST);
    text_has("has latency off, as publisher 'camera' (pid 12) stated");
}

/* Each value as its creator stated it, unless the publisher stated more. A type always is the topic's. */
static void own_of_a_created_topic(void **state) {
    const ae_wish made = {.max_message = 5000, .capacity = 64, .type_name = "t"},
                  says = {.max_message = 5000, .capacity = 256, .latency = AETHER_LATENCY_OFF, .type_name = "u"};
    ae_registry_topic topic = fixed_topic(&says);
    ae_wish own;

    (void)state;
    topic.created = 1;
    topic.made = made;
    ae_shape_own(&topic, &own);
    assert_int_equal(own.max_message, 5000);
    assert_int_equal(own.capacity, 64); /* a subscriber asked for more */
    assert_int_equal(own.latency, AETHER_LATENCY_OFF);
    assert_string_equal(own.type_name, "u");
    topic.raised = AE_STATED_CAPACITY;
    ae_shape_own(&topic, &own);
    assert_int_equal(own.capacity, 256);
    topic.created = 0;
    ae_shape_own(&topic, &own);
    assert_int_equal(own.max_message, 8192);
}

/* A lag alone is compared with that of a topic that evicts. */
static void lag_without_policy(void **state) {
    const ae_wish says = {.capacity = 64, .slow = AETHER_SLOW_EVICT, .evict_lag = 40}, same = {.evict_lag = 40},
                  other = {.evict_lag = 41}, waits = {.slow = AETHER_SLOW_WAIT, .evict_lag = 40};
    const ae_registry_topic topic = fixed_topic(&says);
    struct ae_statement client = viewer(&same);
    uint32_t differs;

    (void)state;
    assert_int_equal(ae_shape_differs(&topic, &client, &differs), 0);
    assert_int_equal(differs, 0);
    client = viewer(&other);
    assert_int_equal(ae_shape_differs(&topic, &client, &differs), 0);
    assert_int_equal(differs, AE_STATED_EVICT_LAG);
    client = viewer(&waits);
    assert_int_equal(ae_shape_differs(&topic, &client, &differs), -EINVAL);
}

/* Nothing was stated for the topic, but subscribers asked for it. */
static void asked_for_by_a_subscriber(void **state) {
    const ae_wish says = {.max_message = 1 << 20, .publishers = AETHER_PUBLISHERS_EXCLUSIVE},
                  asks = {.max_message = 8 << 20}, shared = {.publishers = AETHER_PUBLISHERS_SHARED},
                  more = {.capacity = 1 << 20};
    ae_registry_topic topic = fixed_topic(&says);
    struct ae_statement client = viewer(&asks);
    uint32_t differs;

    (void)state;
    topic.stated = 0;
    topic.asked = AE_STATED_MAX_MESSAGE | AE_STATED_PUBLISHERS;
    memcpy(topic.asker, "grabber", 8);
    topic.asker_pid = 7;
    assert_int_equal(ae_shape_differs(&topic, &client, &differs), 0);
    assert_int_equal(ae_shape_refuse(&topic, &client, differs, "remedy"), -EEXIST);
    text_has("takes messages of at most 1 MiB, as subscriber 'grabber' (pid 7) asked for when publisher 'camera' "
             "(pid 12) came; subscriber 'view' (pid 77) states messages of at least 8 MiB: remedy");
    topic.asker[0] = '\0'; /* several did */
    topic.asker_pid = 0;
    client = viewer(&shared);
    assert_int_equal(ae_shape_differs(&topic, &client, &differs), 0);
    assert_int_equal(ae_shape_refuse(&topic, &client, differs, "remedy"), -EEXIST);
    text_has("has exclusive publishers, as a subscriber asked for when publisher 'camera' (pid 12) came; ");
    client = viewer(&more);
    assert_int_equal(ae_shape_differs(&topic, &client, &differs), 0);
    assert_int_equal(ae_shape_refuse(&topic, &client, differs, "remedy"), -EEXIST);
    text_has("slots, the default since publisher 'camera' (pid 12), which stated no other");
}

/* A part has only its values; what changed is what another wish states otherwise. */
static void parts_and_changes(void **state) {
    const ae_wish none = {0}, typed = {.max_message = 8, .type_name = "t", .type_size = 9};

    (void)state;
    for (size_t i = 0; i < VALUES; i++) {
        const struct value *v = &values[i];
        const ae_wish part = ae_shape_part(&v->more, v->field);
        assert_int_equal(ae_shape_stated(&part), v->field);
        assert_int_equal(value_of(&part, v->field), value_of(&v->more, v->field));
        assert_int_equal(ae_shape_changed(&v->less, &v->more), v->field);
        assert_int_equal(ae_shape_changed(&v->more, &v->more), 0);
        assert_int_equal(ae_shape_changed(&v->more, &none), 0);
        assert_int_equal(ae_shape_changed(&none, &v->more), ae_shape_stated(&v->more));
    }
    assert_int_equal(ae_shape_changed(&(ae_wish){.max_message = 8}, &typed), AE_STATED_MAX_MESSAGE | AE_STATED_TYPE);
    assert_int_equal(ae_shape_changed(&(ae_wish){.max_message = 9}, &typed), AE_STATED_TYPE);
}

static void values_that_no_topic_has(void **state) {
    const ae_wish none = {0}, wrong[] = {{.publishers = 4},
                                         {.slow = 3},
                                         {.latency = 4},
                                         {.preset = 4},
                                         {.evict_lag = 8},
                                         {.type_version = 1},
                                         {.max_message = 2ull << 30},
                                         {.slow = AETHER_SLOW_WAIT, .evict_lag = 8}};
    const ae_registry_topic topic = fixed_topic(&none);
    uint32_t differs;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        const struct ae_statement asks = viewer(&wrong[i]);
        assert_int_equal(ae_shape_differs(&topic, &asks, &differs), -EINVAL);
    }
}

/* A subscriber's size is at least: alone it makes no topic smaller than the default, and a larger one counts. */
static void asks_for_at_least(void **state) {
    static const struct {
        uint64_t asked, stated, made;
    } cases[] = {{8, 0, 1016}, {1016, 0, 1016}, {2000, 0, 2000}, {8, 24, 24}, {100, 24, 100}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const ae_wish asked = {.max_message = cases[i].asked}, stated = {.max_message = cases[i].stated};
        const ae_wish typed = {.type_name = "T", .type_size = (uint32_t)cases[i].asked};
        const ae_wish *const asks[] = {&asked, &typed};
        for (size_t j = 0; j < 2; j++) {
            const struct ae_statement list[] = {{.says = asks[j], .role = "subscriber", .asks = true},
                                                {.says = &stated, .role = "publisher"}};
            ae_geometry geometry;
            assert_int_equal(ae_shape_decide("t", list, 2, NULL, &geometry), 0);
            assert_int_equal(geometry.max_message, cases[i].made);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asks_for_at_least),        cmocka_unit_test(equal_fields),
        cmocka_unit_test(different_fields),         cmocka_unit_test(many_clients),
        cmocka_unit_test(wrong_statements),         cmocka_unit_test(type_size_is_a_message_size),
        cmocka_unit_test(stated_for_a_topic),       cmocka_unit_test(defaults_of_a_topic),
        cmocka_unit_test(statement_before_default), cmocka_unit_test(own_of_a_created_topic),
        cmocka_unit_test(lag_without_policy),       cmocka_unit_test(asked_for_by_a_subscriber),
        cmocka_unit_test(parts_and_changes),        cmocka_unit_test(values_that_no_topic_has),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
