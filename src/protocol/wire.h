/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire.h - a bounded cursor over a packet: little-endian integers and short strings.
 *
 * A cursor either reads or writes, and each function moves one field between the packet and a variable in its
 * direction, so that one piece of code describes a message for both. The first fault sticks: later calls do nothing.
 */
#ifndef AE_PROTOCOL_WIRE_H
#define AE_PROTOCOL_WIRE_H

#include <stddef.h>
#include <stdint.h>

struct ae_wire {
    const uint8_t *in; /* reading: the packet; else NULL */
    uint8_t *out;      /* writing: the buffer; else NULL */
    size_t size;       /* of the packet or buffer */
    size_t off;        /* of the next field */
    int error;         /* 0; -EMSGSIZE: a field goes past the end; -EINVAL: a string breaks its rules */
};

struct ae_wire ae_wire_reader(const uint8_t *packet, size_t len);
struct ae_wire ae_wire_writer(uint8_t *buf, size_t size);

/* Reading stores 0 after a fault. */
void ae_wire_u16(struct ae_wire *wire, uint16_t *value);
void ae_wire_u32(struct ae_wire *wire, uint32_t *value);
void ae_wire_u64(struct ae_wire *wire, uint64_t *value);

/*
 * A u16 length and so many bytes, at least `min` and at most `max`, none of them NUL. text has max + 1 bytes and ends
 * with a NUL; reading stores "" after a fault.
 */
void ae_wire_string(struct ae_wire *wire, char *text, size_t min, size_t max);

#endif
