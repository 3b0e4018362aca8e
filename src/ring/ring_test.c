/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/figures.h"
#include "ring/ring_test.h"
#include "ring/stats.h"
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* Sequences just below 2^47, 2^48, 2^63 and 2^64, where truncated or signed sequences wrap. */
static const uint64_t starts[] = {
    0,
    (1ull << 47) - 3,
    (1ull << 48) - 3,
    (1ull << 48) - 9,
    (1ull << 48) - 100,
    (1ull << 63) - 3,
    UINT64_MAX - 2,
    UINT64_MAX - 100,
};
#define STARTS (sizeof starts / sizeof starts[0])

enum form { ONE, BATCH, POLL, FORMS };

/* What a subscriber has received: each entry is checked, and all are counted. */
struct account {
    const struct ring *ring;
    uint64_t expected; /* sequence of the next entry */
    uint64_t delivered, lost, gaps;
    uint64_t published; /* end of what was published, to judge gaps by */
};

static void take(struct account *account, const aether_message *message) {
    assert_int_equal(message->seq, account->expected);
    if (message->lost != 0) {
        assert_null(message->data);
        assert_int_equal(message->len, 0);
        /* Its first sequence is overwritten, and it ends within what was published. */
        assert_true(account->published - message->seq > account->ring->geometry.capacity);
        assert_true(account->published - message->seq >= message->lost);
        account->lost += message->lost;
        account->gaps++;
        account->expected += message->lost;
        return;
    }
    assert_int_equal((uintptr_t)message->data % 8, 0);
    assert_true(payload_right(message, account->ring->geometry.max_message));
    account->delivered++;
    account->expected++;
}

static int take_one(void *context, const aether_message *message) {
    take(context, message);
    return 0;
}

static int receive_some(aether_subscriber *sub, enum form form, struct account *account) {
    aether_message messages[5];
    int n;

    if (form == POLL)
        return aether_poll(sub, take_one, account, 5);
    n = form == ONE ? aether_receive(sub, messages) : aether_receive_batch(sub, messages, 5);
    for (int i = 0; i < n; i++)
        take(account, &messages[i]);
    return n;
}

static void drain(aether_subscriber *sub, enum form form, struct account *account) {
    while (receive_some(sub, form, account) > 0)
        assert_int_equal(account->expected, aether_subscriber_next(sub));
}

static void assert_conserved(const struct test_subscriber *subscriber, const struct account *account) {
    aether_subscriber_stats stats;
    const struct ae_subscriber *sub = &subscriber->sub;
    ae_account seen;

    aether_subscriber_get_stats(subscriber->handle, &stats);
    assert_int_equal(stats.delivered, account->delivered);
    assert_int_equal(stats.lost, account->lost);
    assert_int_equal(stats.gaps, account->gaps);
    assert_int_equal(stats.delivered + stats.lost + stats.aborted, stats.next - stats.joined);
    assert_int_equal(stats.next, aether_subscriber_next(subscriber->handle));
    /* What other processes see, when the subscriber has found nothing to receive. */
    const uint64_t flips = ae_figures_copy(&subscriber->stats, &seen);
    const ae_cursor_record *shared = sub->cursors != NULL ? &sub->cursors->records[sub->record] : NULL;
    const uint32_t role = sub->cursors != NULL ? AE_ROLE_RELIABLE : AE_ROLE_BEST_EFFORT;
    const ae_u64 *word = ae_figures_cursor(&subscriber->stats, &seen, role, shared);
    const uint64_t cursor = ae_load_acquire(word);
    assert_ptr_equal(word, sub->hot.cursor);
    assert_true(flips != 0 && ae_figures_current(&subscriber->stats, flips));
    assert_int_equal(seen.joined, stats.joined);
    assert_int_equal(seen.lost[0] + seen.lost[1] + seen.lost[2] + seen.lost[3], stats.lost);
    assert_int_equal(seen.gaps, stats.gaps);
    assert_int_equal(seen.aborted, stats.aborted);
    if (sub->policy != AETHER_LATEST)
        assert_int_equal((int64_t)(cursor - seen.next) > 0 ? cursor : seen.next, stats.next);
}

