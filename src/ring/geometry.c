/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/geometry.h"
#include "base/error.h"
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#define RING_BYTES_SMALL 12288ull /* with the stamps */
#define RING_BYTES_DEFAULT (1ull << 20)
#define RING_BYTES_THROUGHPUT (8ull << 20)
#define SMALL_MESSAGE 64u /* the longest message of a topic that is small by itself */
#define LANE_BYTES_MIN 4096ull
#define LANE_BYTES_MAX (1ull << 31)
/* What a lane has room for where its size isn't stated; and up to which size it is so much. */
#define LANE_MESSAGES 8u
#define LANE_BYTES_ROOMY (1ull << 30)

_Static_assert(AE_PUBLISHERS_SHARED == AETHER_PUBLISHERS_SHARED - 1 &&
                   AE_PUBLISHERS_EXCLUSIVE == AETHER_PUBLISHERS_EXCLUSIVE - 1 &&
                   AE_PUBLISHERS_UNBIASED == AETHER_PUBLISHERS_UNBIASED - 1,
               "ae_geometry_value()");
_Static_assert(AE_LATENCY_SAMPLED == AETHER_LATENCY_SAMPLED - 1 && AE_LATENCY_OFF == AETHER_LATENCY_OFF - 1 &&
                   AE_LATENCY_ALL == AETHER_LATENCY_ALL - 1,
               "ae_geometry_value()");
_Static_assert(AETHER_INLINE_LIMIT == AE_INLINE_MAX, "the longest inline message fills the largest slot");
_Static_assert(2 * AETHER_MAX_MESSAGE_LIMIT <= LANE_BYTES_MAX, "a lane has room for two of the longest messages");
_Static_assert((AE_CAPACITY_MAX * AE_SLOT_MAX) >> 62 == 0 && (AE_PUBLISHERS_MAX * LANE_BYTES_MAX) >> 62 == 0,
               "no size overflows");

static uint64_t round_up(uint64_t value, uint64_t unit) {
    return (value + unit - 1) / unit * unit;
}

static uint64_t power_of_two(uint64_t at_least) {
    uint64_t power = 1;

    while (power < at_least)
        power *= 2;
    return power;
}

static bool is_power_of_two(uint64_t n) {
    return n != 0 && (n & (n - 1)) == 0;
}

static bool is_capacity(uint64_t n) {
    return n >= AE_CAPACITY_MIN && n <= AE_CAPACITY_MAX && is_power_of_two(n);
}

static bool is_lane(uint64_t n, uint64_t max_message) {
    return n >= LANE_BYTES_MIN && n <= LANE_BYTES_MAX && is_power_of_two(n) && n >= round_up(max_message, AE_LANE_UNIT);
}

static bool is_evict_lag(uint64_t n, uint64_t capacity) {
    return n >= capacity / 2 && n <= capacity;
}

static uint64_t slot_size(uint64_t inline_max, uint64_t least) {
    const uint64_t size = round_up(AE_SLOT_HEADER + inline_max, 8);

    return size < least ? least : size;
}

/*
 * Short messages are the case of many small topics, so such a topic is small unless something is stated about its ring.
 */
static aether_preset chosen_preset(const aether_topic_config *config) {
    const bool stated = config->preset != AETHER_PRESET_ANY || config->capacity != 0 || config->lane_bytes != 0 ||
                        config->inline_max != 0 || config->evict_lag != 0;

    return !stated && config->max_message != 0 && config->max_message <= SMALL_MESSAGE ? AETHER_PRESET_SMALL
                                                                                       : config->preset;
}

/* Sets the offsets and sizes that follow from capacity, slot_size, lane_bytes and latency. */
static void set_offsets(ae_geometry *g) {
    const uint64_t slots_end = AE_LOG_SLOTS_OFF + g->capacity * g->slot_size;

    g->slots_off = AE_LOG_SLOTS_OFF;
    g->stamps_off = g->latency != AE_LATENCY_OFF ? slots_end : 0;
    g->lanes_off = round_up(slots_end + (g->stamps_off != 0 ? g->capacity * sizeof(uint64_t) : 0), AE_PAGE);
    g->log_bytes = g->lanes_off + AE_PUBLISHERS_MAX * g->lane_bytes;
    g->cursors_bytes = AE_CURSORS_BYTES;
}

static uint64_t ring_bytes(aether_preset preset) {
    return preset == AETHER_PRESET_THROUGHPUT ? RING_BYTES_THROUGHPUT : RING_BYTES_DEFAULT;
}

/* The most slots that fit in the preset's ring. */
static uint64_t preset_capacity(aether_preset preset, uint64_t slot_size) {
    const bool small = preset == AETHER_PRESET_SMALL;
    const uint64_t ring = small ? RING_BYTES_SMALL : ring_bytes(preset);
    const uint64_t each = small ? slot_size + sizeof(uint64_t) : slot_size;
    uint64_t capacity = AE_CAPACITY_MIN;

    while (capacity * 2 * each <= ring)
        capacity *= 2;
    return capacity;
}

