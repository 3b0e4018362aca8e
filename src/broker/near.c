/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/near.h"
#include <ctype.h>
#include <string.h>

#define EDITS_MAX 2u

static int lower(char c) {
    return tolower((unsigned char)c);
}

static unsigned least(unsigned a, unsigned b) {
    return a < b ? a : b;
}

unsigned ae_edits(const char *a, const char *b, unsigned most) {
    unsigned best;

    while (*a != '\0' && lower(*a) == lower(*b)) {
        a++;
        b++;
    }
    if (*a == '\0' && *b == '\0')
        return 0;
    if (most == 0)
        return 1;
    best = most;
    if (*a != '\0')
        best = least(best, ae_edits(a + 1, b, most - 1));
    if (*b != '\0')
        best = least(best, ae_edits(a, b + 1, most - 1));
    if (*a != '\0' && *b != '\0') {
        best = least(best, ae_edits(a + 1, b + 1, most - 1));
        if (lower(a[0]) == lower(b[1]) && lower(a[1]) == lower(b[0]))
            best = least(best, ae_edits(a + 2, b + 2, most - 1));
    }
    return best + 1;
}

const char *ae_topic_near(const struct ae_broker *broker, const char *name) {
    const struct ae_registry *registry = &broker->registry;
    const size_t len = strlen(name);
    const char *nearest = NULL;
    unsigned best = EDITS_MAX + 1;

    for (uint32_t t = 0; t < registry->topics_max && best > 0; t++) {
        const ae_registry_topic *topic = &registry->topics[t];
        if (ae_record_state(&topic->state) != AE_RECORD_LIVE || ae_shape_of(topic->shape.v) == AE_SHAPE_OPEN)
            continue;
        const unsigned edits = ae_edits(name, topic->name, EDITS_MAX);
        if (edits < best && 2 * edits < len) {
            best = edits;
            nearest = topic->name;
        }
    }
    return nearest;
}