static int publish_next(struct ae_publisher *pub) {
    unsigned char data[AE_INLINE_MAX];
    const size_t len = payload_fill(data, pub->hot.next, pub->hot.max_message);

    return aether_publish(&pub->hot, data, len);
}

static void publish_many(struct ae_publisher *pub, uint64_t count) {
    for (uint64_t i = 0; i < count; i++)
        assert_int_equal(publish_next(pub), 0);
}

static int publish_batch_next(struct ae_publisher *pub, size_t count) {
    static unsigned char data[64][AE_INLINE_MAX];
    struct iovec messages[64];

    for (size_t i = 0; i < count; i++)
        messages[i] = (struct iovec){data[i], payload_fill(data[i], pub->hot.next + i, pub->hot.max_message)};
    return aether_publish_batch(&pub->hot, messages, count);
}

/* ---- form x policy x start ---- */

static uint64_t expected_back(const aether_subscribe_options *options, uint64_t before, uint64_t capacity) {
    const uint64_t retained = before < capacity ? before : capacity;

    if (options->from == AETHER_FROM_NEW)
        return 0;
    if (options->from == AETHER_FROM_OLDEST)
        return retained;
    return options->last < retained ? options->last : retained;
}

/* Publishes `before`, joins, publishes in steps that the subscriber keeps up with, then a full ring or more at once. */
static void run_case(struct ring *ring, enum form form, const aether_subscribe_options *options, uint64_t before) {
    const uint64_t capacity = ring->geometry.capacity, start = ring->geometry.start_seq;
    struct account account = {.ring = ring};
    struct ae_publisher pub;
    struct test_subscriber subscriber;

    ring_reset(ring);
    ae_publisher_init(&pub, &ring->geometry, 0, ring->log, ring->cursors_ro, ring->notes_ro, NULL, &scratch_stats);
    publish_many(&pub, before);
    subscriber_open(&subscriber, ring, ring->log_ro, 7, options);
    account.expected = start + before - expected_back(options, before, capacity);
    assert_int_equal(aether_subscriber_next(subscriber.handle), account.expected);
    account.published = pub.hot.next;
    drain(subscriber.handle, form, &account);
    assert_int_equal(account.expected, pub.hot.next);
    for (uint64_t step = 1; step <= capacity; step++) {
        publish_many(&pub, step);
        account.published = pub.hot.next;
        drain(subscriber.handle, form, &account);
        assert_int_equal(account.expected, pub.hot.next);
        assert_int_equal(account.lost, 0);
        assert_conserved(&subscriber, &account);
    }
    if (options->policy == AETHER_RELIABLE) {
        publish_many(&pub, capacity);
        assert_int_equal(publish_next(&pub), AETHER_FULL);
    } else {
        publish_many(&pub, 2 * capacity + 3);
    }
    account.published = pub.hot.next;
    drain(subscriber.handle, form, &account);
    assert_int_equal(account.expected, pub.hot.next);
    assert_int_equal(account.gaps, options->policy == AETHER_RELIABLE ? 0 : 1);
    assert_int_equal(account.lost, options->policy == AETHER_RELIABLE ? 0 : capacity + capacity / 2 + 3);
    assert_conserved(&subscriber, &account);
    subscriber_close(&subscriber);
    publish_many(&pub, 3 * capacity); /* no subscriber holds it back any more */
}

static void every_form_policy_and_start(void **state) {
    static const uint64_t lasts[] = {0, 1, 3, 16, 1000, UINT64_MAX}, befores[] = {0, 1, 15, 16, 17, 53};

    (void)state;
    for (size_t s = 0; s < STARTS; s++) {
        struct ring ring;
        ring_make(&ring, 16, 8 + s * 9, starts[s]);
        for (int form = ONE; form < FORMS; form++) {
            for (size_t b = 0; b < sizeof befores / sizeof befores[0]; b++) {
                for (int policy = AETHER_RELIABLE; policy <= AETHER_BEST_EFFORT; policy++) {
                    aether_subscribe_options options = {.policy = (aether_policy)policy};
                    run_case(&ring, (enum form)form, &options, befores[b]);
                    options.from = AETHER_FROM_OLDEST;
                    run_case(&ring, (enum form)form, &options, befores[b]);
                    options.from = AETHER_FROM_LAST;
                    for (size_t l = 0; l < sizeof lasts / sizeof lasts[0]; l++) {
                        options.last = lasts[l];
                        run_case(&ring, (enum form)form, &options, befores[b]);
                    }
                }
            }
        }
        ring_free(&ring);
    }
}

