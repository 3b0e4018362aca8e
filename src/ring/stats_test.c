/* SPDX-License-Identifier: Apache-2.0 */
/* The figures that publishers and subscribers store, as another process reads them. */
#include "ring/stats_test.h"
#include "base/histogram.h"
#include "ring/commit.h"
#include "ring/figures_test.h"
#include "ring/stall.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const uint64_t starts[] = {
    0, (1ull << 47) - 3, (1ull << 48) - 9, (1ull << 63) - 3, UINT64_MAX - 20, UINT64_MAX - 3};
#define STARTS (sizeof starts / sizeof starts[0])

static const aether_subscribe_options reliable = {.policy = AETHER_RELIABLE},
                                      best_effort = {.policy = AETHER_BEST_EFFORT};

/* ---- what another process reads ---- */

static struct ae_figures publisher_figures(const struct ring *ring, const struct test_publisher *publisher) {
    const uint32_t record = publisher->pub.record;
    struct ae_figures figures, claimed;

    assert_int_equal(read_publisher(&publisher->stats, ring->log_ro, &ring->geometry, record, &figures), 1);
    assert_int_equal(read_publisher(&publisher->stats, ring->log_ro, NULL, record, &claimed), 1);
    assert_int_equal(claimed.messages, figures.messages); /* between two calls all that is claimed is committed */
    return figures;
}

static struct ae_figures subscriber_figures(const struct ring *ring, const struct test_subscriber *subscriber) {
    const struct ae_subscriber *sub = &subscriber->sub;
    struct ae_figures figures = {0};

    assert_int_equal(read_subscriber(&subscriber->stats,
                                     sub->cursors != NULL ? &ring->cursors_ro->records[sub->record] : NULL, &figures),
                     1);
    return figures;
}

/* ---- a publisher's messages ---- */

/* The messages of each publisher are counted exactly, however publishers and forms alternate. */
static void each_publisher_counts_its_own(void **state) {
    static const aether_publishers kinds[] = {AETHER_PUBLISHERS_SHARED, AETHER_PUBLISHERS_UNBIASED};
    uint64_t random = 1;

    (void)state;
    for (size_t s = 0; s < STARTS * 6; s++) {
        const aether_topic_config config = {.capacity = 64,
                                            .max_message = 24,
                                            .start_seq = starts[s % STARTS],
                                            .publishers = kinds[s % 2],
                                            .latency = (aether_latency_mode)(1 + s % 3)};
        uint64_t messages[2] = {0}, bytes[2] = {0}, batches[2] = {0}, joined[2];
        struct test_publisher publishers[2];
        struct ring ring;

        ring_make_as(&ring, &config);
        for (uint32_t i = 0; i < 2; i++) {
            publisher_open_as(&publishers[i], &ring, i, ring.cursors_ro);
            joined[i] = aether_publisher_next(publishers[i].handle);
        }
        for (int turn = 0; turn < 400; turn++) {
            const unsigned i = next_random(&random) % 8 < 3;
            const enum form form = (enum form)(next_random(&random) % FORMS);
            const size_t count = 1 + next_random(&random) % 20, len = next_random(&random) % 2 == 0 ? 8 : 17;
            now += next_random(&random) % (100 * US);
            assert_int_equal(publish_as(publishers[i].handle, form, len, count), 0);
            messages[i] += count;
            bytes[i] += count * len;
            batches[i] += form == BATCH || form == ARRAY;
            for (unsigned k = 0; k < 2; k++) {
                const struct ae_figures figures = publisher_figures(&ring, &publishers[k]);
                assert_int_equal(figures.messages, messages[k]);
                assert_int_equal(figures.joined, joined[k]);
                assert_true(figures.bytes <= bytes[k] && figures.batches <= batches[k]);
            }
        }
        assert_int_equal(messages[0] + messages[1], aether_publisher_next(publishers[0].handle) - joined[0] >
                                                            aether_publisher_next(publishers[1].handle) - joined[0]
                                                        ? aether_publisher_next(publishers[0].handle) - joined[0]
                                                        : aether_publisher_next(publishers[1].handle) - joined[0]);
        for (unsigned k = 0; k < 2; k++) { /* after the close they are exact */
            publisher_close(&publishers[k]);
            const struct ae_figures figures = publisher_figures(&ring, &publishers[k]);
            assert_int_equal(figures.messages, messages[k]);
            assert_int_equal(figures.bytes, bytes[k]);
            assert_int_equal(figures.batches, batches[k]);
        }
        ring_free(&ring);
    }
}

/* A claim that was lost, and a call that then finds no room, count nothing, also after a new run has begun for them. */
static void lost_claims_count_nothing(void **state) {
    static const unsigned char data[24];
    const aether_topic_config config = {.capacity = 8, .max_message = 24, .publishers = AETHER_PUBLISHERS_UNBIASED};
    struct test_publisher mine, other;
    struct test_subscriber subscriber;
    struct ring ring;

    (void)state;
    ring_make_as(&ring, &config);
    subscriber_open(&subscriber, &ring, ring.log_ro, 0, &reliable);
    publisher_open_as(&mine, &ring, 0, ring.cursors_ro);
    publisher_open_as(&other, &ring, 1, ring.cursors_ro);
    assert_int_equal(publish_as(mine.handle, PUBLISH, 24, 3), 0);
    assert_int_equal(publish_as(other.handle, PUBLISH, 24, 5), 0);
    for (int i = 0; i < 3; i++) { /* stores an intent on the inline path, loses, and finds no room */
        assert_int_equal(aether_publish(mine.handle, data, 24), AETHER_FULL);
        assert_int_equal(publisher_figures(&ring, &mine).messages, 3);
    }
    assert_int_equal(publisher_figures(&ring, &other).messages, 5);
    publisher_close(&mine);
    assert_int_equal(publisher_figures(&ring, &mine).messages, 3);
    publisher_close(&other);
    subscriber_close(&subscriber);
    ring_free(&ring);
}

