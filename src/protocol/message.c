/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/message.h"
#include "base/error.h"
#include "base/text.h"
#include "protocol/wire.h"
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define LENGTH_OFF 8u
#define HEADER_SIZE 12u
#define ERRNO_MAX 4095 /* the largest errno of the kernel */

_Static_assert(HEADER_SIZE + 2 * sizeof(uint32_t) + AE_TEXT_MAX <= AE_PACKET_MAX, "ERROR fits");
/* + 2: each of the two strings takes one byte more in the packet than in the struct (a length of 2 bytes, no NUL). */
_Static_assert(HEADER_SIZE + 2 * sizeof(uint32_t) + sizeof(struct ae_topic_request) + 2 <= AE_PACKET_MAX, "OPEN fits");
_Static_assert(AE_FDS_MAX <= AE_PACKET_FDS_MAX, "the descriptors of OPENED fit");

/* An empty name is accepted here, because the packet is well formed; the broker refuses it. */
static void topic_name(struct ae_wire *wire, char *topic) {
    ae_wire_string(wire, topic, 0, AE_TOPIC_NAME_MAX);
}

static void topic_request(struct ae_wire *wire, struct ae_topic_request *request) {
    topic_name(wire, request->topic);
    ae_wire_u64(wire, &request->max_message);
    ae_wire_u64(wire, &request->inline_max);
    ae_wire_u64(wire, &request->capacity);
    ae_wire_u64(wire, &request->lane_bytes);
    ae_wire_u64(wire, &request->evict_lag);
    ae_wire_u64(wire, &request->start_seq);
    ae_wire_u32(wire, &request->preset);
    ae_wire_u32(wire, &request->publishers);
    ae_wire_u32(wire, &request->slow);
    ae_wire_u32(wire, &request->latency);
    ae_wire_u32(wire, &request->type_version);
    ae_wire_u32(wire, &request->type_size);
    ae_wire_string(wire, request->type_name, 0, AE_TYPE_NAME_MAX);
}

static void geometry(struct ae_wire *wire, ae_geometry *g) {
    ae_wire_u64(wire, &g->log_bytes);
    ae_wire_u64(wire, &g->cursors_bytes);
    ae_wire_u64(wire, &g->slots_off);
    ae_wire_u64(wire, &g->stamps_off);
    ae_wire_u64(wire, &g->lanes_off);
    ae_wire_u64(wire, &g->lane_bytes);
    ae_wire_u64(wire, &g->capacity);
    ae_wire_u64(wire, &g->start_seq);
    ae_wire_u64(wire, &g->evict_lag);
    ae_wire_u32(wire, &g->slot_size);
    ae_wire_u32(wire, &g->max_message);
    ae_wire_u32(wire, &g->publishers);
    ae_wire_u32(wire, &g->latency);
}

static void error_body(struct ae_wire *wire, struct ae_msg *msg) {
    uint32_t code = (uint32_t)msg->u.error.code;

    ae_wire_u32(wire, &code);
    msg->u.error.code = (int32_t)code;
    ae_wire_string(wire, msg->u.error.text, 0, AE_TEXT_MAX);
}

static void object_body(struct ae_wire *wire, struct ae_msg *msg) {
    ae_wire_u32(wire, &msg->u.object.pid);
    ae_wire_u32(wire, &msg->u.object.uid);
    ae_wire_u64(wire, &msg->u.object.bytes);
    ae_wire_string(wire, msg->u.object.prefix, 1, AE_PREFIX_MAX);
    ae_wire_string(wire, msg->u.object.socket_path, 1, AE_SOCKET_PATH_MAX);
}

/* Reads or writes the fields of a message. False if there is no such type. */
static bool body(struct ae_wire *wire, struct ae_msg *msg) {
    switch (msg->type) {
    case AE_MSG_HELLO:
        ae_wire_u64(wire, &msg->u.hello.resume_id);
        ae_wire_u64(wire, &msg->u.hello.resume_nonce[0]);
        ae_wire_u64(wire, &msg->u.hello.resume_nonce[1]);
        ae_wire_u64(wire, &msg->u.hello.resume_grant);
        ae_wire_string(wire, msg->u.hello.name, 0, AE_CLIENT_NAME_MAX);
        return true;
    case AE_MSG_WELCOME:
        ae_wire_u64(wire, &msg->u.welcome.client_id);
        ae_wire_u64(wire, &msg->u.welcome.nonce[0]);
        ae_wire_u64(wire, &msg->u.welcome.nonce[1]);
        ae_wire_u32(wire, &msg->u.welcome.resumed);
        ae_wire_u32(wire, &msg->u.welcome.daemon_pid);
        return true;
    case AE_MSG_OPEN:
        ae_wire_u32(wire, &msg->u.open.role);
        ae_wire_u32(wire, &msg->u.open.flags);
        topic_request(wire, &msg->u.open.topic);
        return true;
    case AE_MSG_OPENED:
        ae_wire_u64(wire, &msg->u.opened.grant_id);
        ae_wire_u64(wire, &msg->u.opened.topic_id);
        ae_wire_u32(wire, &msg->u.opened.role);
        ae_wire_u32(wire, &msg->u.opened.record);
        ae_wire_u32(wire, &msg->u.opened.stats);
        ae_wire_u32(wire, &msg->u.opened.shape);
        ae_wire_u64(wire, &msg->u.opened.registry_off);
        geometry(wire, &msg->u.opened.geometry);
        return true;
    case AE_MSG_CLOSE:
        ae_wire_u64(wire, &msg->u.close.grant_id);
        return true;
    case AE_MSG_CREATE:
        topic_request(wire, &msg->u.create);
        return true;
    case AE_MSG_REMOVE:
        topic_name(wire, msg->u.remove.topic);
        return true;
    case AE_MSG_LOOK:
        ae_wire_u32(wire, &msg->u.look.kind);
        ae_wire_u64(wire, &msg->u.look.id);
        return true;
    case AE_MSG_OBJECT:
        object_body(wire, msg);
        return true;
    case AE_MSG_SHUTDOWN:
    case AE_MSG_DONE:
        return true;
    case AE_MSG_ERROR:
        error_body(wire, msg);
        return true;
    default:
        return false;
    }
}

