/* SPDX-License-Identifier: Apache-2.0 */
/* figures_test.c - accounts that make sense, and those that don't; messages since an account. */
#include "ring/figures.h"
#include "ring/ring_test.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void subscribers(void **state) {
    const ae_account good = {.joined = 10,
                             .next = 30,
                             .bytes = 99,
                             .lost = {1, 2, 3, 0},
                             .gaps = 6,
                             .aborted = 4,
                             .skipped = 5,
                             .evicted = 7};
    struct ae_figures f;

    (void)state;
    assert_true(ae_figures_of_subscriber(&good, 0, 0, 30, &f));
    assert_int_equal(f.next, 30);
    assert_int_equal(f.messages, 5);
    assert_int_equal(f.lost, 6);
    assert_int_equal(f.evicted, 1);
    assert_true(ae_figures_of_subscriber(&good, 32, 0, 40, &f)); /* two more have been delivered since */
    assert_int_equal(f.next, 32);
    assert_int_equal(f.messages, 7);
    assert_int_equal(f.messages + f.lost + f.aborted + f.skipped, f.next - f.joined);
    assert_true(ae_figures_of_subscriber(&good, 29, 0, 30, &f)); /* a cursor may be behind */
    assert_int_equal(f.next, 30);
    assert_true(ae_figures_of_subscriber(&good, 32, 0, 31, &f)); /* one beyond the end says nothing */
    assert_int_equal(f.next, 30);
    assert_false(ae_figures_of_subscriber(&good, 0, 0, 29, &f));

    for (int i = 0; i < 7; i++) {
        ae_account bad = good;
        uint64_t *const fields[] = {&bad.joined,  &bad.lost[0], &bad.lost[3], &bad.aborted,
                                    &bad.skipped, &bad.gaps,    &bad.next};
        *fields[i] = i == 0 ? 31 : i == 6 ? 9 : 12;
        assert_false(ae_figures_of_subscriber(&bad, 0, 0, 30, &f));
        *fields[i] = UINT64_MAX - 1;
        assert_false(i > 0 && ae_figures_of_subscriber(&bad, 0, 0, 30, &f));
    }
    /* Sequences may be any numbers, also across 2^64. */
    const ae_account wrapped = {.joined = UINT64_MAX - 1, .next = 3, .lost = {5}, .gaps = 1};
    assert_true(ae_figures_of_subscriber(&wrapped, 3, UINT64_MAX - 1, 3, &f));
    assert_int_equal(f.messages, 0);
}

static void publishers(void **state) {
    const ae_account good = {.joined = 10, .next = 30, .messages = 7, .bytes = 99, .batches = 3};
    ae_account bad = good;
    struct ae_figures f;

    (void)state;
    assert_true(ae_figures_of_publisher(&good, 5, 0, 40, &f));
    assert_int_equal(f.messages, 12);
    assert_int_equal(f.bytes, 99);
    assert_int_equal(f.batches, 3);
    assert_false(ae_figures_of_publisher(&good, 5, 0, 29, &f));
    assert_false(ae_figures_of_publisher(&good, 5, 11, 40, &f));
    assert_false(ae_figures_of_publisher(&good, 34, 0, 40, &f)); /* more messages than the topic has had */
    assert_false(ae_figures_of_publisher(&good, UINT64_MAX, 0, 40, &f));
    bad.messages = UINT64_MAX;
    assert_false(ae_figures_of_publisher(&bad, 5, 0, 40, &f));
    bad = good;
    bad.joined = 31;
    assert_false(ae_figures_of_publisher(&bad, 0, 0, 40, &f));
}

/* A client that was granted a publisher or subscriber 1000 ns ago, at 5000, says that it has done all there is. */
static void what_is_counted_is_limited(void **state) {
    static ae_stats_record copy; /* too large for the stack */
    ae_account account;

    (void)state;
    memset(&copy, 0xff, sizeof copy);
    memset(&account, 0xff, sizeof account);
    ae_figures_limit(&copy, &account, 5000, 6000);
    const uint64_t counts[] = {copy.full.v,  copy.stalls.v,   copy.stall_longest.v, copy.retries.v,
                               copy.wakes.v, account.batches, account.stall_ns};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        assert_int_equal(counts[i], 1000);
    assert_int_equal(copy.sleeps.v, 1000 / 256);
    assert_int_equal(copy.woken.v, copy.sleeps.v);
    /* The present stall and those before it are no longer than that together. */
    account.stalled_since = 1;
    account.stall_ns = UINT64_MAX;
    copy.waits_since.v = 1;
    ae_figures_limit(&copy, &account, 5000, 6000);
    assert_int_equal(account.stalled_since, 5000);
    assert_int_equal(account.stall_ns, 0);
    assert_int_equal(copy.waits_since.v, 5000);
    account.stalled_since = 5900;
    account.stall_ns = UINT64_MAX;
    ae_figures_limit(&copy, &account, 5000, 6000);
    uint64_t present;
    assert_int_equal(ae_figures_stalled(&account, 6000, 6000, &present), 1000);
    assert_int_equal(present, 100);
}

