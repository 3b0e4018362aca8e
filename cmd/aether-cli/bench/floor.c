/* SPDX-License-Identifier: Apache-2.0 */
/* floor.c - the ping-pong of two cache lines. */
#include "floor.h"
#include "ticks.h"
#include <string.h>

#define TRIPS 50000u /* in each half */

void bench_floor_ping(struct bench_arena *arena, struct histogram *h) {
    uint64_t last = bench_ticks();

    memset(h, 0, sizeof *h);
    for (uint64_t i = 1; i <= TRIPS; i++) {
        __atomic_store_n(&arena->ping.v, i, __ATOMIC_RELEASE);
        while (__atomic_load_n(&arena->pong.v, __ATOMIC_ACQUIRE) != i)
            continue;
        const uint64_t now = bench_ticks();
        histogram_add(h, now - last);
        last = now;
    }
    __atomic_store_n(&arena->ping.v, 0, __ATOMIC_RELEASE);
    while (__atomic_load_n(&arena->pong.v, __ATOMIC_ACQUIRE) != 0)
        continue;
}

void bench_floor_pong(struct bench_arena *arena) {
    for (uint64_t i = 1; i <= TRIPS; i++) {
        while (__atomic_load_n(&arena->ping.v, __ATOMIC_ACQUIRE) != i)
            continue;
        __atomic_store_n(&arena->pong.v, i, __ATOMIC_RELEASE);
    }
    while (__atomic_load_n(&arena->ping.v, __ATOMIC_ACQUIRE) != 0)
        continue;
    __atomic_store_n(&arena->pong.v, 0, __ATOMIC_RELEASE);
}

bool bench_floor_steady(const struct histogram *before, const struct histogram *after) {
    const double a = histogram_ns(before, 0.5), b = histogram_ns(after, 0.5);

    return a <= b * 1.25 && b <= a * 1.25;
}
