/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The figures that publishers and subscribers store, as another process reads them, and which messages are stamped. The
 * program is linked so that ae_now_ns() is the clock below.
 */
#include "ring/ring_test.h"
#include "base/histogram.h"
#include "ring/figures_test.h"
#include "ring/stats.h"
#include <aether/wait.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define LANE 4096u
#define US 1000u
#define MS 1000000u
#define GROUP_MAX 4096u /* messages */

static const uint64_t starts[] = {0, (1ull << 47) - 3, (1ull << 48) - 9, (1ull << 63) - 3, UINT64_MAX - 20};
#define STARTS (sizeof starts / sizeof starts[0])

static const aether_subscribe_options reliable = {.policy = AETHER_RELIABLE},
                                      best_effort = {.policy = AETHER_BEST_EFFORT};

/* ---- the clock ---- */

static uint64_t now; /* ns */

uint64_t __wrap_ae_now_ns(void);
uint64_t __wrap_ae_now_ns(void) {
    return now;
}

static int start_clock(void **state) {
    (void)state;
    now = 1ull << 50;
    return 0;
}

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
    struct ae_figures figures;

    assert_int_equal(read_subscriber(&subscriber->stats,
                                     sub->cursors != NULL ? &ring->cursors_ro->records[sub->record] : NULL, &figures),
                     1);
    return figures;
}

static uint64_t word(const ae_u64 *word) {
    return ae_load_relaxed(word);
}

/* ---- forms of publishing ---- */

enum form { PUBLISH, BURST, BATCH, ARRAY, GATHER, LOAN, FORMS };

static int publish_burst(aether_publisher *pub, const unsigned char *data, size_t len) {
    aether_burst burst = aether_burst_begin(pub, len);

    return aether_burst_publish(&burst, data);
}

static int publish_loan(aether_publisher *pub, const unsigned char *data, size_t len) {
    aether_loan loan;
    int rc = aether_loan_take(pub, len, &loan);

    if (rc != 0)
        return rc;
    memcpy(loan.data, data, len);
    if ((rc = aether_loan_commit(pub, &loan)) != 0)
        (void)aether_loan_discard(pub, &loan);
    return rc;
}

/* Publishes count messages of len bytes, one call each if the form has no more a call. Returns the result. */
static int publish_as(aether_publisher *pub, enum form form, size_t len, size_t count) {
    static unsigned char data[LANE * 8];
    struct iovec each[64];
    int rc = 0;

    for (size_t i = 0; i < count && i < 64; i++)
        each[i] = (struct iovec){.iov_base = data + i * len, .iov_len = len};
    if (form == BATCH)
        return aether_publish_batch(pub, each, count);
    if (form == ARRAY)
        return aether_publish_array(pub, data, len, count);
    for (size_t i = 0; i < count && rc == 0; i++) {
        const struct iovec pieces[] = {{.iov_base = data, .iov_len = len / 3},
                                       {.iov_base = data + len / 3, .iov_len = len - len / 3}};
        switch (form) {
        case PUBLISH:
            rc = len == 8 ? aether_publish(pub, data, 8) : aether_publish(pub, data, len);
            break;
        case BURST:
            rc = publish_burst(pub, data, len);
            break;
        case GATHER:
            rc = aether_publish_gather(pub, pieces, 2);
            break;
        default:
            rc = publish_loan(pub, data, len);
        }
    }
    return rc;
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
                                            .latency = (aether_latency_mode)(s % 3)};
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

/* ---- which messages are stamped ---- */

#define STAMPS_MAX 65536u

/* Reads a publisher's stamps in its ring, after each call: it is the only one, from sequence 0 on. */
struct watch {
    struct ring ring;
    struct test_publisher publisher;
    uint64_t seen;                /* messages */
    uint64_t weights;             /* messages for which the stamps stand */
    uint64_t count;               /* stamps */
    uint64_t numbers[STAMPS_MAX]; /* of the messages that are stamped */
    unsigned weight;              /* of the last one */
    bool reviewed;                /* subscribers have slept */
};

static void watch_open(struct watch *watch, aether_latency_mode latency) {
    const aether_topic_config config = {.capacity = 128, .max_message = 24, .latency = latency};

    memset(watch, 0, sizeof *watch);
    ring_make_as(&watch->ring, &config);
    publisher_open(&watch->publisher, &watch->ring);
    watch->publisher.pub.sampling.random = 20261128;
}

static void watch_close(struct watch *watch) {
    publisher_close(&watch->publisher);
    ring_free(&watch->ring);
}

