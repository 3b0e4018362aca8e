/* SPDX-License-Identifier: Apache-2.0 */
/*
 * idle.h - what a loop does while there is nothing to do.
 *
 * Call aether_idle(&idle, n) once a round with what the round's receive or publish achieved.
 *
 * The pause under load: a reader on the writer's heels drags every cache line from core to core and slows both down.
 * While more than AETHER_IDLE_LOAD messages come in a microsecond, and only then, the strategies wait min(2 x previous
 * wait, budget) before the next look, so that messages gather and lines arrive in bulk. At lower rates there is no
 * pause.
 */
#ifndef AETHER_IDLE_H
#define AETHER_IDLE_H

#include <stdint.h>

#ifndef AETHER_INLINE
#define AETHER_INLINE static inline
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define AETHER_IDLE_LOAD 64u        /* messages a microsecond that count as load */
#define AETHER_IDLE_BUDGET_NS 5000u /* default latency budget for the pause under load */
#define AETHER_IDLE_NAP_NS 1000000u /* longest nap of AETHER_IDLE_ADAPTIVE */

typedef enum aether_idle_strategy {
    AETHER_IDLE_ADAPTIVE = 0, /* spins, then yields, then sleeps: an idle process uses about no CPU */
    AETHER_IDLE_SPIN = 1,     /* never gives up the core: lowest latency, for a core of its own */
    AETHER_IDLE_YIELD = 2     /* spins briefly, then sched_yield(): for cores shared with other spinners */
} aether_idle_strategy;

struct aether_subscriber;

/* Fields are private. One a loop; not shared between threads. */
typedef struct aether_idle_state {
    uint64_t run;    /* messages since the last round without any */
    uint64_t since;  /* when the rate was last looked at, in clock ticks */
    uint64_t count;  /* messages since then */
    uint64_t loaded; /* 1: it was high */
    uint64_t rounds; /* rounds without any since the last message */
    uint64_t wait;   /* last pause under load, in clock ticks */
    uint64_t budget; /* longest pause under load, in clock ticks */
    uint64_t strategy;
    uint64_t spin; /* ADAPTIVE: rounds to spin before yielding, learned */
    struct aether_subscriber *watched;
} aether_idle_state;

/*
 * Prepares a strategy. budget_ns: the longest pause under load, which is latency that you are ready to add when
 * messages come back to back; 0 for none, AETHER_IDLE_BUDGET_NS if you have no opinion. The first call in a process
 * calibrates the clock (about 1 ms).
 */
void aether_idle_init(aether_idle_state *idle, aether_idle_strategy strategy, uint32_t budget_ns);

/*
 * ADAPTIVE sleeps on this subscriber from now on: a publish wakes it at once. Without one, or where nothing can wake
 * the loop (best effort and latest can't be seen by a publisher), it naps for 50 us .. 1 ms at a time. subscriber:
 * stays open as long as the state is used; NULL: none.
 */
AETHER_INLINE void aether_idle_watch(aether_idle_state *idle, struct aether_subscriber *subscriber);

/*
 * work > 0: that many messages were moved: returns at once. work <= 0: waits as the strategy says. Only ADAPTIVE and
 * YIELD make system calls, and only after a while without work. A sleep ends after 250 ms at the latest, or with a
 * signal.
 */
AETHER_INLINE void aether_idle(aether_idle_state *idle, int work);

/*
 * The same for a loop that takes up to max messages a round, with aether_poll() or aether_receive_batch(): where fewer
 * were there, the loop is at the publishers' heels, and under load waits although it has moved something.
 */
AETHER_INLINE void aether_idle_after(aether_idle_state *idle, int work, int max);

void aether_detail_idle(aether_idle_state *idle);
void aether_detail_idle_drained(aether_idle_state *idle);

AETHER_INLINE void aether_idle_watch(aether_idle_state *idle, struct aether_subscriber *subscriber) {
    idle->watched = subscriber;
}

AETHER_INLINE void aether_idle(aether_idle_state *idle, int work) {
    if (work > 0)
        idle->run += (unsigned)work;
    else
        aether_detail_idle(idle);
}

AETHER_INLINE void aether_idle_after(aether_idle_state *idle, int work, int max) {
    aether_idle(idle, work);
    if (work > 0 && work < max)
        aether_detail_idle_drained(idle);
}

#ifdef __cplusplus
}
#endif
#endif
