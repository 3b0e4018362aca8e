/* SPDX-License-Identifier: Apache-2.0 */
/*
 * idle.h - what a loop does while there is nothing to do.
 *
 * Call aether_idle(&idle, n) once a round with the result of the round's receive or publish.
 *
 * The pause under load: a subscriber that follows a publisher closely takes each cache line from the publisher's core
 * for every message, which slows both down. If the subscriber pauses, messages gather, and one transfer of a line
 * brings several. Which pause is best depends on the machine, the ring, and which side is slower, so the state tries
 * pauses and measures the rate of messages.
 *
 *   - Load is a rate above AETHER_IDLE_LOAD messages a microsecond, measured over windows of at least 20 us. Without
 *     load there is no pause.
 *   - Under load, a loop that has received all there is pauses for a 16th of the budget, a quarter of it, or all of it.
 *   - Moving from no pause to a pause requires 25 % more throughput. Moving to a longer pause requires 10 % more
 *     throughput. Moving to a shorter pause requires that the longer one isn't 10 % better.
 *   - Another pause is tried for one window: at once at first and after a move; 64 windows after a trial that failed;
 *     then less and less often, at last every 4096 windows (82 ms).
 */
#ifndef AETHER_IDLE_H
#define AETHER_IDLE_H

#include <stdint.h>

#ifndef AETHER_INLINE
#define AETHER_INLINE static inline __attribute__((always_inline))
#endif

#ifdef __cplusplus
extern "C" {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wold-style-cast" /* the inline functions are C */
#endif

#define AETHER_IDLE_LOAD 4u         /* messages a microsecond above which a loop is under load */
#define AETHER_IDLE_BUDGET_NS 5000u /* nanoseconds: the usual budget for the pause under load */
#define AETHER_IDLE_NAP_NS 1000000u /* nanoseconds: the longest sleep of AETHER_IDLE_ADAPTIVE that no publish ends */

typedef enum aether_idle_strategy {
    AETHER_IDLE_ADAPTIVE = 0, /* spins, then yields, then sleeps: an idle process uses almost no CPU time */
    AETHER_IDLE_SPIN = 1,     /* never gives up the core: lowest latency, for a core of its own */
    AETHER_IDLE_YIELD = 2     /* spins for 1000 rounds, then sched_yield(): for a core shared with other loops */
} aether_idle_strategy;

struct aether_subscriber;

/*
 * One loop's state, used by one thread. All fields are private. It needs no clean-up. A zeroed one is
 * AETHER_IDLE_ADAPTIVE without a pause under load, which at first doesn't spin before it yields.
 */
typedef struct aether_idle_state {
    uint64_t run;      /* messages since the last round without any */
    uint64_t count;    /* messages in this window */
    uint64_t since;    /* beginning of this window, in clock ticks */
    double load;       /* messages a tick above which the loop is under load */
    double rate;       /* messages a tick in the window before the trial */
    uint64_t loaded;   /* 1: the loop was under load in the last window */
    uint64_t level;    /* of the pause in use: 0 none, 1 a 16th of the budget, 2 a quarter, 3 all of it */
    uint64_t tried;    /* level of this window; if it isn't `level`, this window is a trial */
    uint64_t first;    /* with level 0: level of the next trial; 0: the longest */
    uint64_t up;       /* with another level: 1: the next trial is of a longer pause */
    uint64_t windows;  /* windows until the next trial */
    uint64_t patience; /* windows between the last trial and the next */
    uint64_t rounds;   /* rounds without a message since the last message */
    uint64_t budget;   /* the longest pause, in clock ticks */
    uint64_t window;   /* shortest length of a window, in clock ticks */
    uint64_t strategy;
    uint64_t spin; /* ADAPTIVE: rounds to spin before yielding, learned */
    struct aether_subscriber *watched;
} aether_idle_state;

/*
 * Sets *idle up for a strategy. budget_ns: the longest pause under load, in nanoseconds. It is latency that you accept
 * when messages come back to back. 0: no pause. AETHER_IDLE_BUDGET_NS suits most programs. Stay well below the time in
 * which the topic's ring fills.
 *
 * Can't fail. The first call in a process calibrates the clock, which takes about 1 ms. Thread-safe.
 */
void aether_idle_init(aether_idle_state *idle, aether_idle_strategy strategy, uint32_t budget_ns);

/*
 * Makes AETHER_IDLE_ADAPTIVE sleep on this subscriber, of any policy: a publish to its topic wakes the loop at once.
 * With NULL (the default) the loop sleeps for 50 us .. 1 ms at a time. Other strategies ignore it. Wait-free.
 *
 * The subscriber is used by the thread of the loop, and stays open as long as the state watches it.
 */
AETHER_INLINE void aether_idle_watch(aether_idle_state *idle, struct aether_subscriber *subscriber);

/*
 * Ends a round. work > 0: the round moved that many messages; returns at once. work <= 0: the round moved none (an
 * error counts as none); waits as the strategy says.
 *
 * Only ADAPTIVE and YIELD make system calls, and only after a while without work. A signal ends a sleep. A sleep on a
 * watched subscriber ends after 250 ms at the latest.
 */
AETHER_INLINE void aether_idle(aether_idle_state *idle, int work);

/*
 * As aether_idle(), for a loop that takes up to max messages a round with aether_poll() or aether_receive_batch(). If
 * 0 < work < max, the loop has received all there was. Under load it then pauses, too.
 */
AETHER_INLINE void aether_idle_after(aether_idle_state *idle, int work, int max);

/* The out-of-line parts: of a round without work, and of a round that has received all there was. */
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
#pragma GCC diagnostic pop
}
#endif
#endif