/* ---- latencies ---- */

static uint64_t bucket(const struct test_subscriber *subscriber, uint64_t ns) {
    return word(&subscriber->stats.buckets[ae_histogram_index(ns)]);
}

static uint64_t in_buckets(const struct test_subscriber *subscriber) {
    uint64_t sum = 0;

    for (unsigned i = 0; i < AE_HISTOGRAM_BUCKETS; i++)
        sum += word(&subscriber->stats.buckets[i]);
    return sum;
}

static int count_handled(void *context, const aether_message *message) {
    (void)message;
    ++*(int *)context;
    return 0;
}

/* Receives one message in the form of this number. */
static void receive_as(struct test_subscriber *subscriber, unsigned form) {
    aether_message message;
    int handled = 0;

    if (form % 3 == 0)
        assert_int_equal(aether_receive(subscriber->handle, &message), 1);
    else if (form % 3 == 1)
        assert_int_equal(aether_receive_batch(subscriber->handle, &message, 1), 1);
    else
        assert_int_equal(aether_poll(subscriber->handle, count_handled, &handled, 1), 1);
}

static void receives_fill_the_histogram(void **state) {
    static const uint64_t latencies[] = {0, 15, 16, 1000, 123456, 5 * MS, (1ull << 42) - 1};
    static const aether_subscribe_options options[] = {
        {.policy = AETHER_RELIABLE},
        {.policy = AETHER_BEST_EFFORT},
        {.policy = AETHER_BEST_EFFORT, .views = AETHER_VIEWS_IN_PLACE},
        {.policy = AETHER_LATEST},
    };

    (void)state;
    for (unsigned o = 0; o < 4; o++) {
        for (unsigned large = 0; large < 2; large++) {
            const aether_topic_config config = {.capacity = 8,
                                                .max_message = 1000,
                                                .inline_max = 40,
                                                .lane_bytes = LANE,
                                                .latency = AETHER_LATENCY_ALL};
            struct test_publisher publisher;
            struct test_subscriber subscriber;
            struct ring ring;
            unsigned n = 0;

            ring_make_as(&ring, &config);
            publisher_open(&publisher, &ring);
            subscriber_open(&subscriber, &ring, ring.log_ro, 0, &options[o]);
            for (unsigned round = 0; round < 9; round++) {
                for (unsigned i = 0; i < 7; i++) {
                    const uint64_t before = bucket(&subscriber, latencies[i]);
                    assert_int_equal(publish_as(publisher.handle, (enum form)(round % FORMS), large != 0 ? 500 : 40, 1),
                                     0);
                    now += latencies[i];
                    receive_as(&subscriber, round);
                    assert_int_equal(bucket(&subscriber, latencies[i]), before + 1);
                    assert_int_equal(word(&subscriber.stats.last_ns), now);
                    assert_int_equal(word(&subscriber.stats.samples), ++n);
                    assert_int_equal(in_buckets(&subscriber), n);
                }
            }
            assert_int_equal(publish_as(publisher.handle, PUBLISH, 40, 1), 0);
            now += 1ull << 42;
            receive_as(&subscriber, 0);
            assert_int_equal(publish_as(publisher.handle, PUBLISH, 40, 1), 0);
            now -= 1;
            receive_as(&subscriber, 0);
            assert_int_equal(word(&subscriber.stats.overflow), 1);
            assert_int_equal(word(&subscriber.stats.negative), 1);
            assert_int_equal(word(&subscriber.stats.missed), 0);
            assert_int_equal(in_buckets(&subscriber), n);
            assert_int_equal(word(&subscriber.stats.samples), n + 2);
            subscriber_close(&subscriber);
            publisher_close(&publisher);
            ring_free(&ring);
        }
    }
}

/* On a topic without stamps a hostile publisher can say that there are some. */
static void false_stamps_are_missed(void **state) {
    struct test_publisher publisher;
    struct test_subscriber subscriber;
    struct ring ring;
    const aether_topic_config config = {.capacity = 8, .max_message = 24, .latency = AETHER_LATENCY_OFF};

    (void)state;
    ring_make_as(&ring, &config);
    publisher_open(&publisher, &ring);
    subscriber_open(&subscriber, &ring, ring.log_ro, 0, &reliable);
    assert_int_equal(publish_as(publisher.handle, PUBLISH, 24, 1), 0);
    ae_store_relaxed(ring_tag(&ring, 0), ae_tag(0, AE_KIND_INLINE | AE_KIND_STAMPED, 24));
    receive_as(&subscriber, 0);
    assert_int_equal(word(&subscriber.stats.missed), 1);
    assert_int_equal(in_buckets(&subscriber), 0);
    subscriber_close(&subscriber);
    publisher_close(&publisher);
    ring_free(&ring);
}