static void look(struct watch *watch) {
    const ae_geometry *g = &watch->ring.geometry;
    const ae_u64 *stamps = (const ae_u64 *)(const void *)((const unsigned char *)watch->ring.log_ro + g->stamps_off);

    for (; watch->seen != aether_publisher_next(watch->publisher.handle); watch->seen++) {
        const uint64_t tag = word(ring_tag(&watch->ring, watch->seen));
        assert_int_equal(ae_tag_kind(tag) & ~AE_KIND_STAMPED, AE_KIND_INLINE);
        if ((ae_tag_kind(tag) & AE_KIND_STAMPED) == 0)
            continue;
        const uint64_t stamp = word(&stamps[watch->seen % g->capacity]);
        watch->weight = stamp & AE_STAMP_WEIGHT_MASK;
        watch->weights += 1ull << watch->weight;
        watch->numbers[watch->count++ % STAMPS_MAX] = watch->seen;
        assert_int_equal(stamp >> AE_STAMP_NS_SHIFT, now);
        assert_true(watch->weight <= 12);
        assert_int_equal(word(&watch->publisher.stats.last_ns), now);
    }
    /* Each group is stamped once, but for those that end early: the stamps stand for all messages but some of a group. */
    if (g->stamps_off != 0 && !watch->reviewed) {
        const int64_t ahead = (int64_t)(watch->weights - watch->seen);
        assert_true(ahead <= (int64_t)GROUP_MAX && ahead >= -(int64_t)GROUP_MAX);
    }
}

/* Publishes count messages, ns nanoseconds after each other. */
static void pace(struct watch *watch, uint64_t count, uint64_t ns) {
    for (; count > 0; count--) {
        now += ns;
        assert_int_equal(publish_as(watch->publisher.handle, PUBLISH, 24, 1), 0);
        look(watch);
    }
}

static void all_or_none(void **state) {
    struct watch *watch = malloc(sizeof *watch);
    uint64_t random = 3;

    (void)state;
    for (int mode = 0; mode < 2; mode++) {
        watch_open(watch, mode == 0 ? AETHER_LATENCY_ALL : AETHER_LATENCY_OFF);
        for (int turn = 0; turn < 2000; turn++) {
            now += next_random(&random) % (1000 * US);
            assert_int_equal(publish_as(watch->publisher.handle, (enum form)(next_random(&random) % FORMS),
                                        next_random(&random) % 2 == 0 ? 8 : 24, 1 + next_random(&random) % 40),
                             0);
            look(watch);
        }
        assert_int_equal(watch->count, mode == 0 ? watch->seen : 0);
        assert_int_equal(watch->weights, watch->count);
        watch_close(watch);
    }
    free(watch);
}

/* Each message of a slow publisher is stamped; of a fast one about one of 4,096, once it has adapted; and back. */
static void stamps_follow_the_pace(void **state) {
    struct watch *watch = malloc(sizeof *watch);
    uint64_t count;

    (void)state;
    watch_open(watch, AETHER_LATENCY_SAMPLED);
    pace(watch, 1000, MS);
    assert_int_equal(watch->count, 1000);
    pace(watch, 4 * GROUP_MAX, 20); /* it adapts */
    assert_int_equal(watch->weight, 12);
    assert_true(watch->count < 1000 + 24);
    count = watch->count;
    pace(watch, 64 * GROUP_MAX, 20);
    assert_in_range(watch->count - count, 63, 65);
    pace(watch, 2 * GROUP_MAX, 150 * US); /* slow again: within two groups each message is stamped */
    count = watch->count;
    pace(watch, 1000, 150 * US);
    assert_int_equal(watch->count - count, 1000);
    count = watch->count;
    pace(watch, 10000, 10 * US); /* every tenth is 100 us apart */
    assert_in_range(watch->count - count, 10000 / 20, 10000 / 4);
    watch_close(watch);
    free(watch);
}

/* Publishes batches of 32 as fast as gives groups of 64, and counts which positions of a batch and a group are stamped. */
static void positions_are_random(void **state) {
    struct watch *watch = malloc(sizeof *watch);
    unsigned in_batch[32] = {0}, in_group[64] = {0}, same = 0;
    uint64_t first = 0;

    (void)state;
    watch_open(watch, AETHER_LATENCY_SAMPLED);
    for (int form = 0; form < 2; form++) {
        for (int i = 0; i < 6400; i++) {
            now += 50 * US;
            assert_int_equal(publish_as(watch->publisher.handle, form == 0 ? BATCH : ARRAY, 8, 32), 0);
            look(watch);
            if (i == 100)
                first = watch->count;
        }
    }
    assert_true(watch->count < STAMPS_MAX);
    for (uint64_t i = first; i < watch->count; i++) {
        in_batch[watch->numbers[i] % 32]++;
        in_group[watch->numbers[i] % 64]++;
        same +=
            i > first + 1 && watch->numbers[i] - watch->numbers[i - 1] == watch->numbers[i - 1] - watch->numbers[i - 2];
    }
    const unsigned mean = (unsigned)(watch->count - first) / 32;
    assert_true(mean > 150);
    for (unsigned i = 0; i < 32; i++)
        assert_in_range(in_batch[i], mean * 2 / 3, mean * 3 / 2);
    for (unsigned i = 0; i < 64; i++)
        assert_in_range(in_group[i], mean / 4, mean);
    assert_true(same < (watch->count - first) / 20); /* no fixed stride */
    watch_close(watch);
    free(watch);
}