/* Retained messages may be overwritten before they are read; from the join on nothing is. */
static void reliable_loses_only_from_before_its_join(void **state) {
    const aether_subscribe_options oldest = {.from = AETHER_FROM_OLDEST};

    (void)state;
    for (size_t s = 0; s < STARTS; s++) {
        for (int form = ONE; form < FORMS; form++) {
            for (uint64_t after = 1; after <= 16; after++) {
                struct account account = {0};
                struct ae_publisher pub;
                struct test_subscriber subscriber;
                struct ring ring;

                ring_make(&ring, 16, 40, starts[s]);
                ae_publisher_init(&pub, &ring.geometry, 3, ring.log, ring.cursors_ro, ring.notes_ro, NULL,
                                  &scratch_stats);
                publish_many(&pub, 40);
                subscriber_open(&subscriber, &ring, ring.log_ro, 63, &oldest);
                publish_many(&pub, after);
                if (after == 16)
                    assert_int_equal(publish_next(&pub), AETHER_FULL);
                account = (struct account){.ring = &ring, .expected = starts[s] + 24, .published = pub.hot.next};
                drain(subscriber.handle, (enum form)form, &account);
                assert_int_equal(account.expected, pub.hot.next);
                assert_int_equal(account.gaps, 1);
                assert_true(account.lost >= after && account.lost <= 16);
                assert_conserved(&subscriber, &account);
                subscriber_close(&subscriber);
                ring_free(&ring);
            }
        }
    }
}

/* ---- the publisher's side ---- */

static void full_ring_and_its_count(void **state) {
    const aether_subscribe_options reliable = {0};

    (void)state;
    for (size_t s = 0; s < STARTS; s++) {
        struct account account, fast_account;
        struct ae_publisher pub;
        struct test_subscriber fast, slow;
        struct ring ring;

        ring_make(&ring, 8, 24, starts[s]);
        account = fast_account = (struct account){.ring = &ring, .expected = starts[s]};
        ae_publisher_init(&pub, &ring.geometry, 5, ring.log, ring.cursors_ro, ring.notes_ro, NULL, &scratch_stats);
        subscriber_open(&fast, &ring, ring.log_ro, 0, &reliable);
        subscriber_open(&slow, &ring, ring.log_ro, 63, &reliable);
        publish_many(&pub, 8);
        drain(fast.handle, BATCH, &fast_account);
        for (uint64_t i = 1; i <= 100; i++) {
            assert_int_equal(publish_next(&pub), AETHER_FULL);
            assert_int_equal(ae_load_relaxed(&scratch_stats.full), i);
            assert_int_equal(pub.hot.next, starts[s] + 8);
        }
        assert_int_equal(receive_some(slow.handle, ONE, &account), 1);
        for (uint64_t i = 0; i < 20; i++) {                    /* receive one, publish one */
            assert_int_equal(publish_next(&pub), AETHER_FULL); /* the last view is still held */
            assert_int_equal(receive_some(slow.handle, ONE, &account), 1);
            assert_int_equal(publish_next(&pub), 0);
            drain(fast.handle, BATCH, &fast_account);
            assert_int_equal(fast_account.expected, pub.hot.next);
        }
        subscriber_close(&slow);
        publish_many(&pub, 1);
        subscriber_close(&fast);
        publish_many(&pub, 100);
        ring_free(&ring);
    }
}