/* A hostile publisher says that each message stands for 2^31. Its subscribers don't count more than there can be. */
static void false_weights_are_limited(void **state) {
    const aether_topic_config config = {.capacity = 8, .max_message = 24, .latency = AETHER_LATENCY_ALL};
    struct test_publisher publisher;
    struct test_subscriber subscriber;
    struct ring ring;

    (void)state;
    ring_make_as(&ring, &config);
    publisher_open(&publisher, &ring);
    subscriber_open(&subscriber, &ring, ring.log_ro, 0, &reliable);
    ae_u64 *stamps = (ae_u64 *)(void *)((unsigned char *)ring.log + ring.geometry.stamps_off);
    for (uint64_t n = 1; n <= 1000; n++) {
        assert_int_equal(publish_as(publisher.handle, PUBLISH, 24, 1), 0);
        ae_u64 *stamp = &stamps[(n - 1) % 8];
        ae_store_relaxed(stamp, (word(stamp) & ~AE_STAMP_WEIGHT_MASK) | (n % 3 == 0 ? 31 : n % 3 == 1 ? 14 : 0));
        receive_as(&subscriber, 0);
        const uint64_t *buckets = (const uint64_t *)(const void *)subscriber.stats.buckets;
        assert_true(ae_figures_measured(&subscriber.stats, buckets, n));
        assert_true(in_buckets(&subscriber) >= n);
    }
    assert_int_equal(word(&subscriber.stats.samples), 1000);
    subscriber_close(&subscriber);
    publisher_close(&publisher);
    ring_free(&ring);
}

/* ---- bytes ---- */

/* Of a topic that stamps each message, and of each after the close: the payload's bytes exactly, in each form. */
static void bytes_are_exact(void **state) {
    static const aether_policy policies[] = {AETHER_RELIABLE, AETHER_BEST_EFFORT, AETHER_LATEST};
    static const size_t lens[] = {0, 1, 8, 17, 24, 40, 41, 300, 1000};
    uint64_t random = 7;

    (void)state;
    for (unsigned variant = 0; variant < 9; variant++) {
        const aether_topic_config config = {.capacity = 32,
                                            .max_message = 1000,
                                            .inline_max = 40,
                                            .lane_bytes = 4 * LANE,
                                            .latency = (aether_latency_mode)(1 + variant / 3)};
        const aether_subscribe_options options = {.policy = policies[variant % 3]};
        uint64_t published = 0, received = 0, delivered = 0;
        struct test_publisher publisher;
        struct test_subscriber subscriber;
        aether_message message;
        struct ring ring;

        ring_make_as(&ring, &config);
        publisher_open(&publisher, &ring);
        subscriber_open(&subscriber, &ring, ring.log_ro, 0, &options);
        for (int turn = 0; turn < 2000; turn++) {
            const size_t len = lens[next_random(&random) % 9], count = 1 + next_random(&random) % 5;
            const enum form form = (enum form)(next_random(&random) % FORMS);
            now += next_random(&random) % (200 * US);
            assert_int_equal(publish_as(publisher.handle, form, len, count), 0);
            published += len * count;
            if (config.latency == AETHER_LATENCY_ALL)
                assert_int_equal(publisher_figures(&ring, &publisher).bytes, published);
            while (aether_receive(subscriber.handle, &message) == 1) {
                received += message.len;
                delivered++;
            }
            const struct ae_figures figures = subscriber_figures(&ring, &subscriber);
            assert_int_equal(figures.bytes, received);
            assert_int_equal(figures.messages, delivered);
            assert_int_equal(figures.next, aether_publisher_next(publisher.handle));
        }
        if (options.policy != AETHER_LATEST)
            assert_int_equal(received, published);
        subscriber_close(&subscriber);
        publisher_close(&publisher);
        assert_int_equal(publisher_figures(&ring, &publisher).bytes, published);
        assert_int_equal(subscriber_figures(&ring, &subscriber).bytes, received);
        ring_free(&ring);
    }
}

static int add_len(void *context, const aether_message *message) {
    *(uint64_t *)context += message->len;
    return 0;
}

/* Also in batches and polls that take several at once, with stamped messages among the others. */
static void batches_count_their_bytes(void **state) {
    uint64_t random = 9;

    (void)state;
    for (unsigned variant = 0; variant < 12; variant++) {
        const aether_topic_config config = {
            .capacity = 64, .max_message = 40, .latency = (aether_latency_mode)(1 + variant % 3)};
        const aether_subscribe_options options = {.policy =
                                                      variant / 3 % 2 == 0 ? AETHER_RELIABLE : AETHER_BEST_EFFORT};
        uint64_t received = 0, published = 0;
        struct test_publisher publisher;
        struct test_subscriber subscriber;
        aether_message messages[16];
        struct ring ring;

        ring_make_as(&ring, &config);
        publisher_open(&publisher, &ring);
        subscriber_open(&subscriber, &ring, ring.log_ro, 0, &options);
        for (int turn = 0; turn < 1000; turn++) {
            const size_t len = next_random(&random) % 41, count = 1 + next_random(&random) % 30;
            int n;
            now += next_random(&random) % (100 * US);
            assert_int_equal(publish_as(publisher.handle, (enum form)(next_random(&random) % FORMS), len, count), 0);
            published += len * count;
            do {
                if (variant < 6) {
                    n = aether_receive_batch(subscriber.handle, messages, 1 + (int)(next_random(&random) % 16));
                    for (int i = 0; i < n; i++)
                        received += messages[i].len;
                } else {
                    n = aether_poll(subscriber.handle, add_len, &received, 1 + (int)(next_random(&random) % 16));
                }
            } while (n > 0);
            assert_int_equal(n, 0);
            assert_int_equal(received, published);
            const struct ae_figures figures = subscriber_figures(&ring, &subscriber);
            assert_int_equal(figures.bytes, received);
            assert_int_equal(figures.next, aether_publisher_next(publisher.handle));
        }
        subscriber_close(&subscriber);
        publisher_close(&publisher);
        ring_free(&ring);
    }
}

