/* SPDX-License-Identifier: Apache-2.0 */
/* lost.c - a sum, and the reasons that it is made of. */
#include "view/lost.h"
#include "view/amount.h"
#include <stdio.h>
#include <string.h>

char *ae_lost_text(char text[AE_LOST_SIZE], uint64_t lost, const uint64_t lost_by[AETHER_LOST_REASONS]) {
    char amount[AE_AMOUNT_SIZE];
    unsigned reasons = 0, named = 0;
    size_t used = (size_t)snprintf(text, AE_LOST_SIZE, "%s", ae_amount_count(amount, lost));

    for (int i = 0; i < AETHER_LOST_REASONS; i++)
        reasons += lost_by[i] > 0;
    /* The counts come from another program's memory, so their sum may differ from `lost`. */
    for (int i = 0; i < AETHER_LOST_REASONS; i++) {
        if (lost_by[i] == 0)
            continue;
        const char *name = aether_lost_name((aether_lost)i);
        if (lost_by[i] == lost)
            used += (size_t)snprintf(text + used, AE_LOST_SIZE - used, "%s%s", named == 0 ? " (" : ", ", name);
        else
            used += (size_t)snprintf(text + used, AE_LOST_SIZE - used, "%s%s %s", named == 0 ? " (" : ", ", name,
                                     ae_amount_count(amount, lost_by[i]));
        if (++named == reasons)
            used += (size_t)snprintf(text + used, AE_LOST_SIZE - used, ")");
    }
    return text;
}
