/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire.h - a bounded cursor over a packet: little-endian integers and short strings.
 *
 * A cursor either reads or writes. Each function moves one field between the packet and a variable in the cursor's
 * direction, so that the same code reads and writes a message. After the first error, which stays in `error`, later
 * calls move nothing. The cursor owns nothing; the packet or buffer must outlive it.
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

/* Reading stores 0 after an error. */
void ae_wire_u16(struct ae_wire *wire, uint16_t *value);
void ae_wire_u32(struct ae_wire *wire, uint32_t *value);
void ae_wire_u64(struct ae_wire *wire, uint64_t *value);

/*
 * A u16 length and as many bytes: at least `min`, at most `max`, none of them NUL. text has room for max + 1 bytes and
 * is terminated by a NUL. Reading stores "" after an error.
 */
void ae_wire_string(struct ae_wire *wire, char *text, size_t min, size_t max);

#endif
