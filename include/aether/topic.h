/* SPDX-License-Identifier: Apache-2.0 */
/*
 * topic.h - topics.
 *
 * A topic is a named ring of `capacity` slots of one size in shared memory. It begins when it is created or when its
 * first publisher is opened. It ends when it is removed, or when aetherd stops cleanly while the topic has no open
 * publisher or subscriber. Closing the last handle doesn't end it, and neither does the death of aetherd.
 *
 * Subscribers may be opened before. They wait for the first publisher, and they alone make no topic: when the last one
 * has closed, nothing is left.
 *
 * Names: 1 to 255 bytes; levels separated by '/' ("market/eur/usd"); no NUL, no '+' and no '#' (reserved for
 * wildcards), no empty level. Names are case-sensitive and may hold any other byte.
 */
#ifndef AETHER_TOPIC_H
#define AETHER_TOPIC_H

#include <aether/connect.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* All in bytes. */
#define AETHER_MAX_MESSAGE_DEFAULT 1016u      /* max_message where it is 0; its slots have 1024 */
#define AETHER_MAX_MESSAGE_LIMIT (1ull << 30) /* the largest max_message */
#define AETHER_INLINE_LIMIT 4088u             /* the largest inline_max */
#define AETHER_INLINE_LANES_DEFAULT 56u       /* inline_max where it is 0 and longer messages are allowed */

/*
 * In each of these enumerations 0 states nothing. The default can also be stated.
 *
 * The preset gives the ring's size where capacity is 0: the largest power of two of slots that fits in it, but at least
 * 8 slots.
 */
typedef enum aether_preset {
    AETHER_PRESET_ANY = 0,
    /* 12 KiB with the stamps: for many topics of short messages */
    AETHER_PRESET_SMALL = 1,
    /* 1 MiB: hundreds of topics have room on a laptop */
    AETHER_PRESET_DEFAULT = 2,
    /* 8 MiB: larger than a core's L2 cache, so that a subscriber that lags is served from the shared L3 cache */
    AETHER_PRESET_THROUGHPUT = 3
} aether_preset;

/* What publishers do when they need room that a slow reliable subscriber holds. */
typedef enum aether_slow {
    AETHER_SLOW_ANY = 0,
    /* the default: they wait: publishing returns AETHER_FULL until the subscriber has released the room */
    AETHER_SLOW_WAIT = 1,
    /*
     * they evict the subscriber if it is evict_lag sequences behind or holds lane bytes that are needed: it continues
     * as a best-effort subscriber, and publishing goes on
     */
    AETHER_SLOW_EVICT = 2
} aether_slow;

/* How many publishers a topic admits, and how they claim sequences. */
typedef enum aether_publishers {
    AETHER_PUBLISHERS_ANY = 0,
    /*
     * the default: up to 64 at a time. While there is only one, the topic is biased to it: it claims without a
     * compare-and-swap, as fast as on an exclusive topic. The first message of a second publisher ends the bias with
     * one membarrier(2), which costs the second publisher some 10 us
     */
    AETHER_PUBLISHERS_SHARED = 1,
    /* one at a time: the open of a second publisher fails with -EBUSY */
    AETHER_PUBLISHERS_EXCLUSIVE = 2,
    /*
     * up to 64 at a time, never biased: each publish is a compare-and-swap. A second publisher needs no membarrier(2),
     * so it also works in a sandbox that doesn't allow that call
     */
    AETHER_PUBLISHERS_UNBIASED = 3
} aether_publishers;

/*
 * Which messages are stamped with the time of their publishing, so that latencies are known (metrics.h). The stamps
 * take 8 bytes a slot.
 */
typedef enum aether_latency_mode {
    AETHER_LATENCY_ANY = 0,
    /* the default: each message of a slow topic, some thousands a second of a fast one; its cost can't be measured */
    AETHER_LATENCY_SAMPLED = 1,
    AETHER_LATENCY_OFF = 2,
    /* each message: costs two readings of the clock a message, some 50 ns */
    AETHER_LATENCY_ALL = 3
} aether_latency_mode;

/* Whether a publisher or subscriber is also opened if the topic doesn't exist. */
typedef enum aether_open {
    /* the default: a publisher makes the topic; a subscriber waits for the first publisher */
    AETHER_OPEN_ANY = 0,
    /* the open fails with -ENOENT unless a publisher or aether_topic_create() has made the topic */
    AETHER_OPEN_EXISTING = 1
} aether_open;