static void what_is_possible_stays(void **state) {
    static ae_stats_record copy, before;
    ae_account account = {.batches = 999, .stall_ns = 700, .stalled_since = 5700}, same = account;

    (void)state;
    copy.full.v = copy.stalls.v = copy.stall_longest.v = copy.retries.v = copy.wakes.v = 1000;
    copy.sleeps.v = copy.woken.v = 3;
    copy.waits_since.v = 5700;
    before = copy;
    ae_figures_limit(&copy, &account, 5000, 6000);
    assert_memory_equal(&copy, &before, sizeof copy);
    assert_memory_equal(&account, &same, sizeof account);
    /* Without a stall; and where the clock is behind aetherd's, as in another time namespace. */
    account.stalled_since = same.stalled_since = 0;
    account.stall_ns = same.stall_ns = 1000;
    ae_figures_limit(&copy, &account, 5000, 6000);
    ae_figures_limit(&copy, &account, 5000, 4000);
    assert_memory_equal(&account, &same, sizeof account);
}

static void nothing_is_from_before_the_grant(void **state) {
    const ae_geometry geometry = {.start_seq = UINT64_MAX - 99, .capacity = 64};
    const uint64_t start = geometry.start_seq;

    (void)state;
    assert_int_equal(ae_figures_start(&geometry, start, start), start);
    assert_int_equal(ae_figures_start(&geometry, start + 64, start + 900), start);
    assert_int_equal(ae_figures_start(&geometry, start + 65, start + 900), start + 1);
    assert_int_equal(ae_figures_start(&geometry, start + 900, start + 900), start + 836);
    assert_int_equal(ae_figures_start(&geometry, start + 901, start + 900), start); /* not claimed yet */
    assert_int_equal(ae_figures_start(&geometry, start - 1, start + 900), start);
}

static void histograms_have_no_more_than_there_was(void **state) {
    static ae_stats_record copy;
    static uint64_t buckets[AE_HISTOGRAM_BUCKETS];
    uint64_t *const others[] = {&copy.negative.v, &copy.missed.v, &copy.samples.v};

    (void)state;
    const uint64_t most = 2 * 10 + AE_PUBLISHERS_MAX * 2 * 4096;

    copy.samples.v = 10;
    buckets[3] = most;
    assert_true(ae_figures_measured(&copy, buckets, 10));
    assert_false(ae_figures_measured(&copy, buckets, 9));
    assert_false(ae_figures_measured(&copy, buckets, UINT64_MAX));
    copy.overflow.v = 1;
    assert_false(ae_figures_measured(&copy, buckets, 10));
    copy.overflow.v = UINT64_MAX;
    assert_false(ae_figures_measured(&copy, buckets, 10));
    copy.overflow.v = 0;
    buckets[5] = buckets[6] = 1ull << 63; /* their sum is 0 in 64 bits */
    assert_false(ae_figures_measured(&copy, buckets, 10));
    buckets[5] = buckets[6] = 0;
    for (size_t i = 0; i < 3; i++) {
        *others[i] = most + 1;
        assert_false(ae_figures_measured(&copy, buckets, 10));
        *others[i] = most;
        assert_true(ae_figures_measured(&copy, buckets, 10));
    }
}

static uint64_t since(const struct ring *ring, const struct test_publisher *p, uint32_t record, ae_account *account) {
    memcpy(account, &p->stats.account[p->stats.flips.v & 1], sizeof *account);
    return ae_figures_since(ring->log, &ring->geometry, record, account->next);
}

/* Publishes through the real code, and compares with what each account and intent say at any moment. */
static void messages_since(void **state) {
    (void)state;
    for (unsigned kind = AE_PUBLISHERS_SHARED; kind <= AE_PUBLISHERS_UNBIASED; kind++) {
        const aether_topic_config config = {.max_message = 8,
                                            .capacity = 64,
                                            .start_seq = (1ull << 48) - 20,
                                            .publishers = (aether_publishers)ae_geometry_stated(kind)};
        const uint32_t both = kind == AE_PUBLISHERS_EXCLUSIVE ? 1 : 2;
        struct test_publisher p[2];
        uint64_t counts[2] = {0};
        struct ring ring;
        ae_account account;

        ring_make_as(&ring, &config);
        for (uint32_t i = 0; i < both; i++)
            publisher_open_as(&p[i], &ring, 3 + i, ring.cursors_ro);
        for (uint64_t turn = 0; turn < 300; turn++) {
            const uint32_t i = both == 2 ? (turn / 7 + turn % 3) % 2 : 0;
            assert_int_equal(aether_publish(p[i].handle, &turn, sizeof turn), 0);
            counts[i]++;
            for (uint32_t r = 0; r < both; r++) {
                const uint64_t count = since(&ring, &p[r], 3 + r, &account);
                assert_int_equal(account.messages + count, counts[r]);
                assert_int_equal(ae_figures_since(ring.log, NULL, 3 + r, account.next), count);
            }
        }
        for (uint32_t i = 0; i < both; i++)
            publisher_close(&p[i]);
        ring_free(&ring);
    }
}