/* The size that a preset gives lanes at least. */
static uint64_t preset_lane(aether_preset preset) {
    return preset == AETHER_PRESET_SMALL ? LANE_BYTES_MIN : ring_bytes(preset);
}

static uint64_t default_lane(uint64_t max_message, aether_preset preset) {
    const uint64_t least = preset_lane(preset);
    uint64_t size = power_of_two(LANE_MESSAGES * round_up(max_message, AE_LANE_UNIT));

    if (size > LANE_BYTES_ROOMY)
        size = 2 * power_of_two(max_message);
    return size > least ? size : least;
}

/* ---- the layout of a new topic. Each function sets its part, or returns -EINVAL with a text ---- */

static int make_slots(ae_geometry *g, const aether_topic_config *config, bool *lanes) {
    uint64_t max_message = config->max_message != 0 ? config->max_message : AETHER_MAX_MESSAGE_DEFAULT;
    uint64_t inline_max = config->inline_max;

    if (max_message > AETHER_MAX_MESSAGE_LIMIT)
        return ae_fail(-EINVAL, "max_message of %" PRIu64 " bytes is too large: use 1 to %llu", max_message,
                       AETHER_MAX_MESSAGE_LIMIT);
    if (inline_max > AETHER_INLINE_LIMIT)
        return ae_fail(-EINVAL, "inline_max of %" PRIu64 " bytes is too large: use 1 to %u", inline_max,
                       AETHER_INLINE_LIMIT);
    if (inline_max > max_message)
        return ae_fail(-EINVAL,
                       "inline_max of %" PRIu64 " bytes is more than the longest message has, %" PRIu64
                       ": use at most max_message",
                       inline_max, max_message);
    if (inline_max == 0)
        inline_max = max_message <= AETHER_INLINE_LIMIT ? max_message : AETHER_INLINE_LANES_DEFAULT;
    /* "At least": programs that state lengths of a similar size then agree, and a lane holds a whole number of them. */
    if (max_message > AETHER_INLINE_LIMIT)
        max_message = power_of_two(max_message);
    g->max_message = (uint32_t)max_message;
    g->slot_size = (uint32_t)slot_size(inline_max, AE_SLOT_LANE_MIN);
    *lanes = max_message > g->slot_size - AE_SLOT_HEADER;
    if (!*lanes)
        g->slot_size = (uint32_t)slot_size(max_message, AE_SLOT_MIN);
    return 0;
}

static int make_capacity(ae_geometry *g, const aether_topic_config *config) {
    if ((unsigned)config->preset > AETHER_PRESET_THROUGHPUT)
        return ae_fail(-EINVAL, "preset %u is unknown: use 0 (not stated), 1 (small), 2 (default) or 3 (throughput)",
                       (unsigned)config->preset);
    if (config->capacity != 0 && !is_capacity(config->capacity))
        return ae_fail(-EINVAL, "capacity of %" PRIu64 " slots is not a power of two from %u to %llu", config->capacity,
                       AE_CAPACITY_MIN, AE_CAPACITY_MAX);
    g->capacity = config->capacity != 0 ? config->capacity : preset_capacity(chosen_preset(config), g->slot_size);
    return 0;
}

static int make_lanes(ae_geometry *g, const aether_topic_config *config, bool lanes) {
    g->lane_bytes = config->lane_bytes;
    if (!lanes && g->lane_bytes != 0)
        return ae_fail(-EINVAL,
                       "lane_bytes of %" PRIu64 ", but messages of up to %" PRIu32
                       " bytes all lie in the ring's slots, so there are no lanes: leave it 0, raise max_message or "
                       "lower inline_max",
                       g->lane_bytes, g->max_message);
    if (!lanes)
        return 0;
    if (g->lane_bytes == 0)
        g->lane_bytes = default_lane(g->max_message, config->preset);
    if (!is_lane(g->lane_bytes, g->max_message))
        return ae_fail(-EINVAL,
                       "lane_bytes of %" PRIu64
                       " is not a power of two from %llu to %llu with room for a message of %" PRIu32 " bytes",
                       g->lane_bytes, LANE_BYTES_MIN, LANE_BYTES_MAX, g->max_message);
    return 0;
}

static int check_publishers(const aether_topic_config *config) {
    return (unsigned)config->publishers <= AETHER_PUBLISHERS_UNBIASED
               ? 0
               : ae_fail(-EINVAL,
                         "publishers %u is unknown: use 0 (not stated), 1 (shared), 2 (exclusive) or 3 (unbiased)",
                         (unsigned)config->publishers);
}

