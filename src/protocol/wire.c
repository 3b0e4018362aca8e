/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/wire.h"
#include <errno.h>
#include <string.h>

struct ae_wire ae_wire_reader(const uint8_t *packet, size_t len) {
    return (struct ae_wire){.in = packet, .size = len};
}

struct ae_wire ae_wire_writer(uint8_t *buf, size_t size) {
    return (struct ae_wire){.out = buf, .size = size};
}

/* Takes the next len bytes. Returns their offset, or SIZE_MAX after an error. */
static size_t take(struct ae_wire *wire, size_t len) {
    const size_t off = wire->off;

    if (wire->error == 0 && len > wire->size - off)
        wire->error = -EMSGSIZE;
    if (wire->error != 0)
        return SIZE_MAX;
    wire->off += len;
    return off;
}

static uint64_t integer(struct ae_wire *wire, uint64_t value, size_t len) {
    const size_t off = take(wire, len);

    if (off == SIZE_MAX)
        return wire->out != NULL ? value : 0;
    if (wire->out != NULL) {
        for (size_t i = 0; i < len; i++)
            wire->out[off + i] = (uint8_t)(value >> 8 * i);
        return value;
    }
    value = 0;
    for (size_t i = 0; i < len; i++)
        value |= (uint64_t)wire->in[off + i] << 8 * i;
    return value;
}

void ae_wire_u16(struct ae_wire *wire, uint16_t *value) {
    *value = (uint16_t)integer(wire, *value, sizeof *value);
}

void ae_wire_u32(struct ae_wire *wire, uint32_t *value) {
    *value = (uint32_t)integer(wire, *value, sizeof *value);
}

void ae_wire_u64(struct ae_wire *wire, uint64_t *value) {
    *value = integer(wire, *value, sizeof *value);
}

void ae_wire_string(struct ae_wire *wire, char *text, size_t min, size_t max) {
    uint16_t len = 0;

    if (wire->out != NULL)
        len = (uint16_t)strnlen(text, max + 1);
    ae_wire_u16(wire, &len);
    if (wire->error == 0 && (len < min || len > max))
        wire->error = -EINVAL;
    const size_t off = take(wire, len);
    if (wire->out != NULL) {
        if (off != SIZE_MAX)
            memcpy(wire->out + off, text, len);
        return;
    }
    text[0] = '\0';
    if (off == SIZE_MAX)
        return;
    if (memchr(wire->in + off, '\0', len) != NULL) {
        wire->error = -EINVAL;
        return;
    }
    memcpy(text, wire->in + off, len);
    text[len] = '\0';
}
