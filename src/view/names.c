/* SPDX-License-Identifier: Apache-2.0 */
/* names.c - enumerations as words. */
#include "view/names.h"
#include <stddef.h>

const char *const ae_publishers_names[] = {"shared", "exclusive", "unbiased", NULL};
const char *const ae_slow_names[] = {"wait", "evict", NULL};
const char *const ae_policy_names[] = {"reliable", "best-effort", "latest", NULL};
const char *const ae_latency_names[] = {"sampled", "off", "all", NULL};

const char *ae_publishers_name(aether_publishers admits) {
    return admits != AETHER_PUBLISHERS_ANY && admits <= AETHER_PUBLISHERS_UNBIASED ? ae_publishers_names[admits - 1]
                                                                                   : "?";
}

const char *ae_policy_name(aether_policy policy) {
    return policy <= AETHER_LATEST ? ae_policy_names[policy] : "?";
}

const char *ae_latency_name(aether_latency_mode mode) {
    return mode != AETHER_LATENCY_ANY && mode <= AETHER_LATENCY_ALL ? ae_latency_names[mode - 1] : "?";
}

const char *ae_role_name(aether_role role) {
    static const char *const names[] = {"?", "publisher", "reliable", "best-effort"};

    return names[role >= AETHER_ROLE_PUBLISHER && role <= AETHER_ROLE_BEST_EFFORT ? role : 0];
}

const char *ae_process_name(char state) {
    switch (state) {
    case 'R':
        return "running";
    case 'S':
    case 'I':
        return "sleeping";
    case 'D':
        return "blocked";
    case 'T':
        return "stopped";
    case 't':
        return "traced";
    case 'Z':
    case 'X':
        return "dead";
    default:
        return "-";
    }
}

bool ae_process_halted(char state) {
    return state == 'T' || state == 't' || state == 'Z' || state == 'X';
}

const char *ae_health_name(enum ae_view_health health) {
    static const char *const names[] = {"OK", "WARNING", "CRITICAL", "UNKNOWN"};

    return names[health <= AE_HEALTH_UNKNOWN ? health : AE_HEALTH_UNKNOWN];
}