/* ---- without room ---- */

static void expect_waits(const struct test_publisher *publisher, uint64_t what, uint64_t record, uint64_t seq) {
    const ae_stats_record *stats = &publisher->stats;

    assert_int_equal(word(&stats->waits_for), what);
    if (what == AE_WAITS_SUBSCRIBER || what == AE_WAITS_PUBLISHER || what == AE_WAITS_LANE) {
        assert_int_equal(word(&stats->waits_record), record);
        assert_int_equal(word(&stats->waits_seq), seq);
    }
    assert_int_equal(word(&stats->waits_last), now);
}

static uint64_t stalled(const struct test_publisher *publisher, uint64_t *present) {
    ae_account account;

    assert_true(ae_figures_copy(&publisher->stats, &account) != 0);
    return ae_figures_stalled(&account, word(&publisher->stats.waits_last), now, present);
}

/* It has room: there were this many stalls, of so much time together, and the longest of so much. */
static void expect_stalls(const struct test_publisher *publisher, uint64_t count, uint64_t ns, uint64_t longest) {
    uint64_t present;

    assert_int_equal(word(&publisher->stats.waits_for), AE_WAITS_NOT);
    assert_int_equal(word(&publisher->stats.waits_since), 0);
    assert_int_equal(word(&publisher->stats.stalls), count);
    assert_int_equal(word(&publisher->stats.stall_longest), longest);
    assert_int_equal(stalled(publisher, &present), ns);
    assert_int_equal(present, 0);
}

static void a_slow_subscriber_is_named(void **state) {
    (void)state;
    for (size_t s = 0; s < STARTS; s++) {
        struct test_subscriber fast, slow;
        struct test_publisher publisher;
        struct ring ring;
        uint64_t present;

        ring_make(&ring, 8, 24, starts[s]);
        publisher_open(&publisher, &ring);
        subscriber_open(&fast, &ring, ring.log_ro, 2, &reliable);
        subscriber_open(&slow, &ring, ring.log_ro, 5, &reliable);
        assert_int_equal(publish_as(publisher.handle, PUBLISH, 24, 8), 0);
        for (unsigned i = 0; i < 8; i++)
            receive_as(&fast, 0);
        ae_subscriber_release(&fast.sub);
        const uint64_t since = now;
        for (uint64_t i = 1; i <= 4; i++) { /* one stall */
            assert_int_equal(publish_as(publisher.handle, PUBLISH, 24, 1), AETHER_FULL);
            expect_waits(&publisher, AE_WAITS_SUBSCRIBER, 5, starts[s] + 1);
            assert_int_equal(word(&publisher.stats.full), i);
            assert_int_equal(word(&publisher.stats.stalls), 1);
            assert_int_equal(word(&publisher.stats.waits_since), since);
            assert_int_equal(stalled(&publisher, &present), now - since);
            assert_int_equal(present, now - since);
            now += MS;
        }
        assert_int_equal(publish_as(publisher.handle, BATCH, 24, 4), AETHER_FULL);
        expect_waits(&publisher, AE_WAITS_SUBSCRIBER, 5, starts[s] + 4);
        receive_as(&slow, 0);
        ae_subscriber_release(&slow.sub);
        assert_int_equal(publish_as(publisher.handle, PUBLISH, 24, 1), 0);
        expect_stalls(&publisher, 1, 4 * MS, 4 * MS);
        assert_int_equal(publish_as(publisher.handle, LOAN, 24, 1), AETHER_FULL);
        now += MS;
        receive_as(&slow, 0);
        ae_subscriber_release(&slow.sub);
        assert_int_equal(aether_publisher_wait(publisher.handle, 24, 0), 0);
        expect_stalls(&publisher, 2, 5 * MS, 4 * MS);
        assert_int_equal(word(&publisher.stats.full), 6);
        /* It doesn't try again for a long time: from 2 s on nobody knows if it has room. */
        assert_int_equal(publish_as(publisher.handle, PUBLISH, 24, 1), 0);
        assert_int_equal(publish_as(publisher.handle, PUBLISH, 24, 1), AETHER_FULL);
        now += 3000 * MS;
        assert_int_equal(stalled(&publisher, &present), 2005 * MS);
        receive_as(&slow, 0);
        ae_subscriber_release(&slow.sub);
        assert_int_equal(publish_as(publisher.handle, PUBLISH, 24, 1), 0);
        expect_stalls(&publisher, 3, 2005 * MS, 2000 * MS);
        subscriber_close(&fast);
        subscriber_close(&slow);
        publisher_close(&publisher);
        ring_free(&ring);
    }
}

