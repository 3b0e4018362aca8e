/* SPDX-License-Identifier: Apache-2.0 */
#include "view/daemon.h"
#include <inttypes.h>
#include <stdio.h>

enum ae_daemon_state ae_daemon_state(const aether_instance_metrics *instance) {
    return !instance->daemon.running ? AE_DAEMON_GONE : instance->stopped == 1 ? AE_DAEMON_STOPPED : AE_DAEMON_RUNS;
}

char *ae_daemon_remedy(char text[AE_DAEMON_REMEDY], const aether_instance_metrics *instance) {
    if (instance->process == 't')
        snprintf(text, AE_DAEMON_REMEDY, "a debugger holds it");
    else
        snprintf(text, AE_DAEMON_REMEDY, "kill -CONT %" PRIu32, instance->daemon.pid);
    return text;
}
