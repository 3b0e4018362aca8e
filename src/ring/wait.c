/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/wait.h"
#include "base/clock.h"
#include "base/export.h"
#include "base/number.h"
#include "ring/nap.h"
#include "ring/receive.h"
#include "ring/stats.h"
#include "ring/wake.h"
#include <aether/wait.h>
#include <sched.h>

#define SPIN_FIRST_NS 20000u
#define SPIN_MIN_NS 1000u
#define SPIN_MAX_NS 50000u
#define NOTE_TRIES 8

/*
 * Is the stream at an end that hasn't been reported yet? *joins, the number of publishers that have joined, names the
 * end. It is loaded first: if another publisher joins meanwhile, the end that it makes later has a greater number. A
 * subscriber that waits for its topic's shape takes that first; an end is reported after it.
 */
static bool is_new_end(const struct ae_subscriber *s, uint64_t *joins) {
    /* T3 acquire, pairs T3 (admit). */
    *joins = ae_load_acquire(&s->log->stream.joins);
    return !ae_subscriber_waits(s) && aether_subscriber_stream(&s->hot) >= AETHER_STREAM_CLOSED &&
           *joins != s->reported_end;
}

bool ae_subscriber_has_news(const struct ae_subscriber *s) {
    uint64_t joins;

    return ae_subscriber_ready(s) || is_new_end(s, &joins);
}

/*
 * A note must not be replaced by one with an older value of the wake word, because then the subscriber that left it
 * wouldn't be woken. A note ahead of the wake word comes from a hostile peer and may be replaced.
 */
bool ae_subscriber_leave_note(const struct ae_subscriber *s, uint64_t *word) {
    ae_u64 *want = &s->notes->want.want;

    for (int turn = 0; turn < NOTE_TRIES; turn++) {
        /* Z4 acquire, pairs Z3 (wake): with the raised word comes the message that it was raised for. */
        const uint64_t old = ae_load_acquire(want);
        *word = ae_load_acquire(&s->log->wake.wake);
        if (old == *word || ae_cas(want, old, *word))
            return true;
    }
    return false;
}

/*
 * Z6 acquire, pairs Z5 (publisher's join). `unfenced` is loaded before `open`: a publisher whose bit is seen in
 * `unfenced` and no longer in `open` has left, so the load of the tag that follows sees all that it committed.
 */
bool ae_subscriber_unfenced(const struct ae_subscriber *s) {
    const uint64_t unfenced = ae_load_acquire(&s->log->stream.unfenced);

    return (unfenced & ae_load_acquire(&s->log->stream.open)) != 0;
}

bool ae_subscriber_sleep(struct ae_subscriber *s, uint64_t max_ns) {
    uint64_t word, ns = ae_least(max_ns, AE_WAKE_SLEEP_NS);

    if (!ae_subscriber_leave_note(s, &word))
        return ae_nap(ae_least(ns, AE_NAP_FIRST_NS));
    /*
     * Z2, pairs Z1 (publish): the note is stored, then every publisher's core drains its stores, then the tag is
     * loaded. If the barrier isn't allowed, or doesn't reach one of the publishers, the sleep is short.
     */
    if (!ae_wake_barrier() || ae_subscriber_unfenced(s))
        ns = ae_least(ns, AE_WAKE_UNFENCED_SLEEP_NS);
    return ae_subscriber_has_news(s) || ae_wake_sleep(&s->log->wake.wake, word, ns);
}

/* Spins for ns nanoseconds, then yields for as long. True: there is something to receive, or the stream has ended. */
static bool spin_for(const struct ae_subscriber *s, uint64_t ns) {
    const uint64_t start = ae_ticks(), ticks = ae_ticks_from_ns(ns);

    do {
        if (ae_subscriber_ready(s))
            return true;
        ae_pause();
    } while (ae_ticks() - start < ticks);
    do {
        if (ae_subscriber_has_news(s))
            return true;
        (void)sched_yield();
    } while (ae_ticks() - start < 2 * ticks);
    return false;
}

/* Doubles the time for spinning if it found a message, halves it if it ended in a sleep, within bounds. */
static void adapt_spin(struct ae_subscriber *s, bool found) {
    s->spin_ns = found ? ae_least(s->spin_ns * 2, SPIN_MAX_NS) : s->spin_ns / 2;
    if (s->spin_ns < SPIN_MIN_NS)
        s->spin_ns = SPIN_MIN_NS;
}

void ae_subscriber_mark_reported(struct ae_subscriber *s) {
    uint64_t joins;

    if (is_new_end(s, &joins))
        s->reported_end = joins;
}

static int report(struct ae_subscriber *s) {
    ae_subscriber_mark_reported(s);
    return 1;
}

static int wait_for_news(struct ae_subscriber *s, uint64_t timeout_ns) {
    uint64_t start, now;

    if (ae_subscriber_has_news(s))
        return report(s);
    if (timeout_ns == 0)
        return 0;
    /* Before a wait: publishers may need the slots that were read. */
    ae_subscriber_release(s);
    start = ae_now_ns();
    if (s->spin_ns == 0) {
        ae_clock_init();
        s->spin_ns = SPIN_FIRST_NS;
    }
    if (spin_for(s, ae_least(s->spin_ns, timeout_ns))) {
        adapt_spin(s, true);
        return report(s);
    }
    adapt_spin(s, false);
    while ((now = ae_now_ns()) - start < timeout_ns) {
        ae_stats_slept(s);
        const bool no_signal = ae_subscriber_sleep(s, timeout_ns - (now - start));
        if (ae_subscriber_has_news(s)) {
            ae_stats_woken(s);
            return report(s);
        }
        if (!no_signal)
            return 0;
    }
    return 0;
}

AE_EXPORT int aether_wait(aether_subscriber *handle, uint64_t timeout_ns) {
    struct ae_subscriber *s = ae_subscriber_of(handle);
    uint64_t start, waited;

    if (!ae_subscriber_waits(s))
        return wait_for_news(s, timeout_ns);
    start = ae_now_ns();
    if (wait_for_news(s, timeout_ns) == 0)
        return 0;
    if (s->attach(s) < 0)
        return 1; /* a receive reports the error */
    waited = ae_now_ns() - start;
    return wait_for_news(s, waited < timeout_ns ? timeout_ns - waited : 0);
}

AE_EXPORT int aether_receive_wait(aether_subscriber *handle, aether_message *message, uint64_t timeout_ns) {
    int rc = aether_receive(handle, message);
    uint64_t start, waited = 0;

    if (rc != 0)
        return rc;
    start = ae_now_ns();
    do { /* again if there were only aborted sequences, which are passed over */
        if (aether_wait(handle, timeout_ns - waited) == 0)
            return 0;
        rc = aether_receive(handle, message);
        waited = ae_now_ns() - start;
    } while (rc == 0 && waited < timeout_ns && aether_subscriber_stream(handle) < AETHER_STREAM_CLOSED);
    return rc;
}