/* Another publisher is stopped in the middle of a batch. Of that, the messages that it has committed count. */
static void a_stopped_publisher_is_named(void **state) {
    static const unsigned char data[24];

    (void)state;
    for (size_t s = 0; s < STARTS; s++) {
        const aether_topic_config config = {
            .capacity = 8, .max_message = 24, .start_seq = starts[s], .publishers = AETHER_PUBLISHERS_UNBIASED};
        struct test_publisher publisher, stopped;
        struct ring ring;
        struct ae_figures figures = {0};

        ring_make_as(&ring, &config);
        publisher_open(&publisher, &ring);
        publisher_open_as(&stopped, &ring, 7, ring.cursors_ro);
        assert_int_equal(publish_as(publisher.handle, PUBLISH, 24, 2), 0);
        assert_int_equal(ae_claim_slow(&stopped.pub, 3), 0);
        for (uint64_t done = 0; done < 3; done++) {
            assert_int_equal(read_publisher(&stopped.stats, ring.log_ro, &ring.geometry, 7, &figures), 1);
            assert_int_equal(figures.messages, done);
            assert_int_equal(read_publisher(&stopped.stats, ring.log_ro, NULL, 7, &figures), 1);
            assert_int_equal(figures.messages, 3);
            if (done < 2)
                ae_commit_message(&stopped.pub, starts[s] + 2 + done, data, sizeof data);
        }
        assert_int_equal(publish_as(publisher.handle, PUBLISH, 24, 7), 0);
        assert_int_equal(publish_as(publisher.handle, PUBLISH, 24, 1), AETHER_FULL);
        expect_waits(&publisher, AE_WAITS_PUBLISHER, 7, starts[s] + 4);
        now += MS;
        publisher_die(&stopped);
        assert_int_equal(read_publisher(&stopped.stats, ring.log_ro, &ring.geometry, 7, &figures), 1);
        assert_int_equal(figures.messages, 2);
        assert_int_equal(publish_as(publisher.handle, PUBLISH, 24, 1), 0);
        expect_stalls(&publisher, 1, MS, MS);
        publisher_close(&publisher);
        ring_free(&ring);
    }
}

static void lane_bytes_are_waited_for(void **state) {
    const aether_topic_config config = {
        .capacity = 64, .max_message = 2000, .inline_max = 40, .lane_bytes = LANE, .start_seq = 1000};
    struct test_publisher publisher;
    struct test_subscriber subscriber, fast;
    aether_loan loans[2];
    struct ring ring;

    (void)state;
    ring_make_as(&ring, &config);
    publisher_open(&publisher, &ring);
    subscriber_open(&fast, &ring, ring.log_ro, 1, &reliable);
    subscriber_open(&subscriber, &ring, ring.log_ro, 3, &reliable);
    assert_int_equal(word(&publisher.stats.lane_used), 0);
    assert_int_equal(publish_as(publisher.handle, PUBLISH, 2000, 2), 0);
    assert_int_equal(word(&publisher.stats.lane_used), 2 * 2048);
    receive_as(&fast, 0);
    receive_as(&fast, 0);
    ae_subscriber_release(&fast.sub);
    for (int form = 0; form < 4; form++) {
        static const enum form forms[] = {PUBLISH, LOAN, BATCH, GATHER};
        assert_int_equal(publish_as(publisher.handle, forms[form], 2000, 1), AETHER_FULL);
        expect_waits(&publisher, AE_WAITS_LANE, 3, 1001);
        now += MS;
    }
    assert_int_equal(aether_publisher_wait(publisher.handle, 2000, 0), AETHER_FULL);
    expect_waits(&publisher, AE_WAITS_LANE, 3, 1001);
    assert_int_equal(word(&publisher.stats.stalls), 1);
    receive_as(&subscriber, 0);
    ae_subscriber_release(&subscriber.sub);
    assert_int_equal(publish_as(publisher.handle, PUBLISH, 2000, 1), 0);
    expect_stalls(&publisher, 1, 4 * MS, 4 * MS);

    receive_as(&subscriber, 0);
    receive_as(&subscriber, 0);
    receive_as(&fast, 0);
    ae_subscriber_release(&subscriber.sub);
    ae_subscriber_release(&fast.sub);
    assert_int_equal(aether_loan_take(publisher.handle, 2000, &loans[0]), 0);
    assert_int_equal(aether_loan_take(publisher.handle, 2000, &loans[1]), 0);
    assert_int_equal(word(&publisher.stats.loans), 2);
    assert_int_equal(publish_as(publisher.handle, PUBLISH, 2000, 1), -ENOBUFS);
    expect_waits(&publisher, AE_WAITS_LOANS, 0, 0);
    now += 7 * MS;
    assert_int_equal(aether_loan_discard(publisher.handle, &loans[0]), 0);
    assert_int_equal(word(&publisher.stats.loans), 1);
    assert_int_equal(aether_loan_commit(publisher.handle, &loans[1]), 0);
    assert_int_equal(word(&publisher.stats.loans), 0);
    assert_int_equal(publish_as(publisher.handle, PUBLISH, 2000, 1), 0);
    expect_stalls(&publisher, 2, 11 * MS, 7 * MS);
    subscriber_close(&subscriber);
    subscriber_close(&fast);
    publisher_close(&publisher);
    ring_free(&ring);
}

