/* SPDX-License-Identifier: Apache-2.0 */
/*
 * floor CPU CPU - the yardstick: how long a cache line takes from one core to the other and back.
 *
 * For each line of its input it measures and prints one line of JSON, best and median round trip in nanoseconds:
 *
 *   bare    both sides spin with nothing between two looks: what rows are compared by
 *   paused  both sides execute a pause instruction between two looks. Two cores that poll a line without a pause take
 *           it away from each other, so that a reader that pauses can be faster than bare: this is the lower of the two
 *
 * Two processes, as in what it is compared with; both sleep between measurements.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 256u /* samples; the median of their means */
#define TRIPS 128u  /* in each: reading a clock must not count */
#define KINDS 2

struct word {
    _Alignas(128) uint64_t v;
};

struct arena {
    struct word ping, pong;
    sem_t go;
};

static double now_ns(void) {
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static inline void relax(bool paused) {
#if defined(__x86_64__)
    if (paused)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
    if (paused)
        __asm__ __volatile__("isb" ::: "memory");
#endif
}

static inline void await(struct word *word, uint64_t value, bool paused) {
    while (__atomic_load_n(&word->v, __ATOMIC_ACQUIRE) != value)
        relax(paused);
}

/* Of each kind the two sides start where the last one ended. */
static inline void trips(struct arena *arena, bool first, uint64_t *at, bool paused) {
    for (unsigned i = 0; i < TRIPS; i++) {
        ++*at;
        if (first)
            __atomic_store_n(&arena->ping.v, *at, __ATOMIC_RELEASE);
        else
            await(&arena->ping, *at, paused);
        if (first)
            await(&arena->pong, *at, paused);
        else
            __atomic_store_n(&arena->pong.v, *at, __ATOMIC_RELEASE);
    }
}

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void measure(struct arena *arena, uint64_t *at, bool paused, double samples[ROUNDS]) {
    trips(arena, true, at, paused); /* the other side has to wake up first */
    for (unsigned i = 0; i < ROUNDS; i++) {
        const double start = now_ns();
        trips(arena, true, at, paused);
        samples[i] = (now_ns() - start) / TRIPS;
    }
    qsort(samples, ROUNDS, sizeof *samples, ascending);
}

static void answer(struct arena *arena, uint64_t *at, bool paused) {
    for (unsigned i = 0; i <= ROUNDS; i++)
        trips(arena, false, at, paused);
}

static bool pin(const char *cpu) {
    char *end;
    const unsigned long number = strtoul(cpu, &end, 10);
    cpu_set_t set;

    if (*end != '\0' || end == cpu || number >= CPU_SETSIZE)
        return false;
    CPU_ZERO(&set);
    CPU_SET(number, &set);
    return sched_setaffinity(0, sizeof set, &set) == 0;
}

int main(int argc, char **argv) {
    static double samples[KINDS][ROUNDS];
    uint64_t at = 0;
    char line[64];

    if (argc != 3) {
        fprintf(stderr, "usage: floor CPU CPU\n");
        return 2;
    }
    struct arena *arena = mmap(NULL, sizeof *arena, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (arena == MAP_FAILED || sem_init(&arena->go, 1, 0) != 0) {
        perror("floor");
        return 1;
    }
    const pid_t parent = getpid(), child = fork();
    if (child < 0) {
        perror("floor: fork");
        return 1;
    }
    if (child == 0)
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (child == 0 && getppid() != parent)
        return 1;
    if (!pin(argv[child == 0 ? 2 : 1])) {
        fprintf(stderr, "floor: '%s' is no CPU that this process may run on\n", argv[child == 0 ? 2 : 1]);
        return 2;
    }
    while (child == 0) {
        while (sem_wait(&arena->go) != 0)
            continue;
        answer(arena, &at, false);
        answer(arena, &at, true);
    }
    while (fgets(line, sizeof line, stdin) != NULL) {
        (void)sem_post(&arena->go);
        measure(arena, &at, false, samples[0]);
        measure(arena, &at, true, samples[1]);
        printf("{\"best\": %.1f, \"median\": %.1f, \"paused_best\": %.1f, \"paused_median\": %.1f}\n", samples[0][0],
               samples[0][ROUNDS / 2], samples[1][0], samples[1][ROUNDS / 2]);
        (void)fflush(stdout);
    }
    return 0;
}
