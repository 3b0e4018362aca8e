/* SPDX-License-Identifier: Apache-2.0 */
/*
 * idle.h - what a loop does while there is nothing to do.
 *
 * Call aether_idle(&idle, n) once a round with what the round's receive or publish achieved.
 *
 * The pause under load: a reader on the writer's heels drags every cache line from core to core and slows both down; if
 * it pauses, messages gather, and lines arrive in bulk. Which pause is best depends on the machine, the ring, and who
 * sets the pace, so it is tried. While more than AETHER_IDLE_LOAD messages come in a microsecond, a loop that has taken
 * all there is pauses for a 16th of the budget, a quarter of it, or all of it, if they come faster by a quarter that way
 * than without. Among the three the longer one has to bring a tenth. The others are looked at again for a moment, less
 * and less often while the answer stays the same, at last a few times a second. At lower rates there is no pause.
 */
#ifndef AETHER_IDLE_H
#define AETHER_IDLE_H

#include <stdint.h>

#ifndef AETHER_INLINE
#define AETHER_INLINE static inline __attribute__((always_inline))
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define AETHER_IDLE_LOAD 4u         /* messages a microsecond that count as load */
#define AETHER_IDLE_BUDGET_NS 5000u /* the usual pause under load */
#define AETHER_IDLE_NAP_NS 1000000u /* longest nap of AETHER_IDLE_ADAPTIVE */

typedef enum aether_idle_strategy {
    AETHER_IDLE_ADAPTIVE = 0, /* spins, then yields, then sleeps: an idle process uses about no CPU */
    AETHER_IDLE_SPIN = 1,     /* never gives up the core: lowest latency, for a core of its own */
    AETHER_IDLE_YIELD = 2     /* spins briefly, then sched_yield(): for cores shared with other spinners */
} aether_idle_strategy;

struct aether_subscriber;

/* Fields are private. One a loop; not shared between threads. */
typedef struct aether_idle_state {
    uint64_t run;      /* messages since the last round without any */
    uint64_t count;    /* messages in this window */
    uint64_t since;    /* when it began, in clock ticks */
    double load;       /* messages a tick from which on it is under load */
    double rate;       /* messages a tick before the look at another pause */
    uint64_t loaded;   /* 1: it is */
    uint64_t level;    /* of the pause: 0 none .. 3 the budget */
    uint64_t tried;    /* the level of this window, which is a look at another one unless it is the same */
    uint64_t first;    /* the next one to look at from 0 */
    uint64_t up;       /* 1: from others, the next look is at a longer one */
    uint64_t windows;  /* until the next one */
    uint64_t patience; /* between the last one and the next, in windows */
    uint64_t rounds;   /* rounds without any since the last message */
    uint64_t budget;   /* a pause under load, in clock ticks */
    uint64_t window;   /* the least length of one, in clock ticks */
    uint64_t strategy;
    uint64_t spin; /* ADAPTIVE: rounds to spin before yielding, learned */
    struct aether_subscriber *watched;
} aether_idle_state;

/*
 * Prepares a strategy. budget_ns: the pause under load, which is latency that you are ready to add when messages come
 * back to back; 0 for none, AETHER_IDLE_BUDGET_NS if you have no opinion. Best well below the time in which the topic's
 * ring fills. The first call in a process calibrates the clock (about 1 ms).
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
