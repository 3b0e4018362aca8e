/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/nap.h"
#include <aether/idle.h>
#include <time.h>

#define NS_PER_S 1000000000u
#define DOUBLINGS_MAX 5u /* more would exceed the longest nap */

uint64_t ae_nap_ns(uint64_t naps) {
    const uint64_t ns = (uint64_t)AE_NAP_FIRST_NS << (naps < DOUBLINGS_MAX ? naps : DOUBLINGS_MAX);

    return ns < AETHER_IDLE_NAP_NS ? ns : AETHER_IDLE_NAP_NS;
}

bool ae_nap(uint64_t ns) {
    const struct timespec span = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};

    return nanosleep(&span, NULL) == 0;
}
