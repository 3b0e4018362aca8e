/* SPDX-License-Identifier: Apache-2.0 */
#include "client/lanes.h"
#include "ring/claim.h"
#include "ring/lane.h"
#include <aether/detail/atomic.h>
#include <string.h>

/* One more than the position of the lane's last byte that was ever used. */
static uint64_t head_of(const ae_geometry *geometry, const ae_log *log, uint32_t record) {
    return ae_load_relaxed(&log->publishers[record].lane_floor) + geometry->lane_bytes;
}

/* Reads the descriptor of a message. False: the message doesn't lie in a lane, isn't finished, or makes no sense. */
static bool read_descriptor(const ae_geometry *geometry, const ae_log *log, uint64_t seq, uint32_t *record,
                            uint64_t *position, uint64_t *bytes) {
    const ae_u64 *word = ae_slot_tag(log, geometry, seq);
    const uint64_t tag = ae_load_acquire(word);
    const ae_lane_descriptor *descriptor = (const ae_lane_descriptor *)(const void *)(word + 1);

    if (ae_tag_ahead(tag, seq) != 0 || (ae_tag_kind(tag) & ~AE_KIND_STAMPED) != AE_KIND_LANE)
        return false;
    *position = ae_load_relaxed(&descriptor->position);
    const uint64_t where = ae_load_relaxed(&descriptor->where);
    ae_fence_acquire();
    *record = (uint32_t)(where >> 32);
    const uint64_t len = where & UINT32_MAX;
    if (ae_load_relaxed(word) != tag || *record >= AE_PUBLISHERS_MAX || len > geometry->max_message)
        return false;
    *bytes = ae_lane_units(len);
    return true;
}

/* How far each of the subscribers is behind `end`. Returns the most. */
static uint64_t read_cursors(const ae_cursors *cursors, uint64_t subscribers, uint64_t end,
                             uint64_t behind[AE_SUBSCRIBERS_MAX]) {
    uint64_t most = 0;

    for (uint64_t left = subscribers; left != 0; left &= left - 1) {
        const unsigned r = (unsigned)__builtin_ctzll(left);
        const uint64_t lag = end - ae_load_acquire(&cursors->records[r].cursor);
        behind[r] = (int64_t)lag > 0 ? lag : 0;
        most = behind[r] > most ? behind[r] : most;
    }
    return most;
}

void ae_lanes_read(const ae_geometry *geometry, const ae_log *log, const ae_cursors *cursors, uint64_t subscribers,
                   uint64_t end, struct ae_lanes *lanes) {
    uint64_t behind[AE_SUBSCRIBERS_MAX], bytes, position, most;
    uint32_t record;

    memset(lanes, 0, sizeof *lanes);
    if (log == NULL || geometry->lane_bytes == 0 || (cursors == NULL && subscribers != 0))
        return;
    most = subscribers != 0 ? read_cursors(cursors, subscribers, end, behind) : 0;
    most = most < geometry->capacity ? most : geometry->capacity;
    lanes->whole = most <= AE_LANES_SLOTS;
    most = lanes->whole ? most : AE_LANES_SLOTS;
    for (uint64_t i = 1; i <= most; i++) { /* from the end back */
        if (!read_descriptor(geometry, log, end - i, &record, &position, &bytes))
            continue;
        const uint64_t used = head_of(geometry, log, record) - position;
        if (used <= geometry->lane_bytes && used > lanes->used[record])
            lanes->used[record] = used;
        for (uint64_t left = subscribers; left != 0; left &= left - 1) {
            const unsigned r = (unsigned)__builtin_ctzll(left);
            if (behind[r] >= i)
                lanes->held[r] += bytes;
        }
    }
}

uint64_t ae_lanes_fits(const ae_geometry *geometry, const ae_log *log, uint32_t record, uint64_t used) {
    const uint64_t size = geometry->lane_bytes, bytes = ae_lane_units(geometry->max_message);

    if (size == 0 || used > size)
        return 0;
    if (used == 0 || log == NULL) /* the next one goes to the lane's start */
        return (size - used) / bytes;
    /* A payload is contiguous: what doesn't fit before the lane's end goes to its start. */
    const uint64_t before_end = size - (head_of(geometry, log, record) & (size - 1)), room = size - used;
    if (room <= before_end)
        return room / bytes;
    return before_end / bytes + (room - before_end) / bytes;
}
