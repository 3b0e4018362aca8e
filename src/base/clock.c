/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include <pthread.h>
#include <stdbool.h>
#include <time.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <x86intrin.h>
#endif

#define NS_PER_S 1000000000ull
#define CALIBRATION_NS 1000000ull
#define CALIBRATION_SAMPLES 8

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool use_counter; /* false: ticks are nanoseconds of CLOCK_MONOTONIC */
static uint64_t ticks_per_s = NS_PER_S;

static uint64_t clock_ns(clockid_t id) {
    struct timespec t;

    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

#if defined(__x86_64__)

#define CPUID_POWER 0x80000007u
#define CPUID_INVARIANT_TSC (1u << 8)

static uint64_t counter(void) {
    return __rdtsc();
}

/*
 * Reads the counter and the clock as nearly at the same time as possible. Of several pairs of readings it keeps the
 * pair during which the counter advanced least: the other pairs were interrupted.
 */
static void sample(uint64_t *ticks, uint64_t *ns) {
    uint64_t best = UINT64_MAX;

    for (int i = 0; i < CALIBRATION_SAMPLES; i++) {
        const uint64_t before = counter();
        const uint64_t now = clock_ns(CLOCK_MONOTONIC);
        const uint64_t width = counter() - before;
        if (width < best) {
            best = width;
            *ticks = before + width / 2;
            *ns = now;
        }
    }
}

/* Ticks a second; 0: the CPU has no constant-rate counter. */
static uint64_t counter_rate(void) {
    unsigned int eax, ebx, ecx, edx;
    uint64_t ticks0 = 0, ns0 = 0, ticks1 = 0, ns1 = 0;

    if (__get_cpuid(CPUID_POWER, &eax, &ebx, &ecx, &edx) == 0 || (edx & CPUID_INVARIANT_TSC) == 0)
        return 0;
    sample(&ticks0, &ns0);
    while (clock_ns(CLOCK_MONOTONIC) - ns0 < CALIBRATION_NS)
        __builtin_ia32_pause();
    sample(&ticks1, &ns1);
    /* If a virtual machine was migrated meanwhile, the rate is arbitrary. Outside 100 MHz .. 16 GHz it isn't used. */
    const double rate = (double)(ticks1 - ticks0) * (double)NS_PER_S / (double)(ns1 - ns0);
    return rate >= 1e8 && rate < 1.6e10 ? (uint64_t)rate : 0;
}

#elif defined(__aarch64__)

static uint64_t counter(void) {
    uint64_t value;

    __asm__ __volatile__("mrs %0, cntvct_el0" : "=r"(value));
    return value;
}

static uint64_t counter_rate(void) {
    uint64_t rate;

    __asm__ __volatile__("mrs %0, cntfrq_el0" : "=r"(rate));
    return rate;
}

#else

static uint64_t counter(void) {
    return clock_ns(CLOCK_MONOTONIC);
}

static uint64_t counter_rate(void) {
    return 0;
}

#endif

static void calibrate(void) {
    const uint64_t rate = counter_rate();

    if (rate == 0)
        return;
    ticks_per_s = rate;
    use_counter = true;
}

void ae_clock_init(void) {
    pthread_once(&once, calibrate);
}

uint64_t ae_ticks(void) {
    return use_counter ? counter() : clock_ns(CLOCK_MONOTONIC);
}

uint64_t ae_ticks_from_ns(uint64_t ns) {
    /* The part below a second can't overflow: it is below 10^9 * 1.6 * 10^10. Whole seconds saturate. */
    const uint64_t part = ns % NS_PER_S * ticks_per_s / NS_PER_S;
    uint64_t ticks;

    if (__builtin_mul_overflow(ns / NS_PER_S, ticks_per_s, &ticks) || __builtin_add_overflow(ticks, part, &ticks))
        return UINT64_MAX;
    return ticks;
}

uint64_t ae_now_ns(void) {
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t ae_realtime_ns(void) {
    return clock_ns(CLOCK_REALTIME);
}