static int make_publishers(ae_geometry *g, const aether_topic_config *config) {
    g->publishers = ae_geometry_value(config->publishers);
    return check_publishers(config);
}

static int check_slow(const aether_topic_config *config) {
    if ((unsigned)config->slow > AETHER_SLOW_EVICT)
        return ae_fail(-EINVAL, "slow policy %u is unknown: use 0 (not stated), 1 (wait) or 2 (evict)",
                       (unsigned)config->slow);
    if (config->slow != AETHER_SLOW_EVICT && config->evict_lag != 0)
        return ae_fail(-EINVAL,
                       "evict_lag of %" PRIu64
                       " where publishers wait for slow subscribers: leave it 0, or let them evict",
                       config->evict_lag);
    return 0;
}

static int make_evict_lag(ae_geometry *g, const aether_topic_config *config) {
    const int rc = check_slow(config);

    if (rc != 0 || config->slow != AETHER_SLOW_EVICT)
        return rc;
    g->evict_lag = config->evict_lag != 0 ? config->evict_lag : g->capacity;
    if (!is_evict_lag(g->evict_lag, g->capacity))
        return ae_fail(-EINVAL,
                       "evict_lag of %" PRIu64
                       " sequences is not between half the capacity and the capacity: use %" PRIu64 " to %" PRIu64,
                       g->evict_lag, g->capacity / 2, g->capacity);
    return 0;
}

static int check_latency(const aether_topic_config *config) {
    return (unsigned)config->latency <= AETHER_LATENCY_ALL
               ? 0
               : ae_fail(-EINVAL, "latency %u is unknown: use 0 (not stated), 1 (sampled), 2 (off) or 3 (all)",
                         (unsigned)config->latency);
}

static int make_latency(ae_geometry *g, const aether_topic_config *config) {
    g->latency = ae_geometry_value(config->latency);
    return check_latency(config);
}

int ae_geometry_make(ae_geometry *geometry, const aether_topic_config *config) {
    ae_geometry g = {.start_seq = config->start_seq};
    bool lanes = false;
    int rc;

    if ((rc = make_slots(&g, config, &lanes)) != 0 || (rc = make_capacity(&g, config)) != 0 ||
        (rc = make_lanes(&g, config, lanes)) != 0 || (rc = make_publishers(&g, config)) != 0 ||
        (rc = make_evict_lag(&g, config)) != 0 || (rc = make_latency(&g, config)) != 0)
        return rc;
    set_offsets(&g);
    *geometry = g;
    return 0;
}

/* ---- the layout of an existing topic ---- */

static bool slots_fit(const ae_geometry *g) {
    if (g->max_message == 0 || g->max_message > AETHER_MAX_MESSAGE_LIMIT)
        return false;
    if (g->lane_bytes == 0)
        return g->max_message <= AETHER_INLINE_LIMIT && g->slot_size == slot_size(g->max_message, AE_SLOT_MIN);
    if (g->max_message > AETHER_INLINE_LIMIT && !is_power_of_two(g->max_message))
        return false;
    return is_lane(g->lane_bytes, g->max_message) && g->slot_size % 8 == 0 && g->slot_size >= AE_SLOT_LANE_MIN &&
           g->slot_size <= AE_SLOT_MAX && g->max_message > g->slot_size - AE_SLOT_HEADER;
}

int ae_geometry_check(const ae_geometry *geometry) {
    ae_geometry expected = *geometry;

    if (!is_capacity(geometry->capacity) || !slots_fit(geometry))
        return ae_fail(-EBADMSG,
                       "layout has %" PRIu64 " slots of %" PRIu32 " bytes and lanes of %" PRIu64
                       " for messages of %" PRIu32 " bytes: damaged",
                       geometry->capacity, geometry->slot_size, geometry->lane_bytes, geometry->max_message);
    if (geometry->evict_lag != 0 && !is_evict_lag(geometry->evict_lag, geometry->capacity))
        return ae_fail(-EBADMSG, "layout of %" PRIu64 " slots evicts at a lag of %" PRIu64 ": damaged",
                       geometry->capacity, geometry->evict_lag);
    if (geometry->publishers > AE_PUBLISHERS_UNBIASED)
        return ae_fail(-EBADMSG, "layout for publishers of kind %" PRIu32 ": damaged", geometry->publishers);
    if (geometry->latency > AE_LATENCY_ALL)
        return ae_fail(-EBADMSG, "layout for latency of kind %" PRIu32 ": damaged", geometry->latency);
    set_offsets(&expected);
    if (memcmp(&expected, geometry, sizeof expected) != 0)
        return ae_fail(-EBADMSG, "layout of %" PRIu64 " slots of %" PRIu32 " bytes is inconsistent: damaged",
                       geometry->capacity, geometry->slot_size);
    return 0;
}
