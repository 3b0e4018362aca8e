/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message.h - the control protocol's messages (docs/protocol.md). No I/O here: bytes in, struct out, and back.
 *
 * One message is one SOCK_SEQPACKET packet: a 12-byte header (u16 type, u16 protocol version, u32 request id, u32
 * length of the whole packet), then fields in the order of the structs below, little-endian and unpadded; a string is a
 * u16 length and its bytes. A message that is cut, too long, or has bytes left over is refused.
 */
#ifndef AE_PROTOCOL_MESSAGE_H
#define AE_PROTOCOL_MESSAGE_H

#include <aether/detail/layout.h>
#include <stddef.h>
#include <stdint.h>

#define AE_PROTOCOL_VERSION 3u
#define AE_PACKET_MAX 1024u
#define AE_TEXT_MAX 511u

enum ae_msg_type {
    AE_MSG_HELLO =
        1, /* client: the first message. resume_id != 0: speak for that client again after the daemon restarted */
    AE_MSG_WELCOME = 2,  /* + fd: token, unless resumed */
    AE_MSG_OPEN = 3,     /* client: open a publisher or subscriber */
    AE_MSG_OPENED = 4,   /* + fds: log; cursors unless best effort */
    AE_MSG_CLOSE = 5,    /* client: give a grant back. -> DONE */
    AE_MSG_CREATE = 6,   /* client: create a topic. -> DONE */
    AE_MSG_REMOVE = 7,   /* client: remove a topic. -> DONE */
    AE_MSG_SHUTDOWN = 8, /* client: stop the daemon. -> DONE */
    AE_MSG_DONE = 9,
    AE_MSG_ERROR = 10 /* negative errno code and a text */
};

struct ae_topic_request {
    char
        topic[AE_TOPIC_NAME_MAX + 1]; /* NUL-terminated here, not on the wire; a NUL inside is refused by the decoder */
    /* as in aether_topic_config: 0 = default or as it is */
    uint64_t max_message, inline_max, capacity, lane_bytes, evict_lag, start_seq;
    uint32_t preset, publishers, slow;
    uint32_t type_version, type_size;
    char type_name[AE_TYPE_NAME_MAX + 1]; /* "": none stated */
};

struct ae_msg {
    uint16_t type;
    uint16_t version; /* decoded: the sender's. HELLO and ERROR decode with any version, the others only with ours */
    uint32_t request; /* chosen by the client, repeated in the reply */
    union {
        struct {
            uint64_t resume_id, resume_nonce[2];
            /* The newest grant it knows: later ones were granted but their reply was lost; they are freed. */
            uint64_t resume_grant;
            char name[AE_CLIENT_NAME_MAX + 1];
        } hello;
        struct {
            uint64_t client_id, nonce[2];
            uint32_t resumed; /* 1: no token comes with it */
            uint32_t daemon_pid;
        } welcome;
        struct {
            uint32_t role; /* AE_ROLE_* */
            struct ae_topic_request topic;
        } open;
        struct {
            uint64_t grant_id, topic_id;
            uint32_t role, record;
            ae_geometry geometry;
        } opened;
        struct {
            uint64_t grant_id;
        } close;
        struct ae_topic_request create;
        struct {
            char topic[AE_TOPIC_NAME_MAX + 1];
        } remove;
        struct {
            int32_t code; /* negative errno */
            char text[AE_TEXT_MAX + 1];
        } error;
    } u;
};

/* Writes the packet to buf (AE_PACKET_MAX bytes are always enough) and returns its length, or -EMSGSIZE / -EINVAL. */
int ae_msg_encode(const struct ae_msg *msg, uint8_t *buf, size_t size);

/*
 * Reads a packet. 0, or -EPROTO with a text in aether_errmsg(); never reads past len, every string is terminated.
 * Control characters in a client's name, a type's name and an error's text become '?'.
 */
int ae_msg_decode(struct ae_msg *msg, const uint8_t *buf, size_t len);

#endif