static void batches_are_all_or_nothing(void **state) {
    const aether_subscribe_options reliable = {0};

    (void)state;
    for (size_t s = 0; s < STARTS; s++) {
        struct iovec wrong[3] = {
            {(void *)(uintptr_t) "a", 1}, {(void *)(uintptr_t) "b", 1}, {(void *)(uintptr_t) "c", 25}};
        struct account account = {0};
        struct ae_publisher pub;
        struct test_subscriber subscriber;
        struct ring ring;

        ring_make(&ring, 8, 24, starts[s]);
        account = (struct account){.ring = &ring, .expected = starts[s]};
        ae_publisher_init(&pub, &ring.geometry, 0, ring.log, ring.cursors_ro, ring.notes_ro, NULL, &scratch_stats);
        subscriber_open(&subscriber, &ring, ring.log_ro, 0, &reliable);
        assert_int_equal(publish_batch_next(&pub, 0), 0);
        assert_int_equal(publish_batch_next(&pub, 4), 0);
        assert_int_equal(publish_batch_next(&pub, 3), 0);
        assert_int_equal(publish_batch_next(&pub, 2), AETHER_FULL);
        assert_int_equal(aether_publish_batch(&pub.hot, wrong, 3), -EMSGSIZE);
        assert_int_equal(pub.hot.next, starts[s] + 7);
        assert_int_equal(publish_batch_next(&pub, 1), 0);
        assert_int_equal(publish_batch_next(&pub, 0), 0);
        drain(subscriber.handle, BATCH, &account);
        assert_int_equal(account.delivered, 8);
        for (int i = 0; i < 50; i++) {
            assert_int_equal(publish_batch_next(&pub, (size_t)i % 5), 0);
            drain(subscriber.handle, (enum form)(i % FORMS), &account);
            assert_int_equal(account.expected, pub.hot.next);
        }
        assert_conserved(&subscriber, &account);
        subscriber_close(&subscriber);
        ring_free(&ring);
    }
}

static void refusals_name_the_limit(void **state) {
    struct iovec five[5] = {{NULL, 0}, {NULL, 0}, {NULL, 0}, {NULL, 0}, {NULL, 0}};
    const volatile size_t huge = SIZE_MAX; /* volatile: the compiler would refuse it before the library can */
    unsigned char data[32] = {0};
    struct ae_publisher pub;
    struct ring ring;

    (void)state;
    ring_make(&ring, 8, 27, 0);
    ae_publisher_init(&pub, &ring.geometry, 0, ring.log, ring.cursors_ro, ring.notes_ro, NULL, &scratch_stats);
    assert_int_equal(aether_publish(&pub.hot, data, 28), -EMSGSIZE);
    assert_non_null(strstr(aether_errmsg(), "28"));
    assert_non_null(strstr(aether_errmsg(), "27"));
    assert_int_equal(aether_publish(&pub.hot, data, huge), -EMSGSIZE);
    assert_int_equal(aether_publish_batch(&pub.hot, five, 5), -E2BIG);
    assert_non_null(strstr(aether_errmsg(), "5"));
    assert_non_null(strstr(aether_errmsg(), "4"));
    assert_int_equal(aether_publish_batch(&pub.hot, five, huge), -E2BIG);
    five[1].iov_len = 28;
    assert_int_equal(aether_publish_batch(&pub.hot, five, 2), -EMSGSIZE);
    assert_int_equal(aether_publisher_next(&pub.hot), 0);
    assert_int_equal(aether_publish(&pub.hot, data, 27), 0);
    assert_int_equal(aether_publish(&pub.hot, NULL, 0), 0);
    assert_int_equal(aether_publisher_next(&pub.hot), 2);
    assert_int_equal(aether_publisher_max_message(&pub.hot), 27);
    ring_free(&ring);
}

/* ---- deaths ---- */

static void aborted_slots_are_skipped_and_counted(void **state) {
    (void)state;
    for (int policy = AETHER_RELIABLE; policy <= AETHER_BEST_EFFORT; policy++) {
        for (int form = ONE; form < FORMS; form++) {
            for (unsigned pattern = 0; pattern < 1u << 8; pattern++) {
                const uint64_t start = starts[pattern % STARTS];
                const aether_subscribe_options options = {.policy = (aether_policy)policy};
                const uint64_t aborted = (uint64_t)__builtin_popcount(pattern);
                aether_subscriber_stats stats;
                aether_message messages[8];
                struct ae_publisher pub;
                struct test_subscriber subscriber;
                struct ring ring;
                uint64_t n = 0;
                int rc;

                ring_make(&ring, 8, 16, start);
                ae_publisher_init(&pub, &ring.geometry, 0, ring.log, ring.cursors_ro, ring.notes_ro, NULL,
                                  &scratch_stats);
                subscriber_open(&subscriber, &ring, ring.log_ro, 1, &options);
                publish_many(&pub, 8);
                for (uint64_t i = 0; i < 8; i++) {
                    if (pattern >> i & 1)
                        ae_store_release(ring_tag(&ring, start + i), ae_tag(start + i, AE_KIND_ABORTED, 0));
                }
                do {
                    rc = form == BATCH ? aether_receive_batch(subscriber.handle, messages, 8)
                                       : aether_receive(subscriber.handle, messages);
                    for (int i = 0; i < rc; i++, n++)
                        assert_true(messages[i].lost == 0 && !(pattern >> (messages[i].seq - start) & 1) &&
                                    payload_right(&messages[i], 16));
                } while (rc > 0);
                aether_subscriber_get_stats(subscriber.handle, &stats);
                assert_int_equal(n, 8 - aborted);
                assert_int_equal(stats.delivered, n);
                assert_int_equal(stats.aborted, aborted);
                assert_int_equal(stats.next, start + 8);
                subscriber_close(&subscriber);
                ring_free(&ring);
            }
        }
    }
}

