/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/idle.h"
#include "base/clock.h"
#include "base/export.h"
#include "ring/nap.h"
#include "ring/wait.h"
#include <aether/detail/atomic.h>
#include <aether/idle.h>
#include <sched.h>

#define WINDOW_NS 20000u /* at least so long, and at least WINDOW_PAUSES pauses, is a rate looked at */
#define WINDOW_PAUSES 4u
#define LEVELS 3u /* pauses: a 16th of the budget, a quarter of it, all of it */
#define LEVEL_SHIFT 2u
#define FIRST_GAIN 1.25
#define GAIN 1.1
#define PATIENCE 64u       /* windows until the first second look */
#define PATIENCE_MAX 4096u /* at least 82 ms */
#define SPIN_ROUNDS 1000u
#define SPIN_ROUNDS_MIN 16u
#define YIELD_ROUNDS 100u
#define SLEEP_NS 250000000ull

AE_EXPORT void aether_idle_init(aether_idle_state *idle, aether_idle_strategy strategy, uint32_t budget_ns) {
    ae_clock_init();
    *idle = (aether_idle_state){.budget = ae_ticks_from_ns(budget_ns),
                                .window = ae_ticks_from_ns(WINDOW_NS),
                                .load = AETHER_IDLE_LOAD / (double)ae_ticks_from_ns(1000),
                                .strategy = (uint64_t)strategy,
                                .spin = SPIN_ROUNDS};
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
 * The level to look at next. From none first at the longest one, as a short pause may be too short to part the two
 * sides; from the others at their neighbours.
 */
static uint64_t next_level(const aether_idle_state *idle) {
    if (idle->level == 0)
        return idle->first != 0 ? idle->first : LEVELS;
    return idle->up && idle->level != LEVELS ? idle->level + 1 : idle->level - 1;
}

/* The window that ends now was a look at another pause, or tells what such a look has to beat. */
static void weigh(aether_idle_state *idle, double rate) {
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
    /* A longer pause has to show; where others set the pace, all rates are theirs, and the shorter one wins. */
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
 * By the rate over a window, and not by how many messages were found at once: a reader on the writer's heels finds few
 * at a time, and it is the one that should pause.
 */
uint64_t ae_idle_pause(aether_idle_state *idle, uint64_t now, uint64_t run) {
    const uint64_t elapsed = now - idle->since;

    idle->count += run;
    if (elapsed >= idle->window) {
        const double rate = (double)idle->count / (double)elapsed;

        idle->loaded = rate > idle->load;
        if (idle->loaded) {
            weigh(idle, rate);
        } else {
            idle->tried = idle->level;
            if (idle->level != 0)
                idle->windows = 0; /* the next load may be another one */
        }
        idle->since = now;
        idle->count = 0;
    }
    return idle->loaded && idle->tried != 0 ? idle->budget >> LEVEL_SHIFT * (LEVELS - idle->tried) : 0;
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
        (void)ae_nap(ae_nap_ns(idle->rounds - idle->spin - YIELD_ROUNDS - 1));
    else {
        (void)ae_subscriber_sleep(watched, SLEEP_NS);
        ae_subscriber_told(watched); /* or an end that nobody asks about would keep the loop awake */
    }
}

/* All there was has been taken, and it wasn't nothing. True: it has paused. */
static bool drained(aether_idle_state *idle) {
    const uint64_t run = idle->run;
    uint64_t pause;

    idle->run = 0;
    learn(idle);
    idle->rounds = 0;
    pause = idle->budget != 0 ? ae_idle_pause(idle, ae_ticks(), run) : 0;
    if (pause != 0)
        pause_for(pause);
    return pause != 0;
}

AE_EXPORT void aether_detail_idle_drained(aether_idle_state *idle) {
    (void)drained(idle);
}

AE_EXPORT void aether_detail_idle(aether_idle_state *idle) {
    if (idle->run != 0 && drained(idle))
        return;
    idle->rounds++;
    if (idle->strategy == AETHER_IDLE_ADAPTIVE)
        adapt(idle);
    else if (idle->strategy == AETHER_IDLE_SPIN || idle->rounds <= SPIN_ROUNDS)
        ae_pause();
    else
        (void)sched_yield();
}