/* A subscriber sleeps, and the next message wakes it. */
static void let_sleep(struct watch *watch) {
    ae_store_relaxed(&watch->ring.cursors->want.want, word(&watch->ring.log->wake.wake));
    watch->reviewed = true;
}

/*
 * A message that wakes a subscriber after a pause makes the next one stamped, whether or not the present group has been
 * stamped.
 */
static void a_pause_is_noticed(void **state) {
    struct watch *watch = malloc(sizeof *watch);
    unsigned before = 0, after = 0;

    (void)state;
    for (uint64_t fast = GROUP_MAX * 8; fast < GROUP_MAX * 10; fast += 97) {
        watch_open(watch, AETHER_LATENCY_SAMPLED);
        pace(watch, fast, 20);
        const struct ae_sampling *sampling = &watch->publisher.pub.sampling;
        assert_true(sampling->weight == 12 && sampling->due > watch->seen);
        if (watch->seen < sampling->group_end - GROUP_MAX)
            after++;
        else
            before++;
        const uint64_t count = watch->count;
        let_sleep(watch);
        pace(watch, 1, 5 * MS);
        assert_int_equal(watch->count, count);
        pace(watch, 100, 5 * MS);
        assert_int_equal(watch->count, count + 100);
        assert_int_equal(watch->weight, 0);
        pace(watch, 3 * GROUP_MAX, 20);
        watch_close(watch);
    }
    assert_true(before > 2 && after > 2);
    free(watch);
}

/* The same in a burst, which has a copy of the limit. */
static void a_burst_stamps_what_is_due(void **state) {
    static const unsigned char data[24];
    struct watch *watch = malloc(sizeof *watch);

    (void)state;
    watch_open(watch, AETHER_LATENCY_SAMPLED);
    for (int form = 0; form < 2; form++) {
        aether_burst burst = aether_burst_begin(watch->publisher.handle, form == 0 ? 24 : 17);
        for (int round = 0; round < 20; round++) {
            for (uint64_t i = 0; i < 3 * GROUP_MAX + 7; i++) {
                now += 20;
                assert_int_equal(aether_burst_publish(&burst, data), 0);
                look(watch);
            }
            const uint64_t count = watch->count;
            for (int i = 0; i < 20; i++) {
                let_sleep(watch);
                now += 5 * MS;
                assert_int_equal(aether_burst_publish(&burst, data), 0);
                look(watch);
            }
            assert_true(watch->count >= count + 19);
        }
    }
    watch_close(watch);
    free(watch);
}

static const uint64_t paces[] = {5, 30, 1000, 20 * US, 90 * US, 300 * US, 10 * MS};

/* At any pace and in all forms each group is stamped once: look() checks it after each call. */
static void groups_cover_all_messages(void **state) {
    struct watch *watch = malloc(sizeof *watch);
    uint64_t random = 5;

    (void)state;
    watch_open(watch, AETHER_LATENCY_SAMPLED);
    for (int phase = 0; phase < 600; phase++) {
        const uint64_t ns = paces[next_random(&random) % 7], calls = next_random(&random) % 1000;
        const enum form form = (enum form)(next_random(&random) % FORMS);
        const size_t count = form == BATCH || form == ARRAY ? 1 + next_random(&random) % 60 : 1;
        for (uint64_t i = 0; i < calls; i++) {
            now += ns * (next_random(&random) % 3);
            assert_int_equal(publish_as(watch->publisher.handle, form, 8, count), 0);
            look(watch);
        }
    }
    watch_close(watch);
    free(watch);
}