/*
 * A publisher dies in a claim of `count` sequences after it has committed some of them, with or without one more slot
 * BUSY. What it had committed is delivered, the rest is aborted, and the successor goes on behind it.
 */
static void successor_case(uint64_t start, uint64_t before, uint64_t count, uint64_t committed, bool busy) {
    const aether_subscribe_options reliable = {0}, best_effort = {.policy = AETHER_BEST_EFFORT};
    unsigned char data[AE_INLINE_MAX];
    struct account accounts[2];
    struct ae_publisher dead, successor;
    struct test_subscriber subscribers[2];
    struct ring ring;
    uint64_t seq;

    ring_make(&ring, 8, 33, start);
    ae_store_relaxed(&ring.log->stream.open, before & 1); /* with and without the bias */
    ae_publisher_init(&dead, &ring.geometry, 0, ring.log, ring.cursors_ro, ring.notes_ro, NULL, &scratch_stats);
    publish_many(&dead, before);
    seq = dead.hot.next;
    subscriber_open(&subscribers[0], &ring, ring.log_ro, 0, &reliable);
    subscriber_open(&subscribers[1], &ring, ring.log_ro, 0, &best_effort);
    assert_int_equal(ae_claim_next(&dead, count), 0);
    for (uint64_t i = 0; i < committed; i++)
        ae_write_slot(&dead.hot, seq + i, data, payload_fill(data, seq + i, 33));
    if (busy)
        ae_store_release(ring_tag(&ring, seq + committed), ae_tag_busy(seq + committed));
    for (int i = 0; i < 2; i++) { /* what is committed is delivered also after a repair */
        accounts[i] = (struct account){.ring = &ring, .expected = seq, .published = seq + committed};
        drain(subscribers[i].handle, ONE, &accounts[i]);
        assert_int_equal(accounts[i].expected, seq + committed);
    }
    assert_int_equal(ae_claim_repair(ring.log, &ring.geometry, 0), count - committed);
    assert_int_equal(ae_claim_repair(ring.log, &ring.geometry, 0), 0);
    ae_publisher_init(&successor, &ring.geometry, 1, ring.log, ring.cursors_ro, ring.notes_ro, NULL, &scratch_stats);
    assert_int_equal(successor.hot.next, seq + count);
    for (int i = 0; i < 2; i++) { /* the aborted ones are passed over, and counted, without being delivered */
        drain(subscribers[i].handle, ONE, &accounts[i]);
        assert_int_equal(aether_subscriber_next(subscribers[i].handle), seq + count);
        accounts[i].expected = seq + count;
    }
    for (int round = 0; round < 30; round++) {
        publish_many(&successor, 1);
        for (int i = 0; i < 2; i++) {
            accounts[i].published = successor.hot.next;
            drain(subscribers[i].handle, ONE, &accounts[i]);
            assert_int_equal(accounts[i].expected, successor.hot.next);
            assert_int_equal(accounts[i].lost, 0);
            assert_conserved(&subscribers[i], &accounts[i]);
        }
    }
    subscriber_close(&subscribers[0]);
    subscriber_close(&subscribers[1]);
    ring_free(&ring);
}