/* ---- losses ---- */

static void receive_all(struct test_subscriber *subscriber) {
    aether_message message;
    int rc;

    while ((rc = aether_receive(subscriber->handle, &message)) != 0)
        assert_true(rc == 1 || rc == -EOVERFLOW);
}

/* It lost some, for this reason and no other, and its figures add up. */
/* A stall lasts until there is the room that was missing, whatever else the publisher does meanwhile. */
static void other_calls_end_no_stall(void **state) {
    const aether_topic_config config = {.max_message = 2000, .inline_max = 24, .capacity = 64, .lane_bytes = LANE};
    struct test_subscriber subscriber;
    struct test_publisher publisher;
    struct ring ring;
    aether_loan loan;

    (void)state;
    ring_make_as(&ring, &config);
    publisher_open(&publisher, &ring);
    subscriber_open(&subscriber, &ring, ring.log_ro, 5, &reliable);
    assert_int_equal(publish_as(publisher.handle, PUBLISH, 2000, 2), 0);
    for (unsigned i = 0; i < 5; i++) { /* the lane is full, and there are slots */
        assert_int_equal(publish_as(publisher.handle, PUBLISH, 2000, 1), AETHER_FULL);
        now += MS;
        assert_int_equal(publish_as(publisher.handle, PUBLISH, 24, 1), 0);
        assert_int_equal(aether_publisher_wait(publisher.handle, 24, 0), 0);
    }
    assert_int_equal(word(&publisher.stats.stalls), 1);
    receive_all(&subscriber);
    assert_int_equal(publish_as(publisher.handle, PUBLISH, 2000, 1), 0);
    expect_stalls(&publisher, 1, 5 * MS, 5 * MS);
    receive_all(&subscriber);
    assert_int_equal(publish_as(publisher.handle, PUBLISH, 24, 64), 0);
    for (unsigned i = 0; i < 5; i++) { /* there are no slots; a short loan needs none before its commit */
        assert_int_equal(aether_loan_take(publisher.handle, 24, &loan), 0);
        assert_int_equal(aether_loan_commit(publisher.handle, &loan), AETHER_FULL);
        now += MS;
        assert_int_equal(aether_loan_discard(publisher.handle, &loan), 0);
    }
    assert_int_equal(word(&publisher.stats.stalls), 2);
    receive_all(&subscriber);
    assert_int_equal(publish_as(publisher.handle, PUBLISH, 24, 1), 0);
    expect_stalls(&publisher, 2, 10 * MS, 5 * MS);
    subscriber_close(&subscriber);
    publisher_close(&publisher);
    ring_free(&ring);
}

/* A publisher that gave up doesn't wait; there may have been room. Its next try begins another stall. */
static void giving_up_ends_a_stall(void **state) {
    struct test_subscriber subscriber;
    struct test_publisher publisher;
    struct ring ring;
    uint64_t present;

    (void)state;
    ring_make(&ring, 8, 24, 0);
    publisher_open(&publisher, &ring);
    subscriber_open(&subscriber, &ring, ring.log_ro, 5, &reliable);
    assert_int_equal(publish_as(publisher.handle, PUBLISH, 24, 8), 0);
    assert_int_equal(publish_as(publisher.handle, PUBLISH, 24, 1), AETHER_FULL);
    now += 3600000ull * MS;
    assert_int_equal(publish_as(publisher.handle, PUBLISH, 24, 1), AETHER_FULL);
    assert_int_equal(word(&publisher.stats.stalls), 2);
    assert_int_equal(word(&publisher.stats.waits_since), now);
    assert_int_equal(stalled(&publisher, &present), AE_GIVEN_UP_NS);
    assert_int_equal(present, 0);
    subscriber_close(&subscriber);
    publisher_close(&publisher);
    ring_free(&ring);
}

/* ---- notices ---- */

static unsigned notices;
static aether_stall noticed;

static void notice(struct ae_publisher *p) {
    uint32_t record;

    assert_true(ae_stall_read(p, &noticed, &record));
    assert_int_equal(record, 5);
    notices++;
}

/* Calls that find no room, one every half of the limit until `end`; expects so many notices in all. */
static void stay_without_room(struct test_publisher *publisher, uint64_t end, unsigned expect) {
    for (; now < end; now += MS / 2)
        assert_int_equal(publish_as(publisher->handle, PUBLISH, 24, 1), AETHER_FULL);
    assert_int_equal(notices, expect);
}

