/* SPDX-License-Identifier: Apache-2.0 */
/*
 * topic.h - topics.
 *
 * A topic is a named ring of `capacity` slots of one size in shared memory. It comes into being when it is created or first opened, and lives until
 * it is removed or aetherd stops cleanly while nobody is attached; closing the last handle doesn't end it. A killed aetherd ends nothing.
 *
 * Names: 1 to 255 bytes; levels separated by '/' ("market/eur/usd"); no NUL, no '+' and no '#' (reserved for wildcards), no empty level.
 */
#ifndef AETHER_TOPIC_H
#define AETHER_TOPIC_H

#include <aether/connect.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define AETHER_MAX_MESSAGE_DEFAULT 1016u /* bytes; slots of 1024 */
#define AETHER_MAX_MESSAGE_LIMIT 4088u   /* bytes */

typedef enum aether_preset {
    AETHER_PRESET_DEFAULT = 0, /* a ring of up to 1 MiB: room for hundreds of topics on a laptop */
    AETHER_PRESET_THROUGHPUT =
        1 /* a ring of up to 8 MiB: larger than a core's L2, so that a lagging reader is fed through the shared L3 */
} aether_preset;

/*
 * Zero-initialise, then set what matters to you. 0 means "the default" when the topic is created and "as it is" when it exists. Opening an
 * existing topic with a value that differs from the topic's is refused with -EEXIST and a text that names both.
 */
typedef struct aether_topic_config {
    uint64_t max_message; /* bytes, 0..4088; 0: 1016. The slot takes this rounded up to 8, plus 8 */
    uint64_t capacity;    /* slots, a power of two of at least 8; 0: as many as fit in the preset's ring */
    aether_preset preset; /* sets the capacity where that is 0 */
    uint64_t start_seq;   /* for tests: sequence of the first message */
} aether_topic_config;

/*
 * Creates a topic, or does nothing if it exists with that configuration. config may be NULL.
 *
 * Faults: -EINVAL name or configuration; -EEXIST the topic exists with another configuration; -ENOSPC /dev/shm, -ENOMEM memory or its control group
 *         has no room (the text names the size needed); -EUSERS the daemon's topic limit; and those of aether_connect().
 */
int aether_topic_create(aether_client *client, const char *topic, const aether_topic_config *config);

/* Removes a topic. Faults: -ENOENT no such topic; -EBUSY somebody is attached (the text says how many); and those of aether_connect(). */
int aether_topic_remove(aether_client *client, const char *topic);

#ifdef __cplusplus
}
#endif
#endif