static void successor_goes_on_without_gap_or_reuse(void **state) {
    (void)state;
    for (size_t s = 0; s < STARTS; s++) {
        for (uint64_t before = 0; before <= 10; before++) {
            for (uint64_t count = 1; count <= 8; count++) {
                for (uint64_t committed = 0; committed <= count; committed++) {
                    successor_case(starts[s], before, count, committed, false);
                    if (committed < count)
                        successor_case(starts[s], before, count, committed, true);
                }
            }
        }
    }
}

/* ---- hostile peers ---- */

/* A word that is plausible, off by little, or anything. */
static uint64_t hostile_seq(uint64_t *random, uint64_t near_seq, uint64_t capacity) {
    const uint64_t r = next_random(random);

    switch (r >> 60) {
    case 0:
        return next_random(random);
    case 1:
        return near_seq + (r >> 8 & 0xff);
    case 2:
        return near_seq - (r >> 8 & 0xff);
    case 3:
        return near_seq + (1ull << 47) + (r & 3) - 2;
    case 4:
        return near_seq + (1ull << 63) + (r & 3) - 2;
    case 5:
        return 0;
    case 6:
        return UINT64_MAX;
    default:
        return near_seq + capacity * (r & 3) - capacity * (r >> 4 & 1);
    }
}

static void poison_log(struct ring *ring, uint64_t *random, bool whole) {
    const uint64_t capacity = ring->geometry.capacity, near_seq = ring->geometry.start_seq + (next_random(random) & 31);

    if (whole) {
        for (size_t off = 0; off < ring->log_object.bytes; off += 8)
            ae_store_relaxed((ae_u64 *)(void *)(ring->log_object.rw + off), next_random(random));
    }
    for (uint64_t i = 0; i < capacity; i++) {
        const uint64_t r = next_random(random);
        const uint64_t seq =
            (r & 3) != 0 ? near_seq + ((i - near_seq) & (capacity - 1)) : hostile_seq(random, near_seq, capacity);
        const uint64_t kind = (r & 0x1c) != 0 ? AE_KIND_INLINE + (r >> 8 & 3) % 3 : r >> 8 & 15;
        const uint64_t len = (r & 0x60) != 0 ? (r >> 16) % (ring->geometry.max_message + 2) : r >> 16 & 0xfff;
        ae_store_relaxed(ring_tag(ring, i), ae_tag(seq, kind, len));
    }
    ae_store_relaxed(&ring->log->claim.position, hostile_seq(random, near_seq, capacity));
    ae_store_relaxed(&ring->log->claim.claim,
                     ae_claim_word(hostile_seq(random, near_seq, capacity), next_random(random) & 3, 0));
}

static uint64_t byte_sum; /* of every byte that was received: a wrong pointer or length crashes here */

static int inspect_entry(const struct test_subscriber *subscriber, const struct ring *ring,
                         const aether_message *message) {
    const unsigned char *data = message->data, *slots = (const unsigned char *)ring->log_ro + ring->geometry.slots_off;
    const size_t stride = ring->geometry.slot_size - AE_SLOT_HEADER;

    if (message->lost != 0) {
        assert_null(data);
        assert_int_equal(message->len, 0);
        return 0;
    }
    assert_true(message->len <= ring->geometry.max_message);
    if (data >= slots && data < slots + ring->geometry.capacity * ring->geometry.slot_size)
        assert_int_equal((size_t)(data - slots) % ring->geometry.slot_size, AE_SLOT_HEADER);
    else
        assert_true(data >= subscriber->copies && data + stride <= subscriber->copies + subscriber->copies_bytes);
    for (size_t i = 0; i < message->len; i++)
        byte_sum += data[i];
    return 0;
}

struct hostile_poll {
    const struct test_subscriber *subscriber;
    const struct ring *ring;
};

static int inspect_polled(void *context, const aether_message *message) {
    const struct hostile_poll *poll = context;

    return inspect_entry(poll->subscriber, poll->ring, message);
}

