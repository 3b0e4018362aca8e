/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/idle.h"
#include "base/clock.h"
#include "base/export.h"
#include "ring/nap.h"
#include "ring/wait.h"
#include <aether/detail/atomic.h>
#include <aether/idle.h>
#include <sched.h>

/* A rate is measured over a window of at least WINDOW_NS, and of at least WINDOW_PAUSES of the longest pause. */
#define WINDOW_NS 20000u
#define WINDOW_PAUSES 4u
#define LEVELS 3u /* pauses of a 16th of the budget, a quarter of it, all of it */
#define LEVEL_SHIFT 2u
#define FIRST_GAIN 1.25
#define GAIN 1.1
/* Windows between two trials: PATIENCE after the first failed trial, up to PATIENCE_MAX, which takes at least 82 ms. */
#define PATIENCE 64u
#define PATIENCE_MAX 4096u
#define SPIN_ROUNDS 1000u
#define SPIN_ROUNDS_MIN 16u
#define YIELD_ROUNDS 100u
#define SLEEP_NS 250000000ull

AE_EXPORT void aether_idle_init(aether_idle_state *idle, aether_idle_strategy strategy, uint32_t budget_ns) {
    ae_clock_init();
    *idle = (aether_idle_state){
        .budget = ae_ticks_from_ns(budget_ns),
        .window = ae_ticks_from_ns(WINDOW_NS),
        .load = AETHER_IDLE_LOAD / (double)ae_ticks_from_ns(1000),
        .strategy = (uint64_t)strategy,
        .spin = SPIN_ROUNDS,
    };
    if (idle->window < WINDOW_PAUSES * idle->budget)
        idle->window = WINDOW_PAUSES * idle->budget;
}

static void pause_for(uint64_t ticks) {
    const uint64_t start = ae_ticks();

    do
        ae_pause();
    while (ae_ticks() - start < ticks);
}

/*
 * Returns the level of the next trial. From level 0 the longest pause is tried first: a short one may be too short to
 * keep publisher and subscriber from contending for the same cache lines. From other levels their neighbours are tried.
 */
static uint64_t next_level(const aether_idle_state *idle) {
    if (idle->level == 0)
        return idle->first != 0 ? idle->first : LEVELS;
    return idle->up && idle->level != LEVELS ? idle->level + 1 : idle->level - 1;
}

/* Chooses the level of the next window. The window that ends now was a trial, or had the pause in use. */
static void choose_level(aether_idle_state *idle, double rate) {
    double needed;

    if (idle->tried == idle->level) {
        if (idle->windows != 0) {
            idle->windows--;
        } else {
            idle->rate = rate;
            idle->tried = next_level(idle);
        }
        return;
    }
    /*
     * Moving to a longer pause requires 10 % more throughput; from no pause, 25 %. Moving to a shorter one allows about
     * 10 % less: if the other side limits the rate, the pause makes no difference, and the shorter one wins.
     */
    needed = idle->tried > idle->level ? idle->rate * (idle->level == 0 ? FIRST_GAIN : GAIN) : idle->rate / GAIN;
    if (rate > needed) {
        idle->up = idle->tried > idle->level && idle->level != 0;
        idle->level = idle->tried;
        idle->first = 0;
        idle->patience = 0;
        return;
    }
    if (idle->level == 0)
        idle->first = idle->tried - 1;
    idle->up = !idle->up;
    idle->tried = idle->level;
    idle->patience = idle->patience * 2 + PATIENCE;
    if (idle->patience > PATIENCE_MAX)
        idle->patience = PATIENCE_MAX;
    idle->windows = idle->patience;
}

/*
 * The rate over a window decides, not the number of messages received at once: a subscriber that follows the publisher
 * closely receives few at a time, and gains most from a pause.
 */
uint64_t ae_idle_pause(aether_idle_state *idle, uint64_t now, uint64_t run) {
    const uint64_t elapsed = now - idle->since;

    idle->count += run;
    if (elapsed >= idle->window) {
        const double rate = (double)idle->count / (double)elapsed;

        idle->loaded = rate > idle->load;
        if (idle->loaded) {
            choose_level(idle, rate);
        } else {
            idle->tried = idle->level;
            if (idle->level != 0)
                idle->windows = 0; /* the next load may need another pause, so try one at once */
        }
        idle->since = now;
        idle->count = 0;
    }
    return idle->loaded && idle->tried != 0 ? idle->budget >> LEVEL_SHIFT * (LEVELS - idle->tried) : 0;
}

/* Halves the rounds of spinning if the loop slept before the last message, else doubles them, within bounds. */
static void adapt_spin(aether_idle_state *idle) {
    if (idle->rounds == 0)
        return;
    if (idle->rounds > idle->spin + YIELD_ROUNDS)
        idle->spin = idle->spin / 2 > SPIN_ROUNDS_MIN ? idle->spin / 2 : SPIN_ROUNDS_MIN;
    else
        idle->spin = idle->spin * 2 < SPIN_ROUNDS ? idle->spin * 2 : SPIN_ROUNDS;
}

static void wait_adaptive(aether_idle_state *idle) {
    struct ae_subscriber *watched = idle->watched != NULL ? ae_subscriber_of(idle->watched) : NULL;

    if (idle->rounds <= idle->spin)
        ae_pause();
    else if (idle->rounds <= idle->spin + YIELD_ROUNDS)
        (void)sched_yield();
    else if (watched == NULL)
        (void)ae_nap(ae_nap_ns(idle->rounds - idle->spin - YIELD_ROUNDS - 1));
    else {
        (void)ae_subscriber_sleep(watched, SLEEP_NS);
        ae_subscriber_mark_reported(watched); /* else the same end of the stream would end every sleep */
    }
}

/* The loop has received messages, and now all there were. Returns whether it has paused. */
static bool pause_if_loaded(aether_idle_state *idle) {
    const uint64_t run = idle->run;
    uint64_t pause;

    idle->run = 0;
    adapt_spin(idle);
    idle->rounds = 0;
    pause = idle->budget != 0 ? ae_idle_pause(idle, ae_ticks(), run) : 0;
    if (pause != 0)
        pause_for(pause);
    return pause != 0;
}

AE_EXPORT void aether_detail_idle_drained(aether_idle_state *idle) {
    (void)pause_if_loaded(idle);
}

AE_EXPORT void aether_detail_idle(aether_idle_state *idle) {
    if (idle->run != 0 && pause_if_loaded(idle))
        return;
    idle->rounds++;
    if (idle->strategy == AETHER_IDLE_ADAPTIVE)
        wait_adaptive(idle);
    else if (idle->strategy == AETHER_IDLE_SPIN || idle->rounds <= SPIN_ROUNDS)
        ae_pause();
    else
        (void)sched_yield();
}
