/* SPDX-License-Identifier: Apache-2.0 */
/* daemon.h - whether aetherd can answer, for all programs that show it. */
#ifndef AE_VIEW_DAEMON_H
#define AE_VIEW_DAEMON_H

#include <aether/metrics.h>

enum ae_daemon_state {
    AE_DAEMON_RUNS = 0,    /* also if the state of its process is unknown */
    AE_DAEMON_STOPPED = 1, /* its process is stopped: it holds the instance, but answers nothing and frees nothing */
    AE_DAEMON_GONE = 2     /* it doesn't run */
};

enum ae_daemon_state ae_daemon_state(const aether_instance_metrics *instance);

/* How an aetherd that is stopped goes on: "kill -CONT 42", or "a debugger holds it". Returns text. */
#define AE_DAEMON_REMEDY 32
char *ae_daemon_remedy(char text[AE_DAEMON_REMEDY], const aether_instance_metrics *instance);

#endif