static void hostile_receive(struct ring *ring, uint64_t *random) {
    const uint64_t r = next_random(random);
    const aether_subscribe_options options = {.policy = (aether_policy)(r & 1),
                                              .from = (aether_from)((r >> 1) % 3),
                                              .last = next_random(random) >> (r >> 8 & 63)};
    static struct test_subscriber subscriber; /* one set of copies for all rounds */
    aether_subscriber_stats stats;
    aether_message messages[24];

    if (subscriber.copies == NULL) {
        subscriber.copies_bytes =
            ae_subscriber_copies_bytes(&ring->geometry, &(aether_subscribe_options){.from = AETHER_FROM_OLDEST});
        subscriber.copies = guarded_map(subscriber.copies_bytes, PROT_READ | PROT_WRITE, -1);
    }
    ae_subscriber_init(&subscriber.sub, &ring->geometry, r >> 16 & 63, ring->log_ro,
                       options.policy == AETHER_RELIABLE ? ring->cursors : NULL, ring->notes, &options,
                       ae_subscriber_copies_bytes(&ring->geometry, &options) != 0 ? subscriber.copies : NULL,
                       &scratch_stats);
    subscriber.handle = &subscriber.sub.hot;
    for (int call = 0; call < 12; call++) {
        const int form = (int)(next_random(random) % FORMS);
        int n;
        if (form == POLL) {
            n = aether_poll(subscriber.handle, inspect_polled, &(struct hostile_poll){&subscriber, ring}, 24);
        } else {
            n = form == ONE ? aether_receive(subscriber.handle, messages)
                            : aether_receive_batch(subscriber.handle, messages, 24);
            for (int i = 0; i < n; i++)
                inspect_entry(&subscriber, ring, &messages[i]);
        }
        assert_true((n >= 0 && n <= 24) || n == -EBADMSG);
        aether_subscriber_get_stats(subscriber.handle, &stats);
        assert_int_equal(stats.delivered + stats.lost + stats.aborted, stats.next - stats.joined);
        if (next_random(random) % 4 == 0) /* the next call finds all words changed */
            ae_store_relaxed(ring_tag(ring, next_random(random)),
                             ae_tag(hostile_seq(random, stats.next, 8), next_random(random) & 3, 1));
    }
    ae_subscriber_leave(&subscriber.sub);
}

static void hostile_publish(struct ring *ring, uint64_t *random) {
    static unsigned char data[AE_INLINE_MAX];
    struct iovec messages[4] = {{data, 1}, {data, 16}, {NULL, 0}, {data, 3}};
    struct ae_publisher pub;
    uint64_t next;

    ae_store_relaxed(&ring->cursors->active.active, next_random(random) & next_random(random));
    ae_publisher_init(&pub, &ring->geometry, next_random(random) & 63, ring->log, ring->cursors_ro, ring->notes_ro,
                      NULL, &scratch_stats);
    for (int call = 0; call < 24; call++) {
        for (unsigned i = 0; i < AE_SUBSCRIBERS_MAX / 8; i++)
            ae_store_relaxed(&ring->cursors->records[next_random(random) & 63].cursor,
                             hostile_seq(random, pub.hot.next, 8));
        next = pub.hot.next;
        const int rc = call % 2 == 0
                           ? aether_publish(&pub.hot, data, next_random(random) % (ring->geometry.max_message + 1))
                           : aether_publish_batch(&pub.hot, messages, 4);
        assert_true(rc == 0 || (rc == AETHER_FULL && pub.hot.next == next));
        /* Whatever cursors and intents hold, the publisher never takes more than one ring for free. */
        assert_true(rc != 0 || pub.hot.limit - pub.hot.next <= ring->geometry.capacity);
    }
}

#ifdef __SANITIZE_ADDRESS__
#define HOSTILE_ROUNDS 25000 /* that build runs them at a quarter of the speed */
#else
#define HOSTILE_ROUNDS 100000
#endif

