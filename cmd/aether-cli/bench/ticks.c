/* SPDX-License-Identifier: Apache-2.0 */
/* ticks.c - measures the length of a tick. */
#include "ticks.h"

double bench_ns_per_tick(void) {
    static double ratio;

    if (ratio == 0) {
        const uint64_t ns = cli_now_ns(), ticks = bench_ticks();
        while (cli_now_ns() - ns < 20000000)
            continue;
        ratio = (double)(cli_now_ns() - ns) / (double)(bench_ticks() - ticks);
    }
    return ratio;
}
