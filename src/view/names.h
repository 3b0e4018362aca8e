/* SPDX-License-Identifier: Apache-2.0 */
/* names.h - the names of the public headers' enumerators, in all forms and on command lines. */
#ifndef AE_VIEW_NAMES_H
#define AE_VIEW_NAMES_H

#include "view/observe.h"
#include <aether/inspect.h>
#include <aether/subscribe.h>

/* They end with NULL. The index is the value - 1, as 0 states nothing; of ae_policy_names it is the aether_policy. */
extern const char *const ae_publishers_names[];
extern const char *const ae_slow_names[];
extern const char *const ae_policy_names[];
extern const char *const ae_latency_names[];

/* "?" for an unknown value: the records come from shared memory. */
const char *ae_publishers_name(aether_publishers admits);
const char *ae_policy_name(aether_policy policy);
const char *ae_latency_name(aether_latency_mode mode);
const char *ae_role_name(aether_role role);
const char *ae_health_name(enum ae_view_health health); /* "OK", "WARNING", "CRITICAL", "UNKNOWN" */

/* A process's state as in /proc/PID/stat, as a word: "sleeping"; "-" for '?'. */
const char *ae_process_name(char state);

/* Is the process stopped, traced or dead, so that it can't receive? */
bool ae_process_halted(char state);

#endif
