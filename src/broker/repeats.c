/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/repeats.h"
#include "base/clock.h"
#include "service/log.h"
#include <inttypes.h>

#define INTERVAL_NS 1000000000ull

static void arm(struct ae_repeats *r) {
    r->armed = true;
    ae_timer_arm(r->loop, &r->timer, ae_now_ns() + INTERVAL_NS);
}

/* True if there was something to say. */
static bool say(struct ae_repeats *r) {
    if (r->more == 0)
        return false;
    ae_log_line(AE_LOG_WARNING, "and %" PRIu64 " more: %s", r->more, r->what);
    r->more = 0;
    return true;
}

static void on_interval(struct ae_timer *timer) {
    struct ae_repeats *r = AE_CONTAINER(timer, struct ae_repeats, timer);

    r->armed = false;
    if (say(r))
        arm(r);
}

void ae_repeats_open(struct ae_repeats *r, struct ae_loop *loop, const char *what) {
    *r = (struct ae_repeats){.what = what, .loop = loop, .timer = {.fn = on_interval}};
}

bool ae_repeats_admit(struct ae_repeats *r) {
    if (r->armed) {
        r->more++;
        return false;
    }
    arm(r);
    return true;
}

void ae_repeats_close(struct ae_repeats *r) {
    ae_timer_disarm(&r->timer);
    r->armed = false;
    (void)say(r);
}
