/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/geometry.h"
#include "base/error.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define RING_BYTES_DEFAULT (1ull << 20)
#define RING_BYTES_THROUGHPUT (8ull << 20)

static uint64_t round_up(uint64_t value, uint64_t unit) {
    return (value + unit - 1) / unit * unit;
}

/* The layout that follows from these three and nothing else, so that a check is a comparison. */
static void derive(ae_geometry *g, uint64_t capacity, uint32_t max_message, uint64_t start_seq) {
    memset(g, 0, sizeof *g);
    g->capacity = capacity;
    g->max_message = max_message;
    g->start_seq = start_seq;
    g->slot_size = (uint32_t)round_up(AE_SLOT_HEADER + (uint64_t)max_message, 8);
    if (g->slot_size < AE_SLOT_MIN)
        g->slot_size = AE_SLOT_MIN;
    g->slots_off = AE_LOG_SLOTS_OFF;
    g->lanes_off = g->slots_off + round_up(capacity * g->slot_size, AE_PAGE);
    g->lane_bytes = 0;
    g->log_bytes = g->lanes_off;
    g->cursors_bytes = AE_CURSORS_BYTES;
}

static int is_capacity(uint64_t n) {
    return n >= AE_CAPACITY_MIN && n <= AE_CAPACITY_MAX && (n & (n - 1)) == 0;
}

int ae_geometry_make(ae_geometry *geometry, const aether_topic_config *config) {
    const uint64_t max_message = config->max_message != 0 ? config->max_message : AETHER_MAX_MESSAGE_DEFAULT;
    uint64_t capacity = config->capacity;

    if (max_message > AETHER_MAX_MESSAGE_LIMIT)
        return ae_fail(-EINVAL, "maximum message of %" PRIu64 " bytes is too large: use 1 to %u", max_message,
                       AETHER_MAX_MESSAGE_LIMIT);
    if (config->preset != AETHER_PRESET_DEFAULT && config->preset != AETHER_PRESET_THROUGHPUT)
        return ae_fail(-EINVAL, "preset %u is unknown: use 0 (default) or 1 (throughput)", (unsigned)config->preset);
    if (capacity != 0 && !is_capacity(capacity))
        return ae_fail(-EINVAL, "capacity of %" PRIu64 " slots is not a power of two from %u to %llu", capacity,
                       AE_CAPACITY_MIN, AE_CAPACITY_MAX);
    derive(geometry, AE_CAPACITY_MIN, (uint32_t)max_message, config->start_seq);
    if (capacity == 0) {
        const uint64_t ring = config->preset == AETHER_PRESET_THROUGHPUT ? RING_BYTES_THROUGHPUT : RING_BYTES_DEFAULT;
        for (capacity = AE_CAPACITY_MIN; capacity * 2 * geometry->slot_size <= ring;)
            capacity *= 2;
    }
    derive(geometry, capacity, (uint32_t)max_message, config->start_seq);
    return 0;
}

int ae_geometry_check(const ae_geometry *geometry) {
    ae_geometry right;

    if (!is_capacity(geometry->capacity) || geometry->max_message > AETHER_MAX_MESSAGE_LIMIT)
        return ae_fail(-EBADMSG, "layout has %" PRIu64 " slots for messages of %u bytes: damaged", geometry->capacity,
                       geometry->max_message);
    derive(&right, geometry->capacity, geometry->max_message, geometry->start_seq);
    if (memcmp(&right, geometry, sizeof right) != 0)
        return ae_fail(-EBADMSG, "layout of %" PRIu64 " slots of %u bytes is inconsistent: damaged", geometry->capacity,
                       geometry->slot_size);
    return 0;
}

static int mismatch(const char *topic, const char *what, uint64_t wanted, uint64_t has) {
    return ae_fail(-EEXIST,
                   "topic '%s' exists with %s %" PRIu64 ", not %" PRIu64 ": open it as it is, or remove it first",
                   topic, what, has, wanted);
}

int ae_geometry_match(const ae_geometry *geometry, const aether_topic_config *config, const char *topic) {
    if (config->max_message != 0 && config->max_message != geometry->max_message)
        return mismatch(topic, "max_message", config->max_message, geometry->max_message);
    if (config->start_seq != 0 && config->start_seq != geometry->start_seq)
        return mismatch(topic, "start_seq", config->start_seq, geometry->start_seq);
    if (config->capacity != 0 && config->capacity != geometry->capacity)
        return mismatch(topic, "capacity", config->capacity, geometry->capacity);
    if (config->capacity == 0 && config->preset != AETHER_PRESET_DEFAULT) {
        const aether_topic_config as_is = {.max_message = geometry->max_message, .preset = config->preset};
        ae_geometry preset = {0};
        const int rc = ae_geometry_make(&preset, &as_is);
        if (rc != 0)
            return rc;
        if (preset.capacity != geometry->capacity)
            return mismatch(topic, "capacity", preset.capacity, geometry->capacity);
    }
    return 0;
}
