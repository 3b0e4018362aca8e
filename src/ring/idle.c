/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/export.h"
#include <aether/detail/atomic.h>
#include <aether/idle.h>
#include <sched.h>
#include <time.h>

#define FIRST_WAIT_NS 64u
#define SPIN_ROUNDS 1000u
#define YIELD_ROUNDS 100u
#define FIRST_SLEEP_NS 50000u

AE_EXPORT void aether_idle_init(aether_idle_state *idle, aether_idle_strategy strategy, uint32_t budget_ns) {
    ae_clock_init();
    *idle = (aether_idle_state){.budget = ae_ticks_from_ns(budget_ns), .strategy = (uint64_t)strategy};
}

static void pause_for(uint64_t ticks) {
    const uint64_t start = ae_ticks();

    do
        ae_pause();
    while (ae_ticks() - start < ticks);
}

static void pause_under_load(aether_idle_state *idle) {
    const uint64_t wait = idle->wait != 0 ? idle->wait * 2 : ae_ticks_from_ns(FIRST_WAIT_NS);

    idle->wait = wait < idle->budget ? wait : idle->budget;
    pause_for(idle->wait);
}

static void sleep_round(uint64_t round) {
    const unsigned doublings = round < 8 ? (unsigned)round : 8;
    const uint64_t ns = (uint64_t)FIRST_SLEEP_NS << doublings;
    const struct timespec span = {.tv_nsec = (long)(ns < AETHER_IDLE_SLEEP_NS ? ns : AETHER_IDLE_SLEEP_NS)};

    (void)nanosleep(&span, NULL); /* cut short by a signal: the caller looks again, which is what it wants then */
}

AE_EXPORT void aether_detail_idle(aether_idle_state *idle) {
    const uint64_t run = idle->run;

    idle->run = 0;
    if (run != 0)
        idle->rounds = 0;
    if (run >= AETHER_IDLE_RUN && idle->budget != 0) {
        pause_under_load(idle);
        return;
    }
    idle->wait = 0;
    idle->rounds++;
    if (idle->strategy == AETHER_IDLE_SPIN || idle->rounds <= SPIN_ROUNDS)
        ae_pause();
    else if (idle->strategy == AETHER_IDLE_YIELD || idle->rounds <= SPIN_ROUNDS + YIELD_ROUNDS)
        (void)sched_yield();
    else
        sleep_round(idle->rounds - SPIN_ROUNDS - YIELD_ROUNDS - 1);
}