/* A stall is noticed after 1, 2, 4 .. times the limit. A later call notices once what is overdue. */
static void stalls_are_noticed(void **state) {
    struct test_subscriber subscriber, other;
    struct test_publisher publisher;
    aether_message message;
    uint64_t began;
    struct ring ring;

    (void)state;
    ring_make(&ring, 8, 24, UINT64_MAX - 3);
    publisher_open(&publisher, &ring);
    subscriber_open(&subscriber, &ring, ring.log_ro, 5, &reliable);
    subscriber_open(&other, &ring, ring.log_ro, 6, &reliable);
    assert_int_equal(publish_as(publisher.handle, PUBLISH, 24, 8), 0);
    stay_without_room(&publisher, now + 10 * MS, 0); /* no notices are wanted */
    now += 3600000ull * MS;
    began = now;
    ae_stall_watch(&publisher.pub, notice, MS);
    stay_without_room(&publisher, began + MS, 0);
    stay_without_room(&publisher, began + 2 * MS, 1);
    assert_int_equal(noticed.waits, AETHER_WAITS_SUBSCRIBER);
    assert_int_equal(noticed.waited_ns, MS);
    assert_int_equal(noticed.lag, 8);
    assert_int_equal(noticed.others, 1);
    assert_int_equal(aether_receive(other.handle, &message), 1);
    assert_int_equal(aether_receive(other.handle, &message), 1); /* releases the first one */
    ae_store_cursor(&other.sub.hot, aether_subscriber_next(other.handle));
    stay_without_room(&publisher, began + 4 * MS, 2);
    assert_int_equal(noticed.others, 0);
    stay_without_room(&publisher, began + 8 * MS, 3);
    now = began + 500 * MS;
    stay_without_room(&publisher, began + 512 * MS, 4);
    stay_without_room(&publisher, began + 1024 * MS, 5);
    /* Another stall. */
    for (int i = 0; i < 8; i++)
        assert_int_equal(aether_receive(subscriber.handle, &message), 1);
    assert_int_equal(aether_receive(subscriber.handle, &message), 0);
    for (int i = 0; i < 6; i++)
        assert_int_equal(aether_receive(other.handle, &message), 1);
    assert_int_equal(aether_receive(other.handle, &message), 0);
    assert_int_equal(publish_as(publisher.handle, PUBLISH, 24, 8), 0);
    began = now;
    stay_without_room(&publisher, began + MS, 5);
    stay_without_room(&publisher, began + 2 * MS, 6);
    subscriber_close(&other);
    subscriber_close(&subscriber);
    publisher_close(&publisher);
    ring_free(&ring);
}

/* A batch of none stores no figures, so the next receive must. */
static void a_batch_of_none_hides_no_bytes(void **state) {
    const aether_topic_config config = {.max_message = 24, .capacity = 64, .latency = AETHER_LATENCY_OFF};
    struct test_subscriber subscriber;
    struct test_publisher publisher;
    aether_message message;
    struct ring ring;

    (void)state;
    ring_make_as(&ring, &config);
    publisher_open(&publisher, &ring);
    subscriber_open(&subscriber, &ring, ring.log_ro, 5, &reliable);
    assert_int_equal(publish_as(publisher.handle, PUBLISH, 24, 5), 0);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(aether_receive(subscriber.handle, &message), 1);
    assert_int_equal(aether_receive_batch(subscriber.handle, &message, 0), 0);
    assert_int_equal(aether_receive(subscriber.handle, &message), 0);
    assert_int_equal(subscriber_figures(&ring, &subscriber).bytes, 5 * 24);
    subscriber_close(&subscriber);
    publisher_close(&publisher);
    ring_free(&ring);
}

static void expect_lost(const struct ring *ring, const struct test_subscriber *subscriber, unsigned reason) {
    const struct ae_figures figures = subscriber_figures(ring, subscriber);
    aether_subscriber_stats stats;

    aether_subscriber_get_stats(subscriber->handle, &stats);
    assert_true(stats.lost > 0);
    for (unsigned i = 0; i < AE_LOST_REASONS; i++)
        assert_int_equal(figures.lost_by[i], i == reason ? stats.lost : 0);
    assert_int_equal(figures.lost, stats.lost);
    assert_int_equal(figures.gaps, stats.gaps);
    assert_int_equal(figures.messages, stats.delivered);
    assert_int_equal(figures.next, stats.next);
    assert_int_equal(figures.joined, stats.joined);
    assert_int_equal(figures.evicted, stats.evicted);
}

static void losses_have_their_reason(void **state) {
    (void)state;
    for (size_t s = 0; s < STARTS * 2; s++) {
        const aether_subscribe_options oldest = {.policy = AETHER_RELIABLE, .from = AETHER_FROM_OLDEST};
        const bool evicts = s % 2 != 0;
        const aether_topic_config config = {.capacity = 16,
                                            .max_message = 1000,
                                            .inline_max = 40,
                                            .lane_bytes = LANE,
                                            .slow = evicts ? AETHER_SLOW_EVICT : AETHER_SLOW_WAIT,
                                            .start_seq = starts[s / 2],
                                            .latency = (aether_latency_mode)(1 + s % 3)};
        struct test_publisher publisher;
        struct test_subscriber subscriber, other;
        struct ring ring;

        ring_make_as(&ring, &config);
        publisher_open(&publisher, &ring);
        subscriber_open(&subscriber, &ring, ring.log_ro, 0, &best_effort);
        assert_int_equal(publish_as(publisher.handle, PUBLISH, 24, 40), 0);
        receive_all(&subscriber);
        expect_lost(&ring, &subscriber, AE_LOST_RING);
        subscriber_close(&subscriber);

        subscriber_open(&subscriber, &ring, ring.log_ro, 0, &best_effort);
        assert_int_equal(publish_as(publisher.handle, PUBLISH, 1000, 10), 0);
        receive_all(&subscriber);
        expect_lost(&ring, &subscriber, AE_LOST_LANE);
        subscriber_close(&subscriber);

        /* Some of the retained messages are overwritten, while it holds back what comes after its join. */
        assert_int_equal(publish_as(publisher.handle, PUBLISH, 24, 16), 0);
        subscriber_open(&subscriber, &ring, ring.log_ro, 0, &oldest);
        receive_as(&subscriber, 0);
        assert_int_equal(subscriber_figures(&ring, &subscriber).messages, 1);
        assert_int_equal(publish_as(publisher.handle, PUBLISH, 24, 8), 0);
        receive_all(&subscriber);
        expect_lost(&ring, &subscriber, AE_LOST_RETAINED);
        subscriber_close(&subscriber);
        if (evicts) {
            subscriber_open(&other, &ring, ring.log_ro, 0, &reliable);
            assert_int_equal(publish_as(publisher.handle, PUBLISH, 24, 3), 0);
            receive_as(&other, 0);
            assert_int_equal(publish_as(publisher.handle, PUBLISH, 24, 50), 0);
            assert_int_equal(subscriber_figures(&ring, &other).evicted, 0);
            receive_all(&other);
            assert_int_equal(subscriber_figures(&ring, &other).evicted, 1);
            expect_lost(&ring, &other, AE_LOST_EVICTED);
            subscriber_close(&other);
        }
        publisher_close(&publisher);
        ring_free(&ring);
    }
}

