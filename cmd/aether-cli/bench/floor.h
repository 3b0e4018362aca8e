/* SPDX-License-Identifier: Apache-2.0 */
/*
 * floor.h - the floor: the round trip of a bare cache line between the parent and child 0. No message between two cores
 * can be faster.
 */
#ifndef AETHER_CLI_BENCH_FLOOR_H
#define AETHER_CLI_BENCH_FLOOR_H

#include "arena.h"
#include "histogram.h"
#include <stdbool.h>

/* The parent's side: times each round trip. Spins until child 0 has answered all. */
void bench_floor_ping(struct bench_arena *arena, struct histogram *h);

/* Child 0's side: answers all. */
void bench_floor_pong(struct bench_arena *arena);

/* True if the two halves of a floor, taken before and after a run, agree within 25 %. */
bool bench_floor_steady(const struct histogram *before, const struct histogram *after);

#endif
