/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/export.h"
#include "ring/subscriber.h"
#include <aether/detail/atomic.h>
#include <aether/idle.h>
#include <sched.h>
#include <time.h>

#define FIRST_WAIT_NS 64u
#define RATE_WINDOW_NS 1000u
#define SPIN_ROUNDS 1000u
#define SPIN_ROUNDS_MIN 16u
#define YIELD_ROUNDS 100u
#define FIRST_NAP_NS 50000u
#define SLEEP_NS 250000000ull

AE_EXPORT void aether_idle_init(aether_idle_state *idle, aether_idle_strategy strategy, uint32_t budget_ns) {
    ae_clock_init();
    *idle =
        (aether_idle_state){.budget = ae_ticks_from_ns(budget_ns), .strategy = (uint64_t)strategy, .spin = SPIN_ROUNDS};
}

static void pause_for(uint64_t ticks) {
    const uint64_t start = ae_ticks();

    do
        ae_pause();
    while (ae_ticks() - start < ticks);
}

/*
 * By the rate over a microsecond or more, and not by how many messages were found at once: a reader on the writer's
 * heels finds few at a time, and it is the one that should pause.
 */
static bool under_load(aether_idle_state *idle, uint64_t run) {
    const uint64_t now = ae_ticks(), elapsed = now - idle->since, window = ae_ticks_from_ns(RATE_WINDOW_NS);

    idle->count += run;
    if (elapsed >= window) {
        idle->loaded = idle->count * window > elapsed * AETHER_IDLE_LOAD;
        idle->since = now;
        idle->count = 0;
    }
    return idle->loaded;
}

static void pause_under_load(aether_idle_state *idle) {
    const uint64_t wait = idle->wait != 0 ? idle->wait * 2 : ae_ticks_from_ns(FIRST_WAIT_NS);

    idle->wait = wait < idle->budget ? wait : idle->budget;
    pause_for(idle->wait);
}

static void nap(uint64_t round) {
    const unsigned doublings = round < 8 ? (unsigned)round : 8;
    const uint64_t ns = (uint64_t)FIRST_NAP_NS << doublings;
    const struct timespec span = {.tv_nsec = (long)(ns < AETHER_IDLE_NAP_NS ? ns : AETHER_IDLE_NAP_NS)};

    (void)nanosleep(&span, NULL); /* cut short by a signal: the caller looks again, which is what it wants then */
}

/* Spinning that ended in sleep was too long, spinning that a message ended could have been longer. */
static void learn(aether_idle_state *idle) {
    if (idle->rounds == 0)
        return;
    if (idle->rounds > idle->spin + YIELD_ROUNDS)
        idle->spin = idle->spin / 2 > SPIN_ROUNDS_MIN ? idle->spin / 2 : SPIN_ROUNDS_MIN;
    else
        idle->spin = idle->spin * 2 < SPIN_ROUNDS ? idle->spin * 2 : SPIN_ROUNDS;
}

static void adapt(aether_idle_state *idle) {
    struct ae_subscriber *watched = idle->watched != NULL ? ae_subscriber_of(idle->watched) : NULL;

    if (idle->rounds <= idle->spin)
        ae_pause();
    else if (idle->rounds <= idle->spin + YIELD_ROUNDS)
        (void)sched_yield();
    else if (watched == NULL)
        nap(idle->rounds - idle->spin - YIELD_ROUNDS - 1);
    else {
        (void)ae_subscriber_sleep(watched, SLEEP_NS);
        ae_subscriber_told(watched); /* or an end that nobody asks about would keep the loop awake */
    }
}

/* All there was has been taken, and it wasn't nothing. */
AE_EXPORT void aether_detail_idle_drained(aether_idle_state *idle) {
    const uint64_t run = idle->run;

    idle->run = 0;
    learn(idle);
    idle->rounds = 0;
    if (idle->budget != 0 && under_load(idle, run))
        pause_under_load(idle);
    else
        idle->wait = 0;
}

AE_EXPORT void aether_detail_idle(aether_idle_state *idle) {
    if (idle->run != 0) {
        aether_detail_idle_drained(idle);
        if (idle->wait != 0)
            return;
    }
    idle->wait = 0;
    idle->rounds++;
    if (idle->strategy == AETHER_IDLE_ADAPTIVE)
        adapt(idle);
    else if (idle->strategy == AETHER_IDLE_SPIN || idle->rounds <= SPIN_ROUNDS)
        ae_pause();
    else
        (void)sched_yield();
}