/* A publisher dies in a batch of three: one message is committed, the next is being written. */
static void uncommitted_messages_do_not_count(void **state) {
    const aether_topic_config config = {
        .max_message = 8, .capacity = 64, .publishers = AETHER_PUBLISHERS_EXCLUSIVE, .start_seq = 7};
    struct test_publisher p;
    ae_account account;
    struct ring ring;

    (void)state;
    ring_make_as(&ring, &config);
    publisher_open(&p, &ring);
    for (uint64_t turn = 0; turn < 100; turn++)
        assert_int_equal(aether_publish(p.handle, &turn, sizeof turn), 0);
    const uint64_t next = p.handle->next, before = since(&ring, &p, 0, &account);
    ae_store_release(&ring.log->publishers[0].intent, ae_intent(next, 3));
    assert_int_equal(since(&ring, &p, 0, &account), before);
    ae_store_release(ring_tag(&ring, next), ae_tag(next, AE_KIND_INLINE, 8));
    ae_store_release(ring_tag(&ring, next + 1), ae_tag_busy(next + 1));
    assert_int_equal(since(&ring, &p, 0, &account), before + 1);
    assert_int_equal(ae_figures_since(ring.log, NULL, 0, account.next), before + 3);
    assert_int_equal(ae_topic_retire_publisher(ring.log, &ring.geometry, 0, 1), 2);
    assert_int_equal(since(&ring, &p, 0, &account), before + 1); /* the aborted ones don't count, either */
    free(p.buffer);
    ring_free(&ring);
}

/*
 * A message counts while its slot is being overwritten, whatever the sequence: the tag of BUSY is never that of a fresh
 * slot, although the 48 bits of 2^48 - 1 are 0 in it.
 */
static void overwritten_messages_count(void **state) {
    const aether_topic_config config = {
        .max_message = 8, .capacity = 8, .publishers = AETHER_PUBLISHERS_UNBIASED, .start_seq = (1ull << 48) - 9};
    struct test_publisher p;
    ae_account account;
    struct ring ring;
    uint64_t before = 0;

    (void)state;
    ring_make_as(&ring, &config);
    publisher_open(&p, &ring);
    assert_int_equal(aether_publish(p.handle, &before, sizeof before), 0);
    before = since(&ring, &p, 0, &account);
    assert_int_equal(account.messages + before, 1);
    ae_store_release(ring_tag(&ring, config.start_seq + 8), ae_tag_busy(config.start_seq + 8));
    assert_int_equal(since(&ring, &p, 0, &account), before);
    for (uint64_t seq = config.start_seq; seq < config.start_seq + 16; seq++) {
        assert_int_not_equal(ae_tag_busy(seq), 0);
        assert_true(ae_tag_pending(ae_tag_busy(seq), seq) && !ae_tag_pending(ae_tag_busy(seq + 8), seq));
    }
    free(p.buffer);
    ring_free(&ring);
}

/* An intent whose claim another publisher has won counts only up to where it begins. */
static void lost_claims_do_not_count(void **state) {
    const aether_topic_config config = {.max_message = 8, .capacity = 64, .publishers = AETHER_PUBLISHERS_UNBIASED};
    struct test_publisher p[2];
    const uint64_t word = 0;
    ae_account account;
    struct ring ring;

    (void)state;
    ring_make_as(&ring, &config);
    for (uint32_t i = 0; i < 2; i++)
        publisher_open_as(&p[i], &ring, i, ring.cursors_ro);
    for (int i = 0; i < 5; i++)
        assert_int_equal(aether_publish(p[0].handle, &word, sizeof word), 0);
    const uint64_t before = since(&ring, &p[0], 0, &account);
    ae_store_release(&ring.log->publishers[0].intent, ae_intent(p[0].handle->next, 1));
    assert_int_equal(aether_publish(p[1].handle, &word, sizeof word), 0);
    assert_int_equal(since(&ring, &p[0], 0, &account), before);
    assert_int_equal(since(&ring, &p[1], 1, &account) + account.messages, 1);
    for (int i = 0; i < 2; i++)
        publisher_close(&p[i]);
    ring_free(&ring);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(subscribers),
        cmocka_unit_test(publishers),
        cmocka_unit_test(what_is_counted_is_limited),
        cmocka_unit_test(what_is_possible_stays),
        cmocka_unit_test(nothing_is_from_before_the_grant),
        cmocka_unit_test(histograms_have_no_more_than_there_was),
        cmocka_unit_test(messages_since),
        cmocka_unit_test(uncommitted_messages_do_not_count),
        cmocka_unit_test(overwritten_messages_count),
        cmocka_unit_test(lost_claims_do_not_count),
    };

    return cmocka_run_group_tests_name("figures", tests, NULL, NULL);
}