/*
 * A topic's configuration. Zero-initialise, then set what matters to you. 0, NULL and "" state nothing: a new topic
 * gets the default, and an existing one is taken as it is. The library keeps no reference to the struct or to
 * type_name.
 *
 * A topic's shape, which is all of this, is fixed by its first publisher. Until then what nobody has stated is open.
 * What a publisher or aether_topic_create() states is the topic's, for its life. What a subscriber states is a request:
 * it counts in the shaping while that subscriber is open. The shape that came of it, which may be exclusive, stays with
 * the topic when the subscriber has gone.
 *
 * Sizes (max_message, inline_max, capacity, lane_bytes, and preset, which is only a size) are "at least": the largest
 * that is stated counts, and a topic that is large enough fits. What only subscribers state makes no topic's messages
 * shorter than by default. Everything else must be equal where two have stated it.
 * An open or create that doesn't fit is refused with -EEXIST and a text that names both and who stated them.
 *
 * Lanes: a message longer than inline_max doesn't lie in its slot but in a lane. A lane is lane_bytes of memory that
 * belong to one publisher; it is allocated when the publisher is opened. A topic whose messages all fit in their slots
 * has no lanes.
 *
 * Type: a name, a version and a size that programs agree on. Aether compares them and doesn't look into messages. A
 * program that states no type is never refused for it.
 */
typedef struct aether_topic_config {
    /* longest message: bytes, 1 .. 1 GiB; above 4088 it is rounded up to a power of two; 0: 1016 */
    uint64_t max_message;
    /*
     * longest message that lies in its slot: bytes, 1 .. 4088, at most max_message; 0: max_message if that is at most
     * 4088, else 56. On a topic with lanes it is rounded up to a multiple of 8, and to at least 16
     */
    uint64_t inline_max;
    /* slots: a power of two, 8 .. 2^32; 0: as many as fit in the preset's ring */
    uint64_t capacity;
    /*
     * size of each publisher's lane: bytes, a power of two, 4096 .. 2 GiB, at least max_message; 0: room for 8 of the
     * longest messages (for 2, if 8 take more than 1 GiB), and at least the size of the preset's ring. Must be 0 on a
     * topic without lanes
     */
    uint64_t lane_bytes;
    /*
     * sets capacity and lane_bytes where they are 0; 0: small, if max_message is stated and at most 64 and capacity,
     * inline_max, lane_bytes and evict_lag are 0; or else default
     */
    aether_preset preset;
    aether_publishers publishers;
    aether_slow slow;
    /* with AETHER_SLOW_EVICT: sequences, capacity / 2 .. capacity; 0: capacity. Must be 0 without AETHER_SLOW_EVICT */
    uint64_t evict_lag;
    aether_latency_mode latency;
    /* for tests: the sequence of the first message */
    uint64_t start_seq;
    /* NUL-terminated, at most 63 bytes; NULL or "": no type is stated, and the next two must be 0 */
    const char *type_name;
    /* any number */
    uint32_t type_version;
    /* bytes, at most max_message; 0: messages have several sizes */
    uint32_t type_size;
    /* says nothing about the topic; must be 0 for aether_topic_create() */
    aether_open open;
} aether_topic_config;

/*
 * Creates a topic. If it exists and has had no publisher, what this configuration states is added: what was left open
 * is set, and of sizes the largest counts. If it has had one, nothing changes, and the configuration must fit it.
 * config may be NULL: nothing is stated, and the first publisher decides. Returns 0.
 * Blocks for one request (see connect.h), in which aetherd allocates the ring.
 *
 * Errors: -EINVAL the name or the configuration is wrong; -EEXIST the topic exists with another configuration or type;
 *         -ENOSPC /dev/shm has no room, or the topic is larger than aetherd allows; -ENOMEM the machine or the control
 *         group has not enough memory (both texts name the size needed); -EUSERS aetherd has as many topics as it may;
 *         and those of aether_connect().
 */
int aether_topic_create(aether_client *client, const char *topic, const aether_topic_config *config);

/*
 * Waits until the topic exists, for at most timeout_ns nanoseconds (0: doesn't wait; AETHER_FOREVER: without end). A
 * topic exists from its first publisher or from aether_topic_create() on; subscribers that wait for it don't count.
 * Meanwhile the caller is a best-effort subscriber that waits. It sleeps, and aetherd wakes it; a restart of aetherd in
 * between makes no difference. Other threads may use the client meanwhile. Open the topic with AETHER_OPEN_EXISTING
 * afterwards.
 *
 * Returns 1: the topic exists. 0: timeout_ns is over, or a signal came. It makes two requests (see connect.h), for which
 * a daemon that doesn't answer is waited for until timeout_ns is over; but the first may take a second in any case, and
 * the second 0.1 s.
 * Errors: -EINVAL the name is wrong; -EUSERS aetherd has as many topics or open handles as it may; -ENOSPC, -ENOMEM no
 *         room for the topic's words; and those of aether_connect().
 */
int aether_topic_wait(aether_client *client, const char *topic, uint64_t timeout_ns);

/*
 * Removes a topic and its messages. Returns 0. A topic that is created again under this name begins anew. Blocks for
 * one request (see connect.h).
 *
 * Errors: -ENOENT there is no such topic, or no daemon; -EBUSY the topic has open publishers or subscribers (the text
 *         says how many); -EINVAL the name is wrong; and those of aether_connect().
 */
int aether_topic_remove(aether_client *client, const char *topic);

#ifdef __cplusplus
}
#endif
#endif
