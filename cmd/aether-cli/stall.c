/* SPDX-License-Identifier: Apache-2.0 */
/* stall.c - the words for each cause of a stall. */
#include "stall.h"
#include "daemon.h"
#include "view/amount.h"
#include "view/names.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define WHO 160

/* "'viewer' (pid 77, stopped)"; without the name, the pid or the state where they aren't known. */
static const char *who(char text[WHO], const aether_stall *stall, const char *unknown) {
    const char *state = ae_process_halted(stall->process) ? ae_process_name(stall->process) : "";

    if (stall->client[0] == '\0')
        snprintf(text, WHO, "%s", unknown);
    else if (stall->pid == 0)
        snprintf(text, WHO, "'%s'", stall->client);
    else
        snprintf(text, WHO, "'%s' (pid %" PRIu32 "%s%s)", stall->client, stall->pid, state[0] != '\0' ? ", " : "",
                 state);
    return text;
}

static void cause(char *text, size_t size, const aether_stall *stall) {
    char culprit[WHO], amount[AE_AMOUNT_SIZE];

    switch (stall->waits) {
    case AETHER_WAITS_SUBSCRIBER:
        snprintf(text, size, "waits for %s, %s message%s behind", who(culprit, stall, "a subscriber"),
                 ae_amount_count(amount, stall->lag), ae_plural(stall->lag, "", "s"));
        break;
    case AETHER_WAITS_LANE:
        snprintf(text, size, "waits for %s, which holds %s of this publisher's lane",
                 who(culprit, stall, "a subscriber"), ae_amount_bytes(amount, stall->lane_bytes));
        break;
    case AETHER_WAITS_PUBLISHER:
        snprintf(text, size, "waits for publisher %s, which hasn't finished a message",
                 who(culprit, stall, "of another program"));
        break;
    case AETHER_WAITS_LOANS:
        snprintf(text, size, "its own loans hold %s of this publisher's lane",
                 ae_amount_bytes(amount, stall->lane_bytes));
        break;
    default:
        snprintf(text, size, "other publishers were faster each time");
    }
}

char *stall_text(char text[STALL_TEXT], const aether_stall *stall) {
    char why[STALL_TEXT / 2], others[64] = "";
    const bool dead = stall->process == 'Z' || stall->process == 'X';

    cause(why, sizeof why, stall);
    if (stall->others > 0)
        snprintf(others, sizeof others, ", and for %" PRIu32 " more", stall->others);
    snprintf(text, STALL_TEXT, "%s%s%s%s", why, others,
             dead && stall->daemon == 0 ? "; no aetherd runs that frees its room: start it with: " : "",
             dead && stall->daemon == 0 ? cli_start_command() : "");
    return text;
}