static bool role_known(uint32_t role) {
    return role >= AE_ROLE_PUBLISHER && role <= AE_ROLE_BEST_EFFORT;
}

/* Checks the fields that admit few values. Returns NULL, or what is wrong. The broker checks the values of a topic. */
static const char *value_error(const struct ae_msg *msg) {
    switch (msg->type) {
    case AE_MSG_WELCOME:
        return msg->u.welcome.resumed > 1 ? "resumed is neither 0 nor 1" : NULL;
    case AE_MSG_OPEN:
        if (!role_known(msg->u.open.role))
            return "no such role";
        return (msg->u.open.flags & ~AE_OPEN_EXISTING) == 0 ? NULL : "unknown flags";
    case AE_MSG_OPENED:
        if (!role_known(msg->u.opened.role))
            return "no such role";
        return msg->u.opened.shape <= AE_SHAPE_MAX ? NULL : "no such shape";
    case AE_MSG_LOOK:
        return msg->u.look.kind <= AE_LOOK_TOTALS ? NULL : "no such kind of object";
    case AE_MSG_ERROR:
        return msg->u.error.code < 0 && msg->u.error.code >= -ERRNO_MAX ? NULL : "its code is no negative errno";
    default:
        return NULL;
    }
}

int ae_msg_encode(const struct ae_msg *msg, uint8_t *buf, size_t size) {
    struct ae_msg copy = *msg; /* the functions take a pointer to non-const, as they also read; here they only write */
    struct ae_wire wire = ae_wire_writer(buf, size < AE_PACKET_MAX ? size : AE_PACKET_MAX);
    uint16_t version = AE_PROTOCOL_VERSION;
    uint32_t len = 0;

    ae_wire_u16(&wire, &copy.type);
    ae_wire_u16(&wire, &version);
    ae_wire_u32(&wire, &copy.request);
    ae_wire_u32(&wire, &len);
    if (!body(&wire, &copy) || value_error(msg) != NULL)
        return -EINVAL;
    if (wire.error != 0)
        return wire.error;
    len = (uint32_t)wire.off;
    wire.off = LENGTH_OFF;
    ae_wire_u32(&wire, &len);
    return (int)len;
}

/*
 * HELLO and ERROR have the same fields in every version, so that a daemon of another version can say why it refuses a
 * client.
 */
static bool version_readable(const struct ae_msg *msg) {
    return msg->version == AE_PROTOCOL_VERSION || msg->type == AE_MSG_HELLO || msg->type == AE_MSG_ERROR;
}

/* Cleans the text that is shown to people: the peer may be hostile. Type names are compared after they were cleaned. */
static void clean(struct ae_msg *msg) {
    if (msg->type == AE_MSG_HELLO)
        ae_text_clean(msg->u.hello.name);
    else if (msg->type == AE_MSG_ERROR)
        ae_text_clean(msg->u.error.text);
    else if (msg->type == AE_MSG_OPEN)
        ae_text_clean(msg->u.open.topic.type_name);
    else if (msg->type == AE_MSG_CREATE)
        ae_text_clean(msg->u.create.type_name);
}

int ae_msg_decode(struct ae_msg *msg, const uint8_t *buf, size_t len) {
    struct ae_wire wire = ae_wire_reader(buf, len);
    uint32_t stated = 0;
    const char *wrong;

    memset(msg, 0, sizeof *msg);
    if (len < HEADER_SIZE || len > AE_PACKET_MAX)
        return ae_fail(-EPROTO, "packet of %zu bytes: a message has %u to %u", len, HEADER_SIZE, AE_PACKET_MAX);
    ae_wire_u16(&wire, &msg->type);
    ae_wire_u16(&wire, &msg->version);
    ae_wire_u32(&wire, &msg->request);
    ae_wire_u32(&wire, &stated);
    if (stated != len)
        return ae_fail(-EPROTO, "packet of %zu bytes says that it has %u", len, stated);
    if (!version_readable(msg))
        return ae_fail(-EPROTO, "message type %u has protocol version %u, this program speaks version %u", msg->type,
                       msg->version, AE_PROTOCOL_VERSION);
    if (!body(&wire, msg))
        return ae_fail(-EPROTO, "no message has type %u", msg->type);
    if (wire.error == -EINVAL)
        return ae_fail(-EPROTO, "message type %u: a string is too long or holds a NUL byte", msg->type);
    if (wire.error != 0 || wire.off != len)
        return ae_fail(-EPROTO, "message type %u doesn't end where its packet of %zu bytes ends", msg->type, len);
    wrong = value_error(msg);
    if (wrong != NULL)
        return ae_fail(-EPROTO, "message type %u: %s", msg->type, wrong);
    clean(msg);
    return 0;
}