/* The slots of this ring end exactly where its guard page begins. */
static void hostile_words_with(uint64_t seed) {
    uint64_t random = seed;

    for (size_t s = 0; s < STARTS; s++) {
        struct ring ring;
        const aether_topic_config config = {.capacity = 8,
                                            .max_message = s % 2 == 0 ? 504 : 4088,
                                            .start_seq = starts[s],
                                            .latency = (aether_latency_mode)(1 + s % 3)};
        ring_make_as(&ring, &config);
        if (config.latency == AETHER_LATENCY_OFF)
            assert_int_equal(ring.geometry.slots_off + 8 * ring.geometry.slot_size, ring.geometry.log_bytes);
        for (uint64_t round = 0; round < HOSTILE_ROUNDS / STARTS; round++) {
            poison_log(&ring, &random, round % 64 == 0);
            hostile_receive(&ring, &random);
            if (round % 64 == 0) {
                for (size_t off = 0; off < ring.cursors_object.bytes; off += 8)
                    ae_store_relaxed((ae_u64 *)(void *)(ring.cursors_object.rw + off), next_random(&random));
                for (size_t off = 0; off < ring.notes_object.bytes; off += 8)
                    ae_store_relaxed((ae_u64 *)(void *)(ring.notes_object.rw + off), next_random(&random));
            }
            hostile_publish(&ring, &random);
        }
        ring_free(&ring);
    }
}

static void hostile_words_do_no_harm(void **state) {
    (void)state;
    hostile_words_with(20260101);
    hostile_words_with(5);
}

/* One slot, every kind and every length, in the place of the next message. */
static void every_tag(void **state) {
    (void)state;
    for (int policy = AETHER_RELIABLE; policy <= AETHER_BEST_EFFORT; policy++) {
        const aether_subscribe_options options = {.policy = (aether_policy)policy};
        struct test_subscriber subscriber;
        struct ring ring;

        ring_make(&ring, 8, 500, 40);
        for (uint64_t tag = 0; tag <= 0xffff; tag++) {
            const uint64_t kind = tag >> 12, plain = kind & ~AE_KIND_STAMPED, len = tag & 0xfff;
            aether_message message;
            int rc;

            ring_reset(&ring);
            ae_store_release(ring_tag(&ring, 40), ae_tag(40, 0, 0) | tag);
            if (tag == 0)
                subscriber_open(&subscriber, &ring, ring.log_ro, 0, &options);
            subscriber.sub.hot.next = 40;
            rc = aether_receive(subscriber.handle, &message);
            if (kind == AE_KIND_BUSY || plain == AE_KIND_ABORTED)
                assert_int_equal(rc, 0);
            else if (plain == AE_KIND_INLINE && len <= 500)
                assert_true(rc == 1 && message.seq == 40 && message.len == len);
            else
                assert_int_equal(rc, -EBADMSG);
            assert_int_equal(subscriber.sub.hot.next, 40 + (rc == 1 || plain == AE_KIND_ABORTED));
        }
        assert_non_null(strstr(aether_errmsg(), "sequence 40"));
        subscriber_close(&subscriber);
        ring_free(&ring);
    }
}

/* Impossible cursors: one ahead of the claim doesn't hold the publisher back, one far behind counts as a full ring. */
static void lying_cursors(void **state) {
    static const struct {
        uint64_t behind;
        int first;
    } cases[] = {{0, 0},           {(uint64_t)-1, 0}, {(uint64_t)-1000000, 0},   {7, 0},
                 {8, AETHER_FULL}, {9, AETHER_FULL},  {1ull << 62, AETHER_FULL}, {1ull << 63, 0}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ae_publisher pub;
        struct ring ring;

        ring_make(&ring, 8, 8, 100);
        ae_publisher_init(&pub, &ring.geometry, 0, ring.log, ring.cursors_ro, ring.notes_ro, NULL, &scratch_stats);
        ae_store_relaxed(&ring.cursors->records[13].cursor, 100 - cases[i].behind);
        ae_store_relaxed(&ring.cursors->active.active, 1ull << 13);
        assert_int_equal(publish_next(&pub), cases[i].first);
        ae_store_relaxed(&ring.cursors->active.active, 0);
        publish_many(&pub, 20);
        ring_free(&ring);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_policy_and_start),
        cmocka_unit_test(reliable_loses_only_from_before_its_join),
        cmocka_unit_test(full_ring_and_its_count),
        cmocka_unit_test(batches_are_all_or_nothing),
        cmocka_unit_test(refusals_name_the_limit),
        cmocka_unit_test(aborted_slots_are_skipped_and_counted),
        cmocka_unit_test(successor_goes_on_without_gap_or_reuse),
        cmocka_unit_test(every_tag),
        cmocka_unit_test(lying_cursors),
        cmocka_unit_test(hostile_words_do_no_harm),
    };

    alarm(900); /* an endless loop ends here */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