/* Where pauses end groups early, the stamps stand for as many messages as there are on the average. */
static void groups_that_end_early(void **state) {
    struct watch *watch = malloc(sizeof *watch);
    uint64_t random = 6;

    (void)state;
    watch_open(watch, AETHER_LATENCY_SAMPLED);
    for (int round = 0; round < 2000; round++) {
        pace(watch, 500 + next_random(&random) % 1500, 20);
        let_sleep(watch);
        pace(watch, 2, 5 * MS);
    }
    assert_in_range(watch->weights, watch->seen * 9 / 10, watch->seen * 11 / 10);
    watch_close(watch);
    free(watch);
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

/* A sample counts for as many messages as its stamp says, so the histogram has all messages. */
static void samples_count_their_weight(void **state) {
    struct watch *watch = malloc(sizeof *watch);
    struct test_subscriber subscriber;

    (void)state;
    watch_open(watch, AETHER_LATENCY_SAMPLED);
    subscriber_open(&subscriber, &watch->ring, watch->ring.log_ro, 0, &reliable);
    for (uint64_t i = 0; i < 100000; i++) {
        pace(watch, 1, i % 20000 < 10000 ? 100 : 30 * US);
        now += 777;
        receive_as(&subscriber, (unsigned)i);
        assert_int_equal(bucket(&subscriber, 777), watch->weights);
        assert_int_equal(word(&subscriber.stats.samples), watch->count);
    }
    ae_subscriber_release(&subscriber.sub);
    assert_int_equal(subscriber_figures(&watch->ring, &subscriber).messages, 100000);
    subscriber_close(&subscriber);
    watch_close(watch);
    free(watch);
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
                                            .latency = (aether_latency_mode)(variant / 3)};
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
            .capacity = 64, .max_message = 40, .latency = (aether_latency_mode)(variant % 3)};
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

/* Another publisher is stopped in the middle of a message. */
static void a_stopped_publisher_is_named(void **state) {
    (void)state;
    for (size_t s = 0; s < STARTS; s++) {
        const aether_topic_config config = {
            .capacity = 8, .max_message = 24, .start_seq = starts[s], .publishers = AETHER_PUBLISHERS_UNBIASED};
        struct test_publisher publisher, stopped;
        struct ring ring;
        struct ae_figures figures;

        ring_make_as(&ring, &config);
        publisher_open(&publisher, &ring);
        publisher_open_as(&stopped, &ring, 7, ring.cursors_ro);
        assert_int_equal(publish_as(publisher.handle, PUBLISH, 24, 2), 0);
        assert_int_equal(ae_claim_slow(&stopped.pub, 2), 0);
        assert_int_equal(publish_as(publisher.handle, PUBLISH, 24, 6), 0);
        assert_int_equal(publish_as(publisher.handle, PUBLISH, 24, 1), AETHER_FULL);
        expect_waits(&publisher, AE_WAITS_PUBLISHER, 7, starts[s] + 2);
        /* What it has claimed and not committed isn't counted, if the slots can be read. */
        assert_int_equal(read_publisher(&stopped.stats, ring.log_ro, &ring.geometry, 7, &figures), 1);
        assert_int_equal(figures.messages, 0);
        assert_int_equal(read_publisher(&stopped.stats, ring.log_ro, NULL, 7, &figures), 1);
        assert_int_equal(figures.messages, 2);
        now += MS;
        publisher_die(&stopped);
        assert_int_equal(read_publisher(&stopped.stats, ring.log_ro, &ring.geometry, 7, &figures), 1);
        assert_int_equal(figures.messages, 0);
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
                                            .latency = (aether_latency_mode)(s % 3)};
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
        ae_store_relaxed(&ring.cursors->want.want, word(&ring.log->wake.wake)); /* a subscriber sleeps */
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
        cmocka_unit_test_setup(all_or_none, start_clock),
        cmocka_unit_test_setup(stamps_follow_the_pace, start_clock),
        cmocka_unit_test_setup(positions_are_random, start_clock),
        cmocka_unit_test_setup(a_pause_is_noticed, start_clock),
        cmocka_unit_test_setup(a_burst_stamps_what_is_due, start_clock),
        cmocka_unit_test_setup(groups_cover_all_messages, start_clock),
        cmocka_unit_test_setup(groups_that_end_early, start_clock),
        cmocka_unit_test_setup(receives_fill_the_histogram, start_clock),
        cmocka_unit_test_setup(samples_count_their_weight, start_clock),
        cmocka_unit_test_setup(false_stamps_are_missed, start_clock),
        cmocka_unit_test_setup(bytes_are_exact, start_clock),
        cmocka_unit_test_setup(batches_count_their_bytes, start_clock),
        cmocka_unit_test_setup(a_slow_subscriber_is_named, start_clock),
        cmocka_unit_test_setup(a_stopped_publisher_is_named, start_clock),
        cmocka_unit_test_setup(lane_bytes_are_waited_for, start_clock),
        cmocka_unit_test_setup(losses_have_their_reason, start_clock),
        cmocka_unit_test_setup(skipped_and_aborted, start_clock),
        cmocka_unit_test_setup(wakes_are_counted, start_clock),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