/* A latest subscriber counts what it passes over, and a subscriber's aborted sequences count as neither. */
static void skipped_and_aborted(void **state) {
    const aether_subscribe_options latest = {.policy = AETHER_LATEST};
    const aether_topic_config config = {.capacity = 16, .max_message = 24, .publishers = AETHER_PUBLISHERS_UNBIASED};
    struct test_publisher publisher, dead;
    struct test_subscriber subscriber, newest;
    struct ae_figures figures;
    struct ring ring;

    (void)state;
    ring_make_as(&ring, &config);
    publisher_open(&publisher, &ring);
    publisher_open_as(&dead, &ring, 1, ring.cursors_ro);
    subscriber_open(&subscriber, &ring, ring.log_ro, 0, &reliable);
    subscriber_open(&newest, &ring, ring.log_ro, 0, &latest);
    assert_int_equal(publish_as(publisher.handle, PUBLISH, 24, 3), 0);
    assert_int_equal(ae_claim_slow(&dead.pub, 4), 0);
    publisher_die(&dead);
    assert_int_equal(publish_as(publisher.handle, PUBLISH, 24, 2), 0);
    receive_all(&subscriber);
    receive_all(&newest);
    figures = subscriber_figures(&ring, &subscriber);
    assert_true(figures.next == 9 && figures.messages == 5 && figures.aborted == 4 && figures.bytes == 5 * 24);
    figures = subscriber_figures(&ring, &newest);
    assert_true(figures.next == 9 && figures.messages == 1 && figures.skipped == 8 && figures.bytes == 24);
    subscriber_close(&subscriber);
    subscriber_close(&newest);
    publisher_close(&publisher);
    ring_free(&ring);
}

/* Each publisher counts the wake-ups that it has caused. */
static void wakes_are_counted(void **state) {
    const aether_topic_config config = {.capacity = 16, .max_message = 24, .publishers = AETHER_PUBLISHERS_UNBIASED};
    struct test_publisher publishers[2];
    struct ring ring;

    (void)state;
    ring_make_as(&ring, &config);
    for (uint32_t i = 0; i < 2; i++)
        publisher_open_as(&publishers[i], &ring, i, ring.cursors_ro);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(publish_as(publishers[i % 2].handle, PUBLISH, 24, 1), 0);
        ae_store_relaxed(&ring.notes->want.want, word(&ring.log->wake.wake)); /* a subscriber sleeps */
        assert_int_equal(publish_as(publishers[i % 2].handle, PUBLISH, 24, 1), 0);
        assert_int_equal(word(&publishers[i % 2].stats.wakes), (uint64_t)i / 2 + 1);
    }
    for (uint32_t i = 0; i < 2; i++)
        publisher_close(&publishers[i]);
    ring_free(&ring);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(each_publisher_counts_its_own, start_clock),
        cmocka_unit_test_setup(lost_claims_count_nothing, start_clock),
        cmocka_unit_test_setup(receives_fill_the_histogram, start_clock),
        cmocka_unit_test_setup(false_stamps_are_missed, start_clock),
        cmocka_unit_test_setup(false_weights_are_limited, start_clock),
        cmocka_unit_test_setup(bytes_are_exact, start_clock),
        cmocka_unit_test_setup(batches_count_their_bytes, start_clock),
        cmocka_unit_test_setup(a_slow_subscriber_is_named, start_clock),
        cmocka_unit_test_setup(a_stopped_publisher_is_named, start_clock),
        cmocka_unit_test_setup(lane_bytes_are_waited_for, start_clock),
        cmocka_unit_test_setup(other_calls_end_no_stall, start_clock),
        cmocka_unit_test_setup(giving_up_ends_a_stall, start_clock),
        cmocka_unit_test_setup(stalls_are_noticed, start_clock),
        cmocka_unit_test_setup(a_batch_of_none_hides_no_bytes, start_clock),
        cmocka_unit_test_setup(losses_have_their_reason, start_clock),
        cmocka_unit_test_setup(skipped_and_aborted, start_clock),
        cmocka_unit_test_setup(wakes_are_counted, start_clock),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
