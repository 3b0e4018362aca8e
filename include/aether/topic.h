/* SPDX-License-Identifier: Apache-2.0 */
/*
 * topic.h - topics.
 *
 * A topic is a named ring of `capacity` slots of one size in shared memory. It comes into being when it is created or
 * first opened, and lives until it is removed or aetherd stops cleanly while nobody is attached; closing the last
 * handle doesn't end it. A killed aetherd ends nothing.
 *
 * Names: 1 to 255 bytes; levels separated by '/' ("market/eur/usd"); no NUL, no '+' and no '#' (reserved for
 * wildcards), no empty level.
 */
#ifndef AETHER_TOPIC_H
#define AETHER_TOPIC_H

#include <aether/connect.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define AETHER_MAX_MESSAGE_DEFAULT 1016u      /* bytes; slots of 1024 */
#define AETHER_MAX_MESSAGE_LIMIT (1ull << 30) /* bytes */
#define AETHER_INLINE_LIMIT 4088u             /* bytes: the longest message that can lie in its slot */
#define AETHER_INLINE_LANES_DEFAULT 56u       /* bytes: inline_max of a topic with longer messages */

typedef enum aether_preset {
    AETHER_PRESET_DEFAULT = 0, /* a ring of up to 1 MiB: room for hundreds of topics on a laptop */
    AETHER_PRESET_THROUGHPUT =
        1 /* a ring of up to 8 MiB: larger than a core's L2, so that a lagging reader is fed through the shared L3 */
} aether_preset;

/* What becomes of a reliable subscriber that is too slow. */
typedef enum aether_slow {
    AETHER_SLOW_WAIT = 0, /* publishers wait for it: publishing is AETHER_FULL until it has made room */
    /*
     * publishers don't: once it is evict_lag sequences behind and they need the room, it is made a best-effort
     * subscriber
     */
    AETHER_SLOW_EVICT = 1
} aether_slow;

/* Who may publish. */
typedef enum aether_publishers {
    /*
     * up to 64 publishers at a time. While there is one it publishes as fast as on an exclusive topic, because the
     * topic is biased to it; the first message of a second one ends that, with one membarrier(2), some 10 us
     */
    AETHER_PUBLISHERS_SHARED = 0,
    AETHER_PUBLISHERS_EXCLUSIVE = 1, /* one at a time; a second open is refused */
    /*
     * shared without the bias, so that a second publisher costs the first one no membarrier and also works where a
     * sandbox doesn't allow that; each publish is a compare-and-swap
     */
    AETHER_PUBLISHERS_UNBIASED = 2
} aether_publishers;

/*
 * Zero-initialise, then set what matters to you. 0 means "the default" when the topic is created and "as it is" when it
 * exists. Opening an existing topic with a value that differs from the topic's is refused with -EEXIST and a text that
 * names both.
 *
 * Lanes: messages longer than inline_max don't lie in the ring's slots but in a lane, memory of the publisher's own of
 * lane_bytes, which is allocated when the publisher opens. A topic whose messages all fit in their slots has no lanes.
 *
 * Type: a name, a version and a size that programs agree on; Aether compares them and doesn't look into messages. A
 * topic without a type takes the first one that somebody states. A program that states none is never refused.
 */
typedef struct aether_topic_config {
    uint64_t max_message; /* longest message: bytes, 1 .. 1 GiB; 0: 1016 */
    /* longest message that lies in its slot: bytes, 1 .. 4088; 0: max_message if that is at most 4088, else 56 */
    uint64_t inline_max;
    uint64_t capacity; /* slots, a power of two of at least 8; 0: as many as fit in the preset's ring */
    /*
     * a power of two, 4096 .. 2 GiB, not less than max_message; 0: room for two of the longest, and no less than the
     * ring has
     */
    uint64_t lane_bytes;
    aether_preset preset; /* sets capacity and lane_bytes where they are 0 */
    aether_publishers publishers;
    aether_slow slow;      /* AETHER_SLOW_EVICT: see above */
    uint64_t evict_lag;    /* with AETHER_SLOW_EVICT: sequences, capacity / 2 .. capacity; 0: capacity */
    uint64_t start_seq;    /* for tests: sequence of the first message */
    const char *type_name; /* at most 63 bytes; NULL or "": no type stated */
    uint32_t type_version; /* with type_name: any number */
    uint32_t type_size;    /* with type_name: bytes; 0: not of one size */
} aether_topic_config;

/*
 * Creates a topic, or does nothing if it exists with that configuration. config may be NULL.
 *
 * Faults: -EINVAL name or configuration; -EEXIST the topic exists with another configuration; -ENOSPC /dev/shm, -ENOMEM
 *         memory or its control group has no room (the text names the size needed); -EUSERS the daemon's topic limit;
 *         and those of aether_connect().
 */
int aether_topic_create(aether_client *client, const char *topic, const aether_topic_config *config);

/*
 * Removes a topic. Faults: -ENOENT no such topic; -EBUSY somebody is attached (the text says how many); and those of
 * aether_connect().
 */
int aether_topic_remove(aether_client *client, const char *topic);

#ifdef __cplusplus
}
#endif
#endif
