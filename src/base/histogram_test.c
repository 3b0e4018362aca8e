/* SPDX-License-Identifier: Apache-2.0 */
/* histogram_test.c - edges of every bucket; quantiles against those of the sorted values. */
#include "base/histogram.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define VALUES 20000u
#define TOP (1ull << 42)

static uint64_t values[VALUES], buckets[AE_HISTOGRAM_BUCKETS];

static uint64_t next_random(uint64_t *state) {
    *state = *state * 6364136223846793005ull + 1442695040888963407ull;
    return *state >> 11;
}

static void every_edge(void **state) {
    (void)state;
    assert_int_equal(ae_histogram_floor(0), 0);
    for (unsigned i = 0; i < AE_HISTOGRAM_BUCKETS; i++) {
        const uint64_t floor = ae_histogram_floor(i), next = ae_histogram_floor(i + 1);
        assert_true(floor < next);
        assert_int_equal(ae_histogram_index(floor), i);
        assert_int_equal(ae_histogram_index(next - 1), i);
        assert_int_equal(ae_histogram_index(floor + (next - floor) / 2), i);
        assert_true((next - floor) * 16 <= (floor > 16 ? floor : 16));
    }
    assert_int_equal(ae_histogram_floor(AE_HISTOGRAM_BUCKETS), TOP);
    assert_int_equal(ae_histogram_floor(AE_HISTOGRAM_BUCKETS + 1), TOP);
    assert_int_equal(ae_histogram_floor(UINT32_MAX), TOP);
    assert_int_equal(ae_histogram_index(TOP - 1), AE_HISTOGRAM_BUCKETS - 1);
    assert_int_equal(ae_histogram_index(TOP), AE_HISTOGRAM_BUCKETS);
    assert_int_equal(ae_histogram_index(UINT64_MAX), AE_HISTOGRAM_BUCKETS);
}

static int by_value(const void *a, const void *b) {
    const uint64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

/* The smallest value that the share q of the sorted values doesn't exceed. q: in thousandths. */
static uint64_t exact(unsigned q) {
    const unsigned rank = (unsigned)(((uint64_t)q * VALUES + 999) / 1000);

    return values[rank > 0 ? rank - 1 : 0];
}

/* Whatever the distribution, each quantile is at most 1/32 off. */
static void check(uint64_t draw(uint64_t *state)) {
    uint64_t random = 1;

    memset(buckets, 0, sizeof buckets);
    for (unsigned i = 0; i < VALUES; i++) {
        values[i] = draw(&random);
        buckets[ae_histogram_index(values[i])]++;
    }
    qsort(values, VALUES, sizeof values[0], by_value);
    assert_int_equal(ae_histogram_count(buckets), VALUES);
    for (unsigned q = 0; q <= 1000; q++) {
        const double found = ae_histogram_quantile(buckets, q / 1000.0), right = (double)exact(q);
        assert_true(found >= right - right / 32 && found <= right + right / 32);
    }
}

static uint64_t constant(uint64_t *state) {
    (void)state;
    return 123456;
}

static uint64_t small(uint64_t *state) {
    return next_random(state) % 16;
}

static uint64_t uniform(uint64_t *state) {
    return next_random(state) % 1000000;
}

/* The sum of geometric steps: about exponential. */
static uint64_t exponential(uint64_t *state) {
    uint64_t sum = 0;

    while (next_random(state) % 1000 != 0 && sum < TOP / 2)
        sum += 100;
    return sum;
}

static uint64_t bimodal(uint64_t *state) {
    return next_random(state) % 10 < 9 ? 200 + next_random(state) % 20 : 5000000 + next_random(state) % 1000;
}

/* Each power of two is half as likely as the one before. */
static uint64_t heavy(uint64_t *state) {
    uint64_t scale = 100;

    while (next_random(state) % 2 == 0 && scale < TOP / 4)
        scale *= 2;
    return scale + next_random(state) % scale;
}

static uint64_t whole_range(uint64_t *state) {
    const uint64_t value = next_random(state);

    return value >> (11 + value % 42);
}

static void distributions(void **state) {
    (void)state;
    check(constant);
    check(small);
    check(uniform);
    check(exponential);
    check(bimodal);
    check(heavy);
    check(whole_range);
}

static void odd_arguments(void **state) {
    (void)state;
    memset(buckets, 0, sizeof buckets);
    assert_true(ae_histogram_quantile(buckets, 0.5) == -1);
    buckets[3] = 1;
    buckets[5] = 99;
    assert_true(ae_histogram_quantile(buckets, -1) == 3);
    assert_true(ae_histogram_quantile(buckets, 0) == 3);
    assert_true(ae_histogram_quantile(buckets, 0.01) == 3);
    assert_true(ae_histogram_quantile(buckets, 0.0100001) == 5);
    assert_true(ae_histogram_quantile(buckets, 1) == 5);
    assert_true(ae_histogram_quantile(buckets, 2) == 5);
    assert_true(ae_histogram_quantile(buckets, __builtin_inf()) == 5);
    assert_true(ae_histogram_quantile(buckets, __builtin_nan("")) == 3);
    buckets[5] = 0;
    buckets[AE_HISTOGRAM_BUCKETS - 1] = 1;
    assert_true(ae_histogram_quantile(buckets, 1) < (double)TOP);
}

/* 7 of 100 and the like are whole numbers, although the product of the doubles is a little more. */
static void whole_shares(void **state) {
    (void)state;
    memset(buckets, 0, sizeof buckets);
    for (unsigned i = 1; i <= 15; i++)
        buckets[i] = 1000000;
    for (unsigned i = 1; i <= 15; i++)
        assert_true(ae_histogram_quantile(buckets, i / 15.0) == i);
    memset(buckets, 0, sizeof buckets);
    buckets[1] = 7;
    buckets[2] = 93;
    assert_true(ae_histogram_quantile(buckets, 0.07) == 1);
}

static void saturates(void **state) {
    static uint64_t other[AE_HISTOGRAM_BUCKETS];

    (void)state;
    memset(buckets, 0xff, sizeof buckets);
    memset(other, 0xff, sizeof other);
    assert_true(ae_histogram_count(buckets) == UINT64_MAX);
    assert_true(ae_histogram_quantile(buckets, 0) == 0);
    assert_true(ae_histogram_quantile(buckets, 0.999999) == 0); /* the sum is no more than the first bucket */
    ae_histogram_add(buckets, other);
    assert_true(buckets[0] == UINT64_MAX && buckets[AE_HISTOGRAM_BUCKETS - 1] == UINT64_MAX);
    memset(buckets, 0, sizeof buckets);
    buckets[7] = 2;
    memset(other, 0, sizeof other);
    other[7] = 3;
    other[8] = UINT64_MAX - 1;
    ae_histogram_add(buckets, other);
    assert_true(buckets[7] == 5 && buckets[8] == UINT64_MAX - 1);
    assert_true(ae_histogram_count(buckets) == UINT64_MAX);
    assert_true(ae_histogram_quantile(buckets, 1) == 8);
    assert_true(ae_saturating_add(UINT64_MAX, 1) == UINT64_MAX && ae_saturating_add(1, 2) == 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_edge),   cmocka_unit_test(distributions), cmocka_unit_test(odd_arguments),
        cmocka_unit_test(whole_shares), cmocka_unit_test(saturates),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
