/* SPDX-License-Identifier: Apache-2.0 */
#include "client/await.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/histogram.h"
#include "base/path_watch.h"
#include <errno.h>
#include <poll.h>
#include <stdbool.h>

#define NS_PER_MS 1000000u
#define LONGEST_NAP_MS 250 /* between two attempts: not each change of a path can be noticed */

/* Could a daemon that starts later be connected to? */
static bool is_absent(int rc) {
    return rc == -ENOENT || rc == -ECONNREFUSED || rc == -ECONNRESET;
}

/* Sleeps until something changes at the socket's path, for a time that is bounded. 0, or -EINTR. */
static int nap(struct ae_path_watch *watch, uint64_t until_ns) {
    struct pollfd entry = {.fd = watch->fd, .events = POLLIN};
    const uint64_t end = ae_saturating_add(ae_now_ns(), (uint64_t)LONGEST_NAP_MS * NS_PER_MS);

    until_ns = until_ns < end ? until_ns : end;
    for (uint64_t now; (now = ae_now_ns()) < until_ns;) {
        const int rc = poll(&entry, 1, (int)((until_ns - now + NS_PER_MS - 1) / NS_PER_MS));
        if (rc < 0 && errno == EINTR)
            return -EINTR;
        if (rc <= 0)
            continue;
        const int changed = ae_path_watch_read(watch);
        if (changed > 0)
            return 0;
        if (changed < 0) { /* from now on only the time ends the naps */
            ae_path_watch_close(watch);
            entry.fd = -1;
        }
    }
    return 0;
}

/*
 * The watch begins before the second attempt, so that a daemon that starts after an attempt ends the nap. The last
 * attempt comes when the time is over, because not each change can be noticed.
 */
int ae_await(struct ae_control *control, uint64_t wait_ns, int (*attempt)(struct ae_control *control, void *context),
             void *context) {
    const uint64_t until_ns = ae_saturating_add(ae_now_ns(), wait_ns), starts_ns = control->starts_ns;
    struct ae_path_watch watch;
    int rc;

    if (wait_ns != 0)
        control->starts_ns = wait_ns;
    rc = attempt(control, context);
    if (!is_absent(rc) || control->socket_path[0] == '\0' || wait_ns == 0)
        goto out;
    (void)ae_path_watch_open(&watch, control->socket_path); /* without a watch there are naps */
    for (bool over = false; is_absent(rc) && !over;) {
        const uint64_t now = ae_now_ns();
        over = now >= until_ns;
        control->starts_ns = over ? 0 : until_ns - now;
        rc = attempt(control, context);
        if (is_absent(rc) && !over && nap(&watch, until_ns) == -EINTR)
            rc = ae_fail(-EINTR, "a signal came while no aetherd was at %s", control->socket_path);
    }
    ae_path_watch_close(&watch);
out:
    control->starts_ns = starts_ns;
    return rc;
}
